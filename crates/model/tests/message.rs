//! The `message` member of a push, on each platform, and what a device gets of it.

use pigeonloft_model::{DeviceId, Fault, Payload, Platform, Push, PushId, Zone};
use serde_json::{Value, json};

const NOW: i64 = 1_700_000_000;

fn parse(platform: Platform, message_type: &str, message: &Value) -> Result<Push, Fault> {
    let body = json!({"audience_type": "token", "token_list": ["t"], "message_type": message_type, "message": message});
    Push::parse(body.to_string().as_bytes(), platform, NOW, Zone::CHINA)
}

fn notify(platform: Platform, message: Value) -> Result<Push, Fault> {
    parse(platform, "notify", &message)
}

fn code(pushed: Result<Push, Fault>) -> i32 {
    pushed.err().map_or(0, |fault| fault.code.code())
}

fn android(members: Value) -> i32 {
    code(notify(Platform::Android, json!({"title": "t", "android": members})))
}

fn payload(push: &Push) -> Value {
    let payload = Payload::new(PushId(7), push, NOW, NOW + 800);
    serde_json::from_slice(&payload.for_device(DeviceId(12))).expect("a payload is JSON")
}

#[test]
fn a_message_has_at_most_4096_bytes_as_it_came() {
    let sized = |bytes: usize| {
        let frame = r#"{"title":""}"#.len();
        format!(
            r#"{{"audience_type":"token","token_list":["t"],"message_type":"notify","message": {{"title":"{}"}} }}"#,
            "a".repeat(bytes - frame)
        )
    };
    assert!(Push::parse(sized(4_096).as_bytes(), Platform::Android, NOW, Zone::CHINA).is_ok());
    let fault = Push::parse(sized(4_097).as_bytes(), Platform::Android, NOW, Zone::CHINA).unwrap_err();
    assert_eq!(fault.code.code(), 1_008_007);
    assert_eq!(fault.text, "message is invalid: it has 4097 bytes, shorten it to at most 4096");
}

#[test]
fn a_message_given_twice_is_refused_since_nobody_knows_which_is_meant() {
    let body = r#"{"audience_type":"token","token_list":["t"],"message_type":"notify","message":{"title":"a"},"message":{"title":"b"}}"#;
    assert_eq!(code(Push::parse(body.as_bytes(), Platform::Android, NOW, Zone::CHINA)), 1_008_001);
}

#[test]
fn a_notification_has_a_title_or_a_content_and_an_in_app_message_may_have_neither() {
    assert_eq!(code(notify(Platform::Android, json!({"title": "", "content": "c"}))), 0);
    assert_eq!(code(notify(Platform::Android, json!({"title": "t"}))), 0);
    assert_eq!(
        code(notify(Platform::Android, json!({"title": "", "content": null, "android": {"ring": 1}}))),
        1_008_002
    );
    let silent = json!({"android": {"custom_content": "{}"}});
    assert_eq!(code(parse(Platform::Android, "message", &silent)), 0);
}

#[test]
fn the_object_of_another_platform_is_not_looked_at() {
    let message = json!({"title": "t", "android": {"badge_type": 7}, "ios": {"aps": {"badge_type": -9}}});
    let push = notify(Platform::Android, message.clone()).unwrap();
    assert_eq!((push.message.android.is_some(), push.message.ios.is_some()), (true, false));
    assert_eq!(code(notify(Platform::Ios, message.clone())), 1_008_007);
    assert_eq!(code(notify(Platform::Web, message.clone())), 0, "web is as Android");
    assert_eq!(code(notify(Platform::Macos, message)), 1_008_007, "macOS is as iOS");
}

#[test]
fn android_members_have_their_types_and_ranges() {
    for (badge, expected) in [(-2, 0), (-1, 0), (0, 0), (99, 0), (-3, 1_008_007), (100, 1_008_007)] {
        assert_eq!(android(json!({"badge_type": badge})), expected, "{badge}");
    }
    for (members, expected) in [
        (json!({"ring": "1", "vibrate": 0, "n_ch_id": 5, "icon_res": "", "small_icon": null}), 0),
        (json!({"ring": "loud"}), 1_008_001),
        (json!({"n_ch_id": {}}), 1_008_001),
        (json!({"action": {"action_type": 1, "activity": "a.B", "aty_attr": {"if": 0, "pf": "0"}}}), 0),
        (json!({"action": {"action_type": 0}}), 0),
        (json!({"action": {"action_type": 4}}), 1_008_007),
        (json!({"action": {"action_type": 2, "browser": {"url": "https://a.b", "confirm": 1}}}), 0),
        (json!({"action": {"action_type": 2, "browser": {"url": ""}}}), 1_008_002),
        (json!({"action": {"action_type": 3, "intent": "xgscheme://a"}}), 0),
        (json!({"action": {"action_type": "3"}}), 1_008_002),
        (json!({"action": "open"}), 1_008_001),
        (json!([]), 0),
        (json!("x"), 1_008_001),
    ] {
        assert_eq!(android(members.clone()), expected, "{members}");
    }
}

#[test]
fn a_fault_in_a_message_names_its_place() {
    let fault =
        notify(Platform::Android, json!({"title": "t", "android": {"action": {"action_type": 9}}})).unwrap_err();
    assert_eq!(fault.text, "message.android.action.action_type is invalid: it is 9, give a number from 1 to 3");
}

#[test]
fn accept_time_is_hours_and_minutes_as_numbers_or_texts() {
    let with = |time: Value| notify(Platform::Android, json!({"title": "t", "accept_time": time}));
    let push = with(json!([{"start": {"hour": "13", "min": "00"}, "end": {"hour": 23, "min": 59}}])).unwrap();
    let expected = json!([{"start": {"hour": 13, "min": 0}, "end": {"hour": 23, "min": 59}}]);
    assert_eq!(json!(push.message.accept_time), expected);
    assert_eq!(payload(&push)["accept_time"], expected);
    for (time, expected) in [
        (json!([{"start": {"hour": "24", "min": "00"}, "end": {"hour": 1, "min": 0}}]), 1_008_007),
        (json!([{"start": {"hour": "1", "min": "60"}, "end": {"hour": 1, "min": 0}}]), 1_008_007),
        (json!([{"start": {"hour": "1"}}]), 1_008_002),
        (json!([{"start": {"hour": "one"}, "end": {"hour": 1}}]), 1_008_001),
        (json!(["13:00"]), 1_008_001),
        (json!([]), 0),
        (json!([{"start": {"hour": "", "min": ""}, "end": {"hour": "", "min": ""}}]), 0),
    ] {
        assert_eq!(code(with(time.clone())), expected, "{time}");
    }
}

#[test]
fn title_and_content_win_over_the_alert_which_stands_in_for_them() {
    let text = |message: Value| {
        let push = notify(Platform::Ios, message).unwrap();
        (push.message.title, push.message.content)
    };
    let pair = |title: &str, content: &str| (title.to_owned(), content.to_owned());
    let alert = json!({"aps": {"alert": {"title": "at", "body": "ab"}}});
    assert_eq!(text(json!({"title": "t", "content": "c", "ios": alert})), pair("t", "c"));
    assert_eq!(text(json!({"content": "c", "ios": alert})), pair("at", "c"));
    assert_eq!(text(json!({"ios": {"aps": {"alert": "ab"}}})), pair("", "ab"));
}

#[test]
fn an_alert_may_name_texts_that_the_app_has_in_place_of_a_title_and_a_content() {
    let alert = |alert: Value| code(notify(Platform::Ios, json!({"ios": {"aps": {"alert": alert}}})));
    assert_eq!(alert(json!({"loc-key": "SALE", "loc-args": ["20"]})), 0);
    assert_eq!(alert(json!({"title-loc-key": "SALE"})), 0);
    assert_eq!(alert(json!({"loc-key": "", "action-loc-key": "OPEN"})), 1_008_002);
}

#[test]
fn aps_members_have_their_types_and_ranges() {
    let aps = |aps: Value| code(notify(Platform::Ios, json!({"title": "t", "ios": {"aps": aps}})));
    for (members, expected) in [
        (json!({"badge_type": -2}), 0),
        (json!({"badge_type": 1_000}), 0),
        (json!({"badge_type": -3}), 1_008_007),
        (json!({"mutable-content": "1", "category": "c", "sound": "s.caf", "thread-id": "x"}), 0),
        (json!({"mutable-content": 2}), 1_008_007),
        (json!({"interruption-level": "time-sensitive"}), 0),
        (json!({"interruption-level": "loud"}), 1_008_007),
        (json!({"sound": {"critical": 1, "name": "s"}}), 0),
        (json!({"alert": 7}), 0),
        (json!({"alert": true}), 1_008_001),
    ] {
        assert_eq!(aps(members.clone()), expected, "{members}");
    }
}

#[test]
fn a_silent_push_shows_nothing_and_is_no_notification() {
    let silent = |aps: Value| parse(Platform::Ios, "message", &json!({"ios": {"aps": aps}}));
    for (aps, expected) in [
        (json!({"content-available": 1}), 0),
        (json!({}), 0),
        (json!({"content-available": 1, "badge_type": -1, "sound": "", "alert": {}}), 0),
        (json!({"content-available": 1, "badge_type": 0}), 0),
        (json!({"content-available": 1, "badge_type": 1}), 1_008_007),
        (json!({"content-available": 1, "sound": "s"}), 1_008_007),
        (json!({"content-available": 1, "alert": "a"}), 1_008_007),
    ] {
        assert_eq!(code(silent(aps.clone())), expected, "{aps}");
    }
    assert_eq!(payload(&silent(json!({})).unwrap())["ios"], json!({"aps": {"content-available": 1}}));
    let shown = json!({"title": "t", "ios": {"aps": {"content-available": 1}}});
    assert_eq!(code(notify(Platform::Ios, shown)), 1_008_007);
    let unset = json!({"title": "t", "ios": {"aps": {"content-available": 0}}});
    assert_eq!(code(notify(Platform::Ios, unset)), 0);
}

#[test]
fn a_device_gets_the_message_for_its_platform_and_custom_content_outside_of_it() {
    let message = json!({
        "title": "标题", "content": "a \"quoted\" \u{0} text", "thread_id": "th", "xg_media_resources": "",
        "android": {"custom_content": "{\"k\":\"v\"}", "ring": "1", "n_ch_id": null, "from_the_future": {"a": [1.5]}},
        "ios": {"aps": {"sound": "s"}},
    });
    let push = notify(Platform::Android, message).unwrap();
    let json = Payload::new(PushId(7), &push, NOW, NOW + 800).for_device(DeviceId(12));
    let expected = concat!(
        r#"{"msg_id":"7-12","push_id":"7","message_type":"notify","title":"标题","content":"a \"quoted\" \u0000 text","#,
        r#""custom_content":"{\"k\":\"v\"}","thread_id":"th","android":{"ring":1,"from_the_future":{"a":[1.5]}},"#,
        r#""sent_at":1700000000,"expire_at":1700000800}"#,
    );
    assert_eq!(String::from_utf8(json).unwrap(), expected);
}

#[test]
fn a_custom_content_given_as_an_object_becomes_the_text_it_should_have_been() {
    let push = notify(Platform::Ios, json!({"title": "t", "ios": {"custom_content": {"k": 1}}})).unwrap();
    assert_eq!(payload(&push)["custom_content"], r#"{"k":1}"#);
    assert_eq!(payload(&push).get("ios"), None, "nothing else was in it");
}

#[test]
fn a_member_of_the_message_cannot_pass_for_one_of_the_payload() {
    let message =
        json!({"title": "t", "msg_id": "1-1", "push_id": "9", "sent_at": 0, "custom_content": "x", "extra": "y"});
    let payload = payload(&notify(Platform::Android, message).unwrap());
    assert_eq!(
        (&payload["msg_id"], &payload["push_id"], &payload["sent_at"]),
        (&json!("7-12"), &json!("7"), &json!(NOW))
    );
    assert_eq!((&payload["custom_content"], &payload["extra"]), (&json!(""), &json!("y")));
}

#[test]
fn a_stored_payload_comes_back_as_it_was() {
    let payload = Payload::new(PushId(7), &notify(Platform::Android, json!({"title": "t"})).unwrap(), NOW, NOW);
    assert_eq!(Payload::from_stored(payload.as_stored()), Ok(payload.clone()));
    assert_eq!(payload.push(), PushId(7));
    for text in ["", "{}", r#"{"push_id":"x","a":1}"#, r#"{"push_id":"7"}"#, r#"{"push_id":7,"#] {
        assert!(Payload::from_stored(text).is_err(), "{text}");
    }
}
