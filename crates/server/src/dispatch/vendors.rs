//! Vendors: which devices of a batch a vendor's channel leads to, and what becomes of them by what it answers.

use std::sync::Arc;

use pigeonloft_channels::vendor::{Opened, Outgoing, Target};
use pigeonloft_model::attribute::Values;
use pigeonloft_model::{AccessId, Channel, Code, DeviceId, Outcome, Push, PushId, Verdict};
use pigeonloft_store::{App, DeadToken};

use crate::clock::unix_millis;
use crate::loft::Loft;
use crate::vendors::may_carry;

mod ask;

use ask::Ask;

/// The channels of vendors that a push may use, opened for it.
pub(super) struct OpenedVendors {
    access_id: AccessId,
    opened: Vec<(Channel, OpenedVendor)>,
}

/// One of them, or what becomes of each message, where it takes none of the push.
type OpenedVendor = Result<Box<dyn Opened>, Verdict>;

/// What became of a recipient that a vendor's channel was asked for.
pub(super) struct ByVendor {
    /// Where it stands in the batch.
    pub(super) place: usize,
    /// What became of it.
    pub(super) outcome: Outcome,
    /// The channel it went through, or waits on.
    pub(super) channel: Channel,
    /// Why the vendor's channel did not take it.
    pub(super) code: Option<Arc<str>>,
    /// Its token, if that leads to no device any more.
    pub(super) dead: Option<DeadToken>,
}

/// Devices of a batch that channels of vendors lead to: for each channel, places in the batch and the devices themselves.
#[derive(Default)]
pub(super) struct Targets {
    of_channels: Vec<(Vec<usize>, Vec<Target>)>,
    /// In their order.
    places: Vec<usize>,
}

impl Targets {
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether the device at this place of the batch is among them.
    pub(super) fn has(&self, place: usize) -> bool {
        self.places.binary_search(&place).is_ok()
    }
}

impl OpenedVendors {
    /// None of them, of an app.
    pub(super) fn none(access_id: AccessId) -> Self {
        Self { access_id, opened: Vec::new() }
    }

    /// Those of an app, for one of its pushes.
    pub(super) async fn of(
        loft: &Loft,
        app: &App,
        push_id: PushId,
        push: &Push,
        expire_at: i64,
    ) -> Result<Self, pigeonloft_store::Error> {
        let vendors = loft.vendors.of(&loft.store, app.access_id).await?;
        let allowed = |channel| push.allows(channel) && may_carry(push, app.platform, channel);
        let allowed = vendors.iter().filter(|(channel, _)| allowed(*channel));
        let opened = allowed.map(|(channel, vendor)| {
            let opened = match vendor {
                Ok(vendor) => vendor.clone().open(&Outgoing { push_id, push, expire_at }),
                Err(code) => Err(Verdict::Configuration(code.clone())),
            };
            (*channel, opened)
        });
        Ok(Self { access_id: app.access_id, opened: opened.collect() })
    }

    /// Those of the devices at places for which `wanted` says so that a channel leads to. A device with tokens on several
    /// channels is reached through the first.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn targets(
        &self,
        loft: &Loft,
        devices: &[DeviceId],
        wanted: &(dyn Fn(usize) -> bool + Sync),
    ) -> Result<Targets, pigeonloft_store::Error> {
        if self.opened.is_empty() {
            return Ok(Targets::default());
        }
        let places: Vec<usize> = (0..devices.len()).filter(|place| wanted(*place)).collect();
        if places.is_empty() {
            return Ok(Targets::default());
        }
        let asked = places.iter().map(|place| devices[*place]).collect();
        let channels: Vec<Channel> = self.opened.iter().map(|(channel, _)| *channel).collect();
        let found = loft.store.channel_targets(asked, channels.clone()).await?;
        let mut targets =
            Targets { of_channels: channels.iter().map(|_| Default::default()).collect(), places: vec![] };
        // Both are in the order of devices.
        let mut found = found.into_iter().peekable();
        for place in places {
            let device = devices[place];
            let mut best: Option<(usize, Target)> = None;
            while let Some(of_device) = found.next_if(|found| found.device == device) {
                let Some(rank) = channels.iter().position(|channel| *channel == of_device.to.channel) else { continue };
                if best.as_ref().is_none_or(|(before, _)| rank < *before) {
                    best = Some((rank, Target { device, token: of_device.to.token, detail: of_device.to.detail }));
                }
            }
            if let Some((rank, target)) = best {
                let (places_of_it, of_it) = &mut targets.of_channels[rank];
                places_of_it.push(place);
                of_it.push(target);
                targets.places.push(place);
            }
        }
        Ok(targets)
    }

    /// Sends to these, through all channels at once. `otherwise`: what becomes of those that no vendor takes.
    pub(super) async fn send(
        &self,
        loft: &Loft,
        targets: Targets,
        values: &Values,
        otherwise: Outcome,
    ) -> Vec<ByVendor> {
        let sends = self.opened.iter().zip(targets.of_channels).filter(|(_, (places, _))| !places.is_empty());
        let sends = sends.map(async |((channel, opened), (places, targets))| {
            let verdicts = match opened {
                Ok(opened) => {
                    let (vendors, access_id, channel) = (&loft.vendors, self.access_id, *channel);
                    Ask { vendors, access_id, channel, opened: &**opened, targets: &targets }.all(values).await
                }
                Err(verdict) => vec![(verdict.clone(), false); targets.len()],
            };
            let each = places.into_iter().zip(targets).zip(verdicts);
            each.map(|((place, target), (verdict, believed))| {
                became(place, *channel, target, verdict, otherwise, believed)
            })
            .collect::<Vec<_>>()
        });
        futures_util::future::join_all(sends).await.into_iter().flatten().collect()
    }
}

/// What a verdict means for a recipient; `believed`: whether a token is forgotten that it says is dead.
fn became(
    place: usize,
    channel: Channel,
    target: Target,
    verdict: Verdict,
    otherwise: Outcome,
    believed: bool,
) -> ByVendor {
    let code = verdict.code().map(|code: &Code| Arc::from(format!("{channel}: {code}")));
    let (outcome, by) = match &verdict {
        Verdict::Accepted => (Outcome::Accepted, channel),
        Verdict::Unknown(_) => (Outcome::Unknown, channel),
        // It may still be reached through our own channel.
        Verdict::Dead { .. } | Verdict::Refused(_) | Verdict::Configuration(_) | Verdict::Later { .. } => {
            (otherwise, Channel::Xg)
        }
    };
    let dead = match verdict {
        Verdict::Dead { since, .. } if believed => {
            let Target { device, token, .. } = target;
            Some(DeadToken { device, channel, token, since: since.unwrap_or_else(unix_millis) })
        }
        _ => None,
    };
    ByVendor { place, outcome, channel: by, code, dead }
}
