//! Payload: the bytes of a push on FCM. Built once for each push; only token, `msg_id` and `ttl` differ from device to device,
//! and the [`Texts`] where attributes are filled in; they are put in between.
//!
//! ```json
//! {"message":{"token":"…","data":{"msg_id":"7-12","push_id":"7","custom_content":"…"},
//!  "notification":{"title":"…","body":"…"},
//!  "android":{"ttl":"86400s","priority":"HIGH","notification":{"tag":"7","channel_id":"…"}}}}
//! ```
//!
//! Every push here is shown: what is handed to an app and not shown does not go through Google.
//!
//! What is shown while the app sleeps is `notification`; `data` is handed to the app, with a tap or at once. What a tap opens
//! is in `data.action`: FCM's own `click_action` names an intent filter, which the published API does not know, and one that no
//! app declares would make the tap do nothing.

mod texts;

use std::borrow::Cow;

use bytes::Bytes;
use pigeonloft_model::attribute::Values;
use pigeonloft_model::text::filled;
use pigeonloft_model::{DeviceId, Expire, MessageId, Push, PushId, Verdict};
use serde_json::{Map, Value, json};

use crate::vendor::{Outgoing, Target};
use texts::{Given, Texts};

/// The most bytes of a message that FCM takes, of which it counts what is shown and the data.
const BYTES_MAX: usize = 4_096;

/// The longest that FCM keeps a message for a device that is not online, in seconds: 28 days.
const TTL_MAX: i64 = 28 * 86_400;

/// What all messages of a push share.
#[derive(Debug)]
pub(super) struct Payload {
    push_id: PushId,
    /// Unix seconds; 0: it is not kept for a device that is offline.
    expire_at: i64,
    around: Around,
    texts: Texts,
}

/// The bytes around what differs from device to device.
#[derive(Debug)]
struct Around {
    /// From the end of `msg_id` to the texts.
    head: String,
    /// From the end of `ttl`.
    tail: String,
    /// What FCM counts of them.
    bytes: usize,
}

impl Payload {
    /// Of a push that is shown.
    ///
    /// # Errors
    /// It is longer than FCM takes.
    pub(super) fn new(outgoing: &Outgoing<'_>) -> Result<Self, Verdict> {
        let &Outgoing { push_id, push, expire_at } = outgoing;
        let expire_at = if push.expire == Expire::OnlineOnly { 0 } else { expire_at };
        let around = Around::of(push_id, push);
        let given = Given::of(push);
        let texts = match push.message.is_filled() {
            true => Texts::Filled(Box::new(given)),
            false => Texts::Same(around.fits(given.filled(str::to_owned))?),
        };
        Ok(Self { push_id, expire_at, around, texts })
    }

    /// The body for one device, sent at `now` (unix seconds).
    ///
    /// # Errors
    /// It is longer than FCM takes.
    pub(super) fn body(&self, target: &Target, values: &Values, now: i64) -> Result<Bytes, Verdict> {
        let ttl = (self.expire_at - now).clamp(0, TTL_MAX);
        let texts = match &self.texts {
            Texts::Same(texts) => Cow::Borrowed(texts),
            Texts::Filled(given) => {
                let fill = |text: &str| filled(text, |name| values.get(target.device, name));
                Cow::Owned(self.around.fits(given.filled(fill))?)
            }
        };
        let Around { head, tail, .. } = &self.around;
        let token = Value::from(target.token.as_str());
        let msg_id = MessageId { push: self.push_id, device: target.device };
        let body = format!(
            r#"{{"message":{{"token":{token},"data":{{"msg_id":"{msg_id}"{head}{texts},"android":{{"ttl":"{ttl}s"{tail}"#
        );
        Ok(body.into())
    }
}

impl Around {
    fn of(push_id: PushId, push: &Push) -> Self {
        let data = Value::Object(data(push)).to_string();
        // An object which has its ids in front.
        let (first, others) = (format!(r#","push_id":"{push_id}""#), &data[1..]);
        let comma = if others == "}" { "" } else { "," };
        let head = format!(r#"{first}{comma}{others},"notification":"#);
        let mut tail = r#","priority":"HIGH""#.to_owned();
        if let Some(collapse) = push.collapse_id {
            // Of several that wait for a device, it gets the last. Only where that was asked for: of four such keys FCM keeps
            // messages for a device, and drops those of a fifth.
            tail.push_str(&format!(r#","collapse_key":"{collapse}""#));
        }
        let shown = Value::Object(on_android(push_id, push)).to_string();
        tail.push_str(&format!(r#","notification":{shown}}}}}}}"#));
        let bytes = longest_msg_id() + first.len() + comma.len() + others.len() + shown.len();
        Self { head, tail, bytes }
    }

    /// These texts, if FCM takes them.
    fn fits(&self, texts: String) -> Result<String, Verdict> {
        if self.bytes + texts.len() > BYTES_MAX { Err(Verdict::Refused("MessageTooBig".into())) } else { Ok(texts) }
    }
}

/// Bytes of the longest `msg_id` with its name.
fn longest_msg_id() -> usize {
    let longest = MessageId { push: PushId(i64::MAX), device: DeviceId(i64::MAX) };
    format!(r#""msg_id":"{longest}","#).len()
}

/// What the app is given beside ids and texts. FCM has texts here and nothing else.
fn data(push: &Push) -> Map<String, Value> {
    let message = &push.message;
    let mut data = Map::new();
    if let Some(content) = message.custom_content() {
        data.insert("custom_content".into(), json!(content));
    }
    if let Some(action) = android(push, "action") {
        data.insert("action".into(), json!(action.to_string()));
    }
    for (name, value) in message.rest.iter().filter(|(name, _)| !is_reserved(name)) {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        data.entry(name.clone()).or_insert(text.into());
    }
    data
}

/// Names that FCM refuses in `data`: its own.
fn is_reserved(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    matches!(lower.as_str(), "from" | "message_type" | "notification" | "collapse_key")
        || lower.starts_with("google")
        || lower.starts_with("gcm")
}

/// A member of `message.android`.
fn android<'a>(push: &'a Push, member: &str) -> Option<&'a Value> {
    push.message.android.as_ref()?.get(member)
}

/// What is shown, beside the texts, on Android.
fn on_android(push_id: PushId, push: &Push) -> Map<String, Value> {
    let text = |member: &str| android(push, member).and_then(Value::as_str);
    let number = |member: &str| android(push, member).and_then(Value::as_i64);
    let is_on = |member: &str| number(member) == Some(1);
    // A message with the same tag takes the place of the one that is shown: a repeat does, and what was asked to. A push that is to
    // replace another has that one's tag, whatever it calls itself.
    let tag = match (push.collapse_id, number("n_id")) {
        (Some(first), _) => first.to_string(),
        (None, Some(id)) => format!("n{id}"),
        (None, None) => push_id.to_string(),
    };
    let members = [
        ("tag", Some(json!(tag))),
        ("channel_id", text("fcm_ch_id").or_else(|| text("n_ch_id")).map(Value::from)),
        ("icon", text("small_icon").map(Value::from)),
        (
            "color",
            number("icon_color").filter(|color| *color != 0).map(|color| json!(format!("#{:06x}", color & 0xff_ffff))),
        ),
        ("sound", text("ring_raw").map(Value::from)),
        ("default_sound", (is_on("ring") && text("ring_raw").is_none()).then(|| json!(true))),
        ("default_vibrate_timings", is_on("vibrate").then(|| json!(true))),
        ("default_light_settings", is_on("lights").then(|| json!(true))),
        ("sticky", (number("clearable") == Some(0)).then(|| json!(true))),
        // -2, one more, is what a device does by itself; -1 and 0 cannot be said.
        ("notification_count", number("badge_type").filter(|badge| *badge > 0).map(Value::from)),
    ];
    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

#[cfg(test)]
mod tests {
    use pigeonloft_model::{Platform, Zone};

    use super::*;

    const NOW: i64 = 1_700_000_000;

    fn made(given: &Value) -> Result<Payload, Verdict> {
        let mut body = json!({ "audience_type": "account", "account_list": ["ann"], "message_type": "notify",
            "message": { "title": "t", "content": "c" } });
        for (name, value) in given.as_object().unwrap() {
            body[name] = value.clone();
        }
        let push = Push::parse(body.to_string().as_bytes(), Platform::Android, NOW, Zone::CHINA).unwrap();
        Payload::new(&Outgoing { push_id: PushId(7), push: &push, expire_at: NOW + 3_600 })
    }

    fn sent(payload: &Payload, now: i64) -> Value {
        let target = Target { device: DeviceId(12), token: "to\"ken".into(), detail: None };
        let values = Values::new(vec!["name".into()], vec![(DeviceId(12), 0, "Ann".into())]);
        serde_json::from_slice(&payload.body(&target, &values, now).unwrap()).unwrap()
    }

    fn of(given: &Value) -> Value {
        sent(&made(given).unwrap(), NOW)
    }

    #[test]
    fn every_member_of_the_contract_has_its_place() {
        let message = json!({ "title": "t", "content": "c", "thread_id": "talk", "from": "x", "google.x": 1, "level": 3,
            "xg_media_resources": "https://example.com/a.png",
            "android": { "custom_content": "{\"a\":1}", "fcm_ch_id": "news", "n_ch_id": "other", "small_icon": "bird",
                "icon_color": 255, "ring": 1, "ring_raw": "bell", "vibrate": 1, "lights": 1, "clearable": 0,
                "badge_type": 3, "action": { "action_type": 3, "intent": "shop://cart" } } });
        assert_eq!(
            of(&json!({ "message": message })),
            json!({ "message": {
                "token": "to\"ken",
                "data": { "msg_id": "7-12", "push_id": "7", "custom_content": "{\"a\":1}",
                    "action": "{\"action_type\":3,\"intent\":\"shop://cart\"}", "thread_id": "talk", "level": "3",
                    "xg_media_resources": "https://example.com/a.png" },
                "notification": { "title": "t", "body": "c", "image": "https://example.com/a.png" },
                "android": { "ttl": "3600s", "priority": "HIGH", "notification": { "tag": "7", "channel_id": "news",
                    "icon": "bird", "color": "#0000ff", "sound": "bell", "default_vibrate_timings": true,
                    "default_light_settings": true, "sticky": true, "notification_count": 3 } },
            }})
        );
    }

    #[test]
    fn a_repeat_takes_the_place_of_the_first_and_so_does_what_is_to_collapse() {
        let tag = |given: Value| of(&given)["message"]["android"]["notification"]["tag"].clone();
        assert_eq!(tag(json!({})), "7");
        assert_eq!(tag(json!({ "message": { "title": "t", "android": { "n_id": 5 } } })), "n5");
        let collapses = json!({ "audience_type": "package_token_push", "upload_id": 1, "collapse_id": 3 });
        assert_eq!(tag(collapses.clone()), "3");
        let mut named = collapses.clone();
        named["message"] = json!({ "title": "t", "android": { "n_id": 5 } });
        assert_eq!(tag(named), "3", "what it replaces has this tag");
        assert_eq!(of(&collapses)["message"]["android"]["collapse_key"], "3");
        assert_eq!(of(&json!({}))["message"]["android"]["collapse_key"], Value::Null);
    }

    #[test]
    fn texts_are_filled_for_each_device() {
        let given = json!({ "message": { "title": "Dear {{name|friend}}", "content": "{{other|\"c\"}}" } });
        let message = &of(&given)["message"];
        assert_eq!(message["notification"], json!({ "title": "Dear Ann", "body": "\"c\"" }));
        assert_eq!(message["android"]["ttl"], "3600s");
    }

    #[test]
    fn what_is_filled_is_to_the_byte_what_would_have_been_sent_without_places() {
        let bytes = |given: Value| {
            let target = Target { device: DeviceId(12), token: "t".into(), detail: None };
            let values = Values::new(vec!["name".into()], vec![(DeviceId(12), 0, "A\"nn".into())]);
            made(&given).unwrap().body(&target, &values, NOW).unwrap()
        };
        for (filled, plain) in [
            (["Dear {{name}}", "{{other|c}}"], ["Dear A\"nn", "c"]),
            (["{{other}}", "{{|{{}}name"], ["", "{{name"]),
            (["t", "{{name}}{{name}}"], ["t", "A\"nnA\"nn"]),
        ] {
            let with = |[title, content]: [&str; 2]| {
                let android = json!({ "custom_content": "x" });
                bytes(json!({ "message": { "title": title, "content": content, "android": android } }))
            };
            assert_eq!(with(filled), with(plain), "{filled:?}");
        }
    }

    #[test]
    fn a_message_lives_for_what_is_left_of_the_push() {
        let payload = made(&json!({})).unwrap();
        let ttl = |now| sent(&payload, now)["message"]["android"]["ttl"].clone();
        assert_eq!([ttl(NOW + 3_599), ttl(NOW + 3_600), ttl(NOW + 9_999)], ["1s", "0s", "0s"]);
        assert_eq!(ttl(NOW - 30 * 86_400), "2419200s");
        assert_eq!(of(&json!({ "expire_time": 0 }))["message"]["android"]["ttl"], "0s", "who is online now, or nobody");
    }

    #[test]
    fn a_message_has_at_most_4096_bytes() {
        let of = |letters: usize| {
            let android = json!({ "custom_content": "\\".repeat(letters) });
            made(&json!({ "message": { "title": "t", "content": "c".repeat(1_000), "android": android } })).map(|_| ())
        };
        // A backslash is two bytes in the call, and two again here.
        let most = (0..1_500).rev().find(|letters| of(*letters).is_ok()).unwrap();
        assert!((1_400..1_500).contains(&most), "{most}");
        assert_eq!(of(most + 1), Err(Verdict::Refused("MessageTooBig".into())));
    }
}
