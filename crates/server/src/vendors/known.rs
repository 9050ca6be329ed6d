//! Known: the channels of an app as its credentials make them, and those that cannot be made of theirs.

use std::sync::Arc;
use std::time::Instant;

use pigeonloft_channels::apns::{self, Apns};
use pigeonloft_channels::fcm::{self, Fcm};
use pigeonloft_channels::vendor::Vendor;
use pigeonloft_channels::webpush::{self, WebPush};
use pigeonloft_model::{AccessId, Channel};
use pigeonloft_store::SealedCredentials;

use super::circuit::Reason;
use super::{AppVendors, UNUSABLE, Vendors};
use crate::chain::chain;

/// What is known of an app.
#[derive(Debug)]
pub(super) struct Known {
    /// When the database was asked.
    pub(super) asked: Instant,
    pub(super) credentials: Vec<SealedCredentials>,
    pub(super) vendors: Arc<AppVendors>,
    pub(super) unusable: Vec<Unusable>,
}

/// A channel whose credentials cannot be used.
#[derive(Debug)]
pub(super) struct Unusable {
    pub(super) channel: Channel,
    reason: String,
    pub(super) since: Instant,
}

impl Known {
    /// The channel with these credentials, if it can be used.
    fn working(&self, sealed: &SealedCredentials) -> Option<Arc<dyn Vendor>> {
        let (_, vendor) = self.vendors.iter().find(|(channel, _)| *channel == sealed.channel)?;
        vendor.as_ref().ok().filter(|_| self.credentials.contains(sealed)).cloned()
    }

    /// Why it cannot.
    pub(super) fn unusable(&self, channel: Channel) -> Option<&Unusable> {
        self.unusable.iter().find(|unusable| unusable.channel == channel)
    }
}

impl Vendors {
    /// What is known of an app with these credentials. A channel that can be used stays as it is while they do, and so do its
    /// connections. One that cannot is tried again each time: what is wrong may be beside the database, such as the key.
    pub(super) fn known(
        &self,
        access_id: AccessId,
        before: Option<Known>,
        credentials: Vec<SealedCredentials>,
    ) -> Known {
        let now = Instant::now();
        if let Some(before) = &before
            && before.unusable.is_empty()
            && before.credentials == credentials
        {
            return Known { asked: now, credentials, vendors: before.vendors.clone(), unusable: Vec::new() };
        }
        let (mut vendors, mut unusable) = (AppVendors::new(), Vec::new());
        for sealed in &credentials {
            let channel = sealed.channel;
            let working = before.as_ref().and_then(|before| before.working(sealed));
            let was = before.as_ref().and_then(|before| before.unusable(channel));
            match working.map_or_else(|| self.try_make(access_id, sealed), Ok) {
                Ok(vendor) => {
                    if was.is_some() {
                        tracing::info!(%access_id, %channel, "a vendor's channel is used again");
                    }
                    vendors.push((channel, Ok(vendor)));
                }
                Err(reason) => {
                    if was.is_none_or(|was| was.reason != reason) {
                        tracing::error!(%access_id, %channel, reason, "a vendor's channel cannot be used");
                    }
                    if was.is_none() {
                        self.metrics.channel_paused(channel.as_str(), Reason::Configuration.as_str());
                    }
                    unusable.push(Unusable { channel, reason, since: was.map_or(now, |was| was.since) });
                    vendors.push((channel, Err(UNUSABLE.into())));
                }
            }
        }
        vendors.sort_by_key(|(channel, _)| *channel);
        Known { asked: now, credentials, vendors: Arc::new(vendors), unusable }
    }

    fn try_make(&self, access_id: AccessId, sealed: &SealedCredentials) -> Result<Arc<dyn Vendor>, String> {
        let text = self.vault.open(access_id, sealed.channel, &sealed.sealed).map_err(|error| chain(&error))?;
        match sealed.channel {
            Channel::Apns => {
                let credentials: apns::Credentials = serde_json::from_str(&text).map_err(|error| error.to_string())?;
                let apns = Apns::new(&credentials, &self.signers).map_err(|error| chain(&error))?;
                Ok(Arc::new(apns))
            }
            Channel::Webpush => {
                let credentials: webpush::Credentials =
                    serde_json::from_str(&text).map_err(|error| error.to_string())?;
                let webpush = WebPush::new(&credentials, &self.browsers()?).map_err(|error| chain(&error))?;
                Ok(Arc::new(webpush))
            }
            Channel::Fcm => {
                let credentials: fcm::Credentials = serde_json::from_str(&text).map_err(|error| error.to_string())?;
                let fcm = Fcm::new(&credentials, &self.projects).map_err(|error| chain(&error))?;
                Ok(Arc::new(fcm))
            }
            other => Err(format!("this program has no channel {other}")),
        }
    }
}
