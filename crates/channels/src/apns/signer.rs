//! Signer: the token that authenticates an app's team, made anew before it is too old.
//!
//! Apple takes a token for an hour, and no new one sooner than 20 minutes after the last, counted for the whole team. So all
//! apps and connections that use a key share one signer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use http::HeaderValue;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;

use super::credentials::{BadCredentials, Credentials};

/// How old a token grows. Apple refuses one of an hour.
const RENEWED_AFTER: Duration = Duration::from_secs(50 * 60);

/// How young a token is not replaced, even if Apple says that it is too old: a clock is wrong then. Apple refuses a new
/// one within 20 minutes.
const NOT_RENEWED_WITHIN: Duration = Duration::from_secs(20 * 60);

/// The signers in use, shared by whoever has the same key.
#[derive(Debug, Default)]
pub struct Signers(Mutex<HashMap<[String; 3], Weak<Signer>>>);

impl Signers {
    /// The signer of this key.
    pub(super) fn of(&self, credentials: &Credentials) -> Result<Arc<Signer>, BadCredentials> {
        let key = [credentials.team_id.clone(), credentials.key_id.clone(), credentials.key.clone()];
        let mut signers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(signer) = signers.get(&key).and_then(Weak::upgrade) {
            return Ok(signer);
        }
        let signer = Arc::new(Signer::new(credentials)?);
        signers.retain(|_, signer| signer.strong_count() > 0);
        signers.insert(key, Arc::downgrade(&signer));
        Ok(signer)
    }
}

/// Signs for one team.
#[derive(Debug)]
pub(super) struct Signer {
    key: EcdsaKeyPair,
    random: SystemRandom,
    header: String,
    team_id: String,
    current: Mutex<Option<Signed>>,
}

#[derive(Debug)]
struct Signed {
    at: SystemTime,
    authorization: HeaderValue,
}

impl Signer {
    pub(super) fn new(credentials: &Credentials) -> Result<Self, BadCredentials> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(credentials.key.as_bytes()).map_err(|_| BadCredentials::Key)?;
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_pkcs8_der(), &random)
            .map_err(|_| BadCredentials::Key)?;
        let header = BASE64URL.encode(json!({ "alg": "ES256", "kid": credentials.key_id }).to_string());
        Ok(Self { key, random, header, team_id: credentials.team_id.clone(), current: Mutex::default() })
    }

    /// The value of the `authorization` header now. `None`: the system has no random numbers to sign with.
    pub(super) fn authorization(&self, now: SystemTime) -> Option<HeaderValue> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(signed) = current.as_ref()
            && age(signed.at, now) < RENEWED_AFTER
        {
            return Some(signed.authorization.clone());
        }
        let authorization = self.sign(now)?;
        *current = Some(Signed { at: now, authorization: authorization.clone() });
        Some(authorization)
    }

    /// Apple says that this token is too old: the next one is another, unless it was made a short while ago. Answers whether
    /// it will be.
    pub(super) fn refused(&self, authorization: &HeaderValue, now: SystemTime) -> bool {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        match current.as_ref() {
            Some(signed) if signed.authorization != *authorization => true,
            Some(signed) if age(signed.at, now) < NOT_RENEWED_WITHIN => false,
            _ => {
                *current = None;
                true
            }
        }
    }

    fn sign(&self, now: SystemTime) -> Option<HeaderValue> {
        let issued = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let claims = BASE64URL.encode(json!({ "iss": self.team_id, "iat": issued }).to_string());
        let signed = format!("{}.{claims}", self.header);
        let signature = self.key.sign(&self.random, signed.as_bytes()).ok()?;
        let mut value =
            HeaderValue::try_from(format!("bearer {signed}.{}", BASE64URL.encode(signature.as_ref()))).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// How long ago a moment was; long, where the clock was set back since.
fn age(at: SystemTime, now: SystemTime) -> Duration {
    now.duration_since(at).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apns::sim::Team;

    fn credentials() -> Credentials {
        crate::apns::tests::credentials("http://127.0.0.1:1")
    }

    #[test]
    fn a_token_is_used_for_fifty_minutes_and_then_made_anew() {
        let signer = Signer::new(&credentials()).unwrap();
        let begin = SystemTime::now();
        let at = |minutes: u64| signer.authorization(begin + Duration::from_secs(60 * minutes)).unwrap();
        let first = at(0);
        assert_eq!(at(49), first);
        let second = at(51);
        assert_ne!(second, first);
        assert_eq!(at(60), second);
        assert_ne!(at(0), second, "a clock that was set back does not keep it for longer");
    }

    #[test]
    fn a_token_that_is_refused_as_too_old_is_replaced_unless_it_is_new() {
        let signer = Signer::new(&credentials()).unwrap();
        let begin = SystemTime::now();
        let first = signer.authorization(begin).unwrap();
        assert!(!signer.refused(&first, begin + Duration::from_secs(19 * 60)));
        assert!(signer.refused(&first, begin + Duration::from_secs(21 * 60)));
        let second = signer.authorization(begin + Duration::from_secs(21 * 60)).unwrap();
        assert_ne!(second, first);
        assert!(signer.refused(&first, begin + Duration::from_secs(21 * 60)), "another has replaced it already");
        assert_eq!(signer.authorization(begin + Duration::from_secs(22 * 60)).unwrap(), second);
    }

    #[test]
    fn apps_with_the_same_key_share_a_signer_and_apple_takes_what_it_signs() {
        let (signers, credentials) = (Signers::default(), credentials());
        let signer = signers.of(&credentials).unwrap();
        let other_topic = Credentials { topic: "com.example.other".into(), ..credentials.clone() };
        assert!(Arc::ptr_eq(&signer, &signers.of(&other_topic).unwrap()));
        let other_team = Credentials { team_id: "0000000000".into(), ..credentials.clone() };
        assert!(!Arc::ptr_eq(&signer, &signers.of(&other_team).unwrap()));
        let team = Team::new(&credentials.key, &credentials.key_id, &credentials.team_id).unwrap();
        let token = |of: &Signer| of.authorization(SystemTime::now()).unwrap();
        assert_eq!(team.check(token(&signer).to_str().unwrap()), Ok(()));
        let wrong = signers.of(&other_team).unwrap();
        assert_eq!(team.check(token(&wrong).to_str().unwrap()), Err("InvalidProviderToken"));
        let old = signer.sign(SystemTime::now() - Duration::from_secs(3_700)).unwrap();
        assert_eq!(team.check(old.to_str().unwrap()), Err("ExpiredProviderToken"));
    }
}
