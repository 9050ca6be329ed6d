//! Progress: how the pushes under way get on, as an operator sees it: how fast, what takes the time, and why one does not
//! get on at all. Kept in memory only: what is done stands in the database, and a start begins to measure anew.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pigeonloft_model::PushId;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::lock::lock;
use crate::metrics::Metrics;

/// Over how long a rate is measured, and how often it is noted.
const MEASURED: Duration = Duration::from_secs(10);
const NOTED_EVERY: Duration = Duration::from_secs(1);

/// How long a push whose run failed is left alone: twice as long each time, from the first to the second.
const AFTER_FAILURE: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(300));

/// What a push spends its time with. At each moment it is one: the last of those that have something to do, for it holds
/// up all before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Other pushes are served.
    Turn,
    /// Rows are resolved to devices.
    Resolve,
    /// It waits as its `push_speed` wants it.
    Pace,
    /// Messages are with the channel, acknowledgements are waited for.
    Send,
    /// Batches are with the database.
    Record,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Turn, Self::Resolve, Self::Pace, Self::Send, Self::Record];

    /// Its name in the API, in the log and as a label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Turn => "turn",
            Self::Resolve => "resolve",
            Self::Pace => "pace",
            Self::Send => "send",
            Self::Record => "record",
        }
    }
}

/// Time spent with each part, in the order of [`Part::ALL`].
pub type Spent = [Duration; Part::ALL.len()];

/// The part that took longest, if any took time.
fn slowest(spent: &Spent) -> Option<Part> {
    let longest = Part::ALL.into_iter().max_by_key(|part| spent[*part as usize])?;
    (!spent[longest as usize].is_zero()).then_some(longest)
}

/// How a push gets on, lately.
#[derive(Debug, Clone, PartialEq)]
pub struct Pace {
    /// Rows dealt with each second, if any were.
    pub rows_per_second: Option<f64>,
    /// What took most of the time.
    pub slowest_part: Option<Part>,
    /// Why it does not get on, if something fails again and again.
    pub trouble: Option<Trouble>,
}

/// What fails again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What fails, and why.
    pub error: String,
    /// How often it failed since the push last got on.
    pub failures: u32,
    /// When it is tried again.
    pub next_try: Instant,
}

/// A moment of a run.
#[derive(Debug, Clone, Copy)]
struct Moment {
    at: Instant,
    rows: u64,
    spent: Spent,
}

/// One run of a push.
#[derive(Debug)]
pub struct Progress {
    metrics: Arc<Metrics>,
    /// Ends the run.
    stop: CancellationToken,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// What it is at, `None` while it plans.
    part: Option<Part>,
    /// What its planning is at: [`Part::Turn`] or [`Part::Resolve`].
    planning: Part,
    since: Instant,
    spent: Spent,
    /// Rows dealt with by this run.
    rows: u64,
    /// One of each second, the oldest first; there is one at least, that of the begin.
    moments: VecDeque<Moment>,
    trouble: Option<Trouble>,
}

impl Inner {
    /// Puts the time that has passed down to the part it was spent with.
    fn pass(&mut self, now: Instant) -> (Part, Duration) {
        let part = self.part.unwrap_or(self.planning);
        let passed = now.saturating_duration_since(self.since);
        self.spent[part as usize] += passed;
        self.since = now;
        (part, passed)
    }
}

impl Progress {
    fn new(metrics: Arc<Metrics>, stop: CancellationToken) -> Self {
        let now = Instant::now();
        let begin = Moment { at: now, rows: 0, spent: Spent::default() };
        let inner = Inner {
            part: None,
            planning: Part::Resolve,
            since: now,
            spent: Spent::default(),
            rows: 0,
            moments: VecDeque::from([begin]),
            trouble: None,
        };
        Self { metrics, stop, inner: Mutex::new(inner) }
    }

    /// The run waits for this part now; `None`: for what is planned.
    pub(super) fn is_at(&self, part: Option<Part>) {
        let mut inner = lock(&self.inner);
        if inner.part != part {
            let (before, passed) = inner.pass(Instant::now());
            inner.part = part;
            self.metrics.spent(before.as_str(), passed);
        }
    }

    /// Its planning is at this part now.
    pub(super) fn plans(&self, part: Part) {
        let mut inner = lock(&self.inner);
        let (before, passed) = inner.pass(Instant::now());
        inner.planning = part;
        self.metrics.spent(before.as_str(), passed);
    }

    /// So many more rows are dealt with.
    pub(super) fn gets_on(&self, rows: u64) {
        let mut inner = lock(&self.inner);
        let now = Instant::now();
        inner.rows += rows;
        inner.trouble = None;
        if inner.moments.back().is_some_and(|last| now - last.at >= NOTED_EVERY) {
            let (part, passed) = inner.pass(now);
            self.metrics.spent(part.as_str(), passed);
            let moment = Moment { at: now, rows: inner.rows, spent: inner.spent };
            inner.moments.push_back(moment);
            while inner.moments.get(1).is_some_and(|second| now - second.at >= MEASURED) {
                inner.moments.pop_front();
            }
        }
    }

    /// Something failed, and is tried again after `wait`.
    pub(super) fn fails(&self, error: String, wait: Duration) {
        let mut inner = lock(&self.inner);
        let failures = inner.trouble.as_ref().map_or(1, |before| before.failures + 1);
        inner.trouble = Some(Trouble { error, failures, next_try: Instant::now() + wait });
    }

    /// How it gets on, over the last seconds.
    pub(super) fn pace(&self) -> Pace {
        let mut inner = lock(&self.inner);
        let now = Instant::now();
        let (part, passed) = inner.pass(now);
        self.metrics.spent(part.as_str(), passed);
        let Inner { spent, rows, moments, trouble, .. } = &*inner;
        let begin = moments.front().copied().unwrap_or(Moment { at: now, rows: *rows, spent: *spent });
        let mut lately = *spent;
        for (part, before) in lately.iter_mut().zip(begin.spent) {
            *part -= before;
        }
        let (seconds, rows) = ((now - begin.at).as_secs_f64(), rows - begin.rows);
        let rows_per_second = (seconds > 0.0 && rows > 0).then(|| rows as f64 / seconds);
        Pace { rows_per_second, slowest_part: slowest(&lately), trouble: trouble.clone() }
    }

    /// The time of all the run, by parts, and the rows dealt with in it.
    pub(super) fn total(&self) -> (Spent, u64) {
        let mut inner = lock(&self.inner);
        let (part, passed) = inner.pass(Instant::now());
        self.metrics.spent(part.as_str(), passed);
        (inner.spent, inner.rows)
    }
}

/// The pushes that run, and those that are left alone for a while because their run failed.
#[derive(Debug, Default)]
pub struct Board(Mutex<HashMap<PushId, Entry>>);

#[derive(Debug)]
enum Entry {
    /// With what was wrong before.
    Runs(Arc<Progress>, Option<Trouble>),
    Rests(Trouble),
}

impl Board {
    /// A push begins a run, which `stop` ends.
    pub(super) fn begin(&self, push_id: PushId, metrics: Arc<Metrics>, stop: CancellationToken) -> Arc<Progress> {
        let progress = Arc::new(Progress::new(metrics, stop));
        let mut entries = lock(&self.0);
        let before = match entries.remove(&push_id) {
            Some(Entry::Rests(trouble) | Entry::Runs(_, Some(trouble))) => Some(trouble),
            Some(Entry::Runs(_, None)) | None => None,
        };
        entries.insert(push_id, Entry::Runs(progress.clone(), before));
        progress
    }

    /// The push is stopped, as its row says by now: its run ends with the batches under way, and if it rests after a
    /// failure, it does no longer.
    pub fn stop(&self, push_id: PushId) {
        let mut entries = lock(&self.0);
        match entries.get(&push_id) {
            Some(Entry::Runs(progress, _)) => progress.stop.cancel(),
            Some(Entry::Rests(_)) => drop(entries.remove(&push_id)),
            None => {}
        }
    }

    /// Its run ended well: it is finished, or goes on at the next start of the server.
    pub(super) fn end(&self, push_id: PushId) {
        lock(&self.0).remove(&push_id);
    }

    /// Its run failed. Answers for how long the push is left alone: longer each time, until it gets on.
    pub(super) fn rest(&self, push_id: PushId, error: String) -> Duration {
        let mut entries = lock(&self.0);
        let failed_before = match entries.get(&push_id) {
            Some(Entry::Runs(progress, Some(before))) if lock(&progress.inner).rows == 0 => before.failures,
            _ => 0,
        };
        let (shortest, longest) = AFTER_FAILURE;
        let wait = shortest.saturating_mul(1 << failed_before.min(16)).min(longest);
        let trouble = Trouble { error, failures: failed_before + 1, next_try: Instant::now() + wait };
        entries.insert(push_id, Entry::Rests(trouble));
        wait
    }

    /// The pushes that are not to be run now, because they run or rest.
    pub(super) fn not_now(&self) -> Vec<PushId> {
        let now = Instant::now();
        let entries = lock(&self.0);
        let not_now = entries.iter().filter(|(_, entry)| match entry {
            Entry::Runs(..) => true,
            Entry::Rests(trouble) => trouble.next_try > now,
        });
        not_now.map(|(push_id, _)| *push_id).collect()
    }

    /// How a push gets on; `None` if it neither runs nor rests.
    #[must_use]
    pub fn pace(&self, push_id: PushId) -> Option<Pace> {
        match lock(&self.0).get(&push_id)? {
            Entry::Rests(trouble) => {
                Some(Pace { rows_per_second: None, slowest_part: None, trouble: Some(trouble.clone()) })
            }
            Entry::Runs(progress, before) => {
                let pace = progress.pace();
                let got_on = pace.rows_per_second.is_some();
                let trouble = pace.trouble.or_else(|| before.clone().filter(|_| !got_on));
                Some(Pace { trouble, ..pace })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUSH: PushId = PushId(7);

    async fn passes(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    fn run(board: &Board) -> Arc<Progress> {
        board.begin(PUSH, Arc::new(Metrics::new()), CancellationToken::new())
    }

    #[tokio::test(start_paused = true)]
    async fn a_push_tells_its_rate_and_its_slowest_part_of_the_last_seconds() {
        let board = Board::default();
        assert_eq!(board.pace(PUSH), None);
        let progress = run(&board);
        for _ in 0..20 {
            progress.plans(Part::Turn);
            passes(1).await;
            progress.plans(Part::Resolve);
            progress.gets_on(100);
        }
        let pace = board.pace(PUSH).unwrap();
        assert_eq!((pace.rows_per_second, pace.slowest_part), (Some(100.0), Some(Part::Turn)));
        for _ in 0..10 {
            progress.is_at(Some(Part::Record));
            // Of no account: it plans on while batches are recorded.
            progress.plans(Part::Resolve);
            passes(1).await;
            progress.is_at(None);
            progress.gets_on(300);
        }
        let pace = board.pace(PUSH).unwrap();
        assert_eq!((pace.rows_per_second, pace.slowest_part), (Some(300.0), Some(Part::Record)));
        passes(20).await;
        let pace = board.pace(PUSH).unwrap();
        assert_eq!((pace.rows_per_second, pace.slowest_part), (Some(100.0), Some(Part::Resolve)), "it stalls");
        let (spent, rows) = progress.total();
        assert_eq!((spent.map(|part| part.as_secs()), rows), ([20, 20, 0, 0, 10], 5_000));
        board.end(PUSH);
        assert_eq!(board.pace(PUSH), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_push_whose_run_fails_again_and_again_is_left_alone_for_longer_each_time() {
        let board = Board::default();
        let mut waits = Vec::new();
        for failures in 1..=9 {
            run(&board);
            assert_eq!(board.not_now(), [PUSH]);
            waits.push(board.rest(PUSH, "no".into()).as_secs());
            let trouble = board.pace(PUSH).unwrap().trouble.unwrap();
            assert_eq!((trouble.error.as_str(), trouble.failures), ("no", failures));
            passes(waits[waits.len() - 1] - 1).await;
            assert_eq!(board.not_now(), [PUSH]);
            passes(1).await;
            assert_eq!(board.not_now(), []);
        }
        assert_eq!(waits, [3, 6, 12, 24, 48, 96, 192, 300, 300]);
        let progress = run(&board);
        assert!(board.pace(PUSH).unwrap().trouble.is_some(), "it has not got on yet");
        passes(1).await;
        progress.gets_on(1);
        assert_eq!(board.pace(PUSH).unwrap().trouble, None);
        assert_eq!(board.rest(PUSH, "no".into()).as_secs(), 3, "it got on meanwhile");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stopped_push_runs_no_longer_and_rests_no_longer() {
        let board = Board::default();
        let progress = run(&board);
        board.stop(PUSH);
        assert!(progress.stop.is_cancelled());
        assert_eq!(board.not_now(), [PUSH], "its run is about to end");
        board.rest(PUSH, "no".into());
        board.stop(PUSH);
        assert_eq!(board.not_now(), []);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_tried_again_within_a_run_is_told_until_it_succeeds() {
        let board = Board::default();
        let progress = run(&board);
        for failures in 1..=2 {
            progress.fails("the disk is full".into(), Duration::from_secs(5));
            let trouble = board.pace(PUSH).unwrap().trouble.unwrap();
            let expected = ("the disk is full".to_owned(), failures, Instant::now() + Duration::from_secs(5));
            assert_eq!((trouble.error, trouble.failures, trouble.next_try), expected);
            passes(5).await;
        }
        progress.gets_on(1);
        assert_eq!(board.pace(PUSH).unwrap().trouble, None);
    }
}
