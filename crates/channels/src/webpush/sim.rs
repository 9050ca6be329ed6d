//! Sim: a push service for tests, and for developers who want to see what a browser would get. It gives subscriptions, as a
//! browser does; it takes messages as strictly as the RFCs are written, decrypts them and keeps them; and it misbehaves
//! when told to.
//!
//! ```text
//! POST   /subscriptions       a new subscription, as PushSubscription.toJSON() writes it; {"count": n}: a list of so many
//! GET    /subscriptions/{id}  its messages, as the browser would see them
//! DELETE /subscriptions/{id}  the browser goes: its endpoint answers 410
//! PUT    /behaviour           how the next messages are answered
//! POST   /goaway              ends all connections, as a service does that is replaced (HTTP/2: GOAWAY)
//! GET    /log                 messages answered, connections so far, what was wrong with requests
//! POST   /push/{id}           the endpoint of a subscription
//! ```

mod browser;
mod request;

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use self::browser::Browser;
use self::request::Sender;
use super::encryption::BODY_MAX;

/// Requests that one connection carries at once, over HTTP/2: as many as Google's service takes.
const STREAMS: u32 = 100;

/// Faults that are kept.
const FAULTS_KEPT: usize = 100;

/// Messages that are kept of a browser.
const MESSAGES_KEPT: usize = 10_000;

/// Subscriptions that one call gives at most.
const SUBSCRIPTIONS_AT_ONCE: u32 = 10_000;

/// Senders whose signatures are remembered, so that each is verified once.
const SENDERS_KEPT: usize = 1_000;

/// How long a connection that has ended is read from, if the other side does not end it.
const LINGERS: Duration = Duration::from_secs(2);

/// How messages are answered.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// With this status, and the message is not kept; `None`: as it deserves.
    pub status: Option<u16>,
    /// With this `Retry-After`.
    pub retry_after: Option<String>,
    /// With this body.
    pub body: String,
    /// So much later.
    pub latency_ms: u64,
    /// Not at all: the message is kept, and the connection is cut.
    pub cuts: bool,
    /// For so many messages, then as they deserve again; `None`: for all.
    pub times: Option<u32>,
}

/// A message that came, as the browser sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Got {
    /// What was encrypted: of a server of ours the JSON of a message.
    pub plaintext: String,
    /// Seconds that it would have been kept.
    pub ttl: u32,
    /// `Urgency`, empty where there is none.
    pub urgency: String,
    /// `Topic`, empty where there is none.
    pub topic: String,
    /// Who sent it, by its signature.
    pub subject: String,
}

#[derive(Default)]
struct State {
    browsers: HashMap<String, Browser>,
    /// By the `Authorization` that was found in order.
    senders: HashMap<HeaderValue, Sender>,
    behaviour: Behaviour,
    faults: Vec<String>,
    answered: u64,
    connections: u64,
}

/// The service.
#[derive(Clone)]
pub struct Sim {
    state: Arc<Mutex<State>>,
    /// Scheme, host and port under which it is reached.
    origin: Arc<str>,
    /// Told when all connections are to end.
    going: Arc<Notify>,
}

/// What is wrong with a request, and how it is answered.
struct Fault(StatusCode, String);

impl Sim {
    /// Serves who connects, until the future is dropped. `origin`: scheme, host and port under which it is reached.
    ///
    /// # Errors
    /// The listener fails.
    pub async fn serve(listener: TcpListener, origin: &str, tls: Option<Arc<ServerConfig>>) -> io::Result<Infallible> {
        let sim = Self { state: Arc::default(), origin: origin.into(), going: Arc::default() };
        let tls = tls.map(TlsAcceptor::from);
        let mut connections = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let stream = stream.into_std()?;
            let (rest, stream) = (TcpStream::from_std(stream.try_clone()?)?, TcpStream::from_std(stream)?);
            while connections.try_join_next().is_some() {}
            sim.state().connections += 1;
            let (sim, tls) = (sim.clone(), tls.clone());
            // Whoever breaks off has no answer to read.
            connections.spawn(async move {
                match tls {
                    None => sim.attend(stream).await,
                    Some(tls) => match tls.accept(stream).await {
                        Ok(stream) => sim.attend(stream).await,
                        Err(error) => tracing::debug!(%error, "no TLS"),
                    },
                }
                linger(rest).await;
            });
        }
    }

    async fn attend(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let going = self.going.clone();
        let told_to_go = going.notified();
        let service = service_fn(move |request| self.clone().answer(request));
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http2().max_concurrent_streams(STREAMS);
        let mut told_to_go = pin!(told_to_go);
        let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
        let ended = tokio::select! {
            ended = &mut connection => ended,
            () = &mut told_to_go => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(error, "a connection broke off");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(self, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
        let (head, body) = request.into_parts();
        let body = Limited::new(body, 2 * BODY_MAX).collect().await.map(|all| all.to_bytes()).unwrap_or_default();
        let path = head.uri.path().trim_matches('/').to_owned();
        let answer = match (&head.method, path.split_once('/').unwrap_or((&path, ""))) {
            (&Method::POST, ("push", id)) => return self.take(id, &head.headers, &body).await,
            (&Method::POST, ("subscriptions", "")) => self.subscribe(&body),
            (&Method::GET, ("subscriptions", id)) => self.messages(id),
            (&Method::DELETE, ("subscriptions", id)) => self.leave(id),
            (&Method::PUT, ("behaviour", "")) => self.behave(&body),
            (&Method::POST, ("goaway", "")) => {
                self.going.notify_waiters();
                Ok(json!({}))
            }
            (&Method::GET, ("log", "")) => Ok(self.log()),
            _ => Err(Fault(StatusCode::NOT_FOUND, format!("{} /{path} is no call of this service", head.method))),
        };
        Ok(match answer {
            Ok(value) => response(StatusCode::OK, value.to_string()),
            Err(Fault(status, text)) => response(status, json!({ "error": text }).to_string()),
        })
    }

    fn log(&self) -> Value {
        let state = self.state();
        json!({ "answered": state.answered, "connections": state.connections, "faults": state.faults })
    }

    /// One, or a list of so many as the body asks for.
    fn subscribe(&self, body: &[u8]) -> Result<Value, Fault> {
        #[derive(Deserialize)]
        struct Many {
            count: u32,
        }
        let many = serde_json::from_slice::<Option<Many>>(body).ok().flatten();
        let Some(Many { count }) = many else { return self.subscribe_one() };
        if count > SUBSCRIPTIONS_AT_ONCE {
            let text = format!("no more than {SUBSCRIPTIONS_AT_ONCE} subscriptions at once");
            return Err(Fault(StatusCode::BAD_REQUEST, text));
        }
        (0..count).map(|_| self.subscribe_one()).collect()
    }

    fn subscribe_one(&self) -> Result<Value, Fault> {
        let browser = Browser::new().map_err(|error| Fault(StatusCode::INTERNAL_SERVER_ERROR, error))?;
        let keys = browser.keys();
        let mut state = self.state();
        let id = format!("{:08x}", state.browsers.len());
        state.browsers.insert(id.clone(), browser);
        Ok(json!({ "endpoint": format!("{}/push/{id}", self.origin), "expirationTime": null, "keys": keys }))
    }

    fn messages(&self, id: &str) -> Result<Value, Fault> {
        let state = self.state();
        let browser = state.browsers.get(id).ok_or_else(|| unknown(id))?;
        Ok(json!({ "messages": browser.got, "is_here": browser.is_here }))
    }

    fn leave(&self, id: &str) -> Result<Value, Fault> {
        self.state().browsers.get_mut(id).ok_or_else(|| unknown(id))?.is_here = false;
        Ok(json!({}))
    }

    fn behave(&self, body: &[u8]) -> Result<Value, Fault> {
        let behaviour =
            serde_json::from_slice(body).map_err(|error| Fault(StatusCode::BAD_REQUEST, error.to_string()))?;
        self.state().behaviour = behaviour;
        Ok(json!({}))
    }

    /// Takes a message.
    async fn take(&self, id: &str, headers: &http::HeaderMap, body: &Bytes) -> io::Result<Response<Full<Bytes>>> {
        let behaviour = self.state().next_behaviour();
        let judged = self.judge(id, headers, body, behaviour.status.is_none());
        tokio::time::sleep(Duration::from_millis(behaviour.latency_ms)).await;
        if behaviour.cuts {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        self.state().answered += 1;
        let status = behaviour.status.and_then(|status| StatusCode::from_u16(status).ok());
        let mut response = match (status, judged) {
            (Some(status), _) => response(status, behaviour.body),
            (None, Err(Fault(status, text))) => response(status, json!({ "error": text }).to_string()),
            (None, Ok(())) => response(StatusCode::CREATED, String::new()),
        };
        if let Some(value) = behaviour.retry_after.and_then(|text| HeaderValue::try_from(text).ok()) {
            response.headers_mut().insert(header::RETRY_AFTER, value);
        }
        Ok(response)
    }

    fn judge(&self, id: &str, headers: &http::HeaderMap, body: &[u8], is_kept: bool) -> Result<(), Fault> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let authorization = headers.get(header::AUTHORIZATION);
        let (secrets, sender) = {
            let state = self.state();
            let browser = state.browsers.get(id).ok_or_else(|| unknown(id))?;
            if !browser.is_here {
                return Err(Fault(StatusCode::GONE, "the browser is gone".into()));
            }
            (browser.secrets.clone(), authorization.and_then(|known| state.senders.get(known)).cloned())
        };
        // The others need not wait for what takes its time.
        let read = request::read(headers, body, &secrets, sender, &self.origin, now);
        let mut state = self.state();
        match read {
            Ok((got, sender)) => {
                if let Some(new) = authorization.filter(|_| state.senders.len() < SENDERS_KEPT) {
                    state.senders.insert(new.clone(), sender);
                }
                match state.browsers.get_mut(id) {
                    Some(browser) if is_kept && browser.got.len() < MESSAGES_KEPT => browser.got.push(got),
                    _ => {}
                }
                Ok(())
            }
            Err(Fault(status, text)) => {
                if state.faults.len() < FAULTS_KEPT {
                    state.faults.push(text.clone());
                }
                Err(Fault(status, text))
            }
        }
    }
}

/// Reads what is still on its way on a connection that has ended. Closed over it, the connection would be reset, and the other side
/// lose answers that it has not read yet.
async fn linger(mut connection: TcpStream) {
    let _ = connection.shutdown().await;
    let _ = timeout(LINGERS, tokio::io::copy(&mut connection, &mut tokio::io::sink())).await;
}

impl State {
    fn next_behaviour(&mut self) -> Behaviour {
        match &mut self.behaviour.times {
            Some(0) => self.behaviour = Behaviour::default(),
            Some(times) => *times -= 1,
            None => {}
        }
        self.behaviour.clone()
    }
}

fn unknown(id: &str) -> Fault {
    Fault(StatusCode::NOT_FOUND, format!("there is no subscription {id}"))
}

fn response(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response
}
