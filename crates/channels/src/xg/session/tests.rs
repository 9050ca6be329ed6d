use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use mqtt_proto::{PollHeader, TopicFilter, TopicName, v5};
use pigeonloft_model::ReceiptEvent;
use proptest::prelude::*;

use super::*;
use crate::xg::codec::{Answer, ConnackTerms, Connect, Fault, Packet, Publish, Secret};
use crate::xg::tracker::Tracker;

const NOW: i64 = 1_000_000;

fn terms(version: Version, window: usize, max_packet: usize) -> Terms {
    let connack = ConnackTerms { max_packet: 4096, server_keep_alive: None, session_expiry: false };
    Terms { version, window, max_packet, keep_alive: 60, connack }
}

fn session(window: usize) -> Session {
    Session::new(&terms(Version::V5, window, usize::MAX), &Limits { max_unsettled: 8, ..Limits::default() })
}

fn message(push: i64) -> Outgoing {
    Outgoing { push: PushId(push), payload: Bytes::from(format!("payload of {push}")), expires_at: NOW + 60 }
}

fn subscribe() -> Packet {
    Packet::Subscribe { id: 1, filters: vec![TopicFilter::try_from("push").unwrap()], numbered: false }
}

fn puback(id: u16) -> Packet {
    Packet::Puback { id, refused: false }
}

/// Subscribed, and its inbox read to the end.
fn caught_up(mut session: Session) -> Session {
    assert_eq!(session.handle(subscribe(), &mut Vec::new()), Step::Done);
    session.ask().unwrap();
    session.answered(Some(Vec::new()), NOW);
    session.take_out();
    session.written();
    session
}

/// The packets of outgoing bytes (of MQTT 5).
fn packets(mut bytes: &[u8]) -> Vec<v5::Packet> {
    let mut packets = Vec::new();
    while !bytes.is_empty() {
        let header = v5::Header::decode(bytes).unwrap();
        let start = (header.total_len as usize) + 1;
        let body = &bytes[start..start + header.remaining_len as usize];
        let packet = header.build_empty_packet().unwrap_or_else(|| header.decode_buffer(body, &mut 0).unwrap());
        packets.push(packet);
        bytes = &bytes[start + body.len()..];
    }
    packets
}

fn published(session: &mut Session) -> Vec<v5::Publish> {
    let out = session.take_out();
    session.written();
    packets(&out)
        .into_iter()
        .filter_map(|packet| if let v5::Packet::Publish(publish) = packet { Some(publish) } else { None })
        .collect()
}

fn offer(session: &mut Session, push: i64) -> Offer {
    session.offer(&message(push).live(), NOW, || Tracker::new(1).ticket(0))
}

#[test]
fn a_message_of_5_says_when_it_expires_and_an_expired_one_is_not_sent() {
    let mut session = caught_up(session(4));
    assert!(matches!(offer(&mut session, 1), Offer::Sent));
    let sent = published(&mut session);
    assert_eq!(sent[0].properties.message_expiry_interval, Some(60));
    assert_eq!((sent[0].dup, sent[0].retain, &*sent[0].topic_name), (false, false, "push"));

    let expired = Outgoing { expires_at: NOW, ..message(2) };
    assert!(matches!(session.offer(&expired.live(), NOW, || unreachable!()), Offer::Busy));
    session.wake(PushId(3));
    session.ask().unwrap();
    assert_eq!(session.answered(Some(vec![expired, message(3)]), NOW), 1);
    assert_eq!(session.in_flight().collect::<Vec<_>>(), [PushId(1), PushId(3)]);
    session.wake(PushId(4));
    let except = session.ask().unwrap().except;
    assert_eq!(except, [PushId(1), PushId(3), PushId(2)], "the expired one is not asked for again");
}

#[test]
fn a_message_larger_than_the_device_takes_is_passed_over() {
    let mut session = caught_up(Session::new(&terms(Version::V5, 4, 64), &Limits::default()));
    let large = Outgoing { payload: vec![b'x'; 64].into(), ..message(1) };
    assert!(matches!(session.offer(&large.live(), NOW, || unreachable!()), Offer::Busy));
    session.wake(PushId(1));
    session.ask().unwrap();
    assert_eq!(session.answered(Some(vec![large.clone(), message(2)]), NOW), 1);
    assert_eq!(published(&mut session).len(), 1);
    // Exactly as large as it takes: one byte of type, one of length, topic, id, expiry, payload.
    let fits = Outgoing { payload: vec![b'x'; 64 - 2 - 6 - 2 - 6].into(), ..message(3) };
    assert!(matches!(session.offer(&fits.live(), NOW, || Tracker::new(1).ticket(0)), Offer::Sent));
    assert!(matches!(session.offer(&large.live(), NOW, || unreachable!()), Offer::Busy));
}

#[test]
fn a_message_the_device_refuses_did_not_arrive_and_is_not_sent_again() {
    let mut session = caught_up(session(4));
    let tracker = Tracker::new(1);
    session.offer(&message(1).live(), NOW, || tracker.ticket(0));
    let mut acknowledged = Vec::new();
    session.handle(Packet::Puback { id: 1, refused: true }, &mut acknowledged);
    assert!(acknowledged.is_empty());
    assert!(matches!(offer(&mut session, 1), Offer::Busy));
    session.wake(PushId(1));
    assert_eq!(session.ask().unwrap().except, [PushId(1)]);
}

#[test]
fn a_device_that_refuses_more_than_is_remembered_gets_what_comes_after() {
    let mut session = caught_up(session(4));
    let refused = 3 * session.max_held as i64;
    let inbox: Vec<_> = (1..=refused + 1).collect();
    session.wake(PushId(1));
    let mut sent = Vec::new();
    while let Some(ask) = session.ask() {
        assert!(ask.except.len() <= session.max_held + session.window, "what is left out does not grow");
        let waiting = inbox.iter().filter(|push| **push > ask.after.0 && !ask.except.contains(&PushId(**push)));
        session.answered(Some(waiting.take(ask.limit).copied().map(message).collect()), NOW);
        for publish in published(&mut session) {
            let (id, push) = (publish.qos_pid.pid().unwrap().value(), sent.len() as i64 + 1);
            session.handle(Packet::Puback { id, refused: push <= refused }, &mut Vec::new());
            sent.push(publish.payload);
        }
    }
    let expected: Vec<_> = inbox.iter().map(|push| message(*push).payload).collect();
    assert_eq!(sent, expected, "each once, in order, the one it takes included");
    // A push that is older and comes to the inbox late is found all the same.
    let ask = |session: &mut Session| session.ask().unwrap();
    session.wake(PushId(5));
    assert_eq!(ask(&mut session).after, PushId(4));
}

#[test]
fn a_message_sent_again_by_its_sender_shares_one_acknowledgement() {
    let mut session = caught_up(session(4));
    let (lost, second, third) = (Tracker::new(1), Tracker::new(1), Tracker::new(1));
    session.offer(&message(1).live(), NOW, || lost.ticket(0));
    assert!(matches!(session.offer(&message(1).live(), NOW, || second.ticket(0)), Offer::Sent));
    assert_eq!(published(&mut session).len(), 1, "it is in flight already");
    let mut acknowledged = Vec::new();
    session.handle(puback(1), &mut acknowledged);
    assert!(acknowledged.remove(0).ticket.unwrap().acknowledge());
    let filters = vec![TopicFilter::try_from("push").unwrap()];
    session.handle(Packet::Unsubscribe { id: 2, filters }, &mut Vec::new());
    assert!(matches!(offer(&mut session, 2), Offer::Offline), "whether it is subscribed or not:");
    let Offer::Known(ticket) = session.offer(&message(1).live(), NOW, || third.ticket(0)) else { panic!("not known") };
    assert!(ticket.acknowledge());
    let acked = |tracker: &Arc<Tracker>| tracker.close_with(crate::xg::AckSet::len);
    assert_eq!((acked(&lost), acked(&second), acked(&third)), (0, 1, 1));
}

#[test]
fn a_session_behind_its_inbox_turns_live_messages_away() {
    let mut session = session(4);
    session.handle(subscribe(), &mut Vec::new());
    assert!(matches!(offer(&mut session, 9), Offer::Busy), "not yet asked");
    let ask = session.ask().unwrap();
    assert_eq!((ask.limit, session.ask()), (4, None), "one question at a time");
    assert!(matches!(offer(&mut session, 9), Offer::Busy), "not yet answered");
    session.answered(Some(vec![message(1)]), NOW);
    assert!(matches!(offer(&mut session, 9), Offer::Sent));
    assert_eq!(session.in_flight().collect::<Vec<_>>(), [PushId(1), PushId(9)]);
}

#[test]
fn a_full_answer_is_followed_by_another_question_when_half_the_window_is_free() {
    let mut session = session(4);
    session.handle(subscribe(), &mut Vec::new());
    session.ask().unwrap();
    assert_eq!(session.answered(Some((1..=4).map(message).collect()), NOW), 4);
    let mut acknowledged = Vec::new();
    for (id, asks) in [(1, false), (2, true)] {
        session.handle(puback(id), &mut acknowledged);
        assert_eq!(session.wants_to_ask(), asks, "{id}");
    }
    let ask = session.ask().unwrap();
    assert_eq!((ask.limit, ask.except), (2, [3, 4, 1, 2].map(PushId).to_vec()));
}

#[test]
fn what_is_known_is_not_sent_again_even_if_it_is_answered() {
    let mut session = caught_up(session(4));
    for push in [1, 2] {
        offer(&mut session, push);
    }
    session.handle(puback(1), &mut Vec::new());
    published(&mut session);
    session.wake(PushId(3));
    session.ask().unwrap();
    assert_eq!(session.answered(Some(vec![message(1), message(2), message(3)]), NOW), 1);
    assert_eq!(session.in_flight().collect::<Vec<_>>(), [PushId(2), PushId(3)]);
}

#[test]
fn packet_identifiers_go_round_and_leave_out_those_in_flight() {
    let mut session = caught_up(session(2));
    assert!(matches!(offer(&mut session, 1), Offer::Sent));
    for push in 2..200_000 {
        assert!(matches!(offer(&mut session, push), Offer::Sent));
        let publish = published(&mut session).pop().unwrap();
        let id = publish.qos_pid.pid().unwrap().value();
        assert!(id != 0 && (push == 2 || id != 1));
        session.handle(puback(id), &mut Vec::new());
        session.settled(PushId(push));
    }
}

#[test]
fn receipts_and_everything_else_a_device_publishes_are_answered_in_kind() {
    let publish = |topic: &str, payload: &'static str, answer| {
        let topic = TopicName::try_from(topic).unwrap();
        Packet::Publish(Publish { topic, payload: payload.into(), answer, retain: false })
    };
    let shown = r#"{"push_id":"7","event":"shown"}"#;
    let mut session = caught_up(session(2));
    let step = session.handle(publish("receipt", shown, Answer::Puback(3)), &mut Vec::new());
    assert_eq!(step, Step::Receipt { push: PushId(7), event: ReceiptEvent::Shown, answer: Answer::Puback(3) });
    assert!(!session.has_out(), "not before it is taken");
    let id = |id: u16| Pid::try_from(id).unwrap();
    session.receipt_taken(Answer::Puback(3));
    session.receipt_taken(Answer::Pubrec(4));
    session.receipt_taken(Answer::Nothing);
    for (topic, payload, answer) in [
        ("receipt", "{", Answer::Puback(5)),
        ("push", shown, Answer::Puback(6)),
        ("elsewhere", shown, Answer::Pubrec(7)),
        ("elsewhere", shown, Answer::Nothing),
    ] {
        assert_eq!(session.handle(publish(topic, payload, answer), &mut Vec::new()), Step::Done);
    }
    session.handle(Packet::Pubrel(4), &mut Vec::new());
    let expected: Vec<v5::Packet> = vec![
        v5::Puback::new_success(id(3)).into(),
        v5::Pubrec::new_success(id(4)).into(),
        v5::Puback::new(id(5), v5::PubackReasonCode::PayloadFormatInvalid).into(),
        v5::Puback::new(id(6), v5::PubackReasonCode::NotAuthorized).into(),
        v5::Pubrec::new(id(7), v5::PubrecReasonCode::NotAuthorized).into(),
        v5::Pubcomp::new_success(id(4)).into(),
    ];
    assert_eq!(packets(&session.take_out()), expected);
}

#[test]
fn an_ended_session_says_why_and_gives_its_messages_up() {
    let mut session = caught_up(session(2));
    offer(&mut session, 1);
    published(&mut session);
    session.end(&End::Fault(Fault::TopicAlias));
    let reason = v5::DisconnectReasonCode::TopicAliasInvalid;
    assert_eq!(packets(&session.take_out()), [v5::Disconnect::new(reason).into()]);
    assert!(matches!(offer(&mut session, 2), Offer::Offline));
    assert_eq!(session.in_flight().len(), 0);
}

fn connect() -> Connect {
    Connect {
        version: Version::V5,
        client_id: "0".repeat(36).as_str().into(),
        user: Some("7".into()),
        password: Some(Secret(Bytes::from_static(b"secret"))),
        keep_alive: 60,
        receive_maximum: None,
        max_packet: None,
        session_expiry: false,
        retained_will: false,
        authentication: false,
    }
}

#[test]
fn the_terms_are_what_both_sides_can_keep_to() {
    let limits = Limits { window: 32, max_keep_alive: 600, ..Limits::default() };
    let greeted = |connect| greet(connect, ([127, 0, 0, 1], 1).into(), &limits);
    let terms = |connect| greeted(connect).unwrap().1;
    assert_eq!(terms(connect()).window, 32);
    assert_eq!(terms(Connect { receive_maximum: Some(5), ..connect() }).window, 5);
    assert_eq!(terms(Connect { receive_maximum: Some(500), ..connect() }).window, 32);
    let keep_alive = |version, keep_alive| {
        let terms = terms(Connect { version, keep_alive, ..connect() });
        (terms.keep_alive, terms.connack.server_keep_alive)
    };
    assert_eq!(keep_alive(Version::V5, 60), (60, None));
    assert_eq!(keep_alive(Version::V5, 0), (600, Some(600)));
    assert_eq!(keep_alive(Version::V5, 601), (600, Some(600)));
    assert_eq!(keep_alive(Version::V311, 0).0, 600);
    assert_eq!(keep_alive(Version::V311, 601).0, 601);

    use mqtt_proto::v5::ConnectReasonCode as Code;
    let reason = |connect| greeted(connect).unwrap_err().reason;
    assert_eq!(reason(Connect { receive_maximum: Some(0), ..connect() }), Code::ProtocolError);
    assert_eq!(reason(Connect { max_packet: Some(0), ..connect() }), Code::ProtocolError);
    assert_eq!(reason(Connect { authentication: true, ..connect() }), Code::BadAuthMethod);
    assert_eq!(reason(Connect { retained_will: true, ..connect() }), Code::RetainNotSupported);
    assert_eq!(
        reason(Connect { client_id: "A".repeat(36).as_str().into(), ..connect() }),
        Code::ClientIdentifierNotValid
    );
    assert_eq!(reason(Connect { user: Some("-1".into()), ..connect() }), Code::BadUserNameOrPassword);
    assert_eq!(reason(Connect { password: None, ..connect() }), Code::BadUserNameOrPassword);
}

/// What may happen to a session, in any order.
#[derive(Debug, Clone)]
enum Deed {
    Subscribe,
    Unsubscribe,
    Offer(i64),
    /// Acknowledges the n-th message in flight, or an identifier nobody has.
    Puback(usize),
    Refuse(usize),
    PubackUnknown(u16),
    /// Puts a message into the inbox, and wakes.
    Deposit(i64),
    Ask,
    Answer,
    AnswerFails,
    Settle(usize),
    Write,
    Ping,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        2 => Just(Deed::Subscribe),
        1 => Just(Deed::Unsubscribe),
        4 => (0..40_i64).prop_map(Deed::Offer),
        8 => (0..4_usize).prop_map(Deed::Puback),
        1 => (0..4_usize).prop_map(Deed::Refuse),
        1 => any::<u16>().prop_map(Deed::PubackUnknown),
        4 => (40..80_i64).prop_map(Deed::Deposit),
        4 => Just(Deed::Ask),
        4 => Just(Deed::Answer),
        1 => Just(Deed::AnswerFails),
        4 => (0..8_usize).prop_map(Deed::Settle),
        4 => Just(Deed::Write),
        1 => Just(Deed::Ping),
    ]
}

/// A session with its device and its server at its sides, played in one thread.
struct World {
    session: Session,
    window: usize,
    inbox: Vec<PushId>,
    asked: Option<Ask>,
    acknowledged: Vec<PushId>,
    on_the_wire: Vec<(u16, PushId)>,
    ever_sent: HashSet<PushId>,
    refused: HashSet<PushId>,
}

impl World {
    fn play(&mut self, deed: Deed) {
        match deed {
            Deed::Subscribe => _ = self.session.handle(subscribe(), &mut Vec::new()),
            Deed::Unsubscribe => {
                let filters = vec![TopicFilter::try_from("push").unwrap()];
                self.session.handle(Packet::Unsubscribe { id: 2, filters }, &mut Vec::new());
            }
            Deed::Offer(push) => {
                let known = matches!(offer(&mut self.session, push), Offer::Known(_));
                assert_eq!(known, self.acknowledged.contains(&PushId(push)), "only what is not settled is known");
            }
            Deed::Puback(place) => self.puback(place, false),
            Deed::Refuse(place) => self.puback(place, true),
            Deed::PubackUnknown(id) => {
                // What is sent and not written has an identifier too, and a device that guesses it has its way.
                self.write();
                if self.on_the_wire.iter().any(|(known, _)| *known == id) {
                    return;
                }
                let before: Vec<_> = self.session.in_flight().collect();
                let mut acknowledged = Vec::new();
                assert_eq!(self.session.handle(puback(id), &mut acknowledged), Step::Done);
                assert!(acknowledged.is_empty());
                assert_eq!(self.session.in_flight().collect::<Vec<_>>(), before);
            }
            Deed::Deposit(push) => {
                if !self.ever_sent.contains(&PushId(push))
                    && let Err(place) = self.inbox.binary_search(&PushId(push))
                {
                    self.inbox.insert(place, PushId(push));
                }
                self.session.wake(PushId(push));
            }
            Deed::Ask => {
                if let Some(ask) = self.session.ask() {
                    assert!(self.asked.is_none(), "one question at a time");
                    assert!(ask.limit >= 1 && ask.limit <= self.window);
                    self.asked = Some(ask);
                }
            }
            Deed::Answer => {
                if let Some(ask) = self.asked.take() {
                    let waiting = self.inbox.iter().filter(|push| **push > ask.after && !ask.except.contains(push));
                    let waiting = waiting.take(ask.limit);
                    let waiting = waiting.map(|push| message(push.0)).collect();
                    self.session.answered(Some(waiting), NOW);
                }
            }
            Deed::AnswerFails => {
                if self.asked.take().is_some() {
                    self.session.answered(None, NOW);
                }
            }
            Deed::Settle(place) => {
                if place < self.acknowledged.len() {
                    let push = self.acknowledged.remove(place);
                    self.inbox.retain(|waiting| *waiting != push);
                    self.session.settled(push);
                    // Only what is settled may be sent again, and only if somebody sends it again.
                    self.ever_sent.remove(&push);
                }
            }
            Deed::Write => self.write(),
            Deed::Ping => _ = self.session.handle(Packet::Ping, &mut Vec::new()),
        }
        self.check();
    }

    fn puback(&mut self, place: usize, refused: bool) {
        if place >= self.on_the_wire.len() {
            return;
        }
        let (id, push) = self.on_the_wire.remove(place);
        let mut acknowledged = Vec::new();
        self.session.handle(Packet::Puback { id, refused }, &mut acknowledged);
        let told: Vec<_> = acknowledged.iter().map(|acknowledged| acknowledged.push).collect();
        assert_eq!(told, if refused { vec![] } else { vec![push] });
        if refused {
            self.refused.insert(push);
        }
        self.acknowledged.extend(told);
    }

    fn write(&mut self) {
        for publish in published(&mut self.session) {
            let text = std::str::from_utf8(&publish.payload).unwrap();
            let push = PushId(text.rsplit(' ').next().unwrap().parse().unwrap());
            let id = publish.qos_pid.pid().unwrap().value();
            assert!(self.on_the_wire.iter().all(|(known, _)| *known != id), "an identifier in use is not used again");
            let is_first = self.ever_sent.insert(push);
            assert!(is_first || self.refused.remove(&push), "{push} was sent twice, and not refused between");
            self.on_the_wire.push((id, push));
        }
    }

    fn check(&self) {
        let in_flight: Vec<_> = self.session.in_flight().collect();
        assert!(in_flight.len() <= self.window, "no more than the window");
        assert_eq!(in_flight.iter().collect::<HashSet<_>>().len(), in_flight.len(), "none twice");
        assert!(self.session.held.len() + in_flight.len() <= self.session.max_held);
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_window_holds_and_nothing_is_sent_twice(
        window in 1..5_usize,
        deeds in proptest::collection::vec(deed(), 0..200),
    ) {
        let mut world = World {
            session: session(window),
            window,
            inbox: Vec::new(),
            asked: None,
            acknowledged: Vec::new(),
            on_the_wire: Vec::new(),
            ever_sent: HashSet::new(),
            refused: HashSet::new(),
        };
        for deed in deeds {
            world.play(deed);
        }
        // However it came about: a device that acknowledges gets everything it did not refuse.
        world.play(Deed::Answer);
        world.play(Deed::Subscribe);
        for _ in 0..200 {
            for deed in [Deed::Ask, Deed::Answer, Deed::Write, Deed::Puback(0), Deed::Settle(0)] {
                world.play(deed);
            }
        }
        let left: Vec<_> = world.inbox.iter().filter(|push| !world.refused.contains(push)).collect();
        prop_assert!(left.is_empty(), "{left:?} were left");
    }
}
