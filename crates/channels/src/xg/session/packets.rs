//! What a device sends: acknowledgements, receipts, and what it asks for.

use mqtt_proto::v5::{PubackReasonCode, SubscribeReasonCode, UnsubscribeReasonCode};
use mqtt_proto::{Pid, TopicFilter};
use pigeonloft_model::{PushId, ReceiptEvent};

use smallvec::SmallVec;

use super::{End, InFlight, Session};
use crate::xg::codec::{self, Answer, Fault, Packet, Publish};
use crate::xg::receipt;
use crate::xg::tracker::Ticket;
use crate::xg::{PUSH_TOPIC, RECEIPT_TOPIC};

/// What a packet asks of whoever drives the session.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing: read on.
    Done,
    /// The device acknowledged a message.
    Acknowledged,
    /// Tell the desk, then call [`Session::receipt_taken`] with the answer; read nothing before that.
    Receipt {
        /// The push of the message.
        push: PushId,
        /// What became of it.
        event: ReceiptEvent,
        /// To be given back.
        answer: Answer,
    },
    /// The connection ends.
    End(End),
}

/// A message the device acknowledged, to be told to its sender, or to the desk if that is too late.
#[derive(Debug)]
pub struct Acknowledged {
    /// The push of the message.
    pub push: PushId,
    /// Its sender's, if the message was live.
    pub ticket: Option<Ticket>,
}

impl Session {
    /// Takes a packet. An acknowledged message is added to `acknowledged`, to be told *after* the session is
    /// unlocked.
    pub fn handle(&mut self, packet: Packet, acknowledged: &mut impl Extend<Acknowledged>) -> Step {
        match packet {
            Packet::Puback { id, refused } => return self.handle_puback(id, refused, acknowledged),
            Packet::Publish(publish) => return self.handle_publish(&publish),
            Packet::Pubrel(id) => {
                if let Ok(id) = Pid::try_from(id) {
                    codec::pubcomp(&mut self.out, self.version, id);
                }
            }
            Packet::Subscribe { id, filters, numbered } => self.handle_subscribe(id, &filters, numbered),
            Packet::Unsubscribe { id, filters } => self.handle_unsubscribe(id, &filters),
            Packet::Ping => codec::pong(&mut self.out),
            Packet::Disconnect => return Step::End(End::Left),
            Packet::Connect(_) => return Step::End(End::Fault(Fault::Protocol("a second CONNECT"))),
        }
        Step::Done
    }

    fn handle_puback(&mut self, id: u16, refused: bool, acknowledged: &mut impl Extend<Acknowledged>) -> Step {
        // Acknowledgements come in the order of the messages, so the first place is nearly always the one.
        let Some(place) = self.in_flight.iter().position(|flight| flight.id.value() == id) else { return Step::Done };
        let InFlight { push, ticket, .. } = self.in_flight.remove(place);
        if self.in_flight.is_empty() {
            // A window's worth of memory is not kept for an idle device.
            self.in_flight = SmallVec::new();
        }
        if refused {
            self.passed.add(push, self.max_held);
            return Step::Done;
        }
        self.held.push(push);
        acknowledged.extend([Acknowledged { push, ticket }]);
        Step::Acknowledged
    }

    fn handle_publish(&mut self, publish: &Publish) -> Step {
        if publish.retain {
            return Step::End(End::Fault(Fault::Retain));
        }
        if &*publish.topic != RECEIPT_TOPIC {
            tracing::debug!(topic = ?&*publish.topic, "published to a topic other than receipt; dropped");
            self.answer(publish.answer, PubackReasonCode::NotAuthorized);
            return Step::Done;
        }
        match receipt::parse(&publish.payload) {
            Some((push, event)) => Step::Receipt { push, event, answer: publish.answer },
            None => {
                tracing::debug!(bytes = publish.payload.len(), "not a receipt; dropped");
                self.answer(publish.answer, PubackReasonCode::PayloadFormatInvalid);
                Step::Done
            }
        }
    }

    /// The desk has taken a receipt.
    pub fn receipt_taken(&mut self, answer: Answer) {
        self.answer(answer, PubackReasonCode::Success);
    }

    fn answer(&mut self, answer: Answer, reason: PubackReasonCode) {
        match answer {
            Answer::Nothing => {}
            Answer::Puback(id) => {
                if let Ok(id) = Pid::try_from(id) {
                    codec::puback(&mut self.out, self.version, id, reason);
                }
            }
            Answer::Pubrec(id) => {
                if let Ok(id) = Pid::try_from(id) {
                    codec::pubrec(&mut self.out, self.version, id, reason);
                }
            }
        }
    }

    fn handle_subscribe(&mut self, id: u16, filters: &[TopicFilter], numbered: bool) {
        let Ok(id) = Pid::try_from(id) else { return };
        let verdict = |filter: &TopicFilter| {
            if numbered {
                SubscribeReasonCode::SubscriptionIdentifiersNotSupported
            } else if &**filter == PUSH_TOPIC {
                SubscribeReasonCode::GrantedQoS1
            } else if filter.is_shared() {
                SubscribeReasonCode::SharedSubscriptionNotSupported
            } else if filter.contains(['+', '#']) {
                SubscribeReasonCode::WildcardSubscriptionsNotSupported
            } else {
                SubscribeReasonCode::NotAuthorized
            }
        };
        let verdicts: Vec<_> = filters.iter().map(verdict).collect();
        if verdicts.contains(&SubscribeReasonCode::GrantedQoS1) {
            self.subscribed = true;
            self.look = true;
        }
        codec::suback(&mut self.out, self.version, id, verdicts);
    }

    fn handle_unsubscribe(&mut self, id: u16, filters: &[TopicFilter]) {
        let Ok(id) = Pid::try_from(id) else { return };
        let was_subscribed = self.subscribed;
        let verdict = |filter: &TopicFilter| {
            if was_subscribed && &**filter == PUSH_TOPIC {
                UnsubscribeReasonCode::Success
            } else {
                UnsubscribeReasonCode::NoSubscriptionExisted
            }
        };
        let verdicts: Vec<_> = filters.iter().map(verdict).collect();
        if verdicts.contains(&UnsubscribeReasonCode::Success) {
            self.subscribed = false;
        }
        codec::unsuback(&mut self.out, self.version, id, verdicts);
    }
}
