//! Bearers: the access tokens that were given for assertions.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use percent_encoding::percent_decode_str;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::{Value, json};

use super::super::credentials::{ASSERTION_SECONDS, SCOPE};

/// Seconds for which an access token is good, by Google's own.
const SECONDS: u64 = 3_599;

/// How far a clock may be off, seconds.
const CLOCK_OFF: i64 = 300;

#[derive(Debug)]
pub(super) struct Bearers {
    public_key: UnparsedPublicKey<Vec<u8>>,
    /// What assertions must be for.
    audience: String,
    /// Until when each is good.
    given: HashMap<String, Instant>,
    count: u64,
}

impl Bearers {
    pub(super) fn new(public_key: &[u8], audience: String) -> Self {
        let public_key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public_key.to_vec());
        Self { public_key, audience, given: HashMap::new(), count: 0 }
    }

    /// An access token for the assertion in a form; `None`: it is wrong.
    pub(super) fn give(&mut self, form: &[u8], seconds: u64) -> Option<Value> {
        let form = std::str::from_utf8(form).ok()?;
        let fields: HashMap<&str, String> = form
            .split('&')
            .filter_map(|field| field.split_once('='))
            .map(|(name, value)| (name, percent_decode_str(value).decode_utf8_lossy().into_owned()))
            .collect();
        if fields.get("grant_type")? != "urn:ietf:params:oauth:grant-type:jwt-bearer"
            || !self.is_right(fields.get("assertion")?)
        {
            return None;
        }
        let seconds = if seconds == 0 { SECONDS } else { seconds };
        self.count += 1;
        let bearer = format!("ya29.sim-{}", self.count);
        // Whatever it says.
        self.given.insert(bearer.clone(), Instant::now() + Duration::from_secs(seconds.min(SECONDS)));
        Some(json!({ "access_token": bearer, "expires_in": seconds, "token_type": "Bearer" }))
    }

    pub(super) fn knows(&self, bearer: &str) -> bool {
        self.given.get(bearer).is_some_and(|until| Instant::now() < *until)
    }

    pub(super) fn forget(&mut self) {
        self.given.clear();
    }

    fn is_right(&self, assertion: &str) -> bool {
        let Some((signed, signature)) = assertion.rsplit_once('.') else { return false };
        let Some((header, claims)) = signed.split_once('.') else { return false };
        let read = |part: &str| serde_json::from_slice::<Value>(&BASE64URL.decode(part).ok()?).ok();
        let (Some(header), Some(claims), Ok(signature)) = (read(header), read(claims), BASE64URL.decode(signature))
        else {
            return false;
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
        let (issued, expires) = (claims["iat"].as_i64().unwrap_or(0), claims["exp"].as_i64().unwrap_or(0));
        self.public_key.verify(signed.as_bytes(), &signature).is_ok()
            && header["alg"] == "RS256"
            && claims["iss"].is_string()
            && claims["scope"] == SCOPE
            && claims["aud"] == self.audience.as_str()
            && (now - CLOCK_OFF..=now + CLOCK_OFF).contains(&issued)
            && (1..=ASSERTION_SECONDS).contains(&(expires - issued))
    }
}
