//! Given: what becomes of parked messages that were given to their vendor, or that nobody waits for.

use std::collections::BTreeMap;
use std::sync::Arc;

use pigeonloft_model::{AccessId, Channel, DeviceId, Outcome, PushId, ReceiptEvent};
use rusqlite::{Connection, params};

use super::ParkedAt;
use crate::channels::{self, DeadToken};
use crate::error::Result;
use crate::recipients::{Change, apply_all, outcome, settle, was_sent};
use crate::revocations;
use crate::{Store, now_ms};

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
    /// It is not given again, and waits in the inbox alone; where its push is kept off our own channel, the recipient ends with
    /// no channel.
    Wait,
    /// It is not given again, and its recipient ends with its push.
    Leave,
    /// It stays parked, and is not given before this time, unix milliseconds.
    Park(i64),
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

/// Ends recipients that wait for a vendor's channel alone, which will not take their messages or leads to them no more.
#[derive(Default)]
struct WithoutChannel {
    /// Whether a push, the last that was looked at, is kept off our own channel.
    last: Option<(PushId, bool)>,
    changes: BTreeMap<PushId, Change>,
    ended: u64,
}

impl WithoutChannel {
    /// Ends one, if its push is such a one and has not expired by `now` (unix seconds), nor was stopped: else it ends with that.
    fn end(&mut self, tx: &Connection, (push_id, device): ParkedAt, now: i64) -> Result<()> {
        let vendors_only = match self.last {
            Some((last, vendors_only)) if last == push_id => vendors_only,
            _ => tx
                .prepare_cached(
                    "SELECT 1 FROM push WHERE push_id = ?1 AND vendors_only AND stopped_at IS NULL AND expire_at_s > ?2",
                )?
                .exists(params![push_id.0, now])?,
        };
        self.last = Some((push_id, vendors_only));
        if vendors_only && settle(tx, push_id, device, Outcome::NoChannel, &mut self.changes)?.is_some() {
            self.ended += 1;
        }
        Ok(())
    }

    fn apply(self, tx: &Connection, ended: &mut BTreeMap<Outcome, u64>) -> Result<()> {
        if self.ended > 0 {
            ended.insert(Outcome::NoChannel, self.ended);
        }
        apply_all(tx, self.changes)
    }
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

/// What [`Store::record_given`] or [`Store::unpark`] did.
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
    /// Records what became of parked messages of an app and channel, and which tokens are dead: all of it or nothing. `now`:
    /// unix seconds.
    ///
    /// # Errors
    /// The database's.
    pub async fn record_given(
        &self,
        access_id: AccessId,
        channel: Channel,
        given: Arc<[Given]>,
        dead: Arc<[DeadToken]>,
        now: i64,
    ) -> Result<Unparked> {
        self.write_in_bulk(move |tx| {
            let mut done = Unparked::default();
            let (mut moved, mut without) = (BTreeMap::new(), WithoutChannel::default());
            for Given { at, then, code } in &*given {
                match *then {
                    Then::End(to) => {
                        if end(tx, channel, *at, to, code.as_deref(), &mut moved)? {
                            *done.ended.entry(to).or_default() += 1;
                        }
                    }
                    Then::Wait => {
                        explain(tx, *at, code.as_deref())?;
                        without.end(tx, *at, now)?;
                    }
                    Then::Leave => {}
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
            without.apply(tx, &mut done.ended)?;
            channels::forget(tx, &dead)?;
            let is_over = given.iter().filter(|given| !matches!(given.then, Then::Park(_)));
            done.removed = unpark(tx, access_id, channel, is_over.map(|given| given.at))?;
            Ok(done)
        })
        .await
    }

    /// Takes away parked messages of an app and channel that are over. Whoever waits for that channel alone has none any more.
    /// `now`: unix seconds.
    ///
    /// # Errors
    /// The database's.
    pub async fn unpark(
        &self,
        access_id: AccessId,
        channel: Channel,
        over: Vec<ParkedAt>,
        now: i64,
    ) -> Result<Unparked> {
        self.write_in_bulk(move |tx| {
            let (mut done, mut without) = (Unparked::default(), WithoutChannel::default());
            over.iter().try_for_each(|at| without.end(tx, *at, now))?;
            without.apply(tx, &mut done.ended)?;
            done.removed = unpark(tx, access_id, channel, over.into_iter())?;
            Ok(done)
        })
        .await
    }
}
