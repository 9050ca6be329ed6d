//! Reports: what imported devices report of themselves, as tags in the order of both their tables.

use std::collections::HashMap;

use pigeonloft_model::{AccessId, DeviceId, TagType};
use rusqlite::Connection;

use super::insert_rows;
use crate::error::Result;
use crate::import::ImportRow;
use crate::tags::Tags;

/// A device and its rows.
pub(super) type OfDevice<'a> = (DeviceId, &'a [ImportRow]);

/// Gives devices the tags of what they report. Of each type the last row that says anything counts.
pub(super) fn load_reports(
    tx: &Connection,
    access_id: AccessId,
    known: &[OfDevice<'_>],
    new: &[OfDevice<'_>],
) -> Result<()> {
    let mut tags = Tags::of(tx, access_id);
    for (device, rows) in known {
        for (kind, name) in reports(rows) {
            tags.report(*device, kind, Some(name))?;
        }
    }
    // After the known ones: whose change may have taken along a tag that nobody else had.
    let mut found: HashMap<(TagType, &str), i64> = HashMap::new();
    let mut links = Vec::new();
    for (device, rows) in new {
        for (kind, name) in reports(rows) {
            let tag = match found.get(&(kind, name)) {
                Some(tag) => *tag,
                None => {
                    let Some(tag) = tags.find_or_add(kind, name)? else { continue };
                    found.insert((kind, name), tag);
                    tag
                }
            };
            links.push((device.0, kind.code(), tag));
        }
    }
    links.sort_unstable();
    let insert = "INSERT INTO tag_of_device (device_id, tag_type, tag_id)";
    insert_rows(tx, insert, "", &[], &links, |values, (device, kind, tag)| {
        values.add(device)?;
        values.add(kind)?;
        values.add(tag)
    })?;
    links.sort_unstable_by_key(|(device, _, tag)| (*tag, *device));
    let insert = "INSERT INTO device_of_tag (tag_id, device_id)";
    insert_rows(tx, insert, "", &[], &links, |values, (device, _, tag)| {
        values.add(tag)?;
        values.add(device)
    })
}

/// What the rows of a device report: of each type the last.
fn reports(rows: &[ImportRow]) -> impl Iterator<Item = (TagType, &str)> {
    TagType::REPORTED.into_iter().filter_map(|(_, kind)| {
        rows.iter()
            .rev()
            .flat_map(|row| &row.reported)
            .find(|(of, _)| *of == kind)
            .map(|(_, name)| (kind, name.as_str()))
    })
}
