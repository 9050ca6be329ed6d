//! Under way: the batches of a run that are with their channels, in their order.
//!
//! A batch that waits for a vendor holds a place of its own: the vendor's answers take their time, whatever our own channel and
//! the database take. Where no vendor is asked, nothing more is under way for that.

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;

use super::Run;
use super::send::{Offer, Sent};
use crate::dispatch::window::Piece;

/// The batches that are with their channels.
pub(super) struct UnderWay<'a> {
    run: &'a Run,
    /// Places for batches, those that are being recorded included.
    places: usize,
    /// More places, for those that are with vendors.
    places_with_vendors: usize,
    /// Those that are offered to our own channel, and whose tokens of vendors are looked up.
    offering: FuturesOrdered<BoxFuture<'a, Result<Offer, pigeonloft_store::Error>>>,
    /// Those whose channels are waited for, and whether vendors' are among these.
    sending: FuturesOrdered<BoxFuture<'a, Result<(Sent, bool), pigeonloft_store::Error>>>,
    /// How many of them are with vendors.
    with_vendors: usize,
}

impl<'a> UnderWay<'a> {
    /// Of a run whose batches are in so many slices each.
    pub(super) fn new(run: &'a Run, slices: usize) -> Self {
        let push = &run.loft.config.push;
        Self {
            run,
            places: push.batches_in_flight * slices,
            places_with_vendors: push.batches_with_vendors * slices,
            offering: FuturesOrdered::new(),
            sending: FuturesOrdered::new(),
            with_vendors: 0,
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.offering.len() + self.sending.len()
    }

    /// Whether one more may begin while so many are being recorded.
    pub(super) fn has_room(&self, recording: usize) -> bool {
        self.len() + recording < self.places + self.with_vendors.min(self.places_with_vendors)
    }

    /// Gives a batch to its channels.
    pub(super) fn begin(&mut self, piece: Piece) {
        self.offering.push_back(Box::pin(self.run.offer(piece)));
    }

    /// Waits until a batch gets on, for ever if there is none: the first, once its channels have answered; `None` if one is with
    /// its vendor now and may have left room for another. What is dropped waiting has lost nothing.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn next(&mut self) -> Result<Option<Sent>, pigeonloft_store::Error> {
        tokio::select! {
            biased;
            Some(sent) = self.sending.next(), if !self.sending.is_empty() => {
                let (sent, has_vendors) = sent?;
                self.with_vendors -= usize::from(has_vendors);
                Ok(Some(sent))
            }
            Some(offer) = self.offering.next(), if !self.offering.is_empty() => {
                let (run, has_vendors) = (self.run, offer.as_ref().is_ok_and(Offer::has_vendors));
                self.with_vendors += usize::from(has_vendors);
                // An error has its turn, too: what is before it is recorded.
                self.sending.push_back(Box::pin(async move { Ok((run.send(offer?).await, has_vendors)) }));
                Ok(None)
            }
            else => std::future::pending().await,
        }
    }
}
