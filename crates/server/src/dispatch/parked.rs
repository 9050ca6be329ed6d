//! Parked messages: what a vendor's channel did not take for now, because it was paused or said so, is given to it again.
//!
//! ```text
//! look ── a lane for each app and channel that has some ── a page of them ── hold ── send ── record ── the next page, or a wait
//! ```
//!
//! The lanes take turns, a page each, a few at once: a large one holds no other, and new pushes share the vendor with no
//! more than that. What is parked stands in the inbox, too. Whoever comes first ends the waiting; a session does not see what
//! is [held](crate::held) here, nor ever what is kept off our own channel.

mod give;
mod lane;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use pigeonloft_model::{AccessId, Channel};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::chain::chain;
use crate::lock::lock;
use crate::loft::Loft;
use lane::{LOOK_EVERY, Lane};

/// Lanes that have a page with their vendor at once.
const AT_ONCE: usize = 4;

/// An app's channel with a vendor.
type Key = (AccessId, Channel);

/// How many messages are parked, by app and channel. Of one that ended otherwise until somebody comes to it.
#[derive(Debug, Default)]
pub struct Park {
    counts: Mutex<BTreeMap<Key, i64>>,
    more: Notify,
}

impl Park {
    /// So many are parked, durably.
    pub(crate) fn add(&self, access_id: AccessId, channel: Channel, count: u64) {
        let mut counts = lock(&self.counts);
        let before = counts.entry((access_id, channel)).or_default();
        let is_first = *before <= 0 && count > 0;
        *before += i64::try_from(count).unwrap_or(i64::MAX);
        drop(counts);
        if is_first {
            self.more.notify_one();
        }
    }

    /// So many are not any more.
    fn remove(&self, key: Key, count: u64) {
        *lock(&self.counts).entry(key).or_default() -= i64::try_from(count).unwrap_or(i64::MAX);
    }

    fn of(&self, key: Key) -> u64 {
        lock(&self.counts).get(&key).map_or(0, |count| u64::try_from(*count).unwrap_or(0))
    }

    /// The apps and channels that have some.
    fn keys(&self) -> Vec<Key> {
        lock(&self.counts).iter().filter(|(_, count)| **count > 0).map(|(key, _)| *key).collect()
    }

    /// How many in all, by channel, of the channels that had any since the start.
    pub(crate) fn by_channel(&self) -> BTreeMap<Channel, u64> {
        let mut sums = BTreeMap::new();
        for ((_, channel), count) in lock(&self.counts).iter() {
            *sums.entry(*channel).or_default() += u64::try_from(*count).unwrap_or(0);
        }
        sums
    }
}

/// Gives vendors what is parked for them, until `stop`; then lets the pages under way end, and returns.
pub async fn run(loft: Arc<Loft>, stop: CancellationToken) {
    if !find(&loft, &stop).await {
        return;
    }
    let mut resting: BTreeMap<Key, Lane> = BTreeMap::new();
    let mut busy = FuturesUnordered::new();
    let mut with_vendor: BTreeSet<Key> = BTreeSet::new();
    while !stop.is_cancelled() {
        let known = loft.parked.keys();
        resting.retain(|key, _| known.contains(key));
        for key in known {
            if !with_vendor.contains(&key) {
                resting.entry(key).or_insert_with(|| Lane::new(key));
            }
        }
        let now = Instant::now();
        let mut due: Vec<(Instant, Key)> = resting.iter().map(|(key, lane)| (lane.due, *key)).collect();
        due.sort_unstable();
        due.retain(|(due, _)| *due <= now);
        for (_, key) in due.into_iter().take(AT_ONCE.saturating_sub(busy.len())) {
            if let Some(lane) = resting.remove(&key) {
                with_vendor.insert(key);
                busy.push(turn(&loft, lane));
            }
        }
        let soonest = if busy.len() < AT_ONCE { resting.values().map(|lane| lane.due).min() } else { None };
        let next = soonest.map_or(LOOK_EVERY, |due| due.saturating_duration_since(Instant::now()));
        tokio::select! {
            Some(lane) = busy.next(), if !busy.is_empty() => {
                with_vendor.remove(&lane.key);
                resting.insert(lane.key, lane);
            }
            () = loft.parked.more.notified() => {}
            () = tokio::time::sleep(next) => {}
            () = stop.cancelled() => {}
        }
    }
    while busy.next().await.is_some() {}
}

async fn turn(loft: &Loft, mut lane: Lane) -> Lane {
    if let Err(error) = lane.turn(loft).await {
        let (access_id, channel) = lane.key;
        tracing::error!(%access_id, %channel, error = chain(&error), "parked messages could not be read: they are tried again");
        lane.due = Instant::now() + LOOK_EVERY;
    }
    lane
}

/// What was parked before the start. `false`: the server stops.
async fn find(loft: &Loft, stop: &CancellationToken) -> bool {
    let mut backoff = Backoff::DATABASE;
    loop {
        match loft.store.parked_counts().await {
            Ok(counts) => {
                counts.into_iter().for_each(|(access_id, channel, count)| loft.parked.add(access_id, channel, count));
                return true;
            }
            Err(error) => {
                tracing::error!(error = chain(&error), "parked messages could not be counted: they are tried again");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.wait()) => {}
            () = stop.cancelled() => return false,
        }
    }
}
