//! Batches: what became of some devices of a push, recorded together with the push's cursor and sums, so that all three
//! always agree. What happens to a recipient later stands in [`recipients`](crate::recipients).

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use pigeonloft_model::{Channel, DeviceId, Outcome, PushId, PushState};
use rusqlite::types::Value;
use rusqlite::{Connection, params};

use crate::channels::{self, DeadToken};
use crate::deleted;
use crate::early;
use crate::error::{Error, Result};
use crate::parked::{self, Parked};
use crate::recipients::{Change, apply_all, settle, was_sent};
use crate::revocations;
use crate::writer::start_over;
use crate::{Permit, Written, now_ms};

/// Where a push stands in its audience, which is dealt with a window of rows at a time, and each window in the order of
/// its devices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The first row of the window that is next or under way: all rows before it are dealt with.
    pub row: u64,
    /// How far that window is, if a part of it is recorded.
    pub within: Option<Within>,
}

/// How far a window is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Within {
    /// The row after the window's last.
    pub end: u64,
    /// Its last device that is recorded: those with larger ids remain.
    pub device: DeviceId,
}

/// One recipient of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// The device.
    pub device: DeviceId,
    /// What became of it so far.
    pub outcome: Outcome,
    /// The channel it went through, or waits on.
    pub channel: Channel,
    /// Why a vendor's channel did not take it, if one was asked: channel and code.
    pub code: Option<Arc<str>>,
}

impl Recipient {
    /// One that no vendor's channel was asked for.
    #[must_use]
    pub const fn own(device: DeviceId, outcome: Outcome) -> Self {
        Self { device, outcome, channel: Channel::Xg, code: None }
    }

    /// What recipients that are recorded by one statement have in common.
    fn kind(&self) -> Kind<'_> {
        (self.outcome, self.channel, self.code.as_deref())
    }
}

/// Devices that rows name and that are no recipients, because the push leaves them out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// The excluded package names them, too.
    pub excluded: u64,
    /// They are not in the sample.
    pub sampled_out: u64,
}

/// A batch that was sent and is to be recorded.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Of this push.
    pub push_id: PushId,
    /// Where the push's cursor must stand.
    pub from: Cursor,
    /// Where it stands then.
    pub to: Cursor,
    /// How many rows of the audience count as dealt with then.
    pub rows_done: u64,
    /// Rows that name no device, beyond those counted before.
    pub no_device: u64,
    /// Devices that are no recipients, beyond those counted before.
    pub left_out: LeftOut,
    /// Its recipients. Quick where their devices rise, and none was recorded before.
    pub recipients: Vec<Recipient>,
    /// Vendors' tokens that lead to no device any more: they are forgotten.
    pub dead: Vec<DeadToken>,
    /// Those whose messages are given to their vendor's channel again, if they wait.
    pub parked: Vec<Parked>,
    /// When the push started, unix milliseconds, unless that was noted before.
    pub started_at: i64,
    /// Whether the push is finished with it.
    pub is_last: bool,
}

/// Answers for how many recipients it comes too late.
fn record(tx: &Connection, batch: &Batch) -> Result<u64> {
    let now = now_ms();
    let change = match add_all(tx, batch, now)? {
        Some(change) => change,
        None => {
            start_over(tx)?;
            add_each(tx, batch, now)?
        }
    };
    move_on(tx, batch, change.of_push, now)?;
    for (channel, change) in change.of_channels {
        channels::add_sums(tx, batch.push_id, channel, change)?;
    }
    channels::forget(tx, &batch.dead)?;
    let gone = deleted::let_go(tx, batch)?;
    parked::park(tx, batch)?;
    let devices = || batch.recipients.iter().map(|recipient| recipient.device);
    if let (Some(first), Some(last)) = (devices().min(), devices().max()) {
        early::count(tx, batch.push_id, first, last)?;
    }
    if batch.is_last {
        early::forget(tx, batch.push_id)?;
        revocations::has_ended(tx, batch.push_id)?;
    }
    Ok(gone)
}

/// Outcome, channel and code.
type Kind<'a> = (Outcome, Channel, Option<&'a str>);

/// How the sums change by new recipients.
#[derive(Default)]
struct Born {
    of_push: Change,
    /// The part of it that is of vendors' channels.
    of_channels: BTreeMap<Channel, Change>,
}

impl Born {
    fn add(&mut self, outcome: Outcome, channel: Channel, count: i64) {
        self.of_push.born(outcome, count);
        if channel != Channel::Xg {
            self.of_channels.entry(channel).or_default().born(outcome, count);
        }
    }
}

/// Adds all recipients, each kind of them by one statement: an index is then walked from one place to the next.
/// Answers nothing where a recipient was there before; what was added must go then.
fn add_all(tx: &Connection, batch: &Batch, now: i64) -> Result<Option<Born>> {
    let mut born = Born::default();
    let mut add = tx.prepare_cached(
        "INSERT INTO recipient (push_id, device_id, outcome, sent_at, arrived_at, channel, code)
         SELECT ?1, value, ?2, ?3, ?4, ?5, ?6 FROM rarray(?7) WHERE true ON CONFLICT DO NOTHING",
    )?;
    for ((outcome, channel, code), devices) in kinds(&batch.recipients) {
        let (sent_at, arrived_at) = times(outcome, now);
        let (count, devices) = (devices.len(), Rc::new(devices));
        let given = params![batch.push_id.0, outcome.code(), sent_at, arrived_at, channel.code(), code, devices];
        if add.execute(given)? < count {
            return Ok(None);
        }
        born.add(outcome, channel, count as i64);
    }
    let waiting = batch.recipients.iter().filter(|recipient| !recipient.outcome.is_final());
    let waiting: Rc<Vec<Value>> = Rc::new(waiting.map(|recipient| Value::Integer(recipient.device.0)).collect());
    if !waiting.is_empty() {
        tx.prepare_cached(
            "INSERT INTO inbox (device_id, push_id) SELECT value, ?1 FROM rarray(?2) WHERE true ON CONFLICT DO NOTHING",
        )?
        .execute(params![batch.push_id.0, waiting])?;
    }
    Ok(Some(born))
}

/// The devices of each kind of recipients. There are few kinds: most often all recipients are of one or two.
fn kinds(recipients: &[Recipient]) -> Vec<(Kind<'_>, Vec<Value>)> {
    let mut kinds: Vec<(Kind<'_>, Vec<Value>)> = Vec::new();
    for recipient in recipients {
        let (kind, device) = (recipient.kind(), Value::Integer(recipient.device.0));
        match kinds.iter_mut().find(|(of, _)| *of == kind) {
            Some((_, devices)) => devices.push(device),
            None => kinds.push((kind, vec![device])),
        }
    }
    kinds
}

/// When a recipient was sent the message, and when it arrived, if its outcome is known now.
fn times(outcome: Outcome, now: i64) -> (Option<i64>, Option<i64>) {
    (was_sent(outcome).then_some(now), (outcome == Outcome::Arrived).then_some(now))
}

/// Adds the recipients one by one. A device may be named twice, by two rows of the audience, and be dealt with by an
/// earlier batch: it is one recipient all the same.
fn add_each(tx: &Connection, batch: &Batch, now: i64) -> Result<Born> {
    let mut born = Born::default();
    let mut again = BTreeMap::new();
    let mut add = tx.prepare_cached(
        "INSERT INTO recipient (push_id, device_id, outcome, sent_at, arrived_at, channel, code)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
    )?;
    let mut wait =
        tx.prepare_cached("INSERT INTO inbox (device_id, push_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?;
    for recipient in &batch.recipients {
        let (device, (outcome, channel, code)) = (recipient.device, recipient.kind());
        let (sent_at, arrived_at) = times(outcome, now);
        let given = params![batch.push_id.0, device.0, outcome.code(), sent_at, arrived_at, channel.code(), code];
        if add.execute(given)? == 1 {
            born.add(outcome, channel, 1);
            if !outcome.is_final() {
                wait.execute(params![device.0, batch.push_id.0])?;
            }
        } else if outcome == Outcome::Arrived {
            // Its earlier row may still wait: it has arrived now.
            settle(tx, batch.push_id, device, Outcome::Arrived, &mut again)?;
        }
    }
    apply_all(tx, again)?;
    Ok(born)
}

/// Moves the push's cursor, state and sums, all by one statement: a push's row can be long, and is written as a whole.
fn move_on(tx: &Connection, batch: &Batch, change: Change, now: i64) -> Result<()> {
    let state = if batch.is_last { PushState::Finished } else { PushState::Started };
    let moved = tx
        .prepare_cached(
            "UPDATE push SET targets = targets + ?2, waiting = waiting + ?3, arrived = arrived + ?4,
                expired = expired + ?5, not_kept = not_kept + ?6, no_channel = no_channel + ?7, gone = gone + ?8,
                stopped = stopped + ?9, accepted = accepted + ?24, unknown = unknown + ?25, sent = sent + ?10,
                window_row = ?11, window_end = ?12, window_device = ?13,
                rows_done = ?14, no_device = no_device + ?15,
                state = CASE WHEN stopped_at IS NULL THEN ?16 ELSE state END, started_at = coalesce(started_at, ?17),
                finished_at = ?18, excluded = excluded + ?22, sampled_out = sampled_out + ?23
             WHERE push_id = ?1 AND finished_at IS NULL
                AND window_row = ?19 AND window_end IS ?20 AND window_device IS ?21",
        )?
        .execute(params![
            batch.push_id.0,
            change.targets,
            change.waiting,
            change.arrived,
            change.expired,
            change.not_kept,
            change.no_channel,
            change.gone,
            change.stopped,
            change.sent,
            batch.to.row,
            batch.to.within.map(|within| within.end),
            batch.to.within.map(|within| within.device.0),
            batch.rows_done,
            batch.no_device,
            state.code(),
            batch.started_at,
            batch.is_last.then_some(now),
            batch.from.row,
            batch.from.within.map(|within| within.end),
            batch.from.within.map(|within| within.device.0),
            batch.left_out.excluded,
            batch.left_out.sampled_out,
            change.accepted,
            change.unknown,
        ])?;
    if moved == 0 {
        return Err(Error::CursorMoved(batch.push_id));
    }
    Ok(())
}

impl Permit<'_> {
    /// Records a batch: recipients, inbox rows, sums and cursor, or none of them. Queued at once. Answers how
    /// many of those who wait were deleted since they were resolved: they are gone.
    pub fn record_batch(self, batch: Arc<Batch>) -> Written<u64> {
        self.write(move |tx| record(tx, &batch))
    }
}
