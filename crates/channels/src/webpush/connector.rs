//! Connector: opens connections to push services. It looks a name up itself, and connects to an address that it has judged:
//! between the judging and the connecting nobody can answer another one.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

use super::Permits;
use super::address::is_public;
use crate::reach;

/// How long TLS may take, once an address has answered.
const TLS_WITHIN: Duration = Duration::from_secs(5);

/// Why there is no connection. Nothing was sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The name leads to addresses that are not public, and to no other.
    #[error("the endpoint leads to no address of the public internet")]
    NotPublic,
    /// It is no address at all.
    #[error("the endpoint names no host that can be connected to")]
    NoHost,
    /// The name is not known, nobody answers, or not as a push service does.
    #[error("no connection")]
    Io(#[from] io::Error),
}

/// Opens connections.
#[derive(Clone)]
pub(super) struct Connector {
    permits: Permits,
    tls: TlsConnector,
}

impl Connector {
    pub(super) fn new(permits: Permits, tls: Arc<ClientConfig>) -> Self {
        Self { permits, tls: TlsConnector::from(tls) }
    }

    async fn connect(self, uri: Uri) -> Result<TokioIo<Stream>, Error> {
        let host = uri.host().ok_or(Error::NoHost)?.trim_start_matches('[').trim_end_matches(']').to_owned();
        let is_tls = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let stream = self.reach(&host, port).await?;
        // Small requests, each of which is waited for: without this the system would hold them back.
        stream.set_nodelay(true)?;
        if !is_tls {
            return Ok(TokioIo::new(Stream::Plain(stream)));
        }
        let name = ServerName::try_from(host).map_err(|_| Error::NoHost)?;
        let greeted = timeout(TLS_WITHIN, self.tls.connect(name, stream)).await.map_err(|_| reach::too_slow())?;
        Ok(TokioIo::new(Stream::Tls(Box::new(greeted?))))
    }

    /// A connection to the first address of the name that may be connected to and answers.
    async fn reach(&self, host: &str, port: u16) -> Result<TcpStream, Error> {
        let found = reach::look_up(host, port).await?;
        let permitted = |address: &SocketAddr| self.permits.private_addresses || is_public(address.ip());
        let permitted: Vec<_> = found.into_iter().filter(permitted).collect();
        if permitted.is_empty() {
            return Err(Error::NotPublic);
        }
        Ok(reach::connect(&permitted).await?)
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

/// A connection.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        match self {
            Self::Tls(stream) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => Connected::new().negotiated_h2(),
            _ => Connected::new(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, into),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, into),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
