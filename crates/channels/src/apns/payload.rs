//! Payload: the bytes and the headers of a push on APNs. Built once for each push; only token, topic, `apns-id` and `msg_id` differ
//! from device to device, and its texts where attributes are filled in.
//!
//! ```json
//! {"msg_id":"7-12","aps":{"alert":{"title":"…","body":"…"},"sound":"default","badge":1,"thread-id":"…","mutable-content":1},
//!  "push_id":"7","custom_content":"…","xg_media_resources":"https://…"}
//! ```
//!
//! What shows nothing has `title` and `content` beside `aps`, for the app to read. By `msg_id` an app knows a message again that it
//! got over our own channel, too.

mod alert;

use std::borrow::Cow;
use std::fmt::Write as _;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use pigeonloft_model::attribute::Values;
use pigeonloft_model::text::filled;
use pigeonloft_model::{DeviceId, Expire, MessageId, MessageType, Push, PushId, Verdict};
use serde_json::{Map, Value, json};

use super::credentials::is_topic;
use crate::vendor::{Outgoing, Target};
use alert::Alert;

/// The most bytes that Apple takes.
const BYTES_MAX: usize = 4_096;

const TOPIC: HeaderName = HeaderName::from_static("apns-topic");
const ID: HeaderName = HeaderName::from_static("apns-id");
const PUSH_TYPE: HeaderName = HeaderName::from_static("apns-push-type");
const PRIORITY: HeaderName = HeaderName::from_static("apns-priority");
const EXPIRATION: HeaderName = HeaderName::from_static("apns-expiration");
const COLLAPSE_ID: HeaderName = HeaderName::from_static("apns-collapse-id");

/// What all messages of a push share.
#[derive(Debug)]
pub(super) struct Payload {
    push_id: PushId,
    body: Body,
    headers: HeaderMap,
}

/// What follows `msg_id`.
#[derive(Debug)]
enum Body {
    /// The same for every device.
    Same(String),
    /// Attributes are filled into the texts, for each device anew.
    Filled {
        texts: Box<Texts>,
        /// What follows the texts, and is the same for every device.
        rest: String,
    },
}

/// What attributes may be filled into.
#[derive(Debug)]
enum Texts {
    Shown(Alert),
    Silent { title: String, content: String },
}

impl Payload {
    /// Of a push; `topic`: that of devices that name none.
    ///
    /// # Errors
    /// It is longer than Apple takes.
    pub(super) fn new(outgoing: &Outgoing<'_>, topic: &str) -> Result<Self, Verdict> {
        let push = outgoing.push;
        let is_silent = push.message_type == MessageType::Message;
        let body = Body::of(outgoing.push_id, push)?;
        let expiration = match push.expire {
            // Not stored: only who is online now gets it.
            Expire::OnlineOnly => 0,
            Expire::Seconds(_) => outgoing.expire_at,
        };
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(PUSH_TYPE, HeaderValue::from_static(if is_silent { "background" } else { "alert" }));
        headers.insert(PRIORITY, HeaderValue::from_static(if is_silent { "5" } else { "10" }));
        headers.insert(EXPIRATION, HeaderValue::from(expiration));
        // A push that takes the place of others has the same as they: that of the first of them.
        let collapse = push.collapse_id.unwrap_or(outgoing.push_id);
        headers.insert(COLLAPSE_ID, HeaderValue::from(collapse.0));
        let topic = HeaderValue::from_str(topic).map_err(|_| Verdict::Configuration("BadTopic".into()))?;
        headers.insert(TOPIC, topic);
        Ok(Self { push_id: outgoing.push_id, body, headers })
    }

    /// The bytes for one device.
    ///
    /// # Errors
    /// They are more than Apple takes.
    pub(super) fn body(&self, target: &Target, values: &Values) -> Result<Bytes, Verdict> {
        let rest = match &self.body {
            Body::Same(rest) => Cow::Borrowed(rest),
            Body::Filled { texts, rest } => {
                let fill = |text: &str| filled(text, |name| values.get(target.device, name));
                Cow::Owned(checked(self.push_id, texts.joined(fill, rest))?)
            }
        };
        let msg_id = MessageId { push: self.push_id, device: target.device };
        Ok(format!(r#"{{"msg_id":"{msg_id}",{rest}"#).into())
    }

    /// The headers for one device; `None`: its own topic cannot be one.
    pub(super) fn headers(&self, target: &Target) -> Option<HeaderMap> {
        let mut headers = self.headers.clone();
        headers.insert(ID, apns_id(self.push_id, target.device));
        if let Some(topic) = &target.detail {
            let topic = HeaderValue::from_str(topic).ok().filter(|_| is_topic(topic))?;
            headers.insert(TOPIC, topic);
        }
        Some(headers)
    }
}

/// A UUID (version 8) of push and device: a repeat has the same, so that Apple's records tell it from another message.
fn apns_id(push_id: PushId, device: DeviceId) -> HeaderValue {
    let (push, device) = (push_id.0.cast_unsigned(), device.0.cast_unsigned());
    let mut text = String::with_capacity(36);
    // It holds what is written.
    let _ = write!(
        text,
        "{:08x}-{:04x}-8{:03x}-{:04x}-{:012x}",
        (push >> 16) & 0xffff_ffff,
        push & 0xffff,
        (push >> 48) & 0xfff,
        0x8000 | ((device >> 48) & 0x3fff),
        device & 0xffff_ffff_ffff,
    );
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("0"))
}

impl Body {
    fn of(push_id: PushId, push: &Push) -> Result<Self, Verdict> {
        let texts = Texts::of(push);
        let beside = Value::Object(beside_aps(push_id, push)).to_string();
        // What stands beside the alert is never empty, nor is what does beside `aps`.
        let rest = match &texts {
            Texts::Shown(_) => format!(",{},{}", &Value::Object(beside_alert(push)).to_string()[1..], &beside[1..]),
            Texts::Silent { .. } => format!(r#","aps":{},{}"#, Value::Object(silent_aps(push)), &beside[1..]),
        };
        match push.message.is_filled() {
            true => Ok(Self::Filled { texts: Box::new(texts), rest }),
            false => checked(push_id, texts.joined(str::to_owned, &rest)).map(Self::Same),
        }
    }
}

impl Texts {
    fn of(push: &Push) -> Self {
        match push.message_type {
            MessageType::Notify => Self::Shown(Alert::of(push, given_aps(push).remove("alert"))),
            MessageType::Message => {
                let (title, content) = (push.message.title.clone(), push.message.content.clone());
                Self::Silent { title, content }
            }
        }
    }

    /// With each text as `fill` makes it, and what follows them.
    fn joined(&self, fill: impl Fn(&str) -> String, rest: &str) -> String {
        match self {
            Self::Shown(alert) => [r#""aps":{"alert":"#, &Value::Object(alert.filled(fill)).to_string(), rest].concat(),
            Self::Silent { title, content } => {
                let [title, content] = [title, content].map(|text| Value::String(fill(text)));
                format!(r#""title":{title},"content":{content}{rest}"#)
            }
        }
    }
}

/// What follows `msg_id`, if Apple takes it with the longest that there is.
fn checked(push_id: PushId, rest: String) -> Result<String, Verdict> {
    let longest = MessageId { push: push_id, device: DeviceId(i64::MAX) };
    let bytes = format!(r#"{{"msg_id":"{longest}","#).len() + rest.len();
    if bytes > BYTES_MAX { Err(Verdict::Refused("PayloadTooLarge".into())) } else { Ok(rest) }
}

/// `aps` of what shows nothing.
fn silent_aps(push: &Push) -> Map<String, Value> {
    let mut aps = given_aps(push);
    aps.shift_remove("badge_type");
    aps.insert("content-available".into(), json!(1));
    aps
}

/// What is not Apple's, and the app's to read.
fn beside_aps(push_id: PushId, push: &Push) -> Map<String, Value> {
    let message = &push.message;
    let mut root = Map::from_iter([("push_id".to_owned(), json!(push_id.to_string()))]);
    if let Some(content) = message.custom_content() {
        root.insert("custom_content".into(), json!(content));
    }
    // Apple has no "one more": the app's service extension counts.
    if let Some(badge) = given_badge(push).filter(|badge| *badge == -2) {
        root.insert("badge_type".into(), json!(badge));
    }
    // Those that are Apple's are in `aps` under its own names; the others are the app's to read.
    let rest = message.rest.iter().filter(|(name, _)| !matches!(name.as_str(), "thread_id" | "thread_sumtext"));
    let is_silent = push.message_type == MessageType::Message;
    let is_taken = |name: &str| match name {
        "aps" | "msg_id" => true,
        "title" | "content" => is_silent,
        _ => false,
    };
    for (name, value) in rest.chain(message.ios.iter().flatten()).filter(|(name, _)| !is_taken(name)) {
        root.entry(name.clone()).or_insert_with(|| value.clone());
    }
    root
}

fn given_aps(push: &Push) -> Map<String, Value> {
    let aps = push.message.ios.as_ref().and_then(|ios| ios.get("aps")?.as_object());
    aps.cloned().unwrap_or_default()
}

fn given_badge(push: &Push) -> Option<i64> {
    push.message.ios.as_ref()?.get("aps")?.get("badge_type")?.as_i64()
}

/// `aps` without the alert.
fn beside_alert(push: &Push) -> Map<String, Value> {
    let mut aps = given_aps(push);
    for member in ["alert", "badge_type"] {
        aps.shift_remove(member);
    }
    // -1 leaves it as it is, -2 is not Apple's.
    if let Some(badge) = given_badge(push).filter(|badge| *badge >= 0) {
        aps.insert("badge".into(), json!(badge));
    }
    if let Some(thread) = push.message.rest.get("thread_id") {
        aps.insert("thread-id".into(), thread.clone());
    }
    aps.entry("mutable-content").or_insert(json!(1));
    aps
}

#[cfg(test)]
mod tests {
    use pigeonloft_model::{Platform, Zone};

    use super::*;

    fn push(body: &Value) -> Push {
        let mut given = json!({ "audience_type": "account", "account_list": ["ann"], "message_type": "notify",
            "message": { "title": "t", "content": "c" } });
        for (name, value) in body.as_object().unwrap() {
            given[name] = value.clone();
        }
        Push::parse(given.to_string().as_bytes(), Platform::Ios, 1_700_000_000, Zone::CHINA).unwrap()
    }

    fn made(body: &Value) -> Result<Payload, Verdict> {
        Payload::new(&Outgoing { push_id: PushId(7), push: &push(body), expire_at: 1_700_086_400 }, "com.example")
    }

    fn bytes(payload: &Payload) -> Bytes {
        let target = Target { device: DeviceId(1), token: "ab".into(), detail: None };
        payload.body(&target, &Values::new(vec!["name".into()], vec![(DeviceId(1), 0, "Ann".into())])).unwrap()
    }

    #[test]
    fn texts_are_filled_for_each_device() {
        let message = json!({ "title": "Dear {{name|friend}}", "content": "{{other|c}}",
            "ios": { "aps": { "alert": { "subtitle": "{{name}}" } } } });
        let body: Value = serde_json::from_slice(&bytes(&made(&json!({ "message": message })).unwrap())).unwrap();
        assert_eq!(body["aps"]["alert"], json!({ "subtitle": "Ann", "title": "Dear Ann", "body": "c" }));
    }

    #[test]
    fn what_is_filled_is_to_the_byte_what_would_have_been_sent_without_places() {
        let with = |[title, content, subtitle]: [&str; 3]| {
            let aps = json!({ "badge_type": 3, "sound": "s", "alert": { "title": "own", "subtitle": subtitle, "x": "{{name}}" } });
            let message = json!({ "title": title, "content": content, "thread_id": "talk", "ios": { "aps": aps } });
            bytes(&made(&json!({ "message": message })).unwrap())
        };
        assert_eq!(with(["Dear {{name}}", "{{other|c}}", "{{name}}"]), with(["Dear Ann", "c", "Ann"]));
        // Where nothing is left of the title, that of the alert stays.
        assert_eq!(with(["{{other}}", "{{|{{}}name", "s"]), with(["", "{{name", "s"]));
    }

    #[test]
    fn every_member_of_the_contract_has_its_place() {
        let message = json!({ "title": "t", "content": "c", "thread_id": "talk", "thread_sumtext": "Ann",
            "xg_media_resources": "https://example.com/a.png",
            "ios": { "custom_content": "{\"a\":1}", "aps": { "alert": { "subtitle": "s", "title": "other" },
                "badge_type": 3, "category": "reply", "sound": "bell.caf", "interruption-level": "time-sensitive" } } });
        let body: Value = serde_json::from_slice(&bytes(&made(&json!({ "message": message })).unwrap())).unwrap();
        assert_eq!(
            body,
            json!({ "aps": { "alert": { "subtitle": "s", "title": "t", "body": "c", "summary-arg": "Ann" },
                    "category": "reply", "sound": "bell.caf", "interruption-level": "time-sensitive", "badge": 3,
                    "thread-id": "talk", "mutable-content": 1 },
                "msg_id": "7-1", "push_id": "7", "custom_content": "{\"a\":1}",
                "xg_media_resources": "https://example.com/a.png" })
        );
    }

    #[test]
    fn what_is_not_known_takes_the_place_of_nothing_that_is() {
        let own = json!({ "aps": { "alert": "mine" }, "badge_type": 7, "push_id": "8", "shop": 1 });
        let mut message = json!({ "title": "t", "ios": { "msg_id": "8-8", "push_id": "8", "shop": 2, "till": 3 } });
        own.as_object().unwrap().iter().for_each(|(name, value)| message[name] = value.clone());
        let body: Value = serde_json::from_slice(&bytes(&made(&json!({ "message": message })).unwrap())).unwrap();
        let expected = json!({ "msg_id": "7-1", "aps": { "alert": { "title": "t" }, "mutable-content": 1 },
            "push_id": "7", "badge_type": 7, "shop": 1, "till": 3 });
        assert_eq!(body, expected);
    }

    #[test]
    fn a_badge_is_set_or_left_alone() {
        let badge = |kind: i64| {
            let message = json!({ "title": "t", "ios": { "aps": { "badge_type": kind } } });
            let body: Value = serde_json::from_slice(&bytes(&made(&json!({ "message": message })).unwrap())).unwrap();
            (body["aps"]["badge"].as_i64(), body["badge_type"].as_i64())
        };
        assert_eq!([0, 9, -1, -2].map(badge), [(Some(0), None), (Some(9), None), (None, None), (None, Some(-2))]);
    }

    #[test]
    fn a_silent_push_shows_nothing_and_hands_over_what_it_says() {
        let message = json!({ "title": "t", "content": "{{name}}" });
        let silent = made(&json!({ "message_type": "message", "message": message })).unwrap();
        let body: Value = serde_json::from_slice(&bytes(&silent)).unwrap();
        let expected = json!({ "msg_id": "7-1", "title": "t", "content": "Ann", "aps": { "content-available": 1 },
            "push_id": "7" });
        assert_eq!(body, expected);
        let of = |name: &str| silent.headers[name].to_str().unwrap().to_owned();
        assert_eq!([of("apns-push-type"), of("apns-priority")], ["background", "5"]);
    }

    #[test]
    fn the_headers_tell_the_message_apart_from_all_others_but_its_repeats() {
        let payload = made(&json!({})).unwrap();
        let headers = |device, detail: Option<&str>| {
            let detail = detail.map(str::to_owned);
            payload.headers(&Target { device: DeviceId(device), token: "ab".into(), detail }).unwrap()
        };
        let (one, again, other) = (headers(1, None), headers(1, None), headers(2, Some("com.example.watch")));
        assert_eq!(one, again);
        assert_ne!(one["apns-id"], other["apns-id"]);
        assert_eq!(one["apns-id"].to_str().unwrap().len(), 36);
        assert_eq!([&one["apns-topic"], &other["apns-topic"]], ["com.example", "com.example.watch"]);
        assert_eq!(one["apns-collapse-id"], "7");
        assert_eq!(one["apns-expiration"], "1700086400");
        let now = Payload::new(
            &Outgoing { push_id: PushId(7), push: &push(&json!({ "expire_time": 0 })), expire_at: 1 },
            "com.example",
        );
        assert_eq!(now.unwrap().headers["apns-expiration"], "0");
    }

    #[test]
    fn a_payload_has_at_most_4096_bytes() {
        let of = |content: usize| {
            let message =
                json!({ "title": "t", "content": "c".repeat(2_000), "ios": { "custom_content": "x".repeat(content) } });
            made(&json!({ "message": message })).map(|payload| bytes(&payload).len())
        };
        // There is room for the device with the longest id, which takes 18 digits more.
        let rest = 4_096 - 18 - of(1).unwrap();
        assert_eq!(of(1 + rest), Ok(4_096 - 18));
        assert_eq!(of(2 + rest), Err(Verdict::Refused("PayloadTooLarge".into())));
    }
}
