//! Stops: what waits of pushes that were stopped goes, in small bites, so that it never holds the writer up. The first
//! look after a start goes on where the server was killed.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::chain::chain;
use crate::loft::Loft;

/// How often it is looked for stopped pushes of which something waits, in case a wake-up was lost.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Pushes dealt with in one look; the next one goes on.
const PUSHES: u32 = 100;

/// Rows changed in one transaction.
const BITE: u32 = 2000;

/// Lets what waits of stopped pushes go, until `stop`.
pub async fn run(loft: Arc<Loft>, stop: CancellationToken) {
    loop {
        if let Err(error) = let_go(&loft, &stop).await {
            tracing::error!(error = chain(&error), "what waits of a stopped push could not go: it is tried again");
        }
        tokio::select! {
            () = loft.stopped.notified() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn let_go(loft: &Loft, stop: &CancellationToken) -> Result<(), pigeonloft_store::Error> {
    for push in loft.store.stopped_pushes(PUSHES).await? {
        let mut last = None;
        loop {
            if stop.is_cancelled() {
                return Ok(());
            }
            let devices = loft.store.stop_waiting(push, last, BITE).await?;
            for &device in &devices {
                loft.hub.settled(device, push);
            }
            loft.metrics.outcomes("xg", "stopped", devices.len() as u64);
            if devices.len() < BITE as usize {
                break;
            }
            last = devices.last().copied();
        }
    }
    Ok(())
}
