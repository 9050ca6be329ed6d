//! Locking: for maps and counters that no holder ever leaves half changed.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks; a panic of another holder is not passed on.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
