//! The API on the HTTP port: [`v3`] as TPNS published it, [`v1`] of our own, MQTT over WebSocket, and what an
//! operator's tools ask for.

pub mod answer;
pub mod body;
mod demo;
mod openapi;
mod operations;
pub mod v1;
pub mod v3;
mod websocket;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};

use self::openapi::get;
use crate::loft::Loft;

/// Every route of the HTTP port, and its description.
pub fn router(loft: Arc<Loft>) -> Router {
    let api = v3::routes().merge(v1::routes());
    let api = api.layer(middleware::from_fn_with_state(loft.clone(), refuse_while_draining));
    api.merge(operations::routes())
        .route("/mqtt", get(websocket::upgrade, websocket::described()))
        .published()
        .merge(demo::router())
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(middleware::from_fn_with_state(loft.clone(), operations::measure))
        .with_state(loft)
}

/// 404, which says so: a service URL that is wrong is the first thing to go wrong when a program moves over.
async fn no_such_path() -> Response {
    let text = "this server has no such path: check the service URL and the path; /docs shows those it has";
    answer::problem_with(StatusCode::NOT_FOUND, text)
}

/// 405.
async fn no_such_method() -> Response {
    let text = "this path is not called by this method: the Allow header has those it takes, and /docs shows how";
    answer::problem_with(StatusCode::METHOD_NOT_ALLOWED, text)
}

/// A server that shuts down takes no new calls: 503, which published clients take for a failed transport and repeat.
async fn refuse_while_draining(State(loft): State<Arc<Loft>>, request: Request, next: Next) -> Response {
    if loft.is_draining() {
        let refused = answer::problem_with(StatusCode::SERVICE_UNAVAILABLE, "the server is shutting down");
        return ([(header::RETRY_AFTER, "5")], refused).into_response();
    }
    next.run(request).await
}
