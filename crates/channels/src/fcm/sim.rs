//! Sim: Google's side of FCM, on this machine, for whoever has no account there: tests, and developers. It hands out access
//! tokens for assertions whose signature and claims are right, checks every message as FCM documents it, notes it, and
//! misbehaves where it is told to.
//!
//! It speaks HTTP/2 without TLS, on one port for both: `POST /token` and `POST /v1/projects/…/messages:send`.

mod bearers;
mod checks;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::credentials::{BadCredentials, ServiceAccount};
use bearers::Bearers;

/// The longest body that is read.
const BODY_MAX: usize = 64 << 10;

/// Where access tokens are.
const TOKEN_PATH: &str = "/token";

/// The project of its service account.
const PROJECT: &str = "pigeonloft-sim";

/// How it behaves. By default as FCM does when all is well.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// Milliseconds before each answer to a message.
    pub latency_ms: u64,
    /// What is answered to some tokens; the first rule that fits.
    pub rules: Vec<Rule>,
    /// Streams that a connection may have at once; 0: 100, as FCM has.
    pub streams: u32,
    /// Messages after which a connection is told to go away, with what is under way on it unanswered; 0: never.
    pub goes_away_after: u32,
    /// Seconds that an access token is good for, by what it says; 0: 3,599, as Google has.
    pub bearer_seconds: u64,
    /// Milliseconds before each answer to a request for an access token.
    pub bearer_latency_ms: u64,
    /// No access token is given: the account was deleted.
    pub gives_no_bearer: bool,
}

/// What is answered to tokens that begin with a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// How the tokens begin; empty: all.
    pub token: String,
    /// The word of FCM (`UNREGISTERED`, `QUOTA_EXCEEDED`, …) or of HTTP/2 (`REFUSED_STREAM`, `RESET`), or `SILENCE`.
    pub answer: String,
    /// How often, then it no longer fits; `None`: always.
    #[serde(default)]
    pub times: Option<u32>,
    /// What `retry-after` says, seconds.
    #[serde(default)]
    pub retry_after: Option<u64>,
}

/// A message that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// The project.
    pub project: String,
    /// The token.
    pub token: String,
    /// The message, whole.
    pub message: Value,
}

/// What it has noted.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Record {
    /// Messages taken, in their order.
    pub seen: Vec<Seen>,
    /// Requests for messages, whatever was answered.
    pub requests: u64,
    /// Access tokens that were given.
    pub bearers: u64,
    /// Connections.
    pub connections: u64,
}

/// The running other side. Dropping it closes its port and its connections.
#[derive(Debug)]
pub struct Sim {
    url: String,
    service_account: String,
    shared: Arc<Shared>,
    task: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    bearers: Mutex<Bearers>,
}

#[derive(Debug, Default)]
struct State {
    behaviour: Behaviour,
    record: Record,
    tasks: Vec<AbortHandle>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sim {
    /// Starts it, with a service account of this key (RSA, PKCS #8, PEM). A port of 0 takes a free one.
    ///
    /// # Errors
    /// The key is none, or the port cannot be had.
    pub async fn start(listen: SocketAddr, key: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let token_uri = format!("{url}{TOKEN_PATH}");
        let service_account = json!({ "type": "service_account", "project_id": PROJECT, "private_key_id": "sim",
            "private_key": key, "client_email": format!("push@{PROJECT}.iam.gserviceaccount.com"), "token_uri": token_uri });
        let service_account = service_account.to_string();
        let of = |error: BadCredentials| io::Error::new(io::ErrorKind::InvalidInput, error.to_string());
        let account = ServiceAccount::parse(service_account.as_bytes()).map_err(of)?;
        let bearers = Bearers::new(account.public_key(), token_uri);
        let shared = Arc::new(Shared { state: Mutex::default(), bearers: Mutex::new(bearers) });
        let task = tokio::spawn(accept(listener, shared.clone())).abort_handle();
        Ok(Self { url, service_account, shared, task })
    }

    /// Where it is: `http://…`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The file of its service account, as Google would hand it out.
    #[must_use]
    pub fn service_account(&self) -> &str {
        &self.service_account
    }

    /// Behaves so from now on; connections that are there keep their number of streams.
    pub fn behave(&self, behaviour: Behaviour) {
        lock(&self.shared.state).behaviour = behaviour;
    }

    /// Access tokens given so far are refused from now on.
    pub fn forget_bearers(&self) {
        lock(&self.shared.bearers).forget();
    }

    /// The messages taken since this was asked last, which are forgotten with it.
    #[must_use]
    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut lock(&self.shared.state).record.seen)
    }

    /// What it has noted so far.
    #[must_use]
    pub fn record(&self) -> Record {
        lock(&self.shared.state).record.clone()
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.task.abort();
        for task in &lock(&self.shared.state).tasks {
            task.abort();
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((socket, _)) = listener.accept().await {
        let task = tokio::spawn(serve(socket, shared.clone())).abort_handle();
        let mut state = lock(&shared.state);
        state.record.connections += 1;
        state.tasks.retain(|task| !task.is_finished());
        state.tasks.push(task);
    }
}

async fn serve(socket: TcpStream, shared: Arc<Shared>) {
    let _ = socket.set_nodelay(true);
    let (streams, goes_away_after) = {
        let behaviour = &lock(&shared.state).behaviour;
        (if behaviour.streams == 0 { 100 } else { behaviour.streams }, behaviour.goes_away_after)
    };
    let mut builder = h2::server::Builder::new();
    let Ok(mut connection) = builder.max_concurrent_streams(streams).handshake::<_, Bytes>(socket).await else {
        return;
    };
    let mut messages = 0;
    while let Some(Ok((request, respond))) = connection.accept().await {
        messages += u32::from(request.uri().path() != TOKEN_PATH);
        tokio::spawn(answer(request, respond, shared.clone()));
        if goes_away_after > 0 && messages == goes_away_after {
            connection.abrupt_shutdown(Reason::NO_ERROR);
        }
    }
}

/// What becomes of a request.
enum Reply {
    Answer(StatusCode, Option<u64>, Value),
    Reset(Reason),
    Silence,
}

async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, shared: Arc<Shared>) {
    let (head, body) = request.into_parts();
    let Some(body) = whole(body).await else { return };
    let reply = if head.uri.path() == TOKEN_PATH {
        let behaviour = lock(&shared.state).behaviour.clone();
        sleep(Duration::from_millis(behaviour.bearer_latency_ms)).await;
        let given =
            if behaviour.gives_no_bearer { None } else { lock(&shared.bearers).give(&body, behaviour.bearer_seconds) };
        match given {
            Some(given) => {
                lock(&shared.state).record.bearers += 1;
                Reply::Answer(StatusCode::OK, None, given)
            }
            None => {
                let text = json!({ "error": "invalid_grant", "error_description": "Invalid JWT Signature." });
                Reply::Answer(StatusCode::BAD_REQUEST, None, text)
            }
        }
    } else {
        let latency = lock(&shared.state).behaviour.latency_ms;
        sleep(Duration::from_millis(latency)).await;
        message(head.uri.path(), &head.headers, &body, &shared)
    };
    match reply {
        Reply::Answer(status, retry_after, body) => {
            let mut response =
                Response::builder().status(status).header("content-type", "application/json; charset=UTF-8");
            if let Some(seconds) = retry_after {
                response = response.header("retry-after", seconds);
            }
            let Ok(response) = response.body(()) else { return };
            if let Ok(mut stream) = respond.send_response(response, false) {
                // Who is gone does not hear it.
                let _ = stream.send_data(Bytes::from(body.to_string()), true);
            }
        }
        Reply::Reset(reason) => respond.send_reset(reason),
        // The stream stays open for as long as this side holds it.
        Reply::Silence => std::future::pending().await,
    }
}

async fn whole(mut body: RecvStream) -> Option<Bytes> {
    let mut all = BytesMut::new();
    while let Some(piece) = body.data().await {
        let piece = piece.ok()?;
        body.flow_control().release_capacity(piece.len()).ok()?;
        all.extend_from_slice(&piece);
        if all.len() > BODY_MAX {
            return None;
        }
    }
    Some(all.freeze())
}

/// What is answered to a message.
fn message(path: &str, headers: &HeaderMap, body: &[u8], shared: &Shared) -> Reply {
    let mut state = lock(&shared.state);
    state.record.requests += 1;
    let bearer = headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    if !bearer.is_some_and(|bearer| lock(&shared.bearers).knows(bearer)) {
        return refusal("UNAUTHENTICATED", None, "");
    }
    let checked = match checks::message(path, headers, body) {
        Ok(seen) => seen,
        Err(field) => return refusal("INVALID_ARGUMENT", None, field),
    };
    let rule =
        state.behaviour.rules.iter_mut().find(|rule| rule.times != Some(0) && checked.token.starts_with(&rule.token));
    if let Some(rule) = rule {
        rule.times = rule.times.map(|left| left - 1);
        return match rule.answer.as_str() {
            "SILENCE" => Reply::Silence,
            "REFUSED_STREAM" => Reply::Reset(Reason::REFUSED_STREAM),
            "RESET" => Reply::Reset(Reason::INTERNAL_ERROR),
            word => refusal(word, rule.retry_after, "message.token"),
        };
    }
    let name = format!("projects/{}/messages/{}", checked.project, state.record.requests);
    state.record.seen.push(checked);
    Reply::Answer(StatusCode::OK, None, json!({ "name": name }))
}

/// An answer that refuses, as FCM writes it. `field`: the one at fault, for `INVALID_ARGUMENT`.
fn refusal(word: &str, retry_after: Option<u64>, field: &str) -> Reply {
    let (status, google) = match word {
        "INVALID_ARGUMENT" => (400, "INVALID_ARGUMENT"),
        "UNAUTHENTICATED" | "THIRD_PARTY_AUTH_ERROR" => (401, "UNAUTHENTICATED"),
        "SENDER_ID_MISMATCH" | "PERMISSION_DENIED" => (403, "PERMISSION_DENIED"),
        "UNREGISTERED" => (404, "NOT_FOUND"),
        "QUOTA_EXCEEDED" => (429, "RESOURCE_EXHAUSTED"),
        "UNAVAILABLE" => (503, "UNAVAILABLE"),
        _ => (500, "INTERNAL"),
    };
    let mut details = Vec::new();
    // Google's own words come without one of FCM.
    if !matches!(word, "UNAUTHENTICATED" | "PERMISSION_DENIED") {
        details.push(json!({ "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": word }));
    }
    if word == "INVALID_ARGUMENT" {
        let violation = json!({ "field": field, "description": "Invalid value" });
        details.push(json!({ "@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation] }));
    }
    let error = json!({ "code": status, "message": word, "status": google, "details": details });
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Reply::Answer(status, retry_after, json!({ "error": error }))
}
