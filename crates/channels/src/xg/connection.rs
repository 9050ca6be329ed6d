//! A connection: drives one byte stream from its first byte to its last.
//!
//! One task, one timer. Buffers exist while they hold something: an idle connection has neither an incoming nor an
//! outgoing one, and reads through the stack. Reading and writing go on side by side, so that a device that does not
//! read can still acknowledge; only when too much is unwritten is nothing more read.

mod attend;
mod line;

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};

pub(super) use self::line::Line;
use super::codec::{Codec, Connect, Fault, Packet};
use super::desk::{Desk, Refused};
use super::hub::{Hub, Presence};
use super::limits::count;
use super::session::{End, Refusal, Session, Terms, greet};

/// Why a connection ends before its session begins.
enum Turned {
    /// Refused, with a CONNACK.
    Away(Refusal),
    /// Without an answer.
    Off(End),
}

impl From<Refusal> for Turned {
    fn from(refusal: Refusal) -> Self {
        Self::Away(refusal)
    }
}

/// Serves one connection until it ends.
pub(super) async fn serve<D, S>(hub: &Hub<D>, line: &mut Line<S>, peer: SocketAddr)
where
    D: Desk,
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut codec = Codec::new(hub.limits.max_packet);
    // Boxed, as the farewells are: what is needed once is not part of every connection's memory.
    let (presence, terms) = match Box::pin(greeted(hub, line, &mut codec, peer)).await {
        Ok(greeted) => greeted,
        Err(Turned::Away(refusal)) => {
            count(&hub.stats.refused, 1);
            tracing::debug!(%peer, reason = ?refusal.reason, "refused");
            return Box::pin(line.farewell(refusal.connack(), hub.limits.farewell)).await;
        }
        Err(Turned::Off(end)) => {
            tally(hub, &end);
            tracing::debug!(%peer, %end, "ended before CONNECT");
            return;
        }
    };
    let device = presence.device;
    tracing::debug!(%peer, %device, version = ?terms.version, keep_alive = terms.keep_alive, "connected");
    // Borrowed by its run: a future keeps what it is given beside what it makes of it.
    let end = attend::Attendance::new(hub, &presence, line, &mut codec, terms.keep_alive).run().await;
    tally(hub, &end);
    tracing::debug!(%peer, %device, %end, "ended");
    let last_words = presence.leave(&end);
    if end != End::Lost && end != End::Stalled {
        Box::pin(line.farewell(last_words, hub.limits.farewell)).await;
    }
}

fn tally<D>(hub: &Hub<D>, end: &End) {
    match end {
        End::Fault(_) => count(&hub.stats.malformed, 1),
        End::Silent | End::Stalled => count(&hub.stats.timed_out, 1),
        End::TakenOver => count(&hub.stats.taken_over, 1),
        _ => {}
    }
}

/// From the first byte to a session that is open, and its CONNACK in the session's outgoing bytes.
async fn greeted<'a, D, S>(
    hub: &'a Hub<D>,
    line: &mut Line<S>,
    codec: &mut Codec,
    peer: SocketAddr,
) -> Result<(Presence<'a, D>, Terms), Turned>
where
    D: Desk,
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let deadline = Instant::now() + hub.limits.connect_timeout;
    let mut draining = hub.draining.subscribe();
    let connect = tokio::select! {
        connect = timeout_at(deadline, first_packet(line, codec)) => {
            connect.unwrap_or(Err(Turned::Off(End::Silent)))?
        }
        _ = draining.wait_for(|draining| *draining) => return Err(Turned::Off(End::Draining)),
    };
    let (login, terms) = greet(connect, peer, &hub.limits)?;
    let unavailable = Refusal::by_desk(terms.version, Refused::Unavailable);
    let deadline = Instant::now() + hub.limits.connect_timeout;
    let device = match timeout_at(deadline, hub.desk.admit(login)).await {
        Ok(Ok(device)) => device,
        Ok(Err(refused)) => return Err(Refusal::by_desk(terms.version, refused).into()),
        Err(_) => return Err(unavailable.into()),
    };
    let (mut presence, older) = hub.enter(device, Session::new(&terms, &hub.limits));
    let opened = async {
        if let Some(older) = older {
            // An error would mean that the older one is gone, which is what is waited for.
            let _ = older.await;
        }
        hub.desk.opened(device).await;
    };
    timeout_at(deadline, opened).await.map_err(|_| unavailable)?;
    presence.opened = true;
    super::lock(&presence.slot.inner).session.welcome(&terms);
    Ok((presence, terms))
}

async fn first_packet<S>(line: &mut Line<S>, codec: &mut Codec) -> Result<Connect, Turned>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match codec.decode(line.incoming()) {
            Ok(None) => {}
            Ok(Some((Packet::Connect(connect), length))) => {
                line.consume(length);
                return Ok(*connect);
            }
            Ok(Some(_)) => return Err(Turned::Off(End::Fault(Fault::Protocol("the first packet is not CONNECT")))),
            Err(Fault::Version(level)) => return Err(Refusal::of_version(level).into()),
            Err(fault) => return Err(Turned::Off(End::Fault(fault))),
        }
        match line.fill().await {
            Ok(0) | Err(_) => return Err(Turned::Off(End::Lost)),
            Ok(_) => {}
        }
    }
}
