//! Habits: how the sim behaves.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

/// An answer other than 200.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The reason, as Apple spells it.
    pub reason: String,
    /// Since when a token is dead, unix milliseconds.
    #[serde(default)]
    pub timestamp: Option<i64>,
    /// What it says in `retry-after`, seconds.
    #[serde(default)]
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
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Habits {
    /// How long it takes to answer.
    #[serde(rename = "latency_ms", deserialize_with = "milliseconds")]
    pub latency: Duration,
    /// Streams that a connection may have, as its SETTINGS say. For connections that are opened from then on.
    pub streams: u32,
    /// Streams that a connection may have until its first message is answered, as its first SETTINGS say, and really may, for
    /// others are refused. Apple begins with 1.
    pub first_streams: Option<u32>,
    /// Streams that a connection really may have, if that is fewer: others are refused.
    pub really: Option<usize>,
    /// What it answers for the devices of these tokens.
    pub by_token: HashMap<String, Reply>,
    /// What it answers to so many of the next requests.
    pub next: Option<(u64, Reply)>,
    /// So many of the next requests are reset, unanswered.
    pub resets: u64,
    /// A connection is ended with a GOAWAY after so many requests: those it has answered by then are the last.
    pub goes_away_after: Option<u64>,
    /// A connection is cut after so many requests.
    pub cut_after: Option<u64>,
    /// It takes what comes and never answers.
    pub is_silent: bool,
    /// How long after a new token of the team another new one is refused, as one too many. Apple's is 20 minutes. A sim that
    /// knows no team takes all tokens for one team's.
    #[serde(rename = "tokens_apart_ms", deserialize_with = "milliseconds")]
    pub tokens_apart: Duration,
    /// Whether it keeps what it took, and not the counts alone.
    #[serde(skip)]
    pub keeps: bool,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            latency: Duration::ZERO,
            streams: 1_000,
            first_streams: None,
            really: None,
            by_token: HashMap::new(),
            next: None,
            resets: 0,
            goes_away_after: None,
            cut_after: None,
            is_silent: false,
            tokens_apart: Duration::ZERO,
            keeps: true,
        }
    }
}

fn milliseconds<'de, D: Deserializer<'de>>(number: D) -> Result<Duration, D::Error> {
    u64::deserialize(number).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn habits_are_read_as_they_are_documented_and_none_is_misspelt_unseen() {
        let text = r#"{ "latency_ms": 50, "streams": 100, "first_streams": 1, "really": 10,
            "by_token": { "0a": { "status": 410, "reason": "Unregistered", "timestamp": 1700000000000 } },
            "next": [30, { "status": 503, "reason": "ServiceUnavailable", "retry_after": 7 }],
            "resets": 2, "goes_away_after": 40, "cut_after": 50, "is_silent": true, "tokens_apart_ms": 9 }"#;
        let read: Habits = serde_json::from_str(text).unwrap();
        assert_eq!((read.latency, read.first_streams, read.keeps), (Duration::from_millis(50), Some(1), true));
        assert_eq!(read.tokens_apart, Duration::from_millis(9));
        assert_eq!(read.by_token["0a"].timestamp, Some(1_700_000_000_000));
        assert_eq!(read.next.map(|(times, reply)| (times, reply.retry_after)), Some((30, Some(7))));
        assert!(serde_json::from_str::<Habits>(r#"{ "latency": 50 }"#).is_err());
    }
}
