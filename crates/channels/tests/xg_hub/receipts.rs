//! Receipts: what a device says beyond arrival, taken once it is durable and never lost on the way.

use std::time::Duration;

use mqtt_proto::v5::DisconnectReasonCode;
use mqtt_proto::{Pid, Protocol, v5};
use pigeonloft_channels::xg::{Limits, ReceiptEvent};
use pigeonloft_model::{DeviceId, PushId};

use crate::common::{self, Device, connect, hub, online};
use crate::{VERSIONS, disconnected};

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
