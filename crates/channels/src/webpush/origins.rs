//! Origins: the push services that messages go to, each over a few lanes. A lane that was not used lately is first given a single
//! message: the others then find its connection open, instead of each opening one of their own, or find that there is none to be had.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::client::CONNECTIONS;
use crate::budget::Budget;

/// A push service that answered is taken to be connected for this long: less than connections are kept open.
const REACHED_FOR: Duration = Duration::from_secs(45);

/// One that could not be reached is left alone for this long.
const FAILED_FOR: Duration = Duration::from_secs(1);

/// Push services remembered; beyond it all are forgotten at once. There are a handful, and endpoints are strangers'.
const REMEMBERED: usize = 1024;

/// Those that messages went to lately.
#[derive(Debug, Default)]
pub(super) struct Origins(Mutex<HashMap<String, Arc<Origin>>>);

/// One push service.
#[derive(Debug)]
pub(super) struct Origin {
    /// How many messages may be sent to it once more, of all apps: it is the same service for each, and a stranger's own origin
    /// takes nothing from the others.
    pub(super) budget: Budget,
    /// Each over a connection of its own, where it speaks HTTP/2.
    pub(super) lanes: [Lane; CONNECTIONS],
}

/// A way to a push service, which a share of its messages take.
#[derive(Debug)]
pub(super) struct Lane {
    first: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Unknown,
    Reached(Instant),
    Failed(Instant),
}

/// Whether a message may go now.
#[derive(Debug)]
pub(super) enum Turn<'a> {
    /// With the others.
    Any,
    /// Alone, until this is dropped.
    First { _alone: SemaphorePermit<'a> },
    /// There is no connection to be had.
    None,
}

impl Origins {
    /// The one of this scheme, host and port.
    pub(super) fn of(&self, origin: &str) -> Arc<Origin> {
        let mut origins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = origins.get(origin) {
            return known.clone();
        }
        if origins.len() >= REMEMBERED {
            origins.clear();
        }
        let budget = Budget::new(Instant::now());
        let lanes = [(); CONNECTIONS].map(|()| Lane { first: Semaphore::new(1), state: Mutex::new(State::Unknown) });
        let new = Arc::new(Origin { budget, lanes });
        origins.insert(origin.to_owned(), new.clone());
        new
    }
}

impl Lane {
    /// Waits until a message may go, or it is known that it cannot.
    pub(super) async fn turn(&self) -> Turn<'_> {
        if let Some(turn) = self.known() {
            return turn;
        }
        // Nothing closes it.
        let Ok(alone) = self.first.acquire().await else { return Turn::None };
        // Whoever was before may have found out.
        self.known().unwrap_or(Turn::First { _alone: alone })
    }

    fn known(&self) -> Option<Turn<'static>> {
        match *self.state() {
            State::Reached(at) if at.elapsed() < REACHED_FOR => Some(Turn::Any),
            State::Failed(at) if at.elapsed() < FAILED_FOR => Some(Turn::None),
            _ => None,
        }
    }

    /// It answered.
    pub(super) fn reached(&self) {
        *self.state() = State::Reached(Instant::now());
    }

    /// No connection could be had.
    pub(super) fn failed(&self) {
        *self.state() = State::Failed(Instant::now());
    }

    /// A connection was lost: the next message goes alone again.
    pub(super) fn lost(&self) {
        *self.state() = State::Unknown;
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_message_goes_alone_and_the_others_by_what_it_found() {
        let origins = Origins::default();
        let known = origins.of("https://push.example.net");
        let origin = &known.lanes[0];
        let first = origin.turn().await;
        assert!(matches!(first, Turn::First { .. }));
        let second = origins.of("https://push.example.net");
        let waits = tokio::spawn(async move { matches!(second.lanes[0].turn().await, Turn::Any) });
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        origin.reached();
        drop(first);
        assert!(waits.await.unwrap());
        assert!(matches!(origins.of("https://other.example.net").lanes[0].turn().await, Turn::First { .. }));
        assert!(matches!(known.lanes[1].turn().await, Turn::First { .. }), "over another connection");
        // It is sent one alone again when it was silent for long, or a connection was lost.
        tokio::time::advance(REACHED_FOR).await;
        assert!(matches!(origin.turn().await, Turn::First { .. }));
        origin.reached();
        origin.lost();
        assert!(matches!(origin.turn().await, Turn::First { .. }));
        origin.failed();
        assert!(matches!(origin.turn().await, Turn::None));
        tokio::time::advance(FAILED_FOR).await;
        assert!(matches!(origin.turn().await, Turn::First { .. }));
    }
}
