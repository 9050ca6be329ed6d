//! Verdict: what an answer of APNs means, by its status and reason.

use std::time::Duration;

use pigeonloft_model::{Code, Verdict, verdict};
use serde::Deserialize;

use crate::http2::Authorized;

/// The body of an answer that is not 200.
#[derive(Debug, Default, Deserialize)]
struct Reason {
    #[serde(default)]
    reason: String,
    /// Unix milliseconds.
    timestamp: Option<i64>,
}

/// The reason with which a token of ours is refused that is too old.
const EXPIRED_TOKEN: &str = "ExpiredProviderToken";

/// The reason with which one is refused that was made too soon after another of the team.
pub(super) const TOO_MANY_TOKENS: &str = "TooManyProviderTokenUpdates";

/// The reason with which a message is refused because its device got too many.
pub(super) const TOO_MANY_FOR_DEVICE: &str = "TooManyRequests";

/// The reason with which a message is refused because its server is shutting down: another is reached by another connection.
pub(super) const SHUTDOWN: &str = "Shutdown";

/// What an answer means, or that our token is too old, or one too many. `after`: what it says in `retry-after`.
pub(super) fn read(status: u16, body: &[u8], after: Option<Duration>) -> Authorized {
    match verdict(status, body, after) {
        Verdict::Later { code, .. } if code == EXPIRED_TOKEN || code == TOO_MANY_TOKENS => Authorized::No(code),
        verdict => Authorized::Yes(verdict),
    }
}

fn verdict(status: u16, body: &[u8], after: Option<Duration>) -> Verdict {
    if status == 200 {
        return Verdict::Accepted;
    }
    let Reason { reason, timestamp } = serde_json::from_slice(body).unwrap_or_default();
    let code: Code = if reason.is_empty() { format!("status {status}").into() } else { verdict::code(&reason) };
    match (status, &*code) {
        (410, _) => Verdict::Dead { code, since: timestamp },
        (429 | 500.., _) | (403, EXPIRED_TOKEN) => Verdict::Later { code, after },
        // The topic is the app's; the token is in order.
        (400, "DeviceTokenNotForTopic" | "BadTopic" | "MissingTopic" | "TopicDisallowed") => {
            Verdict::Configuration(code)
        }
        (401 | 403 | 404 | 405, _) => Verdict::Configuration(code),
        // Of BadDeviceToken, too: the token may be one of the other environment.
        _ => Verdict::Refused(code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, body: &str) -> Verdict {
        verdict(status, body.as_bytes(), None)
    }

    #[test]
    fn only_a_definite_answer_takes_a_token_away() {
        let dead = |code: &'static str, since| Verdict::Dead { code: code.into(), since };
        assert_eq!(
            of(410, r#"{"reason":"Unregistered","timestamp":1700000000000}"#),
            dead("Unregistered", Some(1_700_000_000_000))
        );
        assert_eq!(of(410, r#"{"reason":"ExpiredToken"}"#), dead("ExpiredToken", None));
        assert_eq!(of(400, r#"{"reason":"BadDeviceToken"}"#), Verdict::Refused("BadDeviceToken".into()));
        for (status, reason) in
            [(400, "DeviceTokenNotForTopic"), (403, "InvalidProviderToken"), (403, "TopicDisallowed")]
        {
            let answer = of(status, &format!(r#"{{"reason":"{reason}"}}"#));
            assert_eq!(answer, Verdict::Configuration(reason.into()));
        }
    }

    #[test]
    fn what_may_pass_is_told_from_what_will_not() {
        let later = |code: &'static str, after| Verdict::Later { code: code.into(), after };
        let wait = Some(Duration::from_secs(7));
        assert_eq!(verdict(503, br#"{"reason":"ServiceUnavailable"}"#, wait), later("ServiceUnavailable", wait));
        assert_eq!(of(429, r#"{"reason":"TooManyRequests"}"#), later("TooManyRequests", None));
        assert_eq!(of(403, r#"{"reason":"ExpiredProviderToken"}"#), later("ExpiredProviderToken", None));
        assert_eq!(of(500, "<html>"), later("status 500", None));
        assert_eq!(of(413, r#"{"reason":"PayloadTooLarge"}"#), Verdict::Refused("PayloadTooLarge".into()));
        assert_eq!(of(200, ""), Verdict::Accepted);
    }
}
