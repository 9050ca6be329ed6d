//! Revocations: who has the message of a revoked push is to take it back, once, whenever it acknowledges.

use pigeonloft_model::{DeviceId, Outcome, PushId, PushState, ReceiptEvent};
use pigeonloft_store::{Acknowledged, Batch};

use crate::support::{APP, FAR_AHEAD, Loft, batch};

impl Loft {
    /// The push that takes this one back.
    async fn by(&self, push_id: PushId) -> PushId {
        self.store.revocation(push_id).await.unwrap().unwrap().push_id
    }

    /// Has a push start after all devices connected, but for those that are `seen` since.
    fn starts_late(&self, push_id: PushId, seen: &[DeviceId]) {
        let connection = self.behind_its_back();
        let later = 1000 * FAR_AHEAD;
        connection.execute("UPDATE push SET started_at = ?2 WHERE push_id = ?1", [push_id.0, later]).unwrap();
        for device in seen {
            connection.execute("UPDATE device SET seen_at = ?2 WHERE device_id = ?1", [device.0, later]).unwrap();
        }
    }
}

#[tokio::test]
async fn whoever_has_a_revoked_push_and_did_not_click_it_is_to_take_it_back() {
    let loft = Loft::open().await;
    let devices = loft.devices(6).await;
    let push_id = loft.push(6, FAR_AHEAD).await;
    let outcomes = [Outcome::Arrived, Outcome::Arrived, Outcome::Sent, Outcome::Waiting, Outcome::NotKept];
    let recipients: Vec<_> = devices.iter().copied().zip(outcomes).collect();
    loft.record(push_id, 0, &recipients).await.unwrap();
    loft.starts_late(push_id, &[devices[4]]);
    let receipts = vec![(devices[1], push_id, ReceiptEvent::Clicked), (devices[0], push_id, ReceiptEvent::Shown)];
    loft.store.acknowledge(Acknowledged { receipts, ..Acknowledged::default() }).await.unwrap();

    assert!(loft.revoke(push_id).await && loft.revoke(push_id).await);
    let by = loft.by(push_id).await;
    assert!(!loft.store.stop_push(APP, by).await.unwrap(), "it is nobody's push");
    assert!(loft.store.push(APP, by).await.unwrap().is_none());
    let due = || loft.store.due_pushes(1, 0..=u64::MAX, vec![], 10);
    assert_eq!(due().await.unwrap(), [push_id], "the push is to be ended first");
    let last = Batch { is_last: true, ..batch(push_id, 5, 1, 0, vec![]) };
    loft.record_batch(last).await.unwrap();
    assert_eq!(due().await.unwrap(), [by]);

    let started = loft.store.start_push(by).await.unwrap().unwrap();
    assert_eq!((started.takes_back, started.push.counts.audience_rows), (Some(push_id), 5));
    let reader = loft.store.reader().unwrap();
    let all = reader.holders(push_id, by, None, 10).unwrap();
    assert_eq!((all.read, all.last, all.devices), (5, Some(devices[4]), vec![devices[0], devices[2]]));
    loft.starts_late(push_id, &devices[3..4]);
    let may_have = reader.holders(push_id, by, Some(devices[2]), 10).unwrap().devices;
    assert_eq!(may_have, [devices[3]], "it connected while it waited, and may have it");
    let rest = reader.holders(push_id, by, Some(devices[0]), 2).unwrap();
    assert_eq!((rest.read, rest.last, rest.devices), (2, Some(devices[2]), vec![devices[2]]));
    let nth: Vec<Option<DeviceId>> = [0, 1, 5, 6].map(|n| reader.nth_recipient(push_id, n).unwrap()).into();
    assert_eq!(nth, [None, Some(devices[0]), Some(devices[4]), None]);
    let ended = loft.store.push(APP, push_id).await.unwrap().unwrap();
    assert_eq!(ended.state, PushState::Revoked);
}

#[tokio::test]
async fn a_device_that_acknowledges_after_the_revocation_is_told_all_the_same_and_once() {
    let loft = Loft::open().await;
    let devices = loft.devices(2).await;
    let push_id = loft.push(2, FAR_AHEAD).await;
    loft.record(push_id, 0, &[(devices[0], Outcome::Waiting), (devices[1], Outcome::Sent)]).await.unwrap();
    loft.store.finish_push(push_id, None).await.unwrap();
    loft.starts_late(push_id, &[]);
    assert!(loft.revoke(push_id).await);
    let by = loft.by(push_id).await;
    let reader = loft.store.reader().unwrap();
    assert_eq!(reader.holders(push_id, by, None, 10).unwrap().devices, [devices[1]]);

    // The first had it from its inbox just before. The second is gone through by the revocation, and is not told twice.
    let arrived = vec![(devices[0], push_id), (devices[1], push_id)];
    let kept = loft.store.acknowledge(Acknowledged { arrived, ..Acknowledged::default() }).await.unwrap();
    assert_eq!((kept.arrived, kept.to_wake), (2, vec![(by, vec![devices[0]])]));
    assert_eq!(reader.holders(push_id, by, None, 10).unwrap().devices, [devices[1]]);
    loft.record(by, 0, &[(devices[1], Outcome::Sent)]).await.unwrap();
    assert_eq!((loft.waiting(devices[0], 0).await, loft.waiting(devices[1], 0).await), (vec![by], vec![by]));
    let counts = loft.store.revocation(push_id).await.unwrap().unwrap().counts;
    assert_eq!((counts.targets, counts.waiting), (2, 2));
    let arrived = vec![(devices[0], by), (devices[1], by)];
    let kept = loft.store.acknowledge(Acknowledged { arrived, ..Acknowledged::default() }).await.unwrap();
    assert_eq!((kept.arrived, kept.to_wake), (2, vec![]));
}

#[tokio::test]
async fn what_nobody_can_have_is_stopped_and_not_taken_back() {
    let loft = Loft::open().await;
    let push_id = loft.push(1, FAR_AHEAD).await;
    loft.store.finish_push(push_id, None).await.unwrap();
    assert!(loft.revoke(push_id).await);
    assert!(loft.store.revocation(push_id).await.unwrap().is_none());
    assert_eq!(loft.store.push(APP, push_id).await.unwrap().unwrap().state, PushState::Revoked);
    assert_eq!(loft.store.unfinished().await.unwrap(), 0);
}
