//! Sums: whatever happens in whatever order, the sums of every push are what its recipients say, on each channel, and the
//! inboxes hold what waits.

use pigeonloft_model::{Channel, Day, DeviceId, Outcome, PushId, ReceiptEvent};
use pigeonloft_store::{Acknowledged, Batch, Given, NewPush, Parked, Recipient, Then};
use proptest::collection::vec;
use proptest::prelude::*;
use rusqlite::Connection;

use crate::support::{APP, Loft, accepted, batch, new_push};

const DEVICES: u8 = 6;
const PUSHES: usize = 3;

/// Something that happens. Devices and pushes are named by their place.
#[derive(Debug, Clone)]
enum Event {
    /// The next batch of a push is recorded.
    Record { push: usize, no_device: u64, recipients: Vec<(u8, Became)> },
    /// A batch is recorded whose turn it is not.
    Stale { push: usize, recipients: Vec<(u8, Became)> },
    /// Devices report.
    Acknowledge { arrived: Vec<(u8, usize)>, receipts: Vec<(u8, usize, ReceiptEvent)> },
    /// Time passes; pushes expire one after the other, at 1, 2 and 3.
    Expire { now: i64, limit: u32 },
    /// A push is stopped, and some of what waits of it goes.
    Stop { push: usize, limit: u32 },
    /// A push is revoked, and some of those who have it are told.
    Revoke { push: usize, limit: usize },
    /// A device is deleted.
    Delete { device: u8 },
    /// A vendor is given messages again.
    Give { push: usize, channel: Channel, given: Vec<(u8, Then)> },
    /// What is parked for Apple is looked through, at this time: the channel leads to none of the devices.
    Unpark { now: i64 },
}

/// What became of a recipient: what a vendor answers for is of the vendor's channel, and all else of our own, with the
/// vendor's word where one was asked first.
type Became = (Outcome, Channel, Option<&'static str>);

const OF_VENDORS: &[Channel] = &[Channel::Apns, Channel::Fcm, Channel::Webpush];

fn then() -> impl Strategy<Value = Then> {
    let end = proptest::sample::select(&[Outcome::Accepted, Outcome::Unknown][..]).prop_map(Then::End);
    prop_oneof![2 => end, 1 => Just(Then::Wait), 1 => Just(Then::Leave), 1 => (0..9i64).prop_map(Then::Park)]
}

fn became() -> impl Strategy<Value = Became> {
    let word = proptest::option::of(proptest::sample::select(&["fcm: UNREGISTERED", "apns: paused"][..]));
    (proptest::sample::select(Outcome::ALL), proptest::sample::select(OF_VENDORS), word).prop_map(
        |(outcome, vendor, word)| match outcome {
            Outcome::Accepted => (outcome, vendor, None),
            Outcome::Unknown => (outcome, vendor, Some("timeout")),
            _ => (outcome, Channel::Xg, word),
        },
    )
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let recipients = || vec((0..DEVICES, became()), 0..8);
    let receipts = vec((0..DEVICES, 0..PUSHES, proptest::sample::select(ReceiptEvent::ALL)), 0..4);
    let event = prop_oneof![
        4 => (0..PUSHES, 0..3u64, recipients())
            .prop_map(|(push, no_device, recipients)| Event::Record { push, no_device, recipients }),
        1 => (0..PUSHES, recipients()).prop_map(|(push, recipients)| Event::Stale { push, recipients }),
        4 => (vec((0..DEVICES, 0..PUSHES), 0..6), receipts)
            .prop_map(|(arrived, receipts)| Event::Acknowledge { arrived, receipts }),
        1 => (0..4i64, 1..5u32).prop_map(|(now, limit)| Event::Expire { now, limit }),
        1 => (0..PUSHES, 1..5u32).prop_map(|(push, limit)| Event::Stop { push, limit }),
        1 => (0..PUSHES, 1..5usize).prop_map(|(push, limit)| Event::Revoke { push, limit }),
        1 => (0..DEVICES).prop_map(|device| Event::Delete { device }),
        3 => (0..PUSHES, proptest::sample::select(OF_VENDORS), vec((0..DEVICES, then()), 0..4))
            .prop_map(|(push, channel, given)| Event::Give { push, channel, given }),
        1 => (0..4i64).prop_map(|now| Event::Unpark { now }),
    ];
    vec(event, 1..24)
}

/// The files of these cases are many and small: each event is a commit to disk.
fn config() -> ProptestConfig {
    ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_sums_are_what_the_recipients_say_and_the_inboxes_hold_what_waits(events in events()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let loft = Loft::open().await;
            let devices = loft.devices(DEVICES).await;
            let mut pushes = Vec::new();
            for n in 1..=PUSHES {
                // The first two start on the same day; one of them and the third count in the same plan, and it is kept off our
                // own channel.
                let new = NewPush {
                    day: Day(n as i64 / 3),
                    plan_id: (n > 1).then(|| "plan".to_owned()),
                    group_id: (n == 1).then(|| "plan".to_owned()),
                    vendors_only: n == 2,
                    ..new_push(APP, 1_000, n as i64)
                };
                pushes.push(accepted(loft.store.add_pushes(vec![new], |_, _| String::new()).await.unwrap()));
            }
            let connection = loft.behind_its_back();
            for event in events {
                happen(&loft, &devices, &pushes, &event).await;
                for &push_id in &pushes {
                    agree(&connection, push_id, &event)?;
                    if let Some(by) = loft.store.revocation(push_id).await.unwrap() {
                        agree(&connection, by.push_id, &event)?;
                    }
                }
                parts_agree(&connection, &event)?;
            }
            Ok::<(), TestCaseError>(())
        })?;
    }
}

async fn happen(loft: &Loft, devices: &[DeviceId], pushes: &[PushId], event: &Event) {
    let device = |place: u8| devices[usize::from(place)];
    let batch = |push: usize, first_row, no_device, recipients: &[(u8, Became)]| {
        let rows = recipients.len() as u64 + no_device;
        let recipients = recipients.iter().map(|&(at, (outcome, channel, code))| Recipient {
            device: device(at),
            outcome,
            channel,
            code: code.map(Into::into),
        });
        let batch = batch(pushes[push], first_row, rows, no_device, recipients.collect());
        // Whoever was asked for in vain is asked for again, if it waits.
        let asked = batch.recipients.iter().filter(|recipient| recipient.code.is_some());
        let parked = asked.map(|recipient| Parked { device: recipient.device, channel: Channel::Apns, not_before: 0 });
        let parked = parked.collect();
        Batch { parked, ..batch }
    };
    match event {
        Event::Record { push, no_device, recipients } => {
            let first_row = loft.counts(pushes[*push]).await.rows_done;
            loft.record_batch(batch(*push, first_row, *no_device, recipients)).await.unwrap();
        }
        Event::Stale { push, recipients } => {
            let first_row = loft.counts(pushes[*push]).await.rows_done + 1;
            loft.record_batch(batch(*push, first_row, 0, recipients)).await.unwrap_err();
        }
        Event::Acknowledge { arrived, receipts } => {
            let arrived = arrived.iter().map(|&(at, push)| (device(at), pushes[push])).collect();
            let receipts = receipts.iter().map(|&(at, push, event)| (device(at), pushes[push], event)).collect();
            loft.store.acknowledge(Acknowledged { seen: devices.to_vec(), arrived, receipts }).await.unwrap();
        }
        Event::Expire { now, limit } => {
            for push_id in loft.store.expired_pushes(*now, 1).await.unwrap() {
                loft.store.expire(push_id, None, *limit).await.unwrap();
            }
        }
        Event::Stop { push, limit } => {
            assert!(loft.store.stop_push(APP, pushes[*push]).await.unwrap());
            for push_id in loft.store.stopped_pushes(1).await.unwrap() {
                loft.store.stop_waiting(push_id, None, *limit).await.unwrap();
            }
        }
        Event::Revoke { push, limit } => {
            let push_id = pushes[*push];
            assert!(loft.revoke(push_id).await);
            let Some(by) = loft.store.revocation(push_id).await.unwrap() else { return };
            let told = loft.store.reader().unwrap().holders(push_id, by.push_id, None, *limit).unwrap();
            let told: Vec<_> = told.devices.into_iter().map(|device| (device, Outcome::Waiting)).collect();
            loft.record(by.push_id, by.counts.rows_done, &told).await.unwrap();
        }
        Event::Give { push, channel, given } => {
            let given = given.iter().map(|&(at, then)| Given { at: (pushes[*push], device(at)), then, code: None });
            loft.store.record_given(APP, *channel, given.collect(), [].into(), 1).await.unwrap();
        }
        Event::Unpark { now } => {
            let start = (PushId(0), DeviceId(0));
            let page = loft.store.parked(APP, Channel::Apns, start, *now, 100).await.unwrap();
            assert_eq!(page.to_give, []);
            loft.store.unpark(APP, Channel::Apns, page.over, *now).await.unwrap();
        }
        Event::Delete { device: place } => {
            loft.store.delete_device(device(*place)).await.unwrap();
            assert_eq!(loft.store.forget_deleted_devices(10).await.unwrap(), 0, "all pushes are under way");
        }
    }
}

fn agree(connection: &Connection, push_id: PushId, event: &Event) -> Result<(), TestCaseError> {
    let ask = |sql: &str| -> Vec<i64> {
        connection
            .query_row(sql, [push_id.0], |row| (0..row.as_ref().column_count()).map(|column| row.get(column)).collect())
            .unwrap()
    };
    let sums = ask(
        "SELECT waiting, arrived, expired, not_kept, no_channel, gone, stopped, accepted, unknown, targets, sent, shown,
            clicked, cleared FROM push WHERE push_id = ?1",
    );
    let recipients = ask("SELECT count(*) FILTER (WHERE outcome IN (0, 1)), count(*) FILTER (WHERE outcome = 2),
            count(*) FILTER (WHERE outcome = 3), count(*) FILTER (WHERE outcome = 4),
            count(*) FILTER (WHERE outcome = 5), count(*) FILTER (WHERE outcome = 6), count(*) FILTER (WHERE outcome = 7),
            count(*) FILTER (WHERE outcome = 8), count(*) FILTER (WHERE outcome = 9), count(*), count(sent_at),
            count(*) FILTER (WHERE receipts & 1), count(*) FILTER (WHERE receipts & 2),
            count(*) FILTER (WHERE receipts & 4)
         FROM recipient WHERE push_id = ?1");
    prop_assert_eq!(&sums, &recipients, "after {:?}", event);
    prop_assert_eq!(sums[9], sums[..9].iter().sum::<i64>(), "after {:?}", event);
    let inbox = ask("SELECT count(*), count(r.device_id) FROM inbox i
         LEFT JOIN recipient r ON r.push_id = i.push_id AND r.device_id = i.device_id AND r.outcome IN (0, 1)
         WHERE i.push_id = ?1");
    prop_assert_eq!(inbox, vec![sums[0], sums[0]], "after {:?}", event);
    let deleted = ask("SELECT count(*) FROM recipient WHERE push_id = ?1 AND outcome IN (0, 1)
         AND device_id NOT IN (SELECT device_id FROM device)");
    prop_assert_eq!(deleted, vec![0], "who is deleted waits for nothing, after {:?}", event);
    Ok(())
}

/// The sums of the channels and of the days are those of the recipients, counted without them.
fn parts_agree(connection: &Connection, event: &Event) -> Result<(), TestCaseError> {
    const COUNTED: &str = "count(*), count(sent_at), count(*) FILTER (WHERE outcome = 2),
        count(*) FILTER (WHERE receipts & 1), count(*) FILTER (WHERE receipts & 2), count(*) FILTER (WHERE receipts & 4)";
    let ask = |sql: &str| -> Vec<(String, Vec<i64>)> {
        let mut statement = connection.prepare(sql).unwrap();
        let rows =
            statement.query_map([], |row| Ok((row.get(0)?, (1..9).map(|n| row.get(n)).collect::<Result<_, _>>()?)));
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    };
    // What a vendor took never arrives here.
    let kept = ask("SELECT '', push_id, channel, targets, sent, 0, shown, clicked, cleared FROM push_channel
        WHERE targets > 0 ORDER BY push_id, channel");
    let counted = ask(&format!(
        "SELECT '', push_id, channel, {COUNTED} FROM recipient WHERE channel <> 0 GROUP BY push_id, channel"
    ));
    prop_assert_eq!(kept, counted, "after {:?}", event);
    let kept = ask("SELECT tally, day, channel, targets, sent, arrived, shown, clicked, cleared FROM push_day
        WHERE targets > 0 ORDER BY tally, day, channel");
    let counted = ask(&format!(
        "SELECT tally, day, channel, {COUNTED} FROM recipient JOIN (
            SELECT '' AS tally, push_id, day FROM push WHERE takes_back IS NULL
            UNION ALL SELECT 'p' || plan_id, push_id, day FROM push
            UNION ALL SELECT 'g' || group_id, push_id, day FROM push) USING (push_id)
         WHERE tally IS NOT NULL GROUP BY tally, day, channel ORDER BY tally, day, channel"
    ));
    prop_assert_eq!(kept, counted, "after {:?}", event);
    let devices = "SELECT (SELECT sum(devices) FROM device_day) = (SELECT count(*) FROM device)";
    prop_assert!(connection.query_row(devices, [], |row| row.get::<_, bool>(0)).unwrap(), "after {:?}", event);
    Ok(())
}
