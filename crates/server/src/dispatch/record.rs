//! Record: puts batches that were sent into the database, in their order, and tells the sessions of their devices once
//! that is durable.
//!
//! The next batch is queued before the last one is durable, so that the database commits several together. Each is only
//! recorded where the one before it was: if one cannot be, none behind it is, and they are tried again in turn.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use pigeonloft_model::{AcceptMinutes, AccessId, Channel, Outcome, PushId};
use pigeonloft_store::{Batch, Parked, Recipient, Written};
use tokio::time::Instant;

use super::progress::Progress;
use super::run::Sent;
use super::vendors::ByVendor;
use crate::backoff::Backoff;
use crate::chain::chain;
use crate::loft::Loft;

/// The batches of a run that are on their way into the database.
pub(super) struct Records<'a> {
    loft: &'a Loft,
    access_id: AccessId,
    push_id: PushId,
    progress: &'a Progress,
    started_at: i64,
    /// Rows of the push that are dealt with.
    rows_done: u64,
    /// When of the day its messages may go out.
    accept: Option<&'a AcceptMinutes>,
    queued: VecDeque<Queued>,
    /// How many recipients this run has recorded.
    recipients: u64,
}

struct Queued {
    batch: Arc<Batch>,
    written: Written<u64>,
    begun: Instant,
}

impl<'a> Records<'a> {
    /// Of a push of an app of which so many rows are dealt with.
    pub(super) fn new(
        loft: &'a Loft,
        (access_id, push_id): (AccessId, PushId),
        progress: &'a Progress,
        started_at: i64,
        rows_done: u64,
        accept: Option<&'a AcceptMinutes>,
    ) -> Self {
        Self {
            loft,
            access_id,
            push_id,
            progress,
            started_at,
            rows_done,
            accept,
            queued: VecDeque::new(),
            recipients: 0,
        }
    }

    /// How many are on their way.
    pub(super) fn len(&self) -> usize {
        self.queued.len()
    }

    /// How many rows of the push are dealt with.
    pub(super) fn rows_done(&self) -> u64 {
        self.rows_done
    }

    /// How many recipients this run has recorded.
    pub(super) fn recipients(&self) -> u64 {
        self.recipients
    }

    /// Queues a batch.
    ///
    /// # Errors
    /// The database is closed.
    pub(super) async fn add(&mut self, sent: Sent) -> Result<(), pigeonloft_store::Error> {
        let begun = Instant::now();
        let Sent { piece, outcomes, by_vendor, tracker, offered } = sent;
        let each = piece.devices.iter().zip(outcomes);
        let mut recipients: Vec<Recipient> = each.map(|(&device, outcome)| Recipient::own(device, outcome)).collect();
        let (mut dead, mut parked) = (Vec::new(), Vec::new());
        for ByVendor { place, outcome, channel, code, dead: token, asked, again } in by_vendor {
            let device = recipients[place].device;
            if let (Outcome::Waiting, Some(not_before)) = (outcome, again) {
                parked.push(Parked { device, channel: asked, not_before });
            }
            recipients[place] = Recipient { device, outcome, channel, code };
            dead.extend(token);
        }
        let permit = self.loft.store.permit().await?;
        // From here on acknowledgements go to the recorder, whose writes are queued behind this one.
        let queued = tracker.close_with(|acked| {
            for index in acked.iter() {
                recipients[offered.place(index)].outcome = Outcome::Arrived;
            }
            let batch = Arc::new(Batch {
                push_id: self.push_id,
                from: piece.from,
                to: piece.to,
                rows_done: piece.rows_done,
                no_device: piece.no_device,
                left_out: piece.left_out,
                recipients,
                dead,
                parked,
                started_at: self.started_at,
                is_last: piece.is_last,
            });
            Queued { batch: batch.clone(), written: permit.record_batch(batch), begun }
        });
        self.queued.push_back(queued);
        Ok(())
    }

    /// Waits until the first batch is durable, for ever if there is none. What is dropped waiting has lost nothing.
    pub(super) async fn first(&mut self) -> Result<u64, pigeonloft_store::Error> {
        match self.queued.front_mut() {
            Some(first) => (&mut first.written).await,
            None => std::future::pending().await,
        }
    }

    /// Goes on after [`first`](Self::first) has answered this. Answers whether the audience ended with it.
    ///
    /// # Errors
    /// The batch cannot be recorded, however often it is tried.
    pub(super) async fn settle(
        &mut self,
        answered: Result<u64, pigeonloft_store::Error>,
    ) -> Result<bool, pigeonloft_store::Error> {
        let Some(Queued { batch, begun, .. }) = self.queued.pop_front() else { return Ok(false) };
        let mut is_last = batch.is_last;
        match answered {
            Ok(gone) => self.recorded(&batch, begun, gone),
            Err(error) => {
                // Those behind it cannot be recorded either; their turn comes once they all have been answered so.
                let behind: Vec<Queued> = self.queued.drain(..).collect();
                let mut batches = vec![(batch, begun)];
                for Queued { batch, written, begun } in behind {
                    let _ = written.await;
                    batches.push((batch, begun));
                }
                let mut error = Some(error);
                for (batch, begun) in batches {
                    let gone = self.record_again(error.take(), &batch).await?;
                    self.recorded(&batch, begun, gone);
                    is_last = batch.is_last;
                }
            }
        }
        Ok(is_last)
    }

    /// The disk is full or the like: tries until it is not. An acknowledgement that comes meanwhile may be lost with
    /// this; its message is then sent again, under the same id.
    async fn record_again(
        &self,
        mut error: Option<pigeonloft_store::Error>,
        batch: &Arc<Batch>,
    ) -> Result<u64, pigeonloft_store::Error> {
        let mut backoff = Backoff::DATABASE;
        loop {
            if let Some(error) = error {
                if !error.may_pass() {
                    return Err(error);
                }
                let wait = backoff.wait();
                tracing::error!(push_id = %self.push_id, error = chain(&error), "a batch could not be recorded");
                self.progress.fails(format!("a batch could not be recorded: {}", chain(&error)), wait);
                tokio::time::sleep(wait).await;
            }
            match self.loft.store.permit().await?.record_batch(batch.clone()).await {
                Ok(gone) => return Ok(gone),
                Err(again) => error = Some(again),
            }
        }
    }

    /// The batch is durable. Of its recipients who wait so many are gone.
    fn recorded(&mut self, batch: &Batch, begun: Instant, gone: u64) {
        self.tell_sessions(batch);
        for of_channel in batch.parked.chunk_by(|a, b| a.channel == b.channel) {
            self.loft.parked.add(self.access_id, of_channel[0].channel, of_channel.len() as u64);
        }
        self.loft.metrics.outcomes(Channel::Xg.as_str(), Outcome::Gone.as_str(), gone);
        self.loft.metrics.batch_recorded(begun.elapsed());
        self.progress.gets_on(batch.rows_done.saturating_sub(self.rows_done));
        self.rows_done = batch.rows_done;
    }

    fn tell_sessions(&mut self, batch: &Batch) {
        let mut waiting = Vec::new();
        let mut counts = BTreeMap::new();
        for &Recipient { device, outcome, channel, .. } in &batch.recipients {
            *counts.entry((channel, outcome)).or_insert(0) += 1;
            if outcome == Outcome::Arrived {
                self.loft.hub.settled(device, self.push_id);
            } else if !outcome.is_final() {
                waiting.push(device);
            }
        }
        // Looked at now that the batch is durable: of what begins later its devices are told when it does.
        if self.loft.accepts_now(self.accept) {
            self.loft.hub.wake(self.push_id, &waiting);
        }
        for ((channel, outcome), count) in counts {
            self.loft.metrics.outcomes(channel.as_str(), outcome.as_str(), count);
        }
        self.recipients += batch.recipients.len() as u64;
    }
}
