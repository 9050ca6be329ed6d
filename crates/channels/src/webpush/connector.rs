//! Connector: opens connections to push services. It looks a name up itself, and connects to an address that it has judged:
//! between the judging and the connecting nobody can answer another one.
//!
//! Names and addresses are strangers', as many as they like: look-ups and connections are bounded in all.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
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
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

use super::Permits;
use super::address::is_public;
use crate::reach;

/// How long TLS may take, once an address has answered.
const TLS_WITHIN: Duration = Duration::from_secs(5);

/// Names that are looked up at once. The system does it in threads of the process, which others need, too, and a name server
/// that is silent holds one for longer than anybody waits.
const LOOKUPS: usize = 32;

/// How long a place is waited for, and then for the look-up of a name.
const WAITED: Duration = Duration::from_secs(5);

/// Connections open at once, idle ones included: files that others need, too. Push services have
/// up to eight each, or, over HTTP/1.1, one for each request under way.
const CONNECTIONS: usize = 512;

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
    lookups: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

impl Connector {
    pub(super) fn new(permits: Permits, tls: Arc<ClientConfig>) -> Self {
        let (lookups, places) = (Arc::new(Semaphore::new(LOOKUPS)), Arc::new(Semaphore::new(CONNECTIONS)));
        Self { permits, tls: TlsConnector::from(tls), lookups, places }
    }

    async fn connect(self, uri: Uri) -> Result<TokioIo<Stream>, Error> {
        let host = uri.host().ok_or(Error::NoHost)?.trim_start_matches('[').trim_end_matches(']').to_owned();
        let is_tls = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let place = free(&self.places).await?;
        let stream = self.reach(&host, port).await?;
        // Small requests, each of which is waited for: without this the system would hold them back.
        stream.set_nodelay(true)?;
        if !is_tls {
            return Ok(TokioIo::new(Stream { line: Line::Plain(stream), _place: place }));
        }
        let name = ServerName::try_from(host).map_err(|_| Error::NoHost)?;
        let greeted = timeout(TLS_WITHIN, self.tls.connect(name, stream)).await.map_err(|_| reach::too_slow())?;
        Ok(TokioIo::new(Stream { line: Line::Tls(Box::new(greeted?)), _place: place }))
    }

    /// A connection to the first address of the name that may be connected to and answers.
    async fn reach(&self, host: &str, port: u16) -> Result<TcpStream, Error> {
        let found = self.look_up(host, port).await?;
        let permitted = |address: &SocketAddr| self.permits.private_addresses || is_public(address.ip());
        let permitted: Vec<_> = found.into_iter().filter(permitted).collect();
        if permitted.is_empty() {
            return Err(Error::NotPublic);
        }
        Ok(reach::connect(&permitted).await?)
    }

    /// The addresses of a name.
    async fn look_up(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![(address, port).into()]);
        }
        let (turn, host) = (free(&self.lookups).await?, host.to_owned());
        let looked_up = spawn_blocking(move || {
            let found = (host, port).to_socket_addrs().map(Iterator::collect);
            // Not before: the thread is taken until here, also where nobody waits for it any more.
            drop(turn);
            found
        });
        timeout(WAITED, looked_up).await.map_err(|_| reach::too_slow())?.map_err(io::Error::other)?
    }
}

/// A place among those that there are.
async fn free(places: &Arc<Semaphore>) -> io::Result<OwnedSemaphorePermit> {
    let place = timeout(WAITED, places.clone().acquire_owned()).await.map_err(|_| reach::too_slow())?;
    place.map_err(io::Error::other)
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
pub(super) struct Stream {
    line: Line,
    _place: OwnedSemaphorePermit,
}

enum Line {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        match &self.line {
            Line::Tls(stream) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => Connected::new().negotiated_h2(),
            _ => Connected::new(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().line {
            Line::Plain(stream) => Pin::new(stream).poll_read(context, into),
            Line::Tls(stream) => Pin::new(stream).poll_read(context, into),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().line {
            Line::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Line::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().line {
            Line::Plain(stream) => Pin::new(stream).poll_flush(context),
            Line::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().line {
            Line::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Line::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use rustls::RootCertStore;
    use tokio::net::TcpListener;

    use super::*;

    fn connector() -> Connector {
        let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let tls = tls.with_safe_default_protocol_versions().unwrap();
        let tls = tls.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        Connector::new(Permits { plain_http: true, private_addresses: true }, Arc::new(tls))
    }

    #[tokio::test]
    async fn a_name_waits_for_those_that_are_looked_up_and_an_address_does_not() {
        let (connector, listener) = (connector(), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let port = listener.local_addr().unwrap().port();
        let connect = |host: &str| connector.clone().connect(format!("http://{host}:{port}/").parse().unwrap());
        connect("localhost").await.unwrap();
        let others = connector.lookups.clone().acquire_many_owned(LOOKUPS as u32).await.unwrap();
        tokio::time::pause();
        assert!(matches!(connect("localhost").await, Err(Error::Io(_))));
        tokio::time::resume();
        connect("127.0.0.1").await.unwrap();
        drop(others);
        connect("localhost").await.unwrap();
    }

    #[tokio::test]
    async fn no_more_connections_are_open_than_there_are_places_for_whoever_names_them() {
        let (connector, listener) = (connector(), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let port = listener.local_addr().unwrap().port();
        let connect = || connector.clone().connect(format!("http://127.0.0.1:{port}/").parse().unwrap());
        let _others = connector.places.clone().acquire_many_owned(CONNECTIONS as u32 - 1).await.unwrap();
        let last = connect().await.unwrap();
        tokio::time::pause();
        assert!(matches!(connect().await, Err(Error::Io(_))));
        tokio::time::resume();
        drop(last);
        connect().await.unwrap();
    }
}
