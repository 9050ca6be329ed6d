//! Client: sends a batch over a few connections, as many messages at once as the other side allows, and without a task for
//! each. A connection that waits for room leaves what is to be sent to the others. Batches have turns on a connection, so that each
//! is done sooner than if they shared it.
//!
//! What certainly was not taken is sent again for [`Patience::tried_for`]: refused streams, those above the last of a GOAWAY,
//! and, within a [`Budget`], what the vendor asks to send later. What may have been taken is not: no answer is [`Verdict::Unknown`].

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use pigeonloft_model::Verdict;
use tokio::sync::SemaphorePermit;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};

use super::batch::{Batch, Next, Tried, When, broken_by, settle};
use super::connection::{Endpoint, not_open};
use super::lane::{Handle, Keeping, Lane};
use super::speaks::{Concerns, Speaks};
use crate::budget::{Budget, jittered};
use crate::vendor::Target;

/// Connections: they hide the latency that the streams of one do not.
const CONNECTIONS: usize = 8;

/// Messages that one connection is given before the next has its turn, and for which one is opened beside those there are.
const AT_A_STRETCH: usize = 32;

/// How long the other side is waited for.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// How long it may be silent, with messages unanswered.
    answered_within: Duration,
    /// How long a batch is sent again and again, as far as it is not taken.
    tried_for: Duration,
    keeping: Keeping,
}

const PATIENCE: Patience = Patience {
    answered_within: Duration::from_secs(15),
    tried_for: Duration::from_secs(20),
    keeping: Keeping {
        // Long: Apple takes whoever connects again and again for an attacker.
        kept_for: Duration::from_secs(30 * 60),
        // Routers forget connections within minutes. Asked is only before a message, since Google closes connections that are
        // pinged for nothing.
        trusted_for: Duration::from_secs(60),
        pong_within: Duration::from_secs(5),
    },
};

/// The waits between two tries grow from the first to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The way to a vendor.
#[derive(Debug)]
pub(crate) struct Client {
    endpoint: Endpoint,
    lanes: [Lane; CONNECTIONS],
    patience: Patience,
    /// Messages of all batches that are being sent.
    under_way: AtomicUsize,
    /// The last batch was given up: until something is taken again, each batch is tried once, so that a large push does not
    /// wait for the whole time at each of its batches.
    is_down: AtomicBool,
    budget: Budget,
}

impl Client {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        let (lanes, under_way, is_down) = (Default::default(), AtomicUsize::new(0), AtomicBool::new(false));
        Self { endpoint, lanes, patience: PATIENCE, under_way, is_down, budget: Budget::new(Instant::now()) }
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Sends to each of these; the verdicts stand in their order.
    pub(crate) async fn send<S: Speaks>(&self, speaks: &S, targets: &[Target]) -> Vec<Verdict> {
        let mut verdicts = vec![None; targets.len()];
        let mut places: Vec<usize> = (0..targets.len()).collect();
        let tried_for = if self.is_down.load(Ordering::Relaxed) { Duration::ZERO } else { self.patience.tried_for };
        let deadline = Instant::now() + tried_for;
        self.budget.tries(targets.len(), Instant::now());
        let mut wait = FIRST_WAIT;
        // Those that are sent again, and from when on.
        let mut waiting: Vec<(Instant, usize)> = Vec::new();
        while !places.is_empty() {
            let authorization = match speaks.authorization().await {
                Ok(authorization) => authorization,
                Err(verdict) => {
                    places.iter().for_each(|place| verdicts[*place] = Some(verdict.clone()));
                    break;
                }
            };
            places.iter().for_each(|place| verdicts[*place] = None);
            let batch = Batch::new(speaks, authorization, targets, &places);
            let tried = {
                let _under_way = UnderWay::of(&self.under_way, places.len());
                join_all(self.lanes_to_use().into_iter().map(|lane| self.send_by(lane, &batch))).await
            };
            let again = settle(tried.into_iter().flatten(), &batch, &mut verdicts);
            let (now, dice) = (Instant::now(), fastrand::f64());
            let soon = now + jittered(wait, dice);
            if again.iter().any(|(_, when)| *when != When::Now) {
                wait = (wait * 2).min(LONGEST_WAIT);
            }
            waiting.extend(again.into_iter().filter_map(|(place, when)| match when {
                When::Now => Some((now, place)),
                When::Soon => (soon < deadline).then_some((soon, place)),
                When::After(asked) => {
                    // Longer than is asked for, never shorter; and not all at once either.
                    let at = soon.max(now + asked + jittered(asked / 5, dice));
                    (at < deadline && self.budget.repeats(now)).then_some((at, place))
                }
            }));
            places = due(&mut waiting).await;
        }
        let unanswered = || Verdict::Unknown("no answer".into());
        let verdicts: Vec<_> = verdicts.into_iter().map(|verdict| verdict.unwrap_or_else(unanswered)).collect();
        self.note(speaks, &verdicts);
        verdicts
    }

    /// Notes whether the vendor takes messages: not where it took none of a batch and gave no other answer either.
    fn note<S: Speaks>(&self, speaks: &S, verdicts: &[Verdict]) {
        let is_no_answer = |verdict: &Verdict| match verdict {
            Verdict::Later { code, .. } => speaks.concerns(code) == Concerns::Vendor,
            Verdict::Unknown(_) => true,
            _ => false,
        };
        let Some(first) = verdicts.first() else { return };
        let is_down = verdicts.iter().all(is_no_answer);
        if self.is_down.swap(is_down, Ordering::Relaxed) == is_down {
            return;
        }
        let endpoint = &self.endpoint;
        if is_down {
            let code = first.code().map(ToString::to_string);
            tracing::warn!(?endpoint, code, "a vendor takes no messages: each batch is tried once until it does again");
        } else {
            tracing::info!(?endpoint, "a vendor takes messages again");
        }
    }

    /// The lanes that have a connection, and as many more as what is under way is worth.
    fn lanes_to_use(&self) -> Vec<&Lane> {
        let mut lanes: Vec<(&Lane, bool)> = self.lanes.iter().map(|lane| (lane, lane.is_open())).collect();
        lanes.sort_by_key(|(_, is_open)| !is_open);
        let worth = self.under_way.load(Ordering::Relaxed).div_ceil(AT_A_STRETCH);
        let used = lanes.into_iter().enumerate().filter(|(rank, (_, is_open))| *is_open || *rank < worth);
        used.map(|(_, (lane, _))| lane).collect()
    }

    /// Opens the connection if there is none, and sends over it what is left of a batch, when that has its turn: batches that share the
    /// streams are all finished late, and at once. A few messages wait for no turn.
    async fn send_by<S: Speaks>(&self, lane: &Lane, batch: &Batch<'_, S>) -> Vec<(usize, Tried)> {
        let turn = match batch.len() {
            ..=AT_A_STRETCH => None,
            _ => match batch.while_any_is_left(lane.turn()).await {
                None => return Vec::new(),
                Some(turn) => turn,
            },
        };
        match batch.while_any_is_left(lane.handle(&self.endpoint, self.patience.keeping)).await {
            // One that is still being opened is there for the next batch.
            None => Vec::new(),
            Some(Ok(handle)) => self.send_through(lane, &handle, turn, batch).await,
            Some(Err(error)) => {
                tracing::debug!(endpoint = ?self.endpoint, %error, "no connection to a vendor");
                batch.breaks(not_open(&error));
                Vec::new()
            }
        }
    }

    /// Sends until nothing is left or the connection takes no more; then gives up its turn, and waits for the answers.
    async fn send_through<S: Speaks>(
        &self,
        lane: &Lane,
        handle: &Handle,
        mut turn: Option<SemaphorePermit<'_>>,
        batch: &Batch<'_, S>,
    ) -> Vec<(usize, Tried)> {
        let answered_within = self.patience.answered_within;
        let (mut tried, mut open) = (Vec::new(), FuturesUnordered::new());
        let mut sender = handle.line.sender.clone();
        // One that has its place in the pace, and when that is.
        let mut paced: Option<(usize, Instant)> = None;
        let (mut sends, mut stretch) = (true, 0);
        let (mut heard, mut is_heard) = (Instant::now(), false);
        let alarm = sleep_until(heard + answered_within);
        tokio::pin!(alarm);
        loop {
            if !sends {
                drop(turn.take());
            }
            let silent_at = heard + answered_within;
            let goes_at = paced.map(|(_, at)| at).filter(|at| sends && *at > Instant::now());
            let due = match goes_at {
                Some(at) if open.is_empty() => at,
                Some(at) => at.min(silent_at),
                None => silent_at,
            };
            // It is only set back when it rings, not for each message.
            if due < alarm.deadline() {
                alarm.as_mut().reset(due);
            }
            tokio::select! {
                biased;
                ready = std::future::poll_fn(|context| sender.poll_ready(context)), if sends && goes_at.is_none() => {
                    if let Err(error) = ready {
                        // Nothing is on its way by it.
                        sends = false;
                        batch.breaks(Verdict::Later { code: broken_by(&error).into(), after: None });
                        lane.give_up(handle);
                        continue;
                    }
                    let next = paced.take().map(|(place, _)| Next::Place(place)).or_else(|| batch.next());
                    match next {
                        None => sends = false,
                        Some(Next::Paced(place, at)) => paced = Some((place, at)),
                        Some(Next::Place(place)) => {
                            if open.is_empty() {
                                heard = Instant::now();
                            }
                            match batch.begin(&mut sender, place) {
                                Ok(answer) => open.push(batch.tried(place, answer)),
                                Err(answer) => tried.push((place, answer)),
                            }
                            stretch += 1;
                            if stretch % AT_A_STRETCH == 0 {
                                yield_now().await;
                            }
                        }
                    }
                }
                Some(answer) = open.next(), if !open.is_empty() => {
                    heard = Instant::now();
                    is_heard |= !answer.1.is_lost();
                    if let Some(code) = batch.ends_connection(&answer.1) {
                        // What is under way on it is answered still.
                        sends = false;
                        batch.breaks(Verdict::Later { code: code.clone(), after: None });
                        lane.give_up(handle);
                    }
                    tried.push(answer);
                }
                () = &mut alarm, if goes_at.is_some() || !open.is_empty() => {
                    if open.is_empty() || Instant::now() < silent_at {
                        alarm.as_mut().reset(due);
                        continue;
                    }
                    // What is dropped unanswered is unknown.
                    lane.give_up(handle);
                    break;
                }
                else => break,
            }
        }
        if is_heard {
            handle.line.is_heard();
        }
        tried.extend(paced.map(|(place, _)| (place, Tried::Again("not taken in time".into()))));
        tried
    }
}

/// Messages of a batch, while they are sent.
struct UnderWay<'a>(&'a AtomicUsize, usize);

impl<'a> UnderWay<'a> {
    fn of(all: &'a AtomicUsize, count: usize) -> Self {
        all.fetch_add(count, Ordering::Relaxed);
        Self(all, count)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::Relaxed);
    }
}

/// Takes those out whose time comes first, in their order, when it has come. Others do not wait for them, nor they for others.
async fn due(waiting: &mut Vec<(Instant, usize)>) -> Vec<usize> {
    let Some(first) = waiting.iter().map(|(at, _)| *at).min() else { return Vec::new() };
    sleep_until(first).await;
    let now = Instant::now();
    let mut places: Vec<usize> = waiting.extract_if(.., |(at, _)| *at <= now).map(|(_, place)| place).collect();
    places.sort_unstable();
    places
}

#[cfg(test)]
mod tests;
