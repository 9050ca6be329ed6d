//! Payload: one push as push services take it. Headers are the same for all browsers; the JSON is what devices on the own
//! channel get, `msg_id` first.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use pigeonloft_model::attribute::Values;
use pigeonloft_model::payload::Payload as Common;
use pigeonloft_model::{DeviceId, Expire, Verdict};

use super::encryption::PLAINTEXT_MAX;
use crate::vendor::Outgoing;

/// Longest `TTL`, in seconds: Mozilla's service keeps nothing for longer.
const TTL_MAX_S: i64 = 30 * 86_400;

const TTL: HeaderName = HeaderName::from_static("ttl");
const URGENCY: HeaderName = HeaderName::from_static("urgency");
const TOPIC: HeaderName = HeaderName::from_static("topic");

/// What all messages of a push share.
#[derive(Debug, Clone)]
pub(super) struct Payload {
    common: Common,
    /// Unix seconds; the push service keeps nothing if it is 0.
    expire_at: i64,
    headers: HeaderMap,
}

impl Payload {
    /// Of a push. Of messages of one `Topic` that wait for a browser the push service keeps the last alone: a repeat takes
    /// the place of the first, and so does a push that is to take the place of another.
    pub(super) fn new(outgoing: &Outgoing<'_>) -> Self {
        let Outgoing { push_id, push, expire_at } = *outgoing;
        let common = Common::new(push_id, push, unix_seconds(), expire_at);
        let expire_at = match push.expire {
            Expire::OnlineOnly => 0,
            Expire::Seconds(_) => expire_at,
        };
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("aes128gcm"));
        // What is shown to somebody is worth waking a device; what an app is handed goes another way.
        headers.insert(URGENCY, HeaderValue::from_static("high"));
        // A number: at most 20 of the 32 characters, all of them base64url.
        headers.insert(TOPIC, HeaderValue::from(push.collapse_id.unwrap_or(push_id).0));
        Self { common, expire_at, headers }
    }

    /// The same, filled from the attributes of devices.
    pub(super) fn filled_from(&self, values: &Values) -> Cow<'_, Self> {
        if self.common.attributes().is_empty() {
            return Cow::Borrowed(self);
        }
        let mut filled = self.clone();
        filled.common.fill_from(Arc::new(values.clone()));
        Cow::Owned(filled)
    }

    /// The headers that a request has now; `TTL` is the seconds that are left of the push.
    pub(super) fn headers(&self, now: i64) -> HeaderMap {
        let mut headers = self.headers.clone();
        headers.insert(TTL, HeaderValue::from((self.expire_at - now).clamp(0, TTL_MAX_S)));
        headers
    }

    /// The JSON of a device.
    ///
    /// # Errors
    /// It is longer than push services take.
    pub(super) fn plaintext(&self, device: DeviceId) -> Result<Vec<u8>, Verdict> {
        let json = self.common.for_device(device);
        if json.len() > PLAINTEXT_MAX { Err(Verdict::Refused("payload too large".into())) } else { Ok(json) }
    }
}

pub(super) fn unix_seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
