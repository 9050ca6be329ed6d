//! Any bytes as what a device sends, cut anywhere, while the server goes on with its own work.
//!
//! The first byte is the chunk size (0: all at once), the second the window, the third the length of a script; then
//! the script, of which one byte is played after each chunk, round and round (a message offered, the inbox asked and
//! answered, an acknowledgement settled, bytes written); the rest is the stream. Reading it never panics, and where it
//! is cut changes nothing; whatever the device does, no more than the window is in flight, nothing is in flight twice
//! or sent twice before it is settled, and all the device is sent is well-formed.

#![no_main]

use std::collections::HashSet;

use libfuzzer_sys::fuzz_target;
use pigeonloft_channels::xg::codec::{Codec, Connect, Fault, Packet, Secret, Version};
use pigeonloft_channels::xg::session::{Ask, Session, Step, greet};
use pigeonloft_channels::xg::{Limits, Outgoing, Tracker};
use pigeonloft_model::PushId;

const NOW: i64 = 1_700_000_000;
const MAX_PACKET: usize = 512;

fuzz_target!(|input: &[u8]| {
    let [size, window, script, rest @ ..] = input else { return };
    let Some((script, stream)) = rest.split_at_checked(usize::from(*script)) else { return };
    let size = if *size == 0 { usize::MAX } else { usize::from(*size) };
    let (whole, whole_fault) = read(stream, usize::MAX);
    let (chunked, chunked_fault) = read(stream, size);
    let packets: Vec<_> = chunked.into_iter().flatten().collect();
    assert!(whole_fault == chunked_fault && whole.concat() == packets, "where it is cut changes what is read");
    play(*window, script, packets);
});

/// The packets each chunk completes.
fn read(stream: &[u8], size: usize) -> (Vec<Vec<Packet>>, Option<Fault>) {
    let mut codec = Codec::new(MAX_PACKET);
    let mut incoming = Vec::new();
    let mut read = Vec::new();
    for chunk in stream.chunks(size.min(stream.len()).max(1)) {
        incoming.extend_from_slice(chunk);
        let mut packets = Vec::new();
        loop {
            match codec.decode(&incoming) {
                Ok(None) => break,
                Ok(Some((packet, length))) => {
                    assert!((2..=MAX_PACKET).contains(&length) && length <= incoming.len());
                    incoming.drain(..length);
                    packets.push(packet);
                }
                Err(fault) => {
                    assert!(!fault.to_string().contains('\n'));
                    read.push(packets);
                    return (read, Some(fault));
                }
            }
        }
        read.push(packets);
        assert!(incoming.len() < MAX_PACKET);
    }
    (read, None)
}

fn play(window: u8, script: &[u8], packets: Vec<Packet>) {
    let mut packets = packets.into_iter();
    let Some(Packet::Connect(connect)) = packets.next() else { return };
    let limits = Limits {
        window: u16::from(window).max(1),
        max_unsettled: 40,
        max_unwritten: 4096,
        max_packet: MAX_PACKET,
        ..Limits::default()
    };
    let peer = ([127, 0, 0, 1], 1).into();
    let terms = match greet((*connect).clone(), peer, &limits) {
        Ok((login, terms)) => {
            assert_eq!(login.token.as_str(), &*connect.client_id);
            terms
        }
        Err(refusal) => {
            assert_eq!(refusal.connack()[0], 0x20);
            // Most inputs have no valid login; their packets are played all the same.
            greet(welcome_guest(&connect), peer, &limits).expect("a login").1
        }
    };
    let mut session = Session::new(&terms, &limits);
    session.welcome(&terms);
    let mut server = Server {
        session,
        window: terms.window,
        version: terms.version,
        asked: None,
        sent: HashSet::new(),
        on_the_wire: HashSet::new(),
        unsettled: Vec::new(),
    };
    let mut script = script.iter().cycle();
    for packet in packets {
        if !server.take(packet) {
            return;
        }
        if let Some(deed) = script.next() {
            server.play(*deed);
        }
        server.check();
    }
}

fn welcome_guest(connect: &Connect) -> Connect {
    Connect {
        client_id: "0".repeat(36).as_str().into(),
        user: Some("1".into()),
        password: Some(Secret("password".into())),
        receive_maximum: connect.receive_maximum.filter(|most| *most > 0),
        max_packet: connect.max_packet.filter(|most| *most > 0),
        retained_will: false,
        authentication: false,
        ..connect.clone()
    }
}

/// The server around one session, and what it knows its device was sent.
struct Server {
    session: Session,
    window: usize,
    version: Version,
    asked: Option<Ask>,
    /// Sent and not settled.
    sent: HashSet<PushId>,
    /// Packet identifiers of messages written and not acknowledged.
    on_the_wire: HashSet<u16>,
    unsettled: Vec<PushId>,
}

impl Server {
    /// `false`: the connection ends.
    fn take(&mut self, packet: Packet) -> bool {
        let mut is_refusal = false;
        if let Packet::Puback { id, refused } = packet {
            self.on_the_wire.remove(&id);
            is_refusal = refused;
        }
        let before: HashSet<_> = self.session.in_flight().collect();
        let mut acknowledged = Vec::new();
        match self.session.handle(packet, &mut acknowledged) {
            Step::Done | Step::Acknowledged => {}
            Step::Receipt { push, answer, .. } => {
                assert!(push.0 > 0);
                self.session.receipt_taken(answer);
            }
            Step::End(end) => {
                self.session.end(&end);
                self.write();
                return false;
            }
        }
        if is_refusal {
            // What a device refused may be sent once more, where the session could not remember all it passed over.
            let now: HashSet<_> = self.session.in_flight().collect();
            self.sent.retain(|push| !before.contains(push) || now.contains(push));
        }
        for acknowledged in acknowledged {
            assert!(before.contains(&acknowledged.push), "only what is in flight can be acknowledged");
            self.unsettled.push(acknowledged.push);
        }
        true
    }

    fn play(&mut self, deed: u8) {
        let push = PushId(i64::from(deed / 8));
        match deed % 8 {
            0 | 1 => {
                self.write();
                let tracker = Tracker::new(1);
                self.session.offer(&message(push).live(), NOW, || tracker.ticket(0));
            }
            2 => self.session.wake(push),
            3 => {
                if let Some(ask) = self.session.ask() {
                    assert!(self.asked.is_none() && (1..=self.window).contains(&ask.limit));
                    self.asked = Some(ask);
                }
            }
            4 => {
                if let Some(ask) = self.asked.take() {
                    let waiting = (32..64).map(PushId).filter(|push| *push > ask.after && !ask.except.contains(push));
                    let waiting = waiting.take(ask.limit);
                    self.session.answered(Some(waiting.map(message).collect()), NOW);
                }
            }
            5 => {
                if self.asked.take().is_some() {
                    self.session.answered(None, NOW);
                }
            }
            6 => {
                self.write();
                if let Some(push) = self.unsettled.pop() {
                    self.session.settled(push);
                    self.sent.remove(&push);
                }
            }
            _ => self.write(),
        }
    }

    fn check(&self) {
        let in_flight: HashSet<_> = self.session.in_flight().collect();
        assert_eq!(in_flight.len(), self.session.in_flight().len(), "nothing is in flight twice");
        assert!(in_flight.len() <= self.window);
    }

    /// Takes what there is for the device, and reads it as the device would.
    fn write(&mut self) {
        let out = self.session.take_out();
        self.session.written();
        let mut rest = &out[..];
        while let Some((&first, after)) = rest.split_first() {
            let end = after.iter().position(|byte| byte & 0x80 == 0).expect("a length") + 1;
            let length = after[..end].iter().rev().fold(0, |length, byte| length << 7 | usize::from(byte & 0x7f));
            let (body, after) = after[end..].split_at(length);
            rest = after;
            match first {
                // PUBLISH, QoS 1; topic `push`, packet identifier, and in 5 the expiry.
                0x32 => self.check_message(body),
                // CONNACK, PUBACK, PUBREC, PUBCOMP, SUBACK, UNSUBACK, PINGRESP, and in 5 DISCONNECT.
                0x20 | 0x40 | 0x50 | 0x70 | 0x90 | 0xb0 => assert!(body.len() >= 2),
                0xd0 => assert!(body.is_empty()),
                0xe0 => assert!(self.version == Version::V5),
                other => panic!("a packet {other:#x} of {body:?}"),
            }
        }
    }

    fn check_message(&mut self, body: &[u8]) {
        let body = body.strip_prefix(b"\0\x04push").expect("topic push");
        let (id, body) = body.split_first_chunk().expect("an identifier");
        let id = u16::from_be_bytes(*id);
        assert!(id != 0 && self.on_the_wire.insert(id), "an identifier is used twice");
        let payload = match self.version {
            Version::V311 => body,
            Version::V5 => body.strip_prefix(&[5, 2, 0, 0, 0, 60]).expect("the expiry"),
        };
        let push = std::str::from_utf8(payload).expect("text").parse().expect("a push");
        assert!(self.sent.insert(push), "{push} is sent twice");
    }
}

fn message(push: PushId) -> Outgoing {
    Outgoing { push, payload: push.to_string().into(), expires_at: NOW + 60 }
}
