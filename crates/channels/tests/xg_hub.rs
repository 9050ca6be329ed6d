//! The hub and its connections, over pipes: what a device sees, and what the server is told.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Device, LONG, NEVER, connect, hub, logged_in, online, payload, subscribe_packet};
use mqtt_proto::v5::{ConnectReasonCode, DisconnectReasonCode, Packet};
use mqtt_proto::{Pid, Protocol, TopicFilter, v5};
use pigeonloft_channels::xg::{AckSet, Handed, Limits, ReceiptEvent, Tracker};
use pigeonloft_model::payload::Payload;
use pigeonloft_model::{DeviceId, PushId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

const VERSIONS: [Protocol; 2] = [Protocol::V311, Protocol::V500];

fn soon() -> Instant {
    Instant::now() + LONG
}

fn disconnected(reason: DisconnectReasonCode) -> Option<Packet> {
    Some(v5::Disconnect::new(reason).into())
}

fn acked(tracker: &Tracker) -> Vec<usize> {
    tracker.close_with(|set: &AckSet| set.iter().collect())
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_sent_oldest_first_and_what_comes_follows() {
    for version in VERSIONS {
        let (hub, desk) = hub(Limits::default());
        for push in [3, 1, 2] {
            desk.put(7, push);
        }
        let (mut phone, _served) = logged_in(&hub, 7, version).await;
        phone.expect_silence().await;
        phone.subscribe().await;
        for push in [1, 2, 3] {
            let (pid, received) = phone.expect_push().await;
            assert_eq!(received, push, "{version}");
            phone.ack(pid).await;
        }
        desk.until("three are acknowledged", |book| book.arrived.len() == 3).await;
        let tracker = Tracker::new(1);
        assert_eq!(hub.send(&payload(4), &[DeviceId(7)], NEVER, &tracker), [Handed::Accepted]);
        let (pid, received) = phone.expect_push().await;
        assert_eq!(received, 4);
        phone.ack(pid).await;
        tracker.wait(soon()).await;
        assert_eq!(acked(&tracker), [0]);
        assert_eq!(desk.book().arrived.len(), 3, "the tracker took the fourth");
        assert_eq!(hub.stats().published.load(std::sync::atomic::Ordering::Relaxed), 4);
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_is_offline_until_it_subscribes_and_after_it_unsubscribes() {
    for version in VERSIONS {
        let (hub, desk) = hub(Limits::default());
        let tracker = Tracker::new(1);
        let offered = || hub.send(&payload(1), &[DeviceId(7)], NEVER, &tracker);
        assert_eq!(offered(), [Handed::Offline]);
        let (mut phone, _served) = logged_in(&hub, 7, version).await;
        assert_eq!((offered(), hub.is_online(DeviceId(7)), hub.connected()), (vec![Handed::Offline], false, 1));
        phone.subscribe().await;
        phone.expect_silence().await;
        assert!(hub.is_online(DeviceId(7)));
        let filter = TopicFilter::try_from("push").unwrap();
        phone.send(v5::Unsubscribe::new(Pid::default(), vec![filter])).await;
        assert!(matches!(phone.next().await, Some(Packet::Unsuback(_))));
        assert_eq!((offered(), hub.is_online(DeviceId(7))), (vec![Handed::Offline], false));
        desk.put(7, 2);
        hub.wake(PushId(2), &[DeviceId(7)]);
        phone.expect_silence().await;
        phone.subscribe().await;
        assert_eq!(phone.expect_push().await.1, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_after_the_tracker_closed_goes_to_the_desk() {
    let (hub, desk) = hub(Limits::default());
    let (mut phone, _served) = online(&hub, 7, Protocol::V500).await;
    let tracker = Tracker::new(1);
    assert_eq!(hub.send(&payload(1), &[DeviceId(7)], NEVER, &tracker), [Handed::Accepted]);
    let (pid, _) = phone.expect_push().await;
    // The sender waits no longer, and puts the message into the inbox.
    tracker.wait(Instant::now() + Duration::from_millis(50)).await;
    let none: Vec<usize> = Vec::new();
    assert_eq!(acked(&tracker), none);
    desk.put(7, 1);
    hub.wake(PushId(1), &[DeviceId(7)]);
    // It is in flight: it does not come again.
    phone.expect_silence().await;
    assert_eq!(desk.book().arrived, []);
    phone.ack(pid).await;
    desk.until("it arrived", |book| book.arrived == [(DeviceId(7), PushId(1))]).await;
    assert!(desk.book().inbox.is_empty());
    hub.wake(PushId(1), &[DeviceId(7)]);
    phone.expect_silence().await;
}

#[tokio::test(start_paused = true)]
async fn a_newer_connection_takes_over_and_goes_on_where_the_older_one_stopped() {
    let (hub, desk) = hub(Limits::default());
    for push in [1, 2] {
        desk.put(7, push);
    }
    let (mut old, old_served) = logged_in(&hub, 7, Protocol::V500).await;
    old.subscribe().await;
    let (pid, _) = old.expect_push().await;
    old.expect_push().await;
    old.ack(pid).await;
    desk.until("the first arrived", |book| book.arrived.len() == 1).await;

    let (mut new, _served) = logged_in(&hub, 7, Protocol::V500).await;
    assert_eq!(old.next().await, disconnected(DisconnectReasonCode::SessionTakenOver));
    assert_eq!(old.next().await, None);
    drop(old);
    old_served.await.unwrap();
    let device = DeviceId(7);
    assert_eq!(desk.book().calls, [("opened", device), ("arrived", device), ("closed", device), ("opened", device)]);
    new.subscribe().await;
    assert_eq!(new.expect_push().await.1, 2, "the first is acknowledged, the second is not");
    new.expect_silence().await;
    assert_eq!(hub.connected(), 1);
    assert!(hub.is_online(device), "the older one took only itself out");
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_gives_its_live_messages_up_at_once() {
    let (hub, desk) = hub(Limits::default());
    let (mut phone, served) = online(&hub, 7, Protocol::V311).await;
    let tracker = Tracker::new(1);
    hub.send(&payload(1), &[DeviceId(7)], NEVER, &tracker);
    phone.expect_push().await;
    drop(phone);
    let begun = Instant::now();
    tracker.wait(begun + LONG).await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    served.await.unwrap();
    assert_eq!(hub.send(&payload(2), &[DeviceId(7)], NEVER, &Tracker::new(1)), [Handed::Offline]);
    assert_eq!(desk.book().calls.last(), Some(&("closed", DeviceId(7))));
}

#[tokio::test(start_paused = true)]
async fn a_device_that_acknowledges_nothing_delays_itself_alone() {
    let (hub, desk) = hub(Limits::default());
    let (mut slow, _slow_served) = online(&hub, 1, Protocol::V311).await;
    let (mut quick, _quick_served) = online(&hub, 2, Protocol::V500).await;
    let mut busy = Vec::new();
    for push in 1..=100 {
        let tracker = Tracker::new(2);
        let handed = hub.send(&payload(push), &[DeviceId(1), DeviceId(2)], NEVER, &tracker);
        assert_eq!(handed[1], Handed::Accepted);
        let (pid, _) = quick.expect_push().await;
        quick.ack(pid).await;
        quick.expect_silence().await;
        acked(&tracker);
        hub.settled(DeviceId(2), PushId(push));
        if handed[0] == Handed::Busy {
            busy.push(push);
            desk.put(1, push);
            hub.wake(PushId(push), &[DeviceId(1)]);
        }
    }
    assert_eq!(busy, (33..=100).collect::<Vec<_>>(), "a window's worth went out");
    for push in 1..=100 {
        let (pid, received) = slow.expect_push().await;
        assert_eq!(received, push, "in order, and once");
        slow.ack(pid).await;
    }
    slow.expect_silence().await;
    desk.until("everything is out of the inbox", |book| book.inbox.is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn a_session_waits_for_acknowledgements_to_be_settled_and_never_sends_them_again() {
    let limits = Limits { window: 4, max_unsettled: 8, ..Limits::default() };
    let (hub, desk) = hub(limits);
    *desk.settles.lock().unwrap() = false;
    for push in 1..=20 {
        desk.put(7, push);
    }
    let (mut phone, _served) = logged_in(&hub, 7, Protocol::V500).await;
    phone.subscribe().await;
    for push in 1..=8 {
        let (pid, received) = phone.expect_push().await;
        assert_eq!(received, push);
        phone.ack(pid).await;
    }
    phone.expect_silence().await;
    hub.wake(PushId(9), &[DeviceId(7)]);
    phone.expect_silence().await;
    assert_eq!(hub.send(&payload(99), &[DeviceId(7)], NEVER, &Tracker::new(1)), [Handed::Busy]);
    for push in 1..=8 {
        desk.book().inbox.remove(&(DeviceId(7), PushId(push)));
        hub.settled(DeviceId(7), PushId(push));
    }
    assert_eq!(phone.expect_push().await.1, 9);
    assert!(desk.book().largest_except <= 8);
}

#[tokio::test(start_paused = true)]
async fn an_inbox_that_cannot_be_read_is_read_later() {
    let (hub, desk) = hub(Limits::default());
    desk.put(7, 1);
    *desk.unavailable.lock().unwrap() = true;
    let (mut phone, _served) = logged_in(&hub, 7, Protocol::V311).await;
    phone.subscribe().await;
    phone.expect_silence().await;
    *desk.unavailable.lock().unwrap() = false;
    let begun = Instant::now();
    assert_eq!(phone.expect_push().await.1, 1);
    assert_eq!(begun.elapsed().as_secs(), Limits::default().look_again.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_receipt_is_acknowledged_when_the_desk_has_taken_it() {
    for version in VERSIONS {
        let (hub, desk) = hub(Limits::default());
        let (mut phone, _served) = online(&hub, 7, version).await;
        phone.receipt(None, 5, "shown").await;
        phone.expect_silence().await;
        desk.receipt_permits.forget_permits(usize::MAX);
        phone.receipt(Some(9), 5, "clicked").await;
        let early = tokio::time::timeout(Duration::from_secs(1), phone.next()).await;
        assert!(early.is_err(), "not acknowledged before it is taken");
        desk.receipt_permits.add_permits(10);
        assert_eq!(phone.next().await, Some(v5::Puback::new_success(Pid::try_from(9).unwrap()).into()));
        let device = DeviceId(7);
        assert_eq!(
            desk.book().receipts,
            [(device, PushId(5), ReceiptEvent::Shown), (device, PushId(5), ReceiptEvent::Clicked)]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_receipt_the_desk_cannot_take_ends_the_connection() {
    let (hub, desk) = hub(Limits::default());
    let (mut phone, _served) = online(&hub, 7, Protocol::V500).await;
    *desk.unavailable.lock().unwrap() = true;
    phone.receipt(None, 5, "shown").await;
    phone.expect_silence().await;
    phone.receipt(Some(9), 5, "shown").await;
    assert_eq!(phone.next().await, disconnected(DisconnectReasonCode::ServerBusy));
    assert_eq!(phone.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_receipt_on_its_way_is_taken_before_its_connection_ends() {
    let (hub, desk) = hub(Limits::default());
    let (mut old, old_served) = online(&hub, 7, Protocol::V500).await;
    desk.receipt_permits.forget_permits(usize::MAX);
    old.receipt(None, 5, "cleared").await;
    // It closes at once, as a program does that has nothing else to say.
    drop(old);
    let (stream, _served) = connect(&hub, 65_536);
    let mut new = Device::new(stream, Protocol::V500);
    let login = tokio::spawn(async move {
        new.login(7).await;
        new
    });
    tokio::task::yield_now().await;
    assert!(!login.is_finished());
    desk.receipt_permits.add_permits(1);
    login.await.unwrap();
    old_served.await.unwrap();
    assert_eq!(desk.book().receipts, [(DeviceId(7), PushId(5), ReceiptEvent::Cleared)]);
    let names: Vec<_> = desk.book().calls.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["opened", "closed", "opened"]);
}

#[tokio::test(start_paused = true)]
async fn who_may_not_come_in_is_told_why() {
    let token = common::token(7);
    let cases: [(&str, Option<&str>, Option<&str>, ConnectReasonCode); 8] = [
        ("", Some(common::APP), Some(common::PASSWORD), ConnectReasonCode::ClientIdentifierNotValid),
        ("phone", Some(common::APP), Some(common::PASSWORD), ConnectReasonCode::ClientIdentifierNotValid),
        (&token, None, Some(common::PASSWORD), ConnectReasonCode::BadUserNameOrPassword),
        (&token, Some("me"), Some(common::PASSWORD), ConnectReasonCode::BadUserNameOrPassword),
        (&token, Some(common::APP), None, ConnectReasonCode::BadUserNameOrPassword),
        (&token, Some(common::APP), Some("guess"), ConnectReasonCode::BadUserNameOrPassword),
        (&token, Some(common::APP), Some("banned"), ConnectReasonCode::NotAuthorized),
        (&token, Some(common::APP), Some("later"), ConnectReasonCode::ServerUnavailable),
    ];
    let (hub, desk) = hub(Limits::default());
    for version in VERSIONS {
        for (id, user, password, reason) in &cases {
            let (stream, served) = connect(&hub, 65_536);
            let mut phone = Device::new(stream, version);
            let mut connect = common::connect_packet(7);
            connect.client_id = (*id).into();
            connect.username = user.map(Into::into);
            connect.password = password.map(|password| password.to_owned().into());
            phone.send(connect).await;
            let Some(Packet::Connack(connack)) = phone.next().await else { panic!("no CONNACK for {id} {user:?}") };
            assert_eq!(connack.reason_code, *reason, "{version} {id} {user:?} {password:?}");
            assert_eq!(phone.next().await, None);
            drop(phone);
            served.await.unwrap();
        }
    }
    assert_eq!(hub.stats().refused.load(std::sync::atomic::Ordering::Relaxed), 16);
    assert_eq!((hub.connected(), desk.book().calls.len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_connect_must_be_complete_in_time_however_it_trickles() {
    let (hub, _desk) = hub(Limits::default());
    let (stream, served) = connect(&hub, 65_536);
    let mut phone = Device::new(stream, Protocol::V311);
    let begun = Instant::now();
    let trickle = tokio::spawn(async move {
        for byte in common::encode(Protocol::V311, common::connect_packet(7).into()) {
            if phone.stream.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(900)).await;
        }
        panic!("the connection outlived its limit");
    });
    served.await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 10);
    trickle.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_desk_that_does_not_answer_is_unavailable() {
    let (hub, _desk) = hub(Limits::default());
    let (stream, _served) = connect(&hub, 65_536);
    let mut phone = Device::new(stream, Protocol::V311);
    let mut connect = common::connect_packet(7);
    connect.password = Some("hang".into());
    phone.send(connect).await;
    let Some(Packet::Connack(connack)) = phone.next().await else { panic!("no CONNACK") };
    assert_eq!(connack.reason_code, ConnectReasonCode::ServerUnavailable);
}

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

#[tokio::test(start_paused = true)]
async fn only_push_can_be_subscribed_to() {
    use v5::SubscribeReasonCode as Code;
    let cases = [
        ("push", Code::GrantedQoS1),
        ("#", Code::WildcardSubscriptionsNotSupported),
        ("+", Code::WildcardSubscriptionsNotSupported),
        ("$share/a/push", Code::SharedSubscriptionNotSupported),
        ("push/", Code::NotAuthorized),
        ("receipt", Code::NotAuthorized),
    ];
    for (filter, code) in cases {
        for version in VERSIONS {
            let (hub, _desk) = hub(Limits::default());
            let (mut phone, _served) = logged_in(&hub, 7, version).await;
            phone.send(subscribe_packet(filter)).await;
            let Some(Packet::Suback(suback)) = phone.next().await else { panic!("no SUBACK") };
            let expected =
                if version == Protocol::V500 || code == Code::GrantedQoS1 { code } else { Code::UnspecifiedError };
            assert_eq!(suback.topics, [expected], "{version} {filter}");
            assert_eq!(hub.is_online(DeviceId(7)), code == Code::GrantedQoS1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_deleted_device_is_disconnected() {
    let (hub, _desk) = hub(Limits::default());
    let (mut phone, served) = online(&hub, 7, Protocol::V500).await;
    hub.disconnect(DeviceId(7));
    hub.disconnect(DeviceId(8));
    assert_eq!(phone.next().await, disconnected(DisconnectReasonCode::AdministrativeAction));
    drop(phone);
    served.await.unwrap();
    assert!(!hub.is_online(DeviceId(7)));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_says_so_and_waits_for_its_connections() {
    let (hub, desk) = hub(Limits::default());
    let (mut phone, _served) = online(&hub, 7, Protocol::V500).await;
    let (stream, _half_open) = connect(&hub, 64);
    let drained = tokio::spawn({
        let hub = Arc::clone(&hub);
        async move { hub.drain().await }
    });
    assert_eq!(phone.next().await, disconnected(DisconnectReasonCode::ServerShuttingDown));
    drop(phone);
    drained.await.unwrap();
    drop(stream);
    assert_eq!(hub.connected(), 0);
    assert_eq!(desk.book().calls.last(), Some(&("closed", DeviceId(7))));
    let (stream, served) = connect(&hub, 65_536);
    served.await.unwrap();
    assert_eq!(Device::new(stream, Protocol::V500).next().await, None, "nobody comes in any more");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_cancelled_leaves_nothing_behind() {
    let (hub, desk) = hub(Limits::default());
    let (mut phone, served) = online(&hub, 7, Protocol::V500).await;
    let tracker = Tracker::new(1);
    hub.send(&payload(1), &[DeviceId(7)], NEVER, &tracker);
    phone.expect_push().await;
    served.abort();
    assert!(served.await.unwrap_err().is_cancelled());
    tracker.wait(soon()).await;
    assert_eq!((hub.connected(), hub.is_online(DeviceId(7))), (0, false));
    assert_eq!(desk.book().calls.last(), Some(&("closed", DeviceId(7))));
    online(&hub, 7, Protocol::V500).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_keeps_bytes_back_is_flushed() {
    let (hub, desk) = hub(Limits::default());
    desk.put(7, 1);
    let (device, server) = tokio::io::duplex(65_536);
    // As TLS and WebSocket do, it holds what is written until it is told to flush.
    tokio::spawn(Arc::clone(&hub).serve(tokio::io::BufStream::new(server), ([127, 0, 0, 1], 1).into(), ()));
    let mut phone = Device::new(device, Protocol::V311);
    phone.login(7).await;
    phone.subscribe().await;
    assert_eq!(phone.expect_push().await.1, 1);
    phone.expect_silence().await;
}

#[tokio::test(start_paused = true)]
async fn a_device_may_say_everything_at_once_and_close() {
    for version in VERSIONS {
        let (hub, desk) = hub(Limits::default());
        let (stream, served) = connect(&hub, 65_536);
        let mut phone = Device::new(stream, version);
        phone.send(common::connect_packet(7)).await;
        phone.receipt(None, 5, "shown").await;
        phone.receipt(Some(1), 6, "shown").await;
        phone.send(v5::Disconnect::new_normal()).await;
        drop(phone);
        served.await.unwrap();
        let pushes: Vec<_> = desk.book().receipts.iter().map(|(_, push, _)| push.0).collect();
        assert_eq!(pushes, [5, 6]);
    }
}
