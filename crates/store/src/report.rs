//! Report: what became of each device of a push, and of each push of a device. Read a page at a time, so that whoever
//! takes it slowly holds up neither the readers nor the log of the database.

use std::collections::HashMap;
use std::rc::Rc;

use pigeonloft_model::{AccessId, Channel, DeviceId, Environment, Outcome, PushId, Token};
use rusqlite::types::{FromSql, Value};
use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use crate::error::{Error, Result};
use crate::{Store, devices};

/// What became of one device of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reported {
    /// The device.
    pub device: DeviceId,
    /// The push.
    pub push_id: PushId,
    /// What became of it so far.
    pub outcome: Outcome,
    /// What it said beyond arrival, a bit for each [`ReceiptEvent`](pigeonloft_model::ReceiptEvent).
    pub receipts: u8,
    /// When it was first handed to a channel, unix milliseconds.
    pub sent_at: Option<i64>,
    /// When it arrived, unix milliseconds.
    pub arrived_at: Option<i64>,
    /// The channel it went through, or waits on.
    pub channel: Channel,
    /// Why a vendor's channel did not take it, if one was asked: channel and code.
    pub code: Option<String>,
    /// The push is kept off our own channel.
    pub vendors_only: bool,
}

/// One line of the report of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportLine {
    /// What became of the device.
    pub reported: Reported,
    /// Its token; `None` for a device that was deleted since.
    pub token: Option<Token>,
    /// The account of the asked type that it holds now, if it holds one.
    pub account: Option<String>,
}

/// A part of the report of a push, in the order of devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportPage {
    /// Of those that were read, the ones that were asked for.
    pub lines: Vec<ReportLine>,
    /// How many recipients were read.
    pub read: u64,
    /// The last device that was read: the next page is after it. `None`: there is no next page.
    pub last: Option<DeviceId>,
}

/// Some pushes of a device, the latest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevicePushes {
    /// What became of it.
    pub pushes: Vec<Reported>,
    /// Earlier ones are found before this push. `None`: there are none.
    pub next: Option<PushId>,
}

/// A device, as far as it explains why a push reached it or did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceFacts {
    /// Its id inside.
    pub device: DeviceId,
    /// Which of a vendor's environments it is in.
    pub environment: Environment,
    /// When it was registered or imported, unix milliseconds.
    pub created_at: i64,
    /// When its last session began, or it was registered; unix milliseconds.
    pub seen_at: i64,
    /// The account of the asked type that it is bound to.
    pub account: Option<HeldAccount>,
}

/// An account that a device is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldAccount {
    /// Its name.
    pub name: String,
    /// Since when, unix milliseconds.
    pub bound_at: i64,
}

fn reported(row: &Row<'_>) -> rusqlite::Result<Result<Reported>> {
    let outcome: i64 = row.get(2)?;
    let Ok(outcome) = Outcome::try_from(outcome) else {
        return Ok(Err(Error::Corrupt { what: "outcome", value: outcome.to_string() }));
    };
    let channel: i64 = row.get(6)?;
    let Ok(channel) = Channel::try_from(channel) else {
        return Ok(Err(Error::Corrupt { what: "channel", value: channel.to_string() }));
    };
    Ok(Ok(Reported {
        device: DeviceId(row.get(0)?),
        push_id: PushId(row.get(1)?),
        outcome,
        receipts: row.get(3)?,
        sent_at: row.get(4)?,
        arrived_at: row.get(5)?,
        channel,
        code: row.get(7)?,
        vendors_only: row.get(8)?,
    }))
}

// The last from the push, ?1, which is looked up once for all of its rows.
const COLUMNS: &str = "device_id, push_id, outcome, receipts, sent_at, arrived_at, channel, code,
    coalesce((SELECT vendors_only FROM push WHERE push_id = ?1), 0)";

fn recipients(connection: &Connection, push_id: PushId, after: i64, limit: u32) -> Result<Vec<Reported>> {
    let sql =
        format!("SELECT {COLUMNS} FROM recipient WHERE push_id = ?1 AND device_id > ?2 ORDER BY device_id LIMIT ?3");
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement.query_map(params![push_id.0, after, limit], reported)?;
    found.collect::<rusqlite::Result<Result<_>>>()?
}

fn recipient(connection: &Connection, push_id: PushId, device: DeviceId) -> Result<Option<Reported>> {
    let sql = format!("SELECT {COLUMNS} FROM recipient WHERE push_id = ?1 AND device_id = ?2");
    connection.prepare_cached(&sql)?.query_row(params![push_id.0, device.0], reported).optional()?.transpose()
}

fn is_revocation(connection: &Connection, push_id: PushId) -> Result<bool> {
    let sql = "SELECT takes_back IS NOT NULL FROM push WHERE push_id = ?1";
    Ok(connection.prepare_cached(sql)?.query_row([push_id.0], |row| row.get(0))?)
}

const TOKENS: &str = "SELECT d.device_id, d.token FROM rarray(?1) r CROSS JOIN device d ON d.device_id = r.value";

// Without `account`, which would be asked all over its names: a row here alone is one of an import that broke off.
const ACCOUNTS: &str = "SELECT o.device_id, o.name FROM rarray(?1) r CROSS JOIN account_of_device o
    ON o.device_id = r.value AND o.account_type = ?2";

/// What a statement answers for each of some devices that it has something for.
fn by_device<T: FromSql>(connection: &Connection, sql: &str, params: impl Params) -> Result<HashMap<i64, T>> {
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_map(params, |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

fn lines(connection: &Connection, account_type: u32, asked: Vec<Reported>) -> Result<Vec<ReportLine>> {
    let devices = Rc::new(asked.iter().map(|of| Value::Integer(of.device.0)).collect::<Vec<_>>());
    let tokens: HashMap<i64, [u8; Token::BYTES]> = by_device(connection, TOKENS, params![devices])?;
    let mut accounts: HashMap<i64, String> = by_device(connection, ACCOUNTS, params![devices, account_type])?;
    let line = |reported: Reported| ReportLine {
        token: tokens.get(&reported.device.0).copied().map(Token::from_bytes),
        account: accounts.remove(&reported.device.0),
        reported,
    };
    Ok(asked.into_iter().map(line).collect())
}

impl Store {
    /// Reads the next `read` recipients of a push after a device, and answers those with one of these outcomes. `account_type`
    /// is that of the accounts to be told.
    ///
    /// # Errors
    /// The database's.
    pub async fn report(
        &self,
        push_id: PushId,
        account_type: u32,
        outcomes: Vec<Outcome>,
        after: Option<DeviceId>,
        read: u32,
    ) -> Result<ReportPage> {
        self.read(move |connection| {
            let mut found = recipients(connection, push_id, after.map_or(i64::MIN, |device| device.0), read)?;
            let count = found.len();
            let last = found.last().map(|of| of.device).filter(|_| count == read as usize);
            found.retain(|of| outcomes.contains(&of.outcome));
            Ok(ReportPage { lines: lines(connection, account_type, found)?, read: count as u64, last })
        })
        .await
    }

    /// What became of one device of a push; `None`: it is no recipient.
    ///
    /// # Errors
    /// The database's.
    pub async fn recipient(&self, push_id: PushId, device: DeviceId) -> Result<Option<Reported>> {
        self.read(move |connection| recipient(connection, push_id, device)).await
    }

    /// The latest pushes of an app before `before` of which the device is a recipient, at most `limit`, looked for among
    /// at most `look_at`: recipients are kept by push, and a second order of them would cost every push.
    ///
    /// # Errors
    /// The database's.
    pub async fn pushes_of_device(
        &self,
        access_id: AccessId,
        device: DeviceId,
        before: Option<PushId>,
        limit: usize,
        look_at: u32,
    ) -> Result<DevicePushes> {
        self.read(move |connection| {
            let before = before.map_or(i64::MAX, |push| push.0);
            let candidates: Vec<i64> = connection
                .prepare_cached(
                    "SELECT push_id FROM push WHERE access_id = ?1 AND push_id < ?2 ORDER BY push_id DESC LIMIT ?3",
                )?
                .query_map(params![access_id.0, before, look_at], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            let mut pushes = Vec::new();
            for &push_id in &candidates {
                let found = recipient(connection, PushId(push_id), device)?;
                // Looked at for those alone that are found: the candidates come from an index that has no more.
                if found.is_some() && is_revocation(connection, PushId(push_id))? {
                    continue;
                }
                pushes.extend(found);
                if pushes.len() == limit {
                    return Ok(DevicePushes { pushes, next: Some(PushId(push_id)) });
                }
            }
            let last = candidates.last().filter(|_| candidates.len() == look_at as usize);
            Ok(DevicePushes { pushes, next: last.map(|push_id| PushId(*push_id)) })
        })
        .await
    }

    /// The device of this token, and the account of this type that it is bound to.
    ///
    /// # Errors
    /// The database's.
    pub async fn device_facts(
        &self,
        access_id: AccessId,
        token: Token,
        account_type: u32,
    ) -> Result<Option<DeviceFacts>> {
        self.read(move |connection| {
            let found = connection
                .prepare_cached(
                    "SELECT device_id, environment, created_at, seen_at FROM device WHERE access_id = ?1 AND token = ?2",
                )?
                .query_row(params![access_id.0, token.to_bytes()], |row| {
                    Ok(DeviceFacts {
                        device: DeviceId(row.get(0)?),
                        environment: devices::environment(row.get(1)?),
                        created_at: row.get(2)?,
                        seen_at: row.get(3)?,
                        account: None,
                    })
                })
                .optional()?;
            let Some(facts) = found else { return Ok(None) };
            let account = held_account(connection, access_id, facts.device, account_type)?;
            Ok(Some(DeviceFacts { account, ..facts }))
        })
        .await
    }
}

fn held_account(
    connection: &Connection,
    access_id: AccessId,
    device: DeviceId,
    account_type: u32,
) -> Result<Option<HeldAccount>> {
    let held = connection
        .prepare_cached(
            "SELECT a.name, a.bound_at
             FROM account_of_device o
             CROSS JOIN account a ON a.access_id = ?1 AND a.account_type = o.account_type AND a.name = o.name
                AND a.device_id = o.device_id
             WHERE o.device_id = ?2 AND o.account_type = ?3",
        )?
        .query_row(params![access_id.0, device.0, account_type], |row| {
            Ok(HeldAccount { name: row.get(0)?, bound_at: row.get(1)? })
        })
        .optional()?;
    Ok(held)
}
