//! Web Push: messages for browsers, through the push service that each browser names itself.
//!
//! ```text
//! push, subscriptions ── encrypt for each ── sign for its push service ── POST, many at once ── a verdict for each
//! ```
//!
//! RFC 8030 (the request), RFC 8291 (its encryption), RFC 8292 (who sends it). An endpoint is a stranger's: it is connected to
//! only where the public internet is, unless the operator permits more; it is followed nowhere else, and is not listened to
//! for long.
//!
//! A [`Target`]'s token is the endpoint of a subscription, its detail the [`Keys`] as JSON; a subscription as JSON may stand
//! for both.

mod address;
mod client;
mod connector;
mod credentials;
mod encryption;
mod origins;
mod payload;
pub mod sim;
mod subscription;
mod verdict;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use pigeonloft_model::Verdict;
use pigeonloft_model::attribute::Values;

pub use client::Client;
pub use credentials::{BadCredentials, Credentials};
pub use encryption::{BODY_MAX, PLAINTEXT_MAX};
pub use subscription::{BadSubscription, ENDPOINT_BYTES, Keys, Subscription};

use crate::vendor::{Opened, Outgoing, Target, Vendor};
use credentials::Signer;
use payload::Payload;

/// What endpoints may be beside what they are on the internet: for a push service of one's own, and for tests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Permits {
    /// Not only https.
    pub plain_http: bool,
    /// Also addresses that are not public: one's own machine, one's own network.
    pub private_addresses: bool,
}

/// The way to the browsers of one app.
#[derive(Debug)]
pub struct WebPush {
    signer: Signer,
    client: Arc<Client>,
}

impl WebPush {
    /// With these credentials; connections are those of all apps.
    ///
    /// # Errors
    /// The keys are no pair, or the subject is none.
    pub fn new(credentials: &Credentials, client: &Arc<Client>) -> Result<Self, BadCredentials> {
        Ok(Self { signer: Signer::new(credentials)?, client: client.clone() })
    }
}

impl Vendor for WebPush {
    fn open(self: Arc<Self>, push: &Outgoing<'_>) -> Result<Box<dyn Opened>, Verdict> {
        Ok(Box::new(OpenedWebPush { payload: Payload::new(push), webpush: self }))
    }
}

#[derive(Debug)]
struct OpenedWebPush {
    webpush: Arc<WebPush>,
    payload: Payload,
}

impl Opened for OpenedWebPush {
    fn origin(&self, target: &Target) -> String {
        subscription::origin_of(&target.token, target.detail.as_deref()).unwrap_or_default()
    }

    fn send<'a>(&'a self, targets: &'a [Target], values: &'a Values) -> BoxFuture<'a, Vec<Verdict>> {
        Box::pin(async move {
            let payload = self.payload.filled_from(values);
            self.webpush.client.send(&self.webpush.signer, &payload, targets).await
        })
    }
}
