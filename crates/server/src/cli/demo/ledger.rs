//! The ledger: which message reached which device how often, noted by the devices themselves.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::lock::lock;

/// What the devices received.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    count: AtomicU64,
    /// By push, then by device: the ids of its messages. `None` once the story is told: from then on it only counts.
    notes: Mutex<Option<Notes>>,
}

type Notes = HashMap<String, HashMap<usize, Vec<String>>>;

/// How a push reached those it was for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reached {
    /// Devices that got the message once.
    pub(super) once: usize,
    /// Devices that did not get it.
    pub(super) missed: usize,
    /// Devices that got it more than once, or under an id that is another's as well.
    pub(super) repeated: usize,
    /// Devices that got it although it was not for them.
    pub(super) astray: usize,
}

impl Ledger {
    /// An empty ledger.
    pub(super) fn new() -> Self {
        Self { count: AtomicU64::new(0), notes: Mutex::new(Some(Notes::new())) }
    }

    /// A device received a message.
    pub(super) fn note(&self, device: usize, push_id: String, msg_id: String) {
        self.count.fetch_add(1, Ordering::Relaxed);
        if let Some(notes) = lock(&self.notes).as_mut() {
            notes.entry(push_id).or_default().entry(device).or_default().push(msg_id);
        }
    }

    /// Messages received so far.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// How many devices have received a push.
    pub(super) fn devices(&self, push_id: &str) -> usize {
        lock(&self.notes).as_ref().and_then(|notes| notes.get(push_id)).map_or(0, HashMap::len)
    }

    /// How a push reached the devices it was for.
    pub(super) fn reached(&self, push_id: &str, audience: &[usize]) -> Reached {
        let notes = lock(&self.notes);
        let none = HashMap::new();
        let received = notes.as_ref().and_then(|notes| notes.get(push_id)).unwrap_or(&none);
        let mut reached = Reached::default();
        let mut ids = HashSet::new();
        for device in audience {
            match received.get(device).map(Vec::as_slice) {
                Some([id]) if ids.insert(id) => reached.once += 1,
                Some([_, ..]) => reached.repeated += 1,
                _ => reached.missed += 1,
            }
        }
        let meant: HashSet<_> = audience.iter().collect();
        reached.astray = received.keys().filter(|device| !meant.contains(device)).count();
        reached
    }

    /// Forgets the notes: nobody asks any more.
    pub(super) fn close(&self) {
        *lock(&self.notes) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_is_missed_repeated_or_astray_shows() {
        let ledger = Ledger::new();
        for (device, id) in [(0, "7-0"), (1, "7-1"), (1, "7-1"), (2, "7-0"), (9, "7-9")] {
            ledger.note(device, "7".into(), id.into());
        }
        ledger.note(3, "8".into(), "8-3".into());
        assert_eq!(ledger.reached("7", &[0, 1, 2, 3]), Reached { once: 1, repeated: 2, missed: 1, astray: 1 });
        assert_eq!((ledger.count(), ledger.devices("7")), (6, 4));
        ledger.close();
        ledger.note(0, "7".into(), "7-0".into());
        assert_eq!((ledger.count(), ledger.devices("7")), (7, 0));
    }
}
