//! Doctor: looks for what must not be in a database, and mends what can be mended without a guess.
//!
//! Nobody else may use the database meanwhile but a command that writes in transactions of its own. What a finding
//! means to an operator, and the files beside the database, are the command line's. Memory is bounded: everything is
//! walked in the order of its key.

mod channels;
mod dangling;
mod days;
mod early;
mod inbox;
mod pushes;
mod tags;

use std::path::Path;

use pigeonloft_model::{PushId, UploadId};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, params};

pub use dangling::Dangling;
pub use days::WrongDays;
pub use early::StrayReceipts;
pub use inbox::StrayInbox;
pub use pushes::PushTrouble;
pub use tags::WrongTags;

use crate::error::{Error, Result};
use crate::packages::Package;
use crate::{DATABASE_FILE, packages, schema, tune};

/// Damages told at most: the first ones say whether it is one page or all of them.
const DAMAGES_TOLD: u32 = 10;

/// Pages held in memory, KiB: rows are looked up in other orders than they lie in.
const CACHE_KIB: i64 = 64 << 10;

/// Pushes named at most where several are meant.
const PUSHES_NAMED: u32 = 10;

/// How SQLite says that an index is not what its table says. Everything else it finds is damage of the tables.
const INDEX_DAMAGE: [&str; 5] = [
    "missing from index",
    "wrong # of entries in index",
    "non-unique entry in index",
    "values differ from index",
    "rowid not at end-of-record for row",
];

/// A database under examination.
#[derive(Debug)]
pub struct Doctor {
    connection: Connection,
    mend: bool,
}

/// What SQLite finds when it reads every page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Integrity {
    /// The database is whole.
    Whole,
    /// Indexes were damaged, and were made anew from their tables.
    IndexesMended(Vec<String>),
    /// Indexes are damaged, their tables are whole: they can be made anew.
    IndexesDamaged(Vec<String>),
    /// The tables themselves are damaged: their rows cannot be trusted.
    Damaged(Vec<String>),
}

/// What brings the schema to the version that this program knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// It is there already.
    Current(i64),
    /// It was brought there from this version.
    Migrated(i64),
    /// An older version, which the next start of the server brings there; the rest can only be looked at after that.
    Older(i64),
    /// There are no tables at all: whatever this database was, it is gone.
    Empty,
}

impl Doctor {
    /// Opens the database of a data folder, which must be there. Without `mend` nothing in it is changed, whatever is
    /// called.
    ///
    /// # Errors
    /// It cannot be opened, or [is damaged](Error::is_damage).
    pub fn open(data_dir: &Path, mend: bool) -> Result<Self> {
        let path = data_dir.join(DATABASE_FILE);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection =
            Connection::open_with_flags(&path, flags).map_err(|source| Error::Open { path: path.clone(), source })?;
        tune(&mut connection)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        // What is looked for may be many rows: they are sorted and remembered on disk.
        connection.pragma_update(None, "temp_store", "FILE")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        if !mend {
            connection.pragma_update(None, "query_only", true)?;
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        }
        Ok(Self { connection, mend })
    }

    /// Reads every page and compares every index with its table. Indexes are made anew where only they are damaged.
    ///
    /// # Errors
    /// The database's; where it [is damaged](Error::is_damage) so that not even this can be said.
    pub fn integrity(&self) -> Result<Integrity> {
        let damages = self.damages()?;
        if damages.is_empty() {
            return Ok(Integrity::Whole);
        }
        let of_index = |damage: &String| INDEX_DAMAGE.iter().any(|sign| damage.contains(sign));
        if !damages.iter().all(of_index) {
            return Ok(Integrity::Damaged(damages));
        }
        if !self.mend {
            return Ok(Integrity::IndexesDamaged(damages));
        }
        // Rows that must differ and do not keep their index from being made: the tables are damaged, too.
        let mended = self.connection.execute_batch("REINDEX").is_ok() && self.damages()?.is_empty();
        Ok(if mended { Integrity::IndexesMended(damages) } else { Integrity::Damaged(damages) })
    }

    fn damages(&self) -> Result<Vec<String>> {
        let found =
            self.connection.prepare(&format!("PRAGMA integrity_check({DAMAGES_TOLD})")).and_then(|mut check| {
                let lines = check.query_map([], |row| row.get::<_, String>(0))?;
                lines.collect::<rusqlite::Result<Vec<_>>>()
            });
        let lines = found.map_err(Error::from)?;
        Ok(lines.iter().flat_map(|line| line.lines()).filter(|line| *line != "ok").map(str::to_owned).collect())
    }

    /// Brings the schema up to date, where it mends.
    ///
    /// # Errors
    /// A newer version of the program wrote the file, or the database's.
    pub fn schema(&mut self) -> Result<Schema> {
        let found: i64 = self.connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        let known = schema::VERSION as i64;
        if found == 0 {
            return Ok(Schema::Empty);
        }
        if found < known && !self.mend {
            return Ok(Schema::Older(found));
        }
        if found == known {
            return Ok(Schema::Current(found));
        }
        schema::migrate(&mut self.connection)?;
        Ok(Schema::Migrated(found))
    }

    /// Packages of all apps, by their ids: at most `limit` after `after`.
    ///
    /// # Errors
    /// The database's.
    pub fn packages(&self, after: UploadId, limit: u32) -> Result<Vec<Package>> {
        packages::of_all_apps(&self.connection, after, limit)
    }

    /// Whether a package of any app is stored under this name.
    ///
    /// # Errors
    /// The database's.
    pub fn is_stored(&self, stored_as: &str) -> Result<bool> {
        packages::is_stored(&self.connection, stored_as)
    }

    /// Some of the unfinished pushes that read a package.
    ///
    /// # Errors
    /// The database's.
    pub fn unfinished_pushes_to(&self, package: UploadId) -> Result<Vec<PushId>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT push_id FROM push WHERE upload_id = ?1 AND finished_at IS NULL ORDER BY push_id LIMIT ?2",
        )?;
        let pushes = statement.query_map(params![package.0, PUSHES_NAMED], |row| row.get(0).map(PushId))?;
        Ok(pushes.collect::<rusqlite::Result<_>>()?)
    }

    /// Runs `work` as one transaction, which is kept where the doctor mends.
    fn transaction<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let transaction = self.connection.unchecked_transaction()?;
        let done = work(&transaction)?;
        transaction.commit()?;
        Ok(done)
    }
}
