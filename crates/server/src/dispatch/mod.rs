//! Dispatch: runs the pushes that are due.
//!
//! ```text
//! scan ── start ── plan (audience → batches of devices) ── send ── record ── finish
//! ```
//!
//! The scan of the database is the truth; a wake-up only saves its wait. A push is resumed from its cursor wherever it
//! stopped, so stopping the server in any of these steps loses nothing, and only batches that were under way can reach
//! a device a second time, under the same message id. The data folder is locked by one server, so a push needs no
//! lease: who runs it is known.

mod plan;
mod run;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use pigeonloft_model::PushId;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::chain::chain;
use crate::clock::unix_seconds;
use crate::loft::Loft;

/// Batches resolved at once, of all pushes: turns go first come, first served, so a small push waits for a few batches
/// of a large one and never for all of them.
const RESOLVERS: usize = 2;

/// How long a push whose run failed is left alone.
const AFTER_FAILURE: Duration = Duration::from_secs(3);

/// Runs due pushes until `stop`; then lets batches under way end, and returns. What is not finished goes on at the
/// next start.
pub async fn run(loft: Arc<Loft>, stop: CancellationToken) {
    let turns = Arc::new(Semaphore::new(RESOLVERS));
    let mut running = JoinSet::new();
    let mut names: HashMap<tokio::task::Id, PushId> = HashMap::new();
    let mut rests: HashMap<PushId, Instant> = HashMap::new();
    while !stop.is_cancelled() {
        let now = Instant::now();
        rests.retain(|_, until| *until > now);
        let not_now = names.values().chain(rests.keys()).copied().collect();
        for push_id in due(&loft, not_now, names.len()).await {
            let task = running.spawn(run::run(loft.clone(), push_id, turns.clone(), stop.clone()));
            names.insert(task.id(), push_id);
        }
        loft.metrics.running_pushes(names.len());
        tokio::select! {
            () = loft.due.notified() => {}
            () = tokio::time::sleep(Duration::from_millis(loft.config.push.scan_ms)) => {}
            Some(ended) = running.join_next_with_id() => {
                if let Some(push_id) = note_end(&mut names, ended) {
                    rests.insert(push_id, Instant::now() + AFTER_FAILURE);
                }
            }
            () = stop.cancelled() => {}
        }
    }
    if !running.is_empty() {
        tracing::info!(pushes = running.len(), "running pushes are parked: they go on at the next start");
    }
    while running.join_next().await.is_some() {}
    loft.metrics.running_pushes(0);
}

async fn due(loft: &Loft, not_now: Vec<PushId>, running: usize) -> Vec<PushId> {
    let room = loft.config.push.running.saturating_sub(running);
    let Ok(room @ 1..) = u32::try_from(room) else { return Vec::new() };
    loft.store.due_pushes(unix_seconds(), not_now, room).await.unwrap_or_else(|error| {
        tracing::error!(error = chain(&error), "due pushes could not be read");
        Vec::new()
    })
}

/// Notes that a run ended. Answers its push if the run failed, so that it is tried again, but not at once.
fn note_end(
    names: &mut HashMap<tokio::task::Id, PushId>,
    ended: Result<(tokio::task::Id, Result<(), run::Error>), tokio::task::JoinError>,
) -> Option<PushId> {
    match ended {
        Ok((id, Ok(()))) => {
            names.remove(&id);
            None
        }
        Ok((id, Err(error))) => {
            let push_id = names.remove(&id);
            tracing::error!(?push_id, error = chain(&error), "a push stopped: it is taken up again");
            push_id
        }
        Err(panic) => {
            let push_id = names.remove(&panic.id());
            tracing::error!(?push_id, error = %panic, "a push stopped by a fault of the program: it is taken up again");
            push_id
        }
    }
}
