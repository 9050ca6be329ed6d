//! Tags under examination: their two tables hold the same, of tags that are there and that a device has.

use std::hash::{DefaultHasher, Hash, Hasher};

use rusqlite::Connection;

use super::Doctor;
use crate::error::Result;

/// What is wrong with tags. It is mended by what the devices have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WrongTags {
    /// Tags of devices that are on one side only: the device has it and is not among those of the tag, or the other way
    /// round.
    pub one_sided: u64,
    /// Tags without a name that devices have, and that nobody is about to clear. They are put where the server clears
    /// deleted ones.
    pub nameless: u64,
    /// Tags with a name that no device has: they would count among those of their app.
    pub unused: u64,
}

/// Devices of tags that do not have them.
const NOT_HAD: &str = "FROM device_of_tag WHERE NOT EXISTS (
    SELECT 1 FROM tag_of_device o WHERE o.device_id = device_of_tag.device_id AND o.tag_id = device_of_tag.tag_id)";

/// Tags of devices that are not among the tags'.
const NOT_FOUND: &str = "FROM tag_of_device o WHERE NOT EXISTS (
    SELECT 1 FROM device_of_tag d WHERE d.tag_id = o.tag_id AND d.device_id = o.device_id)";

const NAMELESS: &str = "SELECT DISTINCT tag_id FROM device_of_tag d
    WHERE NOT EXISTS (SELECT 1 FROM tag t WHERE t.tag_id = d.tag_id)
        AND NOT EXISTS (SELECT 1 FROM deleted_tag t WHERE t.tag_id = d.tag_id)";

const UNUSED: &str = "FROM tag WHERE NOT EXISTS (SELECT 1 FROM device_of_tag d WHERE d.tag_id = tag.tag_id)";

impl Doctor {
    /// Compares the tables of tags.
    ///
    /// # Errors
    /// The database's; nothing is mended then.
    pub fn tags(&self) -> Result<WrongTags> {
        self.transaction(|tx| {
            let count = |rows: &str| Ok::<u64, crate::Error>(tx.query_row(rows, [], |row| row.get(0))?);
            let mut found = WrongTags::default();
            // To look each row up on the other side takes minutes for millions; a pass through each tells that they are
            // the same, as they are most of the time.
            if fingerprint(tx, "tag_of_device")? != fingerprint(tx, "device_of_tag")? {
                found.one_sided =
                    count(&format!("SELECT count(*) {NOT_HAD}"))? + count(&format!("SELECT count(*) {NOT_FOUND}"))?;
                if self.mend {
                    tx.execute(&format!("DELETE {NOT_HAD}"), [])?;
                    tx.execute(&format!("INSERT INTO device_of_tag SELECT o.tag_id, o.device_id {NOT_FOUND}"), [])?;
                }
            }
            found.nameless = count(&format!("SELECT count(*) FROM ({NAMELESS})"))?;
            found.unused = count(&format!("SELECT count(*) {UNUSED}"))?;
            if self.mend {
                tx.execute(&format!("INSERT INTO deleted_tag {NAMELESS}"), [])?;
                tx.execute(&format!("DELETE {UNUSED}"), [])?;
            }
            Ok(found)
        })
    }
}

/// A number that both tables have in common if they hold the same, in whatever order; and else only by a chance of 2^-64.
fn fingerprint(tx: &Connection, table: &str) -> Result<(u64, u64)> {
    let mut statement = tx.prepare(&format!("SELECT device_id, tag_id FROM {table}"))?;
    let mut rows = statement.query([])?;
    let (mut count, mut sum) = (0, 0u64);
    while let Some(row) = rows.next()? {
        let mut hasher = DefaultHasher::new();
        (row.get::<_, i64>(0)?, row.get::<_, i64>(1)?).hash(&mut hasher);
        sum = sum.wrapping_add(hasher.finish());
        count += 1;
    }
    Ok((count, sum))
}
