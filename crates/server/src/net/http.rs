//! HTTP connections: versions 1.1 and 2 on one socket, each bounded in time and memory, and drained when the server
//! stops.
//!
//! Handlers find three extensions in a request: `ConnectInfo<SocketAddr>`, the other end of its connection; [`Client`](super::Client),
//! whom it comes from; and `Arc<Admission>`, its connection's place among the open ones. Who takes the connection over
//! (WebSocket) keeps the last as long.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::accept::Admission;
use super::client::Proxies;
use super::stall::Stall;
use super::tls::Handshake;
use crate::config::Config;

/// Largest head of a request, HTTP/1.1; a larger one is answered 431. Also the largest piece of a body read at once.
const HEAD_BYTES: usize = 64 * 1024;

/// Largest head of a request, HTTP/2, counted as RFC 9113 counts it.
const H2_HEAD_BYTES: u32 = 64 * 1024;

/// Requests under way at once on one connection, HTTP/2.
const H2_STREAMS: u32 = 128;

/// Requests a connection may have begun and reset before the server looked at them; beyond it the connection is
/// closed. (CVE-2023-44487, "rapid reset")
const H2_RESETS: usize = 20;

/// Requests the server may have had to reset for what they were; beyond it the connection is closed.
/// (CVE-2025-8671, "made you reset")
const H2_LOCAL_RESETS: usize = 256;

/// How often a silent HTTP/2 connection is asked whether it is still there, and how long it may take to answer.
const H2_PING: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(20));

/// Serves HTTP connections.
#[derive(Debug)]
pub(super) struct HttpServer {
    builder: Builder<TokioExecutor>,
    router: Router,
    header_timeout: Duration,
    stall: Duration,
    proxies: Proxies,
    open: TaskTracker,
    /// No more requests: those in flight end.
    closing: CancellationToken,
    /// Those in flight took too long.
    cut: CancellationToken,
}

impl HttpServer {
    pub(super) fn new(config: &Config, router: Router) -> Arc<Self> {
        let header_timeout = Duration::from_secs(config.http.header_timeout_s);
        let mut builder = Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(header_timeout).max_buf_size(HEAD_BYTES);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(H2_STREAMS)
            .max_header_list_size(H2_HEAD_BYTES)
            .max_pending_accept_reset_streams(H2_RESETS)
            .max_local_error_reset_streams(H2_LOCAL_RESETS)
            .keep_alive_interval(H2_PING.0)
            .keep_alive_timeout(H2_PING.1);
        Arc::new(Self {
            builder,
            router,
            header_timeout,
            stall: Duration::from_secs(config.http.body_idle_timeout_s),
            proxies: Proxies {
                trusted: config.http.trusted_proxies.clone(),
                header: config.http.forwarded_header.clone(),
            },
            open: TaskTracker::new(),
            closing: CancellationToken::new(),
            cut: CancellationToken::new(),
        })
    }

    /// Serves connections that are HTTP from their first byte.
    pub(super) fn plain(self: Arc<Self>) -> impl FnMut(TcpStream, SocketAddr, Admission) {
        move |stream, peer, admission| {
            let server = Arc::clone(&self);
            self.open.spawn(async move { server.connection(stream, peer, admission).await });
        }
    }

    /// Serves connections that begin with a TLS handshake.
    pub(super) fn secure(self: Arc<Self>, shake: Handshake) -> impl FnMut(TcpStream, SocketAddr, Admission) {
        move |stream, peer, admission| {
            let (server, shake) = (Arc::clone(&self), shake.clone());
            self.open.spawn(async move {
                // Nothing is in flight yet that a stopping server would have to wait for.
                if let Some(Some(stream)) = server.closing.run_until_cancelled(shake.hands(stream, peer)).await {
                    server.connection(stream, peer, admission).await;
                }
            });
        }
    }

    /// Lets requests in flight end, takes no new ones, and cuts off what takes longer than `grace`.
    pub(super) async fn drain(&self, grace: Duration) {
        self.closing.cancel();
        self.open.close();
        if tokio::time::timeout(grace, self.open.wait()).await.is_err() {
            tracing::warn!(connections = self.open.len(), "HTTP requests did not end in time: cut off");
            self.cut.cancel();
            self.open.wait().await;
        }
    }

    async fn connection<S>(&self, stream: S, peer: SocketAddr, admission: Admission)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let asked = AtomicBool::new(false);
        let admission = Arc::new(admission);
        let service = service_fn(|mut request: Request<Incoming>| {
            asked.store(true, Ordering::Relaxed);
            let client = self.proxies.client(peer.ip(), request.headers());
            request.extensions_mut().insert(ConnectInfo(peer));
            request.extensions_mut().insert(client);
            request.extensions_mut().insert(Arc::clone(&admission));
            self.router.clone().oneshot(request.map(Body::new))
        });
        let io = TokioIo::new(Stall::new(stream, self.stall));
        let mut connection = pin!(self.builder.serve_connection_with_upgrades(io, service));
        let mut first = pin!(tokio::time::sleep(self.header_timeout));
        let (mut waits_for_first, mut closing) = (true, false);
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%peer, error = %crate::chain::chain(&*error), "HTTP connection broke");
                    }
                    return;
                }
                () = first.as_mut(), if waits_for_first => {
                    // hyper times heads of HTTP/1.1 only, and only once it knows that this is what it reads.
                    waits_for_first = false;
                    if !asked.load(Ordering::Relaxed) {
                        tracing::debug!(%peer, "no request in time: closed");
                        return;
                    }
                }
                () = self.closing.cancelled(), if !closing => {
                    closing = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = self.cut.cancelled() => return,
            }
        }
    }
}

#[cfg(test)]
mod tests;
