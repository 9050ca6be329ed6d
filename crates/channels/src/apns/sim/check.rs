//! Check: whether a request is one that Apple would take.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use http::request::Parts;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;

use super::Reply;
use crate::apns::signer::{BadKey, TeamKey};

/// The oldest token that Apple takes.
pub(super) const OLDEST: Duration = Duration::from_secs(3_600);

/// A team, as Apple knows it: by the public half of its key.
#[derive(Debug, Clone)]
pub struct Team {
    public: Vec<u8>,
    key_id: String,
    team_id: String,
}

impl Team {
    /// With this key.
    ///
    /// # Errors
    /// It is no key.
    pub fn new(of: &TeamKey) -> Result<Self, BadKey> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(of.key.as_bytes()).map_err(|_| BadKey::Key)?;
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_pkcs8_der(), &SystemRandom::new())
                .map_err(|_| BadKey::Key)?;
        let public = pair.public_key().as_ref().to_vec();
        Ok(Self { public, key_id: of.key_id.clone(), team_id: of.team_id.clone() })
    }

    /// Whether a token is this team's and of now; the reason Apple gives, if not.
    pub(in crate::apns) fn check(&self, authorization: &str) -> Result<(), &'static str> {
        let token = ProviderToken::of(authorization).ok_or(INVALID)?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.public)
            .verify(token.signed.as_bytes(), &token.signature)
            .map_err(|_| INVALID)?;
        if token.header["kid"] != *self.key_id || token.claims["iss"] != *self.team_id {
            return Err(INVALID);
        }
        token.check_age()
    }
}

/// Whether a token is one of whichever team, and of now; the reason Apple gives, if not. Its signature is not looked at.
pub(super) fn of_any_team(authorization: &str) -> Result<(), &'static str> {
    let token = ProviderToken::of(authorization).ok_or(INVALID)?;
    let names = |text: &Value| text.as_str().is_some_and(|text| !text.is_empty());
    if token.signature.len() != SIGNATURE_BYTES || !names(&token.header["kid"]) || !names(&token.claims["iss"]) {
        return Err(INVALID);
    }
    token.check_age()
}

/// The reason with which Apple refuses a token that is none of the team's.
const INVALID: &str = "InvalidProviderToken";

/// Bytes of a signature.
const SIGNATURE_BYTES: usize = 64;

/// A token, taken apart.
struct ProviderToken<'a> {
    signed: &'a str,
    signature: Vec<u8>,
    header: Value,
    claims: Value,
}

impl<'a> ProviderToken<'a> {
    fn of(authorization: &'a str) -> Option<Self> {
        let (_, token) = authorization.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))?;
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let [signature, header, claims] =
            [signature, header, claims].map(|part| BASE64URL.decode(part).unwrap_or_default());
        let [header, claims] = [header, claims].map(|json| serde_json::from_slice::<Value>(&json).unwrap_or_default());
        (header["alg"] == "ES256").then_some(Self { signed, signature, header, claims })
    }

    fn check_age(&self) -> Result<(), &'static str> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        match self.claims["iat"].as_u64() {
            Some(issued) if now.saturating_sub(issued) > OLDEST.as_secs() => Err("ExpiredProviderToken"),
            Some(issued) if issued <= now + 60 => Ok(()),
            _ => Err(INVALID),
        }
    }
}

/// The device's token of a request whose head is in order.
pub(super) fn head(parts: &Parts) -> Result<&str, Reply> {
    if parts.method != "POST" {
        return Err(Reply::new(405, "MethodNotAllowed"));
    }
    let token = parts.uri.path().strip_prefix("/3/device/").ok_or_else(|| Reply::new(404, "BadPath"))?;
    if token.len() < 64 || !token.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Reply::new(400, "BadDeviceToken"));
    }
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    if header("apns-topic").is_none_or(str::is_empty) {
        return Err(Reply::new(400, "MissingTopic"));
    }
    let is_priority_right = match header("apns-push-type") {
        Some("alert") => matches!(header("apns-priority"), Some("10" | "5" | "1")),
        Some("background") => header("apns-priority") == Some("5"),
        _ => return Err(Reply::new(400, "InvalidPushType")),
    };
    if !is_priority_right {
        return Err(Reply::new(400, "BadPriority"));
    }
    if header("apns-expiration").is_none_or(|text| text.parse::<u32>().is_err()) {
        return Err(Reply::new(400, "BadExpirationDate"));
    }
    if header("apns-collapse-id").is_some_and(|id| !(1..=64).contains(&id.len())) {
        return Err(Reply::new(400, "BadCollapseId"));
    }
    if !header("apns-id").is_some_and(is_uuid) {
        return Err(Reply::new(400, "BadMessageId"));
    }
    Ok(token)
}

fn is_uuid(text: &str) -> bool {
    let dash = |place: usize| matches!(place, 8 | 13 | 18 | 23);
    text.len() == 36
        && text
            .bytes()
            .enumerate()
            .all(|(place, byte)| if dash(place) { byte == b'-' } else { byte.is_ascii_hexdigit() })
}

/// The payload of a request, which is an object with an `aps` of at most 4,096 bytes.
pub(super) fn payload(body: &[u8]) -> Result<Value, Reply> {
    if body.len() > 4_096 {
        return Err(Reply::new(413, "PayloadTooLarge"));
    }
    serde_json::from_slice::<Value>(body)
        .ok()
        .filter(|payload| payload["aps"].is_object())
        .ok_or_else(|| Reply::new(400, if body.is_empty() { "PayloadEmpty" } else { "BadPayload" }))
}
