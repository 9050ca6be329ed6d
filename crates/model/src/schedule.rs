//! Schedule: when a push starts and how long it is kept. Time is passed in, as unix seconds; the wall clock of a call
//! is read in the zone the operator configured.

use serde::{Deserialize, Serialize};

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
