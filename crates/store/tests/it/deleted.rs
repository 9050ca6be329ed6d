//! Deleted devices whose batch is under way: they are gone, whatever comes between.

use std::sync::Arc;

use pigeonloft_model::Outcome;
use pigeonloft_store::doctor::{Doctor, StrayInbox};
use pigeonloft_store::{Batch, NewPush, Recipient};

use crate::support::{APP, FAR_AHEAD, Loft, accepted, batch, new_push};

/// How many deleted devices are noted.
fn noted(loft: &Loft) -> u64 {
    let sql = "SELECT count(*) FROM deleted_device";
    loft.behind_its_back().query_row(sql, [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn who_is_deleted_while_its_batch_is_under_way_is_gone() {
    let loft = Loft::open().await;
    let devices = loft.devices(6).await;
    let push_id = loft.push(8, FAR_AHEAD).await;
    let [waiting, sent, arrived] = [Outcome::Waiting, Outcome::Sent, Outcome::Arrived];
    let outcomes = [waiting, sent, arrived, sent, waiting, waiting];
    let resolved: Vec<_> = devices.iter().copied().zip(outcomes).collect();

    for device in &devices[..3] {
        loft.store.delete_device(*device).await.unwrap();
    }
    // The server is killed, and resolved them before.
    let loft = loft.reopened();
    loft.record(push_id, 0, &resolved[..4]).await.unwrap();
    let counts = loft.counts(push_id).await;
    assert_eq!((counts.targets, counts.gone, counts.arrived, counts.waiting, counts.sent), (4, 2, 1, 1, 3));
    assert_eq!(loft.waiting(devices[0], 0).await, []);
    assert_eq!(loft.waiting(devices[3], 0).await, [push_id]);

    // One of a later batch, and one that an earlier one dealt with.
    loft.store.delete_device(devices[4]).await.unwrap();
    loft.record(push_id, 4, &[resolved[4], resolved[0], resolved[4], resolved[5]]).await.unwrap();
    let counts = loft.counts(push_id).await;
    assert_eq!((counts.targets, counts.gone, counts.arrived, counts.waiting, counts.sent), (6, 3, 1, 2, 3));
    assert_eq!(loft.store.inbox_size().await.unwrap(), 2);

    loft.store.finish_push(push_id, None).await.unwrap();
    let dir = loft.dir;
    drop(loft.store);
    let doctor = Doctor::open(dir.path(), false).unwrap();
    assert_eq!(doctor.push(push_id).unwrap(), []);
    assert_eq!(doctor.inboxes(|_| {}).unwrap(), StrayInbox { looked_at: 2, ..StrayInbox::default() });
}

#[tokio::test]
async fn whoever_records_the_batch_is_told_how_many_are_gone() {
    let loft = Loft::open().await;
    let devices = loft.devices(3).await;
    let push_id = loft.push(3, FAR_AHEAD).await;
    loft.store.delete_device(devices[1]).await.unwrap();
    let recipients = devices.iter().map(|&device| Recipient::own(device, Outcome::Waiting)).collect();
    let last = Batch { is_last: true, ..batch(push_id, 0, 3, 0, recipients) };
    let written = loft.store.permit().await.unwrap().record_batch(Arc::new(last));
    assert_eq!(written.await.unwrap(), 1);
    assert_eq!(loft.counts(push_id).await.gone, 1);
}

#[tokio::test]
async fn a_deletion_is_noted_only_until_the_pushes_of_its_time_have_ended() {
    let loft = Loft::open().await;
    let devices = loft.devices(4).await;
    loft.store.delete_device(devices[0]).await.unwrap();
    let later = NewPush { start_at: FAR_AHEAD, ..new_push(APP, 1, FAR_AHEAD + 1) };
    accepted(loft.store.add_pushes(vec![later], |_, _| String::new()).await.unwrap());
    loft.store.delete_device(devices[1]).await.unwrap();
    assert_eq!(noted(&loft), 0, "none is under way");

    let (first, second) = (loft.push(9, FAR_AHEAD).await, loft.push(9, FAR_AHEAD).await);
    loft.store.start_push(second).await.unwrap().unwrap();
    loft.store.delete_device(devices[2]).await.unwrap();
    let third = loft.push(9, FAR_AHEAD).await;
    loft.store.delete_device(devices[3]).await.unwrap();
    assert_eq!(loft.store.forget_deleted_devices(10).await.unwrap(), 0);
    loft.store.finish_push(first, None).await.unwrap();
    assert_eq!(loft.store.forget_deleted_devices(10).await.unwrap(), 0);
    loft.store.finish_push(second, None).await.unwrap();
    assert_eq!(loft.store.forget_deleted_devices(10).await.unwrap(), 1, "the third came after it");
    assert_eq!(noted(&loft), 1);
    loft.store.finish_push(third, None).await.unwrap();
    assert_eq!(loft.store.forget_deleted_devices(10).await.unwrap(), 1);
    assert_eq!(loft.store.forget_deleted_devices(10).await.unwrap(), 0);
}

#[tokio::test]
async fn a_push_that_is_stopped_may_still_have_a_batch_under_way() {
    let loft = Loft::open().await;
    let devices = loft.devices(2).await;
    let push_id = loft.push(2, FAR_AHEAD).await;
    loft.store.start_push(push_id).await.unwrap().unwrap();
    assert!(loft.store.stop_push(APP, push_id).await.unwrap());
    loft.store.delete_device(devices[0]).await.unwrap();
    assert_eq!(loft.store.forget_deleted_devices(10).await.unwrap(), 0);
    loft.record(push_id, 0, &[(devices[0], Outcome::Waiting), (devices[1], Outcome::Sent)]).await.unwrap();
    let counts = loft.counts(push_id).await;
    assert_eq!((counts.gone, counts.waiting), (1, 1));
}
