//! Devices: how one becomes known, and what it says of itself afterwards.
//!
//! A program registers with its app's AccessKey and is given token and password; from then on the device speaks for
//! itself alone. A token that was imported has no password yet: the first to register it claims it.

mod accounts;
mod channels;
mod details;

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use pigeonloft_channels::xg::{PUSH_TOPIC, RECEIPT_TOPIC};
use pigeonloft_model::{AccessId, DeviceId, Fault, RetCode, Token};
use pigeonloft_store::{App, DeviceReport, NewDevice, Registered};
use serde_json::{Value, json};

use super::{Members, Problem, whole};
use crate::auth;
use crate::loft::Loft;
use crate::net::Client;
use crate::registrations::Leave;
use accounts::accounts;
use details::Details;

pub(super) use channels::{APNS_TOKEN_CHARS, BUNDLE_ID_BYTES, CHANNEL_TOKEN_BYTES};

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
    let Details { environment, channels, reported, .. } = Details::of(&given, app.platform, loft.vendors.permits())?;
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
    let said = Details::of(&given, app.platform, loft.vendors.permits())?;
    loft.store.change_device(access_id, device, DeviceReport::from(said)).await?;
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

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    pub(super) fn given(body: &Value) -> Members {
        Members::of(body.to_string().as_bytes()).unwrap()
    }

    pub(super) fn detail<T: std::fmt::Debug>(result: Result<T, Problem>) -> String {
        match result.unwrap_err() {
            Problem::Status(StatusCode::BAD_REQUEST, detail) => detail,
            other => panic!("not a bad request: {other:?}"),
        }
    }
}
