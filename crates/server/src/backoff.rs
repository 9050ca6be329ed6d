//! Backoff: how long to wait between two tries of what fails for a while and will not be given up.

use std::time::Duration;

/// Waits that double from the first to the longest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    /// Between two tries to write what the database cannot take now, such as while the disk is full.
    pub(crate) const DATABASE: Self = Self::new(Duration::from_millis(50), Duration::from_secs(5));

    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// How long to wait now, after one more failure.
    pub(crate) fn wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = wait.saturating_mul(2).min(self.longest);
        wait
    }

    /// As [`wait`](Self::wait), but half of it up to all of it: those who wait do not come back all at once. `dice`: from 0 to 1.
    pub(crate) fn jittered(&mut self, dice: f64) -> Duration {
        self.wait().mul_f64(dice.mul_add(0.5, 0.5))
    }

    /// It went well: the next failure is another matter.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_begin_again_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(300));
        let mut waits = |n: usize| (0..n).map(|_| backoff.wait().as_millis()).collect::<Vec<_>>();
        assert_eq!(waits(5), [50, 100, 200, 300, 300]);
        backoff.reset();
        assert_eq!(backoff.wait().as_millis(), 50);
    }
}
