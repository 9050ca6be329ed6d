//! Schema: the tables of a database file, and how those of an older file become them.
//!
//! A new file is made by `schema.sql` at once. An older one goes through the steps of [`STEPS`] that it has not seen, all
//! in one transaction. The two end in the same tables; `tests/it/schema.rs` holds them to it.

use rusqlite::{Connection, TransactionBehavior};

use crate::error::{Error, Result};

/// What a new database file is made of.
const SCHEMA: &str = include_str!("schema.sql");

/// What makes a file of version `n + 1` one of version `n + 2`, `n` being a step's place here. A step that was released
/// is never changed; a change of `schema.sql` comes with a step at the end.
const STEPS: &[&str] = &[
    include_str!("migrations/2.sql"),
    include_str!("migrations/3.sql"),
    include_str!("migrations/4.sql"),
    include_str!("migrations/5.sql"),
    include_str!("migrations/6.sql"),
    include_str!("migrations/7.sql"),
    include_str!("migrations/8.sql"),
    include_str!("migrations/9.sql"),
    include_str!("migrations/10.sql"),
    include_str!("migrations/11.sql"),
    include_str!("migrations/12.sql"),
    include_str!("migrations/13.sql"),
    include_str!("migrations/14.sql"),
    include_str!("migrations/15.sql"),
    include_str!("migrations/16.sql"),
    include_str!("migrations/17.sql"),
    include_str!("migrations/18.sql"),
    include_str!("migrations/19.sql"),
    include_str!("migrations/20.sql"),
];

/// Which version of the schema this program knows: kept in the file as its `user_version`, 0 in an empty one.
pub(crate) const VERSION: usize = 1 + STEPS.len();

/// Creates the tables in a new file, or brings those of an older one up to date: all of it or nothing.
///
/// # Errors
/// A newer version of the program wrote the file, or the database's.
pub(crate) fn migrate(connection: &mut Connection) -> Result<()> {
    // A step that makes a table anew drops the old one, which must not take along what refers to its rows.
    connection.pragma_update(None, "foreign_keys", false)?;
    // Immediate: two programs that start at once must not both create the tables.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let missing = match usize::try_from(found) {
        Ok(0) => [SCHEMA].as_slice(),
        Ok(version) if version <= VERSION => &STEPS[version - 1..],
        _ => return Err(Error::FromTheFuture { found, known: VERSION as i64 }),
    };
    for step in missing {
        transaction.execute_batch(step)?;
    }
    if !missing.is_empty() {
        transaction.pragma_update(None, "user_version", VERSION as i64)?;
    }
    transaction.commit()?;
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(())
}
