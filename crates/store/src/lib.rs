//! The one crate that knows the database: apps, devices, accounts, packages, pushes, recipients and inboxes.
//!
//! One thread writes and commits what has queued up since the last commit as one group ([`writer`]); a few
//! connections read beside it ([`readers`]). Every other module is the SQL of one word and nothing else. What the rows
//! mean, and when a push moves on, is decided by the callers.

mod accept;
mod accounts;
mod activity;
mod answers;
mod apps;
mod attributes;
mod batches;
mod channels;
mod choose;
mod days;
mod deleted;
mod device_days;
mod devices;
pub mod doctor;
mod early;
mod error;
mod import;
mod inbox;
mod load;
mod log;
mod packages;
mod parked;
mod plans;
mod pushes;
mod readers;
mod recipients;
mod records;
mod report;
mod resolve;
mod revocations;
mod scheduled;
mod schema;
mod stops;
mod tags;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pigeonloft_model::Zone;
use rusqlite::{Connection, OpenFlags};

pub use accounts::{AccountKey, Bound};
pub use answers::{AnswerKey, Asked, KeptAnswer, Once, Repeatable};
pub use apps::{App, BadRows};
pub use attributes::Declared;
pub use batches::{Batch, Cursor, LeftOut, Recipient, Within};
pub use channels::{ChannelTarget, ChannelToken, DeadToken, SealedCredentials};
pub use choose::{Choice, Span};
pub use days::{DaySums, Sums};
pub use device_days::DeviceDay;
pub use devices::{Device, DeviceReport, NewDevice, Registered, Reports};
pub use error::{Error, Result};
pub use import::{Binding, Import, ImportRow, Imported};
pub use inbox::{Acknowledged, InboxMessage, Kept};
pub use packages::{NewPackage, Package, Removed};
pub use parked::{Given, Parked, ParkedAt, ParkedPage, Then, ToGive, Unparked};
pub use plans::Plan;
pub use pushes::{Accepted, Counts, NewPush, Push, REPEATED_WITHIN_S, Started};
pub use readers::Reader;
pub use records::{PUSHES_LOOKED_AT, PushFilter, PushToDevice};
pub use report::{DeviceFacts, DevicePushes, HeldAccount, ReportLine, ReportPage, Reported};
pub use resolve::Resolved;
pub use revocations::{Holders, NewRevocation};
pub use scheduled::Cancelled;
pub use tags::Tagged;
pub use writer::{Permit, Tx, WriterStats, Written};

use readers::Readers;
use writer::Writer;

/// Name of the database file in the data folder.
pub const DATABASE_FILE: &str = "pigeonloft.db";

/// How often a statement that finds another process (a command beside the server) writing tries again, once each
/// [`BUSY_PAUSE`], before it fails: half a minute.
const BUSY_TRIES: i32 = 30_000;

/// SQLite's own waits grow to 100 ms: a command that writes chunk after chunk would be in its next one at every try.
const BUSY_PAUSE: Duration = Duration::from_millis(1);

/// An open database. Cheap to clone: clones share the writer and the readers.
#[derive(Clone, Debug)]
pub struct Store {
    writer: Arc<Writer>,
    readers: Arc<Readers>,
    path: PathBuf,
    zone: Zone,
}

impl Store {
    /// Opens the database of a data folder, and creates or migrates it first where needed.
    ///
    /// # Errors
    /// The folder cannot be written, the file is no database, or a newer version of the program wrote it.
    pub fn open(data_dir: &Path) -> Result<Self> {
        let path = data_dir.join(DATABASE_FILE);
        let mut connection = connect(&path)?;
        schema::migrate(&mut connection)?;
        let (writer, readers) = (Arc::new(Writer::start(connection)?), Arc::new(Readers::new(path.clone())));
        Ok(Self { writer, readers, path, zone: Zone::CHINA })
    }

    /// The same, whose days begin at midnight of this zone. As it is opened they begin at that of UTC+8.
    #[must_use]
    pub fn in_zone(self, zone: Zone) -> Self {
        Self { zone, ..self }
    }

    /// Where the database file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes on disk of the database and its log.
    #[must_use]
    pub fn bytes_on_disk(&self) -> u64 {
        let log = log::log_of(&self.path);
        [&self.path, &log].iter().filter_map(|path| path.metadata().ok()).map(|meta| meta.len()).sum()
    }
}

fn connect(path: &Path) -> Result<Connection> {
    let mut connection = Connection::open(path).map_err(|source| Error::Open { path: path.into(), source })?;
    tune(&mut connection)?;
    // FULL: a commit that was answered survives power loss, not only kill -9.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    restrict_permissions(path);
    Ok(connection)
}

fn connect_to_read(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let mut connection =
        Connection::open_with_flags(path, flags).map_err(|source| Error::Open { path: path.into(), source })?;
    tune(&mut connection)?;
    Ok(connection)
}

fn tune(connection: &mut Connection) -> Result<()> {
    connection.busy_handler(Some(|tries| {
        std::thread::sleep(BUSY_PAUSE);
        tries < BUSY_TRIES
    }))?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "cache_size", -16_384)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    rusqlite::vtab::array::load_module(connection)?;
    Ok(())
}

/// The file holds every app's secret: nobody but its owner reads it.
fn restrict_permissions(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if let Err(error) = std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)) {
            tracing::warn!(%error, path = %path.display(), "cannot make the database private to its owner");
        }
    }
}

/// Now, in unix milliseconds: what every time in the tables is counted in.
pub(crate) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
