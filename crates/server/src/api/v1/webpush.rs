//! Web Push: the public key that browsers subscribe with.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Problem;
use crate::auth;
use crate::loft::Loft;

/// `GET /v1/webpush/key`, by a program with its app's AccessKey: what it gives `pushManager.subscribe` as
/// `applicationServerKey`.
pub(super) async fn key(State(loft): State<Arc<Loft>>, headers: HeaderMap) -> Result<Response, Problem> {
    let app = auth::access_key(&loft, &headers).await?;
    match loft.vendors.webpush_key(&loft.store, app.access_id).await? {
        Some(Ok(public_key)) => Ok(Json(json!({ "public_key": public_key })).into_response()),
        Some(Err(reason)) => {
            tracing::error!(access_id = %app.access_id, reason, "the keys of an app for Web Push cannot be used");
            let text = "the server cannot use the app's keys for Web Push; its log says why";
            Err(Problem::Status(StatusCode::SERVICE_UNAVAILABLE, text.into()))
        }
        None => {
            let text = "the app has no keys for Web Push: make them with `pigeonloft app webpush-keys`";
            Err(Problem::not_found(text))
        }
    }
}
