//! Passed over: messages of the inbox that this session does not send, or not again: refused by the device, too large
//! for it, or expired on the way. They stay in the inbox, so that every question to it has to leave them out.
//!
//! Few are remembered one by one. Beyond that, the lowest are given up for a *mark*: the inbox is answered in the order
//! of its pushes, so everything up to a message that was passed over has had its turn, and is asked for no more. Except
//! what is put into the inbox later with a lower push: then the mark goes back to it, and what lies between is answered
//! once more, which costs a repeat, where the alternative would be a message that is never sent.

use pigeonloft_model::PushId;

/// What a session passed over.
#[derive(Debug)]
pub(super) struct Passed {
    /// Nothing up to here is asked for.
    mark: PushId,
    /// Beyond it, ascending.
    some: Vec<PushId>,
    /// The lowest that was put into the inbox since the last question, and since the one before it while that is not
    /// answered: the mark must stay below.
    late: Option<PushId>,
    late_asked: Option<PushId>,
}

impl Passed {
    pub(super) fn new() -> Self {
        Self { mark: PushId(i64::MIN), some: Vec::new(), late: None, late_asked: None }
    }

    /// The question to the inbox begins behind this push.
    pub(super) fn mark(&self) -> PushId {
        self.mark
    }

    /// Those to leave out of the question, one by one.
    pub(super) fn iter(&self) -> impl Iterator<Item = PushId> {
        self.some.iter().copied()
    }

    pub(super) fn contains(&self, push: PushId) -> bool {
        self.some.binary_search(&push).is_ok()
    }

    /// Passes a message over; remembers at most so many one by one, as far as what is late permits.
    pub(super) fn add(&mut self, push: PushId, most: usize) {
        if push > self.mark
            && let Err(place) = self.some.binary_search(&push)
        {
            self.some.insert(place, push);
        }
        let bound = self.late.into_iter().chain(self.late_asked).min().unwrap_or(PushId(i64::MAX));
        let below = self.some.partition_point(|passed| *passed < bound);
        let over = self.some.len().saturating_sub(most).min(below);
        if let Some(last) = self.some.drain(..over).next_back() {
            self.mark = last;
        }
    }

    /// This message was put into the inbox.
    pub(super) fn deposited(&mut self, push: PushId) {
        self.mark = self.mark.min(PushId(push.0.saturating_sub(1)));
        self.late = Some(self.late.map_or(push, |late| late.min(push)));
    }

    /// The inbox is asked.
    pub(super) fn asked(&mut self) {
        self.late_asked = self.late.take();
    }

    /// The inbox answered; `from`: the first message of the answer that had no turn.
    pub(super) fn answered(&mut self, from: Option<PushId>) {
        self.late_asked = None;
        if let Some(from) = from {
            self.late = Some(self.late.map_or(from, |late| late.min(from)));
        }
    }

    /// The inbox did not answer.
    pub(super) fn not_answered(&mut self) {
        self.late = self.late.into_iter().chain(self.late_asked.take()).min();
    }
}
