//! Plan: walks the audience of a push from its cursor on, and resolves it to [windows](Window) of devices.
//!
//! It runs on a thread that may block, one window ahead of the sender. Windows grow from one to the next: the first
//! messages of a push leave soon, and most of a large one goes in windows as large as memory allows, because each
//! window walks through the whole of the inbox.

use std::path::PathBuf;

use pigeonloft_model::{Audience, DeviceId, Platform, Push};
use pigeonloft_package::Reader as PackageReader;
use pigeonloft_store::{Cursor, Reader, Resolved, Started};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio::time::Instant;

use super::progress::{Part, Progress};
use super::window::Window;
use crate::metrics::Metrics;

/// Rows of a push's first window.
const FIRST_WINDOW: usize = 1 << 17;

/// Rows and, at least, devices of the largest window: 8 MiB of ids while it is made, for each of those who have a turn.
const LARGEST_WINDOW: usize = 1 << 20;

/// Rows resolved at once, or fewer where so many rows name more devices than this.
const RESOLVED_AT_ONCE: usize = 1 << 16;

/// Why an audience cannot be walked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// Its package cannot be read: the push cannot go on.
    #[error("the package of the push cannot be read")]
    Package(#[from] pigeonloft_package::ReadError),
    /// The database failed: the push can go on later.
    #[error(transparent)]
    Store(#[from] pigeonloft_store::Error),
    /// The server stops.
    #[error("the server stops")]
    Stopping,
}

enum Rows<'a> {
    List(&'a [String]),
    Package(PackageReader),
}

impl Rows<'_> {
    fn is_empty(&self) -> bool {
        match self {
            Self::List(list) => list.is_empty(),
            Self::Package(reader) => reader.position() == reader.rows(),
        }
    }
}

/// Whose audience is walked, and what with.
pub(super) struct Plan<'a> {
    /// The push, from whose cursor on it is walked.
    pub(super) started: Started,
    /// The same push, read.
    pub(super) push: Push,
    /// Of its app.
    pub(super) platform: Platform,
    /// The file of its package, if it has one.
    pub(super) package: Option<PathBuf>,
    /// A reading connection of its own.
    pub(super) store: Reader,
    /// Turns for making a window. A push of one batch needs none.
    pub(super) turns: Option<&'a Semaphore>,
    /// Where it is told what is done.
    pub(super) progress: &'a Progress,
    /// Where it is counted what took how long.
    pub(super) metrics: &'a Metrics,
}

impl Plan<'_> {
    /// Sends the windows of the audience to `windows`, to its end or until nobody takes them. There is at least one.
    ///
    /// # Errors
    /// The package or the database cannot be read.
    pub(super) fn walk(&self, windows: &mpsc::Sender<Window>) -> Result<(), Error> {
        let mut cursor = self.started.cursor;
        let mut rows_done = self.started.push.counts.rows_done;
        let mut rows = self.rows_from(cursor.row)?;
        let mut most = FIRST_WINDOW;
        loop {
            // The place first: no window is made that would have to wait for one.
            let Ok(place) = Handle::current().block_on(windows.reserve()) else { return Ok(()) };
            let turn = self.turn()?;
            let begun = Instant::now();
            let Some((devices, no_device, end)) = self.devices(&mut rows, cursor, most, windows)? else {
                return Ok(());
            };
            let window = Window::new(cursor, end, rows_done, devices, no_device, rows.is_empty());
            drop(turn);
            self.metrics.window_resolved(begun.elapsed());
            place.send(window);
            if rows.is_empty() {
                return Ok(());
            }
            (cursor, rows_done) = (Cursor { row: end, within: None }, end);
            most = (most * 2).min(LARGEST_WINDOW);
        }
    }

    /// Waits for a turn for making one window, not for as long as the sender takes to take it.
    fn turn(&self) -> Result<Option<SemaphorePermit<'_>>, Error> {
        let Some(turns) = self.turns else { return Ok(None) };
        self.progress.plans(Part::Turn);
        let turn = Handle::current().block_on(turns.acquire()).map_err(|_| Error::Stopping);
        self.progress.plans(Part::Resolve);
        turn.map(Some)
    }

    /// The devices of the next window that are not dealt with yet, how many of its rows name none, and the row after
    /// its last. Nothing, if nobody takes it any more.
    fn devices(
        &self,
        rows: &mut Rows<'_>,
        cursor: Cursor,
        most: usize,
        windows: &mpsc::Sender<Window>,
    ) -> Result<Option<(Vec<DeviceId>, u64, u64)>, Error> {
        // A window under way is made of the rows that it was made of before.
        let end = cursor.within.map_or(u64::MAX, |within| within.end);
        let after = cursor.within.map_or(i64::MIN, |within| within.device.0);
        let (mut devices, mut no_device, mut row) = (Vec::new(), 0, cursor.row);
        let mut at_once = RESOLVED_AT_ONCE;
        while row < end {
            let is_full = devices.len() >= LARGEST_WINDOW || row - cursor.row >= most as u64;
            if is_full && cursor.within.is_none() || rows.is_empty() {
                break;
            }
            if windows.is_closed() {
                return Ok(None);
            }
            let want = at_once.min(usize::try_from(end - row).unwrap_or(usize::MAX));
            let (count, resolved) = self.resolve_next(rows, want)?;
            row += count as u64;
            no_device += resolved.no_device;
            // Where rows name many devices, the next ones are taken fewer at once.
            let found = resolved.devices.len().max(1);
            at_once = (count * RESOLVED_AT_ONCE / found).clamp(1, RESOLVED_AT_ONCE);
            devices.extend(resolved.devices.into_iter().filter(|device| device.0 > after));
        }
        Ok(Some((devices, no_device, row)))
    }

    /// Resolves the next rows, at most `want`. Answers how many there were.
    fn resolve_next(&self, rows: &mut Rows<'_>, want: usize) -> Result<(usize, Resolved), Error> {
        match rows {
            Rows::Package(reader) => match reader.next_batch(want)? {
                None => Ok((0, Resolved::default())),
                Some(batch) => Ok((batch.rows(), self.resolve(&mut batch.iter())?)),
            },
            Rows::List(list) => {
                let (next, rest) = list.split_at(list.len().min(want));
                *list = rest;
                Ok((next.len(), self.resolve(&mut next.iter().map(String::as_str))?))
            }
        }
    }

    fn rows_from(&self, row: u64) -> Result<Rows<'_>, Error> {
        if let Some(path) = &self.package {
            let mut reader = PackageReader::open(path)?;
            reader.seek(row)?;
            return Ok(Rows::Package(reader));
        }
        let list = match self.push.audience.tokens() {
            [] => self.push.audience.accounts(),
            tokens => tokens,
        };
        let done = usize::try_from(row).map_or(list.len(), |row| row.min(list.len()));
        Ok(Rows::List(&list[done..]))
    }

    fn resolve(&self, rows: &mut dyn Iterator<Item = &str>) -> Result<Resolved, pigeonloft_store::Error> {
        let Self { push, store, .. } = self;
        let access_id = self.started.push.access_id;
        let environment = self.platform.is_apple().then_some(push.environment);
        match &push.audience {
            Audience::Token(_) | Audience::TokenList(_) | Audience::TokenPackage(_) => {
                store.resolve_tokens(access_id, rows, environment)
            }
            Audience::Account(_) | Audience::AccountList(_) | Audience::AccountPackage(_) => {
                store.resolve_accounts(access_id, push.account_type.code(), rows, push.account_push, environment)
            }
        }
    }
}
