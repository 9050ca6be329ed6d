//! Scheduled pushes: taking one back before its time.

use pigeonloft_model::{AccessId, PushId, PushState};
use rusqlite::{OptionalExtension, params};

use crate::error::{Error, Result};
use crate::{Store, now_ms};

/// What became of a push that was to be cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// It will not start.
    Done,
    /// So it was before.
    Already,
    /// It does not wait for its time (any more), but stands here.
    Not(PushState),
    /// The app has no such push.
    Unknown,
}

impl Store {
    /// Cancels a push that waits for its time: it will not start. Its start is noted by one statement and its end by
    /// this one, so that of the two only one happens.
    ///
    /// # Errors
    /// The database's.
    pub async fn cancel_push(&self, access_id: AccessId, push_id: PushId) -> Result<Cancelled> {
        self.write(move |tx| {
            let cancelled = tx
                .prepare_cached(
                    "UPDATE push SET state = ?3, finished_at = ?4
                     WHERE push_id = ?1 AND access_id = ?2 AND state = ?5 AND started_at IS NULL",
                )?
                .execute(params![
                    push_id.0,
                    access_id.0,
                    PushState::Canceled.code(),
                    now_ms(),
                    PushState::Wait.code()
                ])?;
            if cancelled > 0 {
                return Ok(Cancelled::Done);
            }
            let state: Option<i64> = tx
                .prepare_cached("SELECT state FROM push WHERE push_id = ?1 AND access_id = ?2 AND takes_back IS NULL")?
                .query_row(params![push_id.0, access_id.0], |row| row.get(0))
                .optional()?;
            match state.map(PushState::try_from) {
                None => Ok(Cancelled::Unknown),
                Some(Ok(PushState::Canceled)) => Ok(Cancelled::Already),
                Some(Ok(state)) => Ok(Cancelled::Not(state)),
                Some(Err(_)) => Err(Error::Corrupt {
                    what: "push state",
                    value: state.map(|it| it.to_string()).unwrap_or_default(),
                }),
            }
        })
        .await
    }
}
