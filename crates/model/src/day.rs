//! Days of the calendar: how calls write them, and how far back statistics are asked for. When a day begins is the
//! [`Zone`]'s business.

use jiff::ToSpan;
use jiff::civil::Date;

use crate::loose::Members;
use crate::ret::{Fault, RetCode, excerpt};
use crate::schedule::Zone;

const FIRST: Date = Date::constant(1970, 1, 1);

/// A day, counted from 1970-01-01, which is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i64);

/// How a day is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DayFormat {
    /// `YYYY-MM-DD`
    Dashed,
    /// `YYYYMMDD`
    Compact,
}

impl DayFormat {
    const fn name(self) -> &'static str {
        match self {
            Self::Dashed => "YYYY-MM-DD",
            Self::Compact => "YYYYMMDD",
        }
    }

    const fn pattern(self) -> &'static str {
        match self {
            Self::Dashed => "%Y-%m-%d",
            Self::Compact => "%Y%m%d",
        }
    }
}

impl Day {
    /// The day a moment (unix seconds) lies on.
    #[must_use]
    pub fn of(unix: i64, zone: Zone) -> Self {
        Self(zone.day_number(unix.saturating_mul(1000)))
    }

    /// Reads a day. `None`: it is written otherwise, or there is no such day.
    #[must_use]
    pub fn parse(text: &str, format: DayFormat) -> Option<Self> {
        let places = match format {
            DayFormat::Dashed => ["####-##-##".len(), 5, 8],
            DayFormat::Compact => ["########".len(), 4, 6],
        };
        let dashes = if format == DayFormat::Dashed { 2 } else { 0 };
        let digits = text.bytes().filter(u8::is_ascii_digit).count();
        if text.len() != places[0] || digits != places[0] - dashes {
            return None;
        }
        let date = Date::strptime(format.pattern(), text).ok()?;
        Some(Self(i64::from(FIRST.until(date).ok()?.get_days())))
    }

    /// The day as text. A day no calendar reaches is written as the first of all.
    #[must_use]
    pub fn text(self, format: DayFormat) -> String {
        let span = 1.day().checked_mul(self.0).ok();
        let date = span.and_then(|span| FIRST.checked_add(span).ok()).unwrap_or(FIRST);
        date.strftime(format.pattern()).to_string()
    }
}

/// Days one after the other, both ends included, as a call names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days {
    /// The first.
    pub first: Day,
    /// The last, not before the first.
    pub last: Day,
    /// How the call wrote them; answers do, too.
    pub format: DayFormat,
}

/// How a call names days, and how far back the first may lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    /// The formats it may use.
    pub(crate) formats: &'static [DayFormat],
    /// Days before today.
    pub(crate) days: i64,
}

impl Days {
    /// Reads `startDate` and `endDate`, of which both or none are given.
    ///
    /// # Errors
    /// Only one (1008002); none that can be read, the end before the start, or a start beyond the window (1008016).
    pub(crate) fn read(given: &Members<'_>, window: Window, today: Day) -> Result<Option<Self>, Fault> {
        let (start, end) = match (given.text("startDate")?, given.text("endDate")?) {
            (None, None) => return Ok(None),
            (Some(_), None) => return Err(Fault::missing("endDate", "give it beside startDate")),
            (None, Some(_)) => return Err(Fault::missing("startDate", "give it beside endDate")),
            (Some(start), Some(end)) => (start, end),
        };
        let (first, format) = day("startDate", &start, window.formats)?;
        let (last, _) = day("endDate", &end, window.formats)?;
        if last < first {
            return Err(Fault::new(RetCode::WrongDate, "endDate lies before startDate: swap them"));
        }
        let earliest = Day(today.0 - window.days);
        if first < earliest {
            let (days, earliest) = (window.days, earliest.text(format));
            let text =
                format!("startDate is {start}, this call answers for the last {days} days: give {earliest} or later");
            return Err(Fault::new(RetCode::WrongDate, text));
        }
        Ok(Some(Self { first, last, format }))
    }

    /// Each of them that has begun, in their order.
    pub fn until(self, today: Day) -> impl Iterator<Item = Day> {
        (self.first.0..=self.last.0.min(today.0)).map(Day)
    }
}

fn day(member: &str, text: &str, formats: &[DayFormat]) -> Result<(Day, DayFormat), Fault> {
    let read = |format: &DayFormat| Some((Day::parse(text.trim(), *format)?, *format));
    formats.iter().find_map(read).ok_or_else(|| {
        let formats: Vec<_> = formats.iter().map(|format| format.name()).collect();
        let text = format!("{member} is {}, write it as {}", excerpt(text), formats.join(" or "));
        Fault::new(RetCode::WrongDate, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_read_as_it_is_written() {
        for number in [-1, 0, 11_016, 19_676, 20_778] {
            for format in [DayFormat::Dashed, DayFormat::Compact] {
                assert_eq!(Day::parse(&Day(number).text(format), format), Some(Day(number)));
            }
        }
        assert_eq!(Day(19_676).text(DayFormat::Dashed), "2023-11-15");
        assert_eq!(Day(19_676).text(DayFormat::Compact), "20231115");
        for text in ["2023-02-29", "2023-13-01", "2023-1-01", "20231115", "2023-11-1 ", "2023-11-15 0", ""] {
            assert_eq!(Day::parse(text, DayFormat::Dashed), None, "{text}");
        }
        for text in ["20230229", "2023-11-15", "2023111", "202311150", " 2023111", "+2023111"] {
            assert_eq!(Day::parse(text, DayFormat::Compact), None, "{text}");
        }
    }

    #[test]
    fn a_moment_lies_on_a_day_of_its_zone() {
        let midnight_in_china = 1_699_977_600;
        assert_eq!(Day::of(midnight_in_china, Zone::CHINA), Day(19_676));
        assert_eq!(Day::of(midnight_in_china - 1, Zone::CHINA), Day(19_675));
    }
}
