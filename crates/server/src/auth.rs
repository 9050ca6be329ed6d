//! Authentication of the server API: who calls, and is it so?
//!
//! Two ways, as TPNS has them: Basic with `AccessId:SecretKey`, and a signature over the time stamp, the AccessId and
//! the raw body. The signature can only be judged once the body is read, so checking it is a value that is fed the body
//! as it streams.
//!
//! A device authenticates with its token and password ([`device`]); a program on a device that is none yet with
//! AccessId and AccessKey ([`access_key`]).

use std::sync::Arc;

use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use pigeonloft_model::{AccessId, DeviceId, Fault, RetCode, Token};
use pigeonloft_store::App;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::chain::chain;
use crate::clock::unix_seconds;
use crate::loft::Loft;
use crate::net::Client;
use crate::password::{hex, password_fits};

/// A call whose head is right: its app, and what is left to check of the body.
#[derive(Debug)]
pub struct Caller {
    /// The app that calls.
    pub app: Arc<App>,
    signature: Option<Signature>,
}

struct Signature {
    mac: Hmac<Sha256>,
    claimed: Vec<u8>,
}

impl std::fmt::Debug for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signature")
    }
}

impl Caller {
    /// Takes in a piece of the raw body.
    pub fn hash(&mut self, body: &[u8]) {
        if let Some(signature) = &mut self.signature {
            signature.mac.update(body);
        }
    }

    /// The whole body is read: judges the signature, where there is one.
    ///
    /// # Errors
    /// The signature is another's, or the body was changed: [`RetCode::Unauthenticated`].
    pub fn verify(self) -> Result<Arc<App>, Fault> {
        let Some(signature) = self.signature else { return Ok(self.app) };
        // The contract signs with the base64 of the *hexadecimal text* of the digest.
        let expected = BASE64.encode(hex(&signature.mac.finalize().into_bytes()));
        if bool::from(expected.as_bytes().ct_eq(&signature.claimed)) {
            return Ok(self.app);
        }
        Err(refused(
            "the Sign header does not fit: it is base64(hex(HMAC-SHA256(SecretKey, TimeStamp + AccessId + body))), \
             over the body byte for byte as sent",
        ))
    }
}

fn refused(text: impl Into<String>) -> Fault {
    Fault::new(RetCode::Unauthenticated, text)
}

/// Reads the credentials of a call of the server API and checks all that can be checked before the body.
///
/// # Errors
/// No or unreadable credentials, an address the app does not allow, a wrong secret or a stale time stamp:
/// [`RetCode::Unauthenticated`]. An AccessId no app has: [`RetCode::UnknownApp`]. The store fails: [`RetCode::Internal`].
pub async fn caller(loft: &Loft, head: &Parts) -> Result<Caller, Fault> {
    if let Some(authorization) = head.headers.get(header::AUTHORIZATION) {
        let (access_id, secret) = basic(authorization.as_bytes()).ok_or_else(|| {
            refused("the Authorization header cannot be read: it is \"Basic \" and base64 of AccessId:SecretKey")
        })?;
        let app = allowed(loft, &access_id, head).await?;
        if !bool::from(app.secret_key.as_bytes().ct_eq(secret.as_bytes())) {
            return Err(refused(format!("the SecretKey is not that of AccessId {}", app.access_id)));
        }
        return Ok(Caller { app, signature: None });
    }
    signed(loft, head).await
}

async fn signed(loft: &Loft, head: &Parts) -> Result<Caller, Fault> {
    let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let (Some(access_id), Some(stamp), Some(sign)) = (text("AccessId"), text("TimeStamp"), text("Sign")) else {
        return Err(refused(
            "no credentials: send an Authorization header (Basic, AccessId:SecretKey), \
             or the headers AccessId, TimeStamp and Sign",
        ));
    };
    let app = allowed(loft, access_id, head).await?;
    let tolerance = loft.config.auth.timestamp_tolerance_s;
    let now = unix_seconds();
    let at: i64 = stamp.parse().map_err(|_| refused("the TimeStamp header is not a number of unix seconds"))?;
    if now.abs_diff(at) > tolerance {
        return Err(refused(format!(
            "TimeStamp {at} is more than {tolerance} s from this server's clock, {now}: set the caller's clock"
        )));
    }
    let mut mac = keyed(&app.secret_key)?;
    mac.update(stamp.as_bytes());
    mac.update(access_id.as_bytes());
    Ok(Caller { signature: Some(Signature { mac, claimed: sign.as_bytes().to_vec() }), app })
}

fn keyed(secret: &str) -> Result<Hmac<Sha256>, Fault> {
    Hmac::new_from_slice(secret.as_bytes())
        .map_err(|_| Fault::new(RetCode::Internal, "the app's SecretKey cannot be used as a key"))
}

/// The app of this id, if it takes calls from where this one comes from. Asked before the secret is looked at: whoever is
/// elsewhere does not learn whether it is right.
async fn allowed(loft: &Loft, access_id: &str, head: &Parts) -> Result<Arc<App>, Fault> {
    let app = known(loft, access_id).await?;
    let client = head.extensions.get::<Client>();
    if app.allowed.is_empty() || client.is_some_and(|client| app.allowed.contains(client.0)) {
        return Ok(app);
    }
    let from = client.map(|client| client.0.to_string()).unwrap_or_default();
    Err(refused(format!(
        "AccessId {} takes no calls from address {from}: call from one that it allows, or have this one added with \
         `pigeonloft app allow-ip`",
        app.access_id
    )))
}

async fn known(loft: &Loft, access_id: &str) -> Result<Arc<App>, Fault> {
    let digits = access_id.bytes().all(|byte| byte.is_ascii_digit());
    let found = match access_id.parse::<AccessId>() {
        Ok(access_id) if digits => loft.app(access_id).await.map_err(|error| internal(&error))?,
        // The number's own reader takes a sign, too.
        _ => None,
    };
    found.ok_or_else(|| {
        Fault::new(
            RetCode::UnknownApp,
            format!(
                "no app has this AccessId at this service access point, \"{}\": check the AccessId and the service \
                 URL, or create the app with `pigeonloft app create --access-id`",
                loft.config.http.service_access_point
            ),
        )
    })
}

/// The failure of the store as the API answers it: the caller learns that it may try again, the log why.
#[must_use]
pub fn internal(error: &pigeonloft_store::Error) -> Fault {
    tracing::error!(error = %chain(error), "the store failed");
    Fault::new(
        RetCode::Internal,
        match error {
            pigeonloft_store::Error::Full => "the server's disk is full: nothing was kept, try again later",
            _ => "the server's database failed: nothing was kept, try again later",
        },
    )
}

/// User and password of a Basic authorization. The scheme may be written in any case.
fn basic(header: &[u8]) -> Option<(String, String)> {
    let text = std::str::from_utf8(header).ok()?.trim();
    let (scheme, encoded) = text.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(BASE64.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// The app a program on a device belongs to, by the headers `AccessId` and `AccessKey`.
///
/// # Errors
/// As [`caller`].
pub async fn access_key(loft: &Loft, headers: &HeaderMap) -> Result<Arc<App>, Fault> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let (Some(access_id), Some(key)) = (text("AccessId"), text("AccessKey")) else {
        return Err(refused("no credentials: send the headers AccessId and AccessKey"));
    };
    let app = known(loft, access_id).await?;
    if bool::from(app.access_key.as_bytes().ct_eq(key.as_bytes())) {
        return Ok(app);
    }
    Err(refused(format!("the AccessKey is not that of AccessId {}", app.access_id)))
}

/// A device, by `Basic token:password`.
///
/// # Errors
/// As [`caller`]; an unknown token and a wrong password read the same.
pub async fn device(loft: &Loft, headers: &HeaderMap) -> Result<(AccessId, DeviceId, Token), Fault> {
    let wrong = || refused("a device authenticates with Basic, token:password, as its registration answered them");
    let header = headers.get(header::AUTHORIZATION).ok_or_else(wrong)?;
    let (token, password) = basic(header.as_bytes()).ok_or_else(wrong)?;
    let token: Token = token.parse().map_err(|_| wrong())?;
    let candidates = loft.store.devices_of_token(token).await.map_err(|error| internal(&error))?;
    candidates
        .into_iter()
        .find(|(_, device)| password_fits(&password, device.password_hash.as_ref()))
        .map(|(access_id, device)| (access_id, device.device, token))
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_signature_vector_is_reproduced() {
        let signed = concat!(
            r#"15653147891500001048{"audience_type": "account","platform": "android","#,
            r#""message": {"title": "test title","content": "test content","android": { "action": {"action_type": 3,"#,
            r#""intent": "xgscheme://com.xg.push/notify_detail?param1=xg"}}},"message_type": "notify","#,
            r#""account_list": ["5822f0eee44c3625ef0000bb"] }"#,
        );
        let mut mac = keyed("1452fcebae9f3115ba794fb0fff2fd73").unwrap();
        mac.update(signed.as_bytes());
        assert_eq!(
            BASE64.encode(hex(&mac.finalize().into_bytes())),
            "Y2QyMDc3NDY4MmJmNzhiZmRiNDNlMTdkMWQ1ZDU2YjNlNWI3ODlhMTY3MGZjMTUyN2VmNTRjNjVkMmQ3Yjc2ZA=="
        );
    }

    #[test]
    fn the_basic_scheme_is_read_in_any_case() {
        let encoded = BASE64.encode("1500001048:s:e:c");
        for scheme in ["Basic", "basic", "BASIC"] {
            let header = format!("{scheme} {encoded}");
            assert_eq!(basic(header.as_bytes()), Some(("1500001048".into(), "s:e:c".into())));
        }
        assert_eq!(basic(b"Bearer abc"), None);
        assert_eq!(basic(b"Basic !"), None);
    }
}
