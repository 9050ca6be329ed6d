//! Recipients: what becomes of the devices of a push once their [batch](crate::batches) is recorded. Every change of one
//! changes the sums of its push in the same transaction.

use std::collections::BTreeMap;

use pigeonloft_model::{Channel, DeviceId, Outcome, PushId, ReceiptEvent};
use rusqlite::{Connection, OptionalExtension, params};

use crate::channels;
use crate::error::{Error, Result};
use crate::{Store, now_ms};

/// How the sums of a push change.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Change {
    pub(crate) targets: i64,
    pub(crate) waiting: i64,
    pub(crate) arrived: i64,
    pub(crate) expired: i64,
    pub(crate) not_kept: i64,
    pub(crate) no_channel: i64,
    pub(crate) gone: i64,
    pub(crate) stopped: i64,
    pub(crate) accepted: i64,
    pub(crate) unknown: i64,
    pub(crate) sent: i64,
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
            Outcome::Stopped => self.stopped += by,
            Outcome::Accepted => self.accepted += by,
            Outcome::Unknown => self.unknown += by,
        }
    }

    /// So many recipients are new.
    pub(crate) fn born(&mut self, outcome: Outcome, count: i64) {
        self.targets += count;
        self.add(outcome, count);
        if was_sent(outcome) {
            self.sent += count;
        }
    }

    /// A recipient moves on; `was_sent`: a channel had accepted its message before.
    pub(crate) fn moved(&mut self, from: Outcome, to: Outcome, was_sent: bool) {
        self.add(from, -1);
        self.add(to, 1);
        self.sent += i64::from(!was_sent && self::was_sent(to));
    }

    pub(crate) fn apply(self, tx: &Connection, push_id: PushId) -> Result<()> {
        tx.prepare_cached(
            "UPDATE push SET targets = targets + ?2, waiting = waiting + ?3, arrived = arrived + ?4,
                expired = expired + ?5, not_kept = not_kept + ?6, no_channel = no_channel + ?7, gone = gone + ?8,
                stopped = stopped + ?9, accepted = accepted + ?10, unknown = unknown + ?11, sent = sent + ?12
             WHERE push_id = ?1",
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
            self.stopped,
            self.accepted,
            self.unknown,
            self.sent
        ])?;
        Ok(())
    }
}

pub(crate) fn was_sent(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Sent | Outcome::Arrived | Outcome::Accepted)
}

/// What became of a recipient, and whether a channel accepted its message. `None`: there is no such recipient.
pub(crate) fn outcome(tx: &Connection, push_id: PushId, device: DeviceId) -> Result<Option<(Outcome, bool)>> {
    let found: Option<(i64, bool)> = tx
        .prepare_cached("SELECT outcome, sent_at IS NOT NULL FROM recipient WHERE push_id = ?1 AND device_id = ?2")?
        .query_row(params![push_id.0, device.0], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let known =
        |value: i64| Outcome::try_from(value).map_err(|_| Error::Corrupt { what: "outcome", value: value.to_string() });
    found.map(|(value, was_sent)| Ok((known(value)?, was_sent))).transpose()
}

/// Moves a recipient on to `to`: one that is not final, or one that [may arrive](Outcome::may_arrive) and did. If it did,
/// answers whether a channel had accepted its message before.
pub(crate) fn settle(
    tx: &Connection,
    push_id: PushId,
    device: DeviceId,
    to: Outcome,
    changes: &mut BTreeMap<PushId, Change>,
) -> Result<Option<bool>> {
    let Some((from, was_sent)) = outcome(tx, push_id, device)? else { return Ok(None) };
    if from.is_final() && !(to == Outcome::Arrived && from.may_arrive()) {
        return Ok(None);
    }
    let arrived_at = (to == Outcome::Arrived).then(now_ms);
    tx.prepare_cached(
        "UPDATE recipient SET outcome = ?3, arrived_at = ?4, sent_at = coalesce(sent_at, ?4)
         WHERE push_id = ?1 AND device_id = ?2",
    )?
    .execute(params![push_id.0, device.0, to.code(), arrived_at])?;
    tx.prepare_cached("DELETE FROM inbox WHERE device_id = ?1 AND push_id = ?2")?
        .execute(params![device.0, push_id.0])?;
    changes.entry(push_id).or_default().moved(from, to, was_sent);
    Ok(Some(was_sent))
}

pub(crate) fn apply_all(tx: &Connection, changes: BTreeMap<PushId, Change>) -> Result<()> {
    changes.into_iter().try_for_each(|(push_id, change)| change.apply(tx, push_id))
}

/// Lets recipients of a push that still wait go: they end as `to`.
///
/// They are looked for beside the writer, and from where the last call ended: the writer is held up for as long as it
/// takes to change them, however many recipients the push has.
pub(crate) async fn let_go(
    store: &Store,
    push_id: PushId,
    after: Option<DeviceId>,
    limit: u32,
    to: Outcome,
) -> Result<Vec<DeviceId>> {
    let devices = store.waiting_devices(push_id, after, limit).await?;
    if devices.is_empty() {
        return Ok(devices);
    }
    store
        .write_in_bulk(move |tx| {
            let mut changes = BTreeMap::new();
            for device in &devices {
                // Those that moved on since they were read stay what they are.
                settle(tx, push_id, *device, to, &mut changes)?;
            }
            apply_all(tx, changes)?;
            Ok(devices)
        })
        .await
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
    /// # Errors
    /// The database's.
    pub async fn expire(&self, push_id: PushId, after: Option<DeviceId>, limit: u32) -> Result<Vec<DeviceId>> {
        let_go(self, push_id, after, limit, Outcome::Expired).await
    }

    /// Devices for which a message of a push waits, in the order of their ids: at most `limit` after `after`.
    ///
    /// # Errors
    /// The database's.
    pub async fn waiting_devices(&self, push_id: PushId, after: Option<DeviceId>, limit: u32) -> Result<Vec<DeviceId>> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT device_id FROM recipient
                 WHERE push_id = ?1 AND device_id > ?2 AND outcome IN (?3, ?4) ORDER BY device_id LIMIT ?5",
            )?;
            let after = after.map_or(i64::MIN, |device| device.0);
            let (waiting, sent) = (Outcome::Waiting.code(), Outcome::Sent.code());
            let devices =
                statement.query_map(params![push_id.0, after, waiting, sent, limit], |row| row.get(0).map(DeviceId))?;
            Ok(devices.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Deletes up to `limit` recipients of pushes that finished before this time and have none waiting: their sums
    /// stay. Answers how many.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_recipients(&self, finished_before_ms: i64, limit: u32) -> Result<u64> {
        self.write_in_bulk(move |tx| {
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
    let first: Option<i64> = tx
        .prepare_cached(
            "UPDATE recipient SET receipts = receipts | ?3
             WHERE push_id = ?1 AND device_id = ?2 AND receipts & ?3 = 0 RETURNING channel",
        )?
        .query_row(params![push_id.0, device.0, bit], |row| row.get(0))
        .optional()?;
    let Some(channel) = first else { return Ok(false) };
    if channel != Channel::Xg.code() {
        channels::add_receipt(tx, push_id, channel, event)?;
    }
    let sql = match event {
        ReceiptEvent::Shown => "UPDATE push SET shown = shown + 1 WHERE push_id = ?1",
        ReceiptEvent::Clicked => "UPDATE push SET clicked = clicked + 1 WHERE push_id = ?1",
        ReceiptEvent::Cleared => "UPDATE push SET cleared = cleared + 1 WHERE push_id = ?1",
    };
    tx.prepare_cached(sql)?.execute([push_id.0])?;
    Ok(true)
}
