//! Send: gives a batch to the channels that lead to its devices. Whom our own channel does not reach now, a vendor's does, if
//! it can; what no channel takes waits in the inbox, if it is kept.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use pigeonloft_channels::xg::{Handed, Tracker};
use pigeonloft_model::attribute::Values;
use pigeonloft_model::{Channel, DeviceId, Expire, Outcome};
use tokio::time::Instant;

use super::Run;
use crate::clock::unix_seconds;
use crate::dispatch::vendors::{ByVendor, Otherwise, Targets};
use crate::dispatch::window::Piece;

/// A batch that our own channel was given, and those of vendors are not yet.
pub(super) struct Offer {
    piece: Piece,
    outcomes: Vec<Outcome>,
    unless_handed: Outcome,
    to_vendors: Targets,
    values: Arc<Values>,
    tracker: Arc<Tracker>,
    offered: Offered,
    begun: Instant,
}

impl Offer {
    /// Whether a vendor's channel leads to any of its devices.
    pub(super) fn has_vendors(&self) -> bool {
        !self.to_vendors.is_empty()
    }
}

/// A batch that is with its channels.
pub(in crate::dispatch) struct Sent {
    pub(in crate::dispatch) piece: Piece,
    /// One for each device: what became of it, as far as it is known without an acknowledgement and without vendors.
    pub(in crate::dispatch) outcomes: Vec<Outcome>,
    /// What became of those that a vendor's channel was asked for.
    pub(in crate::dispatch) by_vendor: Vec<ByVendor>,
    /// Of those that were offered to our own channel.
    pub(in crate::dispatch) tracker: Arc<Tracker>,
    /// Where each of these stands in the batch.
    pub(in crate::dispatch) offered: Offered,
}

/// The devices of a batch that are offered to our own channel.
pub(in crate::dispatch) enum Offered {
    /// All, in their order.
    All,
    /// Those at these places.
    These(Vec<usize>),
}

impl Offered {
    /// Where the device stands in the batch that is so many-th of those that are offered.
    pub(in crate::dispatch) fn place(&self, index: usize) -> usize {
        match self {
            Self::All => index,
            Self::These(places) => places.get(index).copied().unwrap_or(index),
        }
    }
}

impl Run {
    /// What becomes of a device that no session takes the message for, and no vendor.
    fn unless_handed(&self) -> Outcome {
        match self.push.expire {
            _ if !self.push.allows(Channel::Xg) => Outcome::NoChannel,
            _ if self.expire_at <= unix_seconds() => Outcome::Expired,
            Expire::OnlineOnly => Outcome::NotKept,
            Expire::Seconds(_) => Outcome::Waiting,
        }
    }

    /// What becomes of those that a vendor does not take: what our own channel is ruled out for waits for the vendor, if it is kept
    /// at all.
    fn unless_taken(&self, unless_handed: Outcome) -> Otherwise {
        let is_kept = matches!(self.push.expire, Expire::Seconds(_)) && self.expire_at > unix_seconds();
        match unless_handed {
            Outcome::NoChannel if is_kept => Otherwise { for_now: Outcome::Waiting, for_good: Outcome::NoChannel },
            _ => Otherwise::both(unless_handed),
        }
    }

    /// Gives a batch to our own channel, but for those devices whose vendor's the push prefers, and finds whom vendors'
    /// channels lead to.
    ///
    /// # Errors
    /// The tokens of the devices could not be read. Nothing is lost: the batch is sent again.
    pub(super) async fn offer(&self, piece: Piece) -> Result<Offer, pigeonloft_store::Error> {
        let begun = Instant::now();
        let unless_handed = self.unless_handed();
        let mut outcomes = vec![unless_handed; piece.devices.len()];
        let is_late = self.expire_at <= unix_seconds();
        let mut to_vendors = Targets::default();
        let mut offered = Offered::All;
        if self.push.skip_own_channel_online && !is_late {
            to_vendors = self.vendors.targets(&self.loft, &piece.devices, &|_| true).await?;
            if !to_vendors.is_empty() {
                let others = (0..piece.devices.len()).filter(|place| !to_vendors.has(*place));
                offered = Offered::These(others.collect());
            }
        }
        let values = self.values(&piece.devices).await?;
        let tracker = Tracker::new(piece.devices.len());
        let offline = self.hand(&piece.devices, &offered, &values, unless_handed, &tracker, &mut outcomes);
        if !self.push.skip_own_channel_online && !is_late {
            to_vendors = self.vendors.targets(&self.loft, &piece.devices, &|place| offline[place]).await?;
        }
        Ok(Offer { piece, outcomes, unless_handed, to_vendors, values, tracker, offered, begun })
    }

    /// Sends it to those whom vendors' channels lead to; meanwhile devices have a moment to acknowledge.
    pub(super) async fn send(&self, offer: Offer) -> Sent {
        let Offer { piece, outcomes, unless_handed, to_vendors, values, tracker, offered, begun } = offer;
        let until = begun + Duration::from_millis(self.loft.config.push.ack_wait_ms);
        let otherwise = self.unless_taken(unless_handed);
        let ((), by_vendor) =
            tokio::join!(tracker.wait(until), self.vendors.send(&self.loft, to_vendors, &values, otherwise));
        self.loft.metrics.batch_sent(begun.elapsed());
        Sent { piece, outcomes, by_vendor, tracker, offered }
    }

    /// What these devices have now of the attributes that are filled into the message, if any are.
    async fn values(&self, devices: &[DeviceId]) -> Result<Arc<Values>, pigeonloft_store::Error> {
        let names = self.payload.attributes();
        if names.is_empty() {
            return Ok(Arc::default());
        }
        Ok(Arc::new(self.loft.store.attribute_values(devices.to_vec(), names).await?))
    }

    /// Offers the message to the sessions of these devices, if they may have it now. Answers which devices have none.
    fn hand(
        &self,
        devices: &[DeviceId],
        offered: &Offered,
        values: &Arc<Values>,
        unless_handed: Outcome,
        tracker: &Arc<Tracker>,
        outcomes: &mut [Outcome],
    ) -> Vec<bool> {
        let is_now = matches!(unless_handed, Outcome::Waiting | Outcome::NotKept);
        if !is_now || !self.loft.accepts_now(self.accept.as_ref()) {
            // Nobody is asked. Those online have it in their inbox, if it is kept for them.
            return devices.iter().map(|device| !is_now || !self.loft.hub.is_online(*device)).collect();
        }
        let mut payload = Cow::Borrowed(&self.payload);
        if !self.payload.attributes().is_empty() {
            payload.to_mut().fill_from(values.clone());
        }
        let answers = match offered {
            Offered::All => self.loft.hub.send(&payload, devices, self.expire_at, tracker),
            Offered::These(places) => {
                let devices: Vec<DeviceId> = places.iter().map(|place| devices[*place]).collect();
                self.loft.hub.send(&payload, &devices, self.expire_at, tracker)
            }
        };
        let mut offline = vec![false; devices.len()];
        for (index, answer) in answers.into_iter().enumerate() {
            let place = offered.place(index);
            outcomes[place] = match answer {
                Handed::Accepted => Outcome::Sent,
                // Online, only slower than its messages come: what is for devices online is for it, too.
                Handed::Busy => Outcome::Waiting,
                Handed::Offline => {
                    offline[place] = true;
                    unless_handed
                }
            };
        }
        offline
    }
}
