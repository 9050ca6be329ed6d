//! The open phase of a connection: packets in, messages out, until something ends it.

use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::line::{Line, READ};
use crate::xg::codec::{Answer, Codec};
use crate::xg::desk::{Desk, Outgoing, Unavailable};
use crate::xg::hub::{Hub, Presence, Slot};
use crate::xg::limits::count;
use crate::xg::lock;
use crate::xg::session::{Acknowledged, Ask, End, Step};

/// What one run of packets acknowledges; a few need no allocation.
type Acknowledgements = SmallVec<[Acknowledged; 4]>;

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, Unavailable>> + Send + 'a>>;

/// Attends to one session. The timer is one for everything that has a deadline, and is moved only when it fires or
/// when something is due before it: a message costs no timer.
pub(super) struct Attendance<'a, D: Desk, S> {
    hub: &'a Hub<D>,
    presence: &'a Presence<'a, D>,
    slot: &'a Slot,
    line: &'a mut Line<S>,
    codec: &'a mut Codec,
    /// A question to the inbox that is not answered yet.
    look: Option<Boxed<'a, Vec<Outgoing>>>,
    /// The inbox could not be read: not before then again.
    look_not_before: Option<Instant>,
    /// A receipt the desk has not taken yet.
    receipt: Option<(Boxed<'a, ()>, Answer)>,
    /// Writing failed while a receipt was on its way, which is driven to its end nevertheless.
    broken: bool,
    patience: Duration,
    last_packet: Instant,
    last_progress: Instant,
    timer: Pin<Box<Sleep>>,
}

enum Event {
    End(End),
    Look(Ask),
    Looked(Result<Vec<Outgoing>, Unavailable>),
    Receipt(Result<(), Unavailable>),
    /// There may be packets to take.
    Read,
    /// The session may ask its inbox again.
    LookAgain,
}

impl<'a, D, S> Attendance<'a, D, S>
where
    D: Desk,
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    pub(super) fn new(
        hub: &'a Hub<D>,
        presence: &'a Presence<'a, D>,
        line: &'a mut Line<S>,
        codec: &'a mut Codec,
        keep_alive: u16,
    ) -> Self {
        let now = Instant::now();
        let patience = Duration::from_millis(u64::from(keep_alive) * 1500);
        Self {
            hub,
            presence,
            slot: &presence.slot,
            line,
            codec,
            look: None,
            look_not_before: None,
            receipt: None,
            broken: false,
            patience,
            last_packet: now,
            last_progress: now,
            timer: Box::pin(sleep_until(now + patience)),
        }
    }

    pub(super) async fn run(&mut self) -> End {
        loop {
            if let Some(end) = self.take_packets() {
                return end;
            }
            let event = poll_fn(|cx| self.poll_event(cx)).await;
            if let Some(end) = self.handle(event) {
                return end;
            }
        }
    }

    fn handle(&mut self, event: Event) -> Option<End> {
        let device = self.presence.device;
        match event {
            Event::End(end) => return Some(end),
            Event::Look(ask) => self.look = Some(Box::pin(self.hub.desk.waiting(device, ask))),
            Event::Looked(waiting) => {
                self.look = None;
                if waiting.is_err() {
                    self.look_not_before = Some(Instant::now() + self.hub.limits.look_again);
                }
                let now = self.hub.desk.now();
                let sent = lock(&self.slot.inner).session.answered(waiting.ok(), now);
                count(&self.hub.stats.published, sent as u64);
            }
            Event::Receipt(taken) => {
                let (_, answer) = self.receipt.take()?;
                self.last_packet = Instant::now();
                if self.broken {
                    return Some(End::Lost);
                }
                match (taken, answer) {
                    (Ok(()), answer) => {
                        count(&self.hub.stats.receipts, 1);
                        lock(&self.slot.inner).session.receipt_taken(answer);
                    }
                    // The device does not wait for an answer, and will not report it again.
                    (Err(Unavailable), Answer::Nothing) => tracing::debug!(%device, "a receipt of QoS 0 was lost"),
                    (Err(Unavailable), _) => return Some(End::Unavailable),
                }
            }
            Event::Read => {}
            Event::LookAgain => self.look_not_before = None,
        }
        None
    }

    /// Takes the packets that are kept and complete, as long as the session takes any.
    fn take_packets(&mut self) -> Option<End> {
        if self.line.incoming().is_empty() || self.receipt.is_some() {
            return None;
        }
        let bytes = self.line.take_incoming();
        let (taken, end) = self.take(&bytes);
        self.line.keep_rest(bytes, taken);
        end
    }

    /// Takes the packets that are complete, in one run, as long as the session takes any; answers how many bytes.
    fn take(&mut self, bytes: &[u8]) -> (usize, Option<End>) {
        let mut acknowledged = Acknowledgements::new();
        let mut taken = 0;
        let mut end = None;
        let mut receipt = None;
        {
            let mut inner = lock(&self.slot.inner);
            // A connection that is called off takes nothing more, or a stream of receipts would keep it open.
            while inner.called.is_none() && !inner.session.is_congested() {
                let (packet, length) = match self.codec.decode(&bytes[taken..]) {
                    Ok(Some(decoded)) => decoded,
                    Ok(None) => break,
                    Err(fault) => {
                        end = Some(End::Fault(fault));
                        break;
                    }
                };
                taken += length;
                match inner.session.handle(packet, &mut acknowledged) {
                    Step::Done | Step::Acknowledged => {}
                    Step::Receipt { push, event, answer } => {
                        receipt = Some((push, event, answer));
                        break;
                    }
                    Step::End(ended) => {
                        end = Some(ended);
                        break;
                    }
                }
            }
        }
        if taken > 0 {
            self.last_packet = Instant::now();
        }
        self.report(acknowledged);
        if let Some((push, event, answer)) = receipt {
            self.receipt = Some((Box::pin(self.hub.desk.receipt(self.presence.device, push, event)), answer));
        }
        (taken, end)
    }

    /// Tells whom it concerns of acknowledgements. With the session unlocked: a sender may hold its tracker's lock
    /// and call the hub.
    fn report(&self, acknowledged: Acknowledgements) {
        if acknowledged.is_empty() {
            return;
        }
        count(&self.hub.stats.acknowledged, acknowledged.len() as u64);
        for Acknowledged { push, ticket } in acknowledged {
            if !ticket.is_some_and(|ticket| ticket.acknowledge()) {
                self.hub.desk.arrived(self.presence.device, push);
            }
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if let Some((receipt, _)) = &mut self.receipt
            && let Poll::Ready(taken) = receipt.as_mut().poll(cx)
        {
            return Poll::Ready(Event::Receipt(taken));
        }
        if let Some(look) = &mut self.look
            && let Poll::Ready(waiting) = look.as_mut().poll(cx)
        {
            return Poll::Ready(Event::Looked(waiting));
        }
        let congested = match self.poll_session(cx) {
            Ok(congested) => congested,
            Err(event) => return Poll::Ready(event),
        };
        if self.receipt.is_none()
            && !congested
            && let Poll::Ready(event) = self.poll_read(cx)
        {
            return Poll::Ready(event);
        }
        self.poll_timer(cx)
    }

    /// Reads once. What was read is taken where it lies, on the stack, and only what is left is kept: acknowledgements
    /// leave nothing.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        let mut space = [MaybeUninit::uninit(); READ];
        let mut buffer = ReadBuf::uninit(&mut space);
        if ready!(self.line.poll_read(cx, &mut buffer)).is_err() || buffer.filled().is_empty() {
            return Poll::Ready(Event::End(End::Lost));
        }
        let read = buffer.filled();
        if !self.line.incoming().is_empty() {
            self.line.keep(read);
            return Poll::Ready(Event::Read);
        }
        let (taken, end) = self.take(read);
        self.line.keep(&read[taken..]);
        Poll::Ready(end.map_or(Event::Read, Event::End))
    }

    /// Serves the session until it has nothing more that can be done now; says whether it is congested.
    fn poll_session(&mut self, cx: &mut Context<'_>) -> Result<bool, Event> {
        let mut was_congested = false;
        loop {
            let mut inner = lock(&self.slot.inner);
            inner.park(cx.waker());
            // A receipt is brought to its end first: the device may not send it again.
            if self.receipt.is_none()
                && let Some(end) = inner.called.take()
            {
                return Err(Event::End(end));
            }
            if self.look.is_none()
                && self.look_not_before.is_none()
                && let Some(ask) = inner.session.ask()
            {
                return Err(Event::Look(ask));
            }
            if self.line.is_written() {
                inner.session.written();
                if inner.session.has_out() && !self.broken {
                    self.line.put(inner.session.take_out());
                    self.last_progress = Instant::now();
                }
            }
            let congested = inner.session.is_congested();
            drop(inner);
            if was_congested && !congested {
                // Packets may be waiting that were not taken.
                return Err(Event::Read);
            }
            was_congested = congested;
            if self.broken || self.line.is_written() || !self.write(cx)? {
                return Ok(congested);
            }
        }
    }

    /// Writes; `true` when everything is written.
    fn write(&mut self, cx: &mut Context<'_>) -> Result<bool, Event> {
        let mut progress = false;
        let written = self.line.poll_write_all(cx, &mut progress);
        if progress {
            self.last_progress = Instant::now();
        }
        match written {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(())) => Ok(true),
            Poll::Ready(Err(_)) => self.give_up(End::Lost).map_or(Ok(false), Err),
        }
    }

    /// The connection is of no use any more: ends it, or waits for the receipt first.
    fn give_up(&mut self, end: End) -> Option<Event> {
        if self.receipt.is_none() {
            return Some(Event::End(end));
        }
        self.broken = true;
        None
    }

    /// When something is due next, and what.
    fn due(&self, now: Instant) -> (Instant, Due) {
        let mut due = (now + self.patience, Due::Nothing);
        if self.receipt.is_none() {
            due = due.min((self.last_packet + self.patience, Due::Packet));
        }
        if !self.line.is_written() && !self.broken {
            due = due.min((self.last_progress + self.hub.limits.write_stall, Due::Progress));
        }
        if let Some(at) = self.look_not_before {
            due = due.min((at, Due::LookAgain));
        }
        due
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        loop {
            let now = Instant::now();
            let (at, due) = self.due(now);
            if at <= now {
                match due {
                    Due::Packet => return Poll::Ready(Event::End(End::Silent)),
                    Due::LookAgain => return Poll::Ready(Event::LookAgain),
                    Due::Progress => {
                        if let Some(event) = self.give_up(End::Stalled) {
                            return Poll::Ready(event);
                        }
                        continue;
                    }
                    Due::Nothing => {}
                }
            }
            if at < self.timer.deadline() {
                self.timer.as_mut().reset(at);
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.timer.as_mut().reset(at);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Packet,
    Progress,
    LookAgain,
    /// Only the timer itself is to be moved.
    Nothing,
}
