//! Deleted devices, for as long as a batch may name them that was resolved before: whoever is deleted between that and the
//! record of the batch is gone, as if the batch had been recorded first.
//!
//! A deletion notes the device only while a push is under way, and with it the newest push there is. A push that comes later
//! cannot resolve the device any more, so that the note may go once no push up to that one is under way. After a crash a push
//! resolves its window anew, and its notes wait for its end all the same.

use std::collections::BTreeMap;
use std::rc::Rc;

use pigeonloft_model::{DeviceId, Outcome};
use rusqlite::Connection;
use rusqlite::types::Value;

use crate::Store;
use crate::batches::Batch;
use crate::error::Result;
use crate::pushes::DUE_FROM;
use crate::recipients::{apply_all, settle};

/// The oldest push that may have resolved devices which it has not recorded, in SQL: one that does not wait for its time,
/// and is not finished. The first entry of an index, however many there are.
fn oldest_under_way() -> String {
    format!(
        "SELECT push_id FROM push INDEXED BY push_unfinished WHERE finished_at IS NULL AND {DUE_FROM} = 0
         ORDER BY push_id LIMIT 1"
    )
}

/// Notes that a device is deleted, if a push is under way.
pub(crate) fn note(tx: &Connection, device: DeviceId) -> Result<()> {
    tx.prepare_cached(&format!(
        "INSERT INTO deleted_device (device_id, last_push)
         SELECT ?1, (SELECT max(push_id) FROM push) WHERE EXISTS ({})",
        oldest_under_way()
    ))?
    .execute([device.0])?;
    Ok(())
}

/// Lets go who waits by a batch, just recorded, and was deleted since it was resolved. Answers how many.
pub(crate) fn let_go(tx: &Connection, batch: &Batch) -> Result<u64> {
    let waiting = || batch.recipients.iter().filter(|of| !of.outcome.is_final()).map(|of| of.device.0);
    let (Some(first), Some(last)) = (waiting().min(), waiting().max()) else { return Ok(0) };
    let any = tx
        .prepare_cached("SELECT 1 FROM deleted_device WHERE device_id BETWEEN ?1 AND ?2 LIMIT 1")?
        .exists([first, last])?;
    if !any {
        return Ok(0);
    }
    let waiting: Rc<Vec<Value>> = Rc::new(waiting().map(Value::Integer).collect());
    // From the batch to the devices, not the other way: very many may be deleted.
    let mut statement = tx.prepare_cached(
        "SELECT DISTINCT device_id FROM rarray(?1) AS named CROSS JOIN deleted_device ON device_id = named.value",
    )?;
    let deleted = statement.query_map([waiting], |row| row.get(0).map(DeviceId))?;
    let mut changes = BTreeMap::new();
    let mut gone = 0;
    for device in deleted.collect::<rusqlite::Result<Vec<_>>>()? {
        gone += u64::from(settle(tx, batch.push_id, device, Outcome::Gone, &mut changes)?.is_some());
    }
    apply_all(tx, changes)?;
    Ok(gone)
}

impl Store {
    /// Forgets up to `limit` deleted devices that no push under way can name any more. Answers how many.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_deleted_devices(&self, limit: u32) -> Result<u64> {
        let passed = format!(
            "SELECT device_id FROM deleted_device WHERE last_push < coalesce(({}), {}) LIMIT ?1",
            oldest_under_way(),
            i64::MAX
        );
        let forget = format!("DELETE FROM deleted_device WHERE device_id IN ({passed})");
        // Looked for beside the writer: most of the time there is nothing to write.
        let any = self.read(move |connection| Ok(connection.prepare_cached(&passed)?.exists([1])?)).await?;
        if !any {
            return Ok(0);
        }
        self.write_in_bulk(move |tx| Ok(tx.prepare_cached(&forget)?.execute([limit])? as u64)).await
    }
}
