//! Parked messages: those that a vendor's channel did not take for now, to be given to it again. Each stands in the inbox of
//! its device, too, and goes the way that opens first.
//!
//! A row is written with the batch of its recipient. Whatever ends the waiting otherwise (an acknowledgement, expiry, a stop, a
//! deletion) leaves the row: it would have to look for one each time, though nearly none is parked. Who comes to the row
//! sees that nobody waits, and takes it away.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use pigeonloft_model::{AccessId, Channel, DeviceId, Outcome, PushId, ReceiptEvent};
use rusqlite::types::Value;
use rusqlite::{Connection, params};

use crate::batches::Batch;
use crate::channels::{self, DeadToken};
use crate::error::{Error, Result};
use crate::recipients::{Change, outcome, was_sent};
use crate::revocations;
use crate::{Store, now_ms};

/// A recipient of a [`Batch`] whose message is parked, if it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parked {
    /// The device.
    pub device: DeviceId,
    /// The channel that did not take it.
    pub channel: Channel,
    /// It is not given again before, unix milliseconds.
    pub not_before: i64,
}

/// Where one of an app's and channel's parked messages stands among them.
pub type ParkedAt = (PushId, DeviceId);

/// A parked message that may be given to its channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToGive {
    /// Of this push.
    pub push_id: PushId,
    /// To this device.
    pub device: DeviceId,
    /// The vendor's token of it, as of now.
    pub token: String,
    /// What the channel needs beside that.
    pub detail: Option<String>,
    /// Not before this time, unix milliseconds.
    pub not_before: i64,
}

/// Some parked messages of an app and channel, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParkedPage {
    /// Those that may be given.
    pub to_give: Vec<ToGive>,
    /// Those that are over: nobody waits for them, or the channel leads to their devices no more.
    pub over: Vec<ParkedAt>,
    /// The last that was looked at; `None`: there was none.
    pub last: Option<ParkedAt>,
}

/// What became of a parked message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// Which one.
    pub at: ParkedAt,
    /// What is to be done.
    pub then: Then,
    /// The vendor's word, as a recipient's; `None`: it had none.
    pub code: Option<Arc<str>>,
}

/// What is done with a parked message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Its recipient ends so, unless it ended meanwhile: the vendor took it, or may have.
    End(Outcome),
    /// It is not given again, and waits in the inbox alone.
    Wait,
    /// It stays parked, and is not given before this time, unix milliseconds.
    Park(i64),
}

/// Parks those of a batch, just recorded, that wait.
pub(crate) fn park(tx: &Connection, batch: &Batch) -> Result<()> {
    if batch.parked.is_empty() {
        return Ok(());
    }
    let mut kinds: BTreeMap<(i64, i64), Vec<Value>> = BTreeMap::new();
    for Parked { device, channel, not_before } in &batch.parked {
        kinds.entry((channel.code(), *not_before)).or_default().push(Value::Integer(device.0));
    }
    let mut add = tx.prepare_cached(
        "INSERT INTO parked SELECT p.access_id, ?2, p.push_id, r.device_id, ?3
         FROM push p CROSS JOIN rarray(?4) AS named
         CROSS JOIN recipient r ON r.push_id = p.push_id AND r.device_id = named.value
         WHERE p.push_id = ?1 AND r.outcome = ?5 ON CONFLICT DO NOTHING",
    )?;
    for ((channel, not_before), devices) in kinds {
        let given = params![batch.push_id.0, channel, not_before, Rc::new(devices), Outcome::Waiting.code()];
        add.execute(given)?;
    }
    Ok(())
}

/// How the sums of a push change by what was parked.
#[derive(Default)]
struct Moved {
    of_push: Change,
    of_channel: Change,
    /// Who got it now.
    accepted: Vec<DeviceId>,
}

/// Ends a recipient, which goes from our own channel to a vendor's. Answers whether it did.
fn end(
    tx: &Connection,
    channel: Channel,
    (push_id, device): ParkedAt,
    to: Outcome,
    code: Option<&str>,
    moved: &mut BTreeMap<PushId, Moved>,
) -> Result<bool> {
    let Some((from, had_been_sent)) = outcome(tx, push_id, device)? else { return Ok(false) };
    // One that was stopped while the vendor took it has it all the same.
    let too_late = from == Outcome::Stopped && to == Outcome::Accepted;
    if from.is_final() && !too_late {
        return Ok(false);
    }
    let sent_at = was_sent(to).then(now_ms);
    let receipts: i64 = tx
        .prepare_cached(
            "UPDATE recipient SET outcome = ?3, channel = ?4, code = ?5, sent_at = coalesce(sent_at, ?6)
             WHERE push_id = ?1 AND device_id = ?2 RETURNING receipts",
        )?
        .query_row(params![push_id.0, device.0, to.code(), channel.code(), code, sent_at], |row| row.get(0))?;
    tx.prepare_cached("DELETE FROM inbox WHERE device_id = ?1 AND push_id = ?2")?
        .execute(params![device.0, push_id.0])?;
    let sums = moved.entry(push_id).or_default();
    sums.of_push.moved(from, to, had_been_sent);
    sums.of_channel.targets += 1;
    sums.of_channel.sent += i64::from(had_been_sent || was_sent(to));
    if to == Outcome::Accepted {
        sums.accepted.push(device);
    }
    if receipts != 0 {
        channels::add_sums(tx, push_id, channel, Change::default())?;
        for event in ReceiptEvent::ALL.iter().filter(|event| receipts & i64::from(event.flag()) != 0) {
            channels::add_receipt(tx, push_id, channel.code(), *event)?;
        }
    }
    Ok(true)
}

/// Says of a recipient that waits why its vendor's channel will not take the message.
fn explain(tx: &Connection, (push_id, device): ParkedAt, code: Option<&str>) -> Result<()> {
    tx.prepare_cached(
        "UPDATE recipient SET code = coalesce(?3, code) WHERE push_id = ?1 AND device_id = ?2 AND outcome = ?4",
    )?
    .execute(params![push_id.0, device.0, code, Outcome::Waiting.code()])?;
    Ok(())
}

/// Puts off when a message that stays parked is given again.
fn put_off(tx: &Connection, access_id: AccessId, channel: Channel, at: ParkedAt, not_before: i64) -> Result<()> {
    tx.prepare_cached(
        "UPDATE parked SET not_before = ?5 WHERE access_id = ?1 AND channel = ?2 AND push_id = ?3 AND device_id = ?4",
    )?
    .execute(params![access_id.0, channel.code(), at.0.0, at.1.0, not_before])?;
    Ok(())
}

/// Takes away what is not parked any more. Answers how many that were.
fn unpark(tx: &Connection, access_id: AccessId, channel: Channel, all: impl Iterator<Item = ParkedAt>) -> Result<u64> {
    let mut delete = tx.prepare_cached(
        "DELETE FROM parked WHERE access_id = ?1 AND channel = ?2 AND push_id = ?3 AND device_id = ?4",
    )?;
    let mut deleted = 0;
    for (push_id, device) in all {
        deleted += delete.execute(params![access_id.0, channel.code(), push_id.0, device.0])? as u64;
    }
    Ok(deleted)
}

/// What [`Store::record_given`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unparked {
    /// How many are not parked any more.
    pub removed: u64,
    /// How many recipients ended, by outcome.
    pub ended: BTreeMap<Outcome, u64>,
    /// Devices into whose inboxes something was put because of it, by its push: what they got is taken back.
    pub to_wake: Vec<(PushId, Vec<DeviceId>)>,
}

impl Store {
    /// Parked messages of an app and channel after `after`, at most `limit` looked at. `now`: unix seconds.
    ///
    /// # Errors
    /// The database's.
    pub async fn parked(
        &self,
        access_id: AccessId,
        channel: Channel,
        after: ParkedAt,
        now: i64,
        limit: usize,
    ) -> Result<ParkedPage> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT k.push_id, k.device_id, k.not_before, c.channel_token, c.detail
                 FROM parked k
                 LEFT JOIN push p ON p.push_id = k.push_id AND p.stopped_at IS NULL AND p.expire_at_s > ?5
                 LEFT JOIN recipient r ON r.push_id = p.push_id AND r.device_id = k.device_id AND r.outcome = ?6
                 LEFT JOIN device_channel c ON c.device_id = r.device_id AND c.channel = ?7
                 WHERE k.access_id = ?1 AND k.channel = ?2 AND (k.push_id, k.device_id) > (?3, ?4)
                 ORDER BY k.push_id, k.device_id LIMIT ?8",
            )?;
            let (push_id, device) = after;
            let (waiting, name) = (Outcome::Waiting.code(), channel.as_str());
            let given = params![access_id.0, channel.code(), push_id.0, device.0, now, waiting, name, limit];
            let mut rows = statement.query(given)?;
            let mut page = ParkedPage::default();
            while let Some(row) = rows.next()? {
                let at = (PushId(row.get(0)?), DeviceId(row.get(1)?));
                page.last = Some(at);
                match row.get(3)? {
                    Some(token) => page.to_give.push(ToGive {
                        push_id: at.0,
                        device: at.1,
                        not_before: row.get(2)?,
                        token,
                        detail: row.get(4)?,
                    }),
                    None => page.over.push(at),
                }
            }
            Ok(page)
        })
        .await
    }

    /// Records what became of parked messages of an app and channel, and which tokens are dead: all of it or nothing.
    ///
    /// # Errors
    /// The database's.
    pub async fn record_given(
        &self,
        access_id: AccessId,
        channel: Channel,
        given: Arc<[Given]>,
        dead: Arc<[DeadToken]>,
    ) -> Result<Unparked> {
        self.write_in_bulk(move |tx| {
            let mut done = Unparked::default();
            let mut moved = BTreeMap::new();
            for Given { at, then, code } in &*given {
                match *then {
                    Then::End(to) => {
                        if end(tx, channel, *at, to, code.as_deref(), &mut moved)? {
                            *done.ended.entry(to).or_default() += 1;
                        }
                    }
                    Then::Wait => explain(tx, *at, code.as_deref())?,
                    Then::Park(not_before) => put_off(tx, access_id, channel, *at, not_before)?,
                }
            }
            for (push_id, Moved { of_push, of_channel, accepted }) in moved {
                of_push.apply(tx, push_id)?;
                channels::add_sums(tx, push_id, channel, of_channel)?;
                // One that was taken back meanwhile is told so to these, too.
                if let Some(revocation) = revocations::reach(tx, push_id, &accepted)? {
                    done.to_wake.push((revocation, accepted));
                }
            }
            channels::forget(tx, &dead)?;
            let is_over = given.iter().filter(|given| !matches!(given.then, Then::Park(_)));
            done.removed = unpark(tx, access_id, channel, is_over.map(|given| given.at))?;
            Ok(done)
        })
        .await
    }

    /// Takes away parked messages of an app and channel that are over. Answers how many that were.
    ///
    /// # Errors
    /// The database's.
    pub async fn unpark(&self, access_id: AccessId, channel: Channel, over: Vec<ParkedAt>) -> Result<u64> {
        self.write_in_bulk(move |tx| unpark(tx, access_id, channel, over.into_iter())).await
    }

    /// How many messages are parked, by app and channel. Takes time with their number.
    ///
    /// # Errors
    /// The database's.
    pub async fn parked_counts(&self) -> Result<Vec<(AccessId, Channel, u64)>> {
        self.read(|connection| {
            let mut statement = connection
                .prepare_cached("SELECT access_id, channel, count(*) FROM parked GROUP BY access_id, channel")?;
            let mut rows = statement.query([])?;
            let mut counts = Vec::new();
            while let Some(row) = rows.next()? {
                let channel: i64 = row.get(1)?;
                let Ok(channel) = Channel::try_from(channel) else {
                    return Err(Error::Corrupt { what: "channel", value: channel.to_string() });
                };
                counts.push((AccessId(row.get(0)?), channel, row.get(2)?));
            }
            Ok(counts)
        })
        .await
    }
}
