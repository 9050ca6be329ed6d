//! Device days: how many devices an app got, lost and saw on a day. Changed once for each call, chunk of an import or
//! group of reports, in its transaction.

use pigeonloft_model::{AccessId, Day, Days};
use rusqlite::{Connection, params};

use crate::Store;
use crate::error::Result;

/// How the counts of a day change.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct DeviceChange {
    /// Devices that did not exist.
    pub(crate) added: u64,
    /// Devices seen on this day for the first time.
    pub(crate) active: u64,
    /// Devices deleted.
    pub(crate) deleted: u64,
}

impl DeviceChange {
    pub(crate) fn apply(self, tx: &Connection, app: AccessId, day: i64) -> Result<()> {
        let Self { added, active, deleted } = self;
        if added + active + deleted == 0 {
            return Ok(());
        }
        tx.prepare_cached(
            "INSERT INTO device_day (access_id, day, added, active, devices) VALUES (?1, ?2, ?3, ?4, ?3 - ?5)
             ON CONFLICT DO UPDATE SET added = added + excluded.added, active = active + excluded.active,
                devices = devices + excluded.devices",
        )?
        .execute(params![app.0, day, added, active, deleted])?;
        Ok(())
    }
}

/// The devices of an app on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceDay {
    /// The day.
    pub day: Day,
    /// Devices there were at its end, or are by now.
    pub devices: u64,
    /// Devices registered or imported on it.
    pub added: u64,
    /// Devices that registered, said something of themselves, or whose session began, on it: each counts once.
    pub active: u64,
}

impl Store {
    /// The devices of an app on each of these days that has begun by `today`, in their order.
    ///
    /// # Errors
    /// The database's.
    pub async fn device_days(&self, access_id: AccessId, days: Days, today: Day) -> Result<Vec<DeviceDay>> {
        self.read(move |connection| {
            let mut devices: i64 = connection
                .prepare_cached("SELECT coalesce(sum(devices), 0) FROM device_day WHERE access_id = ?1 AND day < ?2")?
                .query_row(params![access_id.0, days.first.0], |row| row.get(0))?;
            let mut statement = connection.prepare_cached(
                "SELECT day, added, active, devices FROM device_day WHERE access_id = ?1 AND day BETWEEN ?2 AND ?3
                 ORDER BY day",
            )?;
            let changes = statement
                .query_map(params![access_id.0, days.first.0, days.last.0], |row| {
                    Ok((Day(row.get(0)?), row.get(1)?, row.get(2)?, row.get::<_, i64>(3)?))
                })?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let mut changes = changes.into_iter().peekable();
            let each = days.until(today).map(|day| {
                let (_, added, active, change) = changes.next_if(|change| change.0 == day).unwrap_or((day, 0, 0, 0));
                devices += change;
                DeviceDay { day, devices: u64::try_from(devices).unwrap_or(0), added, active }
            });
            Ok(each.collect())
        })
        .await
    }
}
