//! Verdict: what the answer of a push service says about one message (RFC 8030, and what Mozilla's says beyond it).

use std::time::SystemTime;

use http::StatusCode;
use pigeonloft_model::Verdict;
use pigeonloft_model::verdict::code;
use serde::Deserialize;

use crate::retry_after;

/// What Mozilla's service says of an error.
#[derive(Deserialize)]
struct Detail {
    errno: Option<u32>,
}

/// Judges an answer by its status, its `Retry-After` and its body, as far as that was read.
pub(super) fn of(status: StatusCode, retry_after: Option<&str>, body: &[u8], now: SystemTime) -> Verdict {
    let errno = || serde_json::from_slice(body).ok().and_then(|detail: Detail| detail.errno);
    let word = || match errno() {
        Some(errno) => code(&format!("{} errno {errno}", status.as_u16())),
        None => code(status.as_str()),
    };
    match status.as_u16() {
        200..=299 => Verdict::Accepted,
        404 | 410 => Verdict::Dead { code: word(), since: None },
        // The signature is not that of the key the subscription was made with, or is no longer good.
        401 | 403 => Verdict::Configuration(word()),
        408 | 425 | 429 | 500..=599 => {
            Verdict::Later { code: word(), after: retry_after.and_then(|text| retry_after::read(text, now)) }
        }
        // Too large, a redirect, which nobody follows, and whatever else.
        _ => Verdict::Refused(word()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn judged(status: u16, retry_after: Option<&str>, body: &str) -> Verdict {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        of(StatusCode::from_u16(status).unwrap(), retry_after, body.as_bytes(), now)
    }

    #[test]
    fn each_answer_of_a_push_service_has_its_verdict() {
        for status in [200, 201, 202, 204] {
            assert_eq!(judged(status, None, ""), Verdict::Accepted);
        }
        let errno = r#"{"code": 410, "errno": 106, "error": "Gone", "more_info": "…"}"#;
        assert_eq!(judged(410, None, errno), Verdict::Dead { code: "410 errno 106".into(), since: None });
        assert_eq!(judged(404, None, "<html>"), Verdict::Dead { code: "404".into(), since: None });
        for status in [301, 307, 400, 413] {
            assert_eq!(judged(status, None, ""), Verdict::Refused(status.to_string().into()));
        }
        for status in [401, 403] {
            assert_eq!(judged(status, None, ""), Verdict::Configuration(status.to_string().into()));
        }
        for status in [429, 500, 502, 503] {
            assert_eq!(judged(status, None, ""), Verdict::Later { code: status.to_string().into(), after: None });
        }
    }

    #[test]
    fn the_wait_that_an_answer_asks_for_goes_with_it() {
        for (text, seconds) in [("7", Some(7)), ("Tue, 14 Nov 2023 22:14:20 GMT", Some(60)), ("soon", None)] {
            let after = seconds.map(Duration::from_secs);
            assert_eq!(judged(429, Some(text), ""), Verdict::Later { code: "429".into(), after });
        }
    }
}
