//! Quota: how many messages a project may send in a minute. A bucket that fills evenly; a message takes its place as it
//! comes, and waits for it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Of how many seconds what was not used may be used at once.
const BURST_SECONDS: f64 = 1.0;

/// The messages a project may send.
#[derive(Debug)]
pub(super) struct Quota {
    per_second: f64,
    bucket: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    /// Messages that may go at once; below zero, those that have a place and wait.
    level: f64,
    /// When that was so.
    at: Instant,
}

impl Quota {
    /// So many messages a minute.
    pub(super) fn new(per_minute: u32, now: Instant) -> Self {
        let per_second = f64::from(per_minute.max(1)) / 60.0;
        Self { per_second, bucket: Mutex::new(Bucket { level: per_second * BURST_SECONDS, at: now }) }
    }

    /// Takes the next place, and answers how long it is until then.
    pub(super) fn take(&self, now: Instant) -> Duration {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let filled = now.saturating_duration_since(bucket.at).as_secs_f64() * self.per_second;
        // One at least, where less than one is filled in all of the time.
        let full = (self.per_second * BURST_SECONDS).max(1.0);
        bucket.level = (bucket.level + filled).min(full) - 1.0;
        bucket.at = now;
        Duration::from_secs_f64((-bucket.level / self.per_second).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_the_rest_evenly() {
        let now = Instant::now();
        let quota = Quota::new(600, now);
        let waits: Vec<u128> = (0..13).map(|_| quota.take(now).as_millis()).collect();
        assert_eq!(waits[..10], [0; 10]);
        assert_eq!(waits[10..], [100, 200, 300]);
        assert_eq!(quota.take(now + Duration::from_secs(1)).as_millis(), 0, "meanwhile they have gone");
    }

    #[test]
    fn what_is_not_used_is_kept_for_a_second_alone() {
        let now = Instant::now();
        let quota = Quota::new(600, now);
        let later = now + Duration::from_secs(3_600);
        let waiting = (0..12).filter(|_| quota.take(later) > Duration::ZERO).count();
        assert_eq!(waiting, 2);
    }
}
