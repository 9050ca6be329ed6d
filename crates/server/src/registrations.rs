//! Registrations: how many new devices an app may be given, in all and from one address.
//!
//! The AccessKey is in every copy of a program, so whoever has one can register devices without end. Each app, and each
//! address for each app, has a token bucket, kept as the time at which it is full again: what is full needs no memory.
//! A general rate limiter would neither bound how many addresses it remembers nor take back what added no device.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use pigeonloft_model::AccessId;

use crate::config;
use crate::lock::lock;
use crate::net::Origin;

/// Buckets remembered at most, of apps and of addresses each; while none of so many is full again, no other begins.
const BUCKETS: usize = 1 << 14;

/// When to come back where no bucket can begin.
const NO_BUCKET_WAIT: Duration = Duration::from_secs(1);

/// The bounds, and what is taken of them.
#[derive(Debug)]
pub struct Registrations {
    of_app: Option<Rate>,
    from_address: Option<Rate>,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    apps: Buckets<AccessId>,
    addresses: Buckets<(AccessId, Origin)>,
}

/// How fast a bucket fills, and what it holds.
#[derive(Debug, Clone, Copy)]
struct Rate {
    /// Until one more is in it.
    interval: Duration,
    /// From empty to full.
    span: Duration,
}

impl Rate {
    /// `None`: without bound.
    fn new(per_second: u32, burst: u32) -> Option<Self> {
        let interval = Duration::from_secs(1).checked_div(per_second)?;
        Some(Self { interval, span: interval.saturating_mul(burst.max(1)) })
    }
}

/// When each bucket is full again.
#[derive(Debug)]
struct Buckets<K> {
    full_at: HashMap<K, Instant>,
    /// So many are let gather before full ones are looked for, which must not cost every registration a walk.
    sweep_at: usize,
}

impl<K> Default for Buckets<K> {
    fn default() -> Self {
        Self { full_at: HashMap::new(), sweep_at: 0 }
    }
}

impl<K: Eq + Hash> Buckets<K> {
    /// When the bucket will be full if one is taken now; or how long to wait for one.
    fn offer(&mut self, key: &K, rate: Rate, now: Instant) -> Result<Instant, Duration> {
        let known = self.full_at.get(key);
        if known.is_none() && self.full_at.len() >= self.sweep_at {
            self.full_at.retain(|_, full_at| *full_at > now);
            if self.full_at.len() >= BUCKETS {
                return Err(NO_BUCKET_WAIT);
            }
            self.sweep_at = (2 * self.full_at.len()).clamp(BUCKETS / 16, BUCKETS);
        }
        let lacks = self.full_at.get(key).map_or(Duration::ZERO, |full_at| full_at.saturating_duration_since(now));
        let lacks = lacks + rate.interval;
        match lacks.checked_sub(rate.span) {
            None | Some(Duration::ZERO) => Ok(now + lacks),
            Some(wait) => Err(wait),
        }
    }

    fn put_back(&mut self, key: &K, rate: Rate) {
        if let Some(full_at) = self.full_at.get_mut(key)
            && let Some(earlier) = full_at.checked_sub(rate.interval)
        {
            *full_at = earlier;
        }
    }
}

/// Leave for one new device. Dropped unspent, it is given back.
#[derive(Debug)]
#[must_use = "what is dropped unspent is given back"]
pub struct Leave<'a> {
    from: &'a Registrations,
    access_id: AccessId,
    origin: Origin,
    spent: bool,
}

impl Leave<'_> {
    /// A device was added.
    pub fn spend(mut self) {
        self.spent = true;
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if self.spent {
            return;
        }
        let mut taken = lock(&self.from.taken);
        if let Some(rate) = self.from.of_app {
            taken.apps.put_back(&self.access_id, rate);
        }
        if let Some(rate) = self.from.from_address {
            taken.addresses.put_back(&(self.access_id, self.origin), rate);
        }
    }
}

impl Registrations {
    /// With the bounds of the settings; an app's own bucket holds what one second brings.
    #[must_use]
    pub fn new(settings: &config::Device) -> Self {
        let config::Device {
            registrations_per_second: of_app,
            registrations_per_second_per_address: from_address,
            registrations_burst_per_address: burst,
        } = *settings;
        Self {
            of_app: Rate::new(of_app, of_app),
            from_address: Rate::new(from_address, burst),
            taken: Mutex::default(),
        }
    }

    /// Leave for one new device of the app, asked for from this address.
    ///
    /// # Errors
    /// How long to wait.
    pub fn leave(&self, access_id: AccessId, address: IpAddr) -> Result<Leave<'_>, Duration> {
        self.leave_at(access_id, address, Instant::now())
    }

    fn leave_at(&self, access_id: AccessId, address: IpAddr, now: Instant) -> Result<Leave<'_>, Duration> {
        let origin = Origin::of(address);
        let mut taken = lock(&self.taken);
        let app = self.of_app.map(|rate| taken.apps.offer(&access_id, rate, now)).transpose()?;
        let key = (access_id, origin);
        let from = self.from_address.map(|rate| taken.addresses.offer(&key, rate, now)).transpose()?;
        // Only now that both have one.
        if let Some(full_at) = app {
            taken.apps.full_at.insert(access_id, full_at);
        }
        if let Some(full_at) = from {
            taken.addresses.full_at.insert(key, full_at);
        }
        Ok(Leave { from: self, access_id, origin, spent: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: AccessId = AccessId(1_500_000_001);
    const OTHER: AccessId = AccessId(1_500_000_002);

    fn bounds(of_app: u32, from_address: u32, burst: u32) -> Registrations {
        Registrations::new(&config::Device {
            registrations_per_second: of_app,
            registrations_per_second_per_address: from_address,
            registrations_burst_per_address: burst,
        })
    }

    fn address(n: u32) -> IpAddr {
        std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).into()
    }

    /// How many of `n` get leave and spend it.
    fn spent(of: &Registrations, app: AccessId, from: IpAddr, at: Instant, n: usize) -> usize {
        (0..n).filter(|_| of.leave_at(app, from, at).map(Leave::spend).is_ok()).count()
    }

    #[test]
    fn an_address_has_its_burst_and_then_its_rate_for_each_app() {
        let of = bounds(1000, 10, 5);
        let now = Instant::now();
        assert_eq!(spent(&of, APP, address(1), now, 8), 5);
        assert_eq!(of.leave_at(APP, address(1), now).unwrap_err(), Duration::from_millis(100));
        assert_eq!((spent(&of, APP, address(2), now, 8), spent(&of, OTHER, address(1), now, 8)), (5, 5));
        assert_eq!(spent(&of, APP, address(1), now + Duration::from_millis(250), 8), 2);
        assert_eq!(spent(&of, APP, address(1), now + Duration::from_secs(60), 8), 5, "no more than the burst gathers");
    }

    #[test]
    fn all_addresses_together_have_what_the_app_has() {
        let of = bounds(20, 10, 5);
        let now = Instant::now();
        let all: usize = (0..100).map(|n| spent(&of, APP, address(n), now, 5)).sum();
        assert_eq!((all, spent(&of, OTHER, address(1), now, 5)), (20, 5));
        assert_eq!(spent(&of, APP, address(500), now + Duration::from_millis(100), 5), 2);
    }

    #[test]
    fn what_added_no_device_is_given_back_and_zero_is_no_bound() {
        let of = bounds(2, 2, 2);
        let now = Instant::now();
        for _ in 0..10 {
            drop(of.leave_at(APP, address(1), now).unwrap());
        }
        assert_eq!(spent(&of, APP, address(1), now, 10), 2);
        assert_eq!(spent(&bounds(0, 0, 0), APP, address(1), now, 10_000), 10_000);
    }

    #[test]
    fn addresses_are_forgotten_once_full_and_never_more_than_the_bound_of_them_remembered() {
        let of = bounds(0, 1, 1);
        let now = Instant::now();
        let remembered = || lock(&of.taken).addresses.full_at.len();
        let all: usize = (0..BUCKETS as u32 + 500).map(|n| spent(&of, APP, address(n), now, 1)).sum();
        assert_eq!((all, remembered()), (BUCKETS, BUCKETS));
        assert_eq!(spent(&of, APP, address(80_000), now + Duration::from_secs(2), 1), 1);
        assert_eq!(remembered(), 1);
    }
}
