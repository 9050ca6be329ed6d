//! Accept times: when of the day an inbox shows what, and who is to look when a part of it begins.

use pigeonloft_model::message::{AcceptTime, TimeOfDay};
use pigeonloft_model::{AcceptMinutes, DeviceId, Outcome, PushId};
use pigeonloft_store::NewPush;

use crate::support::{APP, FAR_AHEAD, Loft, accepted, new_push};

/// A push with one part of the day, from hour to hour.
async fn push(loft: &Loft, start: u8, end: u8) -> PushId {
    let time = |hour| TimeOfDay { hour, min: 0 };
    let accept = AcceptMinutes::of(&[AcceptTime { start: time(start), end: time(end) }]);
    let new = NewPush { accept, ..new_push(APP, 2, FAR_AHEAD) };
    accepted(loft.store.add_pushes(vec![new], |_, _| String::new()).await.unwrap())
}

async fn shown(loft: &Loft, device: DeviceId, minute: u16) -> Vec<PushId> {
    let messages = loft.store.inbox(device, PushId(0), Vec::new(), 0, minute, 100).await.unwrap();
    messages.into_iter().map(|message| message.push_id).collect()
}

async fn opening(loft: &Loft, minutes: std::ops::RangeInclusive<u16>, after: PushId) -> Vec<PushId> {
    loft.store.opening_pushes(minutes, 0, after, 10).await.unwrap()
}

#[tokio::test]
async fn an_inbox_shows_a_message_within_its_part_of_the_day_alone() {
    let loft = Loft::open().await;
    let devices = loft.devices(2).await;
    let (day, night, always) = (push(&loft, 9, 18).await, push(&loft, 22, 6).await, push(&loft, 7, 7).await);
    for push in [day, night, always] {
        loft.record(push, 0, &[(devices[0], Outcome::Waiting), (devices[1], Outcome::Arrived)]).await.unwrap();
    }
    for (minute, expected) in [
        (539, vec![always]),
        (540, vec![day, always]),
        (1079, vec![day, always]),
        (1080, vec![always]),
        (1320, vec![night, always]),
        (1439, vec![night, always]),
        (0, vec![night, always]),
        (359, vec![night, always]),
        (360, vec![always]),
    ] {
        assert_eq!(shown(&loft, devices[0], minute).await, expected, "{minute}");
    }
    assert_eq!(opening(&loft, 0..=1439, PushId(0)).await, [day, night]);
    assert_eq!(opening(&loft, 0..=1439, day).await, [night]);
    assert_eq!(opening(&loft, 540..=540, PushId(0)).await, [day]);
    assert!(opening(&loft, 541..=1319, PushId(0)).await.is_empty());
    assert_eq!(loft.store.waiting_devices(day, None, 10).await.unwrap(), devices[..1]);
}

#[tokio::test]
async fn accept_times_are_forgotten_once_nothing_of_a_push_waits() {
    let loft = Loft::open().await;
    let devices = loft.devices(2).await;
    let (over, waits) = (push(&loft, 9, 18).await, push(&loft, 9, 18).await);
    loft.record(over, 0, &[(devices[0], Outcome::Arrived), (devices[1], Outcome::Arrived)]).await.unwrap();
    loft.record(waits, 0, &[(devices[0], Outcome::Waiting), (devices[1], Outcome::Arrived)]).await.unwrap();
    for push in [over, waits] {
        loft.store.finish_push(push, None).await.unwrap();
    }
    assert_eq!(loft.store.forget_accept_times(PushId(0), 1).await.unwrap(), Some(over));
    assert_eq!(loft.store.forget_accept_times(over, 1).await.unwrap(), Some(waits));
    assert_eq!(loft.store.forget_accept_times(waits, 1).await.unwrap(), None);
    let kept: Vec<i64> = {
        let connection = loft.behind_its_back();
        let mut statement = connection.prepare("SELECT push_id FROM accept_time").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    assert_eq!(kept, [waits.0]);
    assert!(shown(&loft, devices[0], 0).await.is_empty(), "what waits is not let go outside of its hours");
}
