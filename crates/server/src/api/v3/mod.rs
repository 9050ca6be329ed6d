//! The TPNS v3 API: one file for each group of calls, all framed alike.
//!
//! [`call`] is the frame: read the body, authenticate, hand the app and the body to the call, answer in its style. A
//! call therefore never sees a body that is not its app's.

mod accounts;
mod push;
mod statistics;
mod upload;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::routing::{MethodRouter, post};
use bytes::Bytes;
use pigeonloft_model::{Fault, RetCode};
use pigeonloft_store::App;

use super::answer::{self, Answer, Style};
use super::body;
use crate::auth;
use crate::loft::Loft;

pub(super) fn router() -> Router<Arc<Loft>> {
    Router::new()
        .route("/v3/push/package/upload", post(upload::upload))
        .route("/v3/push/app", call(Style::Snake, push::push))
        .route("/v3/device/account/batchoperate", call(Style::Snake, accounts::operate))
        .route("/v3/device/account/query", call(Style::Camel, accounts::query))
        .route("/v3/statistics/get_push_record", call(Style::Camel, statistics::push_record))
        .route("/v3/statistics/get_push_task_stat_channel", call(Style::Camel, statistics::push_task_stat_channel))
}

/// A v3 call with a JSON body, handled by `handler` once its caller is known.
fn call<F, Fut>(style: Style, handler: F) -> MethodRouter<Arc<Loft>>
where
    F: Fn(Arc<Loft>, Arc<App>, Bytes) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Answer, Fault>> + Send,
{
    post(move |State(loft): State<Arc<Loft>>, request: Request| async move {
        let (head, body) = request.into_parts();
        let result = match authenticated_body(&loft, &head.headers, body).await {
            Ok((app, body)) => handler(loft, app, body).await,
            Err(fault) => Err(fault),
        };
        answer::v3(style, result)
    })
}

async fn authenticated_body(loft: &Loft, headers: &HeaderMap, body: Body) -> Result<(Arc<App>, Bytes), Fault> {
    let limit = loft.config.http.json_bytes;
    let idle = Duration::from_secs(loft.config.http.body_idle_timeout_s);
    // The body is read even for a caller that is refused, so that the answer is what it gets.
    let body = body::whole(body, limit, idle).await;
    let mut caller = auth::caller(loft, headers).await?;
    let body = body.map_err(|error| {
        let code = if matches!(error, body::Error::TooLarge(_)) { RetCode::Invalid } else { RetCode::Unparsable };
        Fault::new(code, format!("{error}: send a smaller one, or longer lists as a package"))
    })?;
    caller.hash(&body);
    Ok((caller.verify()?, body))
}
