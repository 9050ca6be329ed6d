//! Budget: how many messages may be sent once more to a service that answered that it does not take them now. One that fails half
//! of everything would be asked twice as often else, and be the slower to recover for it.
//!
//! Each first try puts a share in, and each repeat takes one out. Where nothing is in it, a message is answered at once. A repeat of
//! what the service has not looked at (a refused stream, what a GOAWAY leaves out, no connection) costs nothing.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What a first try puts in: in the long run a service is asked a fifth more often than there are messages.
const SHARE: f64 = 0.2;

/// What comes in by itself each second, so that an app that sends little is not without repeats for long.
const PER_SECOND: f64 = 1.0;

/// The most that is in it, and what is at first: a batch or so that is refused as a whole is sent again as a whole.
const FULL: f64 = 2_000.0;

/// A wait before a repeat, between half and all of this: those who wait do not come back all at once. `dice`: from 0 to 1.
pub(crate) fn jittered(wait: Duration, dice: f64) -> Duration {
    wait.mul_f64(dice.mul_add(0.5, 0.5))
}

/// The repeats that are left.
#[derive(Debug)]
pub(crate) struct Budget(Mutex<Bucket>);

#[derive(Debug)]
struct Bucket {
    level: f64,
    /// When it was so.
    at: Instant,
}

impl Budget {
    pub(crate) fn new(now: Instant) -> Self {
        Self(Mutex::new(Bucket { level: FULL, at: now }))
    }

    /// So many messages are tried for the first time.
    pub(crate) fn tries(&self, messages: usize, now: Instant) {
        self.change(now, |level| *level = (SHARE.mul_add(messages as f64, *level)).min(FULL));
    }

    /// Pays for a repeat; `false`: there is nothing to pay with.
    pub(crate) fn repeats(&self, now: Instant) -> bool {
        self.change(now, |level| {
            let pays = *level >= 1.0;
            *level -= f64::from(u8::from(pays));
            pays
        })
    }

    fn change<T>(&self, now: Instant, change: impl FnOnce(&mut f64) -> T) -> T {
        let mut bucket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let came_in = PER_SECOND * now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.level = (bucket.level + came_in).min(FULL);
        bucket.at = bucket.at.max(now);
        change(&mut bucket.level)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn all(budget: &Budget, now: Instant) -> usize {
        (0..10_000).filter(|_| budget.repeats(now)).count()
    }

    #[test]
    fn what_fails_half_of_the_time_is_asked_a_fifth_more_often_and_no_more() {
        let now = Instant::now();
        let budget = Budget::new(now);
        let (mut first, mut asked) = (0, 0);
        for _ in 0..100_000_usize {
            budget.tries(1, now);
            first += 1;
            asked += 1;
            // Every second try fails.
            while asked % 2 == 0 && budget.repeats(now) {
                asked += 1;
            }
        }
        let more = asked - first;
        assert!(more <= first / 5 + FULL as usize && more > first / 10, "{more} of {first}");
    }

    #[test]
    fn a_batch_is_repeated_as_a_whole_and_later_ones_by_what_came_in() {
        let now = Instant::now();
        let budget = Budget::new(now);
        assert_eq!(all(&budget, now), FULL as usize);
        budget.tries(100, now);
        assert_eq!(all(&budget, now), 20);
        let later = now + Duration::from_secs(30);
        assert_eq!(all(&budget, later), 30);
        assert_eq!(all(&budget, now), 0, "a moment before brings nothing in");
        budget.tries(1_000_000, later);
        assert_eq!(all(&budget, later + Duration::from_secs(3_600)), FULL as usize, "no more than it holds");
    }
}
