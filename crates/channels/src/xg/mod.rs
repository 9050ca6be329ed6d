//! `xg`, the own channel: devices that hold an MQTT connection to this server. (信鸽, xìn gē, is "carrier pigeon".)
//!
//! # On the wire
//! MQTT 3.1.1 and 5. A device connects with client id = its token, user = the app's AccessId, password = its own; it
//! subscribes to `push`, and is sent what waits for it, oldest first, then what comes, each as a PUBLISH of QoS 1 on
//! topic `push`. Its PUBACK is the receipt "arrived". It may PUBLISH `{"push_id": "…", "event": "shown"}` (or
//! `"clicked"`, `"cleared"`) on topic `receipt`. There is nothing else to subscribe or publish to.
//!
//! What differs from a broker, each permitted by the standard:
//! - No session outlives its connection: the inbox is the session. `session present` is always 0; after every
//!   connect a device subscribes again and gets what it has not acknowledged.
//! - Whatever QoS a subscription asks for, 1 is granted: without a PUBACK the server would not know what arrived.
//! - A last will is accepted and ignored; retained messages, wildcards and shared subscriptions are not available.
//! - A keep-alive of 0 is held to the server's maximum, and so is a longer one in MQTT 5, where the device is told.
//! - A second connection of a device ends the first.
//!
//! # In here
//! [`codec`] reads and writes packets; [`session`] is what one connected device has been sent and has answered, a
//! state machine without sockets; [`Hub`] knows who is connected and hands messages over; `connection` drives one
//! byte stream, be it TCP, TLS or WebSocket. [`Desk`] is what all of it asks of the server, and [`Tracker`] is how a
//! sender learns what was acknowledged.

pub mod codec;
mod connection;
mod desk;
mod hub;
mod limits;
mod receipt;
pub mod session;
mod tracker;

pub use codec::Secret;
pub use desk::{Desk, Login, Outgoing, Refused, Unavailable};
pub use hub::{Handed, Hub};
pub use limits::{Limits, Stats};
pub use pigeonloft_model::ReceiptEvent;
pub use session::Ask;
pub use tracker::{AckSet, Ticket, Tracker};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The topic messages are published on, and the only one a device may subscribe to.
pub const PUSH_TOPIC: &str = "push";

/// The topic receipts are published on, and the only one a device may publish to.
pub const RECEIPT_TOPIC: &str = "receipt";

/// Locks; a panic of another holder is not passed on, since no holder leaves a half-made change behind a call that
/// could panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
