//! Channels of vendors: their tokens of devices, their credentials of apps, and the sums of what went through them.

use std::rc::Rc;

use pigeonloft_model::{AccessId, Channel, DeviceId, PushId, ReceiptEvent};
use rusqlite::types::Value;
use rusqlite::{Connection, params};

use crate::error::{Error, Result};
use crate::recipients::Change;
use crate::{Store, now_ms};

/// What a device says of itself for a vendor's channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelToken {
    /// The channel.
    pub channel: Channel,
    /// The vendor's token of the device.
    pub token: String,
    /// What the channel needs beside it: for APNs the topic, if it is not the app's.
    pub detail: Option<String>,
}

/// A device that a vendor's channel leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelTarget {
    /// The device.
    pub device: DeviceId,
    /// How the vendor reaches it.
    pub to: ChannelToken,
}

/// A vendor's token that leads to no device any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadToken {
    /// The device that has it.
    pub device: DeviceId,
    /// The channel.
    pub channel: Channel,
    /// The token.
    pub token: String,
    /// Since when, unix milliseconds: a device that registered the token after that keeps it.
    pub since: i64,
}

/// The credentials of an app with a vendor, sealed: the database alone does not give them away.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedCredentials {
    /// The channel.
    pub channel: Channel,
    /// The credentials, sealed.
    pub sealed: Vec<u8>,
}

/// Whatever it is sealed with, it stays out of logs.
impl std::fmt::Debug for SealedCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealedCredentials").field("channel", &self.channel).finish_non_exhaustive()
    }
}

/// Gives a device its token on a channel. A token has one device of an app: one that had it before loses it.
pub(crate) fn set(tx: &Connection, device: DeviceId, to: &ChannelToken) -> Result<()> {
    let ChannelToken { channel, token, detail } = to;
    tx.prepare_cached(
        "DELETE FROM device_channel WHERE channel_token = ?3 AND channel = ?2 AND device_id <> ?1 AND EXISTS (
            SELECT 1 FROM device old JOIN device new USING (access_id)
            WHERE old.device_id = device_channel.device_id AND new.device_id = ?1)",
    )?
    .execute(params![device.0, channel.as_str(), token])?;
    tx.prepare_cached(
        "INSERT INTO device_channel (device_id, channel, channel_token, detail, registered_at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (device_id, channel) DO UPDATE SET channel_token = excluded.channel_token,
            detail = excluded.detail, registered_at = excluded.registered_at",
    )?
    .execute(params![device.0, channel.as_str(), token, detail, now_ms()])?;
    Ok(())
}

/// Takes the token of a channel from a device.
pub(crate) fn unset(tx: &Connection, device: DeviceId, channel: Channel) -> Result<()> {
    tx.prepare_cached("DELETE FROM device_channel WHERE device_id = ?1 AND channel = ?2")?
        .execute(params![device.0, channel.as_str()])?;
    Ok(())
}

/// Forgets tokens, but for those that their device has registered again since, and those it has others for by now.
pub(crate) fn forget(tx: &Connection, dead: &[DeadToken]) -> Result<()> {
    for DeadToken { device, channel, token, since } in dead {
        tx.prepare_cached(
            "DELETE FROM device_channel
             WHERE device_id = ?1 AND channel = ?2 AND channel_token = ?3 AND registered_at <= ?4",
        )?
        .execute(params![device.0, channel.as_str(), token, since])?;
    }
    Ok(())
}

/// Adds to the sums of a push on a vendor's channel.
pub(crate) fn add_sums(tx: &Connection, push_id: PushId, channel: Channel, change: Change) -> Result<()> {
    begin_sums(tx, push_id, channel)?;
    tx.prepare_cached(
        "UPDATE push_channel SET targets = targets + ?3, sent = sent + ?4 WHERE push_id = ?1 AND channel = ?2",
    )?
    .execute(params![push_id.0, channel.code(), change.targets, change.sent])?;
    Ok(())
}

/// Counts the first receipt of a kind of a recipient that a message went to through this channel.
pub(crate) fn add_receipt(tx: &Connection, push_id: PushId, channel: i64, event: ReceiptEvent) -> Result<()> {
    let sql = match event {
        ReceiptEvent::Shown => "UPDATE push_channel SET shown = shown + 1 WHERE push_id = ?1 AND channel = ?2",
        ReceiptEvent::Clicked => "UPDATE push_channel SET clicked = clicked + 1 WHERE push_id = ?1 AND channel = ?2",
        ReceiptEvent::Cleared => "UPDATE push_channel SET cleared = cleared + 1 WHERE push_id = ?1 AND channel = ?2",
    };
    tx.prepare_cached(sql)?.execute(params![push_id.0, channel])?;
    Ok(())
}

fn begin_sums(tx: &Connection, push_id: PushId, channel: Channel) -> Result<()> {
    tx.prepare_cached("INSERT INTO push_channel VALUES (?1, ?2, 0, 0, 0, 0, 0) ON CONFLICT DO NOTHING")?
        .execute(params![push_id.0, channel.code()])?;
    Ok(())
}

fn known(name: &str) -> Result<Channel> {
    name.parse().map_err(|_| Error::Corrupt { what: "channel", value: name.to_owned() })
}

/// The credentials of all apps, by app and the channel's name.
pub(crate) fn of_all_apps(connection: &Connection) -> Result<Vec<(AccessId, SealedCredentials)>> {
    let mut statement =
        connection.prepare_cached("SELECT access_id, channel, sealed FROM app_channel ORDER BY access_id, channel")?;
    let mut found = statement.query([])?;
    let mut all = Vec::new();
    while let Some(row) = found.next()? {
        let channel = known(row.get_ref(1)?.as_str().unwrap_or_default())?;
        all.push((AccessId(row.get(0)?), SealedCredentials { channel, sealed: row.get(2)? }));
    }
    Ok(all)
}

impl Store {
    /// Which of these devices have a token on one of these channels, and which, in the order of devices.
    ///
    /// # Errors
    /// The database's.
    pub async fn channel_targets(&self, devices: Vec<DeviceId>, channels: Vec<Channel>) -> Result<Vec<ChannelTarget>> {
        self.read(move |connection| {
            let devices = Rc::new(devices.iter().map(|device| Value::Integer(device.0)).collect::<Vec<_>>());
            let names = channels.iter().map(|channel| Value::Text(channel.as_str().to_owned()));
            let names = Rc::new(names.collect::<Vec<_>>());
            let mut statement = connection.prepare_cached(
                "SELECT c.device_id, c.channel, c.channel_token, c.detail
                 FROM rarray(?1) d CROSS JOIN device_channel c ON c.device_id = d.value
                 WHERE c.channel IN (SELECT value FROM rarray(?2))",
            )?;
            let mut found = statement.query(params![devices, names])?;
            let mut targets = Vec::new();
            while let Some(row) = found.next()? {
                let channel = known(row.get_ref(1)?.as_str().unwrap_or_default())?;
                let to = ChannelToken { channel, token: row.get(2)?, detail: row.get(3)? };
                targets.push(ChannelTarget { device: DeviceId(row.get(0)?), to });
            }
            Ok(targets)
        })
        .await
    }

    /// Sets the credentials of an app with a vendor; `None` takes them away. Answers whether anything changed: the app
    /// exists, or had some.
    ///
    /// # Errors
    /// The database's.
    pub async fn set_credentials(
        &self,
        access_id: AccessId,
        channel: Channel,
        sealed: Option<Vec<u8>>,
    ) -> Result<bool> {
        self.write(move |tx| {
            let changed = match sealed {
                Some(sealed) => tx.execute(
                    "INSERT INTO app_channel SELECT access_id, ?2, ?3, ?4 FROM app WHERE access_id = ?1
                     ON CONFLICT DO UPDATE SET sealed = excluded.sealed, changed_at = excluded.changed_at",
                    params![access_id.0, channel.as_str(), sealed, now_ms()],
                )?,
                None => tx.execute(
                    "DELETE FROM app_channel WHERE access_id = ?1 AND channel = ?2",
                    params![access_id.0, channel.as_str()],
                )?,
            };
            Ok(changed == 1)
        })
        .await
    }

    /// The credentials of an app with all vendors, by the channel's name.
    ///
    /// # Errors
    /// The database's.
    pub async fn credentials(&self, access_id: AccessId) -> Result<Vec<SealedCredentials>> {
        self.read(move |connection| {
            let mut statement = connection
                .prepare_cached("SELECT channel, sealed FROM app_channel WHERE access_id = ?1 ORDER BY channel")?;
            let mut found = statement.query([access_id.0])?;
            let mut all = Vec::new();
            while let Some(row) = found.next()? {
                let channel = known(row.get_ref(0)?.as_str().unwrap_or_default())?;
                all.push(SealedCredentials { channel, sealed: row.get(1)? });
            }
            Ok(all)
        })
        .await
    }

    /// The credentials of all apps with vendors, by app and the channel's name.
    ///
    /// # Errors
    /// The database's.
    pub async fn credentials_of_all_apps(&self) -> Result<Vec<(AccessId, SealedCredentials)>> {
        self.read(of_all_apps).await
    }

    /// What of the sums of a push is of each vendor's channel.
    ///
    /// # Errors
    /// The database's.
    pub async fn channel_sums(&self, push_id: PushId) -> Result<Vec<(Channel, crate::Sums)>> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT channel, targets, sent, shown, clicked, cleared FROM push_channel WHERE push_id = ?1",
            )?;
            let mut found = statement.query([push_id.0])?;
            let mut all = Vec::new();
            while let Some(row) = found.next()? {
                let channel: i64 = row.get(0)?;
                let Ok(channel) = Channel::try_from(channel) else {
                    return Err(Error::Corrupt { what: "channel", value: channel.to_string() });
                };
                let sums = crate::Sums {
                    targets: row.get(1)?,
                    sent: row.get(2)?,
                    arrived: 0,
                    shown: row.get(3)?,
                    clicked: row.get(4)?,
                    cleared: row.get(5)?,
                };
                all.push((channel, sums));
            }
            Ok(all)
        })
        .await
    }
}
