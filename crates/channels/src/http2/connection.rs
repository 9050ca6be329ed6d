//! Connection: one line to a vendor, how it is opened, and what is read from it.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use h2::client::{Connection, ResponseFuture, SendRequest};
use h2::{Ping, PingPong};
use http::header::RETRY_AFTER;
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{HeaderMap, Method, Request};
use pigeonloft_model::{Verdict, verdict};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::coalesced::Coalesced;
use crate::{reach, retry_after};

/// How long a connection may take to be open, TLS included; with one question and its answer, too.
const OPENED_WITHIN: Duration = Duration::from_secs(10);

/// A connection that has not answered a ping for so long is given up, whoever waits for the answer.
const PONG_WITHIN: Duration = Duration::from_secs(10);

/// Pings that wait for the one that is under way; who comes then waits for a place.
const PINGS_ASKED: usize = 16;

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

/// Whom is trusted there, and who we are.
#[derive(Clone, Default)]
pub(crate) struct Trust<'a> {
    /// A certificate, PEM, that is trusted instead of the public authorities.
    pub(crate) trusted: Option<&'a str>,
    /// Our own, where the other side is to know us by one.
    pub(crate) shown: Option<Arc<CertifiedKey>>,
}

/// Where the other side is.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) scheme: Scheme,
    pub(crate) authority: Authority,
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    /// Whether we show a certificate there.
    is_known_by_tls: bool,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

impl Endpoint {
    /// At this URL.
    pub(crate) fn new(url: &str, trust: Trust<'_>) -> Result<Self, NotAnEndpoint> {
        let wrong = || NotAnEndpoint::Url(url.to_owned());
        let (endpoint, path) = Self::and_path(url, trust)?;
        if path == "/" { Ok(endpoint) } else { Err(wrong()) }
    }

    /// Where a URL leads, and the path there.
    pub(crate) fn and_path(url: &str, trust: Trust<'_>) -> Result<(Self, PathAndQuery), NotAnEndpoint> {
        let wrong = || NotAnEndpoint::Url(url.to_owned());
        let is_known_by_tls = trust.shown.is_some();
        let parts = url.parse::<Uri>().map_err(|_| wrong())?.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else { return Err(wrong()) };
        // A user would be shown with the URL, and a number beyond all ports be left out.
        let named =
            authority.port_u16().map_or(authority.host().to_owned(), |port| format!("{}:{port}", authority.host()));
        if authority != named.as_str() {
            return Err(wrong());
        }
        let path = parts.path_and_query.unwrap_or(PathAndQuery::from_static("/"));
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = match scheme.as_str() {
            "https" => {
                let name = ServerName::try_from(host.clone()).map_err(|_| wrong())?;
                Some((TlsConnector::from(Arc::new(tls_config(trust)?)), name))
            }
            "http" => None,
            _ => return Err(wrong()),
        };
        let port = authority.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
        Ok((Self { scheme, authority, host, port, tls, is_known_by_tls }, path))
    }

    /// A request for something there; `None`: a part of it cannot be in one.
    pub(crate) fn post(&self, path: &str, headers: HeaderMap) -> Option<Request<()>> {
        let uri = Uri::builder().scheme(self.scheme.clone()).authority(self.authority.clone()).path_and_query(path);
        let mut request = Request::builder().method(Method::POST).uri(uri.build().ok()?).body(()).ok()?;
        *request.headers_mut() = headers;
        Some(request)
    }

    /// A connection, open and kept so until its last sender is dropped or it breaks.
    pub(super) async fn open(&self) -> io::Result<Line> {
        match timeout(OPENED_WITHIN, self.connect()).await {
            Ok(opened) => opened,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    async fn connect(&self) -> io::Result<Line> {
        let stream = reach::connect(&reach::look_up(&self.host, self.port).await?).await?;
        // Messages are small, and each is awaited by somebody.
        stream.set_nodelay(true)?;
        match &self.tls {
            None => shake_hands(stream, false).await,
            Some((tls, name)) => shake_hands(tls.connect(name.clone(), stream).await?, self.is_known_by_tls).await,
        }
    }
}

fn tls_config(Trust { trusted, shown }: Trust<'_>) -> Result<ClientConfig, NotAnEndpoint> {
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
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| NotAnEndpoint::Trusted)?
        .with_root_certificates(roots);
    let mut config = match shown {
        None => config.with_no_client_auth(),
        Some(shown) => config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(shown))),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// `is_known_by_tls`: waits until the other side says anything, for TLS 1.3 lets it refuse our certificate after its own
/// handshake, when messages would be on their way already.
async fn shake_hands<S>(stream: S, is_known_by_tls: bool) -> io::Result<Line>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let heard = Arc::new(AtomicBool::new(false));
    let (sender, mut connection) = h2::client::Builder::new()
        // Until the peer has said how many streams it takes: Apple takes one before it knows who we are.
        .initial_max_send_streams(1)
        .enable_push(false)
        .handshake(Coalesced { stream, heard: heard.clone() })
        .await
        .map_err(system)?;
    if is_known_by_tls {
        poll_fn(|context| match Pin::new(&mut connection).poll(context) {
            Poll::Ready(ended) => Poll::Ready(ended.map_err(system).and(Err(io::ErrorKind::UnexpectedEof.into()))),
            Poll::Pending if heard.load(Ordering::Relaxed) => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        })
        .await?;
    }
    let pings = connection.ping_pong();
    let (asks, asked) = mpsc::channel(PINGS_ASKED);
    tokio::spawn(drive(connection, pings, asked));
    Ok(Line { sender, asks, heard: Arc::new(Mutex::new(Instant::now())) })
}

/// The system's error, where it is one.
fn system(error: h2::Error) -> io::Error {
    if error.is_io() { error.into_io().unwrap_or_else(|| io::ErrorKind::Other.into()) } else { io::Error::other(error) }
}

/// What becomes of messages for which there is no connection, because of this.
pub(super) fn not_open(error: &io::Error) -> Verdict {
    match error.kind() {
        // So TLS marks its errors: one side does not believe the other who it is, and will not in a moment either.
        io::ErrorKind::InvalidData => Verdict::Configuration(verdict::code(&format!("TLS: {error}"))),
        _ => Verdict::Later { code: "no connection".into(), after: None },
    }
}

/// Moves the bytes of a connection until it ends, as it does when nobody has a handle of it any more.
async fn drive<S>(connection: Connection<S, Bytes>, pings: Option<PingPong>, asked: mpsc::Receiver<oneshot::Sender<()>>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let ended = tokio::select! {
        ended = connection => ended,
        () = until_silent(pings, asked) => {
            tracing::debug!("a vendor does not answer a ping: the connection is given up");
            return;
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to a vendor ended");
    }
}

/// Asks whether the other side is there as often as somebody wants to know, until it does not answer.
async fn until_silent(pings: Option<PingPong>, mut asked: mpsc::Receiver<oneshot::Sender<()>>) {
    let Some(mut pings) = pings else { return std::future::pending().await };
    while let Some(first) = asked.recv().await {
        match timeout(PONG_WITHIN, pings.ping(Ping::opaque())).await {
            Ok(Ok(_)) => {
                // Who asked meanwhile has the same answer. They may be gone.
                let others = std::iter::from_fn(|| asked.try_recv().ok());
                std::iter::once(first).chain(others).for_each(|asker| _ = asker.send(()));
            }
            Ok(Err(_)) | Err(_) => return,
        }
    }
    std::future::pending::<()>().await;
}

/// An open connection: what sends over it, and asks whether the other side is there still.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) sender: SendRequest<Bytes>,
    asks: mpsc::Sender<oneshot::Sender<()>>,
    heard: Arc<Mutex<Instant>>,
}

impl Line {
    /// The other side was heard now.
    pub(super) fn is_heard(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Whether the other side is there: it was heard within `trusted_for`, or answers a ping within `pong_within`. What is on the
    /// way to it may have forgotten a connection that was silent, and tells nobody.
    pub(super) async fn lives(&self, trusted_for: Duration, pong_within: Duration) -> bool {
        let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.elapsed() < trusted_for {
            return true;
        }
        let (asks, pong) = oneshot::channel();
        let asked = async { self.asks.send(asks).await.is_ok() && pong.await.is_ok() };
        let lives = timeout(pong_within, asked).await.unwrap_or(false);
        if lives {
            self.is_heard();
        }
        lives
    }
}

/// Longest body of an answer that is read. What refuses a message is much shorter.
const ANSWER_BYTES: usize = 16 << 10;

/// What the other side answers.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// How long it asks to wait.
    pub(crate) after: Option<Duration>,
    /// As much of it as came.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) async fn read(answer: ResponseFuture) -> Result<Self, h2::Error> {
        let answer = answer.await?;
        let status = answer.status().as_u16();
        let asks = answer.headers().get(RETRY_AFTER);
        let after = asks.and_then(|value| retry_after::read(value.to_str().ok()?, SystemTime::now()));
        let mut stream = answer.into_body();
        let mut body = Vec::new();
        while let Some(part) = stream.data().await {
            // The status says enough where the rest does not come.
            let Ok(part) = part else { break };
            let _ = stream.flow_control().release_capacity(part.len());
            body.extend_from_slice(&part);
            if body.len() > ANSWER_BYTES {
                break;
            }
        }
        Ok(Self { status, after, body })
    }
}

/// Asks once, over a connection that is closed after.
pub(crate) async fn ask(endpoint: &Endpoint, request: Request<()>, body: Bytes) -> io::Result<Answer> {
    let asked = async {
        let mut sender = endpoint.connect().await?.sender.ready().await.map_err(io::Error::other)?;
        let (answer, mut stream) = sender.send_request(request, false).map_err(io::Error::other)?;
        stream.send_data(body, true).map_err(io::Error::other)?;
        Answer::read(answer).await.map_err(io::Error::other)
    };
    match timeout(OPENED_WITHIN, asked).await {
        Ok(answered) => answered,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}
