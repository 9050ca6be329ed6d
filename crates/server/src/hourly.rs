//! Hourly: how often an app may make a call in an hour.
//!
//! An hour begins with the first call made in it, for each app and each call by itself; what is refused does not count.
//! It is kept in memory: a restart begins anew.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use pigeonloft_model::AccessId;

use crate::lock::lock;

const HOUR: Duration = Duration::from_secs(3600);

/// The calls of the hours that are running.
#[derive(Debug)]
pub struct Hourly {
    /// 0: any number.
    limit: u32,
    /// Of apps that exist: as many as there are apps, times the calls counted, at most.
    hours: Mutex<HashMap<(AccessId, &'static str), Hour>>,
}

#[derive(Debug)]
struct Hour {
    began: Instant,
    calls: u32,
}

impl Hourly {
    /// As many calls of each kind and app in an hour; 0: any number.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self { limit, hours: Mutex::default() }
    }

    /// As many are allowed.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Takes one of the app's calls of this hour, at `now`.
    ///
    /// # Errors
    /// None is left: how long until the next hour begins.
    pub fn take(&self, app: AccessId, call: &'static str, now: Instant) -> Result<(), Duration> {
        if self.limit == 0 {
            return Ok(());
        }
        let mut hours = lock(&self.hours);
        if !hours.contains_key(&(app, call)) {
            hours.retain(|_, hour| now.saturating_duration_since(hour.began) < HOUR);
        }
        let hour = hours.entry((app, call)).or_insert(Hour { began: now, calls: 0 });
        let passed = now.saturating_duration_since(hour.began);
        if passed >= HOUR {
            *hour = Hour { began: now, calls: 0 };
        } else if hour.calls >= self.limit {
            return Err(HOUR - passed);
        }
        hour.calls += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: AccessId = AccessId(1);

    #[test]
    fn an_hour_begins_with_its_first_call_and_what_is_refused_does_not_count() {
        let hourly = Hourly::new(2);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(hourly.take(APP, "a", at(0)), Ok(()));
        assert_eq!(hourly.take(APP, "a", at(3000)), Ok(()));
        for _ in 0..3 {
            assert_eq!(hourly.take(APP, "a", at(3500)), Err(Duration::from_secs(100)));
        }
        assert_eq!(hourly.take(APP, "b", at(3500)), Ok(()), "each call by itself");
        assert_eq!(hourly.take(AccessId(2), "a", at(3500)), Ok(()), "each app by itself");
        assert_eq!(hourly.take(APP, "a", at(3600)), Ok(()));
        assert_eq!(hourly.take(APP, "a", at(3601)), Ok(()));
        assert_eq!(hourly.take(APP, "a", at(3602)), Err(Duration::from_secs(3598)));
    }

    #[test]
    fn hours_that_ended_are_forgotten_and_none_limits_nothing() {
        let hourly = Hourly::new(1);
        let start = Instant::now();
        for app in 0..100 {
            assert_eq!(hourly.take(AccessId(app), "a", start), Ok(()));
        }
        assert_eq!(hourly.take(APP, "b", start + HOUR), Ok(()));
        assert_eq!(lock(&hourly.hours).len(), 1);
        let unlimited = Hourly::new(0);
        assert!((0..1000).all(|_| unlimited.take(APP, "a", start).is_ok()));
    }
}
