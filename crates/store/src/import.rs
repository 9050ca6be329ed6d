//! Import of devices by the million: a connection of its own, chunks in the order of the tables, one transaction each.
//!
//! The two tables of accounts have two orders, by device and by name, and whichever is filled out of its order costs
//! several times what both cost in order. So a large import has two halves: [`Import::devices`] adds devices and what
//! each is to be bound to; what that answers, sorted by name, is what [`Import::accounts`] then binds. Sorting what does
//! not fit into memory is the caller's. [`Import::chunk`] does both at once, for few rows.
//!
//! Works beside a running server: between two chunks the server's writes get their turn. What the server writes about a
//! device between the two halves stands: its binding is left out of the second.

use std::collections::HashSet;
use std::path::Path;

use pigeonloft_model::{AccessId, DeviceId, Environment, TagType, Token};
use rusqlite::{Connection, TransactionBehavior};

use crate::accounts::AccountKey;
use crate::channels::ChannelToken;
use crate::error::Result;
use crate::load::{Loaded, load_accounts, load_devices, retain_held};

/// Pages of the log after which it is put into the database file: 32 MiB. At SQLite's 4 MiB every chunk would wait for
/// that.
const CHECKPOINT_PAGES: u32 = 8_192;

/// One device to import.
#[derive(Debug, Clone)]
pub struct ImportRow {
    /// Its token, issued or brought along.
    pub token: Token,
    /// SHA-256 of the password it is given, if it is given one.
    pub password_hash: Option<[u8; 32]>,
    /// An account to bind it to.
    pub account: Option<AccountKey>,
    /// Its token on a vendor's channel.
    pub channel: Option<ChannelToken>,
    /// Which of the vendor's environments that token is of. `None`: that of production for a new device, and no change
    /// for a known one.
    pub environment: Option<Environment>,
    /// What it reports of itself, at most one of each of [`TagType::REPORTED`]; of the others a known device keeps what it
    /// has.
    pub reported: Vec<(TagType, String)>,
    /// Its attributes, each by its place among the names of [`Import::with_attributes`]; the others stay.
    pub attributes: Vec<(usize, String)>,
}

/// A device that is to be bound to an account. Ordered as the table of accounts is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Binding {
    /// The account.
    pub account: AccountKey,
    /// The device.
    pub device: DeviceId,
}

/// What a chunk did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// Devices that did not exist.
    pub new: u64,
    /// Rows of devices that did, or that an earlier row made: channel, environment, reports and attributes were
    /// brought up to date.
    pub known: u64,
    /// Accounts bound.
    pub bound: u64,
}

/// An import under way.
#[derive(Debug)]
pub struct Import {
    connection: Connection,
    access_id: AccessId,
    /// Names of the rows' attributes.
    attributes: Vec<String>,
    /// Changes when another connection commits.
    data_version: i64,
    /// Last token of [`Import::devices`].
    last: Option<Token>,
    /// What is to be bound may no longer be what the device holds.
    outdated: bool,
}

impl Import {
    /// Begins an import into an app's devices.
    ///
    /// # Errors
    /// The database cannot be opened.
    pub fn begin(data_dir: &Path, access_id: AccessId) -> Result<Self> {
        let connection = crate::connect(&data_dir.join(crate::DATABASE_FILE))?;
        // Every id below was found or made in the transaction that refers to it.
        connection.pragma_update(None, "foreign_keys", false)?;
        // A power loss may take the last chunks, never a part of one; the end of the import waits for the disk.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        let data_version = data_version(&connection)?;
        Ok(Self { connection, access_id, attributes: Vec::new(), data_version, last: None, outdated: false })
    }

    /// The same, whose rows have attributes under these names. Those of a name that the app has not declared, or takes back
    /// meanwhile, are left out.
    #[must_use]
    pub fn with_attributes<'a>(self, names: impl IntoIterator<Item = &'a str>) -> Self {
        Self { attributes: names.into_iter().map(str::to_owned).collect(), ..self }
    }

    /// Imports a chunk with its accounts, all of it or nothing.
    ///
    /// # Errors
    /// The database's.
    pub fn chunk(&mut self, rows: &mut [ImportRow]) -> Result<Imported> {
        self.chunk_then(rows, |_| Ok(()))
    }

    /// Imports a chunk as [`Import::chunk`] does, and calls `before_commit` with the tokens of the devices that did
    /// not exist, when everything is in and nothing is kept yet: what it writes elsewhere is never behind the database.
    ///
    /// A token that stands in several rows gets the password of the first of them, and of each type the account of the
    /// last.
    ///
    /// # Errors
    /// The database's, and those of `before_commit`, after which nothing of the chunk is kept.
    pub fn chunk_then<E: From<crate::Error>>(
        &mut self,
        rows: &mut [ImportRow],
        before_commit: impl FnOnce(&HashSet<Token>) -> Result<(), E>,
    ) -> Result<Imported, E> {
        let tx =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(crate::Error::from)?;
        let Loaded { mut imported, mut bindings, new } = load_devices(&tx, self.access_id, &self.attributes, rows)?;
        bindings.sort_unstable();
        imported.bound = load_accounts(&tx, self.access_id, &bindings)?;
        before_commit(&new)?;
        tx.commit().map_err(crate::Error::from)?;
        Ok(imported)
    }

    /// Imports the devices of a chunk, and answers what they are still to be bound to. Quickest where the chunks
    /// ascend by token.
    ///
    /// # Errors
    /// The database's; nothing of the chunk is kept then.
    pub fn devices(&mut self, rows: &mut [ImportRow]) -> Result<(Imported, Vec<Binding>)> {
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let loaded = load_devices(&tx, self.access_id, &self.attributes, rows)?;
        tx.commit()?;
        if let (Some(first), Some(last)) = (rows.first(), rows.last()) {
            // A token of two chunks: the binding of the first may have been replaced by the second.
            self.outdated |= self.last.is_some_and(|before| before >= first.token);
            self.last = self.last.max(Some(last.token));
        }
        Ok((loaded.imported, loaded.bindings))
    }

    /// Binds what [`Import::devices`] answered. Quickest where everything is sorted over all chunks.
    ///
    /// Answers how many are bound; what the server changed meanwhile is left as it is.
    ///
    /// # Errors
    /// The database's; nothing of the chunk is kept then.
    pub fn accounts(&mut self, bindings: &mut Vec<Binding>) -> Result<u64> {
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        self.outdated |= data_version(&tx)? != self.data_version;
        if self.outdated {
            retain_held(&tx, bindings)?;
        }
        bindings.sort_unstable();
        let bound = load_accounts(&tx, self.access_id, bindings)?;
        tx.commit()?;
        Ok(bound)
    }

    /// Waits for everything to be on the disk, and puts the log of the import into the database file, so that the server
    /// does not have to.
    ///
    /// # Errors
    /// The database's.
    pub fn finish(self) -> Result<()> {
        self.connection.pragma_update(None, "synchronous", "FULL")?;
        self.connection.execute("UPDATE app SET access_id = access_id WHERE access_id = ?1", [self.access_id.0])?;
        self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
        Ok(())
    }
}

fn data_version(connection: &Connection) -> Result<i64> {
    Ok(connection.query_row("PRAGMA data_version", [], |row| row.get(0))?)
}
