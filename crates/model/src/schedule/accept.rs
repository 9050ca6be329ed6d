//! Accept minutes: the parts of a day in which a message may go to a device, made of a message's `accept_time`.

use crate::message::{AcceptTime, TimeOfDay};

const MINUTES: u16 = 24 * 60;

/// The minutes of each day in which a message may go to a device: not all of them, and at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptMinutes(Vec<(u16, u16)>);

impl AcceptMinutes {
    /// What these parts of the day come to together. `None`: at any time, as where there are none.
    ///
    /// A part begins with the minute of its start and ends before that of its end. An end before the start passes
    /// midnight; an end that is the start is the whole day.
    #[must_use]
    pub fn of(parts: &[AcceptTime]) -> Option<Self> {
        let minute = |time: TimeOfDay| u16::from(time.hour) * 60 + u16::from(time.min);
        // Parts may overlap, and touch at midnight: on a map of the day none of that matters.
        let mut open = [false; MINUTES as usize];
        for part in parts {
            let (start, end) = (minute(part.start), minute(part.end));
            let length = (end + MINUTES - start) % MINUTES;
            for at in 0..if length == 0 { MINUTES } else { length } {
                open[usize::from((start + at) % MINUTES)] = true;
            }
        }
        let is_open = |minute: u16| open[usize::from(minute % MINUTES)];
        let starts = (0..MINUTES).filter(|&minute| is_open(minute) && !is_open(minute + MINUTES - 1));
        let until = |start: u16| (start..start + MINUTES).find(|&minute| !is_open(minute)).unwrap_or(start + MINUTES);
        let spans: Vec<(u16, u16)> = starts.map(|start| (start, until(start))).collect();
        Some(Self(spans)).filter(|spans| !spans.0.is_empty())
    }

    /// The parts, rising: the minute of the day with which each begins, 0–1439, and the one before which it ends,
    /// 1–2878; from 1440 on that is one of the next day. No two touch.
    #[must_use]
    pub fn spans(&self) -> &[(u16, u16)] {
        &self.0
    }

    /// Whether a minute of the day, 0–1439, is one of them.
    #[must_use]
    pub fn contains(&self, minute: u16) -> bool {
        self.0.iter().any(|(start, end)| (*start..*end).contains(&minute) || minute + MINUTES < *end)
    }
}
