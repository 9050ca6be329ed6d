//! Records: the pushes of an app by the days on which they start. How many there are is known from counts, and which
//! from an index alone, so that days with millions of pushes are passed over, not read.

use pigeonloft_model::{AccessId, AudienceKind, Day, Days, DeviceId, MessageType, PushId};
use rusqlite::{Connection, params};

use crate::Store;
use crate::error::Result;
use crate::pushes::{COLUMNS, Push, from_row};

/// Which of an app's pushes are asked for.
#[derive(Debug, Clone, Copy)]
pub struct PushFilter {
    /// Those that start on these days.
    pub days: Days,
    /// Only of this type.
    pub message_type: Option<MessageType>,
    /// Only to an audience of this kind.
    pub audience: Option<AudienceKind>,
}

/// A push that was for a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PushToDevice {
    /// Its id.
    pub push_id: PushId,
    /// When it started or was to, unix seconds.
    pub start_at: i64,
    /// The kind of its audience.
    pub audience: AudienceKind,
}

/// Pushes of a day that are looked at for those of one device. No index leads from a device to its pushes, since it would
/// cost every push; each of these costs a look-up by key.
pub const PUSHES_LOOKED_AT: u32 = 100_000;

/// How many pushes pass the filter on each day that has any, the last day first.
fn counts(connection: &Connection, app: AccessId, filter: &PushFilter) -> Result<Vec<(Day, u64)>> {
    let mut statement = connection.prepare_cached(
        "SELECT day, sum(pushes) FROM push_count WHERE access_id = ?1 AND day BETWEEN ?2 AND ?3
            AND (?4 IS NULL OR message_type = ?4) AND (?5 IS NULL OR audience = ?5) GROUP BY day ORDER BY day DESC",
    )?;
    let days = filter.days;
    let (message_type, audience) =
        (filter.message_type.map(MessageType::code), filter.audience.map(AudienceKind::code));
    let counts = statement.query_map(params![app.0, days.first.0, days.last.0, message_type, audience], |row| {
        Ok((Day(row.get(0)?), row.get(1)?))
    })?;
    Ok(counts.collect::<rusqlite::Result<_>>()?)
}

impl Store {
    /// The app's pushes that pass the filter, latest first by day and then by id: at most `limit` beyond the first
    /// `offset`. And how many pass in all.
    ///
    /// # Errors
    /// The database's.
    pub async fn pushes(
        &self,
        access_id: AccessId,
        filter: PushFilter,
        offset: u32,
        limit: u32,
    ) -> Result<(Vec<Push>, u64)> {
        self.read(move |connection| {
            let counts = counts(connection, access_id, &filter)?;
            let sql = format!(
                "SELECT {COLUMNS} FROM push WHERE push_id IN (
                    SELECT push_id FROM push INDEXED BY push_by_day WHERE access_id = ?1 AND day = ?2
                        AND (?3 IS NULL OR message_type = ?3) AND (?4 IS NULL OR audience = ?4)
                    ORDER BY push_id DESC LIMIT ?5 OFFSET ?6)
                 ORDER BY push_id DESC"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let message_type = filter.message_type.map(MessageType::code);
            let audience = filter.audience.map(AudienceKind::code);
            let (mut pushes, mut skip) = (Vec::new(), u64::from(offset));
            for &(day, count) in &counts {
                let wanted = u64::from(limit) - pushes.len() as u64;
                if wanted == 0 {
                    break;
                }
                if skip >= count {
                    skip -= count;
                    continue;
                }
                let page = params![access_id.0, day.0, message_type, audience, wanted, skip];
                for push in statement.query_map(page, from_row)? {
                    pushes.push(push??);
                }
                skip = 0;
            }
            Ok((pushes, counts.iter().map(|(_, count)| count).sum()))
        })
        .await
    }

    /// The app's pushes of this day that have the device as a recipient, latest first: at most `limit`, among the latest
    /// [`PUSHES_LOOKED_AT`] of that day.
    ///
    /// # Errors
    /// The database's.
    pub async fn pushes_to_device(
        &self,
        access_id: AccessId,
        day: Day,
        device: DeviceId,
        limit: u32,
    ) -> Result<Vec<PushToDevice>> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT p.push_id, (SELECT start_at_s FROM push WHERE push_id = p.push_id), p.audience FROM (
                    SELECT push_id, audience FROM push INDEXED BY push_by_day WHERE access_id = ?1 AND day = ?2
                    ORDER BY push_id DESC LIMIT ?3) p
                 WHERE EXISTS (SELECT 1 FROM recipient r WHERE r.push_id = p.push_id AND r.device_id = ?4)
                 LIMIT ?5",
            )?;
            let pushes =
                statement.query_map(params![access_id.0, day.0, PUSHES_LOOKED_AT, device.0, limit], |row| {
                    let audience: i64 = row.get(2)?;
                    Ok((PushId(row.get(0)?), row.get(1)?, audience))
                })?;
            let mut found = Vec::new();
            for push in pushes {
                let (push_id, start_at, audience) = push?;
                let Ok(audience) = AudienceKind::try_from(audience) else {
                    return Err(crate::Error::Corrupt { what: "audience", value: audience.to_string() });
                };
                found.push(PushToDevice { push_id, start_at, audience });
            }
            Ok(found)
        })
        .await
    }
}
