//! Quota: how many messages a project may send in a minute, through whichever apps. A bucket that fills evenly; a message takes its
//! place as it comes, and waits for it. Where Google says that the quota is used up, nobody goes on for as long as it asks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pigeonloft_model::{Code, DeviceId, Verdict};
use tokio::time::Instant;

use super::verdict::is_quota;
use crate::vendor::Target;

/// Of how many seconds what was not used may be used at once.
const BURST_SECONDS: f64 = 1.0;

/// Devices in a row that are refused for a quota until it is taken to be the project's. A device has one of its own, and Google writes
/// both alike.
const DEVICES_IN_A_ROW: usize = 20;

/// Messages wait so long, at most, until a project may send again; those that would have to wait longer are answered at once.
const WAITS: Duration = Duration::from_secs(10);

/// The messages a project may send.
#[derive(Debug)]
pub(super) struct Quota(Mutex<Bucket>);

#[derive(Debug)]
struct Bucket {
    /// The messages a minute of each app that shares it. The least of them counts: they say the same of one project, and where they
    /// do not, the one who said less meant it.
    rates: BTreeMap<u32, usize>,
    /// Messages that may go at once; below zero, those that have a place and wait.
    level: f64,
    /// When that was so; in the time to come, where Google asked to wait.
    at: Instant,
    /// Google's word for it then.
    code: Code,
    /// Devices that were refused for a quota since a message was taken.
    refused: Vec<DeviceId>,
}

/// An app's share of a quota.
#[derive(Debug)]
pub(super) struct Share {
    quota: Arc<Quota>,
    per_minute: u32,
}

impl Quota {
    /// That of a project for which no app sends yet.
    pub(super) fn new(now: Instant) -> Self {
        // Full, whatever the first rate will be.
        let (rates, level, refused) = (BTreeMap::new(), f64::MAX, Vec::new());
        Self(Mutex::new(Bucket { rates, level, at: now, code: Code::default(), refused }))
    }

    fn bucket(&self) -> MutexGuard<'_, Bucket> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bucket {
    fn per_second(&self) -> f64 {
        let least = self.rates.keys().next().copied().unwrap_or_default();
        f64::from(least.max(1)) / 60.0
    }
}

impl Share {
    /// Of so many messages a minute.
    pub(super) fn new(quota: Arc<Quota>, per_minute: u32) -> Self {
        *quota.bucket().rates.entry(per_minute).or_default() += 1;
        Self { quota, per_minute }
    }

    /// Takes the next place, and answers how long it is until then.
    pub(super) fn take(&self, now: Instant) -> Duration {
        let mut bucket = self.quota.bucket();
        let per_second = bucket.per_second();
        let filled = now.saturating_duration_since(bucket.at).as_secs_f64() * per_second;
        // One at least, where less than one is filled in all of the time.
        let full = (per_second * BURST_SECONDS).max(1.0);
        bucket.level = (bucket.level + filled).min(full) - 1.0;
        bucket.at = bucket.at.max(now);
        bucket.at.saturating_duration_since(now) + Duration::from_secs_f64((-bucket.level / per_second).max(0.0))
    }

    /// What becomes of messages now, where Google asked for a longer wait than they wait.
    pub(super) fn held(&self, now: Instant) -> Option<Verdict> {
        let bucket = self.quota.bucket();
        let left = bucket.at.saturating_duration_since(now);
        (left > WAITS).then(|| Verdict::Later { code: bucket.code.clone(), after: Some(left) })
    }

    /// Notes what a batch was answered.
    pub(super) fn note(&self, targets: &[Target], verdicts: &[Verdict], now: Instant) {
        let mut bucket = self.quota.bucket();
        for (target, verdict) in targets.iter().zip(verdicts) {
            match verdict {
                Verdict::Accepted => bucket.refused.clear(),
                Verdict::Later { code, after: Some(after) } if is_quota(code) => {
                    if !bucket.refused.contains(&target.device) {
                        bucket.refused.push(target.device);
                    }
                    if bucket.refused.len() >= DEVICES_IN_A_ROW {
                        bucket.refused.clear();
                        // What was not used before counts no more: it was not there.
                        (bucket.level, bucket.at, bucket.code) = (0.0, bucket.at.max(now + *after), code.clone());
                    }
                }
                _ => {}
            }
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut bucket = self.quota.bucket();
        if let Some(shares) = bucket.rates.get_mut(&self.per_minute) {
            *shares -= 1;
            if *shares == 0 {
                bucket.rates.remove(&self.per_minute);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(per_minute: u32, now: Instant) -> Share {
        Share::new(Arc::new(Quota::new(now)), per_minute)
    }

    #[test]
    fn a_burst_goes_at_once_and_the_rest_evenly() {
        let now = Instant::now();
        let quota = quota(600, now);
        let waits: Vec<u128> = (0..13).map(|_| quota.take(now).as_millis()).collect();
        assert_eq!(waits[..10], [0; 10]);
        assert_eq!(waits[10..], [100, 200, 300]);
        assert_eq!(quota.take(now + Duration::from_secs(1)).as_millis(), 0, "meanwhile they have gone");
    }

    #[test]
    fn what_is_not_used_is_kept_for_a_second_alone() {
        let now = Instant::now();
        let quota = quota(600, now);
        let later = now + Duration::from_secs(3_600);
        let waiting = (0..12).filter(|_| quota.take(later) > Duration::ZERO).count();
        assert_eq!(waiting, 2);
    }

    #[test]
    fn apps_of_one_project_share_what_it_may_send_by_the_least_that_one_says() {
        let now = Instant::now();
        let one = quota(600, now);
        let other = Share::new(one.quota.clone(), 6_000);
        let waiting = (0..12).filter(|n| if n % 2 == 0 { &one } else { &other }.take(now) > Duration::ZERO).count();
        assert_eq!(waiting, 2);
        drop(one);
        let later = now + Duration::from_secs(3_600);
        let waiting = (0..102).filter(|_| other.take(later) > Duration::ZERO).count();
        assert_eq!(waiting, 2, "it says more than the one that is gone");
    }

    #[test]
    fn what_google_says_of_a_project_holds_for_all_its_apps_and_of_a_device_for_none() {
        let now = Instant::now();
        let one = quota(600, now);
        let other = Share::new(one.quota.clone(), 600);
        let target = |n| Target { device: DeviceId(n), token: n.to_string(), detail: None };
        let refused =
            |seconds| Verdict::Later { code: "QUOTA_EXCEEDED".into(), after: Some(Duration::from_secs(seconds)) };
        for _ in 0..100 {
            one.note(&[target(1)], &[refused(60)], now);
        }
        assert_eq!((other.held(now), other.take(now)), (None, Duration::ZERO), "of one device");
        let all: Vec<Target> = (2..40).map(target).collect();
        one.note(&all, &vec![refused(60); all.len()], now);
        assert_eq!(other.held(now), Some(refused(60)));
        // Shorter waits are waited for, and nothing was saved up meanwhile.
        let soon = now + Duration::from_secs(55);
        assert_eq!((other.held(soon), one.take(soon).as_millis()), (None, 5_100));
        assert_eq!(other.take(now + Duration::from_secs(70)), Duration::ZERO);
    }
}
