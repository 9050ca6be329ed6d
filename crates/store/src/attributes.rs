//! Attributes: the names that an app has declared, and what its devices have under them.

use std::rc::Rc;

use pigeonloft_model::attribute::NAMES_MAX;
use pigeonloft_model::{AccessId, DeviceId, Token, Values};
use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, OptionalExtension, params};

use crate::error::Result;
use crate::{Store, devices};

/// Values looked at in one step where those of a name are deleted: other writes wait for one step at most.
const STEP: u32 = 20_000;

/// What became of a declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Declared {
    /// The app has all of these names now.
    Done,
    /// There is no such app.
    NoApp,
    /// The app would have so many names, more than [`NAMES_MAX`]: none is declared.
    TooMany(usize),
}

fn names(connection: &Connection, access_id: AccessId) -> Result<Vec<(i64, String)>> {
    let mut statement =
        connection.prepare_cached("SELECT name_id, name FROM attribute_name WHERE access_id = ?1 ORDER BY name")?;
    let names = statement.query_map([access_id.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(names.collect::<rusqlite::Result<_>>()?)
}

/// The id of each of these names; `None` where the app has not declared it.
pub(crate) fn name_ids(connection: &Connection, access_id: AccessId, given: &[String]) -> Result<Vec<Option<i64>>> {
    let declared = names(connection, access_id)?;
    let id = |name| declared.iter().find(|(_, known)| known == name).map(|(name_id, _)| *name_id);
    Ok(given.iter().map(id).collect())
}

fn declare(tx: &Connection, access_id: AccessId, given: &[String]) -> Result<Declared> {
    if !tx.prepare_cached("SELECT 1 FROM app WHERE access_id = ?1")?.exists([access_id.0])? {
        return Ok(Declared::NoApp);
    }
    let mut all: Vec<String> = names(tx, access_id)?.into_iter().map(|(_, name)| name).collect();
    all.extend_from_slice(given);
    all.sort_unstable();
    all.dedup();
    if all.len() > NAMES_MAX {
        return Ok(Declared::TooMany(all.len()));
    }
    let mut add =
        tx.prepare_cached("INSERT INTO attribute_name (access_id, name) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?;
    for name in given {
        add.execute(params![access_id.0, name])?;
    }
    Ok(Declared::Done)
}

/// Sets what is given, takes off what is `None`. Answers the names that the app has not declared.
fn set(
    tx: &Connection,
    access_id: AccessId,
    device: DeviceId,
    given: Vec<(String, Option<String>)>,
) -> Result<Vec<String>> {
    let declared = names(tx, access_id)?;
    let mut unknown = Vec::new();
    let mut put = tx.prepare_cached(
        "INSERT INTO attribute (device_id, name_id, value) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET value = excluded.value",
    )?;
    let mut take_off = tx.prepare_cached("DELETE FROM attribute WHERE device_id = ?1 AND name_id = ?2")?;
    for (name, value) in given {
        match (declared.iter().find(|(_, known)| *known == name), value) {
            (None, _) => unknown.push(name),
            (Some((name_id, _)), Some(value)) => {
                put.execute(params![device.0, name_id, value])?;
            }
            (Some((name_id, _)), None) => {
                take_off.execute(params![device.0, name_id])?;
            }
        }
    }
    Ok(unknown)
}

impl Store {
    /// Declares names for the attributes of an app's devices: all of them, or none. One that is declared already stays.
    ///
    /// # Errors
    /// The database's.
    pub async fn declare_attributes(&self, access_id: AccessId, names: Vec<String>) -> Result<Declared> {
        self.write(move |tx| declare(tx, access_id, &names)).await
    }

    /// The names an app has declared, sorted; none, if there is no such app.
    ///
    /// # Errors
    /// The database's.
    pub async fn declared_attributes(&self, access_id: AccessId) -> Result<Vec<String>> {
        self.read(move |connection| Ok(names(connection, access_id)?.into_iter().map(|(_, name)| name).collect())).await
    }

    /// Takes a name back, and deletes what all devices have under it: that a step at a time, beside other writes. Answers
    /// whether it was declared. What is left where this breaks off, nobody sees any more.
    ///
    /// # Errors
    /// The database's; the steps before it are kept.
    pub async fn remove_attribute(&self, access_id: AccessId, name: String) -> Result<bool> {
        let removed: Option<i64> = self
            .write(move |tx| {
                let sql = "DELETE FROM attribute_name WHERE access_id = ?1 AND name = ?2 RETURNING name_id";
                Ok(tx.query_row(sql, params![access_id.0, name], |row| row.get(0)).optional()?)
            })
            .await?;
        let Some(name_id) = removed else { return Ok(false) };
        let mut after = i64::MIN;
        loop {
            let last: Option<i64> = self
                .read(move |connection| {
                    let sql = "SELECT max(device_id) FROM (
                        SELECT device_id FROM attribute WHERE device_id > ?1 ORDER BY device_id LIMIT ?2)";
                    Ok(connection.prepare_cached(sql)?.query_row(params![after, STEP], |row| row.get(0))?)
                })
                .await?;
            let Some(last) = last else { return Ok(true) };
            self.write_in_bulk(move |tx| {
                let sql = "DELETE FROM attribute WHERE device_id > ?1 AND device_id <= ?2 AND name_id = ?3";
                tx.prepare_cached(sql)?.execute(params![after, last, name_id])?;
                Ok(())
            })
            .await?;
            after = last;
        }
    }

    /// Sets a device's attributes, and takes off those that are given as `None`. Answers the names that the app has not
    /// declared, of which nothing is kept; `None` where no device has the token.
    ///
    /// # Errors
    /// The database's.
    pub async fn set_attributes(
        &self,
        access_id: AccessId,
        token: Token,
        given: Vec<(String, Option<String>)>,
    ) -> Result<Option<Vec<String>>> {
        self.write(move |tx| match devices::of_token(tx, access_id, token)? {
            Some(device) => set(tx, access_id, device, given).map(Some),
            None => Ok(None),
        })
        .await
    }

    /// Takes all of a device's attributes off. Answers whether a device has the token.
    ///
    /// # Errors
    /// The database's.
    pub async fn clear_attributes(&self, access_id: AccessId, token: Token) -> Result<bool> {
        self.write(move |tx| {
            let Some(device) = devices::of_token(tx, access_id, token)? else { return Ok(false) };
            tx.prepare_cached("DELETE FROM attribute WHERE device_id = ?1")?.execute([device.0])?;
            Ok(true)
        })
        .await
    }

    /// A device's attributes, sorted by name; `None` where no device has the token.
    ///
    /// # Errors
    /// The database's.
    pub async fn attributes(&self, access_id: AccessId, token: Token) -> Result<Option<Vec<(String, String)>>> {
        self.read(move |connection| {
            let Some(device) = devices::of_token(connection, access_id, token)? else { return Ok(None) };
            let mut statement = connection.prepare_cached(
                "SELECT n.name, a.value FROM attribute a CROSS JOIN attribute_name n USING (name_id)
                 WHERE a.device_id = ?1 ORDER BY n.name",
            )?;
            let held = statement.query_map([device.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(Some(held.collect::<rusqlite::Result<_>>()?))
        })
        .await
    }

    /// What devices have under these names. In one query; a device or a name that there is none of has nothing.
    ///
    /// # Errors
    /// The database's.
    pub async fn attribute_values(&self, devices: Vec<DeviceId>, names: Vec<String>) -> Result<Values> {
        self.read(move |connection| {
            // Its own names are all that a device can have, so that this need not ask whose they are.
            let mut statement = connection.prepare_cached(
                "SELECT a.device_id, n.name, a.value FROM rarray(?1) d
                 CROSS JOIN attribute a ON a.device_id = d.value CROSS JOIN attribute_name n USING (name_id)",
            )?;
            let devices: Rc<Vec<SqlValue>> = Rc::new(devices.iter().map(|device| device.0.into()).collect());
            let mut rows = statement.query([devices])?;
            let mut held = Vec::new();
            while let Some(row) = rows.next()? {
                let name = row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?;
                if let Some(place) = names.iter().position(|wanted| wanted == name) {
                    held.push((DeviceId(row.get(0)?), place, row.get(2)?));
                }
            }
            drop(rows);
            drop(statement);
            Ok(Values::new(names, held))
        })
        .await
    }
}
