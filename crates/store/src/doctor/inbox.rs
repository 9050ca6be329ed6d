//! Inboxes under examination: every message in one is of a recipient that waits.

use pigeonloft_model::Outcome;
use rusqlite::{Connection, params};

use super::Doctor;
use super::pushes::waits;
use crate::error::Result;
use crate::now_ms;

/// Rows looked at in one step.
const STEP: u32 = 20_000;

/// Rows of inboxes that no waiting recipient stands for, by what was done with them. They are counted only where the
/// doctor does not mend.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StrayInbox {
    /// Rows looked at, stray or not.
    pub looked_at: u64,
    /// Of a push that is not there: removed.
    pub no_push: u64,
    /// Of a device that is not there: removed.
    pub no_device: u64,
    /// Of a recipient with whom it ended, or whose push has: removed.
    pub ended: u64,
    /// Of a push that goes on, and a device that is no recipient of it: it is made one, so that the message is counted.
    pub no_recipient: u64,
}

/// One stray row.
struct Stray {
    device: i64,
    push: i64,
    has_push: bool,
    has_device: bool,
    /// There is a recipient, or the push has forgotten its own, or the message has expired.
    ended: bool,
}

impl Doctor {
    /// Looks for stray rows in all inboxes, and mends them step by step; `step` is told how many rows were looked at.
    /// Comes before the pushes: it goes by the sums, and does not change them.
    ///
    /// # Errors
    /// The database's; the steps before it are kept.
    pub fn inboxes(&self, mut step: impl FnMut(u64)) -> Result<StrayInbox> {
        let mut found = StrayInbox::default();
        let mut after = (i64::MIN, i64::MIN);
        loop {
            let looked_at = self.transaction(|tx| {
                let Some((last, looked_at)) = bounds(tx, after)? else { return Ok(0) };
                for stray in strays(tx, after, last)? {
                    self.mend_stray(tx, &stray, &mut found)?;
                }
                after = last;
                Ok(looked_at)
            })?;
            found.looked_at += looked_at;
            step(looked_at);
            if looked_at < u64::from(STEP) {
                return Ok(found);
            }
        }
    }

    fn mend_stray(&self, tx: &Connection, stray: &Stray, found: &mut StrayInbox) -> Result<()> {
        let recipient_lacks = stray.has_push && stray.has_device && !stray.ended;
        let count = match stray {
            Stray { has_push: false, .. } => &mut found.no_push,
            Stray { has_device: false, .. } => &mut found.no_device,
            Stray { ended: true, .. } => &mut found.ended,
            _ => &mut found.no_recipient,
        };
        *count += 1;
        if !self.mend {
            return Ok(());
        }
        if recipient_lacks {
            tx.prepare_cached("INSERT INTO recipient (device_id, push_id, outcome) VALUES (?1, ?2, ?3)")?
                .execute(params![stray.device, stray.push, Outcome::Waiting.code()])?;
        } else {
            tx.prepare_cached("DELETE FROM inbox WHERE device_id = ?1 AND push_id = ?2")?
                .execute(params![stray.device, stray.push])?;
        }
        Ok(())
    }
}

/// The last row of the step that follows `after`, and how many rows it has.
fn bounds(tx: &Connection, after: (i64, i64)) -> Result<Option<((i64, i64), u64)>> {
    let mut statement = tx.prepare_cached(
        "SELECT device_id, push_id FROM inbox WHERE (device_id, push_id) > (?1, ?2)
         ORDER BY device_id, push_id LIMIT ?3",
    )?;
    let mut rows = statement.query(params![after.0, after.1, STEP])?;
    let (mut last, mut count) = (None, 0);
    while let Some(row) = rows.next()? {
        last = Some((row.get(0)?, row.get(1)?));
        count += 1;
    }
    Ok(last.map(|last| (last, count)))
}

fn strays(tx: &Connection, after: (i64, i64), last: (i64, i64)) -> Result<Vec<Stray>> {
    let waits = waits();
    let sql = format!(
        "SELECT i.device_id, i.push_id, p.push_id IS NOT NULL,
            EXISTS (SELECT 1 FROM device d WHERE d.device_id = i.device_id),
            p.expire_at_s * 1000 <= ?5 OR (p.finished_at IS NOT NULL AND p.waiting = 0)
                OR EXISTS (SELECT 1 FROM recipient r WHERE r.push_id = i.push_id AND r.device_id = i.device_id)
         FROM inbox i LEFT JOIN push p ON p.push_id = i.push_id
         WHERE (i.device_id, i.push_id) > (?1, ?2) AND (i.device_id, i.push_id) <= (?3, ?4)
            AND NOT (
                p.push_id IS NOT NULL AND EXISTS (SELECT 1 FROM recipient r
                    WHERE r.push_id = i.push_id AND r.device_id = i.device_id AND {waits})
                AND EXISTS (SELECT 1 FROM device d WHERE d.device_id = i.device_id))"
    );
    let mut statement = tx.prepare_cached(&sql)?;
    let strays = statement.query_map(params![after.0, after.1, last.0, last.1, now_ms()], |row| {
        Ok(Stray {
            device: row.get(0)?,
            push: row.get(1)?,
            has_push: row.get(2)?,
            has_device: row.get(3)?,
            ended: row.get::<_, Option<bool>>(4)?.unwrap_or(false),
        })
    })?;
    Ok(strays.collect::<rusqlite::Result<_>>()?)
}
