use axum::body::{Body, to_bytes};
use pigeonloft_channels::xg::{Hub, Limits};
use pigeonloft_model::Zone;
use pigeonloft_store::Store;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tower::ServiceExt;

use super::*;
use crate::config::{Config, Overrides};
use crate::desk::FrontDesk;
use crate::metrics::Metrics;

fn loft() -> (TempDir, Arc<Loft>) {
    let dir = tempfile::tempdir().unwrap();
    let overrides = Overrides { data_dir: Some(dir.path().to_owned()), ..Overrides::default() };
    let config = Config::load(None, &overrides).unwrap();
    let store = Store::open(dir.path()).unwrap();
    let (reports, _) = mpsc::unbounded_channel();
    let hub = Hub::new(FrontDesk::new(store.clone(), reports, Zone::CHINA), Limits::default());
    (dir, Arc::new(Loft::new(config, store, hub, Arc::new(Metrics::new()))))
}

/// Status, content type and text of a GET.
async fn ask(loft: &Arc<Loft>, path: &str) -> (StatusCode, String, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = crate::api::router(Arc::clone(loft)).oneshot(request).await.unwrap();
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE).map_or("", |kind| kind.to_str().unwrap()).to_owned();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, kind, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn the_metrics_are_openmetrics_and_show_the_requests_by_template() {
    let (_dir, loft) = loft();
    ask(&loft, "/healthz?secret=1").await;
    ask(&loft, "/v1/packages/7").await;
    ask(&loft, "/no/such/path").await;
    let (status, kind, text) = ask(&loft, "/metrics").await;
    assert_eq!((status, kind.as_str()), (StatusCode::OK, CONTENT_TYPE));
    for line in [
        "pigeonloft_http_requests_total{method=\"GET\",route=\"/healthz\",status=\"200\"} 1",
        "pigeonloft_http_requests_total{method=\"GET\",route=\"/v1/packages/{id}\",status=\"401\"} 1",
        "pigeonloft_http_requests_total{method=\"GET\",route=\"none\",status=\"404\"} 1",
        "pigeonloft_database_up 1",
        "pigeonloft_inbox_messages 0",
        "pigeonloft_queue_age_seconds 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
    }
    for secret in ["secret", "no/such"] {
        assert!(!text.contains(secret), "{secret} is shown");
    }
}

#[tokio::test]
async fn a_server_that_can_work_is_alive_and_ready() {
    let (_dir, loft) = loft();
    assert_eq!(ask(&loft, "/healthz").await.0, StatusCode::OK);
    let (status, _, text) = ask(&loft, "/readyz").await;
    assert_eq!((status, text.as_str()), (StatusCode::OK, "{\"ready\":true}"));
}

#[tokio::test]
async fn a_server_that_stops_lives_and_is_not_ready_and_says_why() {
    let (_dir, loft) = loft();
    loft.drain();
    assert_eq!(ask(&loft, "/healthz").await.0, StatusCode::OK);
    let (status, _, text) = ask(&loft, "/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let body: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(body["reasons"], serde_json::json!(["the server is shutting down"]));
}

#[tokio::test]
async fn a_data_folder_that_is_gone_makes_the_server_not_ready() {
    let (dir, loft) = loft();
    dir.close().unwrap();
    let (status, _, text) = ask(&loft, "/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.contains("the data folder cannot be written"), "{text}");
}

#[test]
fn methods_that_clients_make_up_are_counted_as_one() {
    let made_up = Method::from_bytes(b"BREW").unwrap();
    assert_eq!((method_name(&Method::PATCH), method_name(&made_up)), ("PATCH", "other"));
}
