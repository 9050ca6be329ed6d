//! Late: answers of a connection that wait for their time.
//!
//! All wait equally long, as a rule, so they stand in one queue with one alarm, and those whose time has come leave together. With
//! a timer for each, and a write, the sim took a sixth more of the processor with 50 ms than with none, and whoever is measured
//! against it would be held to be slowed down by the latency.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// The answers that wait, the first to leave first.
pub(super) struct Late<T> {
    waiting: VecDeque<(Instant, T)>,
    alarm: Pin<Box<Sleep>>,
}

impl<T> Late<T> {
    pub(super) fn new() -> Self {
        Self { waiting: VecDeque::new(), alarm: Box::pin(sleep(Duration::ZERO)) }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// This one leaves after so long, and not before those that are here.
    pub(super) fn push(&mut self, after: Duration, answer: T) {
        let due = Instant::now() + after;
        if self.waiting.is_empty() {
            self.alarm.as_mut().reset(due);
        }
        self.waiting.push_back((due, answer));
    }

    /// Waits until some have their time, for ever if there are none. What is dropped waiting has lost nothing.
    pub(super) async fn due(&mut self) -> impl Iterator<Item = T> + use<T> {
        if self.waiting.is_empty() {
            std::future::pending::<()>().await;
        }
        self.alarm.as_mut().await;
        let now = Instant::now();
        let many = self.waiting.iter().take_while(|(due, _)| *due <= now).count();
        let rest = self.waiting.split_off(many);
        let due = std::mem::replace(&mut self.waiting, rest);
        if let Some((next, _)) = self.waiting.front() {
            self.alarm.as_mut().reset(*next);
        }
        due.into_iter().map(|(_, answer)| answer)
    }
}
