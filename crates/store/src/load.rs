//! Load: rows of an import into the tables, in the order of each table and many to a statement.
//!
//! What belongs into one transaction is the import's to say ([`import`](crate::import)).

mod attributes;
mod reports;

use std::collections::HashSet;

use pigeonloft_model::{AccessId, DeviceId, Token, Zone};
use rusqlite::types::ToSql;
use rusqlite::{Connection, OptionalExtension, Statement, params};

use crate::accounts::{AccountKey, hold};
use crate::channels;
use crate::device_days::DeviceChange;
use crate::devices::environment_code;
use crate::error::Result;
use crate::import::{Binding, ImportRow, Imported};
use crate::now_ms;
use crate::resolve::find_tokens;

use attributes::load_attributes;
use reports::load_reports;

/// Rows inserted by one statement. What a statement costs by itself, above all the upkeep of AUTOINCREMENT, was half of
/// an insert.
const AT_ONCE: usize = 100;

/// What a chunk of devices did.
pub(crate) struct Loaded {
    /// Counts; nothing is bound yet.
    pub(crate) imported: Imported,
    /// What the devices are to be bound to, and hold already.
    pub(crate) bindings: Vec<Binding>,
    /// The tokens that no device had.
    pub(crate) new: HashSet<Token>,
}

/// A device that did not exist.
struct NewDevice<'a> {
    device: DeviceId,
    /// Its first row, which has its password.
    row: &'a ImportRow,
    environment: i64,
}

/// Adds the devices of these rows, or brings them up to date, and notes what each is to be bound to. Sorts the rows.
/// `attributes`: the names of theirs.
pub(crate) fn load_devices(
    tx: &Connection,
    access_id: AccessId,
    attributes: &[String],
    rows: &mut [ImportRow],
) -> Result<Loaded> {
    rows.sort_by_key(|row| row.token);
    let of_devices: Vec<&[ImportRow]> = rows.chunk_by(|a, b| a.token == b.token).collect();
    let mut known = find_tokens(tx, access_id, of_devices.iter().map(|rows| rows[0].token))?.into_iter().peekable();
    let mut next_id: i64 = tx
        .query_row("SELECT seq FROM sqlite_sequence WHERE name = 'device'", [], |row| row.get(0))
        .optional()?
        .unwrap_or(0);
    let mut loaded = Loaded { imported: Imported::default(), bindings: Vec::new(), new: HashSet::new() };
    let mut new = Vec::new();
    let mut of_new = Vec::new();
    let mut channels = Vec::new();
    let (mut known_reports, mut new_reports) = (Vec::new(), Vec::new());
    for (place, rows) in of_devices.into_iter().enumerate() {
        let environment = rows.iter().rev().find_map(|row| row.environment).map(environment_code);
        let accounts = accounts(rows);
        let device = if let Some((_, device)) = known.next_if(|(found, _)| *found == place) {
            loaded.imported.known += rows.len() as u64;
            if let Some(environment) = environment {
                tx.prepare_cached("UPDATE device SET environment = ?2 WHERE device_id = ?1 AND environment <> ?2")?
                    .execute(params![device.0, environment])?;
            }
            for account in &accounts {
                hold(tx, access_id, device, account)?;
            }
            known_reports.push((device, rows));
            device
        } else {
            loaded.imported.new += 1;
            loaded.imported.known += rows.len() as u64 - 1;
            next_id += 1;
            let device = DeviceId(next_id);
            loaded.new.insert(rows[0].token);
            new.push(NewDevice { device, row: &rows[0], environment: environment.unwrap_or(0) });
            of_new.extend(accounts.iter().map(|account| (device, *account)));
            new_reports.push((device, rows));
            device
        };
        loaded.bindings.extend(accounts.into_iter().map(|account| Binding { account: account.clone(), device }));
        channels.extend(rows.iter().filter_map(|row| Some((device, row.channel.as_ref()?))));
    }
    insert_devices(tx, access_id, &new)?;
    // Nobody was seen yet. No configuration is read here, so that the days are those of a store as it is opened.
    DeviceChange { added: loaded.imported.new, ..DeviceChange::default() }.apply(
        tx,
        access_id,
        Zone::CHINA.day_number(now_ms()),
    )?;
    of_new.sort_unstable();
    insert_held(tx, &of_new)?;
    for (device, to) in channels {
        channels::set(tx, device, to)?;
    }
    load_reports(tx, access_id, &known_reports, &new_reports)?;
    load_attributes(tx, access_id, attributes, [&known_reports, &new_reports])?;
    Ok(loaded)
}

/// The accounts of a device: of each type the last.
fn accounts(rows: &[ImportRow]) -> Vec<&AccountKey> {
    let mut accounts: Vec<&AccountKey> = Vec::new();
    for account in rows.iter().filter_map(|row| row.account.as_ref()) {
        match accounts.iter_mut().find(|other| other.account_type == account.account_type) {
            Some(other) => *other = account,
            None => accounts.push(account),
        }
    }
    accounts
}

fn insert_devices(tx: &Connection, access_id: AccessId, devices: &[NewDevice<'_>]) -> Result<()> {
    let insert = "INSERT INTO device (access_id, created_at, seen_at, device_id, token, password_hash, environment)";
    let now = now_ms();
    insert_rows(
        tx,
        insert,
        "",
        &[&access_id.0, &now, &now],
        devices,
        |values, NewDevice { device, row, environment }| {
            values.add(device.0)?;
            values.add(row.token.to_bytes())?;
            values.add(row.password_hash)?;
            values.add(environment)
        },
    )
}

fn insert_held(tx: &Connection, held: &[(DeviceId, &AccountKey)]) -> Result<()> {
    let insert = "INSERT INTO account_of_device (device_id, account_type, name)";
    insert_rows(tx, insert, "", &[], held, |values, (device, account)| {
        values.add(device.0)?;
        values.add(account.account_type)?;
        values.add(&account.name)
    })
}

/// Binds devices to accounts they hold. Answers how many.
pub(crate) fn load_accounts(tx: &Connection, access_id: AccessId, bindings: &[Binding]) -> Result<u64> {
    let insert = "INSERT INTO account (access_id, bound_at, account_type, name, device_id)";
    let again = "ON CONFLICT DO UPDATE SET bound_at = excluded.bound_at";
    insert_rows(tx, insert, again, &[&access_id.0, &now_ms()], bindings, |values, Binding { account, device }| {
        values.add(account.account_type)?;
        values.add(&account.name)?;
        values.add(device.0)
    })?;
    Ok(bindings.len() as u64)
}

/// Leaves the bindings whose device still holds the account.
pub(crate) fn retain_held(tx: &Connection, bindings: &mut Vec<Binding>) -> Result<()> {
    // In the order of the table that is asked.
    bindings.sort_unstable_by_key(|binding| binding.device);
    let mut statement =
        tx.prepare_cached("SELECT name = ?3 FROM account_of_device WHERE device_id = ?1 AND account_type = ?2")?;
    let mut failed = None;
    bindings.retain(|Binding { account, device }| {
        let held =
            statement.query_row(params![device.0, account.account_type, account.name], |row| row.get(0)).optional();
        held.map_err(|error| failed = Some(error)).ok().flatten().unwrap_or(false)
    });
    failed.map_or(Ok(()), |error| Err(error.into()))
}

/// The values of a statement that is being filled, in their order.
struct Values<'a, 's> {
    statement: &'a mut Statement<'s>,
    filled: usize,
}

impl Values<'_, '_> {
    fn add(&mut self, value: impl ToSql) -> rusqlite::Result<()> {
        self.filled += 1;
        self.statement.raw_bind_parameter(self.filled, value)
    }
}

/// Inserts rows: `insert` names a table and its columns, first those that all rows have in common, then those for which
/// `fill` adds a value each.
fn insert_rows<T>(
    tx: &Connection,
    insert: &str,
    on_conflict: &str,
    common: &[&dyn ToSql],
    rows: &[T],
    fill: impl Fn(&mut Values<'_, '_>, &T) -> rusqlite::Result<()>,
) -> Result<()> {
    let columns = insert.matches(',').count() + 1;
    let row = |place: usize| {
        let own = (columns - common.len()) * place;
        let numbers = (1..=columns).map(|n| if n > common.len() { n + own } else { n });
        format!("({})", numbers.map(|n| format!("?{n}")).collect::<Vec<_>>().join(","))
    };
    let statement = |rows: usize| {
        let values = (0..rows).map(row).collect::<Vec<_>>().join(",");
        tx.prepare_cached(&format!("{insert} VALUES {values} {on_conflict}"))
    };
    let (groups, rest) = rows.as_chunks::<AT_ONCE>();
    for (mut statement, groups) in [(statement(AT_ONCE)?, groups.as_flattened()), (statement(1)?, rest)] {
        let rows_of_it = if groups.len() >= AT_ONCE { AT_ONCE } else { 1 };
        for group in groups.chunks(rows_of_it) {
            let mut values = Values { statement: &mut statement, filled: 0 };
            for value in common {
                values.add(value)?;
            }
            for row in group {
                fill(&mut values, row)?;
            }
            statement.raw_execute()?;
        }
    }
    Ok(())
}
