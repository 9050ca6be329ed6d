//! Credentials: what an app has of Apple's, as it is kept.

use pigeonloft_model::Environment;
use serde::{Deserialize, Serialize};

use super::signer::Signer;
use crate::http2::{Endpoint, NotAnEndpoint};

/// Apple's hosts.
const PRODUCT: &str = "https://api.push.apple.com";
const DEV: &str = "https://api.sandbox.push.apple.com";

/// Characters of a key's id and of a team's, as Apple issues them.
const ID_CHARS: usize = 10;

/// Why credentials cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadCredentials {
    /// The key is not one that Apple issues.
    #[error("the key is no PKCS #8 key of P-256 in PEM: give the AuthKey_….p8 file as Apple issued it")]
    Key,
    /// An id has not its length.
    #[error("{0} is not {ID_CHARS} letters and digits: Apple shows it beside the key")]
    Id(&'static str),
    /// The topic is none.
    #[error("the topic is empty or has blanks: give the app's bundle id, such as com.example.shop")]
    Topic,
    /// The address is none.
    #[error(transparent)]
    Endpoint(#[from] NotAnEndpoint),
}

/// The credentials of an app with APNs: a key of its team, and the topic.
///
/// Serialized, they are what is kept, sealed: members are added with a default, never renamed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// The key that signs, PEM, as in the .p8 file.
    pub key: String,
    /// The id of the key.
    pub key_id: String,
    /// The id of the team.
    pub team_id: String,
    /// The bundle id of the app, for devices that name none of their own.
    pub topic: String,
    /// Where to send instead of to Apple, in both environments: for tests, or through a relay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// A certificate to trust there, PEM, instead of the public authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted: Option<String>,
}

/// The key stays out of logs and error texts.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("key_id", &self.key_id)
            .field("team_id", &self.team_id)
            .field("topic", &self.topic)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// Checks them as far as that is possible without asking Apple.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check(&self) -> Result<(), BadCredentials> {
        for (what, id) in [("the key's id", &self.key_id), ("the team's id", &self.team_id)] {
            if id.len() != ID_CHARS || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return Err(BadCredentials::Id(what));
            }
        }
        if !is_topic(&self.topic) {
            return Err(BadCredentials::Topic);
        }
        Signer::new(self)?;
        self.endpoint(Environment::Product)?;
        Ok(())
    }

    /// Where the messages to devices of an environment go.
    pub(super) fn endpoint(&self, environment: Environment) -> Result<Endpoint, NotAnEndpoint> {
        let apple = match environment {
            Environment::Product => PRODUCT,
            Environment::Dev => DEV,
        };
        Endpoint::new(self.url.as_deref().unwrap_or(apple), self.trusted.as_deref())
    }
}

/// Whether a text can be a topic, which travels in a header.
pub(super) fn is_topic(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}
