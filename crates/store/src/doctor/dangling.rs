//! Dangling rows: those whose parent is gone.

use std::hash::{DefaultHasher, Hash, Hasher};

use rusqlite::params;

use super::Doctor;
use crate::error::Result;

/// Rows of a table whose parent is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dangling {
    /// Their table.
    pub table: String,
    /// The table of the parent.
    pub parent: String,
    /// How many there are.
    pub rows: u64,
    /// They would have gone with the parent: they can be deleted, and are where the doctor mends.
    pub may_go: bool,
}

impl Doctor {
    /// Rows whose parent is gone, by table. Those that would have gone with it are deleted.
    ///
    /// # Errors
    /// The database's.
    pub fn dangling(&self) -> Result<Vec<Dangling>> {
        let mut found: Vec<(Dangling, i64)> = Vec::new();
        let mut check = self.connection.prepare("PRAGMA foreign_key_check")?;
        let mut rows = check.query([])?;
        while let Some(row) = rows.next()? {
            let (table, parent, key): (String, String, i64) = (row.get(0)?, row.get(2)?, row.get(3)?);
            match found.iter_mut().find(|(seen, nth)| seen.table == table && *nth == key) {
                Some((seen, _)) => seen.rows += 1,
                None => found.push((Dangling { table, parent, rows: 1, may_go: false }, key)),
            }
        }
        drop(rows);
        for (dangling, key) in &mut found {
            self.let_go(dangling, *key)?;
        }
        let mut found: Vec<Dangling> = found.into_iter().map(|(dangling, _)| dangling).collect();
        // Where devices are missing and nothing is mended, both tables may hold rows of theirs.
        let devices_missing = !self.mend && found.iter().any(|seen| seen.table == "account_of_device");
        found.extend(self.unheld(devices_missing)?);
        found.extend(self.undeclared()?);
        found.extend(self.parked_of_no_push()?);
        Ok(found)
    }

    /// Attributes under names that are declared no more: taking a name back was broken off.
    fn undeclared(&self) -> Result<Option<Dangling>> {
        let undeclared = "FROM attribute WHERE name_id NOT IN (SELECT name_id FROM attribute_name)";
        let rows: u64 = self.connection.query_row(&format!("SELECT count(*) {undeclared}"), [], |row| row.get(0))?;
        if rows > 0 && self.mend {
            self.connection.execute(&format!("DELETE {undeclared}"), [])?;
        }
        let dangling = Dangling { table: "attribute".into(), parent: "attribute_name".into(), rows, may_go: true };
        Ok((rows > 0).then_some(dangling))
    }

    /// Parked messages of pushes that are not there.
    fn parked_of_no_push(&self) -> Result<Option<Dangling>> {
        let of_none = "FROM parked WHERE push_id NOT IN (SELECT push_id FROM push)";
        let rows: u64 = self.connection.query_row(&format!("SELECT count(*) {of_none}"), [], |row| row.get(0))?;
        if rows > 0 && self.mend {
            self.connection.execute(&format!("DELETE {of_none}"), [])?;
        }
        let dangling = Dangling { table: "parked".into(), parent: "push".into(), rows, may_go: true };
        Ok((rows > 0).then_some(dangling))
    }

    /// Accounts bound to devices that do not hold them, or that are gone: between these two tables, an import would pay
    /// too much for a foreign key. The other way round is no trouble: an import that broke off leaves it so.
    fn unheld(&self, devices_missing: bool) -> Result<Option<Dangling>> {
        // Each row is looked up at a place of its own, which takes minutes for millions. Most of the time the two tables
        // hold the same, which a pass through each can tell.
        if !devices_missing && self.fingerprint("account")? == self.fingerprint("account_of_device")? {
            return Ok(None);
        }
        let unheld = "FROM account WHERE NOT EXISTS (
            SELECT 1 FROM account_of_device o CROSS JOIN device d ON d.device_id = o.device_id
            WHERE o.device_id = account.device_id AND o.account_type = account.account_type AND o.name = account.name)";
        let rows: u64 = self.connection.query_row(&format!("SELECT count(*) {unheld}"), [], |row| row.get(0))?;
        if rows > 0 && self.mend {
            self.connection.execute(&format!("DELETE {unheld}"), [])?;
        }
        let dangling = Dangling { table: "account".into(), parent: "account_of_device".into(), rows, may_go: true };
        Ok((rows > 0).then_some(dangling))
    }

    /// A number that two tables of bindings have in common if they hold the same, in whatever order; and else only by a
    /// chance of 2^-64.
    fn fingerprint(&self, table: &str) -> Result<(u64, u64)> {
        let mut statement = self.connection.prepare(&format!("SELECT device_id, account_type, name FROM {table}"))?;
        let mut rows = statement.query([])?;
        let (mut count, mut sum) = (0, 0u64);
        while let Some(row) = rows.next()? {
            let mut hasher = DefaultHasher::new();
            (row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?).hash(&mut hasher);
            sum = sum.wrapping_add(hasher.finish());
            count += 1;
        }
        Ok((count, sum))
    }

    /// Deletes rows whose parent is gone, if the schema says that they go with it. `key` is the number of the foreign
    /// key in its table.
    fn let_go(&self, dangling: &mut Dangling, key: i64) -> Result<()> {
        let sql =
            "SELECT \"from\", coalesce(\"to\", \"from\"), on_delete FROM pragma_foreign_key_list(?1) WHERE id = ?2";
        let (from, to, on_delete): (String, String, String) =
            self.connection
                .query_row(sql, params![dangling.table, key], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        dangling.may_go = on_delete == "CASCADE";
        if dangling.may_go && self.mend {
            let Dangling { table, parent, .. } = &*dangling;
            // The names are the schema's own.
            self.connection.execute(
                &format!("DELETE FROM \"{table}\" WHERE \"{from}\" NOT IN (SELECT \"{to}\" FROM \"{parent}\")"),
                [],
            )?;
        }
        Ok(())
    }
}
