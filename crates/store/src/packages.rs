//! Packages: the row of each uploaded file. The file itself is the package crate's, its folder the server's.

use pigeonloft_model::{AccessId, UploadId};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::answers::{Asked, Once};
use crate::error::Result;
use crate::writer::Tx;
use crate::{Store, now_ms};

/// A package that is durable on disk and about to become visible.
#[derive(Debug, Clone)]
pub struct NewPackage {
    /// Its app.
    pub access_id: AccessId,
    /// Name of its file in the packages folder.
    pub stored_as: String,
    /// Name of the uploaded file.
    pub file_name: String,
    /// `zip`, `txt` or `csv`.
    pub format: String,
    /// Distinct good rows.
    pub rows: u64,
    /// Rows left out because an equal one is kept.
    pub duplicates: u64,
    /// Blank rows.
    pub blanks: u64,
    /// Bad rows left out.
    pub bad_rows: u64,
    /// Size of the uploaded file.
    pub bytes: u64,
    /// Rows kept that cannot be tokens.
    pub not_tokens: u64,
    /// Where the first of them is, in words.
    pub first_not_token: Option<String>,
}

/// One package.
#[derive(Debug, Clone)]
pub struct Package {
    /// Its id.
    pub upload_id: UploadId,
    /// What was known when it was added.
    pub details: NewPackage,
    /// When it was added, unix milliseconds.
    pub created_at: i64,
    /// When it was last pushed to, or added.
    pub last_used_at: i64,
}

/// What became of a request to remove a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// The row is gone; the file of this name may go too.
    Done(String),
    /// A push that is not finished reads it.
    InUse,
    /// The app has no such package.
    Unknown,
}

const COLUMNS: &str = "upload_id, access_id, stored_as, file_name, format, rows, duplicates, blanks, bad_rows, bytes,
    not_tokens, first_not_token, created_at, last_used_at";

fn from_row(row: &Row<'_>) -> rusqlite::Result<Package> {
    Ok(Package {
        upload_id: UploadId(row.get(0)?),
        details: NewPackage {
            access_id: AccessId(row.get(1)?),
            stored_as: row.get(2)?,
            file_name: row.get(3)?,
            format: row.get(4)?,
            rows: row.get(5)?,
            duplicates: row.get(6)?,
            blanks: row.get(7)?,
            bad_rows: row.get(8)?,
            bytes: row.get(9)?,
            not_tokens: row.get(10)?,
            first_not_token: row.get(11)?,
        },
        created_at: row.get(12)?,
        last_used_at: row.get(13)?,
    })
}

// Two questions, each of its own index.
const IN_USE: &str = "(EXISTS (SELECT 1 FROM push WHERE push.upload_id = package.upload_id AND finished_at IS NULL)
    OR EXISTS (SELECT 1 FROM push WHERE push.exclude_upload_id = package.upload_id AND finished_at IS NULL))";

fn insert(tx: Tx<'_>, new: &NewPackage) -> Result<UploadId> {
    tx.prepare_cached(
        "INSERT INTO package (access_id, stored_as, file_name, format, rows, duplicates, blanks, bad_rows,
            bytes, not_tokens, first_not_token, created_at, last_used_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?12)",
    )?
    .execute(params![
        new.access_id.0,
        new.stored_as,
        new.file_name,
        new.format,
        new.rows,
        new.duplicates,
        new.blanks,
        new.bad_rows,
        new.bytes,
        new.not_tokens,
        new.first_not_token,
        now_ms()
    ])?;
    let id = tx.last_insert_rowid();
    // 2^31 uploads: the contract's int32 is used up after 68 years of one a second.
    i32::try_from(id).map(UploadId).map_err(|_| crate::Error::Corrupt { what: "upload id", value: id.to_string() })
}

impl Store {
    /// Adds the row of a package whose file is durable: from here on it exists.
    ///
    /// # Errors
    /// The database's; the package does not exist then.
    pub async fn add_package(&self, new: NewPackage) -> Result<UploadId> {
        self.write(move |tx| insert(tx, &new)).await
    }

    /// The same, unless what was asked was answered before; else `answer` is what is kept of it.
    ///
    /// # Errors
    /// As [`Store::add_package`].
    pub async fn add_package_once(
        &self,
        new: NewPackage,
        asked: Asked,
        answer: impl FnOnce(UploadId) -> String + Send + 'static,
    ) -> Result<Once<UploadId>> {
        self.once(asked, move |tx| insert(tx, &new), |upload_id| Some(answer(*upload_id))).await
    }

    /// The app's package of this id.
    ///
    /// # Errors
    /// The database's.
    pub async fn package(&self, access_id: AccessId, upload_id: UploadId) -> Result<Option<Package>> {
        self.read(move |connection| {
            let sql = format!("SELECT {COLUMNS} FROM package WHERE access_id = ?1 AND upload_id = ?2");
            Ok(connection.prepare_cached(&sql)?.query_row(params![access_id.0, upload_id.0], from_row).optional()?)
        })
        .await
    }

    /// The app's packages, latest first: at most `limit` with an id below `before`.
    ///
    /// # Errors
    /// The database's.
    pub async fn packages(&self, access_id: AccessId, before: Option<UploadId>, limit: u32) -> Result<Vec<Package>> {
        self.read(move |connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM package WHERE access_id = ?1 AND upload_id < ?2 ORDER BY upload_id DESC LIMIT ?3"
            );
            let before = before.map_or(i64::MAX, |id| i64::from(id.0));
            let mut statement = connection.prepare_cached(&sql)?;
            let packages = statement.query_map(params![access_id.0, before, limit], from_row)?;
            Ok(packages.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Removes a package's row, unless a push still reads the package.
    ///
    /// # Errors
    /// The database's.
    pub async fn remove_package(&self, access_id: AccessId, upload_id: UploadId) -> Result<Removed> {
        self.write(move |tx| {
            let removed = tx
                .prepare_cached(&format!(
                    "DELETE FROM package WHERE access_id = ?1 AND upload_id = ?2 AND NOT {IN_USE} RETURNING stored_as"
                ))?
                .query_row(params![access_id.0, upload_id.0], |row| row.get(0))
                .optional()?;
            if let Some(stored_as) = removed {
                return Ok(Removed::Done(stored_as));
            }
            let exists = tx
                .prepare_cached("SELECT 1 FROM package WHERE access_id = ?1 AND upload_id = ?2")?
                .exists(params![access_id.0, upload_id.0])?;
            Ok(if exists { Removed::InUse } else { Removed::Unknown })
        })
        .await
    }

    /// Removes the rows of packages last used before this time that no push reads, and answers their files' names.
    ///
    /// # Errors
    /// The database's.
    pub async fn remove_unused_packages(&self, last_used_before_ms: i64) -> Result<Vec<String>> {
        self.write(move |tx| {
            let mut statement = tx.prepare_cached(&format!(
                "DELETE FROM package WHERE last_used_at < ?1 AND NOT {IN_USE} RETURNING stored_as"
            ))?;
            let removed = statement.query_map([last_used_before_ms], |row| row.get(0))?;
            Ok(removed.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Whether a package of any app is stored under this name.
    ///
    /// # Errors
    /// The database's.
    pub async fn is_stored(&self, stored_as: String) -> Result<bool> {
        self.read(move |connection| is_stored(connection, &stored_as)).await
    }
}

pub(crate) fn is_stored(connection: &Connection, stored_as: &str) -> Result<bool> {
    Ok(connection.prepare_cached("SELECT 1 FROM package WHERE stored_as = ?1")?.exists([stored_as])?)
}

/// Packages of all apps, by their ids.
pub(crate) fn of_all_apps(connection: &Connection, after: UploadId, limit: u32) -> Result<Vec<Package>> {
    let sql = format!("SELECT {COLUMNS} FROM package WHERE upload_id > ?1 ORDER BY upload_id LIMIT ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    let packages = statement.query_map(params![after.0, limit], from_row)?;
    Ok(packages.collect::<rusqlite::Result<_>>()?)
}
