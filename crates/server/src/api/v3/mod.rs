//! The TPNS v3 API: one file for each group of calls, all framed alike.
//!
//! [`call`] is the frame: authenticate by the head, read the body, check its signature, hand the app and the body to the
//! call, answer in its style. A call therefore never sees a body that is not its app's, and the body of a caller that is
//! refused by its head is never held.

mod accounts;
mod attributes;
mod cancel;
pub(super) mod described;
pub(super) mod once;
mod plans;
pub(super) mod push;
mod statistics;
mod stops;
mod tags;
mod upload;
mod verdicts;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use bytes::Bytes;
use pigeonloft_model::{Fault, Push, PushId, RetCode};
use pigeonloft_store::{App, Asked, Push as StoredPush, Repeatable};

use super::answer::{self, Answer, Style};
use super::body;
use super::openapi::{Operation, Route, Routes, post};
use crate::auth;
use crate::chain::chain;
use crate::loft::Loft;
use once::Look;

pub(super) fn routes() -> Routes {
    Routes::default()
        .route("/v3/push/package/upload", post(upload::upload, described::upload().in_style(Style::Camel)))
        .route("/v3/push/app", call_once(Style::Snake, Repeatable::Push, push::push, described::push()))
        .route("/v3/push/cancel_timing_task", call(Style::Snake, cancel::cancel, described::cancel()))
        .route("/v3/push/stop_push_msg", call(Style::Snake, stops::stop, described::stop()))
        .route("/v3/push/revoke_push_msg", call(Style::Snake, stops::revoke, described::revoke()))
        .route("/v3/device/account/batchoperate", call(Style::Snake, accounts::operate, described::operate_accounts()))
        .route("/v3/device/account/query", call(Style::Camel, accounts::query, described::query_accounts()))
        .route("/v3/push/plan/add_plan_push", call(Style::Camel, plans::add_plan_push, described::add_plan()))
        .route("/v3/device/tag", call(Style::Snake, tags::operate, described::operate_tags()))
        .route("/v3/device/tag/delete_all_device", call(Style::Snake, tags::delete, described::delete_tags()))
        .route(
            "/v3/device/set_custom_attribute",
            call(Style::Camel, attributes::attributes, described::set_custom_attribute()),
        )
        .merge(statistics::routes())
}

/// A v3 call with a JSON body, handled by `handler` once its caller is known, and what it does.
fn call<F, Fut>(style: Style, handler: F, operation: Operation) -> Route
where
    F: Fn(Arc<Loft>, Arc<App>, Bytes) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Answer, Fault>> + Send,
{
    let framed = move |State(loft): State<Arc<Loft>>, request: Request| async move {
        let (head, body) = request.into_parts();
        let result = match authenticated_body(&loft, &head, body).await {
            Ok((app, body)) => handler(Arc::clone(&loft), app, body.clone()).await,
            Err(fault) => Err(fault),
        };
        answer::v3(style, result)
    };
    post(framed, operation.in_style(style))
}

/// As [`call`], of one that is done once under an `Idempotency-Key`. `handler` is called with what its answer is to be kept
/// under, and not at all where an answer is.
fn call_once<F, Fut>(style: Style, call: Repeatable, handler: F, operation: Operation) -> Route
where
    F: Fn(Arc<Loft>, Arc<App>, Bytes, Option<Asked>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Answer, Fault>> + Send,
{
    let framed = move |State(loft): State<Arc<Loft>>, request: Request| async move {
        let (head, body) = request.into_parts();
        let answered = async {
            let (app, body) = authenticated_body(&loft, &head, body).await?;
            match once::look(&loft, &app, call, &head.headers, &body).await? {
                Look::Again(answer) => Ok(answer),
                Look::First(asked) => handler(Arc::clone(&loft), app, body.clone(), asked).await,
            }
        };
        answer::v3(style, answered.await)
    };
    post(framed, operation.in_style(style))
}

fn no_push(push_id: PushId) -> Fault {
    let text = format!("this app has no push {push_id}: give the push_id that the push answered");
    Fault::new(RetCode::NoSuchPush, text)
}

/// What a stored push was to send and to whom.
fn request_of(stored: &StoredPush) -> Result<Push, Fault> {
    Push::from_stored(&stored.request).map_err(|error| {
        tracing::error!(push_id = %stored.push_id, error = chain(&error), "a stored push cannot be read");
        Fault::new(RetCode::Internal, format!("the record of push {} is damaged", stored.push_id))
    })
}

async fn authenticated_body<'a>(
    loft: &'a Loft,
    head: &Parts,
    body: Body,
) -> Result<(Arc<App>, body::Whole<'a>), Fault> {
    let limit = loft.config.http.json_bytes;
    let idle = Duration::from_secs(loft.config.http.body_idle_timeout_s);
    let mut caller = match auth::caller(loft, head).await {
        Ok(caller) => caller,
        Err(fault) => {
            // Read, not held: so that the answer is what the caller gets.
            body::discard(body, limit as u64, idle).await;
            return Err(fault);
        }
    };
    let body = body::whole(body, limit, idle, &loft.bodies).await.map_err(|error| match error {
        body::Error::Busy => Fault::new(RetCode::Internal, error.to_string()),
        body::Error::TooLarge(_) => too_long(RetCode::Invalid, &error),
        _ => too_long(RetCode::Unparsable, &error),
    })?;
    caller.hash(&body);
    Ok((caller.verify()?, body))
}

fn too_long(code: RetCode, error: &body::Error) -> Fault {
    Fault::new(code, format!("{error}: send a smaller one, or longer lists as a package"))
}
