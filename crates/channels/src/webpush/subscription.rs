//! Subscription: what a browser gives for being reached: where to, and the keys that its messages are encrypted with.

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::Uri;
use serde::{Deserialize, Serialize};

use super::Permits;
use super::address::is_public;
use super::encryption::is_point;

/// As browsers write keys, and padded, as some libraries do.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_encode_padding(false).with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The least port of an endpoint that is not that of https, nor, where it is permitted, of http. Below it are the ports of other
/// services, which a stranger is not to have the server talk to.
const PORT_MIN: u16 = 1_024;

/// Bytes of an endpoint, at most.
pub const ENDPOINT_BYTES: usize = 2048;

/// Bytes of the name of a host, at most (RFC 1035).
const HOST_BYTES: usize = 253;

/// Bytes of a public key on P-256, uncompressed.
pub(super) const PUBLIC_KEY_BYTES: usize = 65;

/// Bytes of the secret that browser and server share.
pub(super) const AUTH_BYTES: usize = 16;

/// The keys of a subscription, as `PushSubscription.toJSON()` writes them: base64url.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// The browser's public key.
    pub p256dh: String,
    /// The secret.
    pub auth: String,
}

/// The secret stays out of logs and error texts.
impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("p256dh", &self.p256dh).finish_non_exhaustive()
    }
}

/// A subscription as `PushSubscription.toJSON()` writes it.
#[derive(Deserialize)]
struct Json {
    endpoint: String,
    keys: Keys,
}

/// Why a subscription cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSubscription {
    /// The endpoint is no address of a push service.
    #[error("endpoint: {0}")]
    Endpoint(&'static str),
    /// A key is none.
    #[error("keys.{0}: {1}")]
    Key(&'static str, &'static str),
    /// It is none as a whole.
    #[error("give what PushSubscription.toJSON() gives: endpoint, and keys with p256dh and auth")]
    Form,
}

/// A subscription, read.
#[derive(Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Where its messages are posted.
    pub(super) endpoint: Uri,
    /// The browser's public key, a point that [`Subscription::checked`] alone finds to be on the curve.
    pub(super) public_key: [u8; PUBLIC_KEY_BYTES],
    /// The shared secret.
    pub(super) auth: [u8; AUTH_BYTES],
}

/// Who has the endpoint's path can send to the browser as far as its push service lets them, and who has the secret read along:
/// both stay out of logs and error texts.
impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").field("origin", &self.origin()).finish_non_exhaustive()
    }
}

impl Subscription {
    /// Reads the token and the detail of a device.
    ///
    /// # Errors
    /// As [`Subscription::read`], or it is no JSON where it has to be.
    pub fn of(token: &str, detail: Option<&str>, permits: Permits) -> Result<Self, BadSubscription> {
        let form = |_| BadSubscription::Form;
        let Some(keys) = detail else {
            let Json { endpoint, keys } = serde_json::from_str(token).map_err(form)?;
            return Self::read(&endpoint, &keys, permits);
        };
        Self::read(token, &serde_json::from_str(keys).map_err(form)?, permits)
    }

    /// Reads a subscription that a browser gave.
    ///
    /// # Errors
    /// The endpoint is too long, not https (unless that is permitted), or leads to an address that is not public (unless
    /// that is permitted; what a name leads to is only known when it is used); or a key is none.
    pub fn read(endpoint: &str, keys: &Keys, permits: Permits) -> Result<Self, BadSubscription> {
        Ok(Self {
            endpoint: read_endpoint(endpoint, permits)?,
            public_key: key(&keys.p256dh, "p256dh", "give the 65 bytes of an uncompressed point in base64url")?,
            auth: key(&keys.auth, "auth", "give 16 bytes in base64url")?,
        })
        .and_then(|read| match read.public_key[0] {
            4 => Ok(read),
            _ => Err(BadSubscription::Key("p256dh", "give an uncompressed point, which begins with the byte 4")),
        })
    }

    /// Checks what costs too much to be checked for each message: that its key is a point of the curve.
    ///
    /// # Errors
    /// It is none: no message could be encrypted for this browser.
    pub fn checked(self) -> Result<Self, BadSubscription> {
        match is_point(&self.public_key) {
            true => Ok(self),
            false => Err(BadSubscription::Key("p256dh", "it is no point of P-256, give the browser's key as it is")),
        }
    }

    /// The token and the detail of a device with it.
    #[must_use]
    pub fn into_token(self) -> (String, String) {
        let keys = Keys { p256dh: BASE64.encode(self.public_key), auth: BASE64.encode(self.auth) };
        // Two texts, which JSON has.
        (self.endpoint.to_string(), serde_json::to_string(&keys).unwrap_or_default())
    }

    /// Scheme, host and port: what a signature for the push service is for.
    pub(super) fn origin(&self) -> String {
        origin(&self.endpoint)
    }
}

/// The origin of the endpoint in the token and the detail of a device, whatever else is wrong with them.
pub(super) fn origin_of(token: &str, detail: Option<&str>) -> Option<String> {
    let endpoint = match detail {
        Some(_) => token.parse(),
        None => serde_json::from_str::<Json>(token).ok()?.endpoint.parse(),
    };
    endpoint.ok().map(|endpoint| origin(&endpoint))
}

fn origin(endpoint: &Uri) -> String {
    let scheme = endpoint.scheme_str().unwrap_or("https");
    let authority = endpoint.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    let default = if scheme == "https" { ":443" } else { ":80" };
    format!("{scheme}://{}", authority.strip_suffix(default).unwrap_or(authority)).to_ascii_lowercase()
}

fn read_endpoint(text: &str, permits: Permits) -> Result<Uri, BadSubscription> {
    if text.len() > ENDPOINT_BYTES {
        return Err(BadSubscription::Endpoint("it has more than 2,048 bytes"));
    }
    let uri: Uri = text.parse().map_err(|_| BadSubscription::Endpoint("it is no URL"))?;
    match uri.scheme_str() {
        Some("https") => {}
        Some("http") if permits.plain_http => {}
        _ => return Err(BadSubscription::Endpoint("it does not begin with https://")),
    }
    let (Some(authority), Some(host)) = (uri.authority(), uri.host()) else {
        return Err(BadSubscription::Endpoint("it names no host"));
    };
    if authority.as_str().contains('@') {
        return Err(BadSubscription::Endpoint("it has a user in it"));
    }
    if host.len() > HOST_BYTES {
        return Err(BadSubscription::Endpoint("its host is longer than a name can be"));
    }
    let is_allowed = match uri.port_u16() {
        None | Some(443) => true,
        Some(80) => permits.plain_http,
        Some(port) => port >= PORT_MIN,
    };
    if !is_allowed {
        return Err(BadSubscription::Endpoint("its port is neither 443 nor one from 1,024 on"));
    }
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
    if literal.is_some_and(|address| !permits.private_addresses && !is_public(address)) {
        return Err(BadSubscription::Endpoint("its address is not one of the public internet"));
    }
    Ok(uri)
}

fn key<const N: usize>(text: &str, name: &'static str, remedy: &'static str) -> Result<[u8; N], BadSubscription> {
    let bytes = BASE64.decode(text.trim()).map_err(|_| BadSubscription::Key(name, remedy))?;
    bytes.try_into().map_err(|_| BadSubscription::Key(name, remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    const P256DH: &str = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";

    fn keys() -> Keys {
        Keys { p256dh: P256DH.into(), auth: AUTH.into() }
    }

    fn refused(endpoint: &str) -> String {
        Subscription::read(endpoint, &keys(), Permits::default()).unwrap_err().to_string()
    }

    #[test]
    fn a_subscription_of_a_browser_is_read() {
        let read = Subscription::read("https://push.example.net:443/wpush/v2/abc?x=1", &keys(), Permits::default());
        let read = read.unwrap();
        assert_eq!(read.origin(), "https://push.example.net");
        let padded = Keys { auth: format!("{AUTH}=="), ..keys() };
        assert_eq!(
            Subscription::read("https://Push.example.net:8443/", &padded, Permits::default()).unwrap().origin(),
            "https://push.example.net:8443"
        );
        let detail = serde_json::to_string(&keys()).unwrap();
        assert_eq!(origin_of("https://Push.example.net:443/x", Some(&detail)).unwrap(), "https://push.example.net");
        let whole = serde_json::json!({ "endpoint": "https://push.example.net:8443/x", "keys": keys() }).to_string();
        assert_eq!(origin_of(&whole, None).unwrap(), "https://push.example.net:8443");
        assert_eq!(origin_of("https://push.example.net", None), None);
    }

    #[test]
    fn an_endpoint_that_could_lead_inside_is_refused() {
        for endpoint in [
            "https://127.0.0.1/x",
            "https://10.0.0.1:8443/",
            "https://[::1]/",
            "https://[::ffff:192.168.0.1]/x",
            "https://169.254.169.254/latest/meta-data",
        ] {
            assert_eq!(refused(endpoint), "endpoint: its address is not one of the public internet", "{endpoint}");
        }
        assert_eq!(refused("https://user:secret@push.example.net/"), "endpoint: it has a user in it");
        for endpoint in ["http://push.example.net/", "ftp://push.example.net/", "/only/a/path", "push.example.net:443"]
        {
            assert_eq!(refused(endpoint), "endpoint: it does not begin with https://", "{endpoint}");
        }
        assert_eq!(refused("https://a b/"), "endpoint: it is no URL");
        assert_eq!(
            refused(&format!("https://push.example.net/{}", "x".repeat(2048))),
            "endpoint: it has more than 2,048 bytes"
        );
        assert_eq!(
            refused(&format!("https://{}.example.net/", "x".repeat(250))),
            "endpoint: its host is longer than a name can be"
        );
        for port in ["0", "22", "25", "80", "1023"] {
            let says = "endpoint: its port is neither 443 nor one from 1,024 on";
            assert_eq!(refused(&format!("https://push.example.net:{port}/")), says);
        }
        let all = Permits { plain_http: true, private_addresses: true };
        for endpoint in ["http://127.0.0.1:9999/x", "http://127.0.0.1:80/", "https://127.0.0.1:1024/"] {
            assert!(Subscription::read(endpoint, &keys(), all).is_ok(), "{endpoint}");
        }
    }

    #[test]
    fn keys_have_their_lengths_and_their_form() {
        for (p256dh, auth, says) in [
            (&P256DH[1..], AUTH, "keys.p256dh: give the 65 bytes"),
            ("", AUTH, "keys.p256dh: give the 65 bytes"),
            ("not base64!", AUTH, "keys.p256dh: give the 65 bytes"),
            (&P256DH.replacen('B', "C", 1), AUTH, "keys.p256dh: give an uncompressed point"),
            (P256DH, "BTBZMqHH6r4Tts7J_aSI", "keys.auth: give 16 bytes"),
        ] {
            let keys = Keys { p256dh: p256dh.into(), auth: auth.into() };
            let error = Subscription::read("https://push.example.net/", &keys, Permits::default()).unwrap_err();
            assert!(error.to_string().starts_with(says), "{error}");
        }
    }

    #[test]
    fn a_key_that_is_no_point_is_found_and_secrets_are_not_shown() {
        let read = |p256dh: &str| {
            let keys = Keys { p256dh: p256dh.into(), auth: AUTH.into() };
            Subscription::read("https://push.example.net/secret", &keys, Permits::default()).unwrap()
        };
        let good = read(P256DH);
        let shown = format!("{good:?} {:?}", keys());
        assert!(shown.contains("https://push.example.net") && !shown.contains("/secret"), "{shown}");
        assert!(!shown.contains(AUTH) && !shown.contains(&format!("{:?}", good.auth)), "{shown}");
        assert_eq!(good.clone().checked(), Ok(good));
        // One bit of it is another.
        let off = P256DH.replacen("iw4", "iw8", 1);
        let says = read(&off).checked().unwrap_err().to_string();
        assert_eq!(says, "keys.p256dh: it is no point of P-256, give the browser's key as it is");
    }
}
