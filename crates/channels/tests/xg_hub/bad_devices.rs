//! Bad devices: silent ones, ones that do not read, ones that flood, ones that speak no MQTT.

use std::time::Duration;

use mqtt_proto::Protocol;
use mqtt_proto::v5::DisconnectReasonCode;
use pigeonloft_channels::xg::{Handed, Limits, Tracker};
use pigeonloft_model::DeviceId;
use pigeonloft_model::payload::Payload;
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use crate::common::{Device, NEVER, connect, hub, online};
use crate::disconnected;

#[tokio::test(start_paused = true)]
async fn a_silent_device_is_disconnected_after_one_and_a_half_keep_alives() {
    let (hub, _desk) = hub(Limits::default());
    let (mut phone, _served) = online(&hub, 7, Protocol::V500).await;
    let begun = Instant::now();
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_secs(60)).await;
        phone.expect_silence().await;
    }
    assert_eq!(phone.next().await, disconnected(DisconnectReasonCode::KeepAliveTimeout));
    assert_eq!(begun.elapsed().as_secs(), 5 * 60 + 90);
}

#[tokio::test(start_paused = true)]
async fn a_device_that_does_not_read_is_closed_and_costs_a_bounded_buffer() {
    let limits = Limits { max_unwritten: 2000, ..Limits::default() };
    let (hub, desk) = hub(limits.clone());
    // The pipe holds CONNACK and SUBACK, and little more.
    let (stream, served) = connect(&hub, 256);
    let mut phone = Device::new(stream, Protocol::V311);
    phone.login(7).await;
    phone.subscribe().await;
    phone.expect_silence().await;
    let begun = Instant::now();
    let mut accepted = 0;
    for push in 1..=1000 {
        let long = format!(r#"{{"push_id":"{push}","title":"{}"}}"#, "x".repeat(480));
        match hub.send(&Payload::from_stored(long).unwrap(), &[DeviceId(7)], NEVER, &Tracker::new(1))[..] {
            [Handed::Accepted] => accepted += 1,
            _ => desk.put(7, push),
        }
        tokio::task::yield_now().await;
    }
    assert!((4..=6).contains(&accepted), "{accepted} were accepted");
    served.await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), limits.write_stall.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_device_that_floods_and_does_not_read_is_not_read_either() {
    let (hub, _desk) = hub(Limits { max_unwritten: 1000, ..Limits::default() });
    let (stream, served) = connect(&hub, 256);
    let mut phone = Device::new(stream, Protocol::V311);
    phone.login(7).await;
    let flood = tokio::time::timeout(Duration::from_secs(1), phone.send_bytes(&[0xc0, 0].repeat(5000))).await;
    assert!(flood.is_err(), "10,000 bytes fit into the pipe only if somebody reads them all");
    // It reads at last, and is answered to the end.
    let mut answered = [0; 600];
    phone.stream.read_exact(&mut answered).await.unwrap();
    assert_eq!(answered[..4], [0xd0, 0, 0xd0, 0]);
    drop(phone);
    served.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_no_mqtt_closes_its_connection_and_no_other() {
    let (hub, _desk) = hub(Limits::default());
    let (mut neighbour, _served) = online(&hub, 1, Protocol::V500).await;
    let after_connect: [(&[u8], DisconnectReasonCode); 7] = [
        (&[0xf0, 0x00], DisconnectReasonCode::ProtocolError),
        (&[0x41, 0x02, 0, 1], DisconnectReasonCode::MalformedPacket),
        (&[0x40, 0x02, 0, 0], DisconnectReasonCode::MalformedPacket),
        (&[0x30, 0xff, 0xff, 0xff, 0xff], DisconnectReasonCode::MalformedPacket),
        (&[0x30, 0x80, 0x40], DisconnectReasonCode::PacketTooLarge),
        (&[0xc0, 0x01, 0], DisconnectReasonCode::MalformedPacket),
        (&[0x31, 0x0a, 0, 7, b'r', b'e', b'c', b'e', b'i', b'p', b't', 0], DisconnectReasonCode::RetainNotSupported),
    ];
    for (bytes, reason) in after_connect {
        let (mut phone, served) = online(&hub, 7, Protocol::V500).await;
        phone.send_bytes(bytes).await;
        assert_eq!(phone.next().await, disconnected(reason), "{bytes:?}");
        assert_eq!(phone.next().await, None);
        drop(phone);
        served.await.unwrap();
    }
    let before_connect: [&[u8]; 4] =
        [b"GET / HTTP/1.1\r\n\r\n", &[0x10, 0xff, 0xff, 0x7f], &[0xc0, 0], &[0x16, 3, 1, 0, 0xff]];
    for bytes in before_connect {
        let (stream, served) = connect(&hub, 65_536);
        let mut phone = Device::new(stream, Protocol::V311);
        phone.send_bytes(bytes).await;
        assert_eq!(phone.next().await, None);
        served.await.unwrap();
    }
    for (level, answer) in [(3, &[0x20, 2, 0, 1][..]), (6, &[0x20, 3, 0, 0x84, 0][..])] {
        let (stream, _served) = connect(&hub, 65_536);
        let mut phone = Device::new(stream, Protocol::V311);
        phone.send_bytes(&[0x10, 7, 0, 4, b'M', b'Q', b'T', b'T', level]).await;
        let mut received = vec![0; answer.len()];
        phone.stream.read_exact(&mut received).await.unwrap();
        assert_eq!(received, answer, "level {level}");
    }
    assert_eq!(hub.stats().malformed.load(std::sync::atomic::Ordering::Relaxed), 11);
    neighbour.expect_silence().await;
}
