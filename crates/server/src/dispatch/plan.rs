//! Plan: walks the audience of a push from its cursor on, and resolves it to [windows](Window) of devices.
//!
//! It runs on a thread that may block, one window ahead of the sender. Windows grow from one to the next: the first
//! messages of a push leave soon, and most of a large one goes in windows as large as memory allows, because each
//! window walks through the whole of the inbox.

use std::path::PathBuf;

use pigeonloft_model::{DeviceId, Platform, Push};
use pigeonloft_store::{Cursor, LeftOut, Reader, Started};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio::time::Instant;

use super::filter::Filter;
use super::progress::{Part, Progress};
use super::source::Source;
use super::window::Window;
use crate::metrics::Metrics;

/// Rows of a push's first window.
const FIRST_WINDOW: usize = 1 << 17;

/// Rows and, at least, devices of the largest window: 8 MiB of ids while it is made, for each of those who have a turn.
const LARGEST_WINDOW: usize = 1 << 20;

/// Rows of the largest window of a push with a `push_speed`, in seconds of it: it is resolved not long before it goes.
const PACED_WINDOW_S: usize = 30;

/// Rows resolved at once, or fewer where so many rows name more devices than this.
const RESOLVED_AT_ONCE: usize = 1 << 16;

/// Why an audience cannot be walked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
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
    /// The file of the package whose devices are left out, if there is one.
    pub(super) excluded: Option<PathBuf>,
    /// When a device was seen at least that no row names, unix milliseconds.
    pub(super) seen_since: i64,
    /// A reading connection of its own.
    pub(super) store: Reader,
    /// Turns for making a window. A push of one batch needs none.
    pub(super) turns: Option<&'a Semaphore>,
    /// Where it is told what is done.
    pub(super) progress: &'a Progress,
    /// Where it is counted what took how long.
    pub(super) metrics: &'a Metrics,
}

/// What the rows of a window name.
struct Found {
    /// The devices that are not dealt with yet.
    devices: Vec<DeviceId>,
    /// How many rows name none.
    no_device: u64,
    /// How many devices are left out.
    left_out: LeftOut,
    /// The row after the last.
    end: u64,
}

impl Plan<'_> {
    /// Sends the windows of the audience to `windows`, to its end or until nobody takes them. There is at least one.
    ///
    /// # Errors
    /// The package or the database cannot be read.
    pub(super) fn walk(&self, windows: &mpsc::Sender<Window>) -> Result<(), Error> {
        let mut cursor = self.started.cursor;
        let mut rows_done = self.started.push.counts.rows_done;
        let mut source = Source::of(
            (&self.started, &self.push),
            self.platform,
            self.package.as_deref(),
            &self.store,
            cursor.row,
            self.seen_since,
        )?;
        let Some(filter) = self.filter(windows)? else { return Ok(()) };
        let paced = |speed| (speed as usize * PACED_WINDOW_S).min(LARGEST_WINDOW);
        let largest = self.push.push_speed.map_or(LARGEST_WINDOW, paced);
        let mut most = FIRST_WINDOW.min(largest);
        loop {
            // The place first: no window is made that would have to wait for one.
            let Ok(place) = Handle::current().block_on(windows.reserve()) else { return Ok(()) };
            let turn = self.turn()?;
            let begun = Instant::now();
            let Some(found) = self.devices(&mut source, &filter, cursor, most, windows)? else {
                return Ok(());
            };
            let Found { devices, no_device, left_out, end } = found;
            let window = Window::new(cursor, end, rows_done, devices, no_device, left_out, source.is_empty());
            drop(turn);
            self.metrics.window_resolved(begun.elapsed());
            place.send(window);
            if source.is_empty() {
                return Ok(());
            }
            (cursor, rows_done) = (Cursor { row: end, within: None }, end);
            most = (most * 2).min(largest);
        }
    }

    /// Whom the push leaves out. Nothing, if nobody takes windows any more.
    fn filter(&self, windows: &mpsc::Sender<Window>) -> Result<Option<Filter>, Error> {
        let _turn = self.excluded.as_ref().map(|_| self.turn()).transpose()?;
        let access_id = self.started.push.access_id;
        Filter::of(&self.push, access_id, self.excluded.as_deref(), &self.store, || windows.is_closed())
    }

    /// Waits for a turn for making one window, not for as long as the sender takes to take it.
    fn turn(&self) -> Result<Option<SemaphorePermit<'_>>, Error> {
        let Some(turns) = self.turns else { return Ok(None) };
        self.progress.plans(Part::Turn);
        let turn = Handle::current().block_on(turns.acquire()).map_err(|_| Error::Stopping);
        self.progress.plans(Part::Resolve);
        turn.map(Some)
    }

    /// The devices of the next window that are not dealt with yet. Nothing, if nobody takes it any more.
    fn devices(
        &self,
        source: &mut Source,
        filter: &Filter,
        cursor: Cursor,
        most: usize,
        windows: &mpsc::Sender<Window>,
    ) -> Result<Option<Found>, Error> {
        // A window under way is made of the rows that it was made of before.
        let end = cursor.within.map_or(u64::MAX, |within| within.end);
        let after = cursor.within.map_or(i64::MIN, |within| within.device.0);
        let (mut devices, mut no_device, mut left_out, mut row) = (Vec::new(), 0, LeftOut::default(), cursor.row);
        let mut at_once = RESOLVED_AT_ONCE;
        while row < end {
            let is_full = devices.len() >= LARGEST_WINDOW || row - cursor.row >= most as u64;
            if is_full && cursor.within.is_none() || source.is_empty() {
                break;
            }
            if windows.is_closed() {
                return Ok(None);
            }
            let want = at_once.min(usize::try_from(end - row).unwrap_or(usize::MAX));
            let (count, mut resolved) = source.next(&self.store, want)?;
            row += count as u64;
            no_device += resolved.no_device;
            // Where rows name many devices, the next ones are taken fewer at once.
            let found = resolved.devices.len().max(1);
            at_once = (count * RESOLVED_AT_ONCE / found).clamp(1, RESOLVED_AT_ONCE);
            // All of the window's are counted, those before the cursor, too: they are reported at its end alone.
            let left_out_now = filter.apply(&mut resolved.devices);
            left_out.excluded += left_out_now.excluded;
            left_out.sampled_out += left_out_now.sampled_out;
            devices.extend(resolved.devices.into_iter().filter(|device| device.0 > after));
        }
        Ok(Some(Found { devices, no_device, left_out, end: row }))
    }
}
