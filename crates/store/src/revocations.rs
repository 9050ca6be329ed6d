//! Revocations: a push that is revoked is stopped, and taken back where it has arrived. A push of its own does that: it
//! goes to those who have the message and have not clicked it, in batches, from a cursor, by inbox, and each device
//! confirms it, as for any other push. Nobody sees it but in what it takes back, and no statistics count it.
//!
//! It runs once the push that it takes back has ended: then who its recipients are is settled. It goes to those to whom the
//! message was sent while the push ran, or who acknowledged it since, and to those who connected since and may have had it
//! from their inbox, though no acknowledgement came. One who was connected all the time, and had it from the inbox, is known
//! by the acknowledgement alone, and becomes its recipient in the transaction of that. Nobody is both, at any moment: or the
//! second of two equal messages would be taken for a new one by a session that has done with the first.

use pigeonloft_model::{AccessId, DeviceId, Outcome, PushId, PushState, ReceiptEvent};
use rusqlite::{Connection, OptionalExtension, params};

use crate::error::Result;
use crate::pushes::{COLUMNS, Push, from_row};
use crate::recipients::Change;
use crate::stops::stop;
use crate::{Reader, Store, now_ms};

/// What a push becomes when it is revoked.
#[derive(Debug, Clone)]
pub struct NewRevocation {
    /// The validated push that takes it back, as JSON.
    pub request: String,
    /// When it starts, unix seconds.
    pub start_at: i64,
    /// Until when devices are told, unix seconds.
    pub expire_at: i64,
}

/// Some recipients of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holders {
    /// How many were looked at; fewer than were asked for are the last.
    pub read: usize,
    /// The last one that was looked at.
    pub last: Option<DeviceId>,
    /// Those among them who have, or may have, the message, who have not clicked it, and who are not told yet.
    pub devices: Vec<DeviceId>,
}

/// The push has ended: whoever takes it back has so many recipients to go through.
pub(crate) fn has_ended(tx: &Connection, push_id: PushId) -> Result<()> {
    tx.prepare_cached(
        "UPDATE push SET audience_rows = (SELECT targets FROM push WHERE push_id = ?1) WHERE takes_back = ?1",
    )?
    .execute([push_id.0])?;
    Ok(())
}

/// These had the message of a push from their inbox, and have acknowledged it just now: if it is taken back, they are told,
/// too, unless they are gone through. Answers by which push.
pub(crate) fn reach(tx: &Connection, push_id: PushId, devices: &[DeviceId]) -> Result<Option<PushId>> {
    let revocation: Option<(i64, Option<i64>)> = tx
        .prepare_cached(
            "SELECT by.push_id, of.started_at FROM push by JOIN push of ON of.push_id = by.takes_back
             WHERE by.takes_back = ?1",
        )?
        .query_row([push_id.0], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((revocation, started_at)) = revocation else { return Ok(None) };
    let mut change = Change::default();
    let mut add = tx.prepare_cached(
        "INSERT INTO recipient (push_id, device_id, outcome) SELECT ?1, device_id, ?4 FROM recipient
         WHERE push_id = ?2 AND device_id = ?3 AND receipts & ?5 = 0
            AND EXISTS (SELECT 1 FROM device d WHERE d.device_id = ?3 AND d.seen_at < ?6) ON CONFLICT DO NOTHING",
    )?;
    let mut wait =
        tx.prepare_cached("INSERT INTO inbox (device_id, push_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?;
    let (waiting, clicked) = (Outcome::Waiting.code(), ReceiptEvent::Clicked.flag());
    for device in devices {
        if add.execute(params![revocation, push_id.0, device.0, waiting, clicked, started_at])? == 1 {
            wait.execute([device.0, revocation])?;
            change.born(Outcome::Waiting, 1);
        }
    }
    change.apply(tx, PushId(revocation))?;
    Ok(Some(PushId(revocation)))
}

/// Adds the push that takes another one back, unless there is one, or nobody can have the message.
fn add(tx: &Connection, push_id: PushId, new: &NewRevocation, template: impl Fn(PushId) -> String) -> Result<()> {
    // Of day 0, on which no statistics look.
    let added = tx
        .prepare_cached(
            "INSERT INTO push (access_id, state, request, template, created_at, start_at_s, expire_at_s, audience_rows,
                takes_back)
             SELECT access_id, ?2, ?3, '', ?4, ?5, ?6, targets, push_id FROM push
             WHERE push_id = ?1 AND (finished_at IS NULL OR targets > 0) ON CONFLICT (takes_back) WHERE takes_back IS NOT NULL
             DO NOTHING RETURNING push_id",
        )?
        .query_row(
            params![push_id.0, PushState::Init.code(), new.request, now_ms(), new.start_at, new.expire_at],
            |row| row.get(0).map(PushId),
        )
        .optional()?;
    if let Some(revocation) = added {
        tx.prepare_cached("UPDATE push SET template = ?2 WHERE push_id = ?1")?
            .execute(params![revocation.0, template(revocation)])?;
    }
    Ok(())
}

impl Store {
    /// Revokes a push: no device gets it any more, and those that have it are to take it back. `template` makes the
    /// payload that tells them so. Revoking it again changes nothing. `false`: the app has no such push.
    ///
    /// # Errors
    /// The database's.
    pub async fn revoke_push(
        &self,
        access_id: AccessId,
        push_id: PushId,
        new: NewRevocation,
        template: impl Fn(PushId) -> String + Send + 'static,
    ) -> Result<bool> {
        self.write(move |tx| {
            let is_there = stop(tx, access_id, push_id, PushState::Revoked)?;
            if is_there {
                add(tx, push_id, &new, &template)?;
            }
            Ok(is_there)
        })
        .await
    }

    /// The push that takes this one back, if there is one.
    ///
    /// # Errors
    /// The database's.
    pub async fn revocation(&self, push_id: PushId) -> Result<Option<Push>> {
        self.read(move |connection| {
            let sql = format!("SELECT {COLUMNS} FROM push WHERE takes_back = ?1");
            connection.prepare_cached(&sql)?.query_row([push_id.0], from_row).optional()?.transpose()
        })
        .await
    }
}

impl Reader {
    /// The last of the first `count` recipients of a push, in the order of devices; `None` if `count` is 0 or they are
    /// fewer. Takes time with `count`.
    ///
    /// # Errors
    /// The database's.
    pub fn nth_recipient(&self, push_id: PushId, count: u64) -> Result<Option<DeviceId>> {
        let Some(before) = count.checked_sub(1) else { return Ok(None) };
        let sql = "SELECT device_id FROM recipient WHERE push_id = ?1 ORDER BY device_id LIMIT 1 OFFSET ?2";
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_row(params![push_id.0, before], |row| row.get(0).map(DeviceId)).optional()?)
    }

    /// The next recipients of a push after a device, at most `limit`, and who of them is to be told by its revocation.
    ///
    /// # Errors
    /// The database's.
    pub fn holders(
        &self,
        push_id: PushId,
        revocation: PushId,
        after: Option<DeviceId>,
        limit: usize,
    ) -> Result<Holders> {
        let mut statement = self.connection.prepare_cached(
            "SELECT device_id, receipts & ?5 = 0
                AND EXISTS (SELECT 1 FROM device d WHERE d.device_id = r.device_id
                    AND (sent_at IS NOT NULL OR outcome IN (?6, ?7) AND d.seen_at >= ?8))
                AND NOT EXISTS (SELECT 1 FROM recipient told WHERE told.push_id = ?2 AND told.device_id = r.device_id)
             FROM recipient r WHERE push_id = ?1 AND device_id > ?3 ORDER BY device_id LIMIT ?4",
        )?;
        let after = after.map_or(i64::MIN, |device| device.0);
        let clicked = ReceiptEvent::Clicked.flag();
        let [waiting, stopped] = [Outcome::Waiting, Outcome::Stopped].map(Outcome::code);
        let started_at: Option<i64> = self
            .connection
            .prepare_cached("SELECT CASE WHEN vendors_only THEN NULL ELSE started_at END FROM push WHERE push_id = ?1")?
            .query_row([push_id.0], |row| row.get(0))?;
        let given = params![push_id.0, revocation.0, after, limit, clicked, waiting, stopped, started_at];
        let mut rows = statement.query(given)?;
        let mut holders = Holders { read: 0, last: None, devices: Vec::new() };
        while let Some(row) = rows.next()? {
            let device = DeviceId(row.get(0)?);
            (holders.read, holders.last) = (holders.read + 1, Some(device));
            if row.get(1)? {
                holders.devices.push(device);
            }
        }
        Ok(holders)
    }
}
