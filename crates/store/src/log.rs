//! The log's room: the write-ahead log is as long from the start as it gets in daily use.
//!
//! SQLite begins at the front of its log again once what is in it is in the database file, and overwrites what is there.
//! A commit that overwrites waits for its own bytes alone. One that makes the file longer waits for the file system's
//! journal as well, and with it for whatever else is being written: eight uploads, say. So the log is filled with zeros
//! before it is needed; SQLite reads it as far as there are frames, and zeros are none.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::Store;

/// Bytes the log has at least. SQLite begins at its front again after 1000 pages of 4 KiB; what the commit that reaches
/// them writes beyond comes on top.
const LOG_BYTES: u64 = 6 << 20;

/// Zeros written at a time.
const STEP_BYTES: usize = 64 << 10;

impl Store {
    /// Makes the log long enough for daily use, which takes milliseconds; for a server, before it answers anybody. The log
    /// goes when the last connection is closed, and with it its room. Without room on the disk nothing is wrong but that
    /// commits take longer beside uploads.
    ///
    /// # Errors
    /// The system's.
    pub fn lengthen_log(&self) -> io::Result<()> {
        // Another process may be writing to the log: what is appended lies behind all that is there.
        let mut log = OpenOptions::new().append(true).open(log_of(&self.path))?;
        let mut missing = LOG_BYTES.saturating_sub(log.metadata()?.len());
        if missing == 0 {
            return Ok(());
        }
        let zeros = [0; STEP_BYTES];
        while missing > 0 {
            let step = missing.min(STEP_BYTES as u64);
            log.write_all(&zeros[..step as usize])?;
            missing -= step;
        }
        log.sync_all()
    }
}

/// The log of the database at `path`.
pub(crate) fn log_of(path: &Path) -> PathBuf {
    path.with_extension("db-wal")
}
