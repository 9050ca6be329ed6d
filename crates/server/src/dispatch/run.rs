//! One run of one push: takes the windows that are planned, sends them a batch at a time, has them recorded, and ends
//! the push.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use pigeonloft_model::payload::Payload;
use pigeonloft_model::{AcceptMinutes, Push, PushId, PushState};
use pigeonloft_package::ReadError;
use pigeonloft_store::Started;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};
use tokio_util::sync::CancellationToken;

use super::Size;
use super::pacer::Pacer;
use super::plan::{self, Plan};
use super::progress::{Part, Progress};
use super::record::Records;
use super::source::seen_since;
use super::vendors::OpenedVendors;
use super::window::Window;
use crate::chain::chain;
use crate::clock::unix_millis;
use crate::loft::Loft;
use crate::packages::PackageFolder;

mod send;
mod under_way;

pub(super) use send::Sent;
use under_way::UnderWay;

/// How often the log says how a push gets on.
const LOGGED_EVERY: Duration = Duration::from_secs(5);

/// Why a run stopped before its push was finished.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] pigeonloft_store::Error),
    /// The system could not read the package's file, which is there: too many files are open, or the like.
    #[error("the package of the push could not be read")]
    Package(#[source] std::io::Error),
    /// The thread that plans the batches broke off.
    #[error("planning broke off: {0}")]
    Planner(tokio::task::JoinError),
}

/// A push under way.
struct Run {
    loft: Arc<Loft>,
    progress: Arc<Progress>,
    push_id: PushId,
    push: Push,
    payload: Payload,
    accept: Option<AcceptMinutes>,
    expire_at: i64,
    started_at: i64,
    audience_rows: u64,
    /// The vendors' channels that it may use.
    vendors: OpenedVendors,
}

/// How the walk through an audience ended.
enum Walked {
    /// Its last batch is recorded, and with it that the push is finished.
    Through,
    /// The server stops, or the push is stopped.
    Stopped,
    /// It cannot go on, for this reason.
    Against(String),
}

/// Runs a push from its cursor to its end, or until `stop`, which ends it where the server
/// stops or the push is stopped; the next run ends a stopped push.
///
/// # Errors
/// The database failed, or the disk: what is recorded is recorded, and the push can be run again.
pub(super) async fn run(
    loft: Arc<Loft>,
    push_id: PushId,
    size: Size,
    progress: Arc<Progress>,
    turns: Arc<Semaphore>,
    stop: CancellationToken,
) -> Result<(), Error> {
    let started = match size {
        Size::Small => match loft.store.unfinished_push(push_id).await? {
            // It may be cancelled until its start is on record.
            Some(waits) if waits.push.state == PushState::Wait => loft.store.start_push(push_id).await?,
            // Its first batch notes that it has started, so that its message does not wait for the disk.
            started => started,
        },
        Size::Large => loft.store.start_push(push_id).await?,
    };
    let Some(started) = started else { return Ok(()) };
    if started.push.stopped_at.is_some() {
        return end_stopped(&loft, push_id, started.push.state).await;
    }
    // To find whom a push excludes takes as long for one device as for all.
    let takes_turns = size == Size::Large || started.exclude_stored_as.is_some();
    // What takes another push back is no push that anybody made.
    let is_counted = started.takes_back.is_none();
    let walked = match Run::begin(&loft, &progress, &started) {
        Ok(run) => run.walk(started, takes_turns.then_some(turns), &stop).await?,
        Err(reason) => Walked::Against(reason),
    };
    match walked {
        Walked::Stopped => {}
        Walked::Through if is_counted => loft.metrics.push_finished("PUSH_FINISHED"),
        Walked::Through => {}
        Walked::Against(reason) => {
            loft.store.finish_push(push_id, Some(reason.clone())).await?;
            loft.metrics.push_finished("PUSH_FAILED");
            tracing::error!(%push_id, reason, "push failed");
        }
    }
    Ok(())
}

/// Ends a push that is stopped and of which no batch is under way.
async fn end_stopped(loft: &Loft, push_id: PushId, state: PushState) -> Result<(), Error> {
    loft.store.finish_push(push_id, None).await?;
    loft.metrics.push_finished(state.as_str());
    // Batches that were under way may have put something into inboxes.
    loft.stopped.notify_one();
    Ok(())
}

impl Run {
    fn begin(loft: &Arc<Loft>, progress: &Arc<Progress>, started: &Started) -> Result<Self, String> {
        let stored = &started.push;
        let push =
            Push::from_stored(&stored.request).map_err(|error| format!("the stored push is damaged: {error}"))?;
        let payload = Payload::from_stored(stored.template.as_str()).map_err(|error| error.to_string())?;
        Ok(Self {
            loft: loft.clone(),
            progress: progress.clone(),
            push_id: stored.push_id,
            accept: AcceptMinutes::of(&push.message.accept_time),
            push,
            payload,
            expire_at: stored.expire_at,
            started_at: stored.started_at.unwrap_or_else(unix_millis),
            audience_rows: stored.counts.audience_rows,
            vendors: OpenedVendors::none(stored.access_id),
        })
    }

    async fn walk(
        mut self,
        started: Started,
        turns: Option<Arc<Semaphore>>,
        stop: &CancellationToken,
    ) -> Result<Walked, Error> {
        let Some(app) = self.loft.app(started.push.access_id).await? else {
            return Ok(Walked::Against("the app of the push is gone".into()));
        };
        let package = started.stored_as.as_ref().map(|name| PackageFolder::of(&self.loft.config).file(name));
        if package.is_none() && started.push.upload_id.is_some() {
            return Ok(Walked::Against("the package of the push is gone".into()));
        }
        let excluded = started.exclude_stored_as.as_ref().map(|name| PackageFolder::of(&self.loft.config).file(name));
        if excluded.is_none() && self.push.exclude.is_some() {
            return Ok(Walked::Against("the package that the push excludes is gone".into()));
        }
        // What a vendor has shown it does not take back.
        if started.takes_back.is_none() {
            self.vendors = OpenedVendors::of(&self.loft, &app, self.push_id, &self.push, self.expire_at).await?;
        }
        if started.push.line.is_some() {
            // What a vendor was just being given of those before it must not come behind it.
            self.loft.hub.desk().held().let_go(app.access_id).await;
        }
        let rows_done = started.push.counts.rows_done;
        if turns.is_some() {
            tracing::info!(push_id = %self.push_id, from_row = rows_done, "push starts");
        }
        let (windows, planned) = mpsc::channel(1);
        let (push, store, platform) = (self.push.clone(), self.loft.store.clone(), app.platform);
        let (progress, metrics) = (self.progress.clone(), self.loft.metrics.clone());
        let seen_since = seen_since(self.loft.config.push.target_days, self.started_at);
        let planner = tokio::task::spawn_blocking(move || {
            // Opened here, for that reads from the disk.
            let store = store.reader()?;
            let (turns, progress, metrics) = (turns.as_deref(), &*progress, &*metrics);
            Plan { started, push, platform, package, excluded, seen_since, store, turns, progress, metrics }
                .walk(&windows)
        });
        let is_through = self.send_and_record(planned, rows_done, stop).await?;
        match planner.await.map_err(Error::Planner)? {
            _ if is_through => Ok(Walked::Through),
            // It planned to the end, or was told to stop planning.
            Ok(()) | Err(plan::Error::Stopping) => Ok(Walked::Stopped),
            Err(plan::Error::Store(error)) => Err(error.into()),
            Err(plan::Error::Package(ReadError::Io(trouble))) if trouble.kind() != ErrorKind::NotFound => {
                Err(Error::Package(trouble))
            }
            Err(damaged @ plan::Error::Package(_)) => Ok(Walked::Against(chain(&damaged))),
        }
    }

    /// Sends the windows as they are planned, a few batches under way at once, and has the batches recorded in their
    /// order. Answers whether the last one was.
    async fn send_and_record(
        &self,
        mut planned: mpsc::Receiver<Window>,
        rows_done: u64,
        stop: &CancellationToken,
    ) -> Result<bool, Error> {
        let push = &self.loft.config.push;
        let mut records = Records::new(
            &self.loft,
            (self.vendors.app(), self.push_id),
            &self.progress,
            self.started_at,
            rows_done,
            self.accept.as_ref(),
        );
        let mut window: Option<Window> = None;
        let mut may_come = true;
        let mut is_through = false;
        let begun = Instant::now();
        let mut pacer = Pacer::new(self.push.push_speed);
        // Of slices more are under way at once, in all as many devices.
        let slice = pacer.slice(push.batch_rows);
        let mut sending = UnderWay::new(self, push.batch_rows / slice);
        let mut log = interval_at(begun + LOGGED_EVERY, LOGGED_EVERY);
        log.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let mut paced = None;
            while sending.has_room(records.len())
                && let Some(next) = window.take()
            {
                paced = pacer.wait(begun.elapsed());
                if paced.is_some() {
                    window = Some(next);
                    break;
                }
                let (piece, rest) = next.take(slice);
                window = rest;
                pacer.goes(begun.elapsed(), piece.devices.len());
                sending.begin(piece);
            }
            self.progress.is_at(match (records.len(), sending.len()) {
                _ if paced.is_some() => Some(Part::Pace),
                (1.., _) => Some(Part::Record),
                (0, 1..) => Some(Part::Send),
                (0, 0) if may_come => None,
                (0, 0) => break,
            });
            tokio::select! {
                answered = records.first(), if records.len() > 0 => {
                    is_through |= records.settle(answered).await?;
                }
                got_on = sending.next() => if let Some(sent) = got_on? {
                    records.add(sent).await?;
                },
                next = planned.recv(), if may_come && window.is_none() => {
                    may_come = next.is_some();
                    window = next;
                }
                () = stop.cancelled(), if may_come || window.is_some() => {
                    // What is under way ends; the planner notices that nobody takes its windows any more.
                    (may_come, window) = (false, None);
                    planned.close();
                }
                () = sleep_until(begun + paced.unwrap_or_default()), if paced.is_some() => {}
                _ = log.tick() => self.log(&records, "push gets on"),
            }
        }
        if is_through {
            self.log(&records, "push finished");
        }
        Ok(is_through)
    }

    fn log(&self, records: &Records<'_>, what: &'static str) {
        let rows_done = records.rows_done();
        let pace = self.progress.pace();
        let (spent, rows) = self.progress.total();
        let [turn_ms, resolve_ms, pace_ms, send_ms, record_ms] = spent.map(|part| part.as_millis() as u64);
        let seconds = spent.iter().sum::<Duration>().as_secs_f64();
        tracing::info!(
            push_id = %self.push_id,
            rows_done,
            audience_rows = self.audience_rows,
            recipients = records.recipients(),
            rows_per_second = pace.rows_per_second.unwrap_or(rows as f64 / seconds).round(),
            slowest_part = pace.slowest_part.map(Part::as_str),
            turn_ms, resolve_ms, pace_ms, send_ms, record_ms,
            "{what}"
        );
    }
}
