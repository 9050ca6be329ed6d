//! Devices: how one becomes known, and what it says of itself afterwards.
//!
//! A program registers with its app's AccessKey and is given token and password; from then on the device speaks for
//! itself alone. A token that was imported has no password yet: the first to register it claims it.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use pigeonloft_channels::webpush::{Permits, Subscription};
use pigeonloft_channels::xg::{PUSH_TOPIC, RECEIPT_TOPIC};
use pigeonloft_model::{
    AccessId, Account, AccountOperation, AccountType, Channel, DeviceId, Environment, Fault, Platform, RetCode, Tag,
    TagType, Token,
};
use pigeonloft_store::{AccountKey, App, ChannelToken, DeviceReport, NewDevice, Registered, Reports};
use serde_json::{Value, json};

use super::{Members, Problem, whole};
use crate::auth;
use crate::loft::Loft;
use crate::net::Client;
use crate::registrations::Leave;

/// Longest token of a vendor's channel, in bytes: that of a browser is a whole subscription.
pub(super) const CHANNEL_TOKEN_BYTES: usize = 4096;

/// Characters of a token of APNs at most; they have 64 today.
pub(super) const APNS_TOKEN_CHARS: usize = 200;

/// Bytes of a bundle id at most: that of a header's value.
pub(super) const BUNDLE_ID_BYTES: usize = 255;

/// `POST /v1/devices`
pub(super) async fn register(
    State(loft): State<Arc<Loft>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let ((app, leave), body) = whole(&loft, registrant(&loft, &headers, client.0).await, body).await?;
    let given = Members::of(&body)?;
    let token = given.text("token")?.map_or_else(random::<18>, |text| Ok(text.trim().to_owned()))?;
    let token: Token = token.parse().map_err(|error| Problem::member("token", error))?;
    let Details { environment, channels, reported, .. } = Details::of(&given, app.platform)?;
    let channels = subscriptions(channels, loft.vendors.permits())?;
    let password = random::<16>()?;
    let password_hash = crate::password::password_hash(&password);
    let new = NewDevice { access_id: app.access_id, token, password_hash, environment, channels, reported };
    match loft.store.register_device(new).await? {
        Registered::New(_) => leave.spend(),
        // No device was added: it was imported.
        Registered::Claimed(_) => drop(leave),
        Registered::Taken => {
            let text = format!("token {token} is registered already: leave it out to be given another");
            return Err(Problem::Status(StatusCode::CONFLICT, text));
        }
    }
    let location = [(header::LOCATION, format!("/v1/devices/{token}"))];
    let registered = json!({
        "token": token.as_str(),
        "password": password,
        "mqtt": {
            "client_id": token.as_str(),
            "username": app.access_id.to_string(),
            "subscribe": PUSH_TOPIC,
            "publish": RECEIPT_TOPIC,
            "websocket": "/mqtt",
        },
    });
    Ok((StatusCode::CREATED, location, Json(registered)).into_response())
}

/// The app of a program that registers a device, and leave for a new one.
async fn registrant<'a>(
    loft: &'a Loft,
    headers: &HeaderMap,
    address: IpAddr,
) -> Result<(Arc<App>, Leave<'a>), Problem> {
    let app = auth::access_key(loft, headers).await?;
    let leave = loft.registrations.leave(app.access_id, address).map_err(|wait| {
        let text = "the app registers more new devices, in all or from this address, than this server takes: try again \
                    after the seconds of Retry-After, or raise registrations_… in the server's settings";
        Problem::TooFast(Fault::new(RetCode::TooFast, text), wait)
    })?;
    Ok((app, leave))
}

/// `PATCH /v1/devices/{token}`
pub(super) async fn change(
    State(loft): State<Arc<Loft>>,
    Path(token): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let ((access_id, device), body) = whole(&loft, itself(&loft, &headers, &token).await, body).await?;
    let given = Members::of(&body)?;
    let app = loft.app(access_id).await?.ok_or_else(|| Problem::not_found("the device's app is gone"))?;
    let mut said = DeviceReport::from(Details::of(&given, app.platform)?);
    said.channels = subscriptions(said.channels, loft.vendors.permits())?;
    loft.store.change_device(access_id, device, said).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /v1/devices/{token}`
pub(super) async fn remove(
    State(loft): State<Arc<Loft>>,
    Path(token): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let (_, device) = itself(&loft, &headers, &token).await?;
    let gone = loft.store.delete_device(device).await?;
    loft.metrics.outcomes("xg", "gone", gone);
    loft.hub.disconnect(device);
    Ok(StatusCode::NO_CONTENT)
}

/// `PUT /v1/devices/{token}/accounts`: these are all the accounts of the device from now on.
pub(super) async fn set_accounts(
    State(loft): State<Arc<Loft>>,
    Path(token): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let ((access_id, device), body) = whole(&loft, itself(&loft, &headers, &token).await, body).await?;
    let accounts = accounts(&Members::of(&body)?)?;
    loft.store.set_accounts(access_id, device, accounts.clone()).await?;
    let accounts: Value = accounts
        .into_iter()
        .map(|account| json!({ "account": account.name, "account_type": account.account_type }))
        .collect();
    Ok(Json(json!({ "accounts": accounts })).into_response())
}

/// The device that calls, which is the one the path names.
async fn itself(loft: &Loft, headers: &HeaderMap, named: &str) -> Result<(AccessId, DeviceId), Problem> {
    let (access_id, device, token) = auth::device(loft, headers).await?;
    if token.as_str() != named {
        let text = "the path names another device than the one that authenticates";
        return Err(Problem::Status(StatusCode::FORBIDDEN, text.into()));
    }
    Ok((access_id, device))
}

fn random<const N: usize>() -> Result<String, Problem> {
    crate::password::random_hex::<N>().map_err(|error| {
        tracing::error!(%error, "no random numbers");
        let text = "the server has no random numbers to give, try again later";
        Problem::Status(StatusCode::SERVICE_UNAVAILABLE, text.into())
    })
}

/// What a device says of itself; `None` for what it does not say.
#[derive(Debug, Default, PartialEq)]
struct Details {
    environment: Option<Environment>,
    channels: Vec<ChannelToken>,
    /// On which it has no token any more.
    left: Vec<Channel>,
    reported: Reports,
}

impl From<Details> for DeviceReport {
    fn from(Details { environment, channels, left, reported }: Details) -> Self {
        Self { environment, channels, left, reported }
    }
}

impl Details {
    fn of(given: &Members, platform: Platform) -> Result<Self, Problem> {
        let Channels { environment: of_channel, mut channels, left } = Channels::of(given)?;
        let environment = environment(given.text("environment")?, "environment")?
            .or(of_channel)
            // Two environments are Apple's; a device elsewhere that names the other would be in no push.
            .filter(|_| platform.is_apple());
        match (given.text("channel")?, given.text("channel_token")?) {
            (None, None) => {}
            (Some(channel), Some(token)) => {
                let channel = vendor(channel, "channel")?;
                if channel == Channel::Webpush {
                    return Err(Problem::member("channel", "a browser's subscription is given in channels.webpush"));
                }
                channels.push(ChannelToken {
                    channel,
                    token: channel_token(channel, token, "channel_token")?,
                    detail: None,
                });
            }
            (Some(_), None) => return Err(Problem::member("channel_token", "it is missing, channel needs it")),
            (None, Some(_)) => return Err(Problem::member("channel", "it is missing, channel_token needs it")),
        }
        Ok(Self { environment, channels, left, reported: reported(given)? })
    }
}

/// What a body says in `channels`: for each channel an object, or null where the device leaves it.
#[derive(Default)]
struct Channels {
    environment: Option<Environment>,
    channels: Vec<ChannelToken>,
    left: Vec<Channel>,
}

impl Channels {
    fn of(given: &Members) -> Result<Self, Problem> {
        let mut read = Self::default();
        let Some(channels) = given.get("channels") else { return Ok(read) };
        let channels = channels.as_object().ok_or_else(|| Problem::member("channels", "give an object"))?;
        for (name, value) in channels {
            let place = format!("channels.{name}");
            let channel = vendor(name, &place)?;
            if value.is_null() {
                read.left.push(channel);
                continue;
            }
            let object =
                value.as_object().ok_or_else(|| Problem::member(&place, "give an object, or null to leave it"))?;
            if channel == Channel::Webpush {
                // As a whole: it is read once it is known what is permitted.
                let token = channel_token(channel, &value.to_string(), &place)?;
                read.channels.push(ChannelToken { channel, token, detail: None });
                continue;
            }
            let text = |member: &str| match object.get(member).filter(|value| !value.is_null()) {
                None => Ok(None),
                Some(value) => {
                    let wrong = || Problem::member(&format!("{place}.{member}"), "give a text");
                    value.as_str().map(Some).ok_or_else(wrong)
                }
            };
            let at = format!("{place}.token");
            let token = text("token")?.ok_or_else(|| Problem::member(&at, "it is missing, give the vendor's token"))?;
            let token = channel_token(channel, token, &at)?;
            let mut detail = None;
            if channel == Channel::Apns {
                detail = text("bundle_id")?.map(|id| bundle_id(id, &format!("{place}.bundle_id"))).transpose()?;
                read.environment = environment(text("environment")?, &format!("{place}.environment"))?;
            }
            read.channels.push(ChannelToken { channel, token, detail });
        }
        Ok(read)
    }
}

/// What a device reports, each as the tag it becomes; an empty text takes the tag away.
fn reported(given: &Members) -> Result<Reports, Problem> {
    let mut reported = Vec::new();
    for (member, kind) in TagType::REPORTED {
        let Some(text) = given.text(member)? else { continue };
        let name = match text.trim() {
            "" => None,
            text => Some(Tag::name(text).map_err(|error| Problem::member(member, error))?.to_owned()),
        };
        reported.push((kind, name));
    }
    Ok(reported)
}

/// Reads the subscriptions of browsers.
fn subscriptions(channels: Vec<ChannelToken>, permits: Permits) -> Result<Vec<ChannelToken>, Problem> {
    let read = |given: ChannelToken| {
        if given.channel != Channel::Webpush {
            return Ok(given);
        }
        let subscription = Subscription::of(&given.token, None, permits);
        let (token, keys) = subscription.map_err(|error| Problem::member("channels.webpush", error))?.into_token();
        Ok(ChannelToken { token, detail: Some(keys), ..given })
    };
    channels.into_iter().map(read).collect()
}

fn environment(name: Option<&str>, member: &str) -> Result<Option<Environment>, Problem> {
    let read = |text: &str| text.parse::<Environment>().map_err(|unknown| Problem::member(member, unknown));
    name.map(read).transpose()
}

fn vendor(name: &str, member: &str) -> Result<Channel, Problem> {
    match name.parse() {
        Ok(Channel::Xg) => Err(Problem::member(member, "xg is our own channel, which needs no token: leave it out")),
        Ok(channel) => Ok(channel),
        Err(unknown) => Err(Problem::member(member, unknown)),
    }
}

/// A vendor's token. Apple's are hexadecimal, and kept in lower case: two spellings are one token.
fn channel_token(channel: Channel, token: &str, member: &str) -> Result<String, Problem> {
    let length = token.len();
    if !(1..=CHANNEL_TOKEN_BYTES).contains(&length) {
        return Err(Problem::member(member, format_args!("it has {length} bytes, give 1 to {CHANNEL_TOKEN_BYTES}")));
    }
    if channel != Channel::Apns {
        return Ok(token.to_owned());
    }
    if length > APNS_TOKEN_CHARS || !token.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Problem::member(
            member,
            format_args!("a token of apns is hexadecimal, of at most {APNS_TOKEN_CHARS} characters"),
        ));
    }
    Ok(token.to_ascii_lowercase())
}

fn bundle_id(id: &str, member: &str) -> Result<String, Problem> {
    if (1..=BUNDLE_ID_BYTES).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(id.to_owned());
    }
    Err(Problem::member(
        member,
        format_args!("give 1 to {BUNDLE_ID_BYTES} visible ASCII characters, such as com.example.shop"),
    ))
}

/// The accounts of a body: a device has one of each type.
fn accounts(given: &Members) -> Result<Vec<AccountKey>, Problem> {
    let list = given.list("accounts")?;
    if list.len() > AccountOperation::LIST_MAX {
        let remedy = format!("it has {} elements, give at most {}", list.len(), AccountOperation::LIST_MAX);
        return Err(Problem::member("accounts", remedy));
    }
    let mut accounts: Vec<AccountKey> = Vec::with_capacity(list.len());
    for (place, value) in list.iter().enumerate() {
        let account = account(value, &format!("accounts[{place}]"))?;
        if accounts.iter().any(|earlier| earlier.account_type == account.account_type) {
            let remedy = format!("a device has one account of type {}, this is the second", account.account_type);
            return Err(Problem::member(&format!("accounts[{place}]"), remedy));
        }
        accounts.push(account);
    }
    Ok(accounts)
}

fn account(value: &Value, place: &str) -> Result<AccountKey, Problem> {
    let member = |name: &str| format!("{place}.{name}");
    let object = value.as_object().ok_or_else(|| Problem::member(place, "give an object with account"))?;
    let name = object.get("account").and_then(Value::as_str);
    let name = name.ok_or_else(|| Problem::member(&member("account"), "give the account's name, a text"))?;
    let name = Account::name(name).map_err(|error| Problem::member(&member("account"), error))?;
    let kind = match object.get("account_type").filter(|kind| !kind.is_null()) {
        None => AccountType::default(),
        Some(kind) => {
            let number = kind.as_u64().ok_or_else(|| Problem::member(&member("account_type"), "give a number"))?;
            AccountType::try_from(u32::try_from(number).unwrap_or(u32::MAX))
                .map_err(|error| Problem::member(&member("account_type"), error))?
        }
    };
    Ok(AccountKey { account_type: kind.code(), name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(body: &Value) -> Members {
        Members::of(body.to_string().as_bytes()).unwrap()
    }

    fn detail<T: std::fmt::Debug>(result: Result<T, Problem>) -> String {
        match result.unwrap_err() {
            Problem::Status(StatusCode::BAD_REQUEST, detail) => detail,
            other => panic!("not a bad request: {other:?}"),
        }
    }

    #[test]
    fn the_environment_counts_on_apples_platforms_alone() {
        let said = given(&json!({"environment": "dev", "unknown": [1]}));
        let none = Details::default();
        assert_eq!(Details::of(&said, Platform::Android).unwrap(), none);
        let dev = Details { environment: Some(Environment::Dev), ..Details::default() };
        assert_eq!(Details::of(&said, Platform::Ios).unwrap(), dev);
        assert!(
            detail(Details::of(&given(&json!({"environment": "test"})), Platform::Ios)).starts_with("environment: ")
        );
    }

    #[test]
    fn what_a_device_reports_is_a_tag_of_its_type() {
        let of = |body: Value| reported(&given(&body));
        let said = of(json!({"app_version": " 1.2 ", "brand": "", "model": null, "country": "信".repeat(50)})).unwrap();
        let country = (TagType::Country, Some("信".repeat(50)));
        assert_eq!(said, [(TagType::AppVersion, Some("1.2".into())), country, (TagType::Brand, None)]);
        assert!(detail(of(json!({"language": "a".repeat(51)}))).starts_with("language: a tag has 1 to 50 characters"));
        assert!(detail(of(json!({"sdk_version": 7}))).starts_with("sdk_version: give a text"));
    }

    #[test]
    fn a_vendors_channel_comes_with_its_token_or_not_at_all() {
        let of = |body: Value| Details::of(&given(&body), Platform::Android);
        let token = |channel, token: &str, detail: Option<&str>| ChannelToken {
            channel,
            token: token.to_owned(),
            detail: detail.map(str::to_owned),
        };
        let fcm = token(Channel::Fcm, "t", None);
        assert_eq!(of(json!({"channel": "fcm", "channel_token": "t"})).unwrap().channels, [fcm]);
        let said = json!({"channels": {"apns": {"token": "AB12", "bundle_id": "com.example", "environment": "dev"}, "fcm": null}});
        let read = Details::of(&given(&said), Platform::Ios).unwrap();
        assert_eq!(read.channels, [token(Channel::Apns, "ab12", Some("com.example"))]);
        assert_eq!((read.environment, read.left), (Some(Environment::Dev), vec![Channel::Fcm]));
        for (body, member) in [
            (json!({"channel": "fcm"}), "channel_token: "),
            (json!({"channel_token": "t"}), "channel: "),
            (json!({"channel": "xg", "channel_token": "t"}), "channel: xg"),
            (json!({"channel": "gcm", "channel_token": "t"}), "channel: "),
            (json!({"channel": "fcm", "channel_token": ""}), "channel_token: it has 0 bytes"),
            (json!({"channel": "fcm", "channel_token": "t".repeat(4097)}), "channel_token: it has 4097 bytes"),
            (json!({"channel": "fcm", "channel_token": 7}), "channel_token: give a text"),
            (json!({"channels": []}), "channels: give an object"),
            (json!({"channels": {"apns": "ab"}}), "channels.apns: give an object"),
            (json!({"channels": {"apns": {}}}), "channels.apns.token: it is missing"),
            (json!({"channels": {"apns": {"token": "xy"}}}), "channels.apns.token: a token of apns is hexadecimal"),
            (json!({"channels": {"apns": {"token": "ab".repeat(101)}}}), "channels.apns.token: "),
            (json!({"channels": {"apns": {"token": "ab", "bundle_id": "a b"}}}), "channels.apns.bundle_id: "),
            (json!({"channels": {"apns": {"token": "ab", "environment": "sandbox"}}}), "channels.apns.environment: "),
            (json!({"channels": {"xg": {"token": "ab"}}}), "channels.xg: xg is our own"),
        ] {
            assert!(detail(of(body.clone())).starts_with(member), "{body}");
        }
    }

    #[test]
    fn accounts_are_read_or_refused_by_their_place() {
        let of = |list: Value| accounts(&given(&json!({ "accounts": list })));
        let read = of(json!([{"account": " ab "}, {"account": "+8613800000000", "account_type": 1002}])).unwrap();
        let key = |name: &str, account_type| AccountKey { account_type, name: name.to_owned() };
        assert_eq!(read, [key("ab", 0), key("+8613800000000", 1002)]);
        assert_eq!(of(json!([])).unwrap(), []);
        for (list, place) in [
            (json!({}), "accounts: "),
            (json!(["ab"]), "accounts[0]: "),
            (json!([{"account": "ab"}, {"account": "cd"}]), "accounts[1]: a device has one account of type 0"),
            (json!([{"account": "a"}]), "accounts[0].account: "),
            (json!([{"account": 12}]), "accounts[0].account: "),
            (json!([{"account": "ab", "account_type": "0"}]), "accounts[0].account_type: give a number"),
            (json!([{"account": "ab", "account_type": 17}]), "accounts[0].account_type: 17"),
            (json!(vec![json!({"account": "ab"}); 501]), "accounts: it has 501 elements"),
        ] {
            assert!(detail(of(list.clone())).starts_with(place), "{list}");
        }
    }
}
