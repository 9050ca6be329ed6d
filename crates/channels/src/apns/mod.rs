//! `apns`, Apple's channel: a POST over HTTP/2 for each message, over a few connections that stay open.
//!
//! [`Credentials`] are what an app has of Apple's; [`payload`] makes the bytes and headers of a push; [`client`] sends them,
//! as many at once as Apple's side allows; [`verdict`] reads the answers. [`sim`] is the other side, for whoever has no
//! account with Apple: tests, and developers.
//!
//! A message that is sent again replaces the first on the device, for both carry the push's `apns-collapse-id`.

mod client;
mod credentials;
mod payload;
mod signer;
pub mod sim;
mod verdict;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use pigeonloft_model::attribute::Values;
use pigeonloft_model::{Environment, Verdict};

pub use connection::NotAnEndpoint;
pub use credentials::{BadCredentials, Credentials};
pub use signer::Signers;

use crate::http2::connection;
use crate::vendor::{Opened, Outgoing, Target, Vendor};
use client::Client;
use payload::Payload;
use signer::Signer;

/// Apple's channel of one app, both of its environments.
#[derive(Debug)]
pub struct Apns {
    topic: String,
    signer: Arc<Signer>,
    product: Client,
    dev: Client,
}

impl Apns {
    /// With these credentials. Connects to nobody yet.
    ///
    /// # Errors
    /// The key is none, or the endpoint.
    pub fn new(credentials: &Credentials, signers: &Signers) -> Result<Self, BadCredentials> {
        let client = |environment| credentials.endpoint(environment).map(Client::new);
        Ok(Self {
            topic: credentials.topic.clone(),
            signer: signers.of(credentials)?,
            product: client(Environment::Product)?,
            dev: client(Environment::Dev)?,
        })
    }

    fn client(&self, environment: Environment) -> &Client {
        match environment {
            Environment::Product => &self.product,
            Environment::Dev => &self.dev,
        }
    }
}

impl Vendor for Apns {
    fn open(self: Arc<Self>, push: &Outgoing<'_>) -> Result<Box<dyn Opened>, Verdict> {
        let payload = Payload::new(push, &self.topic)?;
        Ok(Box::new(OpenedApns { environment: push.push.environment, apns: self, payload }))
    }
}

#[derive(Debug)]
struct OpenedApns {
    apns: Arc<Apns>,
    environment: Environment,
    payload: Payload,
}

impl Opened for OpenedApns {
    fn send<'a>(&'a self, targets: &'a [Target], values: &'a Values) -> BoxFuture<'a, Vec<Verdict>> {
        Box::pin(self.apns.client(self.environment).send(&self.payload, values, &self.apns.signer, targets))
    }
}
