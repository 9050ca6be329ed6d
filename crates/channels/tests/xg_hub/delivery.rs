//! Delivery: what a device receives, once and in order, and who hears of its acknowledgements.

use std::sync::Arc;
use std::time::Duration;

use mqtt_proto::v5::Packet;
use mqtt_proto::{Pid, Protocol, TopicFilter, v5};
use pigeonloft_channels::xg::{Handed, Limits, Tracker};
use pigeonloft_model::{DeviceId, PushId};
use tokio::time::Instant;

use crate::common::{Device, LONG, NEVER, hub, logged_in, online, payload};
use crate::{VERSIONS, acked, soon};

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
