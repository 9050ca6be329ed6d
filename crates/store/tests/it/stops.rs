//! Stops: a stopped push is out of every inbox at once, keeps its state, and ends with what was under way.

use pigeonloft_model::{AccessId, Outcome, PushState};
use pigeonloft_store::{Acknowledged, Batch, NewPush};

use crate::support::{APP, FAR_AHEAD, Loft, accepted, batch, new_push};

#[tokio::test]
async fn what_waits_of_a_stopped_push_is_in_no_inbox_and_goes_in_bites() {
    let loft = Loft::open().await;
    let devices = loft.devices(4).await;
    let (stopped, other) = (loft.push(4, FAR_AHEAD).await, loft.push(1, FAR_AHEAD).await);
    let outcomes = [Outcome::Waiting, Outcome::Sent, Outcome::Arrived, Outcome::Waiting];
    let recipients: Vec<_> = devices.iter().copied().zip(outcomes).collect();
    loft.record(stopped, 0, &recipients).await.unwrap();
    loft.record(other, 0, &recipients[..1]).await.unwrap();
    assert!(!loft.store.stop_push(AccessId(APP.0 + 1), stopped).await.unwrap(), "it is another app's");
    assert_eq!(loft.store.stopped_pushes(10).await.unwrap(), []);

    assert!(loft.store.stop_push(APP, stopped).await.unwrap());
    assert_eq!(loft.waiting(devices[0], 0).await, [other]);
    let loft = loft.reopened();
    assert_eq!(loft.store.stopped_pushes(10).await.unwrap(), [stopped]);
    assert_eq!(loft.store.stop_waiting(stopped, None, 2).await.unwrap(), devices[..2]);
    assert_eq!(loft.store.stop_waiting(stopped, Some(devices[1]), 2).await.unwrap(), devices[3..]);
    assert_eq!(loft.store.stopped_pushes(10).await.unwrap(), []);
    let counts = loft.counts(stopped).await;
    assert_eq!((counts.targets, counts.arrived, counts.waiting, counts.stopped, counts.sent), (4, 1, 0, 3, 2));

    // It was on its way, and arrived: that is the truth.
    let arrived = vec![(devices[1], stopped), (devices[1], stopped)];
    let taken = loft.store.acknowledge(Acknowledged { arrived, ..Acknowledged::default() }).await.unwrap();
    let counts = loft.counts(stopped).await;
    assert_eq!((taken, counts.arrived, counts.stopped, counts.sent), (1, 2, 2, 2));
}

#[tokio::test]
async fn a_running_push_records_what_is_under_way_and_ends_as_stopped() {
    let loft = Loft::open().await;
    let devices = loft.devices(2).await;
    let push_id = loft.push(9, FAR_AHEAD).await;
    loft.store.start_push(push_id).await.unwrap().unwrap();
    assert!(loft.store.stop_push(APP, push_id).await.unwrap());
    loft.record(push_id, 0, &[(devices[0], Outcome::Arrived), (devices[1], Outcome::Waiting)]).await.unwrap();
    assert_eq!(loft.store.due_pushes(0, 0..=u64::MAX, vec![], 10).await.unwrap(), [push_id], "it is to be ended");
    assert!(loft.store.start_push(push_id).await.unwrap().unwrap().push.stopped_at.is_some());
    loft.store.finish_push(push_id, None).await.unwrap();
    let ended = loft.store.push(APP, push_id).await.unwrap().unwrap();
    assert_eq!((ended.state, ended.counts.targets, ended.counts.rows_done), (PushState::Stopped, 2, 2));
    assert!(ended.finished_at.is_some());
    assert_eq!(loft.store.stopped_pushes(10).await.unwrap(), [push_id]);
}

#[tokio::test]
async fn a_push_whose_last_batch_is_under_way_is_stopped_all_the_same() {
    let loft = Loft::open().await;
    let push_id = loft.push(1, FAR_AHEAD).await;
    assert!(loft.store.stop_push(APP, push_id).await.unwrap());
    let last = Batch { is_last: true, ..batch(push_id, 0, 1, 1, vec![]) };
    loft.record_batch(last).await.unwrap();
    let ended = loft.store.push(APP, push_id).await.unwrap().unwrap();
    assert_eq!((ended.state, ended.finished_at.is_some()), (PushState::Stopped, true));
}

#[tokio::test]
async fn a_push_that_waits_for_its_time_ends_at_once_when_it_is_stopped() {
    let loft = Loft::open().await;
    let new = NewPush { start_at: FAR_AHEAD, ..new_push(APP, 1, FAR_AHEAD) };
    let push_id = accepted(loft.store.add_pushes(vec![new], |_, _| String::new()).await.unwrap());
    assert!(loft.store.stop_push(APP, push_id).await.unwrap());
    let ended = loft.store.push(APP, push_id).await.unwrap().unwrap();
    assert_eq!((ended.state, ended.finished_at.is_some()), (PushState::Stopped, true));
    assert_eq!(loft.store.unfinished().await.unwrap(), 0);
}
