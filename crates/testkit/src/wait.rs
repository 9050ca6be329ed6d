//! Wait: until a state is reached, or a test has waited too long for it.

use std::time::{Duration, Instant};

/// How long a state may take that is normally reached at once: the machine may be busy with other tests.
pub const LONG: Duration = Duration::from_secs(60);

/// Between two looks. Short beside everything that is waited for, long beside what a look costs.
const LOOK: Duration = Duration::from_millis(10);

/// Waits until `look` sees what the test waits for, and answers that.
///
/// # Panics
/// It does not within [`LONG`].
pub fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    until_within(LONG, what, look)
}

/// As [`until`], with another deadline.
///
/// # Panics
/// It is not seen in time.
pub fn until_within<T>(deadline: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(begun.elapsed() < deadline, "not seen within {deadline:?}: {what}");
        std::thread::sleep(LOOK);
    }
}
