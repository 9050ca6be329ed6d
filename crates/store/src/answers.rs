//! Answers: what a call was answered that its caller may repeat under a key of its own. An answer is kept in the transaction
//! of what the call made, so that a repeat finds both or neither, and the first of two at once decides.

use pigeonloft_model::AccessId;
use rusqlite::{Connection, OptionalExtension, params};

use crate::error::Result;
use crate::writer::Tx;
use crate::{Store, now_ms};

/// Calls whose answers are kept; the same key means another thing in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeatable {
    /// A push.
    Push,
    /// The upload of a package.
    Upload,
}

impl Repeatable {
    fn code(self) -> i64 {
        match self {
            Self::Push => 0,
            Self::Upload => 1,
        }
    }
}

/// Under what the answer of a call is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerKey {
    /// The app that calls.
    pub access_id: AccessId,
    /// Which call.
    pub call: Repeatable,
    /// As the caller gave it.
    pub key: String,
    /// An older answer is none, unix milliseconds.
    pub not_before: i64,
}

/// A call under its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Under what its answer is kept.
    pub key: AnswerKey,
    /// SHA-256 of what was asked.
    pub what: [u8; 32],
}

/// An answer that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// SHA-256 of what was asked.
    pub what: [u8; 32],
    /// As the caller of the store wrote it.
    pub answer: String,
    /// When it was given, unix milliseconds.
    pub given_at: i64,
}

/// What became of a call that may be a repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Once<T> {
    /// It was done now.
    Now(T),
    /// One with its key was done before: nothing was done now.
    Before(KeptAnswer),
}

fn find(connection: &Connection, of: &AnswerKey) -> Result<Option<KeptAnswer>> {
    let mut statement = connection.prepare_cached(
        "SELECT asked, answer, given_at FROM kept_answer
         WHERE access_id = ?1 AND call = ?2 AND key = ?3 AND given_at >= ?4",
    )?;
    let found = statement.query_row(params![of.access_id.0, of.call.code(), of.key, of.not_before], |row| {
        Ok(KeptAnswer { what: row.get(0)?, answer: row.get(1)?, given_at: row.get(2)? })
    });
    Ok(found.optional()?)
}

fn keep(tx: Tx<'_>, asked: &Asked, answer: &str) -> Result<()> {
    let of = &asked.key;
    // One that is too old may still be there.
    tx.prepare_cached(
        "INSERT OR REPLACE INTO kept_answer (access_id, call, key, asked, answer, given_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![of.access_id.0, of.call.code(), of.key, asked.what, answer, now_ms()])?;
    Ok(())
}

impl Store {
    /// Does this, unless an answer is kept under the key; `answer` says what is to be kept of what was done, `None` where
    /// nothing was.
    ///
    /// # Errors
    /// Those of `work`, or the database's: nothing is done or kept then.
    pub(crate) async fn once<T: Send + 'static>(
        &self,
        asked: Asked,
        work: impl FnOnce(Tx<'_>) -> Result<T> + Send + 'static,
        answer: impl FnOnce(&T) -> Option<String> + Send + 'static,
    ) -> Result<Once<T>> {
        self.write(move |tx| {
            if let Some(kept) = find(tx, &asked.key)? {
                return Ok(Once::Before(kept));
            }
            let done = work(tx)?;
            if let Some(answer) = answer(&done) {
                keep(tx, &asked, &answer)?;
            }
            Ok(Once::Now(done))
        })
        .await
    }

    /// What is kept under this key.
    ///
    /// # Errors
    /// The database's.
    pub async fn kept_answer(&self, of: AnswerKey) -> Result<Option<KeptAnswer>> {
        self.read(move |connection| find(connection, &of)).await
    }

    /// Forgets up to `limit` answers given before this time, unix milliseconds. Answers how many.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_answers(&self, before: i64, limit: u32) -> Result<u64> {
        self.write(move |tx| {
            let forgotten = tx
                .prepare_cached(
                    "DELETE FROM kept_answer WHERE (access_id, call, key) IN
                        (SELECT access_id, call, key FROM kept_answer WHERE given_at < ?1 ORDER BY given_at LIMIT ?2)",
                )?
                .execute(params![before, limit])?;
            Ok(forgotten as u64)
        })
        .await
    }
}
