//! Client: sends a batch over a few connections, as many messages at once as the other side allows, and without a task for
//! each. A connection that waits for room leaves what is to be sent to the others.
//!
//! What certainly was not taken is sent again for [`Patience::tried_for`]: refused streams, those above the last of a GOAWAY, and what
//! Apple asks to send later. What may have been taken is not: no answer is [`Verdict::Unknown`].

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use h2::Reason;
use h2::client::{ResponseFuture, SendRequest};
use http::header::{AUTHORIZATION, RETRY_AFTER};
use http::{HeaderValue, Method, Request, Uri};
use pigeonloft_model::attribute::Values;
use pigeonloft_model::{Code, Verdict};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until};

use super::connection::{Endpoint, Lane};
use super::payload::Payload;
use super::signer::Signer;
use super::verdict::{EXPIRED_TOKEN, verdict};
use crate::vendor::Target;

/// Connections: they hide the latency that the streams of one do not.
const CONNECTIONS: usize = 4;

/// Messages that one connection is given before the next has its turn.
const AT_A_STRETCH: usize = 32;

/// How long the other side is waited for.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// How long it may be silent, with messages unanswered.
    answered_within: Duration,
    /// How long a batch is sent again and again, as far as it is not taken.
    tried_for: Duration,
}

const PATIENCE: Patience = Patience { answered_within: Duration::from_secs(15), tried_for: Duration::from_secs(20) };

/// The waits between two tries grow from the first to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Longest body of an answer that is read.
const ANSWER_BYTES: usize = 4_096;

/// Characters of a device's token; Apple's have 64 today.
const TOKEN_CHARS: std::ops::RangeInclusive<usize> = 1..=200;

/// The way to one of Apple's environments.
#[derive(Debug)]
pub(super) struct Client {
    endpoint: Endpoint,
    lanes: [Lane; CONNECTIONS],
    patience: Patience,
    /// The last batch was given up: until something is taken again, each batch is tried once, so that a large push does not
    /// wait for the whole time at each of its batches.
    is_down: AtomicBool,
}

/// What became of one try.
enum Answer {
    Verdict(Verdict),
    /// It was certainly not taken.
    Again(Code),
}

/// A batch while it is sent.
struct Batch<'a> {
    payload: &'a Payload,
    values: &'a Values,
    authorization: HeaderValue,
    targets: &'a [Target],
    /// Places of those that are to be sent.
    places: &'a [usize],
    /// How many of them are given to a connection.
    given: AtomicUsize,
    /// Why a connection gave up, the last one that did.
    broken: Mutex<Option<Code>>,
}

impl Batch<'_> {
    fn next(&self) -> Option<usize> {
        self.places.get(self.given.fetch_add(1, Ordering::Relaxed)).copied()
    }

    fn breaks(&self, code: Code) {
        *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(code);
    }
}

impl Client {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, lanes: Default::default(), patience: PATIENCE, is_down: AtomicBool::new(false) }
    }

    /// Sends to each of these; the verdicts stand in their order.
    pub(super) async fn send(
        &self,
        payload: &Payload,
        values: &Values,
        signer: &Signer,
        targets: &[Target],
    ) -> Vec<Verdict> {
        let mut verdicts = vec![None; targets.len()];
        let mut places: Vec<usize> = (0..targets.len()).collect();
        let tried_for = if self.is_down.load(Ordering::Relaxed) { Duration::ZERO } else { self.patience.tried_for };
        let deadline = Instant::now() + tried_for;
        let mut wait = FIRST_WAIT;
        loop {
            let Some(authorization) = signer.authorization(SystemTime::now()) else {
                return vec![Verdict::Configuration("no random numbers".into()); targets.len()];
            };
            let given = AtomicUsize::new(0);
            let batch =
                Batch { payload, values, authorization, targets, places: &places, given, broken: Mutex::default() };
            let rounds = self.lanes.iter().map(|lane| self.send_by(lane, &batch));
            let answers = join_all(rounds).await;
            let (mut again, asked) = sort_out(answers.into_iter().flatten(), signer, &batch, &mut verdicts);
            let left = places.get(batch.given.load(Ordering::Relaxed).min(places.len())..).unwrap_or_default();
            again.extend(left);
            if again.is_empty() {
                break;
            }
            let wait_now = asked.unwrap_or_else(|| jittered(wait));
            let broken = batch.broken.into_inner().unwrap_or_else(PoisonError::into_inner);
            if Instant::now() + wait_now >= deadline {
                let code = broken.unwrap_or("not taken in time".into());
                for place in again {
                    verdicts[place].get_or_insert_with(|| Verdict::Later { code: code.clone(), after: asked });
                }
                break;
            }
            for &place in &again {
                verdicts[place] = None;
            }
            sleep(wait_now).await;
            wait = (wait * 2).min(LONGEST_WAIT);
            again.sort_unstable();
            places = again;
        }
        let unanswered = || Verdict::Unknown("no answer".into());
        let verdicts: Vec<_> = verdicts.into_iter().map(|verdict| verdict.unwrap_or_else(unanswered)).collect();
        self.note(&verdicts);
        verdicts
    }

    /// Notes whether Apple takes messages: not where it took none of a batch and gave no other answer either.
    fn note(&self, verdicts: &[Verdict]) {
        let is_no_answer = |verdict: &Verdict| match verdict {
            // That is of one device.
            Verdict::Later { code, .. } => code != "TooManyRequests",
            Verdict::Unknown(_) => true,
            _ => false,
        };
        if verdicts.is_empty() {
            return;
        }
        let is_down = verdicts.iter().all(is_no_answer);
        if self.is_down.swap(is_down, Ordering::Relaxed) == is_down {
            return;
        }
        let endpoint = &self.endpoint;
        if is_down {
            let code = verdicts[0].code().map(ToString::to_string);
            tracing::warn!(?endpoint, code, "APNs takes no messages: each batch is tried once until it does again");
        } else {
            tracing::info!(?endpoint, "APNs takes messages again");
        }
    }

    /// Sends over one connection what is left of a batch, until nothing is or the connection takes no more; then waits for
    /// the answers.
    async fn send_by(&self, lane: &Lane, batch: &Batch<'_>) -> Vec<(usize, Answer)> {
        let mut answers = Vec::new();
        if batch.given.load(Ordering::Relaxed) >= batch.places.len() {
            return answers;
        }
        let handle = match lane.handle(&self.endpoint).await {
            Ok(handle) => handle,
            Err(error) => {
                tracing::debug!(endpoint = ?self.endpoint, %error, "no connection to APNs");
                batch.breaks("no connection".into());
                return answers;
            }
        };
        let mut sender = handle.sender.clone();
        let mut open = FuturesUnordered::new();
        let (mut sends, mut stretch) = (true, 0);
        let answered_within = self.patience.answered_within;
        let silence = sleep_until(Instant::now() + answered_within);
        tokio::pin!(silence);
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                biased;
                ready = std::future::poll_fn(|context| sender.poll_ready(context)), if sends => {
                    let next = ready.map(|()| batch.next());
                    match next {
                        Ok(None) => sends = false,
                        Ok(Some(place)) => match self.begin(&mut sender, batch, place) {
                            Ok(answer) => open.push(answered(place, answer)),
                            Err(answer) => answers.push((place, answer)),
                        },
                        // Nothing is on its way by it.
                        Err(error) => {
                            sends = false;
                            batch.breaks(Code::Owned(broken_by(&error)));
                            lane.give_up(&handle);
                        }
                    }
                    stretch += 1;
                    if stretch % AT_A_STRETCH == 0 {
                        yield_now().await;
                    }
                }
                Some(answer) = open.next(), if !open.is_empty() => {
                    heard = Instant::now();
                    answers.push(answer);
                }
                () = &mut silence, if !open.is_empty() => {
                    if heard.elapsed() < answered_within {
                        silence.as_mut().reset(heard + answered_within);
                        continue;
                    }
                    // What is dropped unanswered is unknown.
                    lane.give_up(&handle);
                    break;
                }
                else => break,
            }
        }
        answers
    }

    /// Begins a message. An error answers for it: nothing was sent.
    fn begin(
        &self,
        sender: &mut SendRequest<Bytes>,
        batch: &Batch<'_>,
        place: usize,
    ) -> Result<ResponseFuture, Answer> {
        let target = &batch.targets[place];
        let payload = batch.payload.body(target, batch.values).map_err(Answer::Verdict)?;
        let request = self.request(batch, target).map_err(Answer::Verdict)?;
        let again = |error: h2::Error| Answer::Again(Code::Owned(broken_by(&error)));
        let (answer, mut body) = sender.send_request(request, false).map_err(again)?;
        // An error here is the stream's, and its answer will tell.
        let _ = body.send_data(payload, true);
        Ok(answer)
    }

    fn request(&self, batch: &Batch<'_>, target: &Target) -> Result<Request<()>, Verdict> {
        let token = &target.token;
        if !TOKEN_CHARS.contains(&token.len()) || !token.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Verdict::Refused("token is not hexadecimal".into()));
        }
        let mut headers = batch.payload.headers(target).ok_or_else(|| Verdict::Configuration("BadTopic".into()))?;
        headers.insert(AUTHORIZATION, batch.authorization.clone());
        let uri = Uri::builder()
            .scheme(self.endpoint.scheme.clone())
            .authority(self.endpoint.authority.clone())
            .path_and_query(format!("/3/device/{token}"))
            .build();
        let refused = |_| Verdict::Refused("not a request".into());
        let mut request =
            Request::builder().method(Method::POST).uri(uri.map_err(refused)?).body(()).map_err(refused)?;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

/// Notes the verdicts; answers whose message is to be sent again, and how long Apple asks to wait.
fn sort_out(
    answers: impl Iterator<Item = (usize, Answer)>,
    signer: &Signer,
    batch: &Batch<'_>,
    verdicts: &mut [Option<Verdict>],
) -> (Vec<usize>, Option<Duration>) {
    let (mut again, mut asked) = (Vec::new(), None);
    // Asked once: of many messages refused for it, the first has it replaced.
    let mut is_renewed = None;
    for (place, answer) in answers {
        let verdict = match answer {
            Answer::Verdict(verdict) => verdict,
            Answer::Again(code) => {
                again.push(place);
                Verdict::Later { code, after: None }
            }
        };
        match &verdict {
            Verdict::Later { code, .. } if code == EXPIRED_TOKEN => {
                let renewed = is_renewed.get_or_insert_with(|| signer.refused(&batch.authorization, SystemTime::now()));
                if *renewed {
                    again.push(place);
                }
            }
            Verdict::Later { after, .. } if again.last() != Some(&place) => {
                asked = asked.max(*after);
                again.push(place);
            }
            _ => {}
        }
        verdicts[place] = Some(verdict);
    }
    (again, asked)
}

async fn answered(place: usize, answer: ResponseFuture) -> (usize, Answer) {
    (place, read(answer).await.unwrap_or_else(|error| lost(&error)))
}

async fn read(answer: ResponseFuture) -> Result<Answer, h2::Error> {
    let answer = answer.await?;
    let status = answer.status().as_u16();
    if status == 200 {
        return Ok(Answer::Verdict(Verdict::Accepted));
    }
    let after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let mut body = answer.into_body();
    let mut text = Vec::new();
    while let Some(part) = body.data().await {
        // The status says enough where the rest does not come.
        let Ok(part) = part else { break };
        let _ = body.flow_control().release_capacity(part.len());
        text.extend_from_slice(&part);
        if text.len() > ANSWER_BYTES {
            break;
        }
    }
    Ok(Answer::Verdict(verdict(status, &text, after.map(Duration::from_secs))))
}

/// What a message came to whose stream broke off.
fn lost(error: &h2::Error) -> Answer {
    let code = Code::Owned(broken_by(error));
    let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    // Only streams above the last that Apple names end with its GOAWAY.
    if error.is_remote() && (refused || error.is_go_away()) {
        Answer::Again(code)
    } else {
        Answer::Verdict(Verdict::Unknown(code))
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

#[cfg(test)]
pub(super) mod tests;
