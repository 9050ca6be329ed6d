//! The tracker: which messages of one batch were acknowledged before the batch was put on record.
//!
//! A sender hands a batch to the [`Hub`](super::Hub), waits a little for acknowledgements, and records the batch in
//! one transaction: those as arrived, all others as waiting in inboxes. An acknowledgement must be told by exactly
//! one of two ways, that transaction or [`Desk::arrived`](super::Desk::arrived), and the second only after the first
//! is on its way. So both sides decide under the tracker's lock.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::lock;

/// Follows the messages of one batch. Made for one [`Hub::send`](super::Hub::send); indices are positions in its
/// `batch`.
#[derive(Debug)]
pub struct Tracker {
    /// `None` once closed.
    acked: Mutex<Option<AckSet>>,
    /// Tickets that are neither acknowledged nor dropped.
    pending: AtomicUsize,
    quiet: Notify,
}

impl Tracker {
    /// A tracker for a batch of `size` messages.
    #[must_use]
    pub fn new(size: usize) -> Arc<Self> {
        Arc::new(Self {
            acked: Mutex::new(Some(AckSet::new(size))),
            pending: AtomicUsize::new(0),
            quiet: Notify::new(),
        })
    }

    /// Waits until nothing more can be hoped for (every accepted message is acknowledged, or its session is gone),
    /// or until the deadline.
    pub async fn wait(&self, deadline: Instant) {
        let quiet = async {
            loop {
                let mut notified = std::pin::pin!(self.quiet.notified());
                // Registered before the count is read, so that the last ticket cannot slip between the two.
                notified.as_mut().enable();
                if self.pending.load(Ordering::Acquire) == 0 {
                    return;
                }
                notified.await;
            }
        };
        // At the deadline the acknowledgements so far are the answer: not an error.
        let _ = timeout_at(deadline, quiet).await;
    }

    /// Closes the tracker: `record` is given what was acknowledged and puts the batch's transaction on its way.
    /// Every later acknowledgement waits for `record` to return and then goes to
    /// [`Desk::arrived`](super::Desk::arrived). So `record` must not block; sessions wait for it. A tracker closed
    /// before has nothing acknowledged.
    ///
    /// A tracker that is never closed keeps its acknowledgements to itself; the batch must then be sent again.
    pub fn close_with<R>(&self, record: impl FnOnce(&AckSet) -> R) -> R {
        let mut acked = lock(&self.acked);
        let set = acked.take().unwrap_or_else(|| AckSet::new(0));
        record(&set)
    }

    /// A ticket for the message at `index` of the batch.
    #[must_use]
    pub fn ticket(self: &Arc<Self>, index: usize) -> Ticket {
        self.pending.fetch_add(1, Ordering::Relaxed);
        Ticket { tracker: Arc::clone(self), index }
    }
}

/// A session's promise to tell what became of one message: by [`Ticket::acknowledge`], or by dropping it, which says
/// that no acknowledgement will come.
#[derive(Debug)]
pub struct Ticket {
    tracker: Arc<Tracker>,
    index: usize,
}

impl Ticket {
    /// Marks the message acknowledged; `false` if the tracker is closed already, and then the batch's record is on
    /// its way and [`Desk::arrived`](super::Desk::arrived) has to be told. Never called with a session locked: the
    /// tracker's lock is held while the sender's closure runs.
    #[must_use]
    pub fn acknowledge(self) -> bool {
        match lock(&self.tracker.acked).as_mut() {
            Some(set) => {
                set.insert(self.index);
                true
            }
            None => false,
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // Takes no lock of ours: tickets are dropped with sessions locked.
        if self.tracker.pending.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.tracker.quiet.notify_waiters();
        }
    }
}

/// Which messages of a batch were acknowledged: positions in the batch.
#[derive(Debug, Clone)]
pub struct AckSet {
    size: usize,
    words: Vec<u64>,
}

impl AckSet {
    fn new(size: usize) -> Self {
        Self { size, words: vec![0; size.div_ceil(64)] }
    }

    fn insert(&mut self, index: usize) {
        if index < self.size {
            self.words[index / 64] |= 1 << (index % 64);
        }
    }

    /// Was the message at this position acknowledged?
    #[must_use]
    pub fn contains(&self, index: usize) -> bool {
        index < self.size && self.words[index / 64] & (1 << (index % 64)) != 0
    }

    /// How many were.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// None was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// The acknowledged positions, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        (0..self.size).filter(|index| self.contains(*index))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_ends_when_every_ticket_is_acknowledged_or_dropped() {
        let tracker = Tracker::new(130);
        let (first, last) = (tracker.ticket(0), tracker.ticket(129));
        let waiting = tokio::spawn({
            let tracker = Arc::clone(&tracker);
            async move {
                let begun = Instant::now();
                tracker.wait(begun + Duration::from_secs(5)).await;
                begun.elapsed()
            }
        });
        tokio::task::yield_now().await;
        assert!(last.acknowledge());
        drop(first);
        assert_eq!(waiting.await.unwrap(), Duration::ZERO);
        tracker.close_with(|set| {
            assert_eq!(set.iter().collect::<Vec<_>>(), [129]);
            assert_eq!((set.len(), set.contains(129), set.contains(0), set.contains(130)), (1, true, false, false));
        });
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_ends_at_the_deadline() {
        let tracker = Tracker::new(1);
        let ticket = tracker.ticket(0);
        let begun = Instant::now();
        tracker.wait(soon()).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(5));
        drop(ticket);
    }

    #[tokio::test]
    async fn an_acknowledgement_after_the_close_is_turned_away() {
        let tracker = Tracker::new(2);
        let (early, late) = (tracker.ticket(0), tracker.ticket(1));
        assert!(early.acknowledge());
        assert_eq!(tracker.close_with(AckSet::len), 1);
        assert!(!late.acknowledge());
        assert_eq!(tracker.close_with(AckSet::len), 0, "a second close has nothing left to tell");
        tracker.wait(soon()).await;
    }

    #[test]
    fn an_acknowledgement_waits_for_the_record_in_progress() {
        let tracker = Tracker::new(1);
        let ticket = tracker.ticket(0);
        let (begun, is_begun) = std::sync::mpsc::channel();
        let order = Arc::new(Mutex::new(Vec::new()));
        let other = std::thread::spawn({
            let order = Arc::clone(&order);
            move || {
                is_begun.recv().unwrap();
                assert!(!ticket.acknowledge());
                lock(&order).push("arrived");
            }
        });
        tracker.close_with(|_| {
            begun.send(()).unwrap();
            for _ in 0..1000 {
                std::thread::yield_now();
            }
            lock(&order).push("recorded");
        });
        other.join().unwrap();
        assert_eq!(*lock(&order), ["recorded", "arrived"]);
    }
}
