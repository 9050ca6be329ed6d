//! Client: sends a batch over a few connections, as many messages at once as the other side allows, and without a task for
//! each. A connection that waits for room leaves what is to be sent to the others.
//!
//! What certainly was not taken is sent again for [`TRIED_FOR`]: refused streams, those above the last of a GOAWAY, and what
//! the vendor asks to send later. What may have been taken is not: no answer is [`Verdict::Unknown`].

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use h2::Reason;
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderValue, Request};
use pigeonloft_model::{Code, Verdict};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until};

use super::connection::{Answer, Endpoint, Lane};
use crate::vendor::Target;

/// Connections: they hide the latency that the streams of one do not.
const CONNECTIONS: usize = 4;

/// Messages that one connection is given before the next has its turn.
const AT_A_STRETCH: usize = 32;

/// How long the other side may be silent, with messages unanswered.
const ANSWERED_WITHIN: Duration = Duration::from_secs(15);

/// How long a batch is sent again and again, as far as it is not taken.
const TRIED_FOR: Duration = Duration::from_secs(20);

/// The waits between two tries grow from the first to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What an answer says.
pub(crate) enum Authorized {
    /// This, of the message.
    Yes(Verdict),
    /// That we are not, with a word for why; the message was not looked at.
    No(Code),
}

/// What a channel says of the messages of a push, and of the answers.
pub(crate) trait Speaks: Sync {
    /// The authorization of the next messages.
    ///
    /// # Errors
    /// There is none, and this is what becomes of them.
    fn authorization(&self) -> impl Future<Output = Result<HeaderValue, Verdict>> + Send;

    /// This authorization was refused. Another is to be had, or this is what becomes of the messages.
    fn refused(&self, authorization: &HeaderValue, code: Code) -> Result<(), Verdict>;

    /// The message to a device.
    ///
    /// # Errors
    /// There can be none.
    fn request(&self, authorization: &HeaderValue, target: &Target) -> Result<(Request<()>, Bytes), Verdict>;

    /// What an answer says.
    fn read(&self, answer: &Answer) -> Authorized;

    /// How long from now the next message is to wait, which has its place with this.
    fn pace(&self) -> Duration {
        Duration::ZERO
    }
}

/// The way to a vendor.
#[derive(Debug)]
pub(crate) struct Client {
    endpoint: Endpoint,
    lanes: [Lane; CONNECTIONS],
}

/// What became of one try.
enum Tried {
    Verdict(Verdict),
    Unauthorized(Code),
    /// It was certainly not taken.
    Again(Code),
}

/// A batch while it is sent.
struct Batch<'a, S> {
    speaks: &'a S,
    authorization: HeaderValue,
    targets: &'a [Target],
    /// Places of those that are to be sent.
    places: &'a [usize],
    /// How many of them are given to a connection.
    given: AtomicUsize,
    /// Why a connection gave up, the last one that did.
    broken: Mutex<Option<Code>>,
}

impl<S: Speaks> Batch<'_, S> {
    fn next(&self) -> Option<usize> {
        self.places.get(self.given.fetch_add(1, Ordering::Relaxed)).copied()
    }

    fn breaks(&self, code: Code) {
        *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(code);
    }

    /// Begins a message. An error answers for it: nothing was sent.
    fn begin(&self, sender: &mut SendRequest<Bytes>, place: usize) -> Result<ResponseFuture, Tried> {
        let (request, body) = self.speaks.request(&self.authorization, &self.targets[place]).map_err(Tried::Verdict)?;
        let again = |error: h2::Error| Tried::Again(Code::Owned(broken_by(&error)));
        let (answer, mut stream) = sender.send_request(request, false).map_err(again)?;
        // The stream is open, but without its end it is no request.
        stream.send_data(body, true).map_err(again)?;
        Ok(answer)
    }

    async fn tried(&self, place: usize, answer: ResponseFuture) -> (usize, Tried) {
        let tried = match Answer::read(answer).await {
            Err(error) => lost(&error),
            Ok(answer) => match self.speaks.read(&answer) {
                Authorized::Yes(verdict) => Tried::Verdict(verdict),
                Authorized::No(code) => Tried::Unauthorized(code),
            },
        };
        (place, tried)
    }
}

impl Client {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, lanes: Default::default() }
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Sends to each of these; the verdicts stand in their order.
    pub(crate) async fn send<S: Speaks>(&self, speaks: &S, targets: &[Target]) -> Vec<Verdict> {
        let mut verdicts = vec![None; targets.len()];
        let mut places: Vec<usize> = (0..targets.len()).collect();
        let deadline = Instant::now() + TRIED_FOR;
        let mut wait = FIRST_WAIT;
        while !places.is_empty() {
            let authorization = match speaks.authorization().await {
                Ok(authorization) => authorization,
                Err(verdict) => {
                    places.iter().for_each(|place| verdicts[*place] = Some(verdict.clone()));
                    break;
                }
            };
            let given = AtomicUsize::new(0);
            let batch = Batch { speaks, authorization, targets, places: &places, given, broken: Mutex::default() };
            let tried = join_all(self.lanes.iter().map(|lane| self.send_by(lane, &batch))).await;
            let mut round = Round::default();
            round.sort_out(tried.into_iter().flatten(), &batch, &mut verdicts);
            let Round { mut again, asked, unauthorized } = round;
            again.extend(places.get(batch.given.load(Ordering::Relaxed).min(places.len())..).unwrap_or_default());
            let wait_now = match asked {
                // Longer, never shorter; and not all at once either.
                Some(asked) => asked + jittered(FIRST_WAIT.max(asked / 5)),
                None => jittered(wait),
            };
            let is_late = Instant::now() + wait_now >= deadline;
            if is_late {
                let broken = batch.broken.into_inner().unwrap_or_else(PoisonError::into_inner);
                let code = broken.unwrap_or("not taken in time".into());
                for place in again.drain(..) {
                    verdicts[place].get_or_insert_with(|| Verdict::Later { code: code.clone(), after: asked });
                }
            }
            for &place in &again {
                verdicts[place] = None;
            }
            if !again.is_empty() && !unauthorized {
                sleep(wait_now).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
            again.sort_unstable();
            places = again;
        }
        let unanswered = || Verdict::Unknown("no answer".into());
        verdicts.into_iter().map(|verdict| verdict.unwrap_or_else(unanswered)).collect()
    }

    /// Sends over one connection what is left of a batch, until nothing is or the connection takes no more; then waits for
    /// the answers.
    async fn send_by<S: Speaks>(&self, lane: &Lane, batch: &Batch<'_, S>) -> Vec<(usize, Tried)> {
        let mut tried = Vec::new();
        if batch.given.load(Ordering::Relaxed) >= batch.places.len() {
            return tried;
        }
        let handle = match lane.handle(&self.endpoint).await {
            Ok(handle) => handle,
            Err(error) => {
                tracing::debug!(endpoint = ?self.endpoint, %error, "no connection to a vendor");
                batch.breaks("no connection".into());
                return tried;
            }
        };
        let mut sender = handle.sender.clone();
        let mut open = FuturesUnordered::new();
        // One that has its place in the pace, and when that is.
        let mut paced: Option<(usize, Instant)> = None;
        let (mut sends, mut stretch) = (true, 0);
        let mut heard = Instant::now();
        loop {
            let silence = heard + ANSWERED_WITHIN;
            let may_go = paced.is_none_or(|(_, at)| at <= Instant::now());
            tokio::select! {
                biased;
                ready = std::future::poll_fn(|context| sender.poll_ready(context)), if sends && may_go => {
                    if let Err(error) = ready {
                        // Nothing is on its way by it.
                        sends = false;
                        batch.breaks(Code::Owned(broken_by(&error)));
                        lane.give_up(&handle);
                        continue;
                    }
                    let place = match paced.take() {
                        Some((place, _)) => place,
                        None => {
                            let Some(place) = batch.next() else {
                                sends = false;
                                continue;
                            };
                            let wait = batch.speaks.pace();
                            if !wait.is_zero() {
                                paced = Some((place, Instant::now() + wait));
                                continue;
                            }
                            place
                        }
                    };
                    if open.is_empty() {
                        heard = Instant::now();
                    }
                    match batch.begin(&mut sender, place) {
                        Ok(answer) => open.push(batch.tried(place, answer)),
                        Err(answer) => tried.push((place, answer)),
                    }
                    stretch += 1;
                    if stretch % AT_A_STRETCH == 0 {
                        yield_now().await;
                    }
                }
                Some(answer) = open.next(), if !open.is_empty() => {
                    heard = Instant::now();
                    tried.push(answer);
                }
                () = sleep_until(paced.map_or(silence, |(_, at)| at)), if sends && !may_go => {}
                () = sleep_until(silence), if !open.is_empty() => {
                    // What is dropped unanswered is unknown.
                    lane.give_up(&handle);
                    break;
                }
                else => break,
            }
        }
        if let Some((place, _)) = paced {
            tried.push((place, Tried::Again("not taken in time".into())));
        }
        tried
    }
}

/// What a round leaves.
#[derive(Default)]
struct Round {
    /// Places of those that are sent again.
    again: Vec<usize>,
    /// How long the vendor asks to wait.
    asked: Option<Duration>,
    /// They are sent again at once, with another authorization.
    unauthorized: bool,
}

impl Round {
    /// Notes the verdicts.
    fn sort_out<S: Speaks>(
        &mut self,
        tried: impl Iterator<Item = (usize, Tried)>,
        batch: &Batch<'_, S>,
        verdicts: &mut [Option<Verdict>],
    ) {
        // Asked once: of many messages refused for it, the first has it replaced.
        let mut refused = None;
        for (place, tried) in tried {
            verdicts[place] = match tried {
                Tried::Verdict(Verdict::Later { code, after }) => {
                    self.asked = self.asked.max(after);
                    self.again.push(place);
                    Some(Verdict::Later { code, after })
                }
                Tried::Verdict(verdict) => Some(verdict),
                Tried::Again(code) => {
                    self.again.push(place);
                    Some(Verdict::Later { code, after: None })
                }
                Tried::Unauthorized(code) => {
                    match refused.get_or_insert_with(|| batch.speaks.refused(&batch.authorization, code.clone())) {
                        Ok(()) => {
                            self.unauthorized = true;
                            self.again.push(place);
                            Some(Verdict::Later { code, after: None })
                        }
                        Err(verdict) => Some(verdict.clone()),
                    }
                }
            };
        }
    }
}

/// What a message came to whose stream broke off.
fn lost(error: &h2::Error) -> Tried {
    let code = Code::Owned(broken_by(error));
    let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    // Only streams above the last that the vendor names end with its GOAWAY.
    if error.is_remote() && (refused || error.is_go_away()) {
        Tried::Again(code)
    } else {
        Tried::Verdict(Verdict::Unknown(code))
    }
}

fn broken_by(error: &h2::Error) -> String {
    match error.reason() {
        Some(reason) if error.is_go_away() => format!("GOAWAY {reason:?}"),
        Some(reason) => format!("reset {reason:?}"),
        None => "connection lost".to_owned(),
    }
}

/// A wait between half and all of this: those who wait do not come back all at once.
fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(fastrand::f64().mul_add(0.5, 0.5))
}
