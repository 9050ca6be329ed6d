//! Lane: a place for a connection. It is opened when somebody needs it, is kept for whoever comes next, and is closed after a
//! long time without a message. Whoever sends has a handle of it; when it breaks, the next who needs it opens another. A large
//! batch sends over it in its turn.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::{Instant, sleep_until};

use super::connection::{Endpoint, Line};

/// A place for a connection.
#[derive(Debug)]
pub(super) struct Lane {
    current: Arc<Mutex<Option<Current>>>,
    /// Of the batch that sends through it.
    turn: Semaphore,
}

impl Default for Lane {
    fn default() -> Self {
        Self { current: Arc::default(), turn: Semaphore::new(1) }
    }
}

#[derive(Debug)]
struct Current {
    connection: Arc<Opening>,
    /// When a handle of it was taken last.
    used: Instant,
}

/// A connection, as soon as it is open, or why it is not.
type Opening = watch::Receiver<Option<Result<Line, Arc<io::Error>>>>;

/// How long connections are kept and trusted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keeping {
    /// How long one is kept that carries nothing.
    pub(super) kept_for: Duration,
    /// How long after it was heard one is trusted to be there.
    pub(super) trusted_for: Duration,
    /// How long it may take to say so then.
    pub(super) pong_within: Duration,
}

/// A handle of a lane's connection.
pub(super) struct Handle {
    connection: Arc<Opening>,
    pub(super) line: Line,
}

impl Lane {
    /// Waits until those who asked before have no more to send. `None` if there are no turns any more, which is never.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turn.acquire().await.ok()
    }

    fn current(&self) -> MutexGuard<'_, Option<Current>> {
        lock(&self.current)
    }

    /// Whether there is a connection, as far as is known.
    pub(super) fn is_open(&self) -> bool {
        self.current().as_ref().is_some_and(|current| is_open(&current.connection) == Some(true))
    }

    /// The connection, opened if there is none, which goes on if the caller does not wait for it. Whoever asks meanwhile waits
    /// for the same. It is closed once no handle was taken of it for long, and asked whether it lives after a while of silence,
    /// so that no message is lost on it: another is opened if it does not say so.
    ///
    /// # Errors
    /// Why it cannot be opened, the same for all who waited.
    pub(super) async fn handle(&self, endpoint: &Endpoint, keeping: Keeping) -> Result<Handle, Arc<io::Error>> {
        let (connection, line) = self.opened(endpoint, keeping.kept_for).await?;
        if line.lives(keeping.trusted_for, keeping.pong_within).await {
            return Ok(Handle { connection, line });
        }
        close(&self.current, &connection);
        // That one was just heard.
        let (connection, line) = self.opened(endpoint, keeping.kept_for).await?;
        Ok(Handle { connection, line })
    }

    async fn opened(&self, endpoint: &Endpoint, kept_for: Duration) -> Result<(Arc<Opening>, Line), Arc<io::Error>> {
        let connection = self.connection(endpoint, kept_for);
        let opened = match Opening::clone(&connection).wait_for(Option::is_some).await {
            Ok(opened) => opened.clone(),
            // The program ends.
            Err(_) => None,
        };
        match opened.unwrap_or_else(|| Err(Arc::new(io::ErrorKind::Interrupted.into()))) {
            Ok(line) => Ok((connection, line)),
            Err(error) => {
                close(&self.current, &connection);
                Err(error)
            }
        }
    }

    fn connection(&self, endpoint: &Endpoint, kept_for: Duration) -> Arc<Opening> {
        let mut current = self.current();
        // One that ended while nobody used it would cost the next a try.
        if let Some(current) = current.as_mut()
            && is_open(&current.connection) != Some(false)
        {
            current.used = Instant::now();
            return current.connection.clone();
        }
        let (opened, connection) = watch::channel(None);
        let connection = Arc::new(connection);
        *current = Some(Current { connection: connection.clone(), used: Instant::now() });
        let (endpoint, lane) = (endpoint.clone(), Arc::downgrade(&self.current));
        let opening = Arc::downgrade(&connection);
        // In a task of its own: whoever opens and breaks off again and again is taken for an attacker.
        tokio::spawn(async move {
            opened.send_replace(Some(endpoint.open().await.map_err(Arc::new)));
            // It has a sender, too, which would keep open what nobody uses any more.
            drop(opened);
            close_when_idle(lane, opening, kept_for).await;
        });
        connection
    }

    /// The connection of this handle is of no use any more: the next handle is of another.
    pub(super) fn give_up(&self, handle: &Handle) {
        close(&self.current, &handle.connection);
    }
}

/// Whether a connection is open; `None`: it is not yet.
fn is_open(connection: &Opening) -> Option<bool> {
    let mut sender = match &*connection.borrow() {
        None => return None,
        Some(Err(_)) => return Some(false),
        Some(Ok(line)) => line.sender.clone(),
    };
    // Ready at once, but where it has ended.
    let ready = sender.poll_ready(&mut Context::from_waker(Waker::noop()));
    Some(!matches!(ready, Poll::Ready(Err(_))))
}

/// Takes a connection out of its lane, if it is still there. It ends with the last handle.
fn close(lane: &Mutex<Option<Current>>, connection: &Arc<Opening>) {
    lock(lane).take_if(|current| Arc::ptr_eq(&current.connection, connection));
}

/// Closes a connection of which no handle was taken for so long, or returns when it is no longer in its lane.
async fn close_when_idle(lane: Weak<Mutex<Option<Current>>>, connection: Weak<Opening>, kept_for: Duration) {
    loop {
        let idle_at = {
            let (Some(lane), Some(connection)) = (lane.upgrade(), connection.upgrade()) else { return };
            let mut current = lock(&lane);
            let is_it = |current: &&Current| Arc::ptr_eq(&current.connection, &connection);
            let Some(used) = current.as_ref().filter(is_it).map(|current| current.used) else { return };
            let idle_at = used + kept_for;
            if idle_at <= Instant::now() {
                *current = None;
                return;
            }
            idle_at
        };
        sleep_until(idle_at).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
