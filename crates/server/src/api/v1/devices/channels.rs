//! Channels: the tokens that a device says it has with vendors, each checked for what its vendor takes.

use pigeonloft_channels::webpush::{Permits, Subscription};
use pigeonloft_model::{Channel, Environment, Platform};
use pigeonloft_store::ChannelToken;
use serde_json::Value;

use crate::api::v1::{Members, Problem};

/// Longest token of a vendor's channel, in bytes: that of a browser is a whole subscription.
pub(in crate::api::v1) const CHANNEL_TOKEN_BYTES: usize = 4096;

/// Characters of a token of APNs at most; they have 64 today.
pub(in crate::api::v1) const APNS_TOKEN_CHARS: usize = 200;

/// Bytes of a bundle id at most: that of a header's value.
pub(in crate::api::v1) const BUNDLE_ID_BYTES: usize = 255;

/// What a body says in `channels`, for each channel an object, or null where the device leaves it; and in `channel` and
/// `channel_token`, which say the same of one.
#[derive(Debug, Default)]
pub(super) struct Channels {
    pub(super) environment: Option<Environment>,
    pub(super) channels: Vec<ChannelToken>,
    pub(super) left: Vec<Channel>,
}

impl Channels {
    pub(super) fn of(given: &Members, platform: Platform, permits: Permits) -> Result<Self, Problem> {
        let mut read = Self::default();
        if let Some(channels) = given.get("channels") {
            let channels = channels.as_object().ok_or_else(|| Problem::member("channels", "give an object"))?;
            for (name, value) in channels {
                read.add(name, value, platform, permits)?;
            }
        }
        match (given.text("channel")?, given.text("channel_token")?) {
            (None, None) => {}
            (Some(channel), Some(token)) => {
                let channel = vendor(channel, "channel")?;
                if channel == Channel::Webpush {
                    return Err(Problem::member("channel", "a browser's subscription is given in channels.webpush"));
                }
                leads_to(channel, platform, "channel")?;
                let token = channel_token(channel, token, "channel_token")?;
                read.channels.push(ChannelToken { channel, token, detail: None });
            }
            (Some(_), None) => return Err(Problem::member("channel_token", "it is missing, channel needs it")),
            (None, Some(_)) => return Err(Problem::member("channel", "it is missing, channel_token needs it")),
        }
        Ok(read)
    }

    /// Adds what `channels` says of one.
    fn add(&mut self, name: &str, value: &Value, platform: Platform, permits: Permits) -> Result<(), Problem> {
        let place = format!("channels.{name}");
        let channel = vendor(name, &place)?;
        if value.is_null() {
            self.left.push(channel);
            return Ok(());
        }
        leads_to(channel, platform, &place)?;
        let object = value.as_object().ok_or_else(|| Problem::member(&place, "give an object, or null to leave it"))?;
        if channel == Channel::Webpush {
            self.channels.push(subscription(value, &place, permits)?);
            return Ok(());
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
            self.environment = environment(text("environment")?, &format!("{place}.environment"))?;
        }
        self.channels.push(ChannelToken { channel, token, detail });
        Ok(())
    }
}

/// Reads the subscription of a browser, which is its token as a whole.
fn subscription(value: &Value, place: &str, permits: Permits) -> Result<ChannelToken, Problem> {
    let given = channel_token(Channel::Webpush, &value.to_string(), place)?;
    let subscription = Subscription::of(&given, None, permits).map_err(|error| Problem::member(place, error))?;
    let checked = subscription.checked().map_err(|error| Problem::member(place, error))?;
    let (token, keys) = checked.into_token();
    Ok(ChannelToken { channel: Channel::Webpush, token, detail: Some(keys) })
}

/// An environment of Apple's, by its name.
pub(super) fn environment(name: Option<&str>, member: &str) -> Result<Option<Environment>, Problem> {
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

/// Whether a device of this platform can have a token there. One that leaves a channel may name any.
fn leads_to(channel: Channel, platform: Platform, member: &str) -> Result<(), Problem> {
    match channel.leads_to(platform) {
        true => Ok(()),
        false => Err(Problem::member(
            member,
            format_args!("{channel} leads to no device of an app on {platform}: leave it out"),
        )),
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{detail, given};
    use super::*;

    #[test]
    fn a_vendors_channel_comes_with_its_token_or_not_at_all() {
        let on = |platform, body: Value| Channels::of(&given(&body), platform, Permits::default());
        let of =
            |body: Value| on(if body["channels"]["apns"].is_null() { Platform::Android } else { Platform::Ios }, body);
        let token = |channel, token: &str, detail: Option<&str>| ChannelToken {
            channel,
            token: token.to_owned(),
            detail: detail.map(str::to_owned),
        };
        let fcm = token(Channel::Fcm, "t", None);
        assert_eq!(of(json!({"channel": "fcm", "channel_token": "t"})).unwrap().channels, [fcm]);
        let said = json!({"channels": {"apns": {"token": "AB12", "bundle_id": "com.example", "environment": "dev"}, "fcm": null}});
        let read = on(Platform::Ios, said.clone()).unwrap();
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
        // Apple's devices have Apple's channel, and others have the others; any has a browser.
        let says = detail(on(Platform::Android, said));
        assert_eq!(says, "channels.apns: apns leads to no device of an app on android: leave it out");
        let says = detail(on(Platform::Macos, json!({"channel": "fcm", "channel_token": "t"})));
        assert_eq!(says, "channel: fcm leads to no device of an app on macos: leave it out");
    }
}
