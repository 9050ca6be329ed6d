//! Parked messages: who waits for a vendor, and what takes them out of it.

use std::sync::Arc;

use pigeonloft_model::{Channel, DeviceId, Outcome, PushId};
use pigeonloft_store::doctor::Doctor;
use pigeonloft_store::{
    Acknowledged, Batch, ChannelToken, DeadToken, DeviceReport, Given, NewPush, Parked, ParkedAt, ParkedPage,
    Recipient, Then, ToGive,
};

use crate::support::{APP, FAR_AHEAD, Loft, accepted, batch, new_push};

const APNS: Channel = Channel::Apns;

/// Unix seconds.
const NOW: i64 = 1_000;

const START: ParkedAt = (PushId(0), DeviceId(0));

/// Devices with tokens, and a push that waits for all of them: on Apple's channel, too, for all but the last.
async fn waits(loft: &Loft, count: u8) -> (PushId, Vec<DeviceId>) {
    let devices = loft.devices(count).await;
    for device in &devices {
        let to = ChannelToken { channel: APNS, token: format!("t{device}"), detail: None };
        let said = DeviceReport { channels: vec![to], ..DeviceReport::default() };
        loft.store.change_device(APP, *device, said).await.unwrap();
    }
    (again(loft, &devices).await, devices)
}

async fn again(loft: &Loft, devices: &[DeviceId]) -> PushId {
    let push_id = loft.push(devices.len() as u64, FAR_AHEAD).await;
    record(loft, push_id, devices).await;
    push_id
}

async fn record(loft: &Loft, push_id: PushId, devices: &[DeviceId]) {
    let recipients = devices.iter().map(|&device| Recipient::own(device, Outcome::Waiting)).collect();
    let parked = devices[..devices.len() - 1].iter().map(|&device| Parked { device, channel: APNS, not_before: 7 });
    let whole = batch(push_id, 0, devices.len() as u64, 0, recipients);
    loft.record_batch(Batch { parked: parked.collect(), ..whole }).await.unwrap();
}

async fn page(loft: &Loft, after: ParkedAt, limit: usize) -> ParkedPage {
    loft.store.parked(APP, APNS, after, NOW, limit).await.unwrap()
}

fn devices_of(page: &ParkedPage) -> Vec<DeviceId> {
    page.to_give.iter().map(|message| message.device).collect()
}

async fn give(loft: &Loft, given: Vec<(ParkedAt, Then)>, dead: Vec<DeadToken>) -> u64 {
    let given: Arc<[Given]> = given.into_iter().map(|(at, then)| Given { at, then, code: None }).collect();
    loft.store.record_given(APP, APNS, given, dead.into(), NOW).await.unwrap().removed
}

/// How many were taken away, and whose waiting ended by it.
async fn unpark(loft: &Loft, over: Vec<ParkedAt>) -> (u64, Vec<(Outcome, u64)>) {
    let done = loft.store.unpark(APP, APNS, over, NOW).await.unwrap();
    (done.removed, done.ended.into_iter().collect())
}

#[tokio::test]
async fn who_waits_is_read_in_order_and_who_does_not_any_more_is_over() {
    let loft = Loft::open().await;
    let (first, devices) = waits(&loft, 6).await;
    let second = again(&loft, &devices[..2]).await;
    assert_eq!(loft.store.parked_counts().await.unwrap(), [(APP, APNS, 6)]);
    let all = page(&loft, START, 10).await;
    assert_eq!(
        (devices_of(&all), all.over.len(), all.last),
        ([&devices[..5], &devices[..1]].concat(), 0, Some((second, devices[0])))
    );
    let token = format!("t{}", devices[0]);
    let first_of_all =
        ToGive { push_id: first, device: devices[0], token, detail: None, not_before: 7, vendors_only: false };
    assert_eq!(all.to_give[0], first_of_all);
    assert_eq!(devices_of(&page(&loft, (first, devices[1]), 2).await), &devices[2..4]);
    // One has it from its inbox, one is deleted, one has no token any more, and the second push is stopped.
    let arrived = vec![(devices[0], first)];
    loft.store.acknowledge(Acknowledged { arrived, ..Acknowledged::default() }).await.unwrap();
    loft.store.delete_device(devices[1]).await.unwrap();
    let dead = DeadToken { device: devices[2], channel: APNS, token: format!("t{}", devices[2]), since: i64::MAX };
    assert_eq!(give(&loft, vec![], vec![dead]).await, 0);
    assert!(loft.store.stop_push(APP, second).await.unwrap());
    let left = page(&loft, START, 10).await;
    assert_eq!(devices_of(&left), &devices[3..5]);
    assert_eq!(left.over, [(first, devices[0]), (first, devices[1]), (first, devices[2]), (second, devices[0])]);
    assert_eq!(unpark(&loft, left.over).await, (4, vec![]));
    assert_eq!(page(&loft, START, 10).await.over, []);
    // None is left of a push that has expired.
    let expired = loft.store.parked(APP, APNS, START, FAR_AHEAD, 10).await.unwrap();
    assert_eq!((expired.to_give.len(), expired.over.len()), (0, 2));
}

#[tokio::test]
async fn what_the_vendor_says_ends_it_leaves_it_to_the_inbox_or_puts_it_off() {
    let loft = Loft::open().await;
    let (push_id, devices) = waits(&loft, 6).await;
    let at = |n: usize| (push_id, devices[n]);
    let given = vec![
        (at(0), Then::End(Outcome::Accepted)),
        (at(1), Then::End(Outcome::Unknown)),
        (at(2), Then::Wait),
        (at(3), Then::Park(99)),
    ];
    assert_eq!(give(&loft, given, vec![]).await, 3);
    let counts = loft.counts(push_id).await;
    assert_eq!((counts.accepted, counts.unknown, counts.waiting, counts.sent), (1, 1, 4, 1));
    let sums = loft.store.channel_sums(push_id).await.unwrap();
    assert_eq!(sums.iter().map(|(of, sums)| (*of, sums.targets, sums.sent)).collect::<Vec<_>>(), [(APNS, 2, 1)]);
    assert_eq!(loft.waiting(devices[0], 0).await, []);
    assert_eq!(loft.waiting(devices[2], 0).await, [push_id]);
    let left = page(&loft, START, 10).await;
    let waits: Vec<_> = left.to_give.iter().map(|message| (message.device, message.not_before)).collect();
    assert_eq!(waits, [(devices[3], 99), (devices[4], 7)]);
    // One that was stopped while the vendor took it has it; one that has it from us has it from us.
    let arrived = vec![(devices[4], push_id)];
    loft.store.acknowledge(Acknowledged { arrived, ..Acknowledged::default() }).await.unwrap();
    assert!(loft.store.stop_push(APP, push_id).await.unwrap());
    assert_eq!(loft.store.stop_waiting(push_id, None, 10).await.unwrap().len(), 3);
    let late = vec![(at(3), Then::End(Outcome::Accepted)), (at(4), Then::End(Outcome::Accepted))];
    assert_eq!(give(&loft, late, vec![]).await, 2);
    let counts = loft.counts(push_id).await;
    assert_eq!((counts.accepted, counts.arrived, counts.stopped, counts.waiting), (2, 1, 2, 0));
    assert_eq!(loft.store.parked_counts().await.unwrap(), []);
}

#[tokio::test]
async fn who_waits_for_the_vendor_alone_is_shown_nothing_and_ends_where_no_channel_is_left() {
    let loft = Loft::open().await;
    let (_, devices) = waits(&loft, 8).await;
    let new = || vec![NewPush { vendors_only: true, ..new_push(APP, 8, FAR_AHEAD) }];
    let [push_id, stopped] = [
        accepted(loft.store.add_pushes(new(), |_, _| String::new()).await.unwrap()),
        accepted(loft.store.add_pushes(new(), |_, _| String::new()).await.unwrap()),
    ];
    record(&loft, push_id, &devices).await;
    record(&loft, stopped, &devices).await;
    assert_eq!(loft.waiting(devices[0], 0).await.len(), 1, "the one that our own channel may carry");
    assert!(page(&loft, (push_id, DeviceId(0)), 1).await.to_give[0].vendors_only);
    let at = |n: usize| (push_id, devices[n]);
    let ends =
        [(at(0), Then::End(Outcome::Accepted)), (at(1), Then::Wait), (at(2), Then::Leave), (at(3), Then::Park(9))];
    assert_eq!(give(&loft, ends.into(), vec![]).await, 3);
    // Deleted; without a token; and one of a push that is stopped ends with that.
    loft.store.delete_device(devices[4]).await.unwrap();
    assert!(loft.store.stop_push(APP, stopped).await.unwrap());
    let over = vec![at(4), at(5), (stopped, devices[5])];
    assert_eq!(unpark(&loft, over).await, (3, vec![(Outcome::NoChannel, 1)]));
    let counts = loft.counts(push_id).await;
    assert_eq!((counts.accepted, counts.no_channel, counts.gone, counts.waiting), (1, 2, 1, 4));
    assert_eq!((loft.counts(stopped).await.waiting, loft.counts(stopped).await.no_channel), (7, 0));
    // What has expired, ends with that.
    let expired = vec![(at(6), Then::Wait)];
    let given: Arc<[Given]> = expired.into_iter().map(|(at, then)| Given { at, then, code: None }).collect();
    let done = loft.store.record_given(APP, APNS, given, [].into(), FAR_AHEAD).await.unwrap();
    assert_eq!((done.removed, done.ended.len()), (1, 0));
    assert_eq!(loft.store.expire(push_id, None, 10).await.unwrap().len(), 4);
}

#[tokio::test]
async fn a_doctor_takes_away_what_is_parked_of_no_push() {
    let loft = Loft::open().await;
    waits(&loft, 3).await;
    loft.behind_its_back().execute("INSERT INTO parked VALUES (1, 1, 999, 1, 0)", []).unwrap();
    for found in [1, 0] {
        let dangling = Doctor::open(loft.dir.path(), true).unwrap().dangling().unwrap();
        assert_eq!(dangling.iter().filter(|of| of.table == "parked").map(|of| of.rows).sum::<u64>(), found);
    }
    assert_eq!(page(&loft, START, 10).await.to_give.len(), 2);
}
