//! Devices.

use pigeonloft_channels::webpush::ENDPOINT_BYTES;
use pigeonloft_model::{AccountOperation, Channel, Environment, Tag, TagType};
use serde_json::{Map, Value, json};

use super::super::devices::{APNS_TOKEN_CHARS, BUNDLE_ID_BYTES, CHANNEL_TOKEN_BYTES};
use crate::api::openapi::schema::{
    account_name, account_type, answered, asked, choice, list, list_of, name_of, nullable, text, text_of, token,
};
use crate::api::openapi::{Caller, Operation};

const TAG: &str = "v1 devices";

/// What a device says of itself.
fn details() -> [(&'static str, Value); 11] {
    let vendors = Channel::ALL.iter().filter(|channel| !matches!(channel, Channel::Xg | Channel::Webpush));
    let vendors = vendors.map(|channel| channel.as_str());
    let reported = |place: usize| {
        let (member, kind) = TagType::REPORTED[place];
        (member, name_of(0..=Tag::NAME_MAX, &format!("its tag of `{kind}`; empty: it has none")))
    };
    let [version, province, country, language, brand, model, sdk_version] = std::array::from_fn(reported);
    let said = [
        version,
        province,
        country,
        language,
        brand,
        model,
        sdk_version,
        ("environment", choice(Environment::ALL.iter().map(|name| name.as_str()), "on iOS and macOS")),
        ("channels", channel_tokens()),
        ("channel", choice(vendors, "a vendor's channel; with `channel_token`")),
        ("channel_token", text_of(1..=CHANNEL_TOKEN_BYTES, "the device's token there; with `channel`")),
    ];
    // As good as not said.
    said.map(|(member, schema)| (member, nullable(schema)))
}

/// Its tokens on vendors' channels.
fn channel_tokens() -> Value {
    let visible = |mut text: Value, pattern: &str| {
        text["pattern"] = json!(pattern);
        text
    };
    let vendors = Channel::ALL.iter().filter(|channel| **channel != Channel::Xg);
    let of_channels: Map<String, Value> = vendors
        .map(|channel| {
            let any = text_of(1..=CHANNEL_TOKEN_BYTES, "the device's token there");
            let of_channel = match channel {
                Channel::Apns => {
                    let token =
                        visible(text_of(1..=APNS_TOKEN_CHARS, "the device's token, hexadecimal"), "^[0-9A-Fa-f]+$");
                    let topic = text_of(1..=BUNDLE_ID_BYTES, "the topic, if it is not that of the app's credentials");
                    let names = Environment::ALL.iter().map(|name| name.as_str());
                    asked(
                        "ApnsToken",
                        &["token"],
                        [
                            ("token", token),
                            ("bundle_id", nullable(visible(topic, "^[!-~]+$"))),
                            ("environment", nullable(choice(names, "of the token, and of the device"))),
                        ],
                    )
                }
                Channel::Webpush => subscription(),
                _ => asked("ChannelToken", &["token"], [("token", any)]),
            };
            (channel.as_str().to_owned(), nullable(of_channel))
        })
        .collect();
    json!({
        "title": "ChannelTokens", "type": "object", "properties": of_channels, "additionalProperties": false,
        "description": "its tokens on vendors' channels, by the channel's name; null: it has none there any more",
    })
}

/// A body of these.
fn said(title: &str) -> Value {
    let mut schema = asked(title, &[], details());
    // One with the other, or neither.
    let given = |name: &str| json!({ "properties": { name: { "type": "string" } }, "required": [name] });
    schema["if"] = given("channel");
    schema["then"] = given("channel_token");
    schema["else"] = json!({ "properties": { "channel_token": { "type": "null" } } });
    schema
}

/// A browser's subscription.
fn subscription() -> Value {
    let of_form = |mut text: Value, pattern: &str| {
        text["pattern"] = json!(pattern);
        text
    };
    // An uncompressed point begins with the byte 4.
    let p256dh = "^B[A-P][A-Za-z0-9_-]{84}[AEIMQUYcgkosw048]$";
    let keys = asked(
        "SubscriptionKeys",
        &["p256dh", "auth"],
        [
            ("p256dh", of_form(text_of(87..=87, "65 bytes in base64url"), p256dh)),
            ("auth", of_form(text_of(22..=22, "16 bytes in base64url"), "^[A-Za-z0-9_-]{21}[AQgw]$")),
        ],
    );
    let endpoint = text_of(1..=ENDPOINT_BYTES, "https, on the public internet");
    let endpoint = of_form(endpoint, "^https://[a-z][a-z0-9-]*(\\.[a-z][a-z0-9-]*)+/[A-Za-z0-9/_-]*$");
    asked("Subscription", &["endpoint", "keys"], [("endpoint", endpoint), ("keys", keys)])
}

/// `POST /v1/devices`
pub(in super::super) fn register() -> Operation {
    let mut request = said("Registration");
    request["properties"]["token"] = nullable(token());
    let mqtt = answered(
        "MqttAccess",
        [
            ("client_id", token()),
            ("username", text("the AccessId")),
            ("subscribe", text("the topic of messages")),
            ("publish", text("the topic of receipts")),
            ("websocket", text("the path, for MQTT over WebSocket")),
        ],
    );
    let registered =
        answered("Registered", [("token", token()), ("password", text("not shown again")), ("mqtt", mqtt)]);
    Operation::new(TAG, "registerDevice", Caller::Program, "Registers a device, or claims one that was imported")
        .says("Without `token` a new one is issued. Members not known are ignored; the body may be left out.")
        .takes(false, &request, &json!({}))
        .json(201, "Registered", &registered)
        .problems(&[400, 401, 408, 409, 413, 429, 503])
}

/// A call of a device about itself.
fn itself(id: &str, summary: &str) -> Operation {
    Operation::new(TAG, id, Caller::Device, summary)
        .path("token", &token(), "0123456789abcdef0123456789abcdef0123")
        .problems(&[400, 401, 403, 503])
}

/// `PATCH /v1/devices/{token}`
pub(in super::super) fn change() -> Operation {
    itself("changeDevice", "Changes what a device says of itself")
        .takes(false, &said("DeviceChange"), &json!({ "channel": "fcm", "channel_token": "…" }))
        .empty(204, "Changed")
        .problems(&[404, 408, 413])
}

/// `DELETE /v1/devices/{token}`
pub(in super::super) fn remove_device() -> Operation {
    itself("deleteDevice", "Deletes a device, its accounts, tags and what waits for it").empty(204, "Deleted")
}

/// `PUT /v1/devices/{token}/accounts`
pub(in super::super) fn set_accounts() -> Operation {
    let account = asked(
        "AccountOfDevice",
        &["account"],
        [("account", account_name()), ("account_type", nullable(account_type()))],
    );
    let all = list_of(AccountOperation::LIST_MAX, account, "all the device has from now on, at most one of each type");
    let request = asked("AccountsToSet", &["accounts"], [("accounts", all)]);
    let bound = answered("AccountSet", [("account", text("its name")), ("account_type", account_type())]);
    itself("setAccounts", "Sets the accounts of a device")
        .takes(true, &request, &json!({ "accounts": [{ "account": "ann", "account_type": 0 }] }))
        .json(200, "The accounts it has now", &answered("AccountsSet", [("accounts", list(bound, "its accounts"))]))
        .problems(&[408, 413])
}

/// `GET /v1/webpush/key`
pub(in super::super) fn webpush_key() -> Operation {
    let key = answered("WebpushKey", [("public_key", text("65 bytes in base64url: `applicationServerKey`"))]);
    Operation::new(TAG, "webpushKey", Caller::Program, "The key with which browsers subscribe to the app's messages")
        .json(200, "The key", &key)
        .problems(&[401, 404, 503])
}
