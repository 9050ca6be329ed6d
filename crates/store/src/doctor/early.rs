//! Early receipts under examination: each is of a push that goes on, whose next batches may count it. Those of devices
//! that are gone are dangling rows like others.

use super::Doctor;
use crate::error::Result;

/// Early receipts that nothing will ever count. They are deleted where the doctor mends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StrayReceipts {
    /// Of pushes that are not there.
    pub no_push: u64,
    /// Of pushes that have finished.
    pub ended: u64,
}

impl Doctor {
    /// Looks for early receipts that are left over. Comes after the pushes, whose ends it goes by.
    ///
    /// # Errors
    /// The database's; nothing is deleted then.
    pub fn early_receipts(&self) -> Result<StrayReceipts> {
        self.transaction(|tx| {
            let sql = "SELECT count(*) FILTER (WHERE p.push_id IS NULL), count(p.finished_at)
                 FROM early_receipt e LEFT JOIN push p USING (push_id)";
            let found = tx.query_row(sql, [], |row| Ok(StrayReceipts { no_push: row.get(0)?, ended: row.get(1)? }))?;
            if self.mend && found != StrayReceipts::default() {
                tx.execute(
                    "DELETE FROM early_receipt WHERE NOT EXISTS (
                        SELECT 1 FROM push p WHERE p.push_id = early_receipt.push_id AND p.finished_at IS NULL)",
                    [],
                )?;
            }
            Ok(found)
        })
    }
}
