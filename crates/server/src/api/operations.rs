//! What an operator's tools ask for: `/metrics`, whether the process lives (`/healthz`), whether it can work
//! (`/readyz`); and the measuring of every request.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use pigeonloft_model::RetCode;
use rustix::fs::{Access, access};
use serde_json::json;
use tokio::time::timeout;
use tracing::Instrument;

use super::openapi::{Caller, Operation, Routes, get, schema};
use crate::clock::unix_seconds;
use crate::folder::Disk;
use crate::loft::Loft;
use crate::metrics::CONTENT_TYPE;
use crate::metrics::scrape::{Database, Process, Scrape};
use crate::net::Client;

/// How long a part of the server may take to answer a question of this file.
const PATIENCE: Duration = Duration::from_secs(2);

/// With less space than this left for the data folder the server is not ready: a group of writes must fit in any case.
const LEAST_FREE_BYTES: u64 = 64 << 20;

/// What a request that matches no route is counted under.
const NO_ROUTE: &str = "none";

pub(super) fn routes() -> Routes {
    let asked = |id, summary| Operation::new("operation", id, Caller::Anybody, summary);
    let text = json!({ "type": "string" });
    let ready = schema::answered("Ready", [("ready", schema::switch("true"))]);
    let reasons = schema::list(schema::text(""), "why not, in words");
    let not_ready = schema::answered("NotReady", [("ready", schema::switch("false")), ("reasons", reasons)]);
    Routes::default()
        .route(
            "/metrics",
            get(metrics, asked("metrics", "Figures for Prometheus").answers(200, "OpenMetrics", CONTENT_TYPE, &text)),
        )
        .route(
            "/healthz",
            get(healthz, asked("healthz", "Whether the process lives").answers(200, "It does", "text/plain", &text)),
        )
        .route(
            "/readyz",
            get(
                readyz,
                asked("readyz", "Whether calls and devices should be sent here").json(200, "They should", &ready).json(
                    503,
                    "They should not",
                    &not_ready,
                ),
            ),
        )
}

async fn metrics(State(loft): State<Arc<Loft>>) -> Response {
    let started = loft.metrics.started();
    let files = {
        let loft = Arc::clone(&loft);
        beside(move || (Disk::of(&loft.config.data_dir).ok(), loft.store.bytes_on_disk(), Process::look(started)))
    };
    let (disk, database_bytes, process) = files.await.unwrap_or_default();
    let scrape = Scrape {
        devices: loft.hub.stats().into(),
        vendors: loft.vendors.states(),
        parked: loft.parked.by_channel(),
        database: database(&loft).await,
        writer: loft.store.writer_stats().into(),
        database_bytes,
        disk,
        process,
    };
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], loft.metrics.encode(&scrape)).into_response()
}

/// The process answers: that is all a supervisor needs to know before it restarts it.
async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether calls and devices should be sent here: 200, or 503 with the reasons.
async fn readyz(State(loft): State<Arc<Loft>>) -> Response {
    let mut reasons = Vec::new();
    if loft.is_draining() {
        reasons.push("the server is shutting down".to_owned());
    }
    if database(&loft).await.is_none() {
        reasons.push(format!("the database did not answer within {} s", PATIENCE.as_secs()));
    }
    if !matches!(timeout(PATIENCE, loft.store.permit()).await, Ok(Ok(_))) {
        reasons.push(format!("the database took no write within {} s", PATIENCE.as_secs()));
    }
    let data_dir = loft.config.data_dir.clone();
    match beside(move || cannot_write(&data_dir)).await {
        Some(reason) => reasons.extend(reason),
        None => reasons.push(format!("the data folder's disk did not answer within {} s", PATIENCE.as_secs())),
    }
    if reasons.is_empty() {
        return Json(json!({ "ready": true })).into_response();
    }
    tracing::warn!(?reasons, "not ready");
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "ready": false, "reasons": reasons }))).into_response()
}

/// Asks the database; `None`: it does not answer, or fails.
async fn database(loft: &Loft) -> Option<Database> {
    let now = unix_seconds();
    let asked = async {
        let unfinished = loft.store.unfinished().await?;
        let oldest = loft.store.oldest_due(now).await?;
        let queue_age = oldest.map_or(0, |since| u64::try_from(now.saturating_sub(since)).unwrap_or(0));
        Ok::<_, pigeonloft_store::Error>(Database { inbox: loft.store.inbox_size().await?, unfinished, queue_age })
    };
    match timeout(PATIENCE, asked).await {
        Ok(Ok(database)) => Some(database),
        Ok(Err(error)) => {
            tracing::error!(error = crate::chain::chain(&error), "the database could not be asked");
            None
        }
        Err(_) => None,
    }
}

/// Runs what asks the file system on a thread that may block, for as long as anybody would wait for it.
async fn beside<T: Send + 'static>(ask: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    timeout(PATIENCE, tokio::task::spawn_blocking(ask)).await.ok()?.ok()
}

fn cannot_write(data_dir: &Path) -> Option<String> {
    // Answers for the folder's owner and mode, and for a file system that turned read-only.
    if let Err(error) = access(data_dir, Access::WRITE_OK | Access::EXEC_OK) {
        return Some(format!("the data folder cannot be written: {error}"));
    }
    let free = Disk::of(data_dir).ok()?.free;
    (free < LEAST_FREE_BYTES).then(|| format!("the disk of the data folder is full: {free} bytes are left"))
}

/// Measures a request, and names it in every line that is logged meanwhile. Neither its query nor its headers are
/// named: they may hold secrets.
pub(super) async fn measure(State(loft): State<Arc<Loft>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = method_name(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0);
    // Behind a proxy, whom it speaks for.
    let client = request.extensions().get::<Client>().map(|client| client.0);
    let client = client.filter(|client| peer.is_some_and(|peer| peer.ip() != *client)).map(tracing::field::display);
    let span = tracing::info_span!("request", method, route, peer = peer.map(tracing::field::display), client);
    async {
        let response = next.run(request).await;
        let took = begun.elapsed();
        let status = response.status();
        loft.metrics.request(method, route, status.as_u16(), took);
        if let Some(code) = response.extensions().get::<RetCode>() {
            loft.metrics.refusal(route, code.code().into());
        }
        if status.is_server_error() {
            tracing::warn!(status = status.as_u16(), ms = took.as_millis(), "answered");
        } else {
            tracing::debug!(status = status.as_u16(), ms = took.as_millis(), "answered");
        }
        response
    }
    .instrument(span)
    .await
}

/// The method as a label: one of a closed set, whatever clients call theirs.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests;
