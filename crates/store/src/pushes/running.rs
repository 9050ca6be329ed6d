//! Pushes that are to run, or do: which are due, where each stands, its start and its end.

use std::ops::RangeInclusive;

use pigeonloft_model::{AccessId, DeviceId, PushId, PushState};
use rusqlite::{OptionalExtension, Row, params};

use super::{COLUMNS, Push, from_row};
use crate::batches::{Cursor, Within};
use crate::early;
use crate::error::Result;
use crate::readers::push_array;
use crate::stops::MAY_RUN;
use crate::{Store, now_ms, revocations};

/// A push, with where it stands and the file of its package.
#[derive(Debug, Clone)]
pub struct Started {
    /// The push.
    pub push: Push,
    /// Where it stands.
    pub cursor: Cursor,
    /// Name of the package's file, if it has a package.
    pub stored_as: Option<String>,
    /// Name of the file of the package whose devices are left out, if there is one.
    pub exclude_stored_as: Option<String>,
    /// The device that is the first row, if each row is a device id.
    pub first_device: Option<DeviceId>,
    /// Of a revocation: the push that it takes back.
    pub takes_back: Option<PushId>,
}

/// From when on a push that is not finished is due: one that does not wait for its time (any more) always is, also when
/// the clock is set back behind it. As the index `push_unfinished` has it.
pub(crate) const DUE_FROM: &str = "CASE WHEN state = 1 THEN start_at_s ELSE 0 END";

const WITH_CURSOR: &str = ", window_row, window_end, window_device,
    (SELECT p.stored_as FROM package p WHERE p.upload_id = push.upload_id),
    (SELECT p.stored_as FROM package p WHERE p.upload_id = push.exclude_upload_id), first_device, takes_back";

fn started(row: &Row<'_>) -> rusqlite::Result<Result<Started>> {
    let push = match from_row(row)? {
        Ok(push) => push,
        Err(corrupt) => return Ok(Err(corrupt)),
    };
    let within = match (row.get(34)?, row.get(35)?) {
        (Some(end), Some(device)) => Some(Within { end, device: DeviceId(device) }),
        _ => None,
    };
    Ok(Ok(Started {
        push,
        cursor: Cursor { row: row.get(33)?, within },
        stored_as: row.get(36)?,
        exclude_stored_as: row.get(37)?,
        first_device: row.get::<_, Option<i64>>(38)?.map(DeviceId),
        takes_back: row.get::<_, Option<i64>>(39)?.map(PushId),
    }))
}

impl Store {
    /// The app's push of this id, with where it stands and the file of its package.
    ///
    /// # Errors
    /// The database's.
    pub async fn push_with_cursor(&self, access_id: AccessId, push_id: PushId) -> Result<Option<Started>> {
        self.read(move |connection| {
            let sql = format!(
                "SELECT {COLUMNS} {WITH_CURSOR} FROM push
                 WHERE push_id = ?1 AND access_id = ?2 AND takes_back IS NULL"
            );
            connection.prepare_cached(&sql)?.query_row(params![push_id.0, access_id.0], started).optional()?.transpose()
        })
        .await
    }

    /// Pushes to so many rows that are due and not finished, oldest first, without those in `running`, and without those
    /// that [take the place](Store::replace) of one, or [take it back](Store::revoke_push), which is not over.
    ///
    /// # Errors
    /// The database's.
    pub async fn due_pushes(
        &self,
        now: i64,
        rows: RangeInclusive<u64>,
        running: Vec<PushId>,
        limit: u32,
    ) -> Result<Vec<PushId>> {
        // SQLite has no unsigned numbers; no audience comes near the end of the signed ones.
        let [least, most] = [*rows.start(), *rows.end()].map(|rows| i64::try_from(rows).unwrap_or(i64::MAX));
        self.read(move |connection| {
            let running = push_array(&running);
            let mut statement = connection.prepare_cached(&format!(
                "SELECT push_id FROM push WHERE finished_at IS NULL AND {DUE_FROM} <= ?1
                 AND audience_rows BETWEEN ?2 AND ?3
                 AND push_id NOT IN (SELECT value FROM rarray(?4)) AND {MAY_RUN} ORDER BY push_id LIMIT ?5",
            ))?;
            let due = statement.query_map(params![now, least, most, running, limit], |row| row.get(0).map(PushId))?;
            Ok(due.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// How many pushes are not finished, those that are not due yet among them.
    ///
    /// # Errors
    /// The database's.
    pub async fn unfinished(&self) -> Result<u64> {
        self.read(|connection| {
            let sql = "SELECT count(*) FROM push WHERE finished_at IS NULL";
            Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
        })
        .await
    }

    /// Since when the oldest push that is due and not finished has been due, unix seconds.
    ///
    /// # Errors
    /// The database's.
    pub async fn oldest_due(&self, now: i64) -> Result<Option<i64>> {
        self.read(move |connection| {
            let sql = format!("SELECT min(start_at_s) FROM push WHERE finished_at IS NULL AND {DUE_FROM} <= ?1");
            Ok(connection.prepare_cached(&sql)?.query_row([now], |row| row.get(0))?)
        })
        .await
    }

    /// A push that is to be run, without noting that it starts: its first batch does. `None` if it is finished already.
    ///
    /// # Errors
    /// The database's.
    pub async fn unfinished_push(&self, push_id: PushId) -> Result<Option<Started>> {
        self.read(move |connection| {
            let sql = format!("SELECT {COLUMNS} {WITH_CURSOR} FROM push WHERE push_id = ?1 AND finished_at IS NULL");
            connection.prepare_cached(&sql)?.query_row([push_id.0], started).optional()?.transpose()
        })
        .await
    }

    /// Notes that a push starts, unless it did before. `None` if it is finished already. One that waited for its time,
    /// and whose audience has no rows, is for the devices that there are now.
    ///
    /// # Errors
    /// The database's.
    pub async fn start_push(&self, push_id: PushId) -> Result<Option<Started>> {
        self.write(move |tx| {
            tx.prepare_cached(
                "UPDATE push SET first_device = span.first, audience_rows = span.last - span.first + 1
                 FROM (SELECT
                    (SELECT min(device_id) FROM device INDEXED BY device_of_app
                     WHERE access_id = (SELECT access_id FROM push WHERE push_id = ?1)) AS first,
                    (SELECT max(device_id) FROM device INDEXED BY device_of_app
                     WHERE access_id = (SELECT access_id FROM push WHERE push_id = ?1)) AS last) AS span
                 WHERE push_id = ?1 AND state = ?2 AND first_device IS NOT NULL AND span.first IS NOT NULL",
            )?
            .execute(params![push_id.0, PushState::Wait.code()])?;
            let sql = format!(
                "UPDATE push SET state = CASE WHEN stopped_at IS NULL THEN ?2 ELSE state END,
                    started_at = coalesce(started_at, ?3)
                 WHERE push_id = ?1 AND finished_at IS NULL RETURNING {COLUMNS} {WITH_CURSOR}"
            );
            tx.prepare_cached(&sql)?
                .query_row(params![push_id.0, PushState::Started.code(), now_ms()], started)
                .optional()?
                .transpose()
        })
        .await
    }

    /// Ends a push by itself, without a last batch: its audience is dealt with, or it is stopped, or it cannot go on for
    /// this reason.
    ///
    /// # Errors
    /// The database's.
    pub async fn finish_push(&self, push_id: PushId, failure: Option<String>) -> Result<()> {
        self.write(move |tx| {
            let state = if failure.is_some() { PushState::Failed } else { PushState::Finished };
            tx.prepare_cached(
                "UPDATE push SET state = CASE WHEN stopped_at IS NULL THEN ?2 ELSE state END, finished_at = ?3, failure = ?4
                 WHERE push_id = ?1 AND finished_at IS NULL",
            )?
            .execute(params![push_id.0, state.code(), now_ms(), failure])?;
            early::forget(tx, push_id)?;
            revocations::has_ended(tx, push_id)
        })
        .await
    }
}
