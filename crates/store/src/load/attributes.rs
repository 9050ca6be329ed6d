//! Attributes of an import's rows.

use pigeonloft_model::{AccessId, DeviceId};
use rusqlite::Connection;

use super::insert_rows;
use super::reports::OfDevice;
use crate::attributes::name_ids;
use crate::error::Result;

/// Sets what rows say of attributes by these names; where several of a device's say something of one, the last does. Quickest
/// where the devices of each list ascend.
pub(super) fn load_attributes(
    tx: &Connection,
    access_id: AccessId,
    names: &[String],
    devices: [&[OfDevice<'_>]; 2],
) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let name_ids = name_ids(tx, access_id, names)?;
    let mut values: Vec<(DeviceId, i64, &str)> = Vec::new();
    for (device, rows) in devices.into_iter().flatten() {
        for (nth, value) in rows.iter().flat_map(|row| &row.attributes) {
            if let Some(Some(name_id)) = name_ids.get(*nth) {
                values.push((*device, *name_id, value));
            }
        }
    }
    let insert = "INSERT INTO attribute (device_id, name_id, value)";
    let again = "ON CONFLICT DO UPDATE SET value = excluded.value";
    insert_rows(tx, insert, again, &[], &values, |bound, (device, name_id, value)| {
        bound.add(device.0)?;
        bound.add(name_id)?;
        bound.add(value)
    })
}
