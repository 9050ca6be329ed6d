//! The inbox of a device: messages that wait for it, and what the device reports of them. Those of a push that is kept off our
//! own channel wait for their vendor, and are not shown.

use std::collections::BTreeMap;

use pigeonloft_model::{DeviceId, Outcome, PushId, ReceiptEvent};
use rusqlite::{Connection, named_params};

use crate::Store;
use crate::accept::ACCEPTED;
use crate::devices::seen;
use crate::early;
use crate::error::Result;
use crate::readers::push_array;
use crate::recipients::{apply_all, outcome, receipt, settle};
use crate::revocations;

/// A message that waits.
#[derive(Debug, Clone)]
pub struct InboxMessage {
    /// Of this push.
    pub push_id: PushId,
    /// The payload of the push's messages, as the model crate stores it.
    pub template: String,
    /// When it expires, unix seconds.
    pub expire_at: i64,
}

/// What devices reported since the last time, in their order.
#[derive(Debug, Default, Clone)]
pub struct Acknowledged {
    /// Devices whose session began.
    pub seen: Vec<DeviceId>,
    /// Messages acknowledged.
    pub arrived: Vec<(DeviceId, PushId)>,
    /// Receipts.
    pub receipts: Vec<(DeviceId, PushId, ReceiptEvent)>,
}

/// What became of what devices reported.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Kept {
    /// How many messages arrived by it.
    pub arrived: u64,
    /// Devices into whose inboxes something was put because of it, by its push.
    pub to_wake: Vec<(PushId, Vec<DeviceId>)>,
}

/// Lets everything that waits for a device go: the device is deleted. Returns how many messages that were.
pub(crate) fn empty(tx: &Connection, device: DeviceId) -> Result<u64> {
    let mut statement = tx.prepare_cached("SELECT push_id FROM inbox WHERE device_id = ?1")?;
    let waiting =
        statement.query_map([device.0], |row| row.get(0).map(PushId))?.collect::<rusqlite::Result<Vec<_>>>()?;
    let messages = waiting.len() as u64;
    let mut changes = BTreeMap::new();
    for push_id in waiting {
        settle(tx, push_id, device, Outcome::Gone, &mut changes)?;
    }
    apply_all(tx, changes)?;
    Ok(messages)
}

impl Store {
    /// Messages that wait for a device, may go through our own channel, have neither expired nor been stopped and may go out in
    /// the minute of the day `minute`, oldest first, of pushes after `after`, without those in `except`.
    ///
    /// # Errors
    /// The database's.
    pub async fn inbox(
        &self,
        device: DeviceId,
        after: PushId,
        except: Vec<PushId>,
        now: i64,
        minute: u16,
        limit: usize,
    ) -> Result<Vec<InboxMessage>> {
        self.read(move |connection| {
            let except = push_array(&except);
            let mut statement = connection.prepare_cached(&format!(
                "SELECT p.push_id, p.template, p.expire_at_s FROM inbox i CROSS JOIN push p USING (push_id)
                 WHERE i.device_id = :device AND i.push_id > :after AND p.expire_at_s > :now AND p.stopped_at IS NULL
                    AND NOT p.vendors_only AND {ACCEPTED} AND i.push_id NOT IN (SELECT value FROM rarray(:except))
                 ORDER BY i.push_id LIMIT :limit",
            ))?;
            let given = named_params! {
                ":device": device.0, ":after": after.0, ":now": now, ":minute": minute, ":except": except, ":limit": limit
            };
            let messages = statement.query_map(given, |row| {
                Ok(InboxMessage { push_id: PushId(row.get(0)?), template: row.get(1)?, expire_at: row.get(2)? })
            })?;
            Ok(messages.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Records what devices reported, all of it or nothing. What is reported twice counts once. In the order of the queue
    /// in which batches are recorded: a device may report what its batch, recorded just before, has put there.
    ///
    /// # Errors
    /// The database's.
    pub async fn acknowledge(&self, reported: Acknowledged) -> Result<Kept> {
        let zone = self.zone;
        self.write_in_bulk(move |tx| {
            let mut changes = BTreeMap::new();
            let (mut arrived, mut from_inbox) = (0, Vec::new());
            for &(device, push_id) in &reported.arrived {
                if let Some(was_sent) = settle(tx, push_id, device, Outcome::Arrived, &mut changes)? {
                    arrived += 1;
                    if !was_sent {
                        from_inbox.push((push_id, device));
                    }
                }
            }
            apply_all(tx, changes)?;
            for &(device, push_id, event) in &reported.receipts {
                if !receipt(tx, push_id, device, event)? && outcome(tx, push_id, device)?.is_none() {
                    early::keep(tx, push_id, device, event)?;
                }
            }
            let mut kept = Kept { arrived, to_wake: Vec::new() };
            from_inbox.sort_unstable();
            for of_push in from_inbox.chunk_by(|(a, _), (b, _)| a == b) {
                let devices: Vec<DeviceId> = of_push.iter().map(|(_, device)| *device).collect();
                if let Some(revocation) = revocations::reach(tx, of_push[0].0, &devices)? {
                    kept.to_wake.push((revocation, devices));
                }
            }
            // Last: what a device said before it connected anew is of the time before.
            seen(tx, zone, &reported.seen)?;
            Ok(kept)
        })
        .await
    }

    /// Messages that wait in all inboxes.
    ///
    /// # Errors
    /// The database's.
    pub async fn inbox_size(&self) -> Result<u64> {
        // The sums know: counting the rows would read all of them.
        self.read(|connection| {
            let sql = "SELECT coalesce(sum(waiting), 0) FROM push WHERE waiting > 0";
            Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
        })
        .await
    }
}
