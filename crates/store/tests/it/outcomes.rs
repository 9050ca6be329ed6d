//! Outcomes: a batch is recorded whole, once and in its turn; what happens to a recipient later is counted once.

use pigeonloft_model::{AccessId, Outcome, PushId, PushState, ReceiptEvent};
use pigeonloft_store::{Acknowledged, Batch, Counts, Cursor, Error, LeftOut, Recipient, Within};

use crate::support::{APP, FAR_AHEAD, Loft, app, batch};

#[tokio::test]
async fn a_batch_is_recorded_with_its_cursor_and_its_sums() {
    let loft = Loft::open().await;
    let devices = loft.devices(6).await;
    let push_id = loft.push(9, FAR_AHEAD).await;
    let outcomes =
        [Outcome::Waiting, Outcome::Sent, Outcome::Arrived, Outcome::NotKept, Outcome::NoChannel, Outcome::Arrived];
    let recipients =
        devices.iter().zip(outcomes).map(|(&device, outcome)| Recipient::own(device, outcome)).collect::<Vec<_>>();
    loft.record_batch(batch(push_id, 0, 8, 2, recipients)).await.unwrap();

    let expected = Counts {
        audience_rows: 9,
        rows_done: 8,
        no_device: 2,
        left_out: LeftOut::default(),
        targets: 6,
        waiting: 2,
        arrived: 2,
        not_kept: 1,
        no_channel: 1,
        sent: 3,
        ..Counts::default()
    };
    assert_eq!(loft.counts(push_id).await, expected);
    let loft = loft.reopened();
    assert_eq!(loft.counts(push_id).await, expected);
    for (&device, outcome) in devices.iter().zip(outcomes) {
        let expected = if outcome.is_final() { vec![] } else { vec![push_id] };
        assert_eq!(loft.waiting(device, 0).await, expected, "{outcome}");
    }
}

#[tokio::test]
async fn a_batch_whose_cursor_moved_is_not_recorded() {
    let loft = Loft::open().await;
    let devices = loft.devices(2).await;
    let push_id = loft.push(2, FAR_AHEAD).await;
    loft.record(push_id, 0, &[(devices[0], Outcome::Sent)]).await.unwrap();
    let before = loft.counts(push_id).await;

    for first_row in [0, 2] {
        let refused = loft.record(push_id, first_row, &[(devices[1], Outcome::Sent)]).await;
        assert!(matches!(refused, Err(Error::CursorMoved(id)) if id == push_id), "{refused:?}");
    }
    assert_eq!(loft.counts(push_id).await, before);
    assert_eq!(loft.waiting(devices[1], 0).await, []);
    loft.record(push_id, 1, &[(devices[1], Outcome::Sent)]).await.unwrap();
}

#[tokio::test]
async fn a_push_that_is_cut_off_within_a_window_goes_on_behind_the_last_device_that_is_recorded() {
    let loft = Loft::open().await;
    let devices = loft.devices(4).await;
    let push_id = loft.push(8, FAR_AHEAD).await;
    let at = |row, within: Option<(u64, usize)>| Cursor {
        row,
        within: within.map(|(end, place)| Within { end, device: devices[place] }),
    };
    let cursors = [at(0, None), at(0, Some((6, 1))), at(0, Some((6, 2))), at(6, None)];
    let of = |from: usize, to: usize, place: usize, rows_done| Batch {
        from: cursors[from],
        to: cursors[to],
        rows_done,
        ..batch(push_id, 0, 0, 0, vec![Recipient::own(devices[place], Outcome::Waiting)])
    };
    loft.record_batch(of(0, 1, 0, 3)).await.unwrap();
    loft.record_batch(of(1, 2, 2, 4)).await.unwrap();
    let loft = loft.reopened();
    for started in [loft.store.unfinished_push(push_id).await, loft.store.start_push(push_id).await] {
        let started = started.unwrap().unwrap();
        assert_eq!((started.cursor, started.push.counts.rows_done), (cursors[2], 4));
    }
    for from in [0, 1, 3] {
        let refused = loft.record_batch(of(from, 3, 3, 6)).await;
        assert!(matches!(refused, Err(Error::CursorMoved(id)) if id == push_id), "{refused:?}");
    }
    loft.record_batch(of(2, 3, 3, 6)).await.unwrap();
    assert_eq!(loft.store.unfinished_push(push_id).await.unwrap().unwrap().cursor, cursors[3]);
    let last = Batch { is_last: true, ..batch(push_id, 6, 2, 2, vec![]) };
    loft.record_batch(last.clone()).await.unwrap();
    let ended = loft.store.push(APP, push_id).await.unwrap().unwrap();
    assert_eq!((ended.state, ended.counts.rows_done, ended.counts.targets), (PushState::Finished, 8, 3));
    assert!(ended.started_at == Some(1) && ended.finished_at.is_some(), "{ended:?}");
    let again = Batch { from: last.to, ..last };
    assert!(loft.record_batch(again).await.is_err(), "what is finished stays as it is");
    assert!(loft.store.unfinished_push(push_id).await.unwrap().is_none());
}

#[tokio::test]
async fn a_device_named_by_two_rows_is_one_recipient() {
    let loft = Loft::open().await;
    let device = loft.devices(1).await[0];
    let push_id = loft.push(3, FAR_AHEAD).await;
    loft.record(push_id, 0, &[(device, Outcome::Sent), (device, Outcome::Sent)]).await.unwrap();
    loft.record(push_id, 2, &[(device, Outcome::Waiting)]).await.unwrap();
    let counts = loft.counts(push_id).await;
    assert_eq!((counts.rows_done, counts.targets, counts.waiting, counts.sent), (3, 1, 1, 1));
}

#[tokio::test]
async fn what_is_acknowledged_twice_counts_once() {
    let loft = Loft::open().await;
    let device = loft.devices(1).await[0];
    let push_id = loft.push(1, FAR_AHEAD).await;
    loft.record(push_id, 0, &[(device, Outcome::Waiting)]).await.unwrap();
    let event = (device, push_id, ReceiptEvent::Clicked);
    let twice = Acknowledged {
        seen: vec![device],
        arrived: vec![(device, push_id), (device, push_id)],
        receipts: vec![event, event, (device, push_id, ReceiptEvent::Shown)],
    };
    for _ in 0..2 {
        loft.store.acknowledge(twice.clone()).await.unwrap();
        let counts = loft.counts(push_id).await;
        assert_eq!((counts.arrived, counts.waiting, counts.sent), (1, 0, 1));
        assert_eq!((counts.shown, counts.clicked, counts.cleared), (1, 1, 0));
    }
    assert_eq!(loft.waiting(device, 0).await, []);
}

#[tokio::test]
async fn what_was_never_sent_to_a_device_cannot_arrive_there() {
    let loft = Loft::open().await;
    let devices = loft.devices(2).await;
    let push_id = loft.push(2, FAR_AHEAD).await;
    loft.record(push_id, 0, &[(devices[0], Outcome::NotKept)]).await.unwrap();
    let before = loft.counts(push_id).await;
    let made_up = Acknowledged {
        seen: vec![],
        arrived: vec![(devices[0], push_id), (devices[1], push_id), (devices[1], PushId(999))],
        receipts: vec![(devices[1], push_id, ReceiptEvent::Shown)],
    };
    loft.store.acknowledge(made_up).await.unwrap();
    assert_eq!(loft.counts(push_id).await, before);
}

#[tokio::test]
async fn a_receipt_that_comes_before_its_batch_is_recorded_is_counted_with_the_batch() {
    let loft = Loft::open().await;
    let devices = loft.devices(3).await;
    let push_id = loft.push(2, FAR_AHEAD).await;
    let early = |device, event| Acknowledged { receipts: vec![(device, push_id, event)], ..Acknowledged::default() };
    for event in [ReceiptEvent::Shown, ReceiptEvent::Clicked, ReceiptEvent::Shown] {
        for device in [devices[1], devices[2]] {
            loft.store.acknowledge(early(device, event)).await.unwrap();
        }
    }
    // What a device was told is durable survives the end of the server.
    let loft = loft.reopened();
    let receipts = async || {
        let counts = loft.counts(push_id).await;
        (counts.shown, counts.clicked, counts.cleared)
    };
    loft.record(push_id, 0, &[(devices[0], Outcome::Arrived)]).await.unwrap();
    assert_eq!(receipts().await, (0, 0, 0));
    loft.record(push_id, 1, &[(devices[1], Outcome::Arrived)]).await.unwrap();
    assert_eq!(receipts().await, (1, 1, 0));
    // It says it again, and who was no recipient to the end says so, too.
    loft.store.acknowledge(early(devices[1], ReceiptEvent::Shown)).await.unwrap();
    loft.store.finish_push(push_id, None).await.unwrap();
    loft.store.acknowledge(early(devices[2], ReceiptEvent::Shown)).await.unwrap();
    assert_eq!(receipts().await, (1, 1, 0));
    let left = "SELECT count(*) FROM early_receipt";
    assert_eq!(loft.behind_its_back().query_row(left, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
}

#[tokio::test]
async fn a_receipt_for_a_push_of_another_app_is_not_kept() {
    let loft = Loft::open().await;
    let other = AccessId(APP.0 + 1);
    loft.store.add_app(app(other)).await.unwrap();
    let stranger = loft.device(other, 7).await;
    let push_id = loft.push(1, FAR_AHEAD).await;
    let receipts = vec![(stranger, push_id, ReceiptEvent::Shown), (stranger, PushId(999), ReceiptEvent::Shown)];
    loft.store.acknowledge(Acknowledged { receipts, ..Acknowledged::default() }).await.unwrap();
    let kept = "SELECT count(*) FROM early_receipt";
    assert_eq!(loft.behind_its_back().query_row(kept, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
}

#[tokio::test]
async fn what_waits_goes_when_its_push_expires_and_what_does_not_stays() {
    let loft = Loft::open().await;
    let devices = loft.devices(3).await;
    let (soon, later) = (loft.push(3, 1_000).await, loft.push(1, 2_000).await);
    let outcomes = [(devices[0], Outcome::Waiting), (devices[1], Outcome::Sent), (devices[2], Outcome::Arrived)];
    loft.record(soon, 0, &outcomes).await.unwrap();
    loft.record(later, 0, &[(devices[0], Outcome::Waiting)]).await.unwrap();

    assert_eq!(loft.store.expired_pushes(999, 10).await.unwrap(), []);
    assert_eq!(loft.waiting(devices[0], 999).await, [soon, later]);
    // No device is given what is expired, even before it is swept.
    assert_eq!(loft.waiting(devices[0], 1_000).await, [later]);
    assert_eq!(loft.store.expired_pushes(2_000, 10).await.unwrap(), [soon, later]);
    assert_eq!(loft.store.expired_pushes(1_000, 10).await.unwrap(), [soon]);
    assert_eq!(loft.store.expire(soon, None, 1).await.unwrap(), [devices[0]]);
    assert_eq!(loft.store.expire(soon, Some(devices[0]), 10).await.unwrap(), [devices[1]]);
    assert_eq!(loft.store.expire(soon, None, 10).await.unwrap(), []);
    assert_eq!(loft.store.expired_pushes(1_000, 10).await.unwrap(), []);

    let counts = loft.counts(soon).await;
    assert_eq!((counts.expired, counts.arrived, counts.waiting, counts.sent), (2, 1, 0, 2));
    assert_eq!(loft.waiting(devices[0], 0).await, [later]);
    let late = Acknowledged { arrived: vec![(devices[0], soon)], ..Acknowledged::default() };
    assert_eq!(loft.store.acknowledge(late).await.unwrap().arrived, 0);
    assert_eq!(loft.counts(soon).await, counts);
}

#[tokio::test]
async fn a_deleted_device_is_gone_from_the_pushes_that_still_had_a_message_for_it() {
    let loft = Loft::open().await;
    let devices = loft.devices(2).await;
    let (arrived, waits) = (loft.push(1, FAR_AHEAD).await, loft.push(2, FAR_AHEAD).await);
    loft.record(arrived, 0, &[(devices[0], Outcome::Arrived)]).await.unwrap();
    loft.record(waits, 0, &[(devices[0], Outcome::Sent), (devices[1], Outcome::Waiting)]).await.unwrap();

    assert_eq!(loft.store.delete_device(devices[0]).await.unwrap(), 1);
    assert_eq!(loft.store.delete_device(devices[0]).await.unwrap(), 0);

    let counts = loft.counts(waits).await;
    assert_eq!((counts.targets, counts.gone, counts.waiting), (2, 1, 1));
    assert_eq!(loft.counts(arrived).await.arrived, 1);
    assert_eq!(loft.waiting(devices[0], 0).await, []);
    assert_eq!(loft.waiting(devices[1], 0).await, [waits]);
}

#[tokio::test]
async fn an_inbox_is_read_oldest_first_without_what_the_session_has_already() {
    let loft = Loft::open().await;
    let device = loft.devices(1).await[0];
    let mut pushes = Vec::new();
    for _ in 0..4 {
        let push_id = loft.push(1, FAR_AHEAD).await;
        loft.record(push_id, 0, &[(device, Outcome::Waiting)]).await.unwrap();
        pushes.push(push_id);
    }
    let read = loft.store.inbox(device, PushId(0), vec![pushes[1]], 0, 0, 2).await.unwrap();
    let read: Vec<_> = read.into_iter().map(|message| (message.push_id, message.template)).collect();
    let expected = [pushes[0], pushes[2]].map(|id| (id, format!("payload of {id}")));
    assert_eq!(read, expected);
    assert_eq!(loft.store.inbox_size().await.unwrap(), 4);
}

#[tokio::test]
async fn the_sums_of_a_push_outlive_its_recipients() {
    let loft = Loft::open().await;
    let devices = loft.devices(2).await;
    let (done, waits) = (loft.push(1, FAR_AHEAD).await, loft.push(1, FAR_AHEAD).await);
    loft.record(done, 0, &[(devices[0], Outcome::Arrived)]).await.unwrap();
    loft.record(waits, 0, &[(devices[1], Outcome::Waiting)]).await.unwrap();
    for push_id in [done, waits] {
        loft.store.finish_push(push_id, None).await.unwrap();
    }
    assert_eq!(loft.store.forget_recipients(i64::MAX, 10).await.unwrap(), 1);
    assert_eq!(loft.store.forget_recipients(i64::MAX, 10).await.unwrap(), 0);
    assert_eq!(loft.counts(done).await.arrived, 1);
    assert_eq!(loft.waiting(devices[1], 0).await, [waits]);
}

#[tokio::test]
async fn a_push_starts_when_it_is_due_and_ends_once() {
    let loft = Loft::open().await;
    let push_id = loft.push(1, FAR_AHEAD).await;
    let running = loft.push(1, FAR_AHEAD).await;
    assert_eq!(loft.store.due_pushes(0, 0..=u64::MAX, vec![running], 10).await.unwrap(), [push_id]);
    assert_eq!(loft.store.due_pushes(0, 2..=u64::MAX, vec![], 10).await.unwrap(), []);
    assert_eq!(loft.store.due_pushes(0, 0..=1, vec![], 1).await.unwrap(), [push_id]);
    let started = loft.store.start_push(push_id).await.unwrap().unwrap();
    assert_eq!((started.push.state, started.stored_as), (PushState::Started, None));
    assert_eq!(started.push.template, format!("payload of {push_id}"));
    // A crash later the same push is due, and goes on where it stood.
    let loft = loft.reopened();
    assert_eq!(loft.store.due_pushes(0, 0..=u64::MAX, vec![running], 10).await.unwrap(), [push_id]);
    let again = loft.store.start_push(push_id).await.unwrap().unwrap();
    assert_eq!(again.push.started_at, started.push.started_at);

    loft.store.finish_push(push_id, Some("the package is gone".into())).await.unwrap();
    loft.store.finish_push(push_id, None).await.unwrap();
    let ended = loft.store.push(APP, push_id).await.unwrap().unwrap();
    assert_eq!((ended.state, ended.failure.as_deref()), (PushState::Failed, Some("the package is gone")));
    assert!(loft.store.start_push(push_id).await.unwrap().is_none());
    assert_eq!(loft.store.unfinished().await.unwrap(), 1);
}
