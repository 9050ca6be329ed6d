//! The hub: which devices are connected, and the way to each one's session.
//!
//! A session sits in a slot, behind a lock that is held for the length of a memory copy and never across a wait. The
//! task of its connection owns the socket; everybody else (senders, the store's writer, a newer connection) reaches
//! the session through the slot and wakes the task. So handing a message to 10,000 sessions writes into 10,000
//! buffers and waits for nobody. Who needs a shard and a slot locks them in that order.

use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::Waker;

use pigeonloft_model::payload::Payload;
use pigeonloft_model::{DeviceId, PushId};
use rustc_hash::FxHashMap;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::connection::{self, Line};
use super::desk::Desk;
use super::limits::{Limits, Stats, count, discount};
use super::lock;
use super::session::{End, Live, Offer, Session};
use super::tracker::Tracker;

/// Slots are spread over this many maps, so that senders and connecting devices seldom meet at one lock.
const SHARDS: usize = 64;

/// What became of a live message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handed {
    /// Its session took it; the tracker tells how it goes on.
    Accepted,
    /// No session of the device is subscribed.
    Offline,
    /// The session takes nothing now: put the message into the inbox and call [`Hub::wake`].
    Busy,
}

/// The ids are this server's own: nobody can choose them to collide.
type Shard = FxHashMap<DeviceId, Arc<Slot>>;

/// Who is connected. One for the program; connections are given to [`Hub::serve`].
#[derive(Debug)]
pub struct Hub<D> {
    pub(super) desk: D,
    pub(super) limits: Limits,
    pub(super) stats: Stats,
    shards: Vec<Mutex<Shard>>,
    pub(super) draining: watch::Sender<bool>,
    /// Changes whenever a connection ends.
    ended: watch::Sender<()>,
}

/// One device's session, and how its connection's task is reached.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) inner: Mutex<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) session: Session,
    /// The task, while it waits.
    waker: Option<Waker>,
    /// Somebody wants the connection to end.
    pub(super) called: Option<End>,
    /// Everything the session had to report is reported.
    gone: bool,
    /// The newer connection that waits for that.
    successor: Option<oneshot::Sender<()>>,
}

impl Inner {
    /// The task waits: wake it with this.
    pub(super) fn park(&mut self, waker: &Waker) {
        match &mut self.waker {
            Some(parked) => parked.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    fn unpark(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    fn unpark_to_ask(&self) {
        if self.session.wants_to_ask() {
            self.unpark();
        }
    }

    fn call(&mut self, end: End) {
        self.called.get_or_insert(end);
        self.unpark();
    }
}

impl<D: Desk> Hub<D> {
    /// A hub without connections.
    #[must_use]
    pub fn new(desk: D, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            desk,
            limits,
            stats: Stats::default(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            draining: watch::Sender::new(false),
            ended: watch::Sender::new(()),
        })
    }

    /// The desk it was made with.
    pub fn desk(&self) -> &D {
        &self.desk
    }

    /// What all connections did.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Would [`Hub::send`] reach the device: is a session of it open and subscribed?
    pub fn is_online(&self, device: DeviceId) -> bool {
        self.with(device, |inner| inner.session.is_subscribed()).unwrap_or(false)
    }

    /// How many sessions are open.
    pub fn connected(&self) -> usize {
        usize::try_from(self.stats.connected.load(Ordering::Relaxed)).unwrap_or(usize::MAX)
    }

    /// Hands the message of a push to the sessions of a batch of devices; the answers stand in the order of the batch.
    /// `expires_at`: unix seconds. Writes into memory only: it neither blocks nor waits. A device without a session
    /// costs a look-up.
    ///
    /// `tracker` must have been made for this batch. Whatever it reports acknowledged the sender records as arrived,
    /// then calls [`Hub::settled`]; everything else it puts into inboxes, then calls [`Hub::wake`].
    pub fn send(
        &self,
        payload: &Payload,
        devices: &[DeviceId],
        expires_at: i64,
        tracker: &Arc<Tracker>,
    ) -> Vec<Handed> {
        let now = self.desk.now();
        let push = payload.push();
        let mut published = 0;
        let hand = |(index, device): (usize, &DeviceId)| {
            let offer = self.with(*device, |inner| {
                let tail = payload.tail(*device);
                let message = Live { push, payload: [&payload.head(*device), tail.as_bytes()], expires_at };
                let offer = inner.session.offer(&message, now, || tracker.ticket(index));
                if let Offer::Sent = offer {
                    inner.unpark();
                }
                offer
            });
            match offer {
                Some(Offer::Sent) => {
                    published += 1;
                    Handed::Accepted
                }
                Some(Offer::Known(ticket)) => {
                    if !ticket.acknowledge() {
                        self.desk.arrived(*device, push);
                    }
                    Handed::Accepted
                }
                Some(Offer::Offline) | None => Handed::Offline,
                Some(Offer::Busy) => Handed::Busy,
            }
        };
        let handed = devices.iter().enumerate().map(hand).collect();
        count(&self.stats.published, published);
        handed
    }

    /// The messages of a push were put into these inboxes, durably: the sessions look again. A session that has the
    /// message in flight would find nothing new, and is left alone.
    pub fn wake(&self, push: PushId, devices: &[DeviceId]) {
        for device in devices {
            self.with(*device, |inner| {
                if !inner.session.knows(push) {
                    inner.session.wake(push);
                    inner.unpark_to_ask();
                }
            });
        }
    }

    /// The acknowledgement of a message is durable, the inbox lists it no longer: its session may forget it. To be
    /// called for every acknowledgement a tracker or [`Desk::arrived`] told of; a session that waits for too many of
    /// them sends nothing.
    pub fn settled(&self, device: DeviceId, push: PushId) {
        self.with(device, |inner| {
            inner.session.settled(push);
            inner.unpark_to_ask();
        });
    }

    /// Ends the session of a device that was deleted. Returns at once.
    pub fn disconnect(&self, device: DeviceId) {
        self.with(device, |inner| inner.call(End::Removed));
    }

    /// Serves one connection until it ends, however long that takes. `stream` carries MQTT and nothing else: TLS and
    /// WebSocket are unwrapped before. `guard` is dropped when the connection is over. Dropping the future ends the
    /// session without a farewell.
    ///
    /// Best given to `tokio::spawn` as it is: a future that awaits it holds its stream a second time, and so does an
    /// `async fn`, which keeps its arguments beside what they became.
    pub fn serve<S, G>(self: Arc<Self>, stream: S, peer: SocketAddr, guard: G) -> impl Future<Output = ()> + Send
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
        G: Send,
    {
        let mut line = Line::new(stream);
        async move {
            let _open = OpenConnection::new(&self);
            connection::serve(&self, &mut line, peer).await;
            drop(guard);
        }
    }

    /// Ends all connections and takes no new ones: the server stops. Waits until they are gone, at most
    /// [`Limits::drain_timeout`].
    pub async fn drain(&self) {
        let mut ended = self.ended.subscribe();
        self.draining.send_replace(true);
        for shard in &self.shards {
            let slots: Vec<_> = lock(shard).values().cloned().collect();
            for slot in slots {
                lock(&slot.inner).call(End::Draining);
            }
        }
        let none_left = ended.wait_for(|()| self.stats.connections.load(Ordering::Acquire) == 0);
        if timeout(self.limits.drain_timeout, none_left).await.is_err() {
            let left = self.stats.connections.load(Ordering::Relaxed);
            tracing::warn!(connections = left, "connections did not end in time");
        }
    }

    fn shard(&self, device: DeviceId) -> &Mutex<Shard> {
        // Ids are issued one after another, so that their last digits are spread evenly.
        &self.shards[device.0.rem_euclid(SHARDS as i64) as usize]
    }

    /// Does something with the device's session, if it has one: briefly, for its shard is locked meanwhile, too.
    fn with<T>(&self, device: DeviceId, work: impl FnOnce(&mut Inner) -> T) -> Option<T> {
        let shard = lock(self.shard(device));
        let slot = shard.get(&device)?;
        let mut inner = lock(&slot.inner);
        Some(work(&mut inner))
    }

    /// Puts a session into the place of its device, and calls an older one off. The receiver, if any, resolves when
    /// the older one has reported everything.
    pub(super) fn enter(&self, device: DeviceId, session: Session) -> (Presence<'_, D>, Option<oneshot::Receiver<()>>) {
        let slot = Arc::new(Slot {
            inner: Mutex::new(Inner { session, waker: None, called: None, gone: false, successor: None }),
        });
        let older = lock(self.shard(device)).insert(device, Arc::clone(&slot));
        let wait = older.and_then(|older| {
            let mut inner = lock(&older.inner);
            if inner.gone {
                return None;
            }
            let (sender, receiver) = oneshot::channel();
            inner.successor = Some(sender);
            inner.call(End::TakenOver);
            Some(receiver)
        });
        if *self.draining.borrow() {
            // Looked up after the slot was put in: `drain` raises the flag before it looks for slots.
            lock(&slot.inner).call(End::Draining);
        }
        count(&self.stats.connected, 1);
        (Presence { hub: self, device, slot, opened: false }, wait)
    }
}

/// A session's being in the hub; dropping it takes the session out, in the order that lets a newer one go on where it
/// stopped: no more messages, unanswered ones given up, the desk told, the newer one called.
pub(super) struct Presence<'a, D: Desk> {
    hub: &'a Hub<D>,
    pub(super) device: DeviceId,
    pub(super) slot: Arc<Slot>,
    /// The desk was told of the session.
    pub(super) opened: bool,
}

impl<D: Desk> Presence<'_, D> {
    /// Ends the session; returns the bytes it still had for its device, last words included.
    pub(super) fn leave(self, end: &End) -> Vec<u8> {
        let mut inner = lock(&self.slot.inner);
        inner.session.end(end);
        inner.session.take_out()
    }
}

impl<D: Desk> Drop for Presence<'_, D> {
    fn drop(&mut self) {
        let hub = self.hub;
        {
            let mut inner = lock(&self.slot.inner);
            inner.session.end(&End::Lost);
        }
        if self.opened {
            hub.desk.closed(self.device);
        }
        if let Entry::Occupied(entry) = lock(hub.shard(self.device)).entry(self.device)
            && Arc::ptr_eq(entry.get(), &self.slot)
        {
            entry.remove();
        }
        discount(&hub.stats.connected);
        let mut inner = lock(&self.slot.inner);
        inner.gone = true;
        if let Some(successor) = inner.successor.take() {
            // It may have given up waiting.
            let _ = successor.send(());
        }
    }
}

/// Counts a connection while it is open.
struct OpenConnection<'a, D: Desk>(&'a Hub<D>);

impl<'a, D: Desk> OpenConnection<'a, D> {
    fn new(hub: &'a Hub<D>) -> Self {
        count(&hub.stats.connections, 1);
        Self(hub)
    }
}

impl<D: Desk> Drop for OpenConnection<'_, D> {
    fn drop(&mut self) {
        discount(&self.0.stats.connections);
        self.0.ended.send_replace(());
    }
}
