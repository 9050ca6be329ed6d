//! Signer: the token that authenticates an app's team, made anew before it is too old.
//!
//! Apple takes a token for an hour, and no new one sooner than 20 minutes after the last, counted for the whole team. So all
//! apps and connections that use a key share one signer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use http::HeaderValue;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Characters of a key's id and of a team's, as Apple issues them.
const ID_CHARS: usize = 10;

/// How old a token grows. Apple refuses one of an hour.
const RENEWED_AFTER: Duration = Duration::from_secs(50 * 60);

/// How old one grows whose successor Apple does not take yet.
const USED_FOR: Duration = Duration::from_secs(58 * 60);

/// How young a token is not replaced, even if Apple says that it is too old: a clock is wrong then. Apple refuses a new
/// one within 20 minutes.
const NOT_RENEWED_WITHIN: Duration = Duration::from_secs(20 * 60);

/// A clock that goes back by less than this is put right, and the token is as good as new. By more: it was wrong when the
/// token was made.
const PUT_RIGHT: Duration = Duration::from_secs(10 * 60);

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadKey {
    /// The key is not one that Apple issues.
    #[error("the key is no PKCS #8 key of P-256 in PEM: give the AuthKey_….p8 file as Apple issued it")]
    Key,
    /// An id has not its length.
    #[error("{0} is not {ID_CHARS} letters and digits: Apple shows it beside the key")]
    Id(&'static str),
}

/// A key of a team, as Apple issues it.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TeamKey {
    /// The key that signs, PEM, as in the .p8 file.
    pub key: String,
    /// The id of the key.
    pub key_id: String,
    /// The id of the team.
    pub team_id: String,
}

/// The key itself stays out of logs and error texts.
impl std::fmt::Debug for TeamKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { key_id, team_id, .. } = self;
        f.debug_struct("TeamKey").field("key_id", key_id).field("team_id", team_id).finish_non_exhaustive()
    }
}

impl TeamKey {
    /// Checks it as far as that is possible without asking Apple.
    pub(super) fn check(&self) -> Result<(), BadKey> {
        for (what, id) in [("the key's id", &self.key_id), ("the team's id", &self.team_id)] {
            if id.len() != ID_CHARS || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return Err(BadKey::Id(what));
            }
        }
        Signer::new(self).map(drop)
    }
}

/// The signers in use, shared by whoever has the same key.
#[derive(Debug, Default)]
pub struct Signers(Mutex<HashMap<TeamKey, Weak<Signer>>>);

impl Signers {
    /// The signer of this key.
    pub(super) fn of(&self, key: &TeamKey) -> Result<Arc<Signer>, BadKey> {
        let mut signers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(signer) = signers.get(key).and_then(Weak::upgrade) {
            return Ok(signer);
        }
        let signer = Arc::new(Signer::new(key)?);
        signers.retain(|_, signer| signer.strong_count() > 0);
        signers.insert(key.clone(), Arc::downgrade(&signer));
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
    tokens: Mutex<Tokens>,
}

#[derive(Debug, Default)]
struct Tokens {
    newest: Option<Signed>,
    before: Option<Signed>,
    /// The newest is not taken yet: the one before is in use.
    keeps_before: bool,
}

#[derive(Debug)]
struct Signed {
    at: SystemTime,
    authorization: HeaderValue,
}

impl Signer {
    pub(super) fn new(of: &TeamKey) -> Result<Self, BadKey> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(of.key.as_bytes()).map_err(|_| BadKey::Key)?;
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_pkcs8_der(), &random)
            .map_err(|_| BadKey::Key)?;
        let header = BASE64URL.encode(json!({ "alg": "ES256", "kid": of.key_id }).to_string());
        Ok(Self { key, random, header, team_id: of.team_id.clone(), tokens: Mutex::default() })
    }

    /// The value of the `authorization` header now. The clock is asked when it is this call's turn: of two that want a token at
    /// once, the second finds the one that the first made. `None`: the system has no random numbers to sign with.
    pub(super) fn authorization(&self, clock: impl FnOnce() -> SystemTime) -> Option<HeaderValue> {
        let mut tokens = self.tokens();
        let now = clock();
        if let Some(signed) = tokens.in_use(now) {
            return Some(signed.authorization.clone());
        }
        let authorization = self.sign(now)?;
        let newest = Signed { at: now, authorization: authorization.clone() };
        tokens.before = tokens.newest.replace(newest);
        Some(authorization)
    }

    /// Apple refuses this token, as too old or as one too many. Answers whether the next one is another.
    ///
    /// One that is too old is replaced, unless it was made a short while ago. In place of one too many, because somebody else
    /// made one of late, the one before is used for as long as it is good, and the newest after it.
    pub(super) fn refused(&self, authorization: &HeaderValue, is_one_too_many: bool, now: SystemTime) -> bool {
        let mut tokens = self.tokens();
        match tokens.in_use(now) {
            Some(signed) if signed.authorization != *authorization => true,
            Some(_) if is_one_too_many => {
                let has_before = tokens.before.as_ref().is_some_and(|before| age(before.at, now) < USED_FOR);
                // Where it is the one before itself there is no other.
                has_before && !std::mem::replace(&mut tokens.keeps_before, true)
            }
            Some(signed) if age(signed.at, now) < NOT_RENEWED_WITHIN => false,
            _ => {
                if !std::mem::take(&mut tokens.keeps_before) {
                    tokens.newest = None;
                }
                tokens.before = None;
                true
            }
        }
    }

    fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
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

impl Tokens {
    /// The one that is good now.
    fn in_use(&mut self, now: SystemTime) -> Option<&Signed> {
        let is_before_good = self.before.as_ref().is_some_and(|before| age(before.at, now) < USED_FOR);
        self.keeps_before &= is_before_good;
        match self.keeps_before {
            true => self.before.as_ref(),
            false => self.newest.as_ref().filter(|newest| age(newest.at, now) < RENEWED_AFTER),
        }
    }
}

/// How long ago a moment was; long, where the clock was set back by more than what puts it right.
fn age(at: SystemTime, now: SystemTime) -> Duration {
    now.duration_since(at).unwrap_or_else(|back| match back.duration() < PUT_RIGHT {
        true => Duration::ZERO,
        false => Duration::MAX,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apns::sim::Team;
    use crate::apns::tests::team_key;

    #[test]
    fn a_token_is_used_for_fifty_minutes_and_then_made_anew() {
        let signer = Signer::new(&team_key()).unwrap();
        let begin = SystemTime::now();
        let at = |minutes: u64| signer.authorization(|| begin + Duration::from_secs(60 * minutes)).unwrap();
        let first = at(0);
        assert_eq!(at(49), first);
        let second = at(51);
        assert_ne!(second, first);
        assert_eq!(at(60), second);
        assert_eq!(at(42), second, "a clock that is put right makes no other");
        assert_ne!(at(0), second, "a clock that was set back does not keep it for longer");
    }

    #[test]
    fn of_calls_at_the_same_moment_one_makes_the_token_whatever_the_clock_does() {
        let (signer, begin) = (Signer::new(&team_key()).unwrap(), SystemTime::now());
        let tokens: Vec<_> = std::thread::scope(|scope| {
            let clock = |n: u64| begin - Duration::from_micros(n);
            let calls: Vec<_> = (0..8)
                .map(|n| {
                    scope.spawn({
                        let signer = &signer;
                        move || signer.authorization(|| clock(n))
                    })
                })
                .collect();
            calls.into_iter().map(|call| call.join().unwrap().unwrap()).collect()
        });
        assert!(tokens.iter().all(|token| *token == tokens[0]));
    }

    #[test]
    fn in_place_of_one_too_many_the_one_before_is_used_until_it_is_too_old() {
        let signer = Signer::new(&team_key()).unwrap();
        let begin = SystemTime::now();
        let minute = |minutes: u64| begin + Duration::from_secs(60 * minutes);
        let at = |minutes: u64| signer.authorization(|| minute(minutes)).unwrap();
        let first = at(0);
        assert!(!signer.refused(&first, true, minute(1)), "there is none before");
        assert_eq!(at(2), first, "and no other is made");
        let second = at(51);
        assert!(signer.refused(&second, true, minute(51)));
        assert_eq!([at(51), at(57)], [first.clone(), first.clone()]);
        assert!(signer.refused(&second, true, minute(52)), "another batch had it, and has the first now, too");
        assert!(!signer.refused(&first, true, minute(53)), "both are");
        assert_eq!([at(58), at(100)], [second.clone(), second], "it is not made anew");
    }

    #[test]
    fn a_token_that_is_refused_as_too_old_is_replaced_unless_it_is_new() {
        let signer = Signer::new(&team_key()).unwrap();
        let begin = SystemTime::now();
        let minute = |minutes: u64| begin + Duration::from_secs(60 * minutes);
        let first = signer.authorization(|| begin).unwrap();
        assert!(!signer.refused(&first, false, minute(19)));
        assert!(signer.refused(&first, false, minute(21)));
        let second = signer.authorization(|| minute(21)).unwrap();
        assert_ne!(second, first);
        assert!(signer.refused(&first, false, minute(21)), "another has replaced it already");
        assert_eq!(signer.authorization(|| minute(22)).unwrap(), second);
    }

    #[test]
    fn apps_with_the_same_key_share_a_signer_and_apple_takes_what_it_signs() {
        let (signers, key) = (Signers::default(), team_key());
        let signer = signers.of(&key).unwrap();
        assert!(Arc::ptr_eq(&signer, &signers.of(&key.clone()).unwrap()));
        let other_team = TeamKey { team_id: "0000000000".into(), ..key.clone() };
        assert!(!Arc::ptr_eq(&signer, &signers.of(&other_team).unwrap()));
        let team = Team::new(&key).unwrap();
        let token = |of: &Signer| of.authorization(SystemTime::now).unwrap();
        assert_eq!(team.check(token(&signer).to_str().unwrap()), Ok(()));
        let wrong = signers.of(&other_team).unwrap();
        assert_eq!(team.check(token(&wrong).to_str().unwrap()), Err("InvalidProviderToken"));
        let old = signer.sign(SystemTime::now() - Duration::from_secs(3_700)).unwrap();
        assert_eq!(team.check(old.to_str().unwrap()), Err("ExpiredProviderToken"));
    }
}
