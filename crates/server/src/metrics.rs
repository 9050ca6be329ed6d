//! Metrics: what the server counts while it works, as `/metrics` shows it. The parts that work call the methods here;
//! what can be looked up when somebody asks is not counted but read then ([`scrape`]).
//!
//! Names follow Prometheus: `pigeonloft_…_total` counts, `…_seconds` and `…_bytes` say the unit. Labels take values
//! from closed sets only, so that no caller can make the number of series grow.

pub mod scrape;

use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use scrape::Scrape;

/// `Content-Type` of [`Metrics::encode`]'s text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// What one HTTP request is counted under.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    method: &'static str,
    route: String,
    status: u16,
}

/// What one refusal of the API is counted under.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refusal {
    route: String,
    code: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

/// The counters of a running server.
#[derive(Debug)]
pub struct Metrics {
    started: SystemTime,
    registry: Registry,
    uploads: Family<Labels<1>, Counter>,
    upload_rows: Counter,
    upload_bytes: Counter,
    upload_seconds: Histogram,
    pushes_accepted: Family<Labels<1>, Counter>,
    pushes_finished: Family<Labels<1>, Counter>,
    pushes_running: Gauge,
    recipients: Family<Labels<2>, Counter>,
    vendor_pauses: Family<Labels<2>, Counter>,
    push_seconds: Family<Labels<1>, Counter<f64, AtomicU64>>,
    window_seconds: Histogram,
    batch_seconds: Family<Labels<1>, Histogram>,
    http_requests: Family<Request, Counter>,
    http_seconds: Family<Route, Histogram>,
    api_refusals: Family<Refusal, Counter>,
    connections_open: Family<Labels<1>, Gauge>,
    connections: Family<Labels<1>, Counter>,
    connections_refused: Family<Labels<2>, Counter>,
    accept_failures: Family<Labels<1>, Counter>,
    tls_failures: Family<Labels<1>, Counter>,
    certificate_reloads: Family<Labels<1>, Counter>,
}

/// From 10 ms to 164 s: a file of 100 MB over a slow line is within.
fn upload_seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.01, 2.0, 15))
}

/// From 1 ms to 8 s: an answer that takes longer is late, however much.
fn short_seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 14))
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Counters that stand at 0.
    #[must_use]
    pub fn new() -> Self {
        let mut metrics = Self {
            started: SystemTime::now(),
            registry: Registry::with_prefix("pigeonloft"),
            uploads: Family::default(),
            upload_rows: Counter::default(),
            upload_bytes: Counter::default(),
            upload_seconds: upload_seconds(),
            pushes_accepted: Family::default(),
            pushes_finished: Family::default(),
            pushes_running: Gauge::default(),
            recipients: Family::default(),
            vendor_pauses: Family::default(),
            push_seconds: Family::default(),
            window_seconds: short_seconds(),
            batch_seconds: Family::new_with_constructor(short_seconds),
            http_requests: Family::default(),
            http_seconds: Family::new_with_constructor(short_seconds),
            api_refusals: Family::default(),
            connections_open: Family::default(),
            connections: Family::default(),
            connections_refused: Family::default(),
            accept_failures: Family::default(),
            tls_failures: Family::default(),
            certificate_reloads: Family::default(),
        };
        metrics.register_work();
        metrics.register_network();
        metrics
    }

    fn register_work(&mut self) {
        let to = &mut self.registry;
        to.register("uploads", "Uploads ended, by result", self.uploads.clone());
        to.register("upload_rows", "Rows of the packages taken", self.upload_rows.clone());
        to.register("upload_bytes", "Bytes of the files uploaded, as sent", self.upload_bytes.clone());
        to.register(
            "upload_seconds",
            "How long uploads took, from their head to their answer",
            self.upload_seconds.clone(),
        );
        to.register("pushes_accepted", "Pushes accepted, by kind of audience", self.pushes_accepted.clone());
        to.register("pushes_finished", "Pushes ended, by state", self.pushes_finished.clone());
        to.register("pushes_running", "Pushes whose batches are being worked on now", self.pushes_running.clone());
        to.register("recipients", "Recipients recorded, by channel and outcome", self.recipients.clone());
        to.register(
            "vendor_pauses",
            "Times an app's channel with a vendor was paused, by channel and reason",
            self.vendor_pauses.clone(),
        );
        to.register("push_seconds", "What running pushes spent their time with", self.push_seconds.clone());
        to.register(
            "window_resolve_seconds",
            "How long it took to resolve a window of an audience to devices",
            self.window_seconds.clone(),
        );
        to.register("batch_seconds", "How long each step of a batch took", self.batch_seconds.clone());
    }

    fn register_network(&mut self) {
        let to = &mut self.registry;
        to.register("http_requests", "Requests answered, by route and status", self.http_requests.clone());
        to.register("http_request_seconds", "From a request's head to its answer's head", self.http_seconds.clone());
        to.register("api_refusals", "Calls refused, by route and code of the answer", self.api_refusals.clone());
        to.register("connections_open", "Connections open now", self.connections_open.clone());
        to.register("connections", "Connections accepted", self.connections.clone());
        to.register(
            "connections_refused",
            "Connections closed at once because there were too many, in all or from their address",
            self.connections_refused.clone(),
        );
        to.register(
            "accept_failures",
            "Times the system had no connection to give: mostly out of open files",
            self.accept_failures.clone(),
        );
        to.register("tls_failures", "TLS handshakes that failed or took too long", self.tls_failures.clone());
        to.register(
            "tls_certificate_reloads",
            "Changed certificate files read, by result",
            self.certificate_reloads.clone(),
        );
    }

    /// When the counting, and with it the server, began.
    #[must_use]
    pub fn started(&self) -> SystemTime {
        self.started
    }

    /// Everything as OpenMetrics text, together with what was looked up just now.
    #[must_use]
    pub fn encode(&self, scrape: &Scrape) -> String {
        let mut text = String::with_capacity(32 * 1024);
        let written = encode_registry(&mut text, &self.registry)
            .and_then(|()| encode_registry(&mut text, &scrape.registry()))
            .and_then(|()| encode_eof(&mut text));
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
        text
    }

    /// An upload ended, as `result` says (`accepted`, `refused`, `failed` by this server). `rows` are those of the package, 0 where
    /// there is none; `bytes` are those of the file, as far as it came.
    pub fn upload_finished(&self, result: &'static str, rows: u64, bytes: u64, took: Duration) {
        self.uploads.get_or_create(&[("result", result)]).inc();
        self.upload_rows.inc_by(rows);
        self.upload_bytes.inc_by(bytes);
        self.upload_seconds.observe(took.as_secs_f64());
    }

    /// A push was accepted; `kind` is its audience type.
    pub fn push_accepted(&self, kind: &'static str) {
        self.pushes_accepted.get_or_create(&[("audience", kind)]).inc();
    }

    /// A push ended in this state.
    pub fn push_finished(&self, state: &'static str) {
        self.pushes_finished.get_or_create(&[("state", state)]).inc();
    }

    /// So many pushes are being worked on.
    pub fn running_pushes(&self, count: usize) {
        self.pushes_running.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A running push spent so much more time with this part.
    pub fn spent(&self, part: &'static str, time: Duration) {
        self.push_seconds.get_or_create(&[("part", part)]).inc_by(time.as_secs_f64());
    }

    /// A window of an audience was resolved to devices, in so much time.
    pub fn window_resolved(&self, took: Duration) {
        self.window_seconds.observe(took.as_secs_f64());
    }

    /// A batch was with its channels for so long.
    pub fn batch_sent(&self, took: Duration) {
        self.batch_seconds.get_or_create(&[("step", "send")]).observe(took.as_secs_f64());
    }

    /// A batch was with the database for so long.
    pub fn batch_recorded(&self, took: Duration) {
        self.batch_seconds.get_or_create(&[("step", "record")]).observe(took.as_secs_f64());
    }

    /// So many recipients on this channel came to this outcome.
    pub fn outcomes(&self, channel: &'static str, outcome: &'static str, count: u64) {
        if count > 0 {
            self.recipients.get_or_create(&[("channel", channel), ("outcome", outcome)]).inc_by(count);
        }
    }

    /// An app's channel with a vendor was paused.
    pub fn channel_paused(&self, channel: &'static str, reason: &'static str) {
        self.vendor_pauses.get_or_create(&[("channel", channel), ("reason", reason)]).inc();
    }

    /// A request was answered. `route` is its template, never its path: the number of templates is fixed.
    pub fn request(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        let request = Request { method, route: route.to_owned(), status };
        self.http_requests.get_or_create(&request).inc();
        self.http_seconds.get_or_create(&Route { route: request.route }).observe(took.as_secs_f64());
    }

    /// A call was refused with this code of the answer.
    pub fn refusal(&self, route: &str, code: i64) {
        self.api_refusals.get_or_create(&Refusal { route: route.to_owned(), code }).inc();
    }

    /// The certificate files had changed: the new certificate is used (`taken`), or could not be (`refused`).
    pub fn certificate_reloaded(&self, result: &'static str) {
        self.certificate_reloads.get_or_create(&[("result", result)]).inc();
    }

    /// The counters of one listener: `http`, `https`, `mqtt` or `mqtts`. MQTT over WebSocket counts as what it came in by.
    #[must_use]
    pub fn listener(&self, listener: &'static str) -> Listener {
        let name = [("listener", listener)];
        let refused = |bound| self.connections_refused.get_or_create_owned(&[("listener", listener), ("bound", bound)]);
        Listener {
            open: self.connections_open.get_or_create_owned(&name),
            accepted: self.connections.get_or_create_owned(&name),
            refused_in_all: refused("all"),
            refused_from_address: refused("address"),
            accept_failures: self.accept_failures.get_or_create_owned(&name),
            tls_failures: self.tls_failures.get_or_create_owned(&name),
        }
    }
}

/// The counters of one listener, looked up once so that a connection costs no lookup.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Open now.
    pub open: Gauge,
    /// Accepted so far.
    pub accepted: Counter,
    /// Refused: too many in all.
    pub refused_in_all: Counter,
    /// Refused: too many from the address.
    pub refused_from_address: Counter,
    /// Failures to accept.
    pub accept_failures: Counter,
    /// Failed handshakes.
    pub tls_failures: Counter,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_shown_under_prometheus_names() {
        let metrics = Metrics::new();
        metrics.upload_finished("accepted", 3, 70, Duration::from_millis(15));
        metrics.push_accepted("package_account_push");
        metrics.push_finished("PUSH_FINISHED");
        metrics.running_pushes(2);
        metrics.spent("resolve", Duration::from_millis(1500));
        metrics.spent("resolve", Duration::from_millis(1500));
        metrics.window_resolved(Duration::from_millis(2));
        metrics.batch_sent(Duration::from_millis(3));
        metrics.batch_recorded(Duration::from_millis(4));
        metrics.outcomes("xg", "arrived", 5);
        metrics.outcomes("xg", "expired", 0);
        metrics.channel_paused("apns", "failing");
        metrics.request("POST", "/v3/push/app", 200, Duration::from_millis(2));
        metrics.refusal("/v3/push/app", 1_008_028);
        metrics.listener("http").open.inc();
        let text = metrics.encode(&Scrape::default());
        for line in [
            "pigeonloft_uploads_total{result=\"accepted\"} 1",
            "pigeonloft_upload_rows_total 3",
            "pigeonloft_upload_bytes_total 70",
            "pigeonloft_upload_seconds_bucket{le=\"0.02\"} 1",
            "pigeonloft_pushes_accepted_total{audience=\"package_account_push\"} 1",
            "pigeonloft_pushes_finished_total{state=\"PUSH_FINISHED\"} 1",
            "pigeonloft_pushes_running 2",
            "pigeonloft_push_seconds_total{part=\"resolve\"} 3.0",
            "pigeonloft_window_resolve_seconds_count 1",
            "pigeonloft_batch_seconds_count{step=\"send\"} 1",
            "pigeonloft_batch_seconds_count{step=\"record\"} 1",
            "pigeonloft_recipients_total{channel=\"xg\",outcome=\"arrived\"} 5",
            "pigeonloft_vendor_pauses_total{channel=\"apns\",reason=\"failing\"} 1",
            "pigeonloft_http_requests_total{method=\"POST\",route=\"/v3/push/app\",status=\"200\"} 1",
            "pigeonloft_api_refusals_total{route=\"/v3/push/app\",code=\"1008028\"} 1",
            "pigeonloft_connections_open{listener=\"http\"} 1",
            "pigeonloft_connections_refused_total{listener=\"http\",bound=\"address\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        assert!(!text.contains("expired"), "an outcome nobody came to is no series");
        assert!(text.ends_with("# EOF\n"));
    }
}
