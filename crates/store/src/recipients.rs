//! Recipients: what became of each device of a push, recorded a batch at a time together with the push's cursor and
//! sums, so that all three always agree.

use std::collections::BTreeMap;

use pigeonloft_model::{DeviceId, Outcome, PushId, ReceiptEvent};
use rusqlite::{Connection, OptionalExtension, params};

use crate::early;
use crate::error::{Error, Result};
use crate::{Permit, Store, Written, now_ms};

/// One recipient of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipient {
    /// The device.
    pub device: DeviceId,
    /// What became of it so far.
    pub outcome: Outcome,
}

/// A batch that was sent and is to be recorded.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Of this push.
    pub push_id: PushId,
    /// First row of the batch: where the push's cursor must stand.
    pub first_row: u64,
    /// Rows of the batch.
    pub rows: u64,
    /// Rows of it that name no device.
    pub no_device: u64,
    /// Its recipients.
    pub recipients: Vec<Recipient>,
}

/// How the sums of a push change.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Change {
    targets: i64,
    waiting: i64,
    arrived: i64,
    expired: i64,
    not_kept: i64,
    no_channel: i64,
    gone: i64,
    sent: i64,
}

impl Change {
    fn add(&mut self, outcome: Outcome, by: i64) {
        match outcome {
            Outcome::Waiting | Outcome::Sent => self.waiting += by,
            Outcome::Arrived => self.arrived += by,
            Outcome::Expired => self.expired += by,
            Outcome::NotKept => self.not_kept += by,
            Outcome::NoChannel => self.no_channel += by,
            Outcome::Gone => self.gone += by,
        }
    }

    /// A recipient is new.
    fn born(&mut self, outcome: Outcome) {
        self.targets += 1;
        self.add(outcome, 1);
        self.sent += i64::from(was_sent(outcome));
    }

    /// A recipient moves on.
    pub(crate) fn moved(&mut self, from: Outcome, to: Outcome) {
        self.add(from, -1);
        self.add(to, 1);
        self.sent += i64::from(was_sent(to) && !was_sent(from));
    }

    pub(crate) fn apply(self, tx: &Connection, push_id: PushId) -> Result<()> {
        tx.prepare_cached(
            "UPDATE push SET targets = targets + ?2, waiting = waiting + ?3, arrived = arrived + ?4,
                expired = expired + ?5, not_kept = not_kept + ?6, no_channel = no_channel + ?7, gone = gone + ?8,
                sent = sent + ?9 WHERE push_id = ?1",
        )?
        .execute(params![
            push_id.0,
            self.targets,
            self.waiting,
            self.arrived,
            self.expired,
            self.not_kept,
            self.no_channel,
            self.gone,
            self.sent
        ])?;
        Ok(())
    }
}

fn was_sent(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Sent | Outcome::Arrived)
}

fn record(tx: &Connection, batch: &Batch) -> Result<()> {
    let moved = tx
        .prepare_cached(
            "UPDATE push SET rows_done = rows_done + ?3, no_device = no_device + ?4
             WHERE push_id = ?1 AND rows_done = ?2",
        )?
        .execute(params![batch.push_id.0, batch.first_row, batch.rows, batch.no_device])?;
    if moved == 0 {
        return Err(Error::CursorMoved(batch.push_id));
    }
    let now = now_ms();
    let mut change = Change::default();
    let mut again = BTreeMap::new();
    // A device may be named twice, by two rows of the audience: it is one recipient all the same.
    let mut add = tx.prepare_cached(
        "INSERT INTO recipient (push_id, device_id, outcome, sent_at, arrived_at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO NOTHING",
    )?;
    let mut wait =
        tx.prepare_cached("INSERT INTO inbox (device_id, push_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?;
    let mut sorted: Vec<Recipient> = batch.recipients.clone();
    sorted.sort_unstable_by_key(|recipient| recipient.device);
    for Recipient { device, outcome } in sorted {
        let sent_at = was_sent(outcome).then_some(now);
        let arrived_at = (outcome == Outcome::Arrived).then_some(now);
        if add.execute(params![batch.push_id.0, device.0, outcome.code(), sent_at, arrived_at])? == 1 {
            change.born(outcome);
            if !outcome.is_final() {
                wait.execute(params![device.0, batch.push_id.0])?;
            }
        } else if outcome == Outcome::Arrived {
            // Its earlier row may still wait: it has arrived now.
            settle(tx, batch.push_id, device, Outcome::Arrived, &mut again)?;
        }
    }
    apply_all(tx, again)?;
    change.apply(tx, batch.push_id)?;
    let devices = || batch.recipients.iter().map(|recipient| recipient.device);
    let (Some(first), Some(last)) = (devices().min(), devices().max()) else { return Ok(()) };
    early::count(tx, batch.push_id, first, last)
}

pub(crate) fn outcome(tx: &Connection, push_id: PushId, device: DeviceId) -> Result<Option<Outcome>> {
    let found: Option<i64> = tx
        .prepare_cached("SELECT outcome FROM recipient WHERE push_id = ?1 AND device_id = ?2")?
        .query_row(params![push_id.0, device.0], |row| row.get(0))
        .optional()?;
    found
        .map(|value| Outcome::try_from(value).map_err(|_| Error::Corrupt { what: "outcome", value: value.to_string() }))
        .transpose()
}

/// Moves a recipient that is not final on to `to`. Answers whether it did.
pub(crate) fn settle(
    tx: &Connection,
    push_id: PushId,
    device: DeviceId,
    to: Outcome,
    changes: &mut BTreeMap<PushId, Change>,
) -> Result<bool> {
    let Some(from) = outcome(tx, push_id, device)?.filter(|from| !from.is_final()) else { return Ok(false) };
    let arrived_at = (to == Outcome::Arrived).then(now_ms);
    tx.prepare_cached(
        "UPDATE recipient SET outcome = ?3, arrived_at = ?4, sent_at = coalesce(sent_at, ?4)
         WHERE push_id = ?1 AND device_id = ?2",
    )?
    .execute(params![push_id.0, device.0, to.code(), arrived_at])?;
    tx.prepare_cached("DELETE FROM inbox WHERE device_id = ?1 AND push_id = ?2")?
        .execute(params![device.0, push_id.0])?;
    changes.entry(push_id).or_default().moved(from, to);
    Ok(true)
}

pub(crate) fn apply_all(tx: &Connection, changes: BTreeMap<PushId, Change>) -> Result<()> {
    changes.into_iter().try_for_each(|(push_id, change)| change.apply(tx, push_id))
}

impl Permit<'_> {
    /// Records a batch: recipients, inbox rows, sums and cursor, or none of them. Queued at once.
    pub fn record_batch(self, batch: Batch) -> Written<()> {
        self.write(move |tx| record(tx, &batch))
    }
}

impl Store {
    /// Pushes that have expired and for which something waits, the first to expire first: at most `limit`.
    ///
    /// # Errors
    /// The database's.
    pub async fn expired_pushes(&self, now: i64, limit: u32) -> Result<Vec<PushId>> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT push_id FROM push WHERE waiting > 0 AND expire_at_s <= ?1 ORDER BY expire_at_s LIMIT ?2",
            )?;
            let expired = statement.query_map(params![now, limit], |row| row.get(0).map(PushId))?;
            Ok(expired.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Lets recipients of an expired push that still wait go: up to `limit` of those after the device `after`, in the
    /// order of devices. Answers which it looked at; fewer than `limit` are the last.
    ///
    /// They are looked for beside the writer, and from where the last call ended: the writer is held up for as long as
    /// it takes to change them, however many recipients the push has.
    ///
    /// # Errors
    /// The database's.
    pub async fn expire(&self, push_id: PushId, after: Option<DeviceId>, limit: u32) -> Result<Vec<DeviceId>> {
        let devices = self
            .read(move |connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT device_id FROM recipient
                     WHERE push_id = ?1 AND device_id > ?2 AND outcome IN (?3, ?4) ORDER BY device_id LIMIT ?5",
                )?;
                let after = after.map_or(i64::MIN, |device| device.0);
                let (waiting, sent) = (Outcome::Waiting.code(), Outcome::Sent.code());
                let devices = statement
                    .query_map(params![push_id.0, after, waiting, sent, limit], |row| row.get(0).map(DeviceId))?;
                Ok(devices.collect::<rusqlite::Result<Vec<_>>>()?)
            })
            .await?;
        if devices.is_empty() {
            return Ok(devices);
        }
        self.write(move |tx| {
            let mut changes = BTreeMap::new();
            for device in &devices {
                // Those that moved on since they were read stay what they are.
                settle(tx, push_id, *device, Outcome::Expired, &mut changes)?;
            }
            apply_all(tx, changes)?;
            Ok(devices)
        })
        .await
    }

    /// Deletes up to `limit` recipients of pushes that finished before this time and have none waiting: their sums
    /// stay. Answers how many.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_recipients(&self, finished_before_ms: i64, limit: u32) -> Result<u64> {
        self.write(move |tx| {
            let forgotten = tx
                .prepare_cached(
                    "DELETE FROM recipient WHERE (push_id, device_id) IN (
                        SELECT r.push_id, r.device_id FROM push p JOIN recipient r USING (push_id)
                        WHERE p.finished_at < ?1 AND p.waiting = 0 LIMIT ?2)",
                )?
                .execute(params![finished_before_ms, limit])?;
            Ok(forgotten as u64)
        })
        .await
    }
}

/// Counts a receipt of a recipient, the first of its kind. `false`: counted before, or no such recipient.
pub(crate) fn receipt(tx: &Connection, push_id: PushId, device: DeviceId, event: ReceiptEvent) -> Result<bool> {
    let bit = i64::from(event.flag());
    let first = tx
        .prepare_cached(
            "UPDATE recipient SET receipts = receipts | ?3
             WHERE push_id = ?1 AND device_id = ?2 AND receipts & ?3 = 0",
        )?
        .execute(params![push_id.0, device.0, bit])?;
    if first == 0 {
        return Ok(false);
    }
    let sql = match event {
        ReceiptEvent::Shown => "UPDATE push SET shown = shown + 1 WHERE push_id = ?1",
        ReceiptEvent::Clicked => "UPDATE push SET clicked = clicked + 1 WHERE push_id = ?1",
        ReceiptEvent::Cleared => "UPDATE push SET cleared = cleared + 1 WHERE push_id = ?1",
    };
    tx.prepare_cached(sql)?.execute([push_id.0])?;
    Ok(true)
}
