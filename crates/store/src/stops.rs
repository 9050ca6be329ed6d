//! Stops: a push that is to reach nobody more. It is stopped, or [revoked](crate::revocations), or a later push of its line
//! takes its place.
//!
//! That it is stands in its row, and is the truth: from this commit on no inbox lists it, and its run, if there is one,
//! ends with the batches under way. What waits then goes in small bites, as what expires does; wherever the server is
//! killed, the next one goes on with it.

use pigeonloft_model::{AccessId, DeviceId, Outcome, PushId, PushState};
use rusqlite::{Connection, params};

use crate::error::Result;
use crate::pushes::DUE_FROM;
use crate::recipients::let_go;
use crate::{Store, now_ms};

/// Stops a push. Of the ways to stop it the one with the smaller number stays: a revoked push is not merely stopped, or
/// replaced, by what comes later. One that was cancelled or deleted keeps that. One that waits for its time ends at once;
/// any other when its run, or the next one, finds it stopped. Answers whether the app has it.
pub(crate) fn stop(tx: &Connection, access_id: AccessId, push_id: PushId, how: PushState) -> Result<bool> {
    let stopped = tx
        .prepare_cached(
            "UPDATE push SET stopped_at = coalesce(stopped_at, ?4),
                state = CASE WHEN state IN (?5, ?6) THEN state WHEN stopped_at IS NULL THEN ?3 ELSE min(state, ?3) END,
                finished_at = CASE WHEN finished_at IS NULL AND state = ?7 AND started_at IS NULL THEN ?4
                    ELSE finished_at END
             WHERE push_id = ?1 AND access_id = ?2 AND takes_back IS NULL",
        )?
        .execute(params![
            push_id.0,
            access_id.0,
            how.code(),
            now_ms(),
            PushState::Canceled.code(),
            PushState::Deleted.code(),
            PushState::Wait.code(),
        ])?;
    Ok(stopped > 0)
}

/// Whether a push may run as far as others are concerned, in SQL: it is to be ended, or those before it in its line
/// have, so that no batch of an earlier one can reach a device behind one of it; and so has the one that it takes back.
pub(crate) const MAY_RUN: &str = "(line IS NULL OR stopped_at IS NOT NULL OR NOT EXISTS (
    SELECT 1 FROM push before INDEXED BY push_of_line WHERE before.line = push.line AND before.push_id < push.push_id
        AND (before.finished_at IS NULL OR before.stopped_at IS NULL)))
    AND (takes_back IS NULL
        OR EXISTS (SELECT 1 FROM push taken WHERE taken.push_id = push.takes_back AND taken.finished_at IS NOT NULL))";

/// Pushes stopped at most by one call of [`Store::replace`].
const REPLACED_AT_ONCE: u32 = 1000;

impl Store {
    /// Stops pushes whose place a later one of their line takes, now that it is due at `now` (unix seconds). Answers
    /// which; of very many, the next call goes on.
    ///
    /// # Errors
    /// The database's.
    pub async fn replace(&self, now: i64) -> Result<Vec<PushId>> {
        let replaced = self
            .read(move |connection| {
                let mut statement = connection.prepare_cached(&format!(
                    "SELECT DISTINCT before.access_id, before.push_id FROM (
                        SELECT push_id, line FROM push INDEXED BY push_to_replace
                        WHERE {DUE_FROM} <= ?1 AND line IS NOT NULL AND finished_at IS NULL AND stopped_at IS NULL) AS next
                     CROSS JOIN push before INDEXED BY push_of_line
                        ON before.line = next.line AND before.push_id < next.push_id
                     WHERE (before.finished_at IS NULL OR before.stopped_at IS NULL) AND before.stopped_at IS NULL
                     ORDER BY before.push_id LIMIT ?2",
                ))?;
                let replaced = statement.query_map(params![now, REPLACED_AT_ONCE], |row| {
                    Ok((AccessId(row.get(0)?), PushId(row.get(1)?)))
                })?;
                Ok(replaced.collect::<rusqlite::Result<Vec<_>>>()?)
            })
            .await?;
        if replaced.is_empty() {
            return Ok(Vec::new());
        }
        self.write(move |tx| {
            for &(access_id, push_id) in &replaced {
                stop(tx, access_id, push_id, PushState::Collapsed)?;
            }
            Ok(replaced.into_iter().map(|(_, push_id)| push_id).collect())
        })
        .await
    }

    /// Stops a push: no device gets it any more. Stopping it again changes nothing. `false`: the app has no such push.
    ///
    /// # Errors
    /// The database's.
    pub async fn stop_push(&self, access_id: AccessId, push_id: PushId) -> Result<bool> {
        self.write(move |tx| stop(tx, access_id, push_id, PushState::Stopped)).await
    }

    /// Stopped pushes of which something waits: at most `limit`.
    ///
    /// # Errors
    /// The database's.
    pub async fn stopped_pushes(&self, limit: u32) -> Result<Vec<PushId>> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT push_id FROM push WHERE waiting > 0 AND stopped_at IS NOT NULL ORDER BY push_id LIMIT ?1",
            )?;
            let stopped = statement.query_map([limit], |row| row.get(0).map(PushId))?;
            Ok(stopped.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Lets recipients of a stopped push that still wait go, as [`Store::expire`] does.
    ///
    /// # Errors
    /// The database's.
    pub async fn stop_waiting(&self, push_id: PushId, after: Option<DeviceId>, limit: u32) -> Result<Vec<DeviceId>> {
        let_go(self, push_id, after, limit, Outcome::Stopped).await
    }
}
