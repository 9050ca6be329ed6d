use mqtt_proto::{Pid, QoS, v3, v5};
use proptest::prelude::*;

use super::decode::NOT_FOR_SERVERS;
use super::*;

/// Reads all packets of a stream that comes in these chunks, as a connection does.
fn read(chunks: &[&[u8]], max_packet: usize) -> (Vec<Packet>, Option<Fault>) {
    let mut codec = Codec::new(max_packet);
    let mut packets = Vec::new();
    let mut incoming = Vec::new();
    for chunk in chunks {
        incoming.extend_from_slice(chunk);
        loop {
            match codec.decode(&incoming) {
                Ok(None) => break,
                Ok(Some((packet, length))) => {
                    assert!(length >= 2 && length <= incoming.len() && length <= max_packet);
                    incoming.drain(..length);
                    packets.push(packet);
                }
                Err(fault) => return (packets, Some(fault)),
            }
        }
        assert!(incoming.len() < max_packet.max(5), "no more is kept than one packet can be");
    }
    (packets, None)
}

/// Cuts a stream at these places, each taken modulo what is left.
fn cut<'a>(mut bytes: &'a [u8], places: &[u8]) -> Vec<&'a [u8]> {
    let mut chunks = Vec::new();
    for place in places {
        let (chunk, rest) = bytes.split_at(usize::from(*place) % (bytes.len() + 1));
        chunks.push(chunk);
        bytes = rest;
    }
    chunks.push(bytes);
    chunks
}

fn connect(version: Version) -> Vec<u8> {
    let client_id: Arc<str> = "phone".into();
    match version {
        Version::V311 => v3::Packet::Connect(v3::Connect::new(client_id, 60)).encode().unwrap().as_ref().to_vec(),
        Version::V5 => v5::Packet::Connect(v5::Connect::new(client_id, 60)).encode().unwrap().as_ref().to_vec(),
    }
}

fn id(id: u16) -> Pid {
    Pid::try_from(id).unwrap()
}

/// A packet a device may send, as bytes and as what it means.
fn device_packet(version: Version) -> impl Strategy<Value = (Vec<u8>, Packet)> {
    let topic = prop_oneof![Just("receipt"), Just("push"), Just("a/b")].prop_map(|t| TopicName::try_from(t).unwrap());
    let filter =
        prop_oneof![Just("push"), Just("#"), Just("$share/a/b")].prop_map(|t| TopicFilter::try_from(t).unwrap());
    let payload = proptest::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from);
    prop_oneof![
        Just((vec![0xc0, 0], Packet::Ping)),
        (1..=u16::MAX).prop_map(move |n| (puback_bytes(version, n), Packet::Puback { id: n, refused: false })),
        (topic, payload, 0..3_u8, 1..=u16::MAX).prop_map(move |(topic, payload, qos, n)| {
            let (qos, answer) = match qos {
                0 => (QosPid::Level0, Answer::Nothing),
                1 => (QosPid::Level1(id(n)), Answer::Puback(n)),
                _ => (QosPid::Level2(id(n)), Answer::Pubrec(n)),
            };
            let meaning = Publish { topic: topic.clone(), payload: payload.clone(), answer, retain: false };
            let bytes = match version {
                Version::V311 => v3::Packet::Publish(v3::Publish::new(qos, topic, payload)).encode(),
                Version::V5 => v5::Packet::Publish(v5::Publish::new(qos, topic, payload)).encode(),
            };
            (bytes.unwrap().as_ref().to_vec(), Packet::Publish(meaning))
        }),
        (proptest::collection::vec(filter, 1..4), 1..=u16::MAX).prop_map(move |(filters, n)| {
            let bytes = match version {
                Version::V311 => {
                    let topics = filters.iter().map(|filter| (filter.clone(), QoS::Level0)).collect();
                    v3::Packet::Subscribe(v3::Subscribe::new(id(n), topics)).encode()
                }
                Version::V5 => {
                    let options = v5::SubscriptionOptions::new(QoS::Level1);
                    let topics = filters.iter().map(|filter| (filter.clone(), options)).collect();
                    v5::Packet::Subscribe(v5::Subscribe::new(id(n), topics)).encode()
                }
            };
            (bytes.unwrap().as_ref().to_vec(), Packet::Subscribe { id: n, filters, numbered: false })
        }),
    ]
}

fn puback_bytes(version: Version, n: u16) -> Vec<u8> {
    let mut out = Vec::new();
    puback(&mut out, version, id(n), v5::PubackReasonCode::Success);
    out
}

fn any_version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::V311), Just(Version::V5)]
}

proptest! {
    #[test]
    fn arbitrary_bytes_read_alike_however_they_are_cut(
        greeting in proptest::option::of(any_version()),
        noise in proptest::collection::vec(any::<u8>(), 0..300),
        places in proptest::collection::vec(any::<u8>(), 0..20),
        max_packet in 40..200_usize,
    ) {
        let mut bytes = greeting.map(connect).unwrap_or_default();
        bytes.extend(noise);
        prop_assert_eq!(read(&cut(&bytes, &places), max_packet), read(&[&bytes], max_packet));
    }

    #[test]
    fn what_a_device_says_is_understood_however_it_is_cut(
        (version, said) in any_version().prop_flat_map(|version| {
            (Just(version), proptest::collection::vec(device_packet(version), 0..20))
        }),
        places in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut bytes = connect(version);
        bytes.extend(said.iter().flat_map(|(bytes, _)| bytes));
        let (mut packets, fault) = read(&cut(&bytes, &places), 4096);
        prop_assert_eq!(fault, None);
        prop_assert!(matches!(packets.remove(0), Packet::Connect(_)));
        let meant: Vec<_> = said.into_iter().map(|(_, packet)| packet).collect();
        prop_assert_eq!(packets, meant);
    }

    #[test]
    fn a_damaged_packet_is_a_fault_or_another_packet_and_never_a_panic(
        (version, (mut bytes, _)) in any_version().prop_flat_map(|version| (Just(version), device_packet(version))),
        place in any::<prop::sample::Index>(),
        value in any::<u8>(),
    ) {
        let place = place.index(bytes.len());
        bytes[place] = value;
        let greeting = connect(version);
        let whole = read(&[&greeting, &bytes], 4096);
        let single: Vec<_> = greeting.chunks(1).chain(bytes.chunks(1)).collect();
        prop_assert_eq!(read(&single, 4096), whole);
    }

    #[test]
    fn a_message_is_read_back_by_its_device(
        version in any_version(),
        payload in proptest::collection::vec(any::<u8>(), 0..20_000).prop_map(Bytes::from),
        cut in any::<prop::sample::Index>(),
        expires_in in any::<u32>(),
        n in 1..=u16::MAX,
        limit in 0..25_000_usize,
    ) {
        let mut out = vec![1, 2, 3];
        let (head, tail) = payload.split_at(cut.index(payload.len() + 1));
        let result = publish(&mut out, version, id(n), [head, tail], expires_in, limit);
        prop_assert_eq!(&out[..3], [1, 2, 3]);
        let packet = &out[3..];
        if let Err(TooLargeForDevice { size }) = result {
            prop_assert!(packet.is_empty() && size > limit);
            return Ok(());
        }
        prop_assert!(packet.len() <= limit);
        // As the library writes it.
        let (topic, qos) = (TopicName::try_from("push").unwrap(), QosPid::Level1(id(n)));
        let expected = match version {
            Version::V311 => v3::Packet::Publish(v3::Publish::new(qos, topic, payload)).encode(),
            Version::V5 => {
                let mut publish = v5::Publish::new(qos, topic, payload);
                publish.properties.message_expiry_interval = Some(expires_in);
                v5::Packet::Publish(publish).encode()
            }
        }
        .unwrap();
        prop_assert_eq!(packet, expected.as_ref());
    }
}

#[test]
fn a_packet_above_the_limit_is_refused_before_it_is_read() {
    let greeting = connect(Version::V5);
    let exactly = [&[0x30, 98, 0, 1, b'x', 0][..], &[0; 94]].concat();
    assert_eq!(exactly.len(), 100);
    let (packets, fault) = read(&[&greeting, &exactly], 100);
    assert_eq!((packets.len(), fault), (2, None));
    let (_, fault) = read(&[&greeting, &[0x30, 99]], 100);
    assert_eq!(fault, Some(Fault::TooLarge { size: 101, limit: 100 }));
    let (_, fault) = read(&[&[0x10, 0xff, 0xff, 0xff, 0x7f]], 100);
    assert_eq!(fault, Some(Fault::TooLarge { size: 268_435_460, limit: 100 }));
}

#[test]
fn what_a_device_may_not_send_is_a_fault() {
    let cases: [(Version, &[u8], Fault); 8] = [
        (Version::V311, &[0x20, 2, 0, 0], NOT_FOR_SERVERS),
        (Version::V311, &[0x50, 2, 0, 1], NOT_FOR_SERVERS),
        (Version::V5, &[0xf0, 0], NOT_FOR_SERVERS),
        (Version::V5, &[0xd0, 0], NOT_FOR_SERVERS),
        (Version::V311, &connect(Version::V311), Fault::Protocol("a second CONNECT")),
        (Version::V311, &[0xa2, 2, 0, 1], Fault::Malformed("EmptySubscription".to_owned())),
        // Topic alias 1.
        (Version::V5, &[0x30, 7, 0, 1, b'x', 3, 0x23, 0, 1], Fault::TopicAlias),
        (Version::V5, &[0xe0, 4, 0, 0, 1, 2], Fault::Malformed("bytes after the last field".to_owned())),
    ];
    for (version, bytes, expected) in cases {
        let (_, fault) = read(&[&connect(version), bytes], 4096);
        assert_eq!(fault, Some(expected), "{version:?} {bytes:?}");
    }
}

#[test]
fn a_retained_message_is_marked_in_5_and_taken_as_any_other_in_3_1_1() {
    for (version, bytes, retain) in
        [(Version::V311, &[0x31, 3, 0, 1, b'x'][..], false), (Version::V5, &[0x31, 4, 0, 1, b'x', 0][..], true)]
    {
        let (mut packets, _) = read(&[&connect(version), bytes], 4096);
        let Some(Packet::Publish(publish)) = packets.pop() else { panic!("no message") };
        assert_eq!(publish.retain, retain);
    }
}

#[test]
fn a_password_is_not_shown() {
    let mut connect = v5::Connect::new("phone".into(), 60);
    connect.password = Some(Bytes::from_static(b"hunter2"));
    let bytes = v5::Packet::Connect(connect).encode().unwrap();
    let (packets, _) = read(&[bytes.as_ref()], 4096);
    let Packet::Connect(connect) = &packets[0] else { panic!("no CONNECT") };
    assert_eq!(connect.password.as_ref().unwrap().0, "hunter2");
    assert!(!format!("{packets:?}").contains("hunter2"));
}
