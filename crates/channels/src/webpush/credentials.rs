//! Credentials: the key pair with which an app's server signs for push services (VAPID, RFC 8292).
//!
//! A subscription is bound to the public key it was made with: a new pair makes every subscription useless.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use http::HeaderValue;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::subscription::{BASE64, PUBLIC_KEY_BYTES};

/// How long a signature is good; RFC 8292 allows a day.
pub(super) const SIGNED_FOR_S: i64 = 12 * 3600;

/// A signature is used for so much of that.
const USED_FOR_S: i64 = SIGNED_FOR_S / 2;

/// Push services whose signatures are remembered; beyond it all are forgotten at once. There are a handful, and endpoints
/// are strangers'.
const REMEMBERED: usize = 1024;

/// Where the private and the public key stand in the PKCS #8 document that ring makes. That they fit each other is checked
/// whenever they are read.
const PRIVATE: std::ops::Range<usize> = 36..68;
const PUBLIC: std::ops::Range<usize> = 73..138;

/// Why keys cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCredentials {
    /// The keys are none, or no pair.
    #[error("the private key is not 32 bytes of P-256 in base64url, or not that of the public key (65 bytes)")]
    Keys,
    /// The subject is none.
    #[error("the subject is neither mailto:… nor https://…: push services write there when something is wrong")]
    Subject,
    /// No random numbers, or no memory.
    #[error("a signature could not be made")]
    Signing,
}

/// The keys as they are kept, and as published tools print them: base64url.
///
/// Serialized, they are what is kept, sealed: members are added with a default, never renamed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// 32 bytes.
    pub private_key: String,
    /// 65 bytes: what a browser is given as `applicationServerKey`.
    pub public_key: String,
    /// Whom a push service can write to, `mailto:` or `https:`.
    pub subject: String,
}

/// The keys of an app, ready to sign.
pub(super) struct Signer {
    pair: EcdsaKeyPair,
    public_key: String,
    subject: String,
    random: SystemRandom,
    /// By the origin of the push service, with the time until which each is used.
    signatures: Mutex<HashMap<String, (HeaderValue, i64)>>,
}

/// Secrets stay out of logs.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("public_key", &self.public_key).finish_non_exhaustive()
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("public_key", &self.public_key).finish_non_exhaustive()
    }
}

impl Credentials {
    /// A new pair.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn generate(subject: &str) -> Result<Self, BadCredentials> {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        let document = document.map_err(|_| BadCredentials::Signing)?;
        let part =
            |range| document.as_ref().get(range).map(|bytes: &[u8]| BASE64.encode(bytes)).ok_or(BadCredentials::Keys);
        Ok(Self { private_key: part(PRIVATE)?, public_key: part(PUBLIC)?, subject: subject.to_owned() })
    }

    /// Checks them.
    ///
    /// # Errors
    /// They are no pair, or the subject is none.
    pub fn check(&self) -> Result<(), BadCredentials> {
        Signer::new(self).map(drop)
    }
}

impl Signer {
    /// With these keys.
    ///
    /// # Errors
    /// They are no pair, or the subject is none.
    pub(super) fn new(stored: &Credentials) -> Result<Self, BadCredentials> {
        let bytes = |text: &str| BASE64.decode(text.trim()).map_err(|_| BadCredentials::Keys);
        let subject = stored.subject.trim();
        if !["mailto:", "https://"].iter().any(|scheme| subject.len() > scheme.len() && subject.starts_with(scheme)) {
            return Err(BadCredentials::Subject);
        }
        let (private, public) = (bytes(&stored.private_key)?, bytes(&stored.public_key)?);
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = EcdsaKeyPair::from_private_key_and_public_key(algorithm, &private, &public, &random);
        let pair = pair.map_err(|_| BadCredentials::Keys)?;
        debug_assert_eq!(pair.public_key().as_ref().len(), PUBLIC_KEY_BYTES);
        Ok(Self {
            public_key: BASE64.encode(&public),
            pair,
            subject: subject.to_owned(),
            random,
            signatures: Mutex::default(),
        })
    }

    /// The value of the `Authorization` header for the push service at this origin, made anew twice a day.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub(super) fn signature(&self, origin: &str, now: i64) -> Result<HeaderValue, BadCredentials> {
        let remembered = || self.signatures.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((value, until)) = remembered().get(origin)
            // Not one of a time to come either: the clock was wrong when it was made.
            && (*until - USED_FOR_S..*until).contains(&now)
        {
            return Ok(value.clone());
        }
        let mut value = HeaderValue::try_from(self.authorization(origin, now)?).map_err(|_| BadCredentials::Signing)?;
        value.set_sensitive(true);
        let mut remembered = remembered();
        if remembered.len() >= REMEMBERED {
            remembered.clear();
        }
        remembered.insert(origin.to_owned(), (value.clone(), now + USED_FOR_S));
        Ok(value)
    }

    fn authorization(&self, origin: &str, now: i64) -> Result<String, BadCredentials> {
        let head = BASE64.encode(r#"{"typ":"JWT","alg":"ES256"}"#);
        let claims = json!({ "aud": origin, "exp": now + SIGNED_FOR_S, "sub": self.subject }).to_string();
        let signed = format!("{head}.{}", BASE64.encode(claims));
        let signature = self.pair.sign(&self.random, signed.as_bytes()).map_err(|_| BadCredentials::Signing)?;
        Ok(format!("vapid t={signed}.{}, k={}", BASE64.encode(signature), self.public_key))
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    use super::*;

    #[test]
    fn new_keys_sign_what_their_public_key_verifies() {
        let stored = Credentials::generate("mailto:push@example.net").unwrap();
        let signer = Signer::new(&stored).unwrap();
        let header = signer.authorization("https://push.example.net", 1_700_000_000).unwrap();
        let (token, key) = header.strip_prefix("vapid t=").unwrap().split_once(", k=").unwrap();
        assert_eq!(key, stored.public_key);
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, BASE64.decode(key).unwrap());
        key.verify(signed.as_bytes(), &BASE64.decode(signature).unwrap()).unwrap();
        let claims = BASE64.decode(signed.split_once('.').unwrap().1).unwrap();
        assert_eq!(
            String::from_utf8(claims).unwrap(),
            r#"{"aud":"https://push.example.net","exp":1700043200,"sub":"mailto:push@example.net"}"#
        );
    }

    #[test]
    fn keys_that_are_no_pair_and_subjects_that_reach_nobody_are_refused() {
        let one = Credentials::generate("mailto:push@example.net").unwrap();
        let other = Credentials::generate("mailto:push@example.net").unwrap();
        let mixed = Credentials { public_key: other.public_key, ..one.clone() };
        assert_eq!(Signer::new(&mixed).unwrap_err(), BadCredentials::Keys);
        for subject in ["", "mailto:", "push@example.net", "http://example.net"] {
            let stored = Credentials { subject: subject.into(), ..one.clone() };
            assert_eq!(Signer::new(&stored).unwrap_err(), BadCredentials::Subject, "{subject}");
        }
        assert!(!format!("{one:?}").contains(&one.private_key));
    }
}
