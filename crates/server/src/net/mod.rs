//! Net: the sockets the server is reached by, and everything about a connection that is not yet HTTP or MQTT.
//!
//! ```text
//! socket ── accept (bounds) ─┬─ tls ─┬─ http ── stall ── router ── websocket ─┐
//!                            └───────┴───────────────────────────────── mqtt ─┴─ hub
//! ```
//!
//! What a request means is [`api`](crate::api)'s, what MQTT means is the channel's.

mod accept;
mod bounds;
mod client;
mod http;
mod mqtt;
mod socket;
mod stall;
pub mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) use accept::Admission;
pub(crate) use bounds::Origin;
pub(crate) use client::Client;

use crate::config::Config;
use crate::loft::Loft;
use crate::metrics::Metrics;
use accept::Gate;
use bounds::Bounds;
use http::HttpServer;
use tls::Handshake;

/// Where a running server can be reached.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// The API.
    pub http: SocketAddr,
    /// The API over TLS.
    pub https: Option<SocketAddr>,
    /// The own channel.
    pub mqtt: SocketAddr,
    /// The own channel over TLS.
    pub mqtts: Option<SocketAddr>,
}

/// Why the server cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What stands in the settings is no address.
    #[error(
        "{key} is \"{address}\", which is no address and port such as 127.0.0.1:8080 or [::1]:8080: {source}\n\
         hint: 0.0.0.0 is every address of IPv4, [::] of both IPv4 and IPv6"
    )]
    Address {
        /// The key.
        key: &'static str,
        /// What it is set to.
        address: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address} ({key}): {source}\nhint: {hint}")]
    Bind {
        /// The key.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// What to do about it.
        hint: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] tls::Error),
}

/// The sockets of a server, listening: connections wait in the system until [`Listeners::serve`] takes them.
#[derive(Debug)]
pub struct Listeners {
    http: TcpListener,
    mqtt: TcpListener,
    https: Option<(TcpListener, Arc<ServerConfig>)>,
    mqtts: Option<(TcpListener, Arc<ServerConfig>)>,
    certificate: Option<tls::Watch>,
    addresses: Addresses,
}

impl Listeners {
    /// Reads the certificate, if there is one, and listens on every address the settings name. Must be called within
    /// a runtime. Also lets the process open as many files as the system permits.
    ///
    /// # Errors
    /// The certificate cannot be used, an address is none, or cannot be listened on. Nothing is listened on then.
    pub fn bind(config: &Config) -> Result<Self, Error> {
        socket::raise_open_files((config.http.connections as u64).saturating_add(config.mqtt.connections as u64));
        let (http, http_address) = socket::listen("http.listen", &config.http.listen)?;
        let (mqtt, mqtt_address) = socket::listen("mqtt.listen", &config.mqtt.listen)?;
        let mut addresses = Addresses { http: http_address, https: None, mqtt: mqtt_address, mqtts: None };
        let (mut https, mut mqtts, mut certificate) = (None, None, None);
        if config.has_tls() {
            let (current, watch) = tls::Certificate::load(&config.tls)?;
            if !config.http.tls_listen.is_empty() {
                let (listener, address) = socket::listen("http.tls_listen", &config.http.tls_listen)?;
                addresses.https = Some(address);
                https = Some((listener, current.for_http()?));
            }
            if !config.mqtt.tls_listen.is_empty() {
                let (listener, address) = socket::listen("mqtt.tls_listen", &config.mqtt.tls_listen)?;
                addresses.mqtts = Some(address);
                mqtts = Some((listener, current.for_mqtt()?));
            }
            certificate = Some(watch);
        }
        Ok(Self { http, mqtt, https, mqtts, certificate, addresses })
    }

    /// Where the server is reached: the ports the system gave where the settings said 0.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Takes connections until `shutdown`; then takes no more, closes HTTP connections without a request, and lets
    /// requests in flight end within half of `shutdown.grace_s`: the other half is the devices', whose connections go
    /// on until the hub is drained.
    pub async fn serve(self, loft: Arc<Loft>, router: Router, shutdown: CancellationToken) {
        let config = &loft.config;
        let http = HttpServer::new(config, router);
        let hub = &loft.hub;
        let mut doors = Doors { tasks: JoinSet::new(), metrics: Arc::clone(&loft.metrics), shutdown };

        let proxies = config.http.trusted_proxies.clone();
        let bounds = Bounds::beside(config.http.connections, config.http.connections_per_address, proxies);
        doors.open("http", self.http, &bounds, Arc::clone(&http).plain());
        if let Some((listener, tls)) = self.https {
            let shake = doors.handshake("https", tls, config.http.header_timeout_s);
            doors.open("https", listener, &bounds, Arc::clone(&http).secure(shake));
        }
        let bounds = Bounds::new(config.mqtt.connections, config.mqtt.connections_per_address);
        doors.open("mqtt", self.mqtt, &bounds, mqtt::plain(Arc::clone(hub)));
        if let Some((listener, tls)) = self.mqtts {
            let shake = doors.handshake("mqtts", tls, config.mqtt.connect_timeout_s);
            doors.open("mqtts", listener, &bounds, mqtt::secure(Arc::clone(hub), shake));
        }
        if let Some(watch) = self.certificate {
            doors.watch(watch);
        }
        doors.closed().await;
        http.drain(Duration::from_secs(config.shutdown.grace_s) / 2).await;
    }
}

/// The tasks that take connections, until `shutdown`.
struct Doors {
    tasks: JoinSet<()>,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
}

impl Doors {
    fn open<S>(&mut self, name: &'static str, listener: TcpListener, bounds: &Arc<Bounds>, serve: S)
    where
        S: FnMut(TcpStream, SocketAddr, Admission) + Send + 'static,
    {
        let gate = Gate { name, bounds: Arc::clone(bounds), counters: self.metrics.listener(name) };
        self.tasks.spawn(accept::run(listener, gate, self.shutdown.clone(), serve));
    }

    fn handshake(&self, name: &'static str, tls: Arc<ServerConfig>, within_s: u64) -> Handshake {
        Handshake::new(tls, Duration::from_secs(within_s), self.metrics.listener(name).tls_failures)
    }

    fn watch(&mut self, watch: tls::Watch) {
        let (metrics, shutdown) = (Arc::clone(&self.metrics), self.shutdown.clone());
        self.tasks.spawn(async move {
            shutdown.run_until_cancelled(watch.run(&metrics)).await;
        });
    }

    async fn closed(mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a listener had failed");
            }
        }
    }
}

#[cfg(test)]
mod tests;
