//! Serve: the sim's connections.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderValue, Request, Response};
use rustls::ServerConfig;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::late::Late;
use super::limit::{Limits, Says};
use super::{Habits, Reply, Sim, Taken, check, lock};

/// Bytes of a stream's window where nobody says otherwise.
const DEFAULT_WINDOW: u32 = 65_535;

pub(super) async fn serve(sim: Arc<Sim>, listener: TcpListener, tls: Option<Arc<ServerConfig>>) -> io::Result<()> {
    let tls = tls.map(TlsAcceptor::from);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        sim.connections.fetch_add(1, Ordering::Relaxed);
        let (sim, tls) = (sim.clone(), tls.clone());
        tokio::spawn(async move {
            let served = match tls {
                None => connection(&sim, stream, false).await,
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => {
                        let is_known = stream.get_ref().1.peer_certificates().is_some();
                        connection(&sim, stream, is_known).await
                    }
                    Err(_) => return,
                },
            };
            if let Err(error) = served {
                tracing::debug!(%error, "a connection of the sim ended");
            }
        });
    }
}

/// `is_known`: it showed a certificate that is trusted.
async fn connection(sim: &Sim, stream: impl AsyncRead + AsyncWrite + Unpin, is_known: bool) -> Result<(), h2::Error> {
    let (streams, limits) = {
        let habits = sim.habits();
        (habits.streams, habits.first_streams.map(|first| Limits { first, then: habits.streams }))
    };
    let mut connection = h2::server::Builder::new()
        .max_concurrent_streams(streams)
        .initial_connection_window_size(1 << 24)
        .handshake::<_, Bytes>(Says::new(stream, limits))
        .await?;
    let (mut open, mut late) = (FuturesUnordered::new(), Late::new());
    // What it may have until it has more, and whether it may have more.
    let (mut at_first, mut is_answered) = (limits.map(|limits| limits.first as usize), false);
    // What this connection remembers of a token it found in order, so that it is verified once.
    let mut verified = None;
    let mut requests = 0;
    loop {
        // Any setting has it send SETTINGS, once its first are acknowledged, which become those that give more.
        if is_answered && at_first.is_some() && connection.set_initial_window_size(DEFAULT_WINDOW).is_ok() {
            at_first = None;
        }
        tokio::select! {
            // The connection is written whenever it is asked for a request: first all that came are taken, then all answers
            // that are there, so that these leave together.
            biased;
            accepted = connection.accept() => {
                let Some(accepted) = accepted else { return Ok(()) };
                let (request, mut respond) = accepted?;
                requests += 1;
                sim.requests.fetch_add(1, Ordering::Relaxed);
                let at_once = open.len() + late.len();
                sim.most_streams.fetch_max(at_once as u64 + 1, Ordering::Relaxed);
                let manner = manner(&mut sim.habits(), requests, at_once, at_first);
                let (latency, is_silent) = match manner {
                    Manner::Cuts => return Ok(()),
                    Manner::GoesAway => {
                        drop(respond);
                        connection.abrupt_shutdown(Reason::NO_ERROR);
                        return std::future::poll_fn(|context| connection.poll_closed(context)).await;
                    }
                    Manner::Resets(reason) => {
                        respond.send_reset(reason);
                        continue;
                    }
                    Manner::Answers { latency, is_silent } => (latency, is_silent),
                };
                let authorized = if is_known { Ok(()) } else { authorized(sim, &request, &mut verified) };
                let id = request.headers().get("apns-id").cloned();
                open.push(async move {
                    let answer = answer(sim, request, authorized).await;
                    if is_silent {
                        std::future::pending::<()>().await;
                    }
                    (latency, Answer { respond, id, answer })
                });
            }
            Some(first) = open.next(), if !open.is_empty() => {
                let mut ready = Some(first);
                while let Some((latency, answer)) = ready {
                    if latency.is_zero() {
                        answer.leaves(sim);
                        is_answered = true;
                    } else {
                        late.push(latency, answer);
                    }
                    ready = open.next().now_or_never().flatten();
                }
            }
            due = late.due() => {
                due.for_each(|answer| answer.leaves(sim));
                is_answered = true;
            }
        }
    }
}

/// What is done with a request.
enum Manner {
    Answers { latency: Duration, is_silent: bool },
    Resets(Reason),
    GoesAway,
    Cuts,
}

/// With the last of so many requests of a connection, beside so many open ones, of which it may have `first` at first.
fn manner(habits: &mut Habits, requests: u64, open: usize, first: Option<usize>) -> Manner {
    let really = [habits.really, first].into_iter().flatten().min();
    if habits.cut_after.is_some_and(|last| requests > last) {
        Manner::Cuts
    } else if habits.goes_away_after.is_some_and(|last| requests > last) {
        Manner::GoesAway
    } else if really.is_some_and(|really| open >= really) {
        Manner::Resets(Reason::REFUSED_STREAM)
    } else if habits.resets > 0 {
        habits.resets -= 1;
        Manner::Resets(Reason::INTERNAL_ERROR)
    } else {
        Manner::Answers { latency: habits.latency, is_silent: habits.is_silent }
    }
}

fn authorized(sim: &Sim, request: &Request<RecvStream>, verified: &mut Option<HeaderValue>) -> Result<(), Reply> {
    let Some(authorization) = request.headers().get("authorization") else {
        return Err(Reply::new(403, "MissingProviderToken"));
    };
    if verified.as_ref() == Some(authorization) {
        return Ok(());
    }
    let text = authorization.to_str().unwrap_or_default();
    let checked = sim.team.as_ref().map_or_else(|| check::of_any_team(text), |team| team.check(text));
    checked.map_err(|reason| Reply::new(403, reason))?;
    sim.knows(authorization)?;
    *verified = Some(authorization.clone());
    Ok(())
}

/// What the request is answered, once it is here; the message is taken if nothing speaks against it.
async fn answer(sim: &Sim, request: Request<RecvStream>, authorized: Result<(), Reply>) -> Result<(), Reply> {
    let (parts, mut stream) = request.into_parts();
    let mut body = Vec::new();
    while let Some(Ok(part)) = stream.data().await {
        let _ = stream.flow_control().release_capacity(part.len());
        body.extend_from_slice(&part);
    }
    authorized?;
    let token = check::head(&parts)?;
    let keeps = {
        let mut habits = sim.habits();
        if let Some(reply) = habits.by_token.get(token) {
            return Err(reply.clone());
        }
        if let Some(reply) = next(&mut habits) {
            return Err(reply);
        }
        habits.keeps
    };
    let payload = check::payload(&body)?;
    sim.accepted.fetch_add(1, Ordering::Relaxed);
    if keeps {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers: HashMap<String, String> =
            parts.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        let mut taken = lock(&sim.taken);
        let (mut times, mut by_collapse_id) =
            taken.remove(token).map_or_else(Default::default, |taken| (taken.times, taken.by_collapse_id));
        times += 1;
        *by_collapse_id.entry(headers.get("apns-collapse-id").cloned().unwrap_or_default()).or_default() += 1;
        taken.insert(token.to_owned(), Taken { times, by_collapse_id, headers, payload });
    }
    Ok(())
}

fn next(habits: &mut Habits) -> Option<Reply> {
    let (left, reply) = habits.next.as_mut().filter(|(left, _)| *left > 0)?;
    *left -= 1;
    Some(reply.clone())
}

/// An answer that is not sent yet.
struct Answer {
    respond: SendResponse<Bytes>,
    /// Every answer names the message it is of, as Apple's do: some clients know it by nothing else.
    id: Option<HeaderValue>,
    answer: Result<(), Reply>,
}

impl Answer {
    fn leaves(self, sim: &Sim) {
        let Self { mut respond, id, answer } = self;
        let mut head = Response::new(());
        if let Some(id) = id {
            head.headers_mut().insert("apns-id", id);
        }
        let Err(Reply { status, reason, timestamp, retry_after }) = answer else {
            // The client may be gone.
            let _ = respond.send_response(head, true);
            return;
        };
        *head.status_mut() = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
        if let Some(seconds) = retry_after {
            head.headers_mut().insert("retry-after", HeaderValue::from(seconds));
        }
        let mut body = json!({ "reason": reason });
        if let Some(timestamp) = timestamp {
            body["timestamp"] = json!(timestamp);
        }
        tracing::trace!(requests = sim.requests.load(Ordering::Relaxed), status, "the sim refuses a message");
        if let Ok(mut stream) = respond.send_response(head, false) {
            let _ = stream.send_data(Bytes::from(body.to_string()), true);
        }
    }
}
