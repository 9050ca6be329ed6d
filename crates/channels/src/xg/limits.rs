//! What one connection may cost, and the counters of what all of them did.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What one connection may cost. Every field may be set by the server's configuration.
#[derive(Debug, Clone)]
pub struct Limits {
    /// From the first byte to a complete CONNECT; the same again for the server to decide on it. Default 10 s.
    pub connect_timeout: Duration,
    /// Largest packet a device may send, bytes, header included; larger ones end the connection. Default 4,096.
    pub max_packet: usize,
    /// Longest keep-alive, seconds, not 0; a device that asks for none is held to this, and so is one that asks for a
    /// longer one in MQTT 5 (3.1.1 could not tell it). A device silent for one and a half times its keep-alive is
    /// disconnected. Default 3,600.
    pub max_keep_alive: u16,
    /// Most messages a session has sent and not been acknowledged, not 0; a device may ask for less. Default 32.
    pub window: u16,
    /// Most messages a session has been acknowledged and the server has not yet settled; beyond it the session waits
    /// for the server. Not 0. Default 256.
    pub max_unsettled: usize,
    /// Most bytes a session holds for a device that does not read; one message may exceed it. Default 65,536.
    pub max_unwritten: usize,
    /// How long a device may read nothing while there is something to read. Default 30 s.
    pub write_stall: Duration,
    /// How long a session waits before it looks into its inbox again, when the server could not tell. Default 2 s.
    pub look_again: Duration,
    /// How long a connection is given for its last words. Default 1 s.
    pub farewell: Duration,
    /// How long [`Hub::drain`](super::Hub::drain) waits for connections to end. Default 5 s.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            max_packet: 4096,
            max_keep_alive: 3600,
            window: 32,
            max_unsettled: 256,
            max_unwritten: 65_536,
            write_stall: Duration::from_secs(30),
            look_again: Duration::from_secs(2),
            farewell: Duration::from_secs(1),
            drain_timeout: Duration::from_secs(5),
        }
    }
}

/// What all connections did since the program began. Each only grows, except `connections` and `connected`.
#[derive(Debug, Default)]
pub struct Stats {
    /// Connections open now, logged in or not.
    pub connections: AtomicU64,
    /// Sessions open now.
    pub connected: AtomicU64,
    /// Messages written to sessions, live and from inboxes.
    pub published: AtomicU64,
    /// Messages acknowledged.
    pub acknowledged: AtomicU64,
    /// Receipts taken.
    pub receipts: AtomicU64,
    /// CONNECTs refused.
    pub refused: AtomicU64,
    /// Connections ended because of what they sent.
    pub malformed: AtomicU64,
    /// Sessions ended by a newer one of the same device.
    pub taken_over: AtomicU64,
    /// Connections ended because their device was silent, did not read, or did not say CONNECT in time.
    pub timed_out: AtomicU64,
}

pub(super) fn count(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

pub(super) fn discount(counter: &AtomicU64) {
    counter.fetch_sub(1, Ordering::Relaxed);
}
