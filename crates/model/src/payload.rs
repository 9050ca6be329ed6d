//! Payload: the JSON a device gets on the own channel. Built once for each push; only `msg_id` differs from device to
//! device, and is put in front, and what attributes are filled into its texts. How it travels is the channel's business.
//!
//! ```json
//! {"msg_id":"7-12","push_id":"7","message_type":"notify","collapse_id":"5","title":"…","content":"…",
//!  "custom_content":"…","accept_time":[…],"thread_id":"…","android":{…},"sent_at":1700000000,"expire_at":1700086400}
//! ```
//!
//! `collapse_id` is there where the push takes the place of earlier ones: the id of the first of them. Whatever the device
//! shows of that push, or of another with this `collapse_id`, is to be replaced. `android` or `ios` is the object of the
//! app's platform without its `custom_content`, which stands outside.
//!
//! By another one a device takes back what it shows of a push:
//!
//! ```json
//! {"msg_id":"8-12","push_id":"8","message_type":"revoke","revoked_push_id":"7","sent_at":1700003600,"expire_at":1700086400}
//! ```

mod places;

use std::borrow::Cow;
use std::io::Write;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::attribute::Values;
use crate::ids::{DeviceId, MessageId, PushId};
use crate::message::Message;
use crate::push::Push;
use places::{Places, escaped};

/// The payload of one push, for any device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    push: PushId,
    /// Everything but `msg_id`: one JSON object, beginning with `push_id`; behind the list of its places, if it has any.
    stored: String,
    /// Where the object begins.
    common: usize,
    places: Places,
    /// What the places are filled from.
    values: Arc<Values>,
}

/// What the JSON for one device begins with.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    bytes: [u8; Self::LONGEST],
    length: usize,
}

impl Head {
    /// 20 characters hold any `i64`.
    const LONGEST: usize = r#"{"msg_id":"-","#.len() + 40;
}

impl std::ops::Deref for Head {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// A text that is no stored [`Payload`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a stored payload: it does not begin with the push_id, or with the places of attributes before it")]
pub struct NotAPayload;

/// Bytes expected to be filled into a place: most values are not as long as they may be.
const PLACE_BYTES: usize = 24;

/// How a stored payload begins.
const PUSH_ID: &str = r#"{"push_id":""#;

impl Payload {
    /// The payload of a push that was sent at `sent_at` and expires at `expire_at`, both unix seconds.
    #[must_use]
    pub fn new(id: PushId, push: &Push, sent_at: i64, expire_at: i64) -> Self {
        let Message { title, content, accept_time, android, ios, rest } = &push.message;
        let mut common = Map::new();
        common.insert("push_id".to_owned(), json!(id.to_string()));
        common.insert("message_type".to_owned(), json!(push.message_type));
        if let Some(first) = push.collapse_id {
            common.insert("collapse_id".to_owned(), json!(first.to_string()));
        }
        common.insert("title".to_owned(), json!(title));
        common.insert("content".to_owned(), json!(content));
        common.insert("custom_content".to_owned(), json!(push.message.custom_content().unwrap_or_default()));
        if !accept_time.is_empty() {
            common.insert("accept_time".to_owned(), json!(accept_time));
        }
        common.extend(rest.iter().map(|(name, value)| (name.clone(), value.clone())));
        for (name, object) in [("android", android), ("ios", ios)] {
            let Some(object) = object else { continue };
            let own = object.iter().filter(|(name, _)| *name != "custom_content");
            let own: Map<_, _> = own.map(|(name, value)| (name.clone(), value.clone())).collect();
            if !own.is_empty() {
                common.insert(name.to_owned(), Value::Object(own));
            }
        }
        common.insert("sent_at".to_owned(), json!(sent_at));
        common.insert("expire_at".to_owned(), json!(expire_at));
        if !push.message.is_filled() {
            return Self::without_places(id, &Value::Object(common));
        }
        let (places, common) = Places::cut_out(&common);
        let mut stored = places.to_stored();
        let begin = stored.len();
        stored.push_str(&common);
        Self { push: id, stored, common: begin, places, values: Arc::default() }
    }

    /// The payload of the push `id` by which devices take `revoked` back. It has an id of its own: to a device a message
    /// with the ids of the one that it has would be a repeat.
    #[must_use]
    pub fn revocation(id: PushId, revoked: PushId, sent_at: i64, expire_at: i64) -> Self {
        let common = json!({
            "push_id": id.to_string(),
            "message_type": "revoke",
            "revoked_push_id": revoked.to_string(),
            "sent_at": sent_at,
            "expire_at": expire_at,
        });
        Self::without_places(id, &common)
    }

    fn without_places(push: PushId, common: &Value) -> Self {
        Self { push, stored: common.to_string(), common: 0, places: Places::default(), values: Arc::default() }
    }

    /// The push it is of.
    #[must_use]
    pub const fn push(&self) -> PushId {
        self.push
    }

    /// The attributes that are filled into it, each once; mostly none.
    #[must_use]
    pub fn attributes(&self) -> Vec<String> {
        self.places.names()
    }

    /// Is filled from the attributes of these devices from here on. A device that is none of them gets the defaults, as every
    /// device does before.
    pub fn fill_from(&mut self, values: Arc<Values>) {
        self.values = values;
    }

    /// The JSON for one device.
    #[must_use]
    pub fn for_device(&self, device: DeviceId) -> Vec<u8> {
        [&*self.head(device), self.tail(device).as_bytes()].concat()
    }

    /// The bytes [`Payload::for_device`] begins with, which no other device's have. They take no allocation.
    #[must_use]
    pub fn head(&self, device: DeviceId) -> Head {
        let id = MessageId { push: self.push, device };
        let mut head = Head { bytes: [0; Head::LONGEST], length: 0 };
        let mut free = &mut head.bytes[..];
        // The longest fits.
        let _ = write!(free, r#"{{"msg_id":"{id}","#);
        head.length = Head::LONGEST - free.len();
        head
    }

    /// What follows the [`Payload::head`]. Where no attributes are filled in it is the same for all devices, and not copied.
    #[must_use]
    pub fn tail(&self, device: DeviceId) -> Cow<'_, str> {
        let common = &self.stored[self.common..];
        if self.places.is_empty() {
            return Cow::Borrowed(&common[1..]);
        }
        let (mut tail, mut from) = (String::with_capacity(common.len() + PLACE_BYTES * self.places.iter().count()), 1);
        for place in self.places.iter() {
            tail.push_str(&common[from..place.at]);
            tail.push_str(&escaped(self.values.get(device, &place.name).unwrap_or(&place.default)));
            from = place.at;
        }
        tail.push_str(&common[from..]);
        Cow::Owned(tail)
    }

    /// What the store keeps: one JSON object, everything but `msg_id`. Before it, where attributes are filled into its
    /// texts, their places: `[[at,name,default],…]`, `at` in bytes of the object.
    #[must_use]
    pub fn as_stored(&self) -> &str {
        &self.stored
    }

    /// Takes back what the store kept. The text is trusted beyond its beginning, and not parsed again.
    ///
    /// # Errors
    /// It does not begin the way [`Payload::as_stored`] does.
    pub fn from_stored(text: impl Into<String>) -> Result<Self, NotAPayload> {
        let stored = text.into();
        let (places, common) = Places::from_stored(&stored)?;
        let rest = stored[common..].strip_prefix(PUSH_ID).ok_or(NotAPayload)?;
        let (id, _) = rest.split_once("\",").ok_or(NotAPayload)?;
        let push = id.parse().map_err(|_| NotAPayload)?;
        Ok(Self { push, stored, common, places, values: Arc::default() })
    }
}
