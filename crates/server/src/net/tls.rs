//! TLS: the certificate the settings name, and its replacement while the server runs.
//!
//! One certificate serves HTTPS and MQTTS. Whoever connects gets the one that is current then; connections that are
//! open keep theirs.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus_client::metrics::counter::Counter;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::chain::chain;
use crate::config;
use crate::metrics::Metrics;

/// What HTTPS offers, best first.
const HTTP_PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("{key} cannot be read: {path}")]
    Read {
        /// Its key in the settings.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{key} cannot be used: {path} {problem}")]
    Content {
        /// Its key in the settings.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Certificate and key do not fit each other, or are of a kind that is not supported.
    #[error(
        "tls.certificate and tls.key cannot be used together\n\
         hint: the first certificate of the file must be the server's own, and the key must be its key"
    )]
    Pair(#[source] rustls::Error),
}

/// The current certificate.
#[derive(Debug)]
pub(super) struct Certificate {
    files: Files,
    current: ArcSwap<CertifiedKey>,
}

#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// What the files held.
#[derive(PartialEq, Eq)]
struct Content {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The key is nobody's to see.
        f.write_str("Content")
    }
}

impl Certificate {
    /// Reads the certificate the settings name.
    pub(super) fn load(settings: &config::Tls) -> Result<(Arc<Self>, Watch), Error> {
        let files = Files { certificate: settings.certificate.clone(), key: settings.key.clone() };
        let content = files.read()?;
        let current = ArcSwap::new(files.certified_key(&content)?);
        let certificate = Arc::new(Self { files, current });
        let every = Duration::from_secs(settings.reload_s.max(1));
        Ok((Arc::clone(&certificate), Watch { certificate, seen: Some(content), every }))
    }

    /// The TLS settings of HTTPS.
    pub(super) fn for_http(self: &Arc<Self>) -> Result<Arc<ServerConfig>, Error> {
        let mut config = self.server_config()?;
        config.alpn_protocols = HTTP_PROTOCOLS.iter().map(|name| name.to_vec()).collect();
        Ok(Arc::new(config))
    }

    /// The TLS settings of MQTTS. No protocol is offered: whatever a device asks for, it gets the only one there is.
    pub(super) fn for_mqtt(self: &Arc<Self>) -> Result<Arc<ServerConfig>, Error> {
        self.server_config().map(Arc::new)
    }

    fn server_config(self: &Arc<Self>) -> Result<ServerConfig, Error> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(Error::Pair)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        // A device that comes back resumes with a ticket it keeps itself: nothing is stored for it here.
        config.ticketer = ring::Ticketer::new().map_err(Error::Pair)?;
        config.send_tls13_tickets = 1;
        Ok(config)
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

/// The server's side of handshakes, at most so long each.
#[derive(Clone)]
pub(super) struct Handshake {
    acceptor: TlsAcceptor,
    within: Duration,
    failures: Counter,
}

impl Handshake {
    pub(super) fn new(config: Arc<ServerConfig>, within: Duration, failures: Counter) -> Self {
        Self { acceptor: TlsAcceptor::from(config), within, failures }
    }

    /// The connection with TLS unwrapped; `None`: it is closed.
    pub(super) async fn hands(self, stream: TcpStream, peer: SocketAddr) -> Option<TlsStream<TcpStream>> {
        let shaken = timeout(self.within, self.acceptor.accept(stream)).await;
        let shaken = shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        shaken
            .inspect_err(|error| {
                self.failures.inc();
                tracing::debug!(%peer, %error, "TLS handshake failed");
            })
            .ok()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

impl Files {
    fn read(&self) -> Result<Content, Error> {
        let read =
            |key, path: &PathBuf| std::fs::read(path).map_err(|source| Error::Read { key, path: path.clone(), source });
        Ok(Content { certificate: read("tls.certificate", &self.certificate)?, key: read("tls.key", &self.key)? })
    }

    fn certified_key(&self, content: &Content) -> Result<Arc<CertifiedKey>, Error> {
        let useless = |key, path: &PathBuf, error: &pem::Error| Error::Content {
            key,
            path: path.clone(),
            problem: match error {
                pem::Error::NoItemsFound => "holds none in PEM form".into(),
                error => format!("is damaged: {error}"),
            },
        };
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&content.certificate)
            .collect::<Result<_, _>>()
            .map_err(|error| useless("tls.certificate", &self.certificate, &error))?;
        if chain.is_empty() {
            return Err(useless("tls.certificate", &self.certificate, &pem::Error::NoItemsFound));
        }
        let key = PrivateKeyDer::from_pem_slice(&content.key).map_err(|error| useless("tls.key", &self.key, &error))?;
        CertifiedKey::from_der(chain, key, &provider()).map(Arc::new).map_err(Error::Pair)
    }
}

/// Looks after changes of the files.
#[derive(Debug)]
pub(super) struct Watch {
    certificate: Arc<Certificate>,
    /// What was read last, usable or not: the same content is not judged twice. `None`: it could not be read.
    seen: Option<Content>,
    every: Duration,
}

impl Watch {
    /// Looks every `tls.reload_s`, and when SIGHUP comes. Never ends by itself.
    pub(super) async fn run(mut self, metrics: &Metrics) {
        let mut ticks = tokio::time::interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut hangup = signal(SignalKind::hangup())
            .inspect_err(
                |error| tracing::warn!(%error, "SIGHUP cannot be received: certificates are read by the clock"),
            )
            .ok();
        loop {
            let hung_up = async {
                match &mut hangup {
                    Some(hangup) => hangup.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = ticks.tick() => {}
                _ = hung_up => {}
            }
            self.look(metrics);
        }
    }

    /// Takes what the files hold now, where that is new and usable. The files are small and read whole: times and
    /// sizes miss a change within their grain, and links that were turned to other files.
    fn look(&mut self, metrics: &Metrics) {
        let read = self.certificate.files.read();
        let content = match read {
            Ok(content) if self.seen.as_ref() == Some(&content) => return,
            Ok(content) => content,
            Err(error) => {
                if self.seen.take().is_some() {
                    refused(&error, metrics);
                }
                return;
            }
        };
        match self.certificate.files.certified_key(&content) {
            Ok(key) => {
                self.certificate.current.store(key);
                metrics.certificate_reloaded("taken");
                tracing::info!("the new certificate is used from now on");
            }
            Err(error) => refused(&error, metrics),
        }
        self.seen = Some(content);
    }
}

fn refused(error: &Error, metrics: &Metrics) {
    metrics.certificate_reloaded("refused");
    tracing::error!(error = chain(error), "the changed certificate cannot be used: the old one stays");
}

#[cfg(test)]
mod tests;
