//! `apns`, Apple's channel: a POST over HTTP/2 for each message, over a few connections that stay open.
//!
//! [`Credentials`] are what an app has of Apple's; [`payload`] makes the bytes and headers of a push; [`signer`] the token
//! that goes with them; [`verdict`] reads the answers. [`sim`] is the other side, for whoever has no
//! account with Apple: tests, and developers.
//!
//! A message that is sent again replaces the first on the device, for both carry the push's `apns-collapse-id`.

mod credentials;
mod payload;
mod signer;
pub mod sim;
mod verdict;

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};
use pigeonloft_model::attribute::Values;
use pigeonloft_model::{Code, Environment, Verdict};

pub use crate::http2::NotAnEndpoint;
pub use credentials::{BadCredentials, Credentials};
pub use signer::Signers;

use crate::http2::{Answer, Authorized, Client, Concerns, Speaks};
use crate::vendor::{Opened, Outgoing, Target, Vendor};
use payload::Payload;
use signer::Signer;

/// Characters of a device's token; Apple's have 64 today.
const TOKEN_CHARS: std::ops::RangeInclusive<usize> = 1..=200;

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
        let Self { apns, environment, payload } = self;
        let client = apns.client(*environment);
        Box::pin(async move { client.send(&Sending { client, signer: &apns.signer, payload, values }, targets).await })
    }
}

/// A batch of a push.
struct Sending<'a> {
    client: &'a Client,
    signer: &'a Signer,
    payload: &'a Payload,
    values: &'a Values,
}

impl Speaks for Sending<'_> {
    async fn authorization(&self) -> Result<HeaderValue, Verdict> {
        let authorization = self.signer.authorization(SystemTime::now);
        authorization.ok_or_else(|| Verdict::Configuration("no random numbers".into()))
    }

    fn refused(&self, authorization: &HeaderValue, code: Code) -> Result<(), Verdict> {
        let is_one_too_many = code == verdict::TOO_MANY_TOKENS;
        match self.signer.refused(authorization, is_one_too_many, SystemTime::now()) {
            true => Ok(()),
            false => Err(Verdict::Later { code, after: None }),
        }
    }

    fn request(&self, authorization: &HeaderValue, target: &Target) -> Result<(Request<()>, Bytes), Verdict> {
        let token = &target.token;
        if !TOKEN_CHARS.contains(&token.len()) || !token.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Verdict::Refused("token is not hexadecimal".into()));
        }
        let body = self.payload.body(target, self.values)?;
        let mut headers = self.payload.headers(target).ok_or_else(|| Verdict::Configuration("BadTopic".into()))?;
        headers.insert(AUTHORIZATION, authorization.clone());
        let request = self.client.endpoint().post(&format!("/3/device/{token}"), headers);
        Ok((request.ok_or_else(|| Verdict::Refused("not a request".into()))?, body))
    }

    fn read(&self, answer: &Answer) -> Authorized {
        verdict::read(answer.status, &answer.body, answer.after)
    }

    fn concerns(&self, code: &str) -> Concerns {
        if code == verdict::TOO_MANY_FOR_DEVICE { Concerns::Device } else { Concerns::Vendor }
    }

    fn ends_connection(&self, code: &str) -> bool {
        code == verdict::SHUTDOWN
    }
}

#[cfg(test)]
pub(crate) mod tests;
