//! One run of one push: takes planned batches, sends them, records what became of them, finishes the push.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use pigeonloft_channels::xg::{Handed, Tracker};
use pigeonloft_model::payload::Payload;
use pigeonloft_model::{Channel, DeviceId, Expire, Outcome, Push, PushId};
use pigeonloft_package::ReadError;
use pigeonloft_store::{Batch, Recipient, Started};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::plan::{self, Plan, Planned};
use crate::chain::chain;
use crate::clock::unix_seconds;
use crate::loft::Loft;
use crate::packages::PackageFolder;

/// Waits between two tries to record a batch, growing from the first to the second.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

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
    push_id: PushId,
    push: Push,
    payload: Payload,
    expire_at: i64,
}

/// A batch that is with its channel.
struct Sent {
    planned: Planned,
    /// One for each device: what became of it, as far as it is known without an acknowledgement.
    outcomes: Vec<Outcome>,
    /// Places in `outcomes` of what was handed to a session, in the order of the tracker.
    handed: Vec<usize>,
    tracker: Arc<Tracker>,
    took: Duration,
}

/// Runs a push from its cursor to its end, or until `stop`.
///
/// # Errors
/// The database failed, or the disk: what is recorded is recorded, and the push can be run again.
pub(super) async fn run(
    loft: Arc<Loft>,
    push_id: PushId,
    turns: Arc<Semaphore>,
    stop: CancellationToken,
) -> Result<(), Error> {
    let Some(started) = loft.store.start_push(push_id).await? else { return Ok(()) };
    let failure = match Run::begin(&loft, &started) {
        Ok(run) => run.walk(started, turns, &stop).await?,
        Err(reason) => Some(reason),
    };
    if failure.is_none() && stop.is_cancelled() {
        return Ok(());
    }
    loft.store.finish_push(push_id, failure.clone()).await?;
    loft.metrics.push_finished(if failure.is_some() { "PUSH_FAILED" } else { "PUSH_FINISHED" });
    match failure {
        Some(reason) => tracing::error!(%push_id, reason, "push failed"),
        None => tracing::info!(%push_id, "push finished"),
    }
    Ok(())
}

impl Run {
    fn begin(loft: &Arc<Loft>, started: &Started) -> Result<Self, String> {
        let stored = &started.push;
        let push =
            Push::from_stored(&stored.request).map_err(|error| format!("the stored push is damaged: {error}"))?;
        let payload = Payload::from_stored(stored.template.as_str()).map_err(|error| error.to_string())?;
        Ok(Self { loft: loft.clone(), push_id: stored.push_id, push, payload, expire_at: stored.expire_at })
    }

    /// Walks the audience. Answers why the push cannot go on, if it cannot.
    async fn walk(
        &self,
        started: Started,
        turns: Arc<Semaphore>,
        stop: &CancellationToken,
    ) -> Result<Option<String>, Error> {
        let Some(app) = self.loft.app(started.push.access_id).await? else {
            return Ok(Some("the app of the push is gone".into()));
        };
        let package = started.stored_as.as_ref().map(|name| PackageFolder::of(&self.loft.config).file(name));
        if package.is_none() && started.push.upload_id.is_some() {
            return Ok(Some("the package of the push is gone".into()));
        }
        tracing::info!(push_id = %self.push_id, from_row = started.push.counts.rows_done, "push starts");
        let (batches, planned) = mpsc::channel(1);
        let (push, store) = (self.push.clone(), self.loft.store.clone());
        let (platform, batch_rows) = (app.platform, self.loft.config.push.batch_rows);
        let planner = tokio::task::spawn_blocking(move || {
            // Opened here, for that reads from the disk.
            let store = store.reader()?;
            Plan { started, push, platform, package, store, batch_rows }.walk(&turns, &batches)
        });
        self.send_and_record(planned, stop).await?;
        match planner.await.map_err(Error::Planner)? {
            Ok(()) | Err(plan::Error::Stopping) => Ok(None),
            Err(plan::Error::Store(error)) => Err(error.into()),
            Err(plan::Error::Package(ReadError::Io(trouble))) if trouble.kind() != ErrorKind::NotFound => {
                Err(Error::Package(trouble))
            }
            Err(damaged @ plan::Error::Package(_)) => Ok(Some(chain(&damaged))),
        }
    }

    /// Sends batches as they are planned, a few under way at once, and records them in their order.
    async fn send_and_record(&self, planned: mpsc::Receiver<Planned>, stop: &CancellationToken) -> Result<(), Error> {
        let stopped = stop.clone().cancelled_owned();
        let planned = futures_util::stream::unfold(planned, async |mut planned| {
            planned.recv().await.map(|batch| (batch, planned))
        });
        let sent =
            planned.take_until(stopped).map(|batch| self.send(batch)).buffered(self.loft.config.push.batches_in_flight);
        let mut sent = std::pin::pin!(sent);
        while let Some(batch) = sent.next().await {
            self.record(batch).await?;
        }
        Ok(())
    }

    /// What becomes of a device that no session takes the message for.
    fn unless_handed(&self) -> Outcome {
        match self.push.expire {
            _ if !self.push.allows(Channel::Xg) => Outcome::NoChannel,
            _ if self.expire_at <= unix_seconds() => Outcome::Expired,
            Expire::OnlineOnly => Outcome::NotKept,
            Expire::Seconds(_) => Outcome::Waiting,
        }
    }

    /// Hands a batch to the own channel, and gives its devices a moment to acknowledge.
    async fn send(&self, planned: Planned) -> Sent {
        let begun = Instant::now();
        let devices = &planned.resolved.devices;
        let unless_handed = self.unless_handed();
        let mut outcomes = vec![unless_handed; devices.len()];
        let may_send = matches!(unless_handed, Outcome::Waiting | Outcome::NotKept);
        let handed: Vec<usize> =
            (0..devices.len()).filter(|place| may_send && self.loft.hub.is_online(devices[*place])).collect();
        let messages: Vec<(DeviceId, Bytes)> =
            handed.iter().map(|place| (devices[*place], self.payload.for_device(devices[*place]).into())).collect();
        let tracker = Tracker::new(messages.len());
        let answers = self.loft.hub.send(self.push_id, &messages, self.expire_at, &tracker);
        for (place, answer) in handed.iter().zip(answers) {
            outcomes[*place] = match answer {
                Handed::Accepted => Outcome::Sent,
                // Online, only slower than its messages come: what is for devices online is for it, too.
                Handed::Busy => Outcome::Waiting,
                Handed::Offline => unless_handed,
            };
        }
        tracker.wait(begun + Duration::from_millis(self.loft.config.push.ack_wait_ms)).await;
        let took = begun.elapsed();
        Sent { planned, outcomes, handed, tracker, took }
    }

    /// Records a batch, and tells the sessions of its devices once it is durable.
    async fn record(&self, sent: Sent) -> Result<(), Error> {
        let begun = Instant::now();
        let Sent { planned, mut outcomes, handed, tracker, took: send_took } = sent;
        let permit = self.loft.store.permit().await?;
        let devices = planned.resolved.devices;
        // From here on acknowledgements go to the recorder, whose writes are queued behind this one.
        let (batch, written) = tracker.close_with(|acked| {
            for place in acked.iter() {
                outcomes[handed[place]] = Outcome::Arrived;
            }
            let recipients = devices.iter().zip(&outcomes);
            let batch = Batch {
                push_id: self.push_id,
                first_row: planned.first_row,
                rows: planned.rows,
                no_device: planned.resolved.no_device,
                recipients: recipients.map(|(&device, &outcome)| Recipient { device, outcome }).collect(),
            };
            (batch.clone(), permit.record_batch(batch))
        });
        if let Err(error) = written.durable().await {
            self.record_again(error, &batch).await?;
        }
        self.tell_sessions(&batch);
        self.loft.metrics.batch(planned.took, send_took, begun.elapsed());
        Ok(())
    }

    /// The disk is full or the like: tries until it is not. An acknowledgement that comes meanwhile may be lost with
    /// this; its message is then sent again, under the same id.
    async fn record_again(&self, mut error: pigeonloft_store::Error, batch: &Batch) -> Result<(), Error> {
        let (mut wait, longest) = RETRY;
        while error.may_pass() {
            tracing::error!(push_id = %self.push_id, error = chain(&error), "a batch could not be recorded");
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(longest);
            match self.loft.store.permit().await?.record_batch(batch.clone()).durable().await {
                Ok(()) => return Ok(()),
                Err(again) => error = again,
            }
        }
        Err(error.into())
    }

    fn tell_sessions(&self, batch: &Batch) {
        let mut waiting = Vec::new();
        let mut counts = [0_u64; Outcome::ALL.len()];
        for &Recipient { device, outcome } in &batch.recipients {
            counts[outcome as usize] += 1;
            if outcome == Outcome::Arrived {
                self.loft.hub.settled(device, self.push_id);
            } else if !outcome.is_final() {
                waiting.push(device);
            }
        }
        self.loft.hub.wake(self.push_id, &waiting);
        for (outcome, count) in Outcome::ALL.iter().zip(counts) {
            if count > 0 {
                self.loft.metrics.outcomes(Channel::Xg.as_str(), outcome.as_str(), count);
            }
        }
    }
}
