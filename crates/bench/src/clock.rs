//! Clock: moments that other processes can compare, and the processor time this one took.

use rustix::time::{ClockId, clock_gettime};

/// Seconds on the system's monotonic clock.
pub(crate) fn now() -> f64 {
    seconds(ClockId::Monotonic)
}

/// Seconds of processor time this process took so far, all threads together.
pub(crate) fn processor_time() -> f64 {
    seconds(ClockId::ProcessCPUTime)
}

fn seconds(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
