//! Client: posts the messages of a batch to their push services, many at once over few connections, and judges each answer.
//!
//! What certainly was not taken is sent again for [`TRIED_FOR`]: what the push service has not looked at, and, within the
//! budget of its origin, what it asks to be sent later. What may have been taken is not: no answer is [`Verdict::Unknown`].

use std::error::Error as _;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::Request;
use http::header::{AUTHORIZATION, RETRY_AFTER};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::{Client as Pool, Error as PoolError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use pigeonloft_model::Verdict;
use ring::rand::SystemRandom;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::{Instant, sleep, timeout};

use super::connector::{self, Connector};
use super::credentials::Signer;
use super::encryption::encrypt;
use super::origins::{Origin, Origins, Turn};
use super::payload::{Payload, unix_seconds};
use super::subscription::Subscription;
use super::{Permits, verdict};
use crate::budget::jittered;
use crate::vendor::Target;

/// Requests of one batch under way at once.
const AT_ONCE: usize = 256;

/// Connections to one push service that speaks HTTP/2, at most. Google's takes a hundred streams on each: over one connection,
/// 50 ms to answer would be two thousand messages a second.
pub(super) const CONNECTIONS: usize = 8;

/// Messages of a batch that are worth a connection more.
const WORTH_A_CONNECTION: usize = 64;

/// How long one request may take, from looking its host up to the end of its answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long a batch is sent again and again, as far as it is not taken.
const TRIED_FOR: Duration = Duration::from_secs(10);

/// The waits between two tries grow from the first to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(4);

/// Bytes of an answer that are read: it says why, if anything.
const ANSWER_BYTES: usize = 4096;

/// Why a message was not sent that no push service was reached for.
const NO_CONNECTION: &str = "no connection";

/// Connections without a request are kept open for this long: routers forget them within minutes, and tell nobody.
const IDLE: Duration = Duration::from_secs(60);

/// An open connection that carries requests is asked whether it lives this often.
const PING: Duration = Duration::from_secs(20);

/// What one try came to.
struct Tried {
    verdict: Verdict,
    /// Whether the push service said so, and not the way to it.
    is_answer: bool,
}

/// The way to push services, for all apps. It holds the connections; dropping it closes them.
pub struct Client {
    /// Each keeps one connection to a push service that speaks HTTP/2; to one that does not, as many as it has requests.
    pools: [Pool<Connector, Full<Bytes>>; CONNECTIONS],
    permits: Permits,
    origins: Origins,
    random: SystemRandom,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("permits", &self.permits).finish_non_exhaustive()
    }
}

impl Client {
    /// Without connections. `trusted`: certificates to trust beside those of the public authorities.
    ///
    /// # Errors
    /// The TLS library cannot be set up, or one is no certificate.
    pub fn new(permits: Permits, trusted: Vec<CertificateDer<'_>>) -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.into() };
        trusted.into_iter().try_for_each(|certificate| roots.add(certificate))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let mut tls = tls.with_root_certificates(roots).with_no_client_auth();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let connector = Connector::new(permits, Arc::new(tls));
        let pools = [(); CONNECTIONS].map(|()| {
            Pool::builder(TokioExecutor::new())
                .timer(TokioTimer::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(IDLE)
                .pool_max_idle_per_host(AT_ONCE)
                .http2_keep_alive_interval(PING)
                .build(connector.clone())
        });
        Ok(Self { pools, permits, origins: Origins::default(), random: SystemRandom::new() })
    }

    /// Sends to each of these; the verdicts stand in their order. It takes no task of its own for any of them, and memory for
    /// those under way.
    pub(super) async fn send(&self, signer: &Signer, payload: &Payload, targets: &[Target]) -> Vec<Verdict> {
        let mut verdicts = vec![Verdict::Unknown("no answer".into()); targets.len()];
        let deadline = Instant::now() + TRIED_FOR;
        let lanes = (targets.len() / WORTH_A_CONNECTION).clamp(1, CONNECTIONS);
        let sent = (0..targets.len()).map(|place| async move {
            (place, self.post(signer, payload, &targets[place], place % lanes, deadline).await)
        });
        let mut answered = stream::iter(sent).buffer_unordered(AT_ONCE);
        while let Some((place, verdict)) = answered.next().await {
            verdicts[place] = verdict;
        }
        verdicts
    }

    /// Sends one message over this of the pools, as often as it takes until the deadline, once at least.
    async fn post(
        &self,
        signer: &Signer,
        payload: &Payload,
        target: &Target,
        lane: usize,
        deadline: Instant,
    ) -> Verdict {
        let (request, origin) = match self.request(signer, payload, target) {
            Ok(request) => request,
            Err(refused) => return refused,
        };
        let origin = self.origins.of(&origin);
        origin.budget.tries(1, Instant::now());
        let mut wait = FIRST_WAIT;
        loop {
            let Tried { verdict, is_answer } = self.once(request.clone(), &origin, lane).await;
            let Verdict::Later { after, .. } = verdict else { return verdict };
            // What is asked for is kept to.
            let dice = fastrand::f64();
            let own = jittered(wait, dice);
            let wait_now = after.map_or(own, |asked| own.max(asked.mul_f64(dice.mul_add(0.1, 1.1))));
            let now = Instant::now();
            if now + wait_now >= deadline || (is_answer && !origin.budget.repeats(now)) {
                return verdict;
            }
            sleep(wait_now).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Sends a request to its push service once.
    async fn once(&self, request: Request<Full<Bytes>>, origin: &Origin, lane: usize) -> Tried {
        let way = &origin.lanes[lane];
        let no_answer = |verdict| Tried { verdict, is_answer: false };
        let no_connection = || no_answer(Verdict::Later { code: NO_CONNECTION.into(), after: None });
        let Ok(turn @ (Turn::Any | Turn::First { .. })) = timeout(PATIENCE, way.turn()).await else {
            return no_connection();
        };
        let tried = match timeout(PATIENCE, self.answered(request, lane)).await {
            Ok(Ok(verdict)) => {
                way.reached();
                Tried { verdict, is_answer: true }
            }
            Ok(Err(error)) if matches!(source(&error), Some(connector::Error::Io(_))) => {
                way.failed();
                no_connection()
            }
            Ok(Err(error)) => {
                way.lost();
                no_answer(of_failure(&error))
            }
            Err(_) => {
                if matches!(turn, Turn::First { .. }) {
                    // The others need not find out one by one.
                    way.failed();
                }
                no_answer(Verdict::Unknown("no answer".into()))
            }
        };
        drop(turn);
        tried
    }

    /// The request and the origin of its push service, or why there can be none.
    fn request(
        &self,
        signer: &Signer,
        payload: &Payload,
        target: &Target,
    ) -> Result<(Request<Full<Bytes>>, String), Verdict> {
        let refused = |why: &'static str| Verdict::Refused(why.into());
        let to = Subscription::of(&target.token, target.detail.as_deref(), self.permits);
        let to = to.map_err(|_| refused("subscription cannot be used"))?;
        let body = encrypt(&payload.plaintext(target.device)?, &to, &self.random);
        let body = body.map_err(|_| refused("key is no point of P-256"))?;
        let now = unix_seconds();
        let origin = to.origin();
        let signature = signer.signature(&origin, now).map_err(|_| Verdict::Configuration("no signature".into()))?;
        let request = Request::post(to.endpoint).body(Full::from(body));
        let mut request = request.map_err(|_| refused("subscription cannot be used"))?;
        *request.headers_mut() = payload.headers(now);
        request.headers_mut().insert(AUTHORIZATION, signature);
        Ok((request, origin))
    }

    async fn answered(&self, request: Request<Full<Bytes>>, lane: usize) -> Result<Verdict, PoolError> {
        let (head, body) = self.pools[lane].request(request).await?.into_parts();
        // The status has decided: what cannot be read of the rest is left.
        let said = match head.status.is_success() {
            true => Bytes::new(),
            false => Limited::new(body, ANSWER_BYTES).collect().await.map(|all| all.to_bytes()).unwrap_or_default(),
        };
        let retry_after = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        Ok(verdict::of(head.status, retry_after, &said, SystemTime::now()))
    }
}

/// Whether the push service said that it has not looked at the request, because it closes the connection or refuses the stream;
/// or the connection ended while the request waited for room on it.
fn was_not_looked_at(error: &PoolError) -> bool {
    let is_refused = |error: &h2::Error| {
        error.is_remote() && (error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM))
    };
    // hyper drops a request that waited, and has no better word for it. One that got room in the same instant may be among
    // them: its repeat takes its place, by its `Topic`.
    source(error).is_some_and(is_refused) || source(error).is_some_and(hyper::Error::is_user)
}

fn of_failure(error: &PoolError) -> Verdict {
    match source::<connector::Error>(error) {
        Some(connector::Error::NotPublic) => Verdict::Refused("address is not public".into()),
        Some(connector::Error::NoHost) => Verdict::Refused("subscription cannot be used".into()),
        Some(connector::Error::Io(_)) => Verdict::Later { code: NO_CONNECTION.into(), after: None },
        None if error.is_connect() || was_not_looked_at(error) => {
            Verdict::Later { code: "connection closed".into(), after: None }
        }
        // It was on its way.
        None => Verdict::Unknown("connection lost".into()),
    }
}

/// The first cause of this kind.
fn source<E: std::error::Error + 'static>(error: &PoolError) -> Option<&E> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}
