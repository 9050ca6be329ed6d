//! Occurrences: the moments at which a push with `loop_param` is to start. Each is a push of its own from then on, with
//! a `push_id` of its own, so that nothing after this knows of loops.

use jiff::civil::{Date, Time};

use super::{SEND_AHEAD_DAYS, Zone, date_of, time_of};
use crate::loose::{self, Members, within};
use crate::ret::{Fault, RetCode, excerpt};

/// When a repeated push starts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Occurrences {
    /// Unix seconds, rising, each once; 1–[`Occurrences::MAX`] of them.
    pub times: Vec<i64>,
    /// Days of a month that were asked for and that the month does not have, as `YYYY-MM-DD`: nothing starts for them.
    pub skipped: Vec<String>,
}

impl Occurrences {
    /// Most occurrences of one call; not documented, our choice. Ten times a day for 90 days are fewer.
    pub const MAX: usize = 1_000;
}

/// How often, as `loopType` numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Every {
    Day,
    Week,
    Month,
}

/// A `loop_param`, read.
struct Rule {
    first: Date,
    last: Date,
    every: Every,
    /// A bit for each day: of the week from Sunday = 0 on, or of the month from 1 on.
    days: u32,
    /// Rising, each once.
    times: Vec<Time>,
}

/// Reads `loop_param`: the occurrences from `now` on, `None` where nothing is to be repeated.
pub(crate) fn occurrences(
    given: &Members<'_>,
    is_bulk: bool,
    now: i64,
    zone: Zone,
) -> Result<Option<Occurrences>, Fault> {
    let is_set = |members: &Members<'_>| members.iter().any(|(_, value)| !loose::is_unset(value));
    let Some(given) = given.object("loop_param")?.filter(is_set) else { return Ok(None) };
    if !is_bulk {
        // Leaving it out of account would send at once, and once, what was meant for later.
        let remedy = "is only for pushes to many; leave it out, or upload the audience as a package";
        return Err(wrong(format!("loop_param {remedy}")));
    }
    Rule::read(&given, now, zone)?.occurrences(now, zone).map(Some)
}

fn wrong(text: String) -> Fault {
    Fault::new(RetCode::WrongPushTime, text)
}

impl Rule {
    fn read(given: &Members<'_>, now: i64, zone: Zone) -> Result<Self, Fault> {
        let (first, last) = (date(given, "startDate")?, date(given, "endDate")?);
        if last < first {
            return Err(wrong(format!("loop_param.endDate {last} lies before startDate {first}: swap them")));
        }
        let farthest = zone.date(now).saturating_add(jiff::Span::new().days(SEND_AHEAD_DAYS));
        if last > farthest {
            return Err(wrong(format!(
                "loop_param.endDate {last} lies more than {SEND_AHEAD_DAYS} days ahead, the last possible is {farthest} \
                 in UTC{zone}"
            )));
        }
        let (every, days) = match given.positive::<u8>("loopType", 1..=3)? {
            Some(1) => (Every::Day, 0),
            Some(2) => (Every::Week, days(given, 0..=6)?),
            Some(_) => (Every::Month, days(given, 1..=31)?),
            None => {
                let remedy = "give 1 (daily), 2 (weekly) or 3 (monthly)";
                return Err(Fault::missing(given.place("loopType"), remedy));
            }
        };
        Ok(Self { first, last, every, days, times: times(given)? })
    }

    fn takes(&self, date: Date) -> bool {
        let day = match self.every {
            Every::Day => return true,
            Every::Week => date.weekday().to_sunday_zero_offset(),
            Every::Month => date.day(),
        };
        self.days & (1 << day) != 0
    }

    fn occurrences(&self, now: i64, zone: Zone) -> Result<Occurrences, Fault> {
        let mut found = Occurrences::default();
        // Days that are past, of however long a loop, are not walked through.
        let mut date = self.first.max(zone.date(now));
        while date <= self.last {
            if self.takes(date) {
                let moments = self.times.iter().filter_map(|time| zone.unix(date.to_datetime(*time)));
                found.times.extend(moments.filter(|moment| *moment >= now));
            }
            if found.times.len() > Occurrences::MAX {
                let most = Occurrences::MAX;
                return Err(wrong(format!(
                    "loop_param starts the push more than {most} times: give fewer dayTimes, or an earlier endDate"
                )));
            }
            if self.every == Every::Month && date == date.last_of_month() {
                let missing = (date.day() + 1..=31).filter(|day| self.days & (1 << day) != 0);
                found.skipped.extend(missing.map(|day| format!("{}-{day:02}", date.strftime("%Y-%m"))));
            }
            let Ok(next) = date.tomorrow() else { break };
            date = next;
        }
        if found.times.is_empty() {
            return Err(wrong(format!(
                "loop_param starts the push at no time from now on, {} in UTC{zone}: see its dates, days and times",
                zone.text(now)
            )));
        }
        Ok(found)
    }
}

fn date(given: &Members<'_>, member: &str) -> Result<Date, Fault> {
    let Some(text) = given.text(member)? else {
        return Err(Fault::missing(given.place(member), "write it as YYYY-MM-DD"));
    };
    date_of(text.trim())
        .ok_or_else(|| wrong(format!("{} is {}, write it as YYYY-MM-DD", given.place(member), excerpt(&text))))
}

/// `loopDayIndexs`, spelled so. Zero is Sunday in it, not "not set".
fn days(given: &Members<'_>, range: std::ops::RangeInclusive<i64>) -> Result<u32, Fault> {
    let place = given.place("loopDayIndexs");
    let mut days = 0;
    for (index, value) in given.list("loopDayIndexs")?.iter().enumerate() {
        let place = || format!("{place}[{index}]");
        if let Some(number) = loose::number(value, &place)? {
            let day: u32 = within(number, range.clone(), place)?;
            days |= 1 << day;
        }
    }
    if days == 0 {
        return Err(Fault::missing(place, "give the days: 0-6 from Sunday on, or days of the month"));
    }
    Ok(days)
}

/// `dayTimes`, or `DayTimes` as a published client spells it.
fn times(given: &Members<'_>) -> Result<Vec<Time>, Fault> {
    let mut times = Vec::new();
    for member in ["dayTimes", "DayTimes"] {
        for (index, value) in given.list(member)?.iter().enumerate() {
            let place = || format!("{}[{index}]", given.place(member));
            let Some(text) = loose::text(value, &place)? else { continue };
            let time = time_of(text.trim());
            times.push(time.ok_or_else(|| wrong(format!("{} is {}, write it as HH:MM:SS", place(), excerpt(&text))))?);
        }
    }
    if times.is_empty() {
        return Err(Fault::missing(given.place("dayTimes"), "give the times of the day, as HH:MM:SS"));
    }
    times.sort_unstable();
    times.dedup();
    Ok(times)
}
