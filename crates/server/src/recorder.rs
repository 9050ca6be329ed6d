//! The recorder: what devices report (seen, arrived, receipts), written down in groups.
//!
//! Sessions hand their reports to a queue and go on. One task takes what has gathered, writes it in one transaction,
//! and only then tells the sessions. What cannot be written is tried again until it can: a report is never dropped
//! while the server runs, and one lost with the server is made again, since its message is still in the inbox.

use std::sync::Arc;
use std::time::Duration;

use pigeonloft_channels::xg::{Desk, Hub};
use pigeonloft_model::{DeviceId, PushId, ReceiptEvent};
use pigeonloft_store::{Acknowledged, Store};
use tokio::sync::{mpsc, oneshot};

use crate::chain::chain;
use crate::metrics::Metrics;

/// Reports written together at most.
const GROUP: usize = 4096;

/// Waits between two tries to write, growing from the first to the second.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// What a device reports. `done` is called once it is durable.
#[derive(Debug)]
pub enum Report {
    /// Its session began.
    Opened {
        /// The device.
        device: DeviceId,
        /// Called once this and every earlier report is durable.
        done: oneshot::Sender<()>,
    },
    /// It acknowledged a message.
    Arrived {
        /// The device.
        device: DeviceId,
        /// The message's push.
        push: PushId,
    },
    /// It says what became of a message.
    Receipt {
        /// The device.
        device: DeviceId,
        /// The message's push.
        push: PushId,
        /// What became of it.
        event: ReceiptEvent,
        /// Called once it is durable.
        done: oneshot::Sender<()>,
    },
}

/// The queue of reports. Unbounded in name only: a session holds at most a window's worth unsettled and one receipt.
pub type Reports = mpsc::UnboundedSender<Report>;

/// Writes reports down until the last sender of the queue is gone.
pub async fn run<D: Desk>(
    store: Store,
    hub: Arc<Hub<D>>,
    metrics: Arc<Metrics>,
    mut reports: mpsc::UnboundedReceiver<Report>,
    stop: tokio_util::sync::CancellationToken,
) {
    let mut group = Vec::with_capacity(GROUP);
    loop {
        tokio::select! {
            biased;
            taken = reports.recv_many(&mut group, GROUP) => if taken == 0 { return },
            () = stop.cancelled() => return,
        }
        let (reported, waiting) = sort_out(group.drain(..));
        write_until_kept(&store, &reported).await;
        for &(device, push) in &reported.arrived {
            hub.settled(device, push);
        }
        metrics.outcomes("xg", "arrived", reported.arrived.len() as u64);
        for done in waiting {
            // A session that ended meanwhile no longer wants to know.
            let _ = done.send(());
        }
    }
}

fn sort_out(group: impl Iterator<Item = Report>) -> (Acknowledged, Vec<oneshot::Sender<()>>) {
    let mut reported = Acknowledged::default();
    let mut waiting = Vec::new();
    for report in group {
        match report {
            Report::Opened { device, done } => {
                reported.seen.push(device);
                waiting.push(done);
            }
            Report::Arrived { device, push } => reported.arrived.push((device, push)),
            Report::Receipt { device, push, event, done } => {
                reported.receipts.push((device, push, event));
                waiting.push(done);
            }
        }
    }
    (reported, waiting)
}

async fn write_until_kept(store: &Store, reported: &Acknowledged) {
    let (mut wait, longest) = RETRY;
    while let Err(error) = store.acknowledge(reported.clone()).await {
        tracing::error!(error = chain(&error), retry_ms = wait.as_millis(), "reports of devices could not be written");
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(longest);
    }
}
