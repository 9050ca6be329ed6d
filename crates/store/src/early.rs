//! Early receipts: what a device says of a message before the batch that sent it is on record. They wait here, durably,
//! and are counted in the transaction that records the recipient.

use pigeonloft_model::{DeviceId, PushId, ReceiptEvent};
use rusqlite::{Connection, params};

use crate::error::Result;
use crate::recipients::receipt;

/// Keeps a receipt of a device that is no recipient of the push, as long as it can still become one: the push is of its
/// app and not finished.
pub(crate) fn keep(tx: &Connection, push_id: PushId, device: DeviceId, event: ReceiptEvent) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO early_receipt (push_id, device_id, receipts)
         SELECT p.push_id, d.device_id, ?3 FROM push p JOIN device d USING (access_id)
         WHERE p.push_id = ?1 AND p.finished_at IS NULL AND d.device_id = ?2
         ON CONFLICT DO UPDATE SET receipts = receipts | excluded.receipts",
    )?
    .execute(params![push_id.0, device.0, event.flag()])?;
    Ok(())
}

/// Counts what was kept of those devices, from the first to the last, that are recipients by now.
pub(crate) fn count(tx: &Connection, push_id: PushId, first: DeviceId, last: DeviceId) -> Result<()> {
    let mut statement = tx.prepare_cached(
        "DELETE FROM early_receipt AS e WHERE push_id = ?1 AND device_id BETWEEN ?2 AND ?3
         AND EXISTS (SELECT 1 FROM recipient r WHERE r.push_id = e.push_id AND r.device_id = e.device_id)
         RETURNING device_id, receipts",
    )?;
    let kept =
        statement.query_map(params![push_id.0, first.0, last.0], |row| Ok((DeviceId(row.get(0)?), row.get(1)?)))?;
    for (device, receipts) in kept.collect::<rusqlite::Result<Vec<(DeviceId, u8)>>>()? {
        for event in ReceiptEvent::ALL.iter().copied().filter(|event| receipts & event.flag() != 0) {
            receipt(tx, push_id, device, event)?;
        }
    }
    Ok(())
}

/// The push is finished: who is no recipient of it now never was.
pub(crate) fn forget(tx: &Connection, push_id: PushId) -> Result<()> {
    tx.prepare_cached("DELETE FROM early_receipt WHERE push_id = ?1")?.execute([push_id.0])?;
    Ok(())
}
