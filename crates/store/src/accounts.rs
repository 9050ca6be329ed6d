//! Accounts: which devices they are bound to, asked both ways. Whole audiences are resolved elsewhere
//! ([`resolve`](crate::resolve)).

use pigeonloft_model::{AccessId, DeviceId, Token};
use rusqlite::{Connection, OptionalExtension, params};

use crate::error::Result;
use crate::{Store, now_ms};

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

/// Notes that a device is to be bound to an account, and unbinds it from the one of that type that it had.
pub(crate) fn hold(tx: &Connection, access_id: AccessId, device: DeviceId, account: &AccountKey) -> Result<()> {
    let AccountKey { account_type, name } = account;
    let before: Option<String> = tx
        .prepare_cached("SELECT name FROM account_of_device WHERE device_id = ?1 AND account_type = ?2")?
        .query_row(params![device.0, account_type], |row| row.get(0))
        .optional()?;
    if before.as_ref() == Some(name) {
        return Ok(());
    }
    if let Some(name) = before {
        unbind_name(tx, access_id, device, &AccountKey { account_type: *account_type, name })?;
    }
    tx.prepare_cached("INSERT INTO account_of_device (device_id, account_type, name) VALUES (?1, ?2, ?3)")?
        .execute(params![device.0, account_type, name])?;
    Ok(())
}

/// Binds a device to an account, in the place of the one of its type that it had.
fn bind(tx: &Connection, access_id: AccessId, device: DeviceId, account: &AccountKey, bound_at: i64) -> Result<()> {
    hold(tx, access_id, device, account)?;
    tx.prepare_cached(
        "INSERT INTO account (access_id, account_type, name, device_id, bound_at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET bound_at = excluded.bound_at",
    )?
    .execute(params![access_id.0, account.account_type, account.name, device.0, bound_at])?;
    Ok(())
}

/// Unbinds a device from an account, if it is bound to it.
fn unbind_name(tx: &Connection, access_id: AccessId, device: DeviceId, account: &AccountKey) -> Result<()> {
    tx.prepare_cached("DELETE FROM account_of_device WHERE device_id = ?1 AND account_type = ?2 AND name = ?3")?
        .execute(params![device.0, account.account_type, account.name])?;
    tx.prepare_cached(
        "DELETE FROM account WHERE access_id = ?1 AND account_type = ?2 AND name = ?3 AND device_id = ?4",
    )?
    .execute(params![access_id.0, account.account_type, account.name, device.0])?;
    Ok(())
}

/// Unbinds a device from all its accounts.
pub(crate) fn unbind(tx: &Connection, access_id: AccessId, device: DeviceId) -> Result<()> {
    let bound = tx
        .prepare_cached("SELECT account_type, name FROM account_of_device WHERE device_id = ?1")?
        .query_map([device.0], |row| Ok(AccountKey { account_type: row.get(0)?, name: row.get(1)? }))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    bound.iter().try_for_each(|account| unbind_name(tx, access_id, device, account))
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
            accounts.iter().try_for_each(|account| unbind_name(tx, access_id, device, account))
        })
        .await
    }

    /// Unbinds these tokens from all their accounts, one result for each.
    ///
    /// # Errors
    /// The database's.
    pub async fn unbind_tokens(&self, access_id: AccessId, tokens: Vec<String>) -> Result<Vec<Bound>> {
        let elements = tokens.into_iter().map(|token| (token, ())).collect();
        self.for_tokens(access_id, elements, move |tx, device, ()| unbind(tx, access_id, device)).await
    }

    /// Unbinds these accounts from all their devices.
    ///
    /// # Errors
    /// The database's.
    pub async fn unbind_everywhere(&self, access_id: AccessId, accounts: Vec<AccountKey>) -> Result<()> {
        self.write(move |tx| {
            for account in accounts {
                let bound = tx
                    .prepare_cached(
                        "SELECT device_id FROM account WHERE access_id = ?1 AND account_type = ?2 AND name = ?3",
                    )?
                    .query_map(params![access_id.0, account.account_type, account.name], |row| {
                        row.get(0).map(DeviceId)
                    })?
                    .collect::<rusqlite::Result<Vec<_>>>()?;
                bound.into_iter().try_for_each(|device| unbind_name(tx, access_id, device, &account))?;
            }
            Ok(())
        })
        .await
    }

    /// Replaces all accounts of one device, which says so itself: it was seen by that.
    ///
    /// # Errors
    /// The database's.
    pub async fn set_accounts(&self, access_id: AccessId, device: DeviceId, accounts: Vec<AccountKey>) -> Result<()> {
        let zone = self.zone;
        self.write(move |tx| {
            crate::devices::seen(tx, zone, &[device])?;
            unbind(tx, access_id, device)?;
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
                    .query_map(params![access_id.0, account.account_type, account.name], |row| {
                        row.get(0).map(Token::from_bytes).map(|token| token.to_string())
                    })?
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
            let mut statement = connection.prepare_cached(
                "SELECT o.account_type, o.name FROM account_of_device o
                 CROSS JOIN account a ON a.access_id = ?1 AND a.account_type = o.account_type AND a.name = o.name
                     AND a.device_id = o.device_id
                 WHERE o.device_id = ?2 ORDER BY o.account_type",
            )?;
            let mut answers = Vec::with_capacity(tokens.len());
            for token in tokens {
                let accounts = match crate::devices::find(connection, access_id, &token)? {
                    None => None,
                    Some(device) => Some(
                        statement
                            .query_map(params![access_id.0, device.0], |row| {
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
