//! Schedule: when a push starts and how long it is kept. Time is passed in, as unix seconds; the wall clock of a call
//! is read in the zone the operator configured.

mod accept;
mod occurrences;

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;
use serde::{Deserialize, Serialize};

use crate::loose::{Members, within};
use crate::ret::{Fault, RetCode, excerpt};

pub use accept::AcceptMinutes;
pub use occurrences::Occurrences;
pub(crate) use occurrences::occurrences;

/// The zone in which a call's dates and times are meant: a fixed offset from UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zone(Offset);

/// A text that is no [`Zone`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no offset from UTC, write it like +08:00, within a day either way")]
pub struct NotAZone(String);

impl Zone {
    /// UTC+8, as the service has it.
    pub const CHINA: Self = Self(Offset::constant(8));

    /// Unix seconds of a `YYYY-MM-DD HH:MM:SS` in this zone; `None` if it is not such a text, or no such time exists.
    #[must_use]
    pub fn time(self, text: &str) -> Option<i64> {
        let (date, time) = text.split_once(' ')?;
        self.unix(date_of(date)?.to_datetime(time_of(time)?))
    }

    /// A moment as `YYYY-MM-DD HH:MM:SS` in this zone, as answers write it. A moment no calendar reaches is written
    /// as the nearest it does.
    #[must_use]
    pub fn text(self, unix: i64) -> String {
        self.0.to_datetime(instant(unix)).strftime("%Y-%m-%d %H:%M:%S").to_string()
    }

    /// The minute of the day, 0–1439, which a clock in this zone shows.
    #[must_use]
    pub fn minute_of_day(self, unix: i64) -> u16 {
        let local = unix.saturating_add(i64::from(self.0.seconds()));
        // A day has 1,440 minutes.
        u16::try_from(local.rem_euclid(DAY) / 60).unwrap_or_default()
    }

    fn date(self, unix: i64) -> Date {
        self.0.to_datetime(instant(unix)).date()
    }

    /// The day a moment (unix milliseconds) lies on in this zone, counted from 1970-01-01, which is 0.
    #[must_use]
    pub fn day_number(self, unix_ms: i64) -> i64 {
        unix_ms.saturating_add(self.offset_ms()).div_euclid(DAY * 1000)
    }

    /// By how much its clocks are ahead of UTC, milliseconds.
    #[must_use]
    pub fn offset_ms(self) -> i64 {
        i64::from(self.0.seconds()) * 1000
    }

    fn unix(self, local: DateTime) -> Option<i64> {
        self.0.to_timestamp(local).ok().map(jiff::Timestamp::as_second)
    }
}

/// A moment; one that no calendar reaches as the nearest it does.
fn instant(unix: i64) -> jiff::Timestamp {
    let nearest = if unix < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    jiff::Timestamp::from_second(unix).unwrap_or(nearest)
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = self.0.seconds() / 60;
        let sign = if minutes < 0 { '-' } else { '+' };
        write!(f, "{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
    }
}

impl FromStr for Zone {
    type Err = NotAZone;

    /// Reads `+08:00` or `-03:30`; `Z` is UTC.
    fn from_str(text: &str) -> Result<Self, NotAZone> {
        let read = || {
            if text == "Z" {
                return Some(0);
            }
            let (sign, rest) =
                if let Some(rest) = text.strip_prefix('-') { (-1, rest) } else { (1, text.strip_prefix('+')?) };
            let (hours, minutes) = rest.split_once(':')?;
            let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
            (hours < 24 && minutes < 60).then_some(sign * i32::from(hours * 60 + minutes) * 60)
        };
        let offset = read().and_then(|seconds| Offset::from_seconds(seconds).ok());
        offset.map(Self).ok_or_else(|| NotAZone(excerpt(text)))
    }
}

const DAY: i64 = 86_400;

/// Days from 1970-01-01 to a date.
pub(crate) fn days_to(date: Date) -> i64 {
    date.to_datetime(Time::midnight())
        .duration_since(Date::constant(1970, 1, 1).to_datetime(Time::midnight()))
        .as_hours()
        / 24
}

fn date_of(text: &str) -> Option<Date> {
    let mut parts = text.splitn(3, '-');
    let (year, month, day) = (digits(parts.next()?, 4)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

fn time_of(text: &str) -> Option<Time> {
    let mut parts = text.splitn(3, ':');
    let (hour, minute, second) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    Time::new(i8::try_from(hour).ok()?, i8::try_from(minute).ok()?, i8::try_from(second).ok()?, 0).ok()
}

/// A number of exactly so many digits, at most four.
fn digits(text: &str, width: usize) -> Option<i16> {
    if text.len() != width || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// How many days ahead `send_time` and the end of a loop may lie, as documented.
pub const SEND_AHEAD_DAYS: i64 = 90;

const SEND_AHEAD: i64 = SEND_AHEAD_DAYS * DAY;

/// Reads `send_time`: unix seconds of a moment to come, `None` for now. A moment that is past means now.
pub(crate) fn send_at(given: &Members<'_>, is_bulk: bool, now: i64, zone: Zone) -> Result<Option<i64>, Fault> {
    let wrong = |what: fmt::Arguments<'_>| Fault::new(RetCode::WrongPushTime, format!("send_time {what}"));
    let Some(text) = given.text("send_time")? else { return Ok(None) };
    // The zero of a number, sent for "not set".
    if text == "0" {
        return Ok(None);
    }
    let Some(at) = zone.time(text.trim()) else {
        let text = excerpt(&text);
        return Err(wrong(format_args!("is {text}, write it as yyyy-MM-dd HH:mm:ss; it is read in UTC{zone}")));
    };
    if at <= now {
        return Ok(None);
    }
    if at - now > SEND_AHEAD {
        let last = zone.text(now.saturating_add(SEND_AHEAD));
        return Err(wrong(format_args!(
            "lies more than {SEND_AHEAD_DAYS} days ahead, the last possible is {last} in UTC{zone}"
        )));
    }
    if !is_bulk {
        // Leaving it out of account would send at once what was meant for later.
        return Err(wrong(format_args!(
            "is only for pushes to many; leave it out, or upload the audience as a package"
        )));
    }
    Ok(Some(at))
}

/// How long a push is kept for a device that is not online (`expire_time`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expire {
    /// Seconds from its start, [`Expire::MIN`]–[`Expire::MAX`].
    Seconds(u32),
    /// Not at all: only devices online get it.
    OnlineOnly,
}

impl Expire {
    /// Shortest time a push is kept; less is raised to it, as documented.
    pub const MIN: u32 = 800;
    /// Longest time a push is kept, as documented: three days.
    pub const MAX: u32 = 259_200;
    /// Where nothing is said, as documented: one day.
    pub const DEFAULT: Self = Self::Seconds(86_400);

    /// Unix seconds after which no device gets a push that started at `sent_at`. For [`Expire::OnlineOnly`] that is
    /// [`Expire::MIN`] later: nothing is kept, but reaching everyone who is online takes its time, too.
    #[must_use]
    pub const fn deadline(self, sent_at: i64) -> i64 {
        let seconds = match self {
            Self::Seconds(seconds) => seconds,
            Self::OnlineOnly => Self::MIN,
        };
        sent_at.saturating_add(seconds as i64)
    }
}

/// Reads `expire_time`. Zero is not "not set" here: it has a meaning of its own, which the contract documents.
pub(crate) fn expire(given: &Members<'_>) -> Result<Expire, Fault> {
    let Some(seconds) = given.number("expire_time")? else { return Ok(Expire::DEFAULT) };
    let seconds: u32 = within(seconds, 0..=i64::from(Expire::MAX), || given.place("expire_time"))?;
    Ok(if seconds == 0 { Expire::OnlineOnly } else { Expire::Seconds(seconds.max(Expire::MIN)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_written_as_hours_and_minutes_from_utc() {
        for text in ["+08:00", "-03:30", "+00:00", "+23:59", "-23:59"] {
            assert_eq!(text.parse::<Zone>().map(|zone| zone.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("Z".parse::<Zone>(), "+00:00".parse());
        assert_eq!("+08:00".parse(), Ok(Zone::CHINA));
        for text in ["", "8", "08:00", "+8:00", "+24:00", "+08:60", "+08", "UTC", "+-8:00", "Asia/Shanghai"] {
            assert!(text.parse::<Zone>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_moment_is_written_in_the_zone_even_beyond_the_calendar() {
        assert_eq!(Zone::CHINA.text(1_700_000_000), "2023-11-15 06:13:20");
        assert!(Zone::CHINA.text(i64::MAX).starts_with("9999-"));
        assert!(Zone::CHINA.text(i64::MIN).starts_with("-"));
    }

    #[test]
    fn a_day_has_one_number_from_midnight_to_midnight() {
        let (from, until) = (1_699_977_600, 1_699_977_600 + DAY);
        let number = Zone::CHINA.day_number(from * 1000);
        assert_eq!(number, 19_676);
        assert_eq!(Zone::CHINA.day_number(until * 1000 - 1), number);
        assert_eq!(Zone::CHINA.day_number(from * 1000 - 1), number - 1);
        let behind: Zone = "-08:00".parse().unwrap();
        assert_eq!((behind.day_number(0), behind.day_number(8 * 3_600_000)), (-1, 0));
    }
}
