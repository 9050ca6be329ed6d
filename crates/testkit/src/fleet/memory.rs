//! Memory: what a phone knows of itself, over all its connections.

use std::time::Instant;

use serde_json::Value;
use tokio::sync::mpsc;

use super::State;
use super::connection::Command;

/// A message a device got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its push.
    pub push_id: String,
    /// Its id.
    pub msg_id: String,
    /// All of it.
    pub payload: Value,
}

/// How a message came.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The message.
    pub message: Message,
    /// When.
    pub at: Instant,
    /// Over which of the phone's connections, counted from 0.
    pub connection: usize,
    /// Its acknowledgement was handed to the system.
    pub acknowledged: bool,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The phone took its leave.
    Left,
    /// The phone broke it off, or connected anew: what it had said last may not have been heard.
    Cut,
    /// The server ended or refused it, or was not there.
    Broken,
}

/// A connection, or the try to make one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Connection {
    /// When its subscription was granted.
    pub subscribed: Option<Instant>,
    /// How it ended, once it has.
    pub ending: Option<Ending>,
}

/// What a phone reported of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The push.
    pub push_id: String,
    /// What became of it, such as `shown`.
    pub event: String,
    /// The server has acknowledged it.
    pub taken: bool,
}

#[derive(Debug)]
pub(super) struct Memory {
    pub(super) state: State,
    pub(super) deliveries: Vec<Delivery>,
    pub(super) receipts: Vec<Receipt>,
    /// Each it tried to make.
    pub(super) connections: Vec<Connection>,
    /// To the task that connects it, while there is one.
    pub(super) commands: Option<mpsc::UnboundedSender<Command>>,
    /// Counts such tasks, so that an older one leaves the state of a newer one alone.
    task: u64,
    /// Counts [`Memory::forget`]: places in what was forgotten mean nothing any more.
    pub(super) forgotten: u64,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            state: State::Offline,
            deliveries: Vec::new(),
            receipts: Vec::new(),
            connections: Vec::new(),
            commands: None,
            task: 0,
            forgotten: 0,
        }
    }
}

impl Memory {
    /// A new task connects the phone. Answers its number.
    pub(super) fn begin(&mut self, commands: mpsc::UnboundedSender<Command>) -> u64 {
        self.state = State::Connecting;
        self.commands = Some(commands);
        self.task += 1;
        if let Some(last) = self.connections.last_mut() {
            last.ending.get_or_insert(Ending::Cut);
        }
        self.task
    }

    /// Changes the state, unless a newer task has it.
    pub(super) fn stands(&mut self, task: u64, state: State) {
        if self.task == task {
            self.state = state;
        }
    }

    /// The task is over, and leaves this state.
    pub(super) fn end(&mut self, task: u64, state: State) {
        if self.task == task {
            self.state = state;
            self.commands = None;
        }
    }

    /// A new connection. Answers its number.
    pub(super) fn connection(&mut self) -> usize {
        self.connections.push(Connection::default());
        self.connections.len() - 1
    }

    /// A connection is over, in this way, unless another was noted before.
    pub(super) fn ended(&mut self, connection: usize, ending: Ending) {
        self.connections[connection].ending.get_or_insert(ending);
    }

    /// Notes what is about to be reported. Answers its place.
    pub(super) fn reported(&mut self, push_id: &str, event: &str) -> usize {
        self.receipts.push(Receipt { push_id: push_id.into(), event: event.into(), taken: false });
        self.receipts.len() - 1
    }

    /// As [`Memory::reported`], once for each push and event. `None`: it was before.
    pub(super) fn reported_once(&mut self, push_id: &str, event: &str) -> Option<usize> {
        let known = self.receipts.iter().any(|known| known.push_id == push_id && known.event == event);
        (!known).then(|| self.reported(push_id, event))
    }

    /// Forgets what came and what was reported.
    pub(super) fn forget(&mut self) {
        self.deliveries = Vec::new();
        self.receipts = Vec::new();
        self.forgotten += 1;
    }
}
