//! The pushes of a device, for the app's servers: what became of the latest, and why it did or did not get a certain one.

mod why;

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use pigeonloft_model::{Push as Request, PushId, ReceiptEvent, Token};
use pigeonloft_store::{App, DeviceFacts, PUSHES_LOOKED_AT, Reported};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

pub(super) use self::why::Because;
use self::why::{Case, Why};
use super::report::lines::{channel, reason};
use super::{Problem, app};
use crate::chain::chain;
use crate::loft::Loft;
use crate::packages::PackageFolder;

/// Pushes on a page, where the call does not say, and at most.
pub(super) const PAGE: usize = 100;
pub(super) const PAGE_MAX: usize = 1000;

/// What a call says beside the device.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    push_id: Option<String>,
    before: Option<i64>,
    limit: Option<usize>,
}

/// `GET /v1/devices/{token}/pushes`: a page of the pushes that had the device as a recipient, latest first, or, with
/// `push_id`, what became of that one and why.
pub(super) async fn list(
    State(loft): State<Arc<Loft>>,
    Path(token): Path<String>,
    head: Parts,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Problem> {
    let app = app(&loft, &head).await?;
    let Query(asked) = asked.map_err(|error| Problem::Status(StatusCode::BAD_REQUEST, error.body_text()))?;
    if let Some(push_id) = &asked.push_id {
        return explained(&loft, &app, &token, push_id).await;
    }
    let limit = asked.limit.unwrap_or(PAGE);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(Problem::member("limit", format_args!("it is {limit}, give a number from 1 to {PAGE_MAX}")));
    }
    let device = facts(&loft, &app, &token, 0).await?.device;
    let before = asked.before.map(PushId);
    let page = loft.store.pushes_of_device(app.access_id, device, before, limit, PUSHES_LOOKED_AT).await?;
    let pushes: Value = page.pushes.iter().map(|reported| shown(reported.push_id, Some(reported))).collect();
    Ok(Json(json!({ "pushes": pushes, "next": page.next.map(|push| push.to_string()) })).into_response())
}

/// What became of one push at the device, and why.
async fn explained(loft: &Arc<Loft>, app: &App, token: &str, push_id: &str) -> Result<Response, Problem> {
    let unknown =
        || Problem::not_found(format!("this app has no push {push_id}: give the push_id that the push answered"));
    let push_id = push_id.parse().map_err(|_| unknown())?;
    let started = loft.store.push_with_cursor(app.access_id, push_id).await?.ok_or_else(unknown)?;
    let request = Request::from_stored(&started.push.request).map_err(|error| {
        Problem::Status(StatusCode::INTERNAL_SERVER_ERROR, format!("the stored push is damaged: {error}"))
    })?;
    let device = facts(loft, app, token, request.account_type.code()).await?;
    // Read after the push: had that come to its end, its recipients are all on record.
    let reported = loft.store.recipient(push_id, device.device).await?;
    let parked_for = loft.store.parked_for(app.access_id, (push_id, device.device)).await?;
    let case = Case {
        platform: app.platform,
        token: token.trim().to_owned(),
        is_online: loft.hub.is_online(device.device),
        recipients_days: loft.config.push.recipients_days,
        target_days: loft.config.push.target_days,
        minute_of_day: loft.minute_of_day(),
        folder: PackageFolder::of(&loft.config),
        device,
        started,
        request,
        reported,
        parked_for,
    };
    let store = loft.store.clone();
    let judged = spawn_blocking(move || {
        let why = case.why(&store.reader()?)?;
        Ok::<_, why::Error>((why, case.reported))
    });
    let (Why { because, text }, reported) = match judged.await {
        Ok(Ok(judged)) => judged,
        Ok(Err(why::Error::Store(error))) => return Err(error.into()),
        Ok(Err(error @ why::Error::Package(_))) => {
            tracing::error!(error = chain(&error), %push_id, "the package of a push cannot be read");
            let text = "the server cannot read the package of the push now, try again later";
            return Err(Problem::Status(StatusCode::SERVICE_UNAVAILABLE, text.into()));
        }
        Err(_) => return Err(Problem::Status(StatusCode::INTERNAL_SERVER_ERROR, "the answer broke off".into())),
    };
    let mut answer = shown(push_id, reported.as_ref());
    answer["because"] = because.map(Because::as_str).into();
    answer["explanation"] = text.into();
    Ok(Json(answer).into_response())
}

/// The device of this token.
async fn facts(loft: &Loft, app: &App, token: &str, account_type: u32) -> Result<DeviceFacts, Problem> {
    let unknown = || {
        Problem::not_found(format!(
            "no device of this app has the token {token}: it was never registered, or was deleted"
        ))
    };
    let token: Token = token.trim().parse().map_err(|_| unknown())?;
    loft.store.device_facts(app.access_id, token, account_type).await?.ok_or_else(unknown)
}

/// What became of a push at the device; `None`: the device is no recipient.
fn shown(push_id: PushId, reported: Option<&Reported>) -> Value {
    let seconds = |time: Option<i64>| time.map(|ms| ms / 1000);
    let receipt = |event: ReceiptEvent| reported.is_some_and(|of| of.receipts & event.flag() != 0);
    json!({
        "push_id": push_id.to_string(),
        "channel": reported.and_then(channel),
        "outcome": reported.map(|of| of.outcome.as_str()),
        "reason": reported.map_or("", reason),
        "code": reported.and_then(|of| of.code.as_deref()),
        "sent_at": seconds(reported.and_then(|of| of.sent_at)),
        "arrived_at": seconds(reported.and_then(|of| of.arrived_at)),
        "shown": receipt(ReceiptEvent::Shown),
        "clicked": receipt(ReceiptEvent::Clicked),
        "cleared": receipt(ReceiptEvent::Cleared),
    })
}
