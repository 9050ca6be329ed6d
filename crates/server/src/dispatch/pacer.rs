//! Pacer: when the next devices of a push with a `push_speed` have their turn.
//!
//! They go in slices, spread over the second. The next slice is due as much later than the one before as the devices of
//! that one take at the speed, so no error adds up. A slice that goes late is made up for only as far as the clock of
//! the system is coarse: what a slow disk held up is not caught up with, or the speed would be exceeded after it.

use std::time::Duration;

/// How far apart slices are.
const SLICE: Duration = Duration::from_millis(40);

/// By how much later than due a slice may go without putting off those after it: 1 % of ten seconds.
const MADE_UP: Duration = Duration::from_millis(100);

/// The pace of one run of a push. Times are counted from its begin.
#[derive(Debug)]
pub(super) struct Pacer {
    /// Devices a second; `None`: as fast as possible.
    speed: Option<u32>,
    /// When the next slice is due.
    due: Duration,
}

impl Pacer {
    /// So many devices a second; `None`: as fast as possible.
    pub(super) fn new(speed: Option<u32>) -> Self {
        Self { speed, due: Duration::ZERO }
    }

    /// Devices of a slice, where batches have at most `most`.
    pub(super) fn slice(&self, most: usize) -> usize {
        let Some(speed) = self.speed else { return most };
        let devices = u128::from(speed) * SLICE.as_millis() / 1000;
        usize::try_from(devices).unwrap_or(most).clamp(1, most)
    }

    /// Until when the next slice has to wait; `None`: it may go.
    pub(super) fn wait(&self, now: Duration) -> Option<Duration> {
        (self.due > now).then_some(self.due)
    }

    /// A slice of so many devices goes now.
    pub(super) fn goes(&mut self, now: Duration, devices: usize) {
        let Some(speed) = self.speed else { return };
        let takes = Duration::from_secs(1).mul_f64(devices as f64 / f64::from(speed));
        self.due = self.due.max(now.saturating_sub(MADE_UP)) + takes;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sends for so long, each slice so many microseconds later than it could go; answers when how many devices went.
    fn sent(speed: u32, late: &[u64], most: usize, seconds: u64) -> Vec<(Duration, usize)> {
        let mut pacer = Pacer::new(Some(speed));
        let (mut now, mut sent) = (Duration::ZERO, Vec::new());
        let mut late = late.iter().cycle();
        while now < Duration::from_secs(seconds) {
            now = pacer.wait(now).unwrap_or(now) + Duration::from_micros(late.next().copied().unwrap_or(0));
            let devices = pacer.slice(most);
            pacer.goes(now, devices);
            sent.push((now, devices));
        }
        sent
    }

    fn within(sent: &[(Duration, usize)], from: Duration, length: Duration) -> f64 {
        let inside = sent.iter().filter(|(at, _)| (from..from + length).contains(at));
        inside.map(|(_, devices)| *devices as f64).sum()
    }

    const TEN: Duration = Duration::from_secs(10);

    proptest! {
        #[test]
        fn ten_seconds_have_the_devices_of_the_speed_to_five_percent_wherever_they_begin(
            speed in 1_000_u32..=50_000,
            late in proptest::collection::vec(0_u64..20_000, 1..20),
            from in 0_u64..5_000,
        ) {
            let sent = sent(speed, &late, 2_000, 16);
            let share = within(&sent, Duration::from_millis(from), TEN) / (f64::from(speed) * 10.0);
            prop_assert!((0.95..=1.05).contains(&share), "{share}");
        }

        #[test]
        fn what_was_held_up_is_not_caught_up_with_beyond_five_percent(
            speed in 1_000_u32..=50_000,
            stall in 0_u64..8_000_000,
            from in 0_u64..10_000,
        ) {
            // Every two hundredth slice goes so much later.
            let mut late = vec![1_000; 200];
            late[100] = stall;
            let sent = sent(speed, &late, 2_000, 25);
            let share = within(&sent, Duration::from_millis(from), TEN) / (f64::from(speed) * 10.0);
            prop_assert!(share <= 1.05, "{share}");
        }

        #[test]
        fn the_devices_of_a_second_are_spread_over_it(speed in 1_000_u32..=50_000, most in 1_usize..5_000) {
            let sent = sent(speed, &[0], most, 2);
            for pair in sent.windows(2) {
                prop_assert!(pair[1].0 - pair[0].0 <= Duration::from_millis(50), "{pair:?}");
            }
            prop_assert!(sent.iter().all(|(_, devices)| *devices <= most));
        }
    }

    #[test]
    fn a_push_without_a_speed_never_waits() {
        let mut pacer = Pacer::new(None);
        pacer.goes(Duration::ZERO, 1_000_000);
        assert_eq!((pacer.wait(Duration::ZERO), pacer.slice(2_000)), (None, 2_000));
    }
}
