//! Dispatch: runs the pushes that are due.
//!
//! ```text
//! scan ── start ── plan (audience → windows of devices) ── send, a batch at a time ── record, the last batch finishes
//! ```
//!
//! What a vendor did not take of a batch for now is [`parked`], and given to it again beside all this.
//!
//! The scan of the database is the truth; a wake-up only saves its wait. A push is resumed from its cursor wherever it
//! stopped, so stopping the server in any of these steps loses nothing, and only batches that were under way can reach
//! a device a second time, under the same message id. The data folder is locked by one server, so a push needs no
//! lease: who runs it is known.

pub(crate) mod estimate;
pub(crate) mod filter;
mod pacer;
pub mod parked;
pub(crate) mod plan;
pub mod progress;
mod record;
pub(crate) mod rows;
mod run;
pub(crate) mod source;
mod vendors;
mod window;

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use pigeonloft_model::PushId;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::chain::chain;
use crate::clock::unix_seconds;
use crate::loft::Loft;

/// Windows made at once, of all pushes of more than one batch: it bounds their memory. Turns go first come, first served.
const RESOLVERS: usize = 2;

/// Of this many places for running pushes, one is kept free of pushes of more than one batch: a push to one device does
/// not wait for any of the large ones to end, however many there are.
const PLACES_TO_ONE_FOR_SMALL: usize = 4;

/// Runs due pushes until `stop`; then lets batches under way end, and returns. What is not finished goes on at the
/// next start.
pub async fn run(loft: Arc<Loft>, stop: CancellationToken) {
    let turns = Arc::new(Semaphore::new(RESOLVERS));
    let mut running = JoinSet::new();
    let mut names: HashMap<tokio::task::Id, (PushId, Size)> = HashMap::new();
    while !stop.is_cancelled() {
        replace(&loft).await;
        // Large ones first: they have fewer places.
        for size in [Size::Large, Size::Small] {
            let not_now = loft.progress.not_now();
            let large = names.values().filter(|(_, size)| *size == Size::Large).count();
            let room = size.room(loft.config.push.running, names.len(), large);
            for push_id in due(&loft, size, not_now, room).await {
                let stop = stop.child_token();
                let progress = loft.progress.begin(push_id, loft.metrics.clone(), stop.clone());
                let task = running.spawn(run::run(loft.clone(), push_id, size, progress, turns.clone(), stop));
                names.insert(task.id(), (push_id, size));
            }
        }
        loft.metrics.running_pushes(names.len());
        tokio::select! {
            () = loft.due.notified() => {}
            () = tokio::time::sleep(Duration::from_millis(loft.config.push.scan_ms)) => {}
            Some(ended) = running.join_next_with_id() => {
                note_end(&loft, &mut names, ended);
            }
            () = stop.cancelled() => {}
        }
    }
    if !running.is_empty() {
        tracing::info!(pushes = running.len(), "running pushes break off: they go on at the next start");
    }
    while running.join_next().await.is_some() {}
    loft.metrics.running_pushes(0);
}

/// Whether a push is one batch or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    Small,
    Large,
}

impl Size {
    /// How many more pushes of this size may run, of `places` in all, where so many do already.
    fn room(self, places: usize, running: usize, large: usize) -> usize {
        let room = places.saturating_sub(running);
        match self {
            Self::Small => room,
            Self::Large => room.min((places - places.div_ceil(PLACES_TO_ONE_FOR_SMALL)).max(1).saturating_sub(large)),
        }
    }

    fn rows(self, batch: u64) -> RangeInclusive<u64> {
        match self {
            Self::Small => 0..=batch,
            Self::Large => batch + 1..=u64::MAX,
        }
    }
}

/// Stops pushes whose place a push takes that is due; it starts once they have ended.
async fn replace(loft: &Loft) {
    match loft.store.replace(unix_seconds()).await {
        Ok(replaced) => replaced.into_iter().for_each(|push_id| {
            tracing::info!(%push_id, "push replaced");
            loft.push_is_stopped(push_id);
        }),
        Err(error) => tracing::error!(error = chain(&error), "replaced pushes could not be stopped"),
    }
}

async fn due(loft: &Loft, size: Size, not_now: Vec<PushId>, room: usize) -> Vec<PushId> {
    let Ok(room @ 1..) = u32::try_from(room) else { return Vec::new() };
    let rows = size.rows(loft.config.push.batch_rows as u64);
    loft.store.due_pushes(unix_seconds(), rows, not_now, room).await.unwrap_or_else(|error| {
        tracing::error!(error = chain(&error), "due pushes could not be read");
        Vec::new()
    })
}

/// Notes that a run ended. A push whose run failed is tried again, but not at once.
fn note_end(
    loft: &Loft,
    names: &mut HashMap<tokio::task::Id, (PushId, Size)>,
    ended: Result<(tokio::task::Id, Result<(), run::Error>), tokio::task::JoinError>,
) {
    let (id, failure) = match ended {
        Ok((id, Ok(()))) => (id, None),
        Ok((id, Err(error))) => (id, Some(chain(&error))),
        Err(panic) => (panic.id(), Some(format!("a fault of the program: {panic}"))),
    };
    let Some((push_id, _)) = names.remove(&id) else { return };
    match failure {
        None => loft.progress.end(push_id),
        Some(error) => {
            let wait = loft.progress.rest(push_id, error.clone());
            tracing::error!(%push_id, error, retry_ms = wait.as_millis() as u64, "a push stopped: it is taken up again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Size::{Large, Small};

    #[test]
    fn large_pushes_leave_places_for_small_ones() {
        for (places, at_most) in [(64, 48), (4, 3), (3, 2), (2, 1), (1, 1)] {
            assert_eq!(Large.room(places, 0, 0), at_most);
            assert_eq!(Large.room(places, at_most, at_most), 0);
            assert_eq!(Small.room(places, at_most, at_most), places - at_most);
        }
        assert_eq!((Large.room(64, 60, 0), Small.room(64, 60, 0)), (4, 4), "small ones may fill every place");
        assert_eq!((Small.rows(10), Large.rows(10)), (0..=10, 11..=u64::MAX));
    }
}
