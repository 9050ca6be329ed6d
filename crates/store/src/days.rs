//! Days: sums of all pushes of an app, a plan or a group that start on a day. The database keeps them itself: a trigger
//! changes them in the statement that changes the sums of a push.

use pigeonloft_model::{AccessId, Channel, Day, Days, Tally};
use rusqlite::params;

use crate::Store;
use crate::error::{Error, Result};

/// What is counted of the pushes of a day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    /// Recipients.
    pub targets: u64,
    /// Accepted by a channel, whatever came of it.
    pub sent: u64,
    /// Acknowledged by the device.
    pub arrived: u64,
    /// Receipts: shown.
    pub shown: u64,
    /// Receipts: clicked.
    pub clicked: u64,
    /// Receipts: cleared.
    pub cleared: u64,
}

/// The sums of a day on a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DaySums {
    /// The day on which the pushes start.
    pub day: Day,
    /// The channel.
    pub channel: Channel,
    /// The sums.
    pub sums: Sums,
}

/// How the table names what is counted.
fn key(tally: &Tally) -> String {
    match tally {
        Tally::App => String::new(),
        Tally::Plan(id) => format!("p{id}"),
        Tally::Group(id) => format!("g{id}"),
    }
}

impl Store {
    /// Sums of the app's pushes, or of those of a plan or group, that start on these days: one for each day and channel
    /// that has any, in the order of days.
    ///
    /// # Errors
    /// The database's.
    pub async fn day_sums(&self, access_id: AccessId, tally: Tally, days: Days) -> Result<Vec<DaySums>> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT day, channel, targets, sent, arrived, shown, clicked, cleared FROM push_day
                 WHERE access_id = ?1 AND tally = ?2 AND day BETWEEN ?3 AND ?4 ORDER BY day",
            )?;
            let found = statement.query_map(params![access_id.0, key(&tally), days.first.0, days.last.0], |row| {
                let sums = Sums {
                    targets: row.get(2)?,
                    sent: row.get(3)?,
                    arrived: row.get(4)?,
                    shown: row.get(5)?,
                    clicked: row.get(6)?,
                    cleared: row.get(7)?,
                };
                Ok((Day(row.get(0)?), row.get::<_, i64>(1)?, sums))
            })?;
            let mut of_days = Vec::new();
            for found in found {
                let (day, channel, sums) = found?;
                let Ok(channel) = Channel::try_from(channel) else {
                    return Err(Error::Corrupt { what: "channel", value: channel.to_string() });
                };
                of_days.push(DaySums { day, channel, sums });
            }
            Ok(of_days)
        })
        .await
    }
}
