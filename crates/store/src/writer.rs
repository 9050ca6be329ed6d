//! The one writing connection and its queue.
//!
//! SQLite takes one writer at a time and pays for each commit with an fsync. So writes queue up, and the thread commits
//! whatever is in the queue as one transaction: a lone write pays one fsync, a thousand at once pay one between them.
//! Each write runs in a savepoint of its own, so one that fails takes nothing else with it.
//!
//! There are two queues, each first in, first out: in it a write that was queued later sees, and is ordered after,
//! every earlier one. *Calls* are short, and somebody waits for the answer; the writes in *bulk* record batches of
//! pushes and what devices report, and there are always more of them. A group is taken from one queue, and the next
//! from the other where something waits there. A group in bulk ends with the write under way when a call comes: so a call
//! waits for one write and its commit, however many pushes run, and pushes go on however many call.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::error::{Error, Result};

/// Writes that may wait in a queue before callers have to.
const QUEUE: usize = 1024;

/// Writes committed together at most.
const GROUP: usize = 512;

/// How long a group may take on more writes before it is committed.
const GROUP_TIME: Duration = Duration::from_millis(25);

/// The transaction a write runs in: statements go through it, commits do not.
pub type Tx<'a> = &'a Connection;

trait Job: Send {
    /// `Err` if nothing of it is to be kept.
    fn run(&mut self, tx: Tx<'_>) -> std::result::Result<(), Lost>;
    /// The group is committed, or lost for this reason.
    fn finish(self: Box<Self>, lost: Option<&Lost>);
}

/// Why something was not kept.
#[derive(Debug)]
struct Lost {
    /// For want of space.
    full: bool,
    reason: String,
}

impl From<&Error> for Lost {
    fn from(error: &Error) -> Self {
        Self { full: matches!(error, Error::Full), reason: error.to_string() }
    }
}

impl From<rusqlite::Error> for Lost {
    fn from(error: rusqlite::Error) -> Self {
        Self::from(&Error::from(error))
    }
}

impl From<&Lost> for Error {
    fn from(lost: &Lost) -> Self {
        if lost.full { Self::Full } else { Self::Commit(lost.reason.clone()) }
    }
}

struct Write<T, F> {
    work: Option<F>,
    result: Result<T>,
    answer: oneshot::Sender<Result<T>>,
}

impl<T: Send, F: FnOnce(Tx<'_>) -> Result<T> + Send> Job for Write<T, F> {
    fn run(&mut self, tx: Tx<'_>) -> std::result::Result<(), Lost> {
        if let Some(work) = self.work.take() {
            // A panic must not take the one writer with it. Nothing it left half done is seen again: its statements
            // are reset as they are dropped, and what they wrote goes with its savepoint.
            self.result = catch_unwind(AssertUnwindSafe(|| work(tx))).unwrap_or(Err(Error::Panicked));
        }
        self.result.as_ref().map(|_| ()).map_err(Lost::from)
    }

    fn finish(mut self: Box<Self>, lost: Option<&Lost>) {
        if let (Some(lost), Ok(_)) = (lost, &self.result) {
            self.result = Err(lost.into());
        }
        // A caller that no longer waits has lost nothing: the write is kept all the same.
        let _ = self.answer.send(self.result);
    }
}

/// A place in one of the writer's queues, so that the queueing itself cannot wait or fail.
#[derive(Debug)]
pub struct Permit<'a>(mpsc::Permit<'a, Box<dyn Job>>);

/// Waits for a queued write to be durable; answers what it answered.
#[derive(Debug)]
#[must_use = "a write is only known to be kept once this is awaited"]
pub struct Written<T>(oneshot::Receiver<Result<T>>);

impl<T> Future for Written<T> {
    type Output = Result<T>;

    /// `Err`: the write or its commit failed, and nothing of it was kept.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let answered = ready!(Pin::new(&mut self.0).poll(context));
        Poll::Ready(answered.unwrap_or(Err(Error::Closed)))
    }
}

impl Permit<'_> {
    /// Queues a write, at once.
    pub fn write<T: Send + 'static>(self, work: impl FnOnce(Tx<'_>) -> Result<T> + Send + 'static) -> Written<T> {
        let (answer, written) = oneshot::channel();
        self.0.send(Box::new(Write { work: Some(work), result: Err(Error::Closed), answer }));
        Written(written)
    }
}

/// What the writer did since the program began. Each only grows.
#[derive(Debug, Default)]
pub struct WriterStats {
    /// Groups committed.
    pub groups: AtomicU64,
    /// Writes in all groups, those that failed by themselves included.
    pub writes: AtomicU64,
    /// Groups of which nothing was kept: the disk is full or failing.
    pub failed_groups: AtomicU64,
}

/// One of the two queues.
type Queue = mpsc::Sender<Box<dyn Job>>;

#[derive(Debug)]
pub(crate) struct Writer {
    calls: Queue,
    bulk: Queue,
    stats: Arc<WriterStats>,
}

impl std::fmt::Debug for dyn Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Job")
    }
}

impl Writer {
    pub(crate) fn start(connection: Connection) -> Result<Self> {
        let ((calls, of_calls), (bulk, in_bulk)) = (mpsc::channel(QUEUE), mpsc::channel(QUEUE));
        let stats = Arc::new(WriterStats::default());
        let counted = Arc::clone(&stats);
        // Waits for two queues at once; nothing else runs on it.
        let waiting = tokio::runtime::Builder::new_current_thread().build().map_err(|_| Error::Closed)?;
        std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || {
                let mut queues = Queues { calls: of_calls, bulk: in_bulk };
                let mut turn = Lane::Calls;
                while let Some((lane, first)) = waiting.block_on(queues.next(turn)) {
                    write_group(&connection, first, &mut queues, lane, &counted);
                    turn = lane.other();
                }
                tracing::debug!("the store's writer ends: nobody holds the store any more");
            })
            .map_err(|_| Error::Closed)?;
        Ok(Self { calls, bulk, stats })
    }
}

async fn place(queue: &Queue) -> Result<Permit<'_>> {
    queue.reserve().await.map(Permit).map_err(|_| Error::Closed)
}

#[derive(Debug, Clone, Copy)]
enum Lane {
    Calls,
    Bulk,
}

impl Lane {
    fn other(self) -> Self {
        match self {
            Self::Calls => Self::Bulk,
            Self::Bulk => Self::Calls,
        }
    }
}

/// The ends of the queues from which the writer takes.
struct Queues {
    calls: mpsc::Receiver<Box<dyn Job>>,
    bulk: mpsc::Receiver<Box<dyn Job>>,
}

impl Queues {
    /// The first write of a queue, if one waits there.
    fn waiting(&mut self, lane: Lane) -> Option<Box<dyn Job>> {
        let queue = match lane {
            Lane::Calls => &mut self.calls,
            Lane::Bulk => &mut self.bulk,
        };
        queue.try_recv().ok()
    }

    /// The next write for a group of this queue, if one waits there and nothing more urgent does.
    fn more(&mut self, lane: Lane) -> Option<Box<dyn Job>> {
        match lane {
            Lane::Bulk if !self.calls.is_empty() => None,
            _ => self.waiting(lane),
        }
    }

    /// The next write, of the queue whose turn it is if one waits there; `None` once both are closed and empty.
    async fn next(&mut self, turn: Lane) -> Option<(Lane, Box<dyn Job>)> {
        if let Some(write) = self.waiting(turn) {
            return Some((turn, write));
        }
        tokio::select! {
            biased;
            Some(call) = self.calls.recv() => Some((Lane::Calls, call)),
            Some(bulk) = self.bulk.recv() => Some((Lane::Bulk, bulk)),
            else => None,
        }
    }
}

impl crate::Store {
    /// Runs `work` on the writer's thread, among the calls, and answers once what it wrote is durable.
    ///
    /// # Errors
    /// The work's own, or the commit's: nothing of it was kept then.
    pub fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(Tx<'_>) -> Result<T> + Send + 'static,
    ) -> impl Future<Output = Result<T>> + Send {
        let writer = self.writer.clone();
        async move { place(&writer.calls).await?.write(work).await }
    }

    /// The same, among the writes in bulk.
    pub(crate) fn write_in_bulk<T: Send + 'static>(
        &self,
        work: impl FnOnce(Tx<'_>) -> Result<T> + Send + 'static,
    ) -> impl Future<Output = Result<T>> + Send {
        let writer = self.writer.clone();
        async move { place(&writer.bulk).await?.write(work).await }
    }

    /// Waits for a place in the queue of writes in bulk.
    ///
    /// # Errors
    /// The store is closed.
    pub async fn permit(&self) -> Result<Permit<'_>> {
        place(&self.writer.bulk).await
    }

    /// What the writer did.
    #[must_use]
    pub fn writer_stats(&self) -> &WriterStats {
        &self.writer.stats
    }
}

fn write_group(connection: &Connection, first: Box<dyn Job>, queues: &mut Queues, lane: Lane, stats: &WriterStats) {
    let mut done = Vec::new();
    let begun = Instant::now();
    let mut failure = connection.execute_batch("BEGIN IMMEDIATE").err().map(Lost::from);
    let mut next = Some(first);
    while let Some(mut job) = next {
        if failure.is_none() {
            failure = run_in_savepoint(connection, job.as_mut()).err();
        }
        done.push(job);
        let room = failure.is_none() && done.len() < GROUP && begun.elapsed() < GROUP_TIME;
        next = if room { queues.more(lane) } else { None };
    }
    if failure.is_none() {
        failure = connection.execute_batch("COMMIT").err().map(Lost::from);
    }
    // Counted before anybody is answered, so that who was answered finds it counted.
    let group = if failure.is_some() { &stats.failed_groups } else { &stats.groups };
    group.fetch_add(1, Ordering::Relaxed);
    stats.writes.fetch_add(done.len() as u64, Ordering::Relaxed);
    if let Some(Lost { reason, .. }) = &failure {
        tracing::error!(reason, writes = done.len(), "a group of writes was not committed");
        if !connection.is_autocommit()
            && let Err(error) = connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "rollback failed");
        }
    }
    for job in done {
        job.finish(failure.as_ref());
    }
}

/// Undoes what the write that runs has written so far; it goes on as if it began.
pub(crate) fn start_over(tx: Tx<'_>) -> Result<()> {
    Ok(tx.execute_batch("ROLLBACK TO one")?)
}

/// `Err` only if the whole transaction is lost, as when the disk is full.
fn run_in_savepoint(connection: &Connection, job: &mut dyn Job) -> std::result::Result<(), Lost> {
    connection.execute_batch("SAVEPOINT one")?;
    let kept = job.run(connection);
    if connection.is_autocommit() {
        let Lost { full, reason } = kept.err().unwrap_or(Lost { full: false, reason: "a write ended it".into() });
        return Err(Lost { full, reason: format!("the database gave the transaction up: {reason}") });
    }
    if kept.is_err() {
        connection.execute_batch("ROLLBACK TO one")?;
    }
    Ok(connection.execute_batch("RELEASE one")?)
}
