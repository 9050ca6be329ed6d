//! Habits: how the sim behaves.

use std::collections::HashMap;
use std::time::Duration;

/// An answer other than 200.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The reason, as Apple spells it.
    pub reason: String,
    /// Since when a token is dead, unix milliseconds.
    pub timestamp: Option<i64>,
    /// What it says in `retry-after`, seconds.
    pub retry_after: Option<u64>,
}

impl Reply {
    /// With this status and reason.
    #[must_use]
    pub fn new(status: u16, reason: &str) -> Self {
        Self { status, reason: reason.to_owned(), timestamp: None, retry_after: None }
    }
}

/// How the sim behaves. As it is made, it takes everything that is in order, at once.
#[derive(Debug, Clone)]
pub struct Habits {
    /// How long it takes to answer.
    pub latency: Duration,
    /// Streams that a connection may have, as its SETTINGS say. For connections that are opened from then on.
    pub streams: u32,
    /// Streams that a connection really may have, if that is fewer: others are refused.
    pub really: Option<usize>,
    /// What it answers for the devices of these tokens.
    pub by_token: HashMap<String, Reply>,
    /// What it answers to so many of the next requests.
    pub next: Option<(u64, Reply)>,
    /// A connection is ended with a GOAWAY after so many requests: those it has answered by then are the last.
    pub goes_away_after: Option<u64>,
    /// A connection is cut after so many requests.
    pub cut_after: Option<u64>,
    /// It takes what comes and never answers.
    pub is_silent: bool,
    /// Whether it keeps what it took, and not the counts alone.
    pub keeps: bool,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            latency: Duration::ZERO,
            streams: 1_000,
            really: None,
            by_token: HashMap::new(),
            next: None,
            goes_away_after: None,
            cut_after: None,
            is_silent: false,
            keeps: true,
        }
    }
}
