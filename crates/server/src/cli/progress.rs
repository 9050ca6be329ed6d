//! Progress bars on standard error; where that is no terminal, nothing is drawn.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

fn bar(length: u64, template: &str, what: &'static str) -> ProgressBar {
    // The templates are constants of this file, so the fallback is never taken.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(length).with_style(style.progress_chars("=> ")).with_prefix(what);
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// A bar of bytes.
pub(super) fn of_bytes(length: u64, what: &'static str) -> ProgressBar {
    bar(
        length,
        "{prefix:>10} [{bar:40}] {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left",
        what,
    )
}

/// A bar of things to count.
pub(super) fn of_things(length: u64, what: &'static str) -> ProgressBar {
    bar(length, "{prefix:>10} [{bar:40}] {human_pos} of {human_len} {msg}", what)
}

/// A line that changes.
pub(super) fn line() -> ProgressBar {
    bar(0, "{msg}", "")
}
