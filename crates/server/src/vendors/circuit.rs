//! Circuit: whether a service of an app's channel is asked. One that fails again and again is paused, so that batches do not
//! wait for it; after a while a few messages try it, and the first that is taken ends the pause.
//!
//! Nothing here reads a clock or draws a number: who calls says what time it is and how the dice fell.

mod heard;

use std::time::{Duration, Instant};

use pigeonloft_model::{Channel, Code, DeviceId, verdict};

use super::hygiene::{self, Hygiene};
use crate::backoff::Backoff;

use heard::FAILURES_IN_A_ROW;
pub(crate) use heard::Heard;

/// Until the first try of a pause, and the longest between two.
const WAITS: Backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(300));

/// The longest wait that is taken from a vendor.
pub(crate) const ASKED_MAX: Duration = Duration::from_secs(3600);

/// Messages that try a paused channel.
const PROBES: usize = 5;

/// A try that has not been heard of for so long is given up, and another may be made: its push was stopped or its run failed. A
/// channel itself gives up sooner.
const PROBED_WITHIN: Duration = Duration::from_secs(120);

/// How the word begins that is recorded of recipients whose messages a paused channel was not asked to take.
pub(crate) const PAUSED: &str = "paused: ";

/// Why a channel is paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The vendor takes nothing, or is not reached.
    Failing,
    /// The vendor refuses the app's credentials, or what they are for.
    Configuration,
    /// The vendor says of abnormally many tokens that they are dead.
    DeadTokens,
}

impl Reason {
    pub(crate) const ALL: [Self; 3] = [Self::Failing, Self::Configuration, Self::DeadTokens];

    /// Its name.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Failing => "failing",
            Self::Configuration => "configuration",
            Self::DeadTokens => "dead_tokens",
        }
    }
}

/// Whether a channel is asked, as an operator sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It is.
    Closed,
    /// It is paused.
    Open,
    /// The pause is over as soon as a message is taken: one is tried, or the next will be.
    HalfOpen,
}

impl State {
    pub(crate) const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    /// Its name.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// A pause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pause {
    /// Why.
    pub(crate) reason: Reason,
    /// The vendor's word.
    pub(crate) code: Code,
    /// Since when.
    pub(crate) since: Instant,
    /// When the channel is tried again.
    pub(crate) next_try: Instant,
    /// The try that is under way is waited for until then.
    probed_until: Option<Instant>,
}

impl Pause {
    /// Of a channel whose credentials cannot be used.
    pub(crate) fn unusable(code: Code, since: Instant, next_try: Instant) -> Self {
        Self { reason: Reason::Configuration, code, since, next_try, probed_until: None }
    }

    /// What is recorded of recipients whose messages the channel was not asked to take.
    pub(crate) fn word(&self) -> Code {
        verdict::code(&format!("{PAUSED}{}", self.code))
    }
}

/// What of a batch may be given to the channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pass {
    /// All of it.
    All(Turn),
    /// So many of it, to try the channel.
    Probe(Turn, usize),
    /// Nothing: it is paused, with this word.
    Nothing(Code),
}

/// Which of the times between two changes a batch was let through in: what is heard of it later says nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Turn(u64);

/// What a report changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// The channel is paused from now on.
    Opened(Pause),
    /// It is not any more.
    Closed,
}

/// The circuit of one service of an app's channel.
#[derive(Debug)]
pub(crate) struct Circuit {
    hygiene: Hygiene,
    /// Whether anybody may name the service and what is asked of it, as browsers do. Then of one device no more than one failure
    /// counts, or it could pause the channel for all; and dead tokens, which can be made up, are no reason to pause.
    of_strangers: bool,
    pause: Option<Pause>,
    turn: u64,
    /// The devices of messages that failed since the last that did not.
    failed: Vec<DeviceId>,
    waits: Backoff,
}

impl Circuit {
    /// A closed one. So large a share of dead tokens is still normal.
    pub(crate) fn new(channel: Channel, normal_share: f64) -> Self {
        let (hygiene, of_strangers) = (Hygiene::new(normal_share), channel == Channel::Webpush);
        Self { hygiene, of_strangers, pause: None, turn: 0, failed: Vec::new(), waits: WAITS }
    }

    /// What of a batch may be given to the channel. What is let through is to be [reported](Self::report).
    pub(crate) fn pass(&mut self, now: Instant) -> Pass {
        let turn = Turn(self.turn);
        let Some(pause) = &mut self.pause else { return Pass::All(turn) };
        let is_probed = pause.probed_until.is_some_and(|until| now < until);
        if now < pause.next_try || is_probed {
            return Pass::Nothing(pause.word());
        }
        pause.probed_until = Some(now + PROBED_WITHIN);
        // A share is told from more of them.
        let probes = if pause.reason == Reason::DeadTokens { hygiene::LEAST } else { PROBES };
        Pass::Probe(turn, probes)
    }

    /// What became of a batch that was let through. `dice`: from 0 to 1. Answers whether the tokens are to be forgotten of
    /// which it says that they are dead, and what changes.
    pub(crate) fn report(&mut self, turn: Turn, heard: &Heard, now: Instant, dice: f64) -> (bool, Option<Change>) {
        if turn != Turn(self.turn) {
            return (self.believes_dead(), None);
        }
        let believed = self.hygiene.believes(heard.asked, heard.dead);
        let change = if self.pause.is_some() { self.probed(heard, now, dice) } else { self.sent(heard, now, dice) };
        (believed, change)
    }

    /// Whether tokens are forgotten now that are said to be dead.
    pub(crate) fn believes_dead(&self) -> bool {
        !self.hygiene.suspects()
    }

    /// The credentials are others now: the channel is tried at once.
    pub(crate) fn try_now(&mut self, now: Instant) {
        self.waits.reset();
        if let Some(pause) = &mut self.pause {
            pause.next_try = now;
        }
    }

    /// The pause, if it is paused.
    pub(crate) fn pause(&self) -> Option<&Pause> {
        self.pause.as_ref()
    }

    pub(crate) fn state(&self, now: Instant) -> State {
        match &self.pause {
            None => State::Closed,
            Some(pause) if now < pause.next_try => State::Open,
            Some(_) => State::HalfOpen,
        }
    }

    /// Of a batch while the circuit is closed.
    fn sent(&mut self, heard: &Heard, now: Instant, dice: f64) -> Option<Change> {
        if heard.is_well() {
            self.failed.clear();
        } else {
            for device in &heard.failed {
                if !self.of_strangers || !self.failed.contains(device) {
                    self.failed.push(*device);
                }
            }
        }
        let mut why = heard.why_to_pause(self.failed.len());
        if why.is_none() && self.suspects() && heard.dead > 0 {
            why = Some((Reason::DeadTokens, heard.dead_code.clone().unwrap_or_default()));
        }
        let (reason, code) = why?;
        self.turn += 1;
        self.hygiene.begin_anew();
        let next_try = now + self.wait(heard.after, dice);
        let pause = Pause { reason, code, since: now, next_try, probed_until: None };
        self.pause = Some(pause.clone());
        Some(Change::Opened(pause))
    }

    /// Of a try while it is open.
    fn probed(&mut self, heard: &Heard, now: Instant, dice: f64) -> Option<Change> {
        // In a try each failure counts.
        let mut why = heard.why_to_pause(FAILURES_IN_A_ROW);
        if why.is_none() && self.suspects() && heard.is_well() {
            if self.hygiene.is_undecided() {
                // Too few to tell a share: more are tried.
                self.pause.as_mut()?.probed_until = None;
                return None;
            }
            why = Some((Reason::DeadTokens, heard.dead_code.clone().unwrap_or_default()));
        }
        if why.is_none() && heard.is_well() {
            self.turn += 1;
            self.pause = None;
            self.failed.clear();
            self.waits.reset();
            return Some(Change::Closed);
        }
        let wait = why.as_ref().map(|_| self.wait(heard.after, dice));
        let pause = self.pause.as_mut()?;
        pause.probed_until = None;
        if let (Some((reason, code)), Some(wait)) = (why, wait) {
            (pause.reason, pause.code, pause.next_try) = (reason, code, now + wait);
            self.hygiene.begin_anew();
        }
        None
    }

    /// Whether dead tokens are a reason to pause.
    fn suspects(&self) -> bool {
        !self.of_strangers && self.hygiene.suspects()
    }

    /// A wait of our own; what a vendor asks for is kept to, and up to a fifth more.
    fn wait(&mut self, asked: Option<Duration>, dice: f64) -> Duration {
        let own = self.waits.jittered(dice);
        match asked {
            Some(asked) => asked.min(ASKED_MAX).mul_f64(dice.mul_add(0.2, 1.0)),
            None => own,
        }
    }
}

#[cfg(test)]
mod tests;
