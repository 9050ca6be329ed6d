//! A session: what one connected device has been sent and has answered, from CONNACK to the end of its connection.
//!
//! Without sockets, clock or waiting: packets and what the hub hands over go in, bytes and requests come out. A
//! message is in exactly one of four places: *in flight* (sent, not acknowledged), *held back* (acknowledged and not
//! yet settled by the server), *passed over* (not for this device in this session), or not known here. Only what is not known is
//! sent, so a message goes out once for each session.
//!
//! While a session is *behind* (it has not read its inbox to the end), live messages are turned away; they find their
//! way into the inbox, and so everything leaves it in order.

mod end;
mod greeting;
mod packets;
mod passed;

use mqtt_proto::Pid;
use pigeonloft_model::PushId;
use smallvec::SmallVec;

use super::codec::{self, Version};
use super::desk::Outgoing;
use super::limits::Limits;
use super::tracker::Ticket;

pub use end::End;
pub use greeting::{Refusal, Terms, greet};
pub use packets::{Acknowledged, Step};
use passed::Passed;

/// What one connected device has been sent and has answered.
#[derive(Debug)]
pub struct Session {
    version: Version,
    window: usize,
    max_packet: usize,
    max_held: usize,
    max_unwritten: usize,
    subscribed: bool,
    next_id: Pid,
    /// One is nearly always all there is.
    in_flight: SmallVec<[InFlight; 1]>,
    held: SmallVec<[PushId; 1]>,
    passed: Passed,
    /// There may be something in the inbox that was not asked for yet.
    look: bool,
    /// The inbox is being read, and this many messages may come of it.
    looking: Option<usize>,
    out: Vec<u8>,
    /// Bytes taken with [`Session::take_out`] and not yet written.
    unwritten: usize,
}

#[derive(Debug)]
struct InFlight {
    id: Pid,
    push: PushId,
    /// Of a live message, whose sender may still be waiting.
    ticket: Option<Ticket>,
}

/// A message to be sent now.
#[derive(Debug, Clone, Copy)]
pub struct Live<'a> {
    /// The push it is of.
    pub push: PushId,
    /// The payload: both pieces, one after the other.
    pub payload: [&'a [u8]; 2],
    /// When it is no longer to be sent, unix seconds.
    pub expires_at: i64,
}

impl Outgoing {
    /// The same, to be sent now.
    #[must_use]
    pub fn live(&self) -> Live<'_> {
        Live { push: self.push, payload: [&self.payload, &[]], expires_at: self.expires_at }
    }
}

/// What became of a live message at the session.
#[derive(Debug)]
pub enum Offer {
    /// It is on its way.
    Sent,
    /// It was acknowledged before: the ticket is to be acknowledged.
    Known(Ticket),
    /// The device is not subscribed.
    Offline,
    /// The session is full, or behind its inbox.
    Busy,
}

/// A request for what waits in the inbox, to be answered in the order of pushes.
#[derive(Debug, PartialEq, Eq)]
pub struct Ask {
    /// Only pushes after this one.
    pub after: PushId,
    /// Pushes to leave out.
    pub except: Vec<PushId>,
    /// The most to answer, at least 1.
    pub limit: usize,
}

impl Session {
    /// A session on the terms agreed on.
    #[must_use]
    pub fn new(terms: &Terms, limits: &Limits) -> Self {
        Self {
            version: terms.version,
            window: terms.window,
            max_packet: terms.max_packet,
            max_held: limits.max_unsettled,
            max_unwritten: limits.max_unwritten,
            subscribed: false,
            next_id: Pid::default(),
            in_flight: SmallVec::new(),
            held: SmallVec::new(),
            passed: Passed::new(),
            look: false,
            looking: None,
            out: Vec::new(),
            unwritten: 0,
        }
    }

    /// Is the device subscribed to its messages?
    #[must_use]
    pub fn is_subscribed(&self) -> bool {
        self.subscribed
    }

    /// Pushes sent and not acknowledged, in the order sent.
    pub fn in_flight(&self) -> impl ExactSizeIterator<Item = PushId> {
        self.in_flight.iter().map(|flight| flight.push)
    }

    /// Bytes for the device. They count as unwritten until [`Session::written`] says otherwise.
    pub fn take_out(&mut self) -> Vec<u8> {
        self.unwritten += self.out.len();
        std::mem::take(&mut self.out)
    }

    /// Everything taken with [`Session::take_out`] is written.
    pub fn written(&mut self) {
        self.unwritten = 0;
    }

    /// Is something there for [`Session::take_out`]?
    #[must_use]
    pub fn has_out(&self) -> bool {
        !self.out.is_empty()
    }

    /// The device does not read what it is sent: nothing more is read from it, or sent to it, until it does.
    #[must_use]
    pub fn is_congested(&self) -> bool {
        self.out.len() + self.unwritten >= self.max_unwritten
    }

    /// Appends CONNACK.
    pub fn welcome(&mut self, terms: &Terms) {
        codec::connack(&mut self.out, self.version, Ok(terms.connack));
    }

    /// A live message. `ticket` is called only if the session takes the message.
    pub fn offer(&mut self, message: &Live<'_>, now: i64, ticket: impl FnOnce() -> Ticket) -> Offer {
        if self.held.contains(&message.push) {
            return Offer::Known(ticket());
        }
        if self.passed.contains(message.push) {
            return Offer::Busy;
        }
        if let Some(flight) = self.in_flight.iter_mut().find(|flight| flight.push == message.push) {
            // Sent again by a sender that lost track of the first time: it learns of the one acknowledgement.
            flight.ticket = Some(ticket());
            return Offer::Sent;
        }
        if !self.subscribed {
            return Offer::Offline;
        }
        if self.is_behind() || self.room() == 0 || message.expires_at <= now {
            return Offer::Busy;
        }
        match self.send(message, now) {
            Ok(id) => {
                self.in_flight.push(InFlight { id, push: message.push, ticket: Some(ticket()) });
                Offer::Sent
            }
            Err(_) => Offer::Busy,
        }
    }

    fn send(&mut self, message: &Live<'_>, now: i64) -> Result<Pid, codec::TooLargeForDevice> {
        let Live { push, payload, expires_at } = *message;
        let expires_in = u32::try_from(expires_at.saturating_sub(now)).unwrap_or(u32::MAX);
        let id = self.free_id();
        codec::publish(&mut self.out, self.version, id, payload, expires_in, self.max_packet).inspect_err(|error| {
            tracing::warn!(%push, size = error.size, limit = self.max_packet, "larger than the device takes; not sent");
        })?;
        self.next_id = id + 1;
        Ok(id)
    }

    /// The next packet identifier no message in flight has; there are 65,535, and fewer messages in flight.
    fn free_id(&self) -> Pid {
        let mut id = self.next_id;
        while self.in_flight.iter().any(|flight| flight.id == id) {
            id += 1;
        }
        id
    }

    /// How many messages may be sent now.
    fn room(&self) -> usize {
        if self.is_congested() {
            return 0;
        }
        let in_flight = self.in_flight.len();
        // What is in flight will be held back when it is acknowledged: it has its place already.
        self.window.saturating_sub(in_flight).min(self.max_held.saturating_sub(self.held.len() + in_flight))
    }

    fn is_behind(&self) -> bool {
        self.look || self.looking.is_some()
    }

    /// The message of this push was put into the inbox.
    pub fn wake(&mut self, push: PushId) {
        self.look = true;
        self.passed.deposited(push);
    }

    /// The server made an acknowledgement durable: the inbox no longer lists the message, so it is forgotten here.
    pub fn settled(&mut self, push: PushId) {
        self.held.retain(|held| *held != push);
        if self.held.is_empty() {
            self.held = SmallVec::new();
        }
    }

    /// Would [`Session::ask`] ask? For half a window at a time, lest a busy device asks for every single message.
    #[must_use]
    pub fn wants_to_ask(&self) -> bool {
        let room = self.room();
        self.subscribed
            && self.look
            && self.looking.is_none()
            && room > 0
            && (room >= self.window / 2 || self.in_flight.is_empty())
    }

    /// The request to put to the desk now, if any. It is answered by [`Session::answered`].
    pub fn ask(&mut self) -> Option<Ask> {
        if !self.wants_to_ask() {
            return None;
        }
        let limit = self.room();
        let except = self.in_flight().chain(self.held.iter().copied()).chain(self.passed.iter()).collect();
        self.look = false;
        self.looking = Some(limit);
        self.passed.asked();
        Some(Ask { after: self.passed.mark(), except, limit })
    }

    /// The desk's answer to [`Session::ask`]; `None` if it could not tell. Returns how many messages were sent.
    pub fn answered(&mut self, waiting: Option<Vec<Outgoing>>, now: i64) -> usize {
        let Some(limit) = self.looking.take() else { return 0 };
        let Some(waiting) = waiting else {
            self.look = true;
            self.passed.not_answered();
            return 0;
        };
        self.look |= waiting.len() >= limit;
        let mut sent = 0;
        let mut rest = None;
        for message in waiting {
            if !self.subscribed || self.room() == 0 {
                // Too much was answered, or too many bytes: the rest is asked for again.
                self.look = true;
                rest = Some(message.push);
                break;
            }
            if self.knows(message.push) {
                continue;
            }
            let id = if message.expires_at <= now { None } else { self.send(&message.live(), now).ok() };
            match id {
                Some(id) => {
                    self.in_flight.push(InFlight { id, push: message.push, ticket: None });
                    sent += 1;
                }
                None => self.passed.add(message.push, self.max_held),
            }
        }
        self.passed.answered(rest);
        sent
    }

    /// Is the message in flight or held back?
    #[must_use]
    pub fn knows(&self, push: PushId) -> bool {
        self.in_flight().any(|known| known == push) || self.held.contains(&push) || self.passed.contains(push)
    }

    /// The session is over: nothing is sent or taken any more, and no acknowledgement will come. Appends DISCONNECT
    /// where the protocol has one for `end`.
    pub fn end(&mut self, end: &End) {
        self.subscribed = false;
        self.in_flight = SmallVec::new();
        self.held = SmallVec::new();
        if let Some(reason) = end.reason() {
            codec::disconnect(&mut self.out, self.version, reason);
        }
    }
}

#[cfg(test)]
mod tests;
