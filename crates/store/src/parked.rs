//! Parked messages: those that a vendor's channel did not take for now, to be given to it again. Each stands in the inbox of
//! its device, too, and goes the way that opens first. One of a push that is kept off our own channel is shown to no session: it
//! waits for its vendor alone, and its recipient has no channel where that will not take it.
//!
//! A row is written with the batch of its recipient. Whatever ends the waiting otherwise (an acknowledgement, expiry, a stop, a
//! deletion) leaves the row: it would have to look for one each time, though nearly none is parked. Who comes to the row
//! sees that nobody waits, and takes it away.

mod given;

use std::collections::BTreeMap;
use std::rc::Rc;

use pigeonloft_model::{AccessId, Channel, DeviceId, Outcome, PushId};
use rusqlite::types::Value;
use rusqlite::{Connection, params};

use crate::Store;
use crate::batches::Batch;
use crate::error::{Error, Result};

pub use given::{Given, Then, Unparked};

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
    /// Its push is kept off our own channel: no session has it.
    pub vendors_only: bool,
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
                "SELECT k.push_id, k.device_id, k.not_before, c.channel_token, c.detail, p.vendors_only
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
                        vendors_only: row.get(5)?,
                    }),
                    None => page.over.push(at),
                }
            }
            Ok(page)
        })
        .await
    }

    /// The vendor's channel that a message is parked for; `None`: it is not.
    ///
    /// # Errors
    /// The database's.
    pub async fn parked_for(&self, access_id: AccessId, at: ParkedAt) -> Result<Option<Channel>> {
        self.read(move |connection| {
            let mut is_parked = connection.prepare_cached(
                "SELECT 1 FROM parked WHERE access_id = ?1 AND channel = ?2 AND push_id = ?3 AND device_id = ?4",
            )?;
            let (push_id, device) = at;
            for channel in Channel::ALL {
                if is_parked.exists(params![access_id.0, channel.code(), push_id.0, device.0])? {
                    return Ok(Some(*channel));
                }
            }
            Ok(None)
        })
        .await
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
