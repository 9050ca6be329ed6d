//! Tags: which devices have them, kept both ways. A tag is there as long as a device has it. Which devices an expression of
//! tags means is asked elsewhere ([`choose`](crate::choose)).

use pigeonloft_model::{AccessId, DeviceId, Tag, TagType, Token, TokenTag};
use rusqlite::{Connection, OptionalExtension, params};

use crate::Store;
use crate::devices::find;
use crate::error::Result;

/// What became of one element of a tag operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tagged {
    /// Done.
    Done,
    /// No device has the token.
    UnknownToken,
    /// The device has [`Tag::DEVICE_MAX`] custom tags.
    DeviceFull,
    /// The app's devices have [`Tag::APP_MAX`] different custom tags.
    AppFull,
}

/// The tags of an app, as one transaction changes them.
pub(crate) struct Tags<'c> {
    tx: &'c Connection,
    access_id: AccessId,
    /// Different custom tags, once they are counted.
    custom: Option<u64>,
}

impl<'c> Tags<'c> {
    pub(crate) fn of(tx: &'c Connection, access_id: AccessId) -> Self {
        Self { tx, access_id, custom: None }
    }

    fn find(&self, kind: TagType, name: &str) -> Result<Option<i64>> {
        find_tag(self.tx, self.access_id, kind, name)
    }

    /// The tag of this name, made if there is none. `None`: there would be too many.
    pub(crate) fn find_or_add(&mut self, kind: TagType, name: &str) -> Result<Option<i64>> {
        if let Some(tag) = self.find(kind, name)? {
            return Ok(Some(tag));
        }
        if kind == TagType::Custom {
            let custom = match self.custom {
                Some(custom) => custom,
                None => self
                    .tx
                    .prepare_cached("SELECT count(*) FROM tag WHERE access_id = ?1 AND tag_type = ?2")?
                    .query_row(params![self.access_id.0, kind.code()], |row| row.get(0))?,
            };
            self.custom = Some(custom);
            if custom >= Tag::APP_MAX {
                return Ok(None);
            }
            self.custom = Some(custom + 1);
        }
        self.tx.prepare_cached("INSERT INTO tag (access_id, tag_type, name) VALUES (?1, ?2, ?3)")?.execute(params![
            self.access_id.0,
            kind.code(),
            name
        ])?;
        Ok(Some(self.tx.last_insert_rowid()))
    }

    /// The tags of a type that a device has, with their names.
    fn of_device(&self, device: DeviceId, kind: TagType) -> Result<Vec<(i64, String)>> {
        // CROSS JOIN keeps the order written. A tag that was deleted everywhere has rows left for a while, and no name.
        let mut statement = self.tx.prepare_cached(
            "SELECT o.tag_id, t.name FROM tag_of_device o CROSS JOIN tag t ON t.tag_id = o.tag_id
             WHERE o.device_id = ?1 AND o.tag_type = ?2",
        )?;
        let tags = statement.query_map(params![device.0, kind.code()], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(tags.collect::<rusqlite::Result<_>>()?)
    }

    fn link(&self, device: DeviceId, kind: TagType, tag: i64) -> Result<()> {
        self.tx
            .prepare_cached("INSERT INTO tag_of_device (device_id, tag_type, tag_id) VALUES (?1, ?2, ?3)")?
            .execute(params![device.0, kind.code(), tag])?;
        self.tx
            .prepare_cached("INSERT INTO device_of_tag (tag_id, device_id) VALUES (?1, ?2)")?
            .execute(params![tag, device.0])?;
        Ok(())
    }

    /// Takes a tag off a device; the last one that had it takes the tag along.
    fn unlink(&mut self, device: DeviceId, kind: TagType, tag: i64) -> Result<()> {
        unlink(self.tx, device, kind.code(), tag)?;
        let gone = self
            .tx
            .prepare_cached(
                "DELETE FROM tag WHERE tag_id = ?1 AND NOT EXISTS (SELECT 1 FROM device_of_tag WHERE tag_id = ?1)",
            )?
            .execute([tag])?;
        if gone > 0 && kind == TagType::Custom {
            self.custom = self.custom.map(|custom| custom - 1);
        }
        Ok(())
    }

    /// Gives a device a custom tag.
    fn add(&mut self, device: DeviceId, name: &str) -> Result<Tagged> {
        let has = self.of_device(device, TagType::Custom)?;
        if has.iter().any(|(_, has)| has == name) {
            return Ok(Tagged::Done);
        }
        if has.len() as u64 >= Tag::DEVICE_MAX {
            return Ok(Tagged::DeviceFull);
        }
        let Some(tag) = self.find_or_add(TagType::Custom, name)? else { return Ok(Tagged::AppFull) };
        self.link(device, TagType::Custom, tag)?;
        Ok(Tagged::Done)
    }

    fn remove(&mut self, device: DeviceId, name: &str) -> Result<()> {
        match self.find(TagType::Custom, name)? {
            Some(tag) => self.unlink(device, TagType::Custom, tag),
            None => Ok(()),
        }
    }

    /// Takes those custom tags off a device whose names `which` says.
    fn remove_those(&mut self, device: DeviceId, which: impl Fn(&str) -> bool) -> Result<()> {
        let tags = self.of_device(device, TagType::Custom)?;
        tags.iter().filter(|(_, name)| which(name)).try_for_each(|(tag, _)| self.unlink(device, TagType::Custom, *tag))
    }

    /// Gives a device tags, in the place of those of their categories, or of all if one has none.
    fn replace(&mut self, device: DeviceId, names: &[String]) -> Result<Vec<Tagged>> {
        let all = names.iter().any(|name| Tag::category(name).is_none());
        let categories: Vec<_> = names.iter().map(|name| Tag::category(name)).collect();
        self.remove_those(device, |name| {
            !names.iter().any(|kept| kept == name) && (all || categories.contains(&Tag::category(name)))
        })?;
        names.iter().map(|name| self.add(device, name)).collect()
    }

    /// Notes what a device reports of itself, of one type: the tag it has now, if it has any.
    pub(crate) fn report(&mut self, device: DeviceId, kind: TagType, name: Option<&str>) -> Result<()> {
        let before = self.of_device(device, kind)?;
        if before.len() == 1 && before.first().map(|(_, before)| before.as_str()) == name {
            return Ok(());
        }
        for (tag, _) in before {
            self.unlink(device, kind, tag)?;
        }
        match name {
            // There is no limit for those that are reported: a device has one of each type.
            Some(name) => match self.find_or_add(kind, name)? {
                Some(tag) => self.link(device, kind, tag),
                None => Ok(()),
            },
            None => Ok(()),
        }
    }
}

fn unlink(tx: &Connection, device: DeviceId, kind: i64, tag: i64) -> Result<()> {
    tx.prepare_cached("DELETE FROM tag_of_device WHERE device_id = ?1 AND tag_type = ?2 AND tag_id = ?3")?
        .execute(params![device.0, kind, tag])?;
    tx.prepare_cached("DELETE FROM device_of_tag WHERE tag_id = ?1 AND device_id = ?2")?
        .execute(params![tag, device.0])?;
    Ok(())
}

pub(crate) fn find_tag(connection: &Connection, access_id: AccessId, kind: TagType, name: &str) -> Result<Option<i64>> {
    Ok(connection
        .prepare_cached("SELECT tag_id FROM tag WHERE access_id = ?1 AND tag_type = ?2 AND name = ?3")?
        .query_row(params![access_id.0, kind.code(), name], |row| row.get(0))
        .optional()?)
}

/// Takes all tags off a device, which is about to go.
pub(crate) fn untag(tx: &Connection, access_id: AccessId, device: DeviceId) -> Result<()> {
    let mut statement = tx.prepare_cached("SELECT tag_type, tag_id FROM tag_of_device WHERE device_id = ?1")?;
    let has: Vec<(i64, i64)> =
        statement.query_map([device.0], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
    let mut tags = Tags::of(tx, access_id);
    for (kind, tag) in has {
        match TagType::try_from(kind) {
            Ok(kind) => tags.unlink(device, kind, tag)?,
            Err(_) => unlink(tx, device, kind, tag)?,
        }
    }
    Ok(())
}

impl Store {
    /// For each pair, does with device and tag what `each` says, in one transaction.
    async fn for_pairs(
        &self,
        access_id: AccessId,
        pairs: Vec<TokenTag>,
        each: impl Fn(&mut Tags<'_>, DeviceId, &str) -> Result<Tagged> + Send + 'static,
    ) -> Result<Vec<Tagged>> {
        self.write(move |tx| {
            let mut tags = Tags::of(tx, access_id);
            let each = |pair: TokenTag| match find(tx, access_id, pair.token.as_str())? {
                Some(device) => each(&mut tags, device, &pair.tag),
                None => Ok(Tagged::UnknownToken),
            };
            pairs.into_iter().map(each).collect()
        })
        .await
    }

    /// Gives devices custom tags, one result for each pair.
    ///
    /// # Errors
    /// The database's.
    pub async fn add_tags(&self, access_id: AccessId, pairs: Vec<TokenTag>) -> Result<Vec<Tagged>> {
        self.for_pairs(access_id, pairs, |tags, device, name| tags.add(device, name)).await
    }

    /// Takes custom tags off devices, one result for each pair. A tag that a device does not have is taken off.
    ///
    /// # Errors
    /// The database's.
    pub async fn remove_tags(&self, access_id: AccessId, pairs: Vec<TokenTag>) -> Result<Vec<Tagged>> {
        self.for_pairs(access_id, pairs, |tags, device, name| tags.remove(device, name).map(|()| Tagged::Done)).await
    }

    /// Takes all custom tags off the device of a token.
    ///
    /// # Errors
    /// The database's.
    pub async fn remove_all_tags(&self, access_id: AccessId, token: Token) -> Result<Tagged> {
        self.write(move |tx| {
            let Some(device) = find(tx, access_id, token.as_str())? else { return Ok(Tagged::UnknownToken) };
            Tags::of(tx, access_id).remove_those(device, |_| true)?;
            Ok(Tagged::Done)
        })
        .await
    }

    /// Gives the device of a token these custom tags, in the place of those of their categories; if one of them has no
    /// category, in the place of all. One result for each.
    ///
    /// # Errors
    /// The database's.
    pub async fn replace_tags(&self, access_id: AccessId, token: Token, names: Vec<String>) -> Result<Vec<Tagged>> {
        self.write(move |tx| match find(tx, access_id, token.as_str())? {
            Some(device) => Tags::of(tx, access_id).replace(device, &names),
            None => Ok(vec![Tagged::UnknownToken; names.len()]),
        })
        .await
    }

    /// Deletes custom tags: no device has them any more. What there was of them is cleared later, see
    /// [`Store::clear_deleted_tags`].
    ///
    /// # Errors
    /// The database's.
    pub async fn delete_tags(&self, access_id: AccessId, names: Vec<String>) -> Result<()> {
        self.write(move |tx| {
            for name in names {
                let Some(tag) = find_tag(tx, access_id, TagType::Custom, &name)? else { continue };
                tx.prepare_cached("DELETE FROM tag WHERE tag_id = ?1")?.execute([tag])?;
                tx.prepare_cached("INSERT INTO deleted_tag (tag_id) VALUES (?1)")?.execute([tag])?;
            }
            Ok(())
        })
        .await
    }

    /// Clears up to `limit` rows of a tag that was deleted. Answers how many; none: nothing is left.
    ///
    /// # Errors
    /// The database's.
    pub async fn clear_deleted_tags(&self, limit: u32) -> Result<u64> {
        let first = "SELECT min(tag_id) FROM deleted_tag";
        // Looked for beside the writer: most of the time there is nothing to write.
        let deleted: Option<i64> =
            self.read(move |connection| Ok(connection.prepare_cached(first)?.query_row([], |row| row.get(0))?)).await?;
        let Some(tag) = deleted else { return Ok(0) };
        self.write_in_bulk(move |tx| {
            let mut statement =
                tx.prepare_cached("SELECT device_id FROM device_of_tag WHERE tag_id = ?1 ORDER BY device_id LIMIT ?2")?;
            let devices: Vec<i64> =
                statement.query_map(params![tag, limit], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
            for device in &devices {
                unlink(tx, DeviceId(*device), TagType::Custom.code(), tag)?;
            }
            if devices.len() < limit as usize {
                tx.execute("DELETE FROM deleted_tag WHERE tag_id = ?1", [tag])?;
            }
            Ok(devices.len().max(1) as u64)
        })
        .await
    }
}
