//! `/demo/webpush`: a page that makes the browser it is opened in a device of an app, for who wants to see Web Push work. All of
//! it is embedded, it asks nobody but this server, and its policy allows nothing else.
//!
//! Browsers subscribe on pages that came by https, or from the machine itself.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::loft::Loft;

/// Scripts, styles and calls of this server alone. What the page shows of a message is text and never markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; worker-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const SCRIPT: &str = "text/javascript; charset=utf-8";

pub(super) fn router() -> Router<Arc<Loft>> {
    let file = |content_type: &'static str, text: &'static str| {
        let headers = [
            (header::CONTENT_TYPE, content_type),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::CACHE_CONTROL, "no-cache"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
        ];
        let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
        get(move || std::future::ready((headers.clone(), text).into_response()))
    };
    Router::new()
        .route("/demo/webpush", file("text/html; charset=utf-8", include_str!("demo/webpush.html")))
        .route("/demo/webpush.css", file("text/css; charset=utf-8", include_str!("demo/webpush.css")))
        .route("/demo/webpush.js", file(SCRIPT, include_str!("demo/webpush.js")))
        // Its folder is what it may take messages for.
        .route("/demo/webpush-worker.js", file(SCRIPT, include_str!("demo/webpush-worker.js")))
}
