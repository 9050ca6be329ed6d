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
    assert_eq!((taken.arrived, counts.arrived, counts.stopped, counts.sent), (1, 2, 2, 2));
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

#[tokio::test]
async fn a_push_takes_the_place_of_those_before_it_once_it_is_due_and_starts_when_they_have_ended() {
    let loft = Loft::open().await;
    let devices = loft.devices(2).await;
    let first = loft.push(2, FAR_AHEAD).await;
    loft.store.start_push(first).await.unwrap().unwrap();
    loft.record(first, 0, &[(devices[0], Outcome::Waiting)]).await.unwrap();
    let mut later = Vec::new();
    for start_at in [100, 200] {
        let new = NewPush { line: Some(first), start_at, ..new_push(APP, 1, FAR_AHEAD) };
        later.push(accepted(loft.store.add_pushes(vec![new], |_, _| String::new()).await.unwrap()));
    }
    let due = |now| loft.store.due_pushes(now, 0..=u64::MAX, vec![], 10);
    let state = async |push_id| loft.store.push(APP, push_id).await.unwrap().unwrap().state;
    // Both start in the past: only the time that is asked for makes them due.
    loft.behind_its_back().execute("UPDATE push SET state = 1 WHERE line = ?1 AND push_id > ?1", [first.0]).unwrap();
    assert_eq!(loft.store.replace(99).await.unwrap(), []);
    assert_eq!(due(99).await.unwrap(), [first]);

    assert_eq!(due(100).await.unwrap(), [first], "it is not over");
    assert_eq!(loft.store.replace(100).await.unwrap(), [first]);
    assert_eq!(loft.waiting(devices[0], 0).await, []);
    assert_eq!((state(first).await, due(100).await.unwrap()), (PushState::Collapsed, vec![first]), "it is to be ended");
    loft.store.finish_push(first, None).await.unwrap();
    assert_eq!(due(100).await.unwrap(), [later[0]]);
    assert_eq!(loft.store.replace(100).await.unwrap(), []);

    // One that has not started ends at once.
    assert_eq!(loft.store.replace(200).await.unwrap(), [later[0]]);
    assert_eq!((state(later[0]).await, due(200).await.unwrap()), (PushState::Collapsed, vec![later[1]]));
    assert_eq!(loft.store.push(APP, later[1]).await.unwrap().unwrap().line, Some(first));
}

#[tokio::test]
async fn a_push_that_is_stopped_before_its_turn_in_the_line_replaces_nothing_more() {
    let loft = Loft::open().await;
    let first = loft.push(1, FAR_AHEAD).await;
    let new = NewPush { line: Some(first), ..new_push(APP, 1, FAR_AHEAD) };
    let second = accepted(loft.store.add_pushes(vec![new], |_, _| String::new()).await.unwrap());
    assert!(loft.store.stop_push(APP, second).await.unwrap());
    assert_eq!(loft.store.replace(1).await.unwrap(), []);
    assert_eq!(loft.store.due_pushes(1, 0..=u64::MAX, vec![], 10).await.unwrap(), [first, second], "each to its end");
}
