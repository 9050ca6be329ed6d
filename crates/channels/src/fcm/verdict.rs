//! Verdict: what an answer of FCM says about a message. <https://firebase.google.com/docs/cloud-messaging/error-codes>

use std::time::Duration;

use pigeonloft_model::Verdict;
use pigeonloft_model::verdict::code;
use serde::Deserialize;

use crate::http2::Authorized;

/// How long FCM is left alone where it does not say, once a quota is used up; as Google's own libraries do.
const QUOTA_PAUSE: Duration = Duration::from_secs(60);

/// How long FCM is left alone where it does not say, when it is overloaded; the shortest that Google asks for.
const OVERLOAD_PAUSE: Duration = Duration::from_secs(10);

/// Google's word for an access token that is none, or too old.
const UNAUTHENTICATED: &str = "UNAUTHENTICATED";

/// Words for a quota that is used up: the project's, or one of a device or a topic.
const QUOTA: [&str; 3] = ["QUOTA_EXCEEDED", "RESOURCE_EXHAUSTED", "status 429"];

/// An answer that refuses.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    error: Explained,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Explained {
    status: String,
    details: Vec<Detail>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Detail {
    error_code: String,
    field_violations: Vec<Violation>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Violation {
    field: String,
}

/// What an answer says of the message, or that the access token was refused, in place of which another may be taken.
/// `after`: what it says in `retry-after`.
pub(super) fn read(status: u16, body: &[u8], after: Option<Duration>) -> Authorized {
    match verdict(status, body, after) {
        Verdict::Configuration(code) if code == UNAUTHENTICATED => Authorized::No(code),
        verdict => Authorized::Yes(verdict),
    }
}

/// Whether this word is of a quota that is used up, and not of FCM's own state.
pub(super) fn is_quota(word: &str) -> bool {
    QUOTA.contains(&word)
}

fn verdict(status: u16, body: &[u8], after: Option<Duration>) -> Verdict {
    if (200..300).contains(&status) {
        return Verdict::Accepted;
    }
    let explained = explained(body);
    let word = explained.word(status);
    let later = |pause| Verdict::Later { code: code(&word), after: Some(after.unwrap_or(pause)) };
    match (word.as_str(), status) {
        ("UNREGISTERED", _) => Verdict::Dead { code: code(&word), since: None },
        // A payload can be the fault, too: then every token would be.
        ("INVALID_ARGUMENT", 400) if explained.names_the_token() => Verdict::Dead { code: code(&word), since: None },
        // Of another project than the credentials'; devices of this one may follow.
        ("SENDER_ID_MISMATCH", _) => Verdict::Refused(code(&word)),
        (word, status) if status == 429 || is_quota(word) => later(QUOTA_PAUSE),
        ("UNAVAILABLE" | "INTERNAL", _) | (_, 500..) => later(OVERLOAD_PAUSE),
        // A 404 that names no token is a project that is not there.
        ("THIRD_PARTY_AUTH_ERROR", _) | (_, 401 | 403 | 404) => Verdict::Configuration(code(&word)),
        _ => Verdict::Refused(code(&word)),
    }
}

fn explained(body: &[u8]) -> Explained {
    serde_json::from_slice::<Refusal>(body).unwrap_or_default().error
}

impl Explained {
    /// The word for why: FCM's, else Google's, else the status.
    fn word(&self, status: u16) -> String {
        let of_fcm = self.details.iter().map(|detail| &detail.error_code).find(|word| !word.is_empty());
        match of_fcm {
            Some(word) => word.clone(),
            None if self.status.is_empty() => format!("status {status}"),
            None => self.status.clone(),
        }
    }

    fn names_the_token(&self) -> bool {
        self.details
            .iter()
            .flat_map(|detail| &detail.field_violations)
            .any(|violation| violation.field == "message.token")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const FCM_ERROR: &str = "type.googleapis.com/google.firebase.fcm.v1.FcmError";

    fn of(status: u16, google: &str, details: Value) -> Verdict {
        let body = json!({ "error": { "code": status, "message": "…", "status": google, "details": details } });
        verdict(status, body.to_string().as_bytes(), None)
    }

    fn fcm(status: u16, google: &str, word: &str) -> Verdict {
        of(status, google, json!([{ "@type": FCM_ERROR, "errorCode": word }]))
    }

    fn dead(word: &'static str) -> Verdict {
        Verdict::Dead { code: word.into(), since: None }
    }

    fn later(word: &'static str, seconds: u64) -> Verdict {
        Verdict::Later { code: word.into(), after: Some(Duration::from_secs(seconds)) }
    }

    #[test]
    fn each_documented_answer_has_its_verdict() {
        assert_eq!(verdict(200, br#"{"name":"projects/p/messages/1"}"#, None), Verdict::Accepted);
        assert_eq!(fcm(404, "NOT_FOUND", "UNREGISTERED"), dead("UNREGISTERED"));
        assert_eq!(
            fcm(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH"),
            Verdict::Refused("SENDER_ID_MISMATCH".into()),
            "the token stays"
        );
        assert_eq!(fcm(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"), later("QUOTA_EXCEEDED", 60));
        assert_eq!(fcm(503, "UNAVAILABLE", "UNAVAILABLE"), later("UNAVAILABLE", 10));
        assert_eq!(fcm(500, "INTERNAL", "INTERNAL"), later("INTERNAL", 10));
        let configuration = |word: &'static str| Verdict::Configuration(word.into());
        assert_eq!(fcm(401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"), configuration("THIRD_PARTY_AUTH_ERROR"));
        assert_eq!(of(401, "UNAUTHENTICATED", json!([])), configuration("UNAUTHENTICATED"));
        assert_eq!(of(403, "PERMISSION_DENIED", json!([])), configuration("PERMISSION_DENIED"));
        assert_eq!(of(404, "NOT_FOUND", json!([])), configuration("NOT_FOUND"), "the project is not there");
    }

    #[test]
    fn a_token_is_dead_only_where_the_answer_names_it() {
        let violation = |field: &str| {
            json!([
                { "@type": FCM_ERROR, "errorCode": "INVALID_ARGUMENT" },
                { "@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [{ "field": field, "description": "…" }] },
            ])
        };
        assert_eq!(of(400, "INVALID_ARGUMENT", violation("message.token")), dead("INVALID_ARGUMENT"));
        let refused = Verdict::Refused("INVALID_ARGUMENT".into());
        assert_eq!(of(400, "INVALID_ARGUMENT", violation("message.data")), refused);
        assert_eq!(fcm(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT"), refused);
    }

    #[test]
    fn what_the_answer_says_of_waiting_counts_more_than_what_is_usual() {
        let minute = Some(Duration::from_secs(90));
        for status in [429, 500, 503] {
            let Verdict::Later { after, .. } = verdict(status, b"", minute) else { panic!("{status}") };
            assert_eq!(after, minute);
        }
    }

    #[test]
    fn what_is_no_answer_of_fcm_is_read_by_its_status() {
        assert_eq!(verdict(502, b"<html>", None), later("status 502", 10));
        assert_eq!(verdict(429, b"", None), later("status 429", 60));
        assert_eq!(verdict(404, b"{}", None), Verdict::Configuration("status 404".into()));
        assert_eq!(verdict(413, br#"{"error": 7}"#, None), Verdict::Refused("status 413".into()));
        let unauthorized = |body: &str| matches!(read(401, body.as_bytes(), None), Authorized::No(_));
        assert!(unauthorized(r#"{"error":{"status":"UNAUTHENTICATED"}}"#));
        let of_apple = r#"{"error":{"status":"UNAUTHENTICATED","details":[{"errorCode":"THIRD_PARTY_AUTH_ERROR"}]}}"#;
        assert!(!unauthorized(of_apple), "the token is in order");
    }
}
