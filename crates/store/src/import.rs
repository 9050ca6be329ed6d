//! Import of devices by the million: a connection of its own, sorted chunks, one transaction each.
//!
//! Works beside a running server: between two chunks the server's writes get their turn.

use std::collections::HashSet;
use std::path::Path;

use pigeonloft_model::{AccessId, Environment, Token};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use crate::accounts::{AccountKey, bind};
use crate::devices::{environment_name, set_channel};
use crate::error::Result;
use crate::now_ms;

/// One device to import.
#[derive(Debug, Clone)]
pub struct ImportRow {
    /// Its token, issued or brought along.
    pub token: Token,
    /// SHA-256 of the password it is given, if it is given one.
    pub password_hash: Option<[u8; 32]>,
    /// An account to bind it to.
    pub account: Option<AccountKey>,
    /// Its token on a vendor's channel, with the channel's name.
    pub channel: Option<(String, String)>,
    /// Which of the vendor's environments that token is of. `None`: that of production for a new device, and no change
    /// for a known one.
    pub environment: Option<Environment>,
}

/// What a chunk did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// Devices that did not exist.
    pub new: u64,
    /// Devices that did: their account, channel and environment were brought up to date.
    pub known: u64,
    /// Accounts bound.
    pub bound: u64,
}

/// An import under way.
#[derive(Debug)]
pub struct Import {
    connection: Connection,
    access_id: AccessId,
}

impl Import {
    /// Begins an import into an app's devices.
    ///
    /// # Errors
    /// The database cannot be opened.
    pub fn begin(data_dir: &Path, access_id: AccessId) -> Result<Self> {
        let connection = crate::connect(&data_dir.join(crate::DATABASE_FILE))?;
        Ok(Self { connection, access_id })
    }

    /// Imports a chunk, all of it or nothing. The chunk is sorted first: the tables take sorted rows several times
    /// faster than scrambled ones.
    ///
    /// # Errors
    /// The database's.
    pub fn chunk(&mut self, rows: &mut [ImportRow]) -> Result<Imported> {
        self.chunk_then(rows, |_| Ok(()))
    }

    /// Imports a chunk as [`Import::chunk`] does, and calls `before_commit` with the tokens of the devices that did
    /// not exist, when everything is in and nothing is kept yet: what it writes elsewhere is never behind the database.
    ///
    /// A token that stands in several rows gets the password of the first of them.
    ///
    /// # Errors
    /// The database's, and those of `before_commit`, after which nothing of the chunk is kept.
    pub fn chunk_then<E: From<crate::Error>>(
        &mut self,
        rows: &mut [ImportRow],
        before_commit: impl FnOnce(&HashSet<Token>) -> Result<(), E>,
    ) -> Result<Imported, E> {
        let mut new = HashSet::new();
        let (tx, imported) = self.insert(rows, &mut new)?;
        before_commit(&new)?;
        tx.commit().map_err(crate::Error::from)?;
        Ok(imported)
    }

    /// Puts the rows in, in a transaction that is still to be committed.
    fn insert(&mut self, rows: &mut [ImportRow], new: &mut HashSet<Token>) -> Result<(Transaction<'_>, Imported)> {
        rows.sort_by_key(|row| row.token);
        let access_id = self.access_id;
        let tx = self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let now = now_ms();
        let mut imported = Imported::default();
        let mut accounts = Vec::new();
        for row in rows.iter() {
            let environment = row.environment.map(environment_name);
            let added = tx
                .prepare_cached(
                    "INSERT INTO device (access_id, token, password_hash, environment, created_at, seen_at)
                     VALUES (?1, ?2, ?3, coalesce(?4, 'product'), ?5, ?5) ON CONFLICT DO NOTHING RETURNING device_id",
                )?
                .query_row(params![access_id.0, row.token.as_str(), row.password_hash, environment, now], |row| {
                    row.get(0)
                })
                .optional()?;
            let device = match added {
                Some(device) => {
                    imported.new += 1;
                    new.insert(row.token);
                    pigeonloft_model::DeviceId(device)
                }
                None => {
                    imported.known += 1;
                    pigeonloft_model::DeviceId(
                        tx.prepare_cached(
                            "UPDATE device SET environment = coalesce(?3, environment)
                             WHERE access_id = ?1 AND token = ?2 RETURNING device_id",
                        )?
                        .query_row(params![access_id.0, row.token.as_str(), environment], |row| row.get(0))?,
                    )
                }
            };
            if let Some((channel, token)) = &row.channel {
                set_channel(&tx, device, channel, token)?;
            }
            if let Some(account) = &row.account {
                accounts.push((account, device));
            }
        }
        accounts.sort_unstable();
        for (account, device) in accounts {
            bind(&tx, access_id, device, account, now)?;
            imported.bound += 1;
        }
        Ok((tx, imported))
    }

    /// Puts the log of the import into the database file, so that the server does not have to.
    ///
    /// # Errors
    /// The database's.
    pub fn finish(self) -> Result<()> {
        self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
        Ok(())
    }
}
