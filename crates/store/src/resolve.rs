//! Resolve: rows of an audience in, the devices they name out, a batch at a time.
//!
//! Both indexes, of accounts by name and of devices by token, are asked in key order, in one of two ways. *Scanning*
//! steps through the index from the first row on and merges it with the rows: the fastest way where they ask for a good
//! part of what it passes. *Looking up* seeks each row. Scanning has credit: every entry it passes unasked costs, every row it
//! is done with earns; when it is spent, the next [`LOOK_UPS`] rows are looked up, then it tries again. So a batch finds its
//! way by itself, whatever its density, and always the same one.

use std::collections::HashSet;
use std::rc::Rc;

use pigeonloft_model::{AccessId, AccountPush, DeviceId, Environment, Token};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, params};

use crate::Reader;
use crate::devices::environment_code;
use crate::error::Result;

/// What a batch of rows resolved to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The devices, in the order of the rows that named them.
    pub devices: Vec<DeviceId>,
    /// Rows that named no device.
    pub no_device: u64,
}

/// Entries that scanning may pass for each row it is done with, on average. A look-up takes about as long.
const WORTH: i64 = 5;
/// Entries that scanning may pass ahead of its rows.
const CREDIT: i64 = 2_048;
/// Rows looked up before scanning is tried again.
const LOOK_UPS: usize = 8_192;
/// Rows looked up in one statement; more make the statement's own memory leave the cache.
const LOOKED_UP_AT_ONCE: usize = 1_024;
/// Fewer rows than these are looked up without trying: to begin a scan would cost more than them all.
const FEW: usize = 64;

/// One of the two indexes. Parameters of `scan`: app, account type, first key; of `look_up`: app, account type, keys.
struct Index {
    scan: &'static str,
    look_up: &'static str,
}

const BY_NAME: Index = Index {
    scan: "SELECT name, device_id, bound_at FROM account
           WHERE access_id = ?1 AND account_type = ?2 AND name >= ?3 ORDER BY name, device_id",
    // CROSS JOIN keeps the order written: the batch drives, the index answers.
    look_up: "SELECT r.rowid, a.device_id, a.bound_at FROM rarray(?3) r CROSS JOIN account a
              ON a.access_id = ?1 AND a.account_type = ?2 AND a.name = r.value",
};

const BY_TOKEN: Index = Index {
    scan: "SELECT token, device_id, ?2 FROM device INDEXED BY sqlite_autoindex_device_1
           WHERE access_id = ?1 AND token >= ?3 ORDER BY token",
    look_up: "SELECT r.rowid, d.device_id, ?2 FROM rarray(?3) r CROSS JOIN device d
              ON d.access_id = ?1 AND d.token = r.value",
};

const IN_ENVIRONMENT: &str = "SELECT d.device_id FROM rarray(?1) r CROSS JOIN device d
    ON d.device_id = r.value AND d.environment = ?2";

/// What the index is asked for.
trait Key: Ord {
    fn bytes(&self) -> &[u8];
    fn value(&self) -> Value;
}

impl Key for &str {
    fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }

    fn value(&self) -> Value {
        Value::Text((*self).to_owned())
    }
}

impl Key for [u8; Token::BYTES] {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn value(&self) -> Value {
        Value::Blob(self.to_vec())
    }
}

/// A row that asks: its key, and its place in the batch.
struct Row<K> {
    key: K,
    place: usize,
}

/// A device that a row names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Match {
    place: usize,
    device: i64,
    bound_at: i64,
}

/// Which way rows are matched: by default as the module says; the tests compare each way with the others.
#[derive(Debug, Clone, Copy)]
struct Manner {
    credit: i64,
    few: usize,
}

const BY_ITSELF: Manner = Manner { credit: CREDIT, few: FEW };

/// One index, asked for the rows of one batch.
struct Search<'c> {
    connection: &'c Connection,
    index: &'static Index,
    access_id: AccessId,
    account_type: u32,
    manner: Manner,
    found: Vec<Match>,
}

impl Search<'_> {
    /// Every device that the rows name, by row, then by device.
    fn run<K: Key>(mut self, mut rows: Vec<Row<K>>) -> Result<Vec<Match>> {
        let in_order = rows.is_sorted_by(|a, b| a.key <= b.key);
        if !in_order {
            rows.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        }
        let mut rest = rows.as_slice();
        while !rest.is_empty() {
            if rest.len() >= self.manner.few {
                let done = self.scan(rest)?;
                rest = &rest[done..];
            }
            let some;
            (some, rest) = rest.split_at(rest.len().min(LOOK_UPS));
            for batch in some.chunks(LOOKED_UP_AT_ONCE) {
                self.look_up(batch)?;
            }
        }
        // Rows of one key are answered together, entry by entry, and rows that came in another order in this one.
        if !self.found.is_sorted() {
            self.found.sort_unstable();
        }
        Ok(self.found)
    }

    /// Scans until the rows end or the credit is spent; answers how many rows are done.
    fn scan<K: Key>(&mut self, rows: &[Row<K>]) -> Result<usize> {
        let Some(first) = rows.first() else { return Ok(0) };
        let mut statement = self.connection.prepare_cached(self.index.scan)?;
        let mut entries = statement.query(params![self.access_id.0, self.account_type, first.key.value()])?;
        let mut credit = self.manner.credit;
        let mut at = 0;
        while let Some(entry) = entries.next()? {
            let key = match entry.get_ref(0)? {
                ValueRef::Text(key) | ValueRef::Blob(key) => key,
                _ => &[],
            };
            let before = at;
            while rows.get(at).is_some_and(|row| row.key.bytes() < key) {
                at += 1;
            }
            if at == rows.len() {
                return Ok(at);
            }
            let mut read = None;
            for row in rows[at..].iter().take_while(|row| row.key.bytes() == key) {
                let (device, bound_at) = match read {
                    Some(read) => read,
                    None => *read.insert((entry.get(1)?, entry.get(2)?)),
                };
                self.found.push(Match { place: row.place, device, bound_at });
            }
            credit = self.manner.credit.min(credit + WORTH * (at - before) as i64);
            if read.is_none() {
                // Nobody asked for it, and it stands before the row at hand, for which nothing is found yet.
                credit -= 1;
                if credit < 0 {
                    return Ok(at);
                }
            }
        }
        Ok(rows.len())
    }

    /// Looks the rows up.
    fn look_up<K: Key>(&mut self, rows: &[Row<K>]) -> Result<()> {
        let mut statement = self.connection.prepare_cached(self.index.look_up)?;
        let keys: Rc<Vec<Value>> = Rc::new(rows.iter().map(|row| row.key.value()).collect());
        let mut entries = statement.query(params![self.access_id.0, self.account_type, keys])?;
        while let Some(entry) = entries.next()? {
            let at: usize = entry.get(0)?;
            // rarray counts its rows from 1.
            if let Some(row) = rows.get(at.wrapping_sub(1)) {
                self.found.push(Match { place: row.place, device: entry.get(1)?, bound_at: entry.get(2)? });
            }
        }
        Ok(())
    }
}

/// Leaves those whose device is of this environment.
fn retain_environment(connection: &Connection, found: &mut Vec<Match>, environment: Environment) -> Result<()> {
    let mut devices: Vec<i64> = found.iter().map(|found| found.device).collect();
    // In the order of their table.
    devices.sort_unstable();
    devices.dedup();
    let mut statement = connection.prepare_cached(IN_ENVIRONMENT)?;
    let mut of_it = HashSet::with_capacity(devices.len());
    for batch in devices.chunks(LOOKED_UP_AT_ONCE) {
        let batch = Rc::new(batch.iter().copied().map(Value::Integer).collect::<Vec<_>>());
        let mut entries = statement.query(params![batch, environment_code(environment)])?;
        while let Some(entry) = entries.next()? {
            of_it.insert(entry.get::<_, i64>(0)?);
        }
    }
    found.retain(|found| of_it.contains(&found.device));
    Ok(())
}

/// The devices that these tokens name, each with the token's place. A text that is no token names none.
pub(crate) fn find_tokens(
    connection: &Connection,
    access_id: AccessId,
    tokens: impl Iterator<Item = Token>,
) -> Result<Vec<(usize, DeviceId)>> {
    let rows = tokens.enumerate().map(|(place, token)| Row { key: token.to_bytes(), place }).collect();
    let found = matches_of_tokens(connection, access_id, rows, BY_ITSELF)?;
    Ok(found.into_iter().map(|found| (found.place, DeviceId(found.device))).collect())
}

fn matches_of_tokens(
    connection: &Connection,
    access_id: AccessId,
    rows: Vec<Row<[u8; Token::BYTES]>>,
    manner: Manner,
) -> Result<Vec<Match>> {
    Search { connection, index: &BY_TOKEN, access_id, account_type: 0, manner, found: Vec::new() }.run(rows)
}

impl Reader {
    /// The devices of a batch of account names. Quick where the names come sorted, and where they are many: the index
    /// is walked in order.
    ///
    /// `environment` leaves out devices of the other one; `None` takes both. Memory grows with the batch and the
    /// devices it names.
    ///
    /// # Errors
    /// The database's.
    pub fn resolve_accounts<'a>(
        &self,
        access_id: AccessId,
        account_type: u32,
        names: impl Iterator<Item = &'a str>,
        which: AccountPush,
        environment: Option<Environment>,
    ) -> Result<Resolved> {
        self.accounts_in_manner(access_id, account_type, names, which, environment, BY_ITSELF)
    }

    fn accounts_in_manner<'a>(
        &self,
        access_id: AccessId,
        account_type: u32,
        names: impl Iterator<Item = &'a str>,
        which: AccountPush,
        environment: Option<Environment>,
        manner: Manner,
    ) -> Result<Resolved> {
        let (found, count) = self.matches_of_names(access_id, account_type, names, manner)?;
        self.resolved(found, count as u64, which, environment)
    }

    /// The devices of a batch of tokens; quick as [`Reader::resolve_accounts`] is.
    ///
    /// # Errors
    /// The database's.
    pub fn resolve_tokens<'a>(
        &self,
        access_id: AccessId,
        tokens: impl Iterator<Item = &'a str>,
        environment: Option<Environment>,
    ) -> Result<Resolved> {
        self.tokens_in_manner(access_id, tokens, environment, BY_ITSELF)
    }

    fn tokens_in_manner<'a>(
        &self,
        access_id: AccessId,
        tokens: impl Iterator<Item = &'a str>,
        environment: Option<Environment>,
        manner: Manner,
    ) -> Result<Resolved> {
        let (found, count) = self.matches_of_texts(access_id, tokens, manner)?;
        self.resolved(found, count as u64, AccountPush::All, environment)
    }

    /// What account names name, and how many of them there are.
    fn matches_of_names<'a>(
        &self,
        access_id: AccessId,
        account_type: u32,
        names: impl Iterator<Item = &'a str>,
        manner: Manner,
    ) -> Result<(Vec<Match>, usize)> {
        let rows: Vec<_> = names.enumerate().map(|(place, key)| Row { key, place }).collect();
        let count = rows.len();
        let connection = &self.connection;
        let search = Search { connection, index: &BY_NAME, access_id, account_type, manner, found: Vec::new() };
        Ok((search.run(rows)?, count))
    }

    /// What the texts of tokens name, and how many of them there are; what is no token names nothing.
    fn matches_of_texts<'a>(
        &self,
        access_id: AccessId,
        tokens: impl Iterator<Item = &'a str>,
        manner: Manner,
    ) -> Result<(Vec<Match>, usize)> {
        let mut count = 0;
        let tokens = tokens.inspect(|_| count += 1).enumerate();
        let rows = tokens
            .filter_map(|(place, text)| Some(Row { key: text.parse::<Token>().ok()?.to_bytes(), place }))
            .collect();
        Ok((matches_of_tokens(&self.connection, access_id, rows, manner)?, count))
    }

    /// The devices of all matches of so many rows, or of the latest match of each row.
    fn resolved(
        &self,
        mut found: Vec<Match>,
        rows: u64,
        which: AccountPush,
        environment: Option<Environment>,
    ) -> Result<Resolved> {
        if let Some(environment) = environment {
            retain_environment(&self.connection, &mut found, environment)?;
        }
        let mut devices = Vec::with_capacity(found.len());
        let mut named = 0;
        for of_row in found.chunk_by(|a, b| a.place == b.place) {
            named += 1;
            match which {
                AccountPush::All => devices.extend(of_row.iter().map(|found| DeviceId(found.device))),
                AccountPush::Latest => {
                    let latest = of_row.iter().max_by_key(|found| (found.bound_at, found.device));
                    devices.extend(latest.map(|found| DeviceId(found.device)));
                }
            }
        }
        Ok(Resolved { devices, no_device: rows - named })
    }
}

mod unnamed;

#[cfg(test)]
mod tests;
