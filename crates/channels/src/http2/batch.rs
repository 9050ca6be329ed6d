//! Batch: messages while they are sent, and what became of each try.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::client::{ResponseFuture, SendRequest};
use http::HeaderValue;
use pigeonloft_model::{Code, Verdict};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::connection::Answer;
use super::speaks::{Authorized, Concerns, Speaks};
use crate::vendor::Target;

/// What became of one try.
pub(super) enum Tried {
    Verdict(Verdict),
    Unauthorized(Code),
    /// It was certainly not taken.
    Again(Code),
}

impl Tried {
    /// Whether no answer came.
    pub(super) fn is_lost(&self) -> bool {
        matches!(self, Self::Verdict(Verdict::Unknown(_)) | Self::Again(_))
    }
}

/// A batch while it is sent.
pub(super) struct Batch<'a, S> {
    speaks: &'a S,
    authorization: Option<HeaderValue>,
    targets: &'a [Target],
    /// Places of those that are to be sent.
    places: &'a [usize],
    /// How many of them are given to a connection.
    given: AtomicUsize,
    /// Told when each of them is given to a connection.
    all_given: Notify,
    /// What becomes of messages that no other connection takes, by the last one that gave up.
    broken: Mutex<Option<Verdict>>,
}

/// The next message of a batch for one connection.
pub(super) enum Next {
    Place(usize),
    /// This one, when its time has come.
    Paced(usize, Instant),
}

impl<'a, S: Speaks> Batch<'a, S> {
    pub(super) fn new(
        speaks: &'a S,
        authorization: Option<HeaderValue>,
        targets: &'a [Target],
        places: &'a [usize],
    ) -> Self {
        let (given, all_given, broken) = (AtomicUsize::new(0), Notify::new(), Mutex::default());
        Self { speaks, authorization, targets, places, given, all_given, broken }
    }

    /// How many are to be sent.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Those that no connection was given.
    pub(super) fn left(&self) -> &'a [usize] {
        let given = self.given.load(Ordering::Relaxed).min(self.places.len());
        &self.places[given..]
    }

    pub(super) fn next(&self) -> Option<Next> {
        let given = self.given.fetch_add(1, Ordering::Relaxed);
        let place = *self.places.get(given)?;
        if given + 1 == self.places.len() {
            self.all_given.notify_waiters();
        }
        let wait = self.speaks.pace();
        Some(if wait.is_zero() { Next::Place(place) } else { Next::Paced(place, Instant::now() + wait) })
    }

    /// What a future comes to while anything is left for a connection that it opens; `None`: nothing is any more.
    pub(super) async fn while_any_is_left<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let all_given = self.all_given.notified();
        if self.left().is_empty() {
            return None;
        }
        tokio::select! {
            biased;
            done = future => Some(done),
            () = all_given => None,
        }
    }

    /// Whether this is the last that a connection is used for, and with which word.
    pub(super) fn ends_connection<'t>(&self, tried: &'t Tried) -> Option<&'t Code> {
        match tried {
            Tried::Verdict(Verdict::Later { code, .. }) if self.speaks.ends_connection(code) => Some(code),
            _ => None,
        }
    }

    /// A connection gives up, and this becomes of messages that no other takes.
    pub(super) fn breaks(&self, verdict: Verdict) {
        *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(verdict);
    }

    pub(super) fn broken(&self) -> Option<Verdict> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Begins a message. An error answers for it: nothing was sent.
    pub(super) fn begin(&self, sender: &mut SendRequest<Bytes>, place: usize) -> Result<ResponseFuture, Tried> {
        let (request, body) =
            self.speaks.request(self.authorization.as_ref(), &self.targets[place]).map_err(Tried::Verdict)?;
        let again = |error: h2::Error| Tried::Again(Code::Owned(broken_by(&error)));
        let (answer, mut stream) = sender.send_request(request, false).map_err(again)?;
        // The stream is open, but without its end it is no request.
        stream.send_data(body, true).map_err(again)?;
        Ok(answer)
    }

    /// The authorization was refused with this word. Another is to be had, or this is what becomes of the messages.
    fn refused(&self, code: Code) -> Result<(), Verdict> {
        match &self.authorization {
            Some(authorization) => self.speaks.refused(authorization, code),
            None => Err(Verdict::Configuration(code)),
        }
    }

    pub(super) async fn tried(&self, place: usize, answer: ResponseFuture) -> (usize, Tried) {
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

/// When a message that was not taken is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// At once: it only wants another authorization.
    Now,
    /// After a wait of ours: the vendor has not looked at it.
    Soon,
    /// After a wait of ours, and not before what the vendor asks to wait is over; and as far as there is a budget for it.
    After(Duration),
}

/// Notes the verdicts of a round. Answers which are sent again, and when each; if they are not, their verdicts stand.
pub(super) fn settle<S: Speaks>(
    tried: impl Iterator<Item = (usize, Tried)>,
    batch: &Batch<'_, S>,
    verdicts: &mut [Option<Verdict>],
) -> Vec<(usize, When)> {
    let mut again: Vec<_> = batch.left().iter().map(|place| (*place, When::Soon)).collect();
    if !again.is_empty() {
        let later = || Verdict::Later { code: "not taken in time".into(), after: None };
        let verdict = batch.broken().unwrap_or_else(later);
        for (place, _) in &again {
            verdicts[*place] = Some(verdict.clone());
        }
        if matches!(verdict, Verdict::Configuration(_)) {
            again.clear();
        }
    }
    // Asked once: of many messages refused for it, the first has it replaced.
    let mut refused = None;
    for (place, tried) in tried {
        verdicts[place] = Some(match tried {
            Tried::Verdict(Verdict::Later { code, after }) => {
                if batch.speaks.concerns(&code) != Concerns::Device {
                    again.push((place, When::After(after.unwrap_or_default())));
                }
                Verdict::Later { code, after }
            }
            Tried::Verdict(verdict) => verdict,
            Tried::Again(code) => {
                again.push((place, When::Soon));
                Verdict::Later { code, after: None }
            }
            Tried::Unauthorized(code) => match refused.get_or_insert_with(|| batch.refused(code.clone())) {
                Ok(()) => {
                    again.push((place, When::Now));
                    Verdict::Later { code, after: None }
                }
                Err(verdict) => verdict.clone(),
            },
        });
    }
    again
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

pub(super) fn broken_by(error: &h2::Error) -> String {
    match error.reason() {
        Some(reason) if error.is_go_away() => format!("GOAWAY {reason:?}"),
        Some(reason) => format!("reset {reason:?}"),
        None => "connection lost".to_owned(),
    }
}
