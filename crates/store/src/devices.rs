//! Devices: their tokens, their passwords' hashes, the channels beside our own.

use std::collections::BTreeMap;
use std::rc::Rc;

use pigeonloft_model::{AccessId, Channel, DeviceId, Environment, TagType, Token, Zone};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params};

use crate::activity::ActiveDays;
use crate::channels::{self, ChannelToken};
use crate::deleted;
use crate::device_days::DeviceChange;
use crate::error::Result;
use crate::tags::{Tags, untag};
use crate::{Reader, Store, now_ms};

/// A device, as far as its authentication needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its id inside.
    pub device: DeviceId,
    /// SHA-256 of its password; `None`: imported and not yet claimed.
    pub password_hash: Option<[u8; 32]>,
}

/// What a device says of itself when it registers.
#[derive(Debug, Clone)]
pub struct NewDevice {
    /// Its app.
    pub access_id: AccessId,
    /// Issued now, or brought along from before.
    pub token: Token,
    /// SHA-256 of the password it is given.
    pub password_hash: [u8; 32],
    /// Which of a vendor's environments its channel token is of. `None`: what an imported device was imported with,
    /// `product` for any other.
    pub environment: Option<Environment>,
    /// Its tokens on vendors' channels.
    pub channels: Vec<ChannelToken>,
    /// What it reports, see [`TagType::REPORTED`].
    pub reported: Reports,
}

/// What a device reports of itself, by the type of the tag that it becomes; `None` takes the tag away, what is not
/// reported stays.
pub type Reports = Vec<(TagType, Option<String>)>;

/// What a device says of itself later; what it does not say stays.
#[derive(Debug, Clone, Default)]
pub struct DeviceReport {
    /// Which of a vendor's environments its tokens are of.
    pub environment: Option<Environment>,
    /// Its tokens on vendors' channels.
    pub channels: Vec<ChannelToken>,
    /// Channels on which it has none any more.
    pub left: Vec<Channel>,
    /// What it reports, see [`TagType::REPORTED`].
    pub reported: Reports,
}

/// What became of a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registered {
    /// A new device.
    New(DeviceId),
    /// An imported device, which had no password until now.
    Claimed(DeviceId),
    /// The token is another device's: it has a password already.
    Taken,
}

/// How the tables write an environment.
pub(crate) fn environment_code(environment: Environment) -> i64 {
    match environment {
        Environment::Product => 0,
        Environment::Dev => 1,
    }
}

/// What the tables write so.
pub(crate) fn environment(code: i64) -> Environment {
    if code == environment_code(Environment::Dev) { Environment::Dev } else { Environment::Product }
}

/// The device of this token. A text that is no token is nobody's.
pub(crate) fn find(connection: &Connection, access_id: AccessId, token: &str) -> Result<Option<DeviceId>> {
    token.parse().map_or(Ok(None), |token| of_token(connection, access_id, token))
}

/// The device of this token.
pub(crate) fn of_token(connection: &Connection, access_id: AccessId, token: Token) -> Result<Option<DeviceId>> {
    Ok(connection
        .prepare_cached("SELECT device_id FROM device WHERE access_id = ?1 AND token = ?2")?
        .query_row(params![access_id.0, token.to_bytes()], |row| row.get(0).map(DeviceId))
        .optional()?)
}

/// Notes that these devices were seen now. A device that is gone is none.
pub(crate) fn seen(tx: &Connection, zone: Zone, devices: &[DeviceId]) -> Result<()> {
    let now = now_ms();
    let today = zone.day_number(now);
    let mut active = BTreeMap::<_, DeviceChange>::new();
    let mut find = tx.prepare_cached("SELECT seen_at, active_days, access_id FROM device WHERE device_id = ?1")?;
    let mut update = tx.prepare_cached("UPDATE device SET seen_at = ?2, active_days = ?3 WHERE device_id = ?1")?;
    for device in devices {
        let before = find.query_row([device.0], |row| {
            Ok((row.get(0)?, ActiveDays::from_column(row.get(1)?), AccessId(row.get(2)?)))
        });
        let Some((seen_at, days, app)) = before.optional()? else { continue };
        let later = today - zone.day_number(seen_at);
        if !days.has(later) {
            active.entry(app).or_default().active += 1;
        }
        update.execute(params![device.0, now, days.seen_again(later).column()])?;
    }
    for (app, change) in active {
        change.apply(tx, app, today)?;
    }
    Ok(())
}

fn register(tx: &Connection, zone: Zone, new: &NewDevice) -> Result<Registered> {
    let now = now_ms();
    let environment = new.environment.map(environment_code);
    let active_days = ActiveDays::TODAY.column();
    let added = tx
        .prepare_cached(
            "INSERT INTO device (access_id, token, password_hash, environment, created_at, seen_at, active_days)
             VALUES (?1, ?2, ?3, coalesce(?4, 0), ?5, ?5, ?6) ON CONFLICT DO NOTHING RETURNING device_id",
        )?
        .query_row(
            params![new.access_id.0, new.token.to_bytes(), new.password_hash, environment, now, active_days],
            |row| row.get(0),
        )
        .optional()?;
    let registered = if let Some(device) = added {
        Registered::New(DeviceId(device))
    } else {
        let claimed = tx
            .prepare_cached(
                "UPDATE device SET password_hash = ?3, environment = coalesce(?4, environment), seen_at = ?5,
                    active_days = ?6
                 WHERE access_id = ?1 AND token = ?2 AND password_hash IS NULL RETURNING device_id",
            )?
            .query_row(
                params![new.access_id.0, new.token.to_bytes(), new.password_hash, environment, now, active_days],
                |row| row.get(0),
            )
            .optional()?;
        claimed.map_or(Registered::Taken, |device| Registered::Claimed(DeviceId(device)))
    };
    let change = match registered {
        Registered::New(_) => DeviceChange { added: 1, active: 1, ..DeviceChange::default() },
        Registered::Claimed(_) => DeviceChange { active: 1, ..DeviceChange::default() },
        Registered::Taken => DeviceChange::default(),
    };
    change.apply(tx, new.access_id, zone.day_number(now))?;
    if let Registered::New(device) | Registered::Claimed(device) = registered {
        new.channels.iter().try_for_each(|to| channels::set(tx, device, to))?;
        report(tx, new.access_id, device, &new.reported)?;
    }
    Ok(registered)
}

const VENDOR_TOKENS: &str = "SELECT c.channel, count(*) FROM rarray(?1) r CROSS JOIN device_channel c
    ON c.device_id = r.value GROUP BY c.channel";

impl Reader {
    /// How many of these devices have a token of a vendor's channel, by the channel's name.
    ///
    /// # Errors
    /// The database's.
    pub fn count_vendor_tokens(&self, devices: &[DeviceId]) -> Result<Vec<(String, u64)>> {
        let mut ids: Vec<i64> = devices.iter().map(|device| device.0).collect();
        // In the order of their table.
        ids.sort_unstable();
        let ids = Rc::new(ids.into_iter().map(Value::Integer).collect::<Vec<_>>());
        let mut statement = self.connection.prepare_cached(VENDOR_TOKENS)?;
        let counts = statement.query_map([ids], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(counts.collect::<rusqlite::Result<_>>()?)
    }
}

/// Notes what a device reports of itself.
pub(crate) fn report(tx: &Connection, access_id: AccessId, device: DeviceId, reported: &Reports) -> Result<()> {
    let mut tags = Tags::of(tx, access_id);
    reported.iter().try_for_each(|(kind, name)| tags.report(device, *kind, name.as_deref()))
}

impl Store {
    /// Registers a device under its token, or claims the imported one that has it.
    ///
    /// # Errors
    /// The database's.
    pub async fn register_device(&self, new: NewDevice) -> Result<Registered> {
        let zone = self.zone;
        self.write(move |tx| register(tx, zone, &new)).await
    }

    /// The device of this token.
    ///
    /// # Errors
    /// The database's.
    pub async fn device(&self, access_id: AccessId, token: Token) -> Result<Option<Device>> {
        self.read(move |connection| {
            Ok(connection
                .prepare_cached("SELECT device_id, password_hash FROM device WHERE access_id = ?1 AND token = ?2")?
                .query_row(params![access_id.0, token.to_bytes()], |row| {
                    Ok(Device { device: DeviceId(row.get(0)?), password_hash: row.get(1)? })
                })
                .optional()?)
        })
        .await
    }

    /// The app and the device of this token, where the app is not known: a device's own calls name only the token.
    /// Two apps may hold the same token, each for a device of its own.
    ///
    /// # Errors
    /// The database's.
    pub async fn devices_of_token(&self, token: Token) -> Result<Vec<(AccessId, Device)>> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT d.access_id, d.device_id, d.password_hash FROM app a
                 JOIN device d ON d.access_id = a.access_id AND d.token = ?1",
            )?;
            let devices = statement.query_map([token.to_bytes()], |row| {
                Ok((AccessId(row.get(0)?), Device { device: DeviceId(row.get(1)?), password_hash: row.get(2)? }))
            })?;
            Ok(devices.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Changes what a device of the app said of itself, as far as it says so. It was seen by that: one that is reached by a
    /// vendor alone begins no session.
    ///
    /// # Errors
    /// The database's.
    pub async fn change_device(&self, access_id: AccessId, device: DeviceId, said: DeviceReport) -> Result<()> {
        let zone = self.zone;
        self.write(move |tx| {
            seen(tx, zone, &[device])?;
            if let Some(environment) = said.environment {
                tx.execute(
                    "UPDATE device SET environment = ?2 WHERE device_id = ?1",
                    params![device.0, environment_code(environment)],
                )?;
            }
            said.left.iter().try_for_each(|&channel| channels::unset(tx, device, channel))?;
            said.channels.iter().try_for_each(|to| channels::set(tx, device, to))?;
            report(tx, access_id, device, &said.reported)
        })
        .await
    }

    /// Deletes a device with its accounts, its attributes and what waits for it; pushes that still had a message for it count it as
    /// gone. Returns how many did; one that has a batch with it under way does when that is recorded.
    ///
    /// # Errors
    /// The database's.
    pub async fn delete_device(&self, device: DeviceId) -> Result<u64> {
        let zone = self.zone;
        self.write(move |tx| {
            let gone = crate::inbox::empty(tx, device)?;
            let app = tx
                .query_row("SELECT access_id FROM device WHERE device_id = ?1", [device.0], |row| row.get(0))
                .optional()?;
            if let Some(app) = app {
                crate::accounts::unbind(tx, AccessId(app), device)?;
                untag(tx, AccessId(app), device)?;
                tx.execute("DELETE FROM device WHERE device_id = ?1", [device.0])?;
                deleted::note(tx, device)?;
                let change = DeviceChange { deleted: 1, ..DeviceChange::default() };
                change.apply(tx, AccessId(app), zone.day_number(now_ms()))?;
            }
            Ok(gone)
        })
        .await
    }

    /// Which of these tokens no device of the app has.
    ///
    /// # Errors
    /// The database's.
    pub async fn unknown_tokens(&self, access_id: AccessId, tokens: Vec<String>) -> Result<Vec<String>> {
        self.read(move |connection| {
            let mut unknown = Vec::new();
            for token in tokens {
                if find(connection, access_id, &token)?.is_none() {
                    unknown.push(token);
                }
            }
            Ok(unknown)
        })
        .await
    }
}
