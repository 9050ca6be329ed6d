//! Vendors: which devices of a batch a vendor's channel leads to, and what becomes of them by what it answers.

use std::sync::Arc;
use std::time::Duration;

use pigeonloft_channels::vendor::{Opened, Outgoing, Target, Vendor};
use pigeonloft_model::attribute::Values;
use pigeonloft_model::{AccessId, Channel, Code, DeviceId, Outcome, Push, PushId, Verdict};
use pigeonloft_store::{App, DeadToken};

use crate::clock::unix_millis;
use crate::loft::Loft;
use crate::vendors::{UNUSABLE, circuit, may_carry};

mod ask;

use ask::Ask;

/// What a vendor does not take now, and does not say when it would, it is not given again before this has passed.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// What credentials or what they are for keep a vendor from taking is not given again before this has passed, unless the
/// credentials are others by then, or the channel was paused for it and is used again: a device whose bundle id
/// the key is not for would be asked for without end.
const REFUSED_AGAIN_AFTER: Duration = Duration::from_secs(3600);

/// The channels of vendors that a push may use, opened for it.
pub(super) struct OpenedVendors {
    access_id: AccessId,
    opened: Vec<(Channel, OpenedVendor)>,
}

/// One of them, or what becomes of each message, where it takes none of the push.
type OpenedVendor = Result<Box<dyn Opened>, Verdict>;

/// What becomes of those that a vendor's channel was asked for and did not take.
#[derive(Clone, Copy)]
pub(super) struct Otherwise {
    /// It may take them later, and is given them again if they wait.
    pub(super) for_now: Outcome,
    /// It never will.
    pub(super) for_good: Outcome,
}

impl Otherwise {
    /// The same, whether it may take them later or not: they are reached another way.
    pub(super) const fn both(outcome: Outcome) -> Self {
        Self { for_now: outcome, for_good: outcome }
    }
}

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
    /// The channel that was asked.
    pub(super) asked: Channel,
    /// That is given the message again, not before this time, unix milliseconds.
    pub(super) again: Option<i64>,
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

    /// All devices of a batch, in their order, for the one channel that was opened.
    pub(super) fn of_one_channel(targets: Vec<Target>) -> Self {
        let places: Vec<usize> = (0..targets.len()).collect();
        Self { of_channels: vec![(places.clone(), targets)], places }
    }

    /// Whether the device at this place of the batch is among them.
    pub(super) fn has(&self, place: usize) -> bool {
        self.places.binary_search(&place).is_ok()
    }
}

impl OpenedVendors {
    /// The app's.
    pub(super) fn app(&self) -> AccessId {
        self.access_id
    }

    /// None of them, of an app.
    pub(super) fn none(access_id: AccessId) -> Self {
        Self { access_id, opened: Vec::new() }
    }

    /// One of them alone, for a push.
    pub(super) fn one(access_id: AccessId, channel: Channel, vendor: &Arc<dyn Vendor>, push: &Outgoing<'_>) -> Self {
        Self { access_id, opened: vec![(channel, vendor.clone().open(push))] }
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

    /// Sends to these, through all channels at once.
    pub(super) async fn send(
        &self,
        loft: &Loft,
        targets: Targets,
        values: &Values,
        otherwise: Otherwise,
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
            let now_ms = unix_millis();
            let each = places.into_iter().zip(targets).zip(verdicts);
            each.map(|((place, target), (verdict, believed))| {
                became(place, *channel, target, verdict, otherwise, believed, now_ms)
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
    otherwise: Otherwise,
    believed: bool,
    now_ms: i64,
) -> ByVendor {
    let code = verdict.code().map(|code: &Code| Arc::from(format!("{channel}: {code}")));
    let again = again_after(&verdict, believed)
        .map(|wait| now_ms.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)));
    let (outcome, by) = match &verdict {
        Verdict::Accepted => (Outcome::Accepted, channel),
        Verdict::Unknown(_) => (Outcome::Unknown, channel),
        Verdict::Dead { .. } | Verdict::Refused(_) | Verdict::Configuration(_) | Verdict::Later { .. } => {
            (if again.is_some() { otherwise.for_now } else { otherwise.for_good }, Channel::Xg)
        }
    };
    let dead = match verdict {
        Verdict::Dead { since, .. } if believed => {
            let Target { device, token, .. } = target;
            Some(DeadToken { device, channel, token, since: since.unwrap_or(now_ms) })
        }
        _ => None,
    };
    ByVendor { place, outcome, channel: by, code, dead, asked: channel, again }
}

/// How long a vendor is not given a message again that it did not take; `None`: it never is. What is wrong with the message or its
/// token does not change by waiting.
fn again_after(verdict: &Verdict, believed: bool) -> Option<Duration> {
    match verdict {
        // It was not asked, and is not as long as that lasts.
        Verdict::Later { code, .. } if code.starts_with(circuit::PAUSED) => Some(Duration::ZERO),
        Verdict::Configuration(code) if code == UNUSABLE => Some(Duration::ZERO),
        Verdict::Later { after, .. } => Some(after.unwrap_or(AGAIN_AFTER).min(circuit::ASKED_MAX)),
        Verdict::Configuration(_) => Some(REFUSED_AGAIN_AFTER),
        // It is rather the credentials that are at fault, or the environment.
        Verdict::Dead { .. } if !believed => Some(REFUSED_AGAIN_AFTER),
        Verdict::Dead { .. } | Verdict::Accepted | Verdict::Unknown(_) | Verdict::Refused(_) => None,
    }
}
