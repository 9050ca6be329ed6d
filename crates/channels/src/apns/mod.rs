//! `apns`, Apple's channel: a POST over HTTP/2 for each message, over a few connections that stay open.
//!
//! [`Credentials`] are what an app has of Apple's, a key or a [`certificate`], whose end [`expiry`] looks at; [`payload`] makes the
//! bytes and headers of a push; [`signer`] the token that goes with them; [`verdict`] reads the answers. [`sim`] is the other side,
//! for whoever has no account with Apple: tests, and developers.
//!
//! A message that is sent again replaces the first on the device, for both carry the push's `apns-collapse-id`.

mod certificate;
mod credentials;
mod expiry;
mod payload;
mod signer;
pub mod sim;
mod verdict;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};
use pigeonloft_model::attribute::Values;
use pigeonloft_model::{Code, Environment, Verdict};

pub use crate::http2::NotAnEndpoint;
pub use certificate::{BadCertificate, Certificate, ENDS_SOON_S};
pub use credentials::{BadCredentials, Credentials, Identity};
pub use signer::{BadKey, Signers, TeamKey};

use crate::http2::{Answer, Authorized, Client, Concerns, Speaks};
use crate::vendor::{Opened, Outgoing, Target, Vendor};
use expiry::Expiry;
use payload::Payload;
use signer::Signer;

/// Characters of a device's token; Apple's have 64 today.
const TOKEN_CHARS: std::ops::RangeInclusive<usize> = 1..=200;

/// What tells Apple who we are.
#[derive(Debug)]
enum Proof {
    /// The token that goes with each message.
    Token(Arc<Signer>),
    /// The certificate of the connections.
    Certificate(Expiry),
}

/// Apple's channel of one app, both of its environments.
#[derive(Debug)]
pub struct Apns {
    topic: String,
    proof: Proof,
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
            proof: match &credentials.identity {
                Identity::Key(key) => Proof::Token(signers.of(key)?),
                Identity::Certificate { certificate } => Proof::Certificate(Expiry::new(certificate.clone())),
            },
            product: client(Environment::Product)?,
            dev: client(Environment::Dev)?,
        })
    }

    fn signer(&self) -> Option<&Signer> {
        match &self.proof {
            Proof::Token(signer) => Some(signer),
            Proof::Certificate(_) => None,
        }
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
        if let Proof::Certificate(expiry) = &self.proof {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().cast_signed();
            expiry.look(now, &self.topic)?;
        }
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
        Box::pin(async move { client.send(&Sending { client, signer: apns.signer(), payload, values }, targets).await })
    }
}

/// A batch of a push.
struct Sending<'a> {
    client: &'a Client,
    /// None where the connection is known by its certificate.
    signer: Option<&'a Signer>,
    payload: &'a Payload,
    values: &'a Values,
}

impl Speaks for Sending<'_> {
    async fn authorization(&self) -> Result<Option<HeaderValue>, Verdict> {
        let Some(signer) = self.signer else { return Ok(None) };
        let authorization = signer.authorization(SystemTime::now);
        authorization.map(Some).ok_or_else(|| Verdict::Configuration("no random numbers".into()))
    }

    fn refused(&self, authorization: &HeaderValue, code: Code) -> Result<(), Verdict> {
        let is_one_too_many = code == verdict::TOO_MANY_TOKENS;
        let refused = |signer: &Signer| signer.refused(authorization, is_one_too_many, SystemTime::now());
        match self.signer.is_some_and(refused) {
            true => Ok(()),
            false => Err(Verdict::Later { code, after: None }),
        }
    }

    fn request(&self, authorization: Option<&HeaderValue>, target: &Target) -> Result<(Request<()>, Bytes), Verdict> {
        let token = &target.token;
        if !TOKEN_CHARS.contains(&token.len()) || !token.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Verdict::Refused("token is not hexadecimal".into()));
        }
        let body = self.payload.body(target, self.values)?;
        let mut headers = self.payload.headers(target).ok_or_else(|| Verdict::Configuration("BadTopic".into()))?;
        headers.extend(authorization.map(|authorization| (AUTHORIZATION, authorization.clone())));
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
