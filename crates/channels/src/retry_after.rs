//! Retry-After: how long an answer asks to wait (RFC 9110, section 10.2.3), as far as that is believed.

use std::time::{Duration, SystemTime};

/// The longest wait that is taken from an answer.
pub(crate) const LONGEST: Duration = Duration::from_secs(3600);

/// Reads seconds, or a date, of which whole seconds are made: who is asked to wait until then waits together. `None`: it is
/// neither.
pub(crate) fn read(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number has are a long wait, too.
        return Some(text.parse().map_or(LONGEST, Duration::from_secs).min(LONGEST));
    }
    let wait = httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default();
    Some(Duration::from_secs_f64(wait.as_secs_f64().ceil()).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_in_seconds_or_until_a_date_and_has_a_bound() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_400);
        let wait = |text: &str| read(text, now).map(|wait| wait.as_secs_f64());
        assert_eq!(wait(" 7 "), Some(7.0));
        assert_eq!(wait("Tue, 14 Nov 2023 22:14:20 GMT"), Some(60.0), "59.6, and no sooner");
        assert_eq!(wait("Tue, 14 Nov 2000 22:14:20 GMT"), Some(0.0));
        for long in ["999999999", "18446744073709551615", "99999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"] {
            assert_eq!(wait(long), Some(3_600.0), "{long}");
        }
        for neither in ["soon", "", "-1", "1.5"] {
            assert_eq!(wait(neither), None, "{neither}");
        }
    }
}
