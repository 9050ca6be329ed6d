//! Checks: what FCM refuses of a message, by its documentation.

use http::HeaderMap;
use serde_json::{Map, Value};

use super::Seen;

/// Bytes of what is shown and of the data.
const BYTES_MAX: usize = 4_096;

/// Seconds of 28 days.
const TTL_MAX: i64 = 28 * 86_400;

/// A request for a message, read.
///
/// # Errors
/// The field at fault.
pub(super) fn message(path: &str, headers: &HeaderMap, body: &[u8]) -> Result<Seen, &'static str> {
    let project = path.strip_prefix("/v1/projects/").and_then(|rest| rest.strip_suffix("/messages:send"));
    let project = project.filter(|project| !project.is_empty() && !project.contains('/')).ok_or("name")?;
    if !headers.get("content-type").is_some_and(|kind| kind.as_bytes().starts_with(b"application/json")) {
        return Err("content-type");
    }
    let whole: Value = serde_json::from_slice(body).map_err(|_| "message")?;
    let message = whole["message"].as_object().ok_or("message")?;
    let token =
        message.get("token").and_then(Value::as_str).filter(|token| !token.is_empty()).ok_or("message.token")?;
    known(message, &["token", "data", "notification", "android"], "message")?;
    let none = Map::new();
    let object = |name: &str| message.get(name).map_or(Some(&none), Value::as_object);
    let data = object("data").ok_or("message.data")?;
    if data.iter().any(|(name, value)| !value.is_string() || is_reserved(name)) {
        return Err("message.data");
    }
    let notification = object("notification").ok_or("message.notification")?;
    known(notification, &["title", "body", "image"], "message.notification")?;
    let android = object("android").ok_or("message.android")?;
    known(android, &["ttl", "priority", "collapse_key", "notification"], "message.android")?;
    if android.get("ttl").is_some_and(|ttl| !is_ttl(ttl)) {
        return Err("message.android.ttl");
    }
    if android.get("priority").is_some_and(|priority| priority != "HIGH" && priority != "NORMAL") {
        return Err("message.android.priority");
    }
    let shown =
        android.get("notification").map_or(Some(&none), Value::as_object).ok_or("message.android.notification")?;
    known(shown, SHOWN, "message.android.notification")?;
    let bytes: usize =
        [data, notification, shown].map(|part| Value::Object(part.clone()).to_string().len()).iter().sum();
    if bytes > BYTES_MAX {
        return Err("message");
    }
    Ok(Seen { project: project.to_owned(), token: token.to_owned(), message: whole["message"].clone() })
}

/// Members of `android.notification`, as far as any is sent.
const SHOWN: &[&str] = &[
    "tag",
    "channel_id",
    "icon",
    "color",
    "sound",
    "default_sound",
    "default_vibrate_timings",
    "default_light_settings",
    "sticky",
    "notification_count",
];

/// FCM refuses members that it does not know.
fn known(members: &Map<String, Value>, names: &[&str], field: &'static str) -> Result<(), &'static str> {
    if members.keys().all(|name| names.contains(&name.as_str())) { Ok(()) } else { Err(field) }
}

fn is_reserved(name: &str) -> bool {
    matches!(name, "from" | "notification" | "message_type" | "collapse_key")
        || name.starts_with("google")
        || name.starts_with("gcm")
}

fn is_ttl(ttl: &Value) -> bool {
    let seconds = ttl.as_str().and_then(|text| text.strip_suffix('s')?.parse::<i64>().ok());
    seconds.is_some_and(|seconds| (0..=TTL_MAX).contains(&seconds))
}
