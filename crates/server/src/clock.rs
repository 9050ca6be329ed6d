//! The clock: unix time, read here and nowhere else in the server.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in unix seconds.
#[must_use]
pub fn unix_seconds() -> i64 {
    unix_millis() / 1000
}

/// Now, in unix milliseconds.
#[must_use]
pub fn unix_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
