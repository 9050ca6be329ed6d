//! Credentials: what an app has of Apple's, as it is kept.

use std::borrow::Cow;

use pigeonloft_model::Environment;
use serde::{Deserialize, Serialize};

use super::certificate::{BadCertificate, Certificate};
use super::signer::{BadKey, TeamKey};
use crate::http2::{Endpoint, NotAnEndpoint, Trust};

/// Apple's hosts.
const PRODUCT: &str = "https://api.push.apple.com";
const DEV: &str = "https://api.sandbox.push.apple.com";

/// Why credentials cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadCredentials {
    /// The key, or its ids.
    #[error(transparent)]
    Key(#[from] BadKey),
    /// The certificate.
    #[error(transparent)]
    Certificate(#[from] BadCertificate),
    /// The topic is none.
    #[error("the topic is empty or has blanks: give the app's bundle id, such as com.example.shop")]
    Topic,
    /// The address is none.
    #[error(transparent)]
    Endpoint(#[from] NotAnEndpoint),
    /// Without TLS nobody sees the certificate.
    #[error("a certificate is shown by TLS alone: give an address that begins with https://")]
    Plain,
}

/// Who an app is to Apple.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Identity {
    /// Of a team: a token that its key signed goes with each message.
    Key(TeamKey),
    /// Whom the certificate of the connection says.
    Certificate {
        /// The certificate.
        certificate: Certificate,
    },
}

/// The credentials of an app with APNs: who it is, and the topic.
///
/// Serialized, they are what is kept, sealed: members are added with a default, never renamed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// Who the app is.
    #[serde(flatten)]
    pub identity: Identity,
    /// The bundle id of the app, for devices that name none of their own.
    pub topic: String,
    /// Where to send instead of to Apple, in both environments unless `sandbox_url` says otherwise: for tests, or through a relay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Where to send what is for devices of [`Environment::Dev`], if that is another place than `url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox_url: Option<String>,
    /// The port of Apple's hosts; `None`: 443.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// A certificate to trust there, PEM, instead of the public authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted: Option<String>,
}

impl Credentials {
    /// Checks them as far as that is possible without asking Apple. `now`: unix seconds.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check(&self, now: i64) -> Result<(), BadCredentials> {
        match &self.identity {
            Identity::Key(key) => key.check()?,
            Identity::Certificate { certificate } => {
                certificate.check(now)?;
                if [&self.url, &self.sandbox_url].into_iter().flatten().any(|url| url.starts_with("http:")) {
                    return Err(BadCredentials::Plain);
                }
            }
        }
        if !is_topic(&self.topic) {
            return Err(BadCredentials::Topic);
        }
        self.endpoint(Environment::Product)?;
        self.endpoint(Environment::Dev)?;
        Ok(())
    }

    /// Where the messages to devices of an environment go.
    pub(super) fn endpoint(&self, environment: Environment) -> Result<Endpoint, NotAnEndpoint> {
        let (apple, url) = match environment {
            Environment::Product => (PRODUCT, self.url.as_deref()),
            Environment::Dev => (DEV, self.sandbox_url.as_deref().or(self.url.as_deref())),
        };
        let url = match (url, self.port) {
            (Some(url), _) => Cow::Borrowed(url),
            (None, Some(port)) => Cow::Owned(format!("{apple}:{port}")),
            (None, None) => Cow::Borrowed(apple),
        };
        let shown = match &self.identity {
            Identity::Key(_) => None,
            Identity::Certificate { certificate } => Some(certificate.shown()),
        };
        Endpoint::new(&url, Trust { trusted: self.trusted.as_deref(), shown })
    }
}

/// Whether a text can be a topic, which travels in a header.
pub(super) fn is_topic(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apns::tests::{credentials, team_key};

    #[test]
    fn each_environment_has_its_host() {
        let of = |url: Option<&str>, sandbox_url: Option<&str>, port| {
            let [url, sandbox_url] = [url, sandbox_url].map(|url| url.map(ToOwned::to_owned));
            let credentials = Credentials { url, sandbox_url, port, ..credentials(team_key(), None) };
            let at = |environment| format!("{:?}", credentials.endpoint(environment).unwrap());
            [at(Environment::Product), at(Environment::Dev)]
        };
        assert_eq!(of(None, None, None), ["https://api.push.apple.com", "https://api.sandbox.push.apple.com"]);
        let other_port = ["https://api.push.apple.com:2197", "https://api.sandbox.push.apple.com:2197"];
        assert_eq!(of(None, None, Some(2_197)), other_port);
        let (here, there) = ("http://127.0.0.1:1", "http://127.0.0.1:2");
        assert_eq!(of(Some(here), None, None), [here, here]);
        assert_eq!(of(Some(here), Some(there), None), [here, there]);
    }
}
