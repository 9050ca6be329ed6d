//! Endings: a newer connection, a deleted device, a server that stops; each leaves nothing behind.

use std::sync::Arc;

use mqtt_proto::Protocol;
use mqtt_proto::v5::DisconnectReasonCode;
use pigeonloft_channels::xg::{Limits, Tracker};
use pigeonloft_model::DeviceId;

use crate::common::{Device, NEVER, connect, hub, logged_in, online, payload};
use crate::{disconnected, soon};

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
