//! Wire: the `message` member of a call, read into a [`Message`].
//!
//! One table for each object says which members it has and of what kind; whatever is in no table goes through as it
//! came, so that a device can be told what this server has not heard of.

use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};

use super::{AcceptTime, Message, MessageType, TimeOfDay};
use crate::app::Platform;
use crate::loose::{self, Members};
use crate::ret::{Fault, excerpt};

/// What a member of a message is.
#[derive(Debug)]
pub enum Kind {
    /// A text.
    Text,
    /// A whole number, zero included.
    Number(i64, i64),
    /// A whole number; zero is "not set".
    Nonzero(i64, i64),
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// An object with these members.
    Object(Table),
    /// A text or an object of any members.
    TextOrObject,
    /// JSON in a text. An object is put into one.
    JsonText,
}

/// The members of an object that are known, each with what it is.
pub type Table = &'static [(&'static str, Kind)];

const ANY: Kind = Kind::Number(i32::MIN as i64, i32::MAX as i64);
const NONZERO: Kind = Kind::Nonzero(i32::MIN as i64, i32::MAX as i64);

impl Message {
    /// Members of `message` besides those that are fields of [`Message`].
    pub const COMMON: Table = COMMON;
    /// Members of the `android` object.
    pub const ANDROID: Table = ANDROID;
    /// Members of the `ios` object.
    pub const IOS: Table = IOS;
}

const COMMON: Table = &[
    ("thread_id", Kind::Text),
    ("thread_sumtext", Kind::Text),
    ("xg_media_resources", Kind::Text),
    ("xg_media_audio_resources", Kind::Text),
    ("show_type", NONZERO),
];

/// Names the payload has of its own; a member of `message` cannot take their place.
const RESERVED: &[&str] = &["msg_id", "push_id", "message_type", "custom_content", "sent_at", "expire_at"];

const ANDROID: Table = &[
    ("n_ch_id", Kind::Text),
    ("n_ch_name", Kind::Text),
    ("xm_ch_id", Kind::Text),
    ("hw_ch_id", Kind::Text),
    ("hw_biz_type", NONZERO),
    ("hw_category", Kind::Text),
    ("hw_importance", NONZERO),
    ("fcm_ch_id", Kind::Text),
    ("oppo_ch_id", Kind::Text),
    ("vivo_ch_id", Kind::Text),
    ("n_id", NONZERO),
    ("builder_id", NONZERO),
    ("badge_type", Kind::Number(-2, 99)),
    ("ring", ANY),
    ("ring_raw", Kind::Text),
    ("vibrate", ANY),
    ("lights", ANY),
    ("clearable", ANY),
    ("icon_type", ANY),
    ("icon_res", Kind::Text),
    ("style_id", NONZERO),
    ("small_icon", Kind::Text),
    ("icon_color", ANY),
    ("show_type", NONZERO),
    ("custom_content", Kind::JsonText),
    ("action", Kind::Object(ACTION)),
];

const ACTION: Table = &[
    ("action_type", Kind::Nonzero(1, 3)),
    ("activity", Kind::Text),
    ("aty_attr", Kind::Object(&[("if", ANY), ("pf", ANY)])),
    ("browser", Kind::Object(&[("url", Kind::Text), ("confirm", ANY)])),
    ("intent", Kind::Text),
];

const IOS: Table = &[("aps", Kind::Object(APS)), ("custom_content", Kind::JsonText)];

const APS: Table = &[
    ("alert", Kind::TextOrObject),
    ("badge_type", Kind::Number(-2, i32::MAX as i64)),
    ("category", Kind::Text),
    ("sound", Kind::TextOrObject),
    ("mutable-content", Kind::Number(0, 1)),
    ("interruption-level", Kind::Choice(&["passive", "active", "time-sensitive", "critical"])),
    ("content-available", Kind::Number(0, 1)),
];

/// Reads `message` for the devices of one platform; the other platforms' objects are not looked at.
pub(crate) fn message(given: &Members<'_>, message_type: MessageType, platform: Platform) -> Result<Message, Fault> {
    let mut message = Message {
        title: given.text("title")?.unwrap_or_default(),
        content: given.text("content")?.unwrap_or_default(),
        accept_time: accept_times(given)?,
        android: None,
        ios: None,
        rest: checked(given, COMMON, |name| !is_own(name))?,
    };
    if platform.is_apple() {
        let ios = object(given, platform, IOS)?.unwrap_or_default();
        message.ios = apple(&mut message, ios, message_type, given)?;
    } else {
        message.android = object(given, platform, ANDROID)?;
        action(message.android.as_ref(), &given.place(platform.object()))?;
    }
    let is_shown = !message.title.is_empty() || !message.content.is_empty() || has_localized_text(message.ios.as_ref());
    if message_type == MessageType::Notify && !is_shown {
        let place = given.place("title");
        return Err(Fault::missing(place, "a notification shows a title or a content, give at least one of them"));
    }
    Ok(message)
}

/// Whether a member of `message` is read elsewhere than among the rest.
fn is_own(name: &str) -> bool {
    matches!(name, "title" | "content" | "accept_time" | "android" | "ios") || RESERVED.contains(&name)
}

fn object(given: &Members<'_>, platform: Platform, table: Table) -> Result<Option<Map<String, Value>>, Fault> {
    let Some(members) = given.object(platform.object())? else { return Ok(None) };
    let checked = checked(&members, table, |_| true)?;
    Ok(Some(checked).filter(|members| !members.is_empty()))
}

/// The members of an object that are set and wanted, each in the type its table says.
fn checked(given: &Members<'_>, table: Table, wanted: impl Fn(&str) -> bool) -> Result<Map<String, Value>, Fault> {
    let mut kept = Map::new();
    for (name, value) in given.iter().filter(|(name, _)| wanted(name)) {
        let value = match table.iter().find(|(known, _)| known == name) {
            Some((_, kind)) => as_kind(value, kind, &|| given.place(name))?,
            None => Some(value.clone()).filter(|value| !value.is_null()),
        };
        if let Some(value) = value {
            kept.insert(name.clone(), value);
        }
    }
    Ok(kept)
}

fn as_kind(value: &Value, kind: &Kind, place: &dyn Fn() -> String) -> Result<Option<Value>, Fault> {
    match kind {
        Kind::Text => Ok(loose::text(value, place)?.map(Value::from)),
        Kind::Number(min, max) => in_range(loose::number(value, place)?, *min..=*max, place),
        Kind::Nonzero(min, max) => {
            in_range(loose::number(value, place)?.filter(|number| *number != 0), *min..=*max, place)
        }
        Kind::Choice(known) => match loose::text(value, place)? {
            None => Ok(None),
            Some(text) if known.contains(&text.as_str()) => Ok(Some(text.into())),
            Some(text) => {
                let text = excerpt(&text);
                Err(Fault::invalid(place(), format_args!("{text} is none of: {}", known.join(", "))))
            }
        },
        Kind::Object(table) => match loose::object(value, place)? {
            None => Ok(None),
            Some(members) => {
                let kept = checked(&members, table, |_| true)?;
                Ok(Some(kept).filter(|kept| !kept.is_empty()).map(Value::Object))
            }
        },
        Kind::TextOrObject => match value {
            Value::Object(map) => Ok(Some(value.clone()).filter(|_| !map.is_empty())),
            Value::Array(list) if list.is_empty() => Ok(None),
            other => Ok(loose::text(other, place)?.map(Value::from)),
        },
        Kind::JsonText => match value {
            Value::Object(map) => Ok(Some(value.to_string().into()).filter(|_| !map.is_empty())),
            Value::Array(list) if list.is_empty() => Ok(None),
            other => Ok(loose::text(other, place)?.map(Value::from)),
        },
    }
}

fn in_range(
    number: Option<i64>,
    range: RangeInclusive<i64>,
    place: &dyn Fn() -> String,
) -> Result<Option<Value>, Fault> {
    number.map(|number| loose::within::<i64>(number, range, place).map(Value::from)).transpose()
}

fn accept_times(given: &Members<'_>) -> Result<Vec<AcceptTime>, Fault> {
    let mut times = Vec::new();
    for (index, value) in given.list("accept_time")?.iter().enumerate() {
        let place = || format!("{}[{index}]", given.place("accept_time"));
        // An element of nothing but zeros is one that nobody filled in. Meant, it would be the whole day, which is
        // what having none is.
        if loose::is_unset(value) {
            continue;
        }
        let Some(part) = loose::object(value, place)? else { continue };
        times.push(AcceptTime { start: time_of_day(&part, "start")?, end: time_of_day(&part, "end")? });
    }
    Ok(times)
}

fn time_of_day(part: &Members<'_>, member: &str) -> Result<TimeOfDay, Fault> {
    let Some(time) = part.object(member)? else {
        return Err(Fault::missing(part.place(member), r#"give {"hour": 0-23, "min": 0-59}"#));
    };
    let read = |name: &str, max: i64| loose::within(time.number(name)?.unwrap_or(0), 0..=max, || time.place(name));
    Ok(TimeOfDay { hour: read("hour", 23)?, min: read("min", 59)? })
}

/// What an action opens has to be there.
fn action(android: Option<&Map<String, Value>>, place: &str) -> Result<(), Fault> {
    let Some(action) = android.and_then(|android| android.get("action")) else { return Ok(()) };
    match action["action_type"].as_i64() {
        Some(2) if action["browser"]["url"].is_null() => {
            Err(Fault::missing(format_args!("{place}.action.browser.url"), "action_type 2 opens a URL, give it"))
        }
        Some(3) if action["intent"].is_null() => {
            Err(Fault::missing(format_args!("{place}.action.intent"), "action_type 3 opens an intent, give it"))
        }
        _ => Ok(()),
    }
}

/// Apple's rules: the alert stands in for a missing title and content; a silent push has neither alert nor sound nor
/// badge, and is never a notification.
fn apple(
    message: &mut Message,
    mut ios: Map<String, Value>,
    message_type: MessageType,
    given: &Members<'_>,
) -> Result<Option<Map<String, Value>>, Fault> {
    let mut aps = match ios.remove("aps") {
        Some(Value::Object(aps)) => aps,
        _ => Map::new(),
    };
    let place = |member: &str| given.place(&format!("ios.aps.{member}"));
    let is_silent = aps.get("content-available").and_then(Value::as_i64) == Some(1);
    match message_type {
        MessageType::Notify if is_silent => {
            let remedy = r#"a silent push shows nothing; give message_type "message", or leave it out"#;
            return Err(Fault::invalid(place("content-available"), remedy));
        }
        MessageType::Notify => stand_in(message, aps.get("alert")),
        MessageType::Message => {
            // -1 is "unchanged", and 0 what a loose client sends for "not set": no badge either way.
            if matches!(aps.get("badge_type").and_then(Value::as_i64), Some(-1 | 0)) {
                aps.remove("badge_type");
            }
            if let Some(member) = ["alert", "sound", "badge_type"].into_iter().find(|member| aps.contains_key(*member))
            {
                let remedy =
                    r#"a silent push has no alert, sound or badge; leave it out, or give message_type "notify""#;
                return Err(Fault::invalid(place(member), remedy));
            }
            aps.insert("content-available".to_owned(), json!(1));
        }
    }
    if !aps.is_empty() {
        ios.insert("aps".to_owned(), Value::Object(aps));
    }
    Ok(Some(ios).filter(|ios| !ios.is_empty()))
}

/// Whether an alert names texts of the app, which its devices have in their own languages.
fn has_localized_text(ios: Option<&Map<String, Value>>) -> bool {
    let alert = ios.and_then(|ios| ios.get("aps")?.get("alert"));
    let has = |name: &str| alert.and_then(|alert| alert.get(name)?.as_str()).is_some_and(|key| !key.is_empty());
    has("loc-key") || has("title-loc-key")
}

fn stand_in(message: &mut Message, alert: Option<&Value>) {
    let (title, body) = match alert {
        Some(Value::String(body)) => (None, Some(body.as_str())),
        Some(alert) => (alert["title"].as_str(), alert["body"].as_str()),
        None => (None, None),
    };
    for (own, alert) in [(&mut message.title, title), (&mut message.content, body)] {
        if let (true, Some(alert)) = (own.is_empty(), alert) {
            alert.clone_into(own);
        }
    }
}
