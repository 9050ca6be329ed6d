//! Request: whether it is one as RFC 8030, 8188, 8291 and 8292 write it.

use base64::Engine;
use http::{HeaderMap, StatusCode};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde::Deserialize;

use super::browser::Secrets;
use super::{Fault, Got};
use crate::webpush::subscription::BASE64;

/// A signature is good for a day at most.
const DAY_S: u64 = 86_400;

#[derive(Deserialize)]
struct Head {
    typ: String,
    alg: String,
}

#[derive(Deserialize)]
struct Claims {
    aud: String,
    exp: u64,
    sub: Option<String>,
}

/// Who signed, and until when that holds.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    subject: String,
    until: u64,
}

/// Reads a message for the browser with these secrets. `known`: the sender whose signature was found in order before; it is not
/// verified again.
pub(super) fn read(
    headers: &HeaderMap,
    body: &[u8],
    to: &Secrets,
    known: Option<Sender>,
    origin: &str,
    now: u64,
) -> Result<(Got, Sender), Fault> {
    let bad = |text: &str| Fault(StatusCode::BAD_REQUEST, text.to_owned());
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let ttl: u32 = text("ttl").parse().map_err(|_| bad("TTL is missing or no number of seconds"))?;
    let (urgency, topic) = (text("urgency"), text("topic"));
    if !["", "very-low", "low", "normal", "high"].contains(&urgency) {
        return Err(bad("Urgency is none of the four"));
    }
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if topic.len() > 32 || !topic.bytes().all(is_base64url) {
        return Err(bad("Topic is not up to 32 characters of base64url"));
    }
    if text("content-encoding") != "aes128gcm" {
        return Err(bad("Content-Encoding is not aes128gcm"));
    }
    let sender = match known.filter(|sender| sender.until > now) {
        Some(sender) => sender,
        None => signed_by(text("authorization"), origin, now)
            .map_err(|text| Fault(StatusCode::UNAUTHORIZED, text.into()))?,
    };
    let plaintext = to.decrypt(body).map_err(bad)?;
    let plaintext = String::from_utf8(plaintext).map_err(|_| bad("the plaintext is no text"))?;
    let subject = sender.subject.clone();
    Ok((Got { plaintext, ttl, urgency: urgency.into(), topic: topic.into(), subject }, sender))
}

/// Whose signature is good here and now.
fn signed_by(authorization: &str, origin: &str, now: u64) -> Result<Sender, &'static str> {
    let parameters = authorization.strip_prefix("vapid ").ok_or("Authorization is not of the scheme vapid")?;
    let parameter = |name: &str| {
        parameters
            .split(',')
            .find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
            .ok_or("t or k is missing")
    };
    let bytes = |text: &str| BASE64.decode(text).map_err(|_| "it is not base64url");
    let (token, key) = (parameter("t")?, bytes(parameter("k")?)?);
    let (signed, signature) = token.rsplit_once('.').ok_or("t is no JWT")?;
    let (head, claims) = signed.split_once('.').ok_or("t is no JWT")?;
    let head: Head = serde_json::from_slice(&bytes(head)?).map_err(|_| "the head of the JWT cannot be read")?;
    let claims: Claims = serde_json::from_slice(&bytes(claims)?).map_err(|_| "the claims of the JWT cannot be read")?;
    let signature = bytes(signature)?;
    let is_signed = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key).verify(signed.as_bytes(), &signature);
    is_signed.map_err(|_| "the signature is not that of k")?;
    if head.typ != "JWT" || head.alg != "ES256" {
        return Err("the JWT is not signed as ES256");
    }
    if claims.aud != origin {
        return Err("aud is not this push service");
    }
    if claims.exp <= now || claims.exp > now + DAY_S {
        return Err("exp is past, or more than a day ahead");
    }
    Ok(Sender { subject: claims.sub.unwrap_or_default(), until: claims.exp })
}
