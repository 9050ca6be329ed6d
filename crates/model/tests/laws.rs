//! What holds for every input: reading never panics, what was read survives being stored, and what a device gets is
//! JSON whatever the message says.

use pigeonloft_model::{
    AccountOperation, AccountQuery, AttributeCall, Day, DayFormat, DeviceId, Expire, MessageId, Payload, Platform,
    Push, PushId, PushRecordQuery, Zone, statistics,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Names the bodies know, so that arbitrary bodies get past the first check.
const NAMES: &[&str] = &[
    "audience_type",
    "message_type",
    "message",
    "upload_id",
    "token_list",
    "account_list",
    "expire_time",
    "send_time",
    "loop_param",
    "account_type",
    "account_push_type",
    "push_speed",
    "collapse_id",
    "channel_rules",
    "channel",
    "seq",
    "plan_id",
    "group_id",
    "planId",
    "groupId",
    "startDate",
    "endDate",
    "environment",
    "title",
    "content",
    "accept_time",
    "start",
    "end",
    "hour",
    "min",
    "android",
    "ios",
    "aps",
    "alert",
    "badge_type",
    "content-available",
    "custom_content",
    "action",
    "action_type",
    "browser",
    "url",
    "sound",
    "operator_type",
    "token_accounts",
    "token",
    "account",
    "pushId",
    "startDate",
    "endDate",
    "limit",
    "offset",
    "ring",
    "cmd",
    "attributeInfo",
    "attributeMap",
];

const TEXTS: &[&str] = &[
    "",
    "0",
    "1",
    "2",
    "notify",
    "message",
    "package_account_push",
    "token_list",
    "account_list",
    "xg",
    "dev",
    "2023-11-16 00:00:00",
    "2023-11-16",
    "0123456789abcdef0123456789abcdef0123",
    "信鸽",
    "\u{0}",
    "-1",
    "800",
];

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..3).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(TEXTS).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 8, |inner| {
        prop_oneof![prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from), object(inner),]
    })
}

fn object(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    let name = prop_oneof![9 => prop::sample::select(NAMES).prop_map(str::to_owned), 1 => any::<String>()];
    let members = prop::collection::vec((name, inner), 0..10);
    members.prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>()))
}

fn platform() -> impl Strategy<Value = Platform> {
    prop::sample::select(Platform::ALL)
}

/// A call that is right but for what was put into it at random.
fn likely_call() -> impl Strategy<Value = Value> {
    let audience = prop_oneof![
        Just(json!({"audience_type": "package_token_push", "upload_id": 3})),
        prop::collection::vec(any::<String>(), 1..5)
            .prop_map(|list| json!({"audience_type": "account_list", "account_list": list})),
    ];
    let message = (any::<String>(), object(value()), object(value()), object(value()));
    (audience, prop::sample::select(&["notify", "message"][..]), message, object(value())).prop_map(
        |(audience, message_type, (title, message, android, aps), other)| {
            let mut call = other;
            let mut message = message;
            message["title"] = json!(format!("t{title}"));
            message["android"] = android;
            message["ios"] = json!({"aps": aps, "custom_content": title});
            call["message"] = message;
            call["message_type"] = json!(message_type);
            call.as_object_mut()
                .into_iter()
                .for_each(|call| call.extend(audience.as_object().cloned().unwrap_or_default()));
            call
        },
    )
}

fn read_everything(body: &[u8], platform: Platform, now: i64) {
    let _ = Push::parse(body, platform, now, Zone::CHINA);
    let _ = AccountOperation::parse(body);
    let _ = AccountQuery::parse(body);
    let _ = AttributeCall::parse(body);
    let _ = PushRecordQuery::parse(body, Day(19_676));
    let _ = statistics::GroupQuery::parse(body, Day(19_676));
    let _ = statistics::device_days(body, Day(19_676));
    let _ = statistics::one_push(body);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_reading_panic(body: Vec<u8>, platform in platform(), now: i64) {
        read_everything(&body, platform, now);
    }

    #[test]
    fn no_json_makes_reading_panic(body in object(value()), platform in platform(), now: i64) {
        read_everything(body.to_string().as_bytes(), platform, now);
    }

    #[test]
    fn a_refusal_is_a_short_text_on_one_line(body in likely_call(), platform in platform()) {
        if let Err(fault) = Push::parse(body.to_string().as_bytes(), platform, 1_700_000_000, Zone::CHINA) {
            prop_assert!(!fault.text.is_empty() && fault.text.len() < 1_024, "{}", fault.text);
            prop_assert!(!fault.text.chars().any(char::is_control), "{:?}", fault.text);
            prop_assert_ne!(fault.code.code(), 0);
        }
    }

    #[test]
    fn a_push_survives_being_stored(body in likely_call(), platform in platform()) {
        if let Ok(mut push) = Push::parse(body.to_string().as_bytes(), platform, 1_700_000_000, Zone::CHINA) {
            // Each occurrence is stored by itself.
            push.send_at = push.occurrences.take().map_or(push.send_at, |loops| loops.times.first().copied());
            let stored = push.to_stored();
            let back = Push::from_stored(&stored).unwrap();
            prop_assert_eq!(&back, &push);
            prop_assert_eq!(back.to_stored(), stored);
        }
    }

    #[test]
    fn reading_a_message_again_changes_nothing(body in likely_call(), platform in platform()) {
        let read = |body: &Value| Push::parse(body.to_string().as_bytes(), platform, 1_700_000_000, Zone::CHINA);
        if let Ok(push) = read(&body) {
            let mut again = body;
            again["message"] = json!(push.message);
            // Written out in full a message may outgrow the limit, which it kept in its own notation.
            if again["message"].to_string().len() <= pigeonloft_model::Message::MAX_BYTES {
                prop_assert_eq!(read(&again).unwrap(), push);
            }
        }
    }

    #[test]
    fn a_payload_is_json_whatever_the_message_says(body in likely_call(), platform in platform(), id in 1_i64.., device: i64, sent_at: i64) {
        if let Ok(push) = Push::parse(body.to_string().as_bytes(), platform, 1_700_000_000, Zone::CHINA) {
            let expire_at = push.expire.deadline(sent_at);
            let payload = Payload::new(PushId(id), &push, sent_at, expire_at);
            let json: Value = serde_json::from_slice(&payload.for_device(DeviceId(device))).unwrap();
            let msg_id = MessageId { push: PushId(id), device: DeviceId(device) }.to_string();
            prop_assert_eq!(&json["msg_id"], &json!(msg_id));
            prop_assert_eq!(&json["push_id"], &json!(id.to_string()));
            prop_assert_eq!(&json["title"], &json!(push.message.title));
            prop_assert_eq!(&json["expire_at"], &json!(expire_at));
            prop_assert_eq!(Payload::from_stored(payload.as_stored()).unwrap(), payload);
        }
    }

    #[test]
    fn a_time_is_read_as_it_is_written(unix in -60_000_000_000_i64..250_000_000_000, minutes in -1439_i32..=1439) {
        let sign = if minutes < 0 { '-' } else { '+' };
        let zone: Zone = format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60).parse().unwrap();
        prop_assert_eq!(zone.time(&zone.text(unix)), Some(unix));
        prop_assert_eq!(zone.to_string().parse(), Ok(zone));
        prop_assert_eq!(Day::of(unix, zone).text(DayFormat::Dashed), &zone.text(unix)[..10]);
    }

    #[test]
    fn a_deadline_lies_within_the_longest_time_a_push_is_kept(seconds in 0_i64..=259_200, sent_at: i64) {
        let call = json!({"audience_type": "token", "token_list": ["t"], "message_type": "message",
            "message": {"title": "t"}, "expire_time": seconds});
        let push = Push::parse(call.to_string().as_bytes(), Platform::Android, 0, Zone::CHINA).unwrap();
        let kept = push.expire.deadline(sent_at).saturating_sub(sent_at);
        prop_assert!(kept <= i64::from(Expire::MAX));
        prop_assert!(kept >= i64::from(Expire::MIN).min(i64::MAX.saturating_sub(sent_at)));
    }
}

#[test]
fn the_stored_form_of_a_push_is_still_read() {
    // What a released version wrote. Never change it: add another text.
    let stored = concat!(
        r#"{"audience":{"package_account_push":7},"message_type":"notify","environment":"product","#,
        r#""message":{"title":"t","content":"c","android":{"ring":1},"thread_id":"x"},"expire":{"seconds":800},"#,
        r#""send_at":1700000001,"account_type":991,"account_push":"all","ignore_invalid_token":false,"seq":5,"#,
        r#""collapse_id":12,"force_collapse":true,"push_speed":1000,"channel_rules":[{"channel":"xg","disable":true}],"#,
        r#""skip_own_channel_online":false,"multi_pkg":false,"plan_id":"p"}"#,
    );
    assert_eq!(Push::from_stored(stored).unwrap().to_stored(), stored);
    let least = concat!(
        r#"{"audience":{"token":"t"},"message_type":"message","environment":"dev","message":{},"#,
        r#""expire":"online_only","account_push":"latest"}"#,
    );
    assert_eq!(Push::from_stored(least).unwrap().expire, Expire::OnlineOnly);
}
