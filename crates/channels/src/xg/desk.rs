//! The desk: what the channel asks of the server. The server implements it over its store; tests fake it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use pigeonloft_model::{AccessId, DeviceId, PushId, ReceiptEvent, Token};

use super::codec::Secret;
use super::session::Ask;

/// Who asks to come in.
#[derive(Debug, Clone)]
pub struct Login {
    /// The client id: the device's name outside.
    pub token: Token,
    /// The user name: the app the device says it is of.
    pub app: AccessId,
    /// The password, as bytes; not necessarily UTF-8.
    pub password: Secret,
    /// Where the connection comes from.
    pub peer: SocketAddr,
}

/// Why a device is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No such device in that app, or not its password. (3.1.1: 4; 5: 0x86)
    #[error("no such device, or another password")]
    BadCredentials,
    /// The device is known and may not connect now. (3.1.1: 5; 5: 0x87)
    #[error("not allowed to connect")]
    NotAllowed,
    /// The server cannot tell now; the device may try again. (3.1.1: 3; 5: 0x88)
    #[error("the server cannot tell now")]
    Unavailable,
}

/// The server could not do it now, and knows nothing against the request itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server cannot do this now")]
pub struct Unavailable;

/// A message waiting in an inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The push it is of; within one device's inbox this names the message.
    pub push: PushId,
    /// The payload as it goes on the wire.
    pub payload: Bytes,
    /// When it is no longer to be sent, unix seconds.
    pub expires_at: i64,
}

/// What the channel asks of the server. Futures may be dropped before they end (the connection broke), except those
/// of [`Desk::receipt`], which are always driven to their end.
pub trait Desk: Send + Sync + 'static {
    /// Are the credentials right, and whose are they?
    fn admit(&self, login: Login) -> impl Future<Output = Result<DeviceId, Refused>> + Send;

    /// A session begins. Once this returns, all that an earlier session of the device reported through
    /// [`Desk::arrived`] and [`Desk::receipt`] is durable, so that [`Desk::waiting`] no longer lists it. It is called
    /// after the earlier session's last call, its [`Desk::closed`] included.
    fn opened(&self, device: DeviceId) -> impl Future<Output = ()> + Send;

    /// What waits for the device, without expired messages, and without what `ask` leaves out; in the order of pushes,
    /// older ones first. Fewer than its limit means: no more for now; then the session does not ask again before
    /// [`Hub::wake`](super::Hub::wake).
    fn waiting(&self, device: DeviceId, ask: Ask) -> impl Future<Output = Result<Vec<Outgoing>, Unavailable>> + Send;

    /// The device acknowledged a message that no open [`Tracker`](super::Tracker) took note of. Returns at once.
    /// When it is durable the server calls [`Hub::settled`](super::Hub::settled): until then the session leaves the
    /// push out of what it asks for, and holds a place in its memory for it.
    fn arrived(&self, device: DeviceId, push: PushId);

    /// The device reports what became of a message. One at a time for each session, which reads nothing more from
    /// its device meanwhile. `Ok` acknowledges the report to the device; `Err` ends the connection, so that the
    /// device reports again when it is back. May repeat an earlier report.
    fn receipt(
        &self,
        device: DeviceId,
        push: PushId,
        event: ReceiptEvent,
    ) -> impl Future<Output = Result<(), Unavailable>> + Send;

    /// The session that [`Desk::opened`] told of is over. Returns at once.
    fn closed(&self, device: DeviceId);

    /// Unix seconds, to tell whether a message is expired.
    fn now(&self) -> i64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |elapsed| i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX))
    }
}

impl<D: Desk> Desk for Arc<D> {
    fn admit(&self, login: Login) -> impl Future<Output = Result<DeviceId, Refused>> + Send {
        D::admit(self, login)
    }

    fn opened(&self, device: DeviceId) -> impl Future<Output = ()> + Send {
        D::opened(self, device)
    }

    fn waiting(&self, device: DeviceId, ask: Ask) -> impl Future<Output = Result<Vec<Outgoing>, Unavailable>> + Send {
        D::waiting(self, device, ask)
    }

    fn arrived(&self, device: DeviceId, push: PushId) {
        D::arrived(self, device, push);
    }

    fn receipt(
        &self,
        device: DeviceId,
        push: PushId,
        event: ReceiptEvent,
    ) -> impl Future<Output = Result<(), Unavailable>> + Send {
        D::receipt(self, device, push, event)
    }

    fn closed(&self, device: DeviceId) {
        D::closed(self, device);
    }

    fn now(&self) -> i64 {
        D::now(self)
    }
}
