//! Channels under examination: what of the sums of a push is of a vendor's channel is what its recipients on that channel
//! come to. Whether credentials can be opened is for who has their key to say.

use std::collections::BTreeMap;

use pigeonloft_model::{AccessId, Channel, PushId, ReceiptEvent};
use rusqlite::{Connection, Row, params};

use super::Doctor;
use crate::channels::{SealedCredentials, of_all_apps};
use crate::error::Result;

/// The sums of a push on a channel: `targets`, `sent`, `shown`, `clicked`, `cleared`.
type Sums = [i64; 5];

/// By the channel's number, for a database may hold any.
type OfChannels = BTreeMap<i64, Sums>;

impl Doctor {
    /// The credentials of all apps with vendors.
    ///
    /// # Errors
    /// The database's.
    pub fn credentials(&self) -> Result<Vec<(AccessId, SealedCredentials)>> {
        of_all_apps(&self.connection)
    }
}

/// Compares the sums of a push on vendors' channels with its recipients. `all_there`: none of these is forgotten; where
/// some are, the sums may be larger. Answers whether they differ; they are set right where `mend` says so.
pub(super) fn count_again(tx: &Connection, push_id: PushId, all_there: bool, mend: bool) -> Result<bool> {
    let (stored, mut expected) = (stored(tx, push_id)?, counted(tx, push_id)?);
    if !all_there {
        for (channel, sums) in &stored {
            let counted = expected.entry(*channel).or_default();
            *counted = std::array::from_fn(|place| counted[place].max(sums[place]));
        }
    }
    // A row of zeros says what no row says.
    let of = |all: &OfChannels, channel: &i64| all.get(channel).copied().unwrap_or_default();
    let wrong: Vec<i64> = stored
        .keys()
        .chain(expected.keys().filter(|channel| !stored.contains_key(channel)))
        .filter(|channel| of(&stored, channel) != of(&expected, channel))
        .copied()
        .collect();
    for channel in wrong.iter().filter(|_| mend) {
        set(tx, push_id, *channel, &of(&expected, channel))?;
    }
    Ok(!wrong.is_empty())
}

fn stored(tx: &Connection, push_id: PushId) -> Result<OfChannels> {
    let mut statement = tx.prepare_cached(
        "SELECT channel, targets, sent, shown, clicked, cleared FROM push_channel WHERE push_id = ?1",
    )?;
    let sums = |row: &Row<'_>| -> rusqlite::Result<_> {
        Ok((row.get(0)?, [row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?]))
    };
    Ok(statement.query_map([push_id.0], sums)?.collect::<rusqlite::Result<_>>()?)
}

/// Counted here and not by the database, which would sort the recipients by their channels first.
fn counted(tx: &Connection, push_id: PushId) -> Result<OfChannels> {
    let mut statement = tx.prepare_cached(
        "SELECT channel, sent_at IS NOT NULL, receipts FROM recipient WHERE push_id = ?1 AND channel <> ?2",
    )?;
    let mut rows = statement.query(params![push_id.0, Channel::Xg.code()])?;
    let mut counted = OfChannels::new();
    while let Some(row) = rows.next()? {
        let (was_sent, receipts): (i64, u8) = (row.get(1)?, row.get(2)?);
        let has = |event: ReceiptEvent| i64::from(receipts & event.flag() != 0);
        let sums = counted.entry(row.get(0)?).or_default();
        let [shown, clicked, cleared] = [ReceiptEvent::Shown, ReceiptEvent::Clicked, ReceiptEvent::Cleared].map(has);
        for (sum, by) in sums.iter_mut().zip([1, was_sent, shown, clicked, cleared]) {
            *sum += by;
        }
    }
    Ok(counted)
}

/// The sums of the day follow by their trigger, which knows a change and not a new row.
fn set(tx: &Connection, push_id: PushId, channel: i64, sums: &Sums) -> Result<()> {
    tx.prepare_cached("INSERT INTO push_channel VALUES (?1, ?2, 0, 0, 0, 0, 0) ON CONFLICT DO NOTHING")?
        .execute(params![push_id.0, channel])?;
    let [targets, sent, shown, clicked, cleared] = sums;
    tx.prepare_cached(
        "UPDATE push_channel SET targets = ?3, sent = ?4, shown = ?5, clicked = ?6, cleared = ?7
         WHERE push_id = ?1 AND channel = ?2",
    )?
    .execute(params![push_id.0, channel, targets, sent, shown, clicked, cleared])?;
    Ok(())
}
