//! What can go wrong with the database, told apart as far as a caller may act on it.

use std::path::PathBuf;

/// What every call of this crate answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A call of the store failed. Nothing of the call was kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database file could not be opened.
    #[error("cannot open the database {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// SQLite's reason.
        source: rusqlite::Error,
    },
    /// A newer version of the program wrote the file.
    #[error("the database has schema version {found}, this program knows {known}: run the newer program")]
    FromTheFuture {
        /// Version of the file.
        found: i64,
        /// Newest version this program knows.
        known: i64,
    },
    /// The disk is full.
    #[error("no space is left on the disk of the database")]
    Full,
    /// The database refused.
    #[error("database: {0}")]
    Database(rusqlite::Error),
    /// The commit that would have kept this call together with others failed.
    #[error("commit of a group of writes failed: {0}")]
    Commit(String),
    /// The store is closing.
    #[error("the store is closed")]
    Closed,
    /// The write panicked. Others go on.
    #[error("a fault of the program ended the write")]
    Panicked,
    /// A row holds what this program never writes.
    #[error("the database holds an unknown {what}: {value}")]
    Corrupt {
        /// Of which column.
        what: &'static str,
        /// What it holds.
        value: String,
    },
    /// An app with this AccessId exists.
    #[error("an app with AccessId {0} exists already")]
    AppExists(pigeonloft_model::AccessId),
    /// The push moved on since the caller looked at it.
    #[error("push {0} was recorded further than this batch: the batch is not recorded again")]
    CursorMoved(pigeonloft_model::PushId),
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full,
            _ => Self::Database(error),
        }
    }
}

impl Error {
    /// Whether the database file is damaged, or is none.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Open { source: error, .. } | Self::Database(error) if matches!(
            error.sqlite_error_code(),
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase)
        ))
    }

    /// Whether the same call may succeed later without any change: the disk was full or the database busy.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Full | Self::Commit(_) => true,
            Self::Database(error) => matches!(
                error.sqlite_error_code(),
                Some(
                    rusqlite::ErrorCode::DatabaseBusy
                        | rusqlite::ErrorCode::DatabaseLocked
                        | rusqlite::ErrorCode::SystemIoFailure
                        | rusqlite::ErrorCode::OutOfMemory
                )
            ),
            _ => false,
        }
    }
}
