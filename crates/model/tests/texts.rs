//! Texts of a message into which a device's attributes are filled.

use std::sync::Arc;

use pigeonloft_model::text::pieces;
use pigeonloft_model::{DeviceId, Fault, Message, Payload, Piece, Platform, Push, PushId, Values, Zone};
use proptest::prelude::*;
use serde_json::{Value, json};

const NOW: i64 = 1_700_000_000;

fn notify(platform: Platform, message: &Value) -> Push {
    let body = json!({"audience_type": "token", "token_list": ["t"], "message_type": "notify", "message": message});
    Push::parse(body.to_string().as_bytes(), platform, NOW, Zone::CHINA).expect("a push")
}

fn payload(push: &Push) -> Payload {
    Payload::new(PushId(7), push, NOW, NOW + 800)
}

/// What device 1 gets, whose attributes are these.
fn got(payload: &Payload, held: &[(&str, &str)]) -> Value {
    let names = held.iter().map(|(name, _)| (*name).to_owned()).collect();
    let of = |device| held.iter().enumerate().map(move |(place, (_, value))| (DeviceId(device), place, *value));
    // A neighbour's are not this one's.
    let held = of(1).map(|(device, place, value)| (device, place, value.to_owned()));
    let neighbour = of(2).map(|(device, place, _)| (device, place, "somebody else's".to_owned()));
    let mut payload = payload.clone();
    payload.fill_from(Arc::new(Values::new(names, neighbour.chain(held).collect())));
    serde_json::from_slice(&payload.for_device(DeviceId(1))).expect("a payload is JSON")
}

fn check(message: &Value, declared: &[&str]) -> Result<(), Fault> {
    let declared: Vec<String> = declared.iter().map(|&name| name.to_owned()).collect();
    let platform = if message.get("ios").is_some() { Platform::Ios } else { Platform::Android };
    notify(platform, message).message.check_attributes(&declared)
}

#[test]
fn title_and_content_are_filled_for_each_device_and_nothing_else() {
    let push = notify(
        Platform::Android,
        &json!({"title": "Dear {{ name | friend }},", "content": "{{points}} points \"for\" {{name|you}}",
            "thread_id": "{{name}}", "android": {"custom_content": "{{name}}", "ring_raw": "{{name}}"}}),
    );
    let payload = payload(&push);
    assert_eq!(payload.attributes(), ["name", "points"]);
    let ming = got(&payload, &[("points", "7"), ("name", "\"Ming\"\u{1} \\ 信")]);
    assert_eq!(ming["title"], "Dear \"Ming\"\u{1} \\ 信,");
    assert_eq!(ming["content"], "7 points \"for\" \"Ming\"\u{1} \\ 信");
    for kept in [&ming["thread_id"], &ming["custom_content"], &ming["android"]["ring_raw"]] {
        assert_eq!(kept, "{{name}}");
    }
    let nobody = got(&payload, &[]);
    assert_eq!((&nobody["title"], &nobody["content"]), (&json!("Dear friend,"), &json!(" points \"for\" you")));
    // A value is never read as a text with places.
    assert_eq!(got(&payload, &[("name", "{{points}}"), ("points", "7")])["title"], "Dear {{points}},");
}

#[test]
fn the_texts_of_an_alert_are_filled_too() {
    let alert = json!({"title": "T {{a}}", "subtitle": "S {{a}}", "body": "B {{a}}", "loc-key": "{{a}}", "badge": [1]});
    let push = notify(Platform::Ios, &json!({"ios": {"aps": {"alert": alert, "sound": "{{a}}"}, "extra": "{{a}}"}}));
    let json = got(&payload(&push), &[("a", "x")]);
    assert_eq!((&json["title"], &json["content"]), (&json!("T x"), &json!("B x")));
    let expected = json!({"title": "T x", "subtitle": "S x", "body": "B x", "loc-key": "{{a}}", "badge": [1]});
    assert_eq!(json["ios"], json!({"aps": {"alert": expected, "sound": "{{a}}"}, "extra": "{{a}}"}));
    let push = notify(Platform::Ios, &json!({"ios": {"aps": {"alert": "B {{a|y}}"}}}));
    assert_eq!(got(&payload(&push), &[])["ios"]["aps"]["alert"], "B y");
}

#[test]
fn a_text_without_places_has_nothing_to_fill_in() {
    let push = notify(Platform::Android, &json!({"title": "a {{ b", "content": "}} {x}"}));
    assert!(!push.message.is_filled());
    let payload = payload(&push);
    assert_eq!(payload.attributes(), [""; 0]);
    assert!(payload.as_stored().starts_with(r#"{"push_id""#));
    // Braces that are meant are written once, when the push comes in.
    let push = notify(Platform::Android, &json!({"title": "{{|{{}}a}}"}));
    assert!(push.message.is_filled());
    let payload = self::payload(&push);
    assert_eq!((payload.attributes().len(), got(&payload, &[])["title"].as_str()), (0, Some("{{a}}")));
    assert!(payload.as_stored().starts_with(r#"{"push_id""#));
}

#[test]
fn a_text_names_declared_attributes_and_not_too_many() {
    assert_eq!(check(&json!({"title": "{{a}}{{b|c}}", "content": "{{|{{}}"}), &["a", "b"]), Ok(()));
    for (message, place) in [
        (json!({"title": "{{a}}{{other|x}}"}), "message.title is invalid: the app has no attribute \"other\""),
        (json!({"content": "{{other}}"}), "message.content is"),
        (json!({"title": "{{}}"}), "message.title is invalid: the app has no attribute \"\""),
        (json!({"ios": {"aps": {"alert": "{{other}}"}}}), "message.ios.aps.alert is"),
        (
            json!({"title": "t", "ios": {"aps": {"alert": {"subtitle": "{{other}}"}}}}),
            "message.ios.aps.alert.subtitle is",
        ),
    ] {
        let fault = check(&message, &["a"]).unwrap_err();
        assert_eq!(fault.code.code(), 1_008_007);
        assert!(fault.text.starts_with(place) && fault.text.contains("pigeonloft app attribute add"), "{}", fault.text);
    }
    let many = |count: usize| check(&json!({"title": "{{a}}".repeat(count)}), &["a"]);
    assert_eq!(many(Message::PLACES_MAX), Ok(()));
    assert_eq!(many(Message::PLACES_MAX + 1).unwrap_err().code.code(), 1_008_007);
}

#[test]
fn a_stored_payload_whose_places_are_damaged_is_none() {
    let push = notify(Platform::Android, &json!({"title": "信{{a|b}}"}));
    let stored = payload(&push).as_stored().to_owned();
    assert!(stored.starts_with(r#"[["#), "{stored}");
    assert_eq!(Payload::from_stored(&*stored), Ok(payload(&push)));
    let (_, object) = stored.split_once(r#"]]"#).unwrap();
    let within = object.find('信').unwrap() + 1;
    for places in ["[", "[[1]]", "[[0,\"a\",\"\"]]", "[[9,\"a\",\"\"],[8,\"a\",\"\"]]", "[[100000,\"a\",\"\"]]", "{}"] {
        assert!(Payload::from_stored(format!("{places}{object}")).is_err(), "{places}");
    }
    assert!(Payload::from_stored(format!("[[{within},\"a\",\"\"]]{object}")).is_err(), "between two characters");
}

fn filled(text: &str, held: &[(&str, &str)]) -> String {
    let fill = |piece| match piece {
        Piece::Plain(plain) => plain,
        Piece::Attribute { name, default } => {
            held.iter().find(|(held, _)| *held == name).map_or(default, |(_, value)| *value)
        }
    };
    pieces(text).map(fill).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_texts_and_values_are_a_device_gets_the_one_filled_from_the_other(
        texts in prop::array::uniform4(r#"([ab"\\信]|\{\{|\}\}|\||\{\{a\}\}|\{\{b\|c\}\}|\PC){0,12}"#), a: String, b: String,
    ) {
        let [title, content, alert, subtitle] = &texts;
        let message = json!({"title": format!("t{title}"), "content": content,
            "ios": {"aps": {"alert": {"title": alert, "subtitle": subtitle}}}});
        let push = notify(Platform::Ios, &message);
        let held = [("a", &*a), ("b", &*b)];
        let payload = payload(&push);
        let json = got(&payload, &held);
        prop_assert_eq!(&json["title"], &json!(filled(&format!("t{title}"), &held)));
        prop_assert_eq!(&json["content"], &json!(filled(content, &held)));
        let alerted = &json["ios"]["aps"]["alert"];
        prop_assert_eq!(alerted["title"].as_str(), Some(&*filled(alert, &held)));
        prop_assert_eq!(alerted["subtitle"].as_str(), Some(&*filled(subtitle, &held)));
        prop_assert_eq!(Payload::from_stored(payload.as_stored()), Ok(payload));
    }
}
