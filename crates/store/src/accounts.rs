//! Accounts: which devices they are bound to, asked both ways, and resolved a batch at a time for pushes.

use pigeonloft_model::{AccessId, AccountPush, DeviceId, Environment};
use rusqlite::{Connection, params};

use crate::devices::environment_name;
use crate::error::Result;
use crate::readers::text_array;
use crate::{Reader, Store, now_ms};

/// An account of an app: a name, and the type it is a name of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountKey {
    /// What kind of name it is.
    pub account_type: u32,
    /// The name.
    pub name: String,
}

/// What became of one element of a bind or an unbind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Done.
    Done,
    /// No device has the token.
    UnknownToken,
}

/// What a batch of rows resolved to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The devices, in the order of the rows that named them.
    pub devices: Vec<DeviceId>,
    /// Rows that named no device.
    pub no_device: u64,
}

// CROSS JOIN keeps the order written: the batch drives, the index answers.
const BY_ACCOUNT: &str = "SELECT r.rowid, a.device_id, a.bound_at FROM rarray(?1) r CROSS JOIN account a
    ON a.access_id = ?2 AND a.account_type = ?3 AND a.name = r.value";
const BY_ACCOUNT_IN_ENVIRONMENT: &str = "SELECT r.rowid, a.device_id, a.bound_at FROM rarray(?1) r CROSS JOIN account a
    ON a.access_id = ?2 AND a.account_type = ?3 AND a.name = r.value
    CROSS JOIN device d ON d.device_id = a.device_id AND d.environment = ?4";
const BY_TOKEN: &str = "SELECT d.device_id FROM rarray(?1) r CROSS JOIN device d
    ON d.access_id = ?2 AND d.token = r.value AND (?3 IS NULL OR d.environment = ?3)";

pub(crate) fn bind(
    tx: &Connection,
    access_id: AccessId,
    device: DeviceId,
    account: &AccountKey,
    bound_at: i64,
) -> Result<()> {
    tx.prepare_cached("DELETE FROM account WHERE device_id = ?1 AND account_type = ?2")?
        .execute(params![device.0, account.account_type])?;
    tx.prepare_cached(
        "INSERT INTO account (access_id, account_type, name, device_id, bound_at) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![access_id.0, account.account_type, account.name, device.0, bound_at])?;
    Ok(())
}

impl Store {
    /// For each token, does with its device what `each` says, in one transaction.
    async fn for_tokens<T: Send + 'static>(
        &self,
        access_id: AccessId,
        elements: Vec<(String, T)>,
        each: impl Fn(&Connection, DeviceId, T) -> Result<()> + Send + 'static,
    ) -> Result<Vec<Bound>> {
        self.write(move |tx| {
            let mut results = Vec::with_capacity(elements.len());
            for (token, element) in elements {
                results.push(match crate::devices::find(tx, access_id, &token)? {
                    Some(device) => each(tx, device, element).map(|()| Bound::Done)?,
                    None => Bound::UnknownToken,
                });
            }
            Ok(results)
        })
        .await
    }

    /// Binds accounts to tokens, one result for each token. An account replaces the one of its type that the device
    /// had.
    ///
    /// # Errors
    /// The database's.
    pub async fn bind_accounts(
        &self,
        access_id: AccessId,
        elements: Vec<(String, Vec<AccountKey>)>,
    ) -> Result<Vec<Bound>> {
        let now = now_ms();
        self.for_tokens(access_id, elements, move |tx, device, accounts| {
            accounts.iter().try_for_each(|account| bind(tx, access_id, device, account, now))
        })
        .await
    }

    /// Unbinds these accounts from these tokens, one result for each token.
    ///
    /// # Errors
    /// The database's.
    pub async fn unbind_accounts(
        &self,
        access_id: AccessId,
        elements: Vec<(String, Vec<AccountKey>)>,
    ) -> Result<Vec<Bound>> {
        self.for_tokens(access_id, elements, move |tx, device, accounts| {
            for account in accounts {
                tx.prepare_cached("DELETE FROM account WHERE device_id = ?1 AND account_type = ?2 AND name = ?3")?
                    .execute(params![device.0, account.account_type, account.name])?;
            }
            Ok(())
        })
        .await
    }

    /// Unbinds these tokens from all their accounts, one result for each.
    ///
    /// # Errors
    /// The database's.
    pub async fn unbind_tokens(&self, access_id: AccessId, tokens: Vec<String>) -> Result<Vec<Bound>> {
        let elements = tokens.into_iter().map(|token| (token, ())).collect();
        self.for_tokens(access_id, elements, |tx, device, ()| {
            tx.prepare_cached("DELETE FROM account WHERE device_id = ?1")?.execute([device.0])?;
            Ok(())
        })
        .await
    }

    /// Unbinds these accounts from all their devices.
    ///
    /// # Errors
    /// The database's.
    pub async fn unbind_everywhere(&self, access_id: AccessId, accounts: Vec<AccountKey>) -> Result<()> {
        self.write(move |tx| {
            for account in accounts {
                tx.prepare_cached("DELETE FROM account WHERE access_id = ?1 AND account_type = ?2 AND name = ?3")?
                    .execute(params![access_id.0, account.account_type, account.name])?;
            }
            Ok(())
        })
        .await
    }

    /// Replaces all accounts of one device.
    ///
    /// # Errors
    /// The database's.
    pub async fn set_accounts(&self, access_id: AccessId, device: DeviceId, accounts: Vec<AccountKey>) -> Result<()> {
        self.write(move |tx| {
            tx.prepare_cached("DELETE FROM account WHERE device_id = ?1")?.execute([device.0])?;
            let now = now_ms();
            accounts.iter().try_for_each(|account| bind(tx, access_id, device, account, now))
        })
        .await
    }

    /// The tokens each account is bound to, latest bound first.
    ///
    /// # Errors
    /// The database's.
    pub async fn tokens_of_accounts(
        &self,
        access_id: AccessId,
        accounts: Vec<AccountKey>,
    ) -> Result<Vec<(AccountKey, Vec<String>)>> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT d.token FROM account a JOIN device d USING (device_id)
                 WHERE a.access_id = ?1 AND a.account_type = ?2 AND a.name = ?3
                 ORDER BY a.bound_at DESC, a.device_id DESC",
            )?;
            let mut answers = Vec::with_capacity(accounts.len());
            for account in accounts {
                let tokens = statement
                    .query_map(params![access_id.0, account.account_type, account.name], |row| row.get(0))?
                    .collect::<rusqlite::Result<_>>()?;
                answers.push((account, tokens));
            }
            Ok(answers)
        })
        .await
    }

    /// The accounts of each token's device, by type; `None` for a token no device has.
    ///
    /// # Errors
    /// The database's.
    pub async fn accounts_of_tokens(
        &self,
        access_id: AccessId,
        tokens: Vec<String>,
    ) -> Result<Vec<(String, Option<Vec<AccountKey>>)>> {
        self.read(move |connection| {
            let mut statement = connection
                .prepare_cached("SELECT account_type, name FROM account WHERE device_id = ?1 ORDER BY account_type")?;
            let mut answers = Vec::with_capacity(tokens.len());
            for token in tokens {
                let accounts = match crate::devices::find(connection, access_id, &token)? {
                    None => None,
                    Some(device) => Some(
                        statement
                            .query_map([device.0], |row| {
                                Ok(AccountKey { account_type: row.get(0)?, name: row.get(1)? })
                            })?
                            .collect::<rusqlite::Result<_>>()?,
                    ),
                };
                answers.push((token, accounts));
            }
            Ok(answers)
        })
        .await
    }
}

impl Reader {
    /// The devices of a batch of account names. Quick where the names come sorted: the index is walked in order.
    ///
    /// `environment` leaves out devices of the other one; `None` takes both.
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
        let sql = if environment.is_none() { BY_ACCOUNT } else { BY_ACCOUNT_IN_ENVIRONMENT };
        let mut statement = self.0.prepare_cached(sql)?;
        let names = text_array(names);
        let rows = names.len() as u64;
        let mut found = match environment {
            None => statement.query(params![names, access_id.0, account_type])?,
            Some(environment) => {
                statement.query(params![names, access_id.0, account_type, environment_name(environment)])?
            }
        };
        let mut resolved = Resolved::default();
        let mut latest: Option<(i64, i64, i64)> = None; // row, bound_at, device
        let mut matched = 0;
        while let Some(row) = found.next()? {
            let (place, device, bound_at): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let same_row = latest.is_some_and(|(before, ..)| before == place);
            if !same_row {
                matched += 1;
            }
            match which {
                AccountPush::All => {
                    resolved.devices.push(DeviceId(device));
                    latest = Some((place, bound_at, device));
                }
                AccountPush::Latest if same_row => {
                    let challenger = Some((place, bound_at, device));
                    if challenger > latest {
                        latest = challenger;
                        if let Some(last) = resolved.devices.last_mut() {
                            *last = DeviceId(device);
                        }
                    }
                }
                AccountPush::Latest => {
                    resolved.devices.push(DeviceId(device));
                    latest = Some((place, bound_at, device));
                }
            }
        }
        resolved.no_device = rows - matched;
        Ok(resolved)
    }

    /// The devices of a batch of tokens.
    ///
    /// # Errors
    /// The database's.
    pub fn resolve_tokens<'a>(
        &self,
        access_id: AccessId,
        tokens: impl Iterator<Item = &'a str>,
        environment: Option<Environment>,
    ) -> Result<Resolved> {
        let tokens = text_array(tokens);
        let rows = tokens.len() as u64;
        let mut statement = self.0.prepare_cached(BY_TOKEN)?;
        let found = statement
            .query_map(params![tokens, access_id.0, environment.map(environment_name)], |row| row.get(0).map(DeviceId))?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        let no_device = rows - found.len() as u64;
        Ok(Resolved { devices: found, no_device })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_batch_drives_and_the_index_answers() {
        let folder = tempfile::tempdir().unwrap();
        let Reader(connection) = Store::open(folder.path()).unwrap().reader().unwrap();
        let plan = |sql: &str| {
            let mut explained = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            // Unbound: a plan needs no values.
            explained.raw_query().mapped(|row| row.get::<_, String>(3)).collect::<rusqlite::Result<Vec<_>>>().unwrap()
        };
        let batch = "SCAN r VIRTUAL TABLE INDEX 1:";
        let account = "SEARCH a USING PRIMARY KEY (access_id=? AND account_type=? AND name=?)";
        assert_eq!(plan(BY_ACCOUNT), [batch, account]);
        let device = "SEARCH d USING INTEGER PRIMARY KEY (rowid=?)";
        assert_eq!(plan(BY_ACCOUNT_IN_ENVIRONMENT), [batch, account, device]);
        let token = "SEARCH d USING INDEX sqlite_autoindex_device_1 (access_id=? AND token=?)";
        assert_eq!(plan(BY_TOKEN), [batch, token]);
    }
}
