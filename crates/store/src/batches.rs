//! Batches: what became of some devices of a push, recorded together with the push's cursor and sums, so that all three
//! always agree. What happens to a recipient later stands in [`recipients`](crate::recipients).

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use pigeonloft_model::{DeviceId, Outcome, PushId, PushState};
use rusqlite::types::Value;
use rusqlite::{Connection, params};

use crate::early;
use crate::error::{Error, Result};
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipient {
    /// The device.
    pub device: DeviceId,
    /// What became of it so far.
    pub outcome: Outcome,
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
    /// When the push started, unix milliseconds, unless that was noted before.
    pub started_at: i64,
    /// Whether the push is finished with it.
    pub is_last: bool,
}

fn record(tx: &Connection, batch: &Batch) -> Result<()> {
    let now = now_ms();
    let change = match add_all(tx, batch, now)? {
        Some(change) => change,
        None => {
            start_over(tx)?;
            add_each(tx, batch, now)?
        }
    };
    move_on(tx, batch, change, now)?;
    let devices = || batch.recipients.iter().map(|recipient| recipient.device);
    if let (Some(first), Some(last)) = (devices().min(), devices().max()) {
        early::count(tx, batch.push_id, first, last)?;
    }
    if batch.is_last {
        early::forget(tx, batch.push_id)?;
        revocations::has_ended(tx, batch.push_id)?;
    }
    Ok(())
}

/// Adds all recipients, each kind of outcome by one statement: an index is then walked from one place to the next.
/// Answers nothing where a recipient was there before; what was added must go then.
fn add_all(tx: &Connection, batch: &Batch, now: i64) -> Result<Option<Change>> {
    let mut change = Change::default();
    let mut add = tx.prepare_cached(
        "INSERT INTO recipient (push_id, device_id, outcome, sent_at, arrived_at)
         SELECT ?1, value, ?2, ?3, ?4 FROM rarray(?5) WHERE true ON CONFLICT DO NOTHING",
    )?;
    for &outcome in Outcome::ALL {
        let devices = devices(batch, |of| of == outcome);
        if devices.is_empty() {
            continue;
        }
        let (sent_at, arrived_at) = times(outcome, now);
        let count = devices.len();
        if add.execute(params![batch.push_id.0, outcome.code(), sent_at, arrived_at, devices])? < count {
            return Ok(None);
        }
        change.born(outcome, count as i64);
    }
    let waiting = devices(batch, |outcome| !outcome.is_final());
    if !waiting.is_empty() {
        tx.prepare_cached(
            "INSERT INTO inbox (device_id, push_id) SELECT value, ?1 FROM rarray(?2) WHERE true ON CONFLICT DO NOTHING",
        )?
        .execute(params![batch.push_id.0, waiting])?;
    }
    Ok(Some(change))
}

fn devices(batch: &Batch, which: impl Fn(Outcome) -> bool) -> Rc<Vec<Value>> {
    let those = batch.recipients.iter().filter(|recipient| which(recipient.outcome));
    Rc::new(those.map(|recipient| Value::Integer(recipient.device.0)).collect())
}

/// When a recipient was sent the message, and when it arrived, if its outcome is known now.
fn times(outcome: Outcome, now: i64) -> (Option<i64>, Option<i64>) {
    (was_sent(outcome).then_some(now), (outcome == Outcome::Arrived).then_some(now))
}

/// Adds the recipients one by one. A device may be named twice, by two rows of the audience, and be dealt with by an
/// earlier batch: it is one recipient all the same.
fn add_each(tx: &Connection, batch: &Batch, now: i64) -> Result<Change> {
    let mut change = Change::default();
    let mut again = BTreeMap::new();
    let mut add = tx.prepare_cached(
        "INSERT INTO recipient (push_id, device_id, outcome, sent_at, arrived_at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO NOTHING",
    )?;
    let mut wait =
        tx.prepare_cached("INSERT INTO inbox (device_id, push_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?;
    for &Recipient { device, outcome } in &batch.recipients {
        let (sent_at, arrived_at) = times(outcome, now);
        if add.execute(params![batch.push_id.0, device.0, outcome.code(), sent_at, arrived_at])? == 1 {
            change.born(outcome, 1);
            if !outcome.is_final() {
                wait.execute(params![device.0, batch.push_id.0])?;
            }
        } else if outcome == Outcome::Arrived {
            // Its earlier row may still wait: it has arrived now.
            settle(tx, batch.push_id, device, Outcome::Arrived, &mut again)?;
        }
    }
    apply_all(tx, again)?;
    Ok(change)
}

/// Moves the push's cursor, state and sums, all by one statement: a push's row can be long, and is written as a whole.
fn move_on(tx: &Connection, batch: &Batch, change: Change, now: i64) -> Result<()> {
    let state = if batch.is_last { PushState::Finished } else { PushState::Started };
    let moved = tx
        .prepare_cached(
            "UPDATE push SET targets = targets + ?2, waiting = waiting + ?3, arrived = arrived + ?4,
                expired = expired + ?5, not_kept = not_kept + ?6, no_channel = no_channel + ?7, gone = gone + ?8,
                stopped = stopped + ?9, sent = sent + ?10, window_row = ?11, window_end = ?12, window_device = ?13,
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
        ])?;
    if moved == 0 {
        return Err(Error::CursorMoved(batch.push_id));
    }
    Ok(())
}

impl Permit<'_> {
    /// Records a batch: recipients, inbox rows, sums and cursor, or none of them. Queued at once.
    pub fn record_batch(self, batch: Arc<Batch>) -> Written<()> {
        self.write(move |tx| record(tx, &batch))
    }
}
