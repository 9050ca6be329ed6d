//! Credentials: what an app has of Google's, as it is kept: a service account, which signs for itself.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use http::uri::PathAndQuery;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::http2::{Endpoint, NotAnEndpoint, Trust};

/// Google's host.
const GOOGLE: &str = "https://fcm.googleapis.com";

/// What an access token is asked for: to send messages, and nothing else.
pub(super) const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";

/// Seconds that an assertion is good for, the longest that Google takes.
pub(super) const ASSERTION_SECONDS: i64 = 3_600;

/// Why credentials cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadCredentials {
    /// It is not the JSON it should be.
    #[error(
        "it is no service account's file ({0}): download one in the Firebase console, project settings, service accounts"
    )]
    NotAServiceAccount(#[source] serde_json::Error),
    /// It is of something else that Google hands out.
    #[error(
        "its type is {0:?} and not \"service_account\": download one in the Firebase console, project settings, service accounts"
    )]
    OtherType(String),
    /// The project's name would not fit in a path.
    #[error("its project_id is {0:?}, which is none: use the file as it was downloaded")]
    Project(String),
    /// Its key cannot be used.
    #[error("its private_key is no RSA key in PKCS #8, as PEM: use the file as it was downloaded")]
    Key,
    /// An address is none.
    #[error(transparent)]
    Endpoint(#[from] NotAnEndpoint),
}

/// The credentials of an app with FCM.
///
/// Serialized, they are what is kept, sealed: members are added with a default, never renamed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// The service account's file, as Google hands it out.
    pub service_account: String,
    /// Where to send instead of to Google: for tests, or through a relay. Where access tokens are fetched, the file says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// A certificate to trust there, PEM, instead of the public authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted: Option<String>,
    /// Messages that the project may send in a minute; `None`: what Google gives a project at first, 600,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages_per_minute: Option<u32>,
}

/// The key stays out of logs and error texts.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Credentials {
    /// Checks them as far as that is possible without asking Google.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check(&self) -> Result<(), BadCredentials> {
        let account = self.account()?;
        self.endpoint()?;
        self.token_endpoint(&account)?;
        Ok(())
    }

    /// The project, and the account that sends for it: what of them is no secret.
    ///
    /// # Errors
    /// The file is none.
    pub fn names(&self) -> Result<(String, String), BadCredentials> {
        let ServiceAccount { project_id, client_email, .. } = self.account()?;
        Ok((project_id, client_email))
    }

    pub(super) fn account(&self) -> Result<ServiceAccount, BadCredentials> {
        ServiceAccount::parse(self.service_account.as_bytes())
    }

    /// Where messages go.
    pub(super) fn endpoint(&self) -> Result<Endpoint, NotAnEndpoint> {
        Endpoint::new(self.url.as_deref().unwrap_or(GOOGLE), self.trust())
    }

    /// Where access tokens are fetched.
    pub(super) fn token_endpoint(&self, account: &ServiceAccount) -> Result<(Endpoint, PathAndQuery), NotAnEndpoint> {
        Endpoint::and_path(&account.token_uri, self.trust())
    }

    fn trust(&self) -> Trust<'_> {
        Trust { trusted: self.trusted.as_deref(), shown: None }
    }
}

/// A service account of a Firebase project.
pub(super) struct ServiceAccount {
    /// The project that messages are sent for.
    pub(super) project_id: String,
    /// Where access tokens are fetched.
    pub(super) token_uri: String,
    client_email: String,
    key_id: String,
    key: RsaKeyPair,
}

/// The members of the file that count. Whatever else is in it is not looked at.
#[derive(Deserialize)]
struct File {
    #[serde(rename = "type")]
    kind: String,
    project_id: String,
    private_key_id: String,
    private_key: String,
    client_email: String,
    token_uri: String,
}

impl ServiceAccount {
    pub(super) fn parse(file: &[u8]) -> Result<Self, BadCredentials> {
        let file: File = serde_json::from_slice(file).map_err(BadCredentials::NotAServiceAccount)?;
        if file.kind != "service_account" {
            return Err(BadCredentials::OtherType(file.kind));
        }
        let fits = |letter: char| letter.is_ascii_alphanumeric() || "-.:".contains(letter);
        if file.project_id.is_empty() || !file.project_id.chars().all(fits) {
            return Err(BadCredentials::Project(file.project_id));
        }
        let der = PrivatePkcs8KeyDer::from_pem_slice(file.private_key.as_bytes()).map_err(|_| BadCredentials::Key)?;
        let key = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| BadCredentials::Key)?;
        Ok(Self {
            project_id: file.project_id,
            token_uri: file.token_uri,
            client_email: file.client_email,
            key_id: file.private_key_id,
            key,
        })
    }

    /// The public half of its key, in PKCS #1: what its assertions are checked with.
    pub(super) fn public_key(&self) -> &[u8] {
        self.key.public().as_ref()
    }

    /// A JWT that asks for an access token, signed at `now` (unix seconds). `None`: the system has no random numbers to
    /// sign with.
    pub(super) fn assertion(&self, now: i64) -> Option<String> {
        let header = json!({ "alg": "RS256", "typ": "JWT", "kid": self.key_id });
        let claims = json!({
            "iss": self.client_email,
            "scope": SCOPE,
            "aud": self.token_uri,
            "iat": now,
            "exp": now + ASSERTION_SECONDS,
        });
        let part = |value: &Value| BASE64URL.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).ok()?;
        Some(format!("{signed}.{}", BASE64URL.encode(signature)))
    }
}

/// The key stays out of logs.
impl std::fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServiceAccount")
            .field("project_id", &self.project_id)
            .field("client_email", &self.client_email)
            .finish_non_exhaustive()
    }
}
