//! Connection: one line to APNs, opened when it is needed and kept open. Whoever sends has a handle of it; when it breaks,
//! the next who needs it opens another.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Connection, SendRequest};
use h2::{Ping, PingPong};
use http::uri::{Authority, Scheme, Uri};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How long a connection may take to be open, TLS included.
const OPENED_WITHIN: Duration = Duration::from_secs(10);

/// How often an open connection is asked whether it is there. Apple wants it seldom, firewalls forget within minutes.
const PING_EVERY: Duration = Duration::from_secs(60);

/// How long it may take to answer.
const PONG_WITHIN: Duration = Duration::from_secs(10);

/// A URL that names no server.
#[derive(Debug, thiserror::Error)]
pub enum NotAnEndpoint {
    /// The URL.
    #[error("{0} is no address of a server: give https://host:port, or http://host:port for HTTP/2 without TLS")]
    Url(String),
    /// The certificate.
    #[error("the certificate to trust is none in PEM")]
    Trusted,
}

/// Where APNs is.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) scheme: Scheme,
    pub(super) authority: Authority,
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

impl Endpoint {
    /// At this URL; `trusted`: a certificate, PEM, that is trusted there instead of the public authorities.
    pub(super) fn new(url: &str, trusted: Option<&str>) -> Result<Self, NotAnEndpoint> {
        let wrong = || NotAnEndpoint::Url(url.to_owned());
        let parts = url.parse::<Uri>().map_err(|_| wrong())?.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else { return Err(wrong()) };
        if parts.path_and_query.is_some_and(|path| path != "/") {
            return Err(wrong());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = match scheme.as_str() {
            "https" => {
                let name = ServerName::try_from(host.clone()).map_err(|_| wrong())?;
                Some((TlsConnector::from(Arc::new(tls_config(trusted)?)), name))
            }
            "http" => None,
            _ => return Err(wrong()),
        };
        let port = authority.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
        Ok(Self { scheme, authority, host, port, tls })
    }

    async fn open(&self) -> io::Result<SendRequest<Bytes>> {
        let stream = TcpStream::connect((&*self.host, self.port)).await?;
        // Messages are small, and each is awaited by somebody.
        stream.set_nodelay(true)?;
        match &self.tls {
            None => shake_hands(stream).await,
            Some((tls, name)) => shake_hands(tls.connect(name.clone(), stream).await?).await,
        }
    }
}

fn tls_config(trusted: Option<&str>) -> Result<ClientConfig, NotAnEndpoint> {
    let mut roots = RootCertStore::empty();
    match trusted {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                let certificate = certificate.map_err(|_| NotAnEndpoint::Trusted)?;
                roots.add(certificate).map_err(|_| NotAnEndpoint::Trusted)?;
            }
            if roots.is_empty() {
                return Err(NotAnEndpoint::Trusted);
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| NotAnEndpoint::Trusted)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

async fn shake_hands<S>(stream: S) -> io::Result<SendRequest<Bytes>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, mut connection) = h2::client::Builder::new()
        // Until the peer has said how many streams it takes: Apple takes one.
        .initial_max_send_streams(1)
        .enable_push(false)
        .handshake(stream)
        .await
        .map_err(io::Error::other)?;
    let pings = connection.ping_pong();
    tokio::spawn(drive(connection, pings));
    Ok(sender)
}

/// Moves the bytes of a connection until it ends, as it does when nobody has a handle of it any more.
async fn drive<S>(connection: Connection<S, Bytes>, pings: Option<PingPong>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let ended = tokio::select! {
        ended = connection => ended,
        () = until_silent(pings) => {
            tracing::debug!("APNs does not answer a ping: the connection is given up");
            return;
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to APNs ended");
    }
}

/// Asks whether the other side is there, until it does not answer.
async fn until_silent(pings: Option<PingPong>) {
    let Some(mut pings) = pings else { return std::future::pending().await };
    loop {
        tokio::time::sleep(PING_EVERY).await;
        match timeout(PONG_WITHIN, pings.ping(Ping::opaque())).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}

/// A place for a connection.
#[derive(Debug, Default)]
pub(super) struct Lane {
    current: Mutex<Arc<OnceCell<SendRequest<Bytes>>>>,
}

/// A handle of a lane's connection.
pub(super) struct Handle {
    cell: Arc<OnceCell<SendRequest<Bytes>>>,
    pub(super) sender: SendRequest<Bytes>,
}

impl Lane {
    /// The connection, opened if there is none. Whoever asks meanwhile waits for the same.
    pub(super) async fn handle(&self, endpoint: &Endpoint) -> io::Result<Handle> {
        let cell = self.current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let open = async || match timeout(OPENED_WITHIN, endpoint.open()).await {
            Ok(opened) => opened,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        let sender = cell.get_or_try_init(open).await?.clone();
        Ok(Handle { cell, sender })
    }

    /// The connection of this handle is of no use any more: the next handle is of another.
    pub(super) fn give_up(&self, handle: &Handle) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&current, &handle.cell) {
            *current = Arc::default();
        }
    }
}
