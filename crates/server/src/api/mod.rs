//! The API on the HTTP port: [`v3`] as TPNS published it, [`v1`] of our own, MQTT over WebSocket, and what an
//! operator's tools ask for.

pub mod answer;
pub mod body;
mod operations;
pub mod v1;
pub mod v3;
mod websocket;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::loft::Loft;

/// Every route of the HTTP port.
pub fn router(loft: Arc<Loft>) -> Router {
    let api = Router::new().merge(v3::router()).merge(v1::router());
    let api = api.route_layer(middleware::from_fn_with_state(loft.clone(), refuse_while_draining));
    Router::new()
        .merge(api)
        .merge(operations::router())
        .route("/mqtt", get(websocket::upgrade))
        .layer(middleware::from_fn_with_state(loft.clone(), operations::measure))
        .with_state(loft)
}

/// A server that shuts down takes no new calls: 503, which published clients take for a failed transport and repeat.
async fn refuse_while_draining(State(loft): State<Arc<Loft>>, request: Request, next: Next) -> Response {
    if loft.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "5")], "the server is shutting down\n")
            .into_response();
    }
    next.run(request).await
}
