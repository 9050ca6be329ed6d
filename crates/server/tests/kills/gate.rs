//! Gate: lets customers act while the server is up, and keeps them waiting while it is not.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
struct State {
    open: bool,
    /// The server was killed since it was open.
    killed: bool,
    over: bool,
    inside: usize,
}

/// What customers pass to act.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

/// A customer acts while it has one.
#[derive(Debug)]
pub(crate) struct Pass<'a>(&'a Gate);

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    /// Waits until the gate is open. `None`: it never will be again.
    pub(crate) fn enter(&self) -> Option<Pass<'_>> {
        let state = self.state();
        let mut state =
            self.changed.wait_while(state, |state| !state.open && !state.over).unwrap_or_else(PoisonError::into_inner);
        if state.over {
            return None;
        }
        state.inside += 1;
        Some(Pass(self))
    }

    /// Lets customers in.
    pub(crate) fn open(&self) {
        self.change(|state| (state.open, state.killed) = (true, false));
    }

    /// Lets nobody in any more: the server is about to be killed.
    pub(crate) fn close_for_a_kill(&self) {
        self.change(|state| (state.open, state.killed) = (false, true));
    }

    /// Waits until nobody is inside.
    pub(crate) fn wait_until_empty(&self) {
        let state = self.state();
        drop(self.changed.wait_while(state, |state| state.inside > 0).unwrap_or_else(PoisonError::into_inner));
    }

    /// Sends everybody home.
    pub(crate) fn end(&self) {
        self.change(|state| state.over = true);
    }
}

impl Pass<'_> {
    /// Whether it may be that a call of this customer has no answer.
    pub(crate) fn server_was_killed(&self) -> bool {
        self.0.state().killed
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.0.change(|state| state.inside -= 1);
    }
}
