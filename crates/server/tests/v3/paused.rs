//! Channels that are paused: a vendor that fails is left alone for a while, what is for it waits in inboxes at once, and the
//! operator sees why. The vendor is Apple's sim.

use std::collections::HashSet;

use pigeonloft_channels::apns::sim::Reply;
use pigeonloft_testkit::{App, Apple, Fleet, Server, pigeonloft, until};
use serde_json::{Value, json};

use super::apns::{apns_token, device, to_ann};
use super::outcomes;

const DEVICES: usize = 120;

/// A server whose app has an account with Apple and devices that are offline, in batches of ten, two at once.
fn shop() -> (Server, App, Apple) {
    let small = pigeonloft!().set("push.batch_rows", 10).set("push.batches_in_flight", 1);
    let (server, apple) = (small.set("push.batches_with_vendors", 1).start(), Apple::start());
    let app = server.app("ios");
    apple.serves(&server, &app);
    for n in 0..DEVICES {
        let _ = device(&app, n);
    }
    (server, app, apple)
}

/// Pushes, and waits until all devices have it through Apple: at once, or after a pause.
fn goes_through(app: &App) {
    let push_id = app.pushed(to_ann(json!({})));
    until("the channel is used", || (outcomes(app, &push_id) == json!({ "accepted": DEVICES })).then_some(()));
}

/// The lines of a report: each device's token, and the rest.
pub(super) fn report(app: &App, push_id: &str) -> Vec<(String, String)> {
    let report = app.own_text(&format!("/v1/pushes/{push_id}/recipients.csv"));
    let lines = report.lines().skip(1).filter_map(|line| line.split_once(','));
    lines.map(|(token, rest)| (token.to_owned(), rest.to_owned())).collect()
}

/// How many messages are parked for Apple.
pub(super) fn parked(server: &Server) -> f64 {
    server.metric("pigeonloft_parked", "channel=\"apns\"")
}

/// Waits until Apple has taken what was parked of a push: each device's once, and counted so.
pub(super) fn is_taken(server: &Server, app: &App, apple: &Apple, push_id: &str, devices: usize) {
    until("Apple has taken it", || (outcomes(app, push_id) == json!({ "accepted": devices })).then_some(()));
    let taken = apple.sim.taken_under(push_id);
    assert_eq!(taken.len(), devices);
    assert!(taken.values().all(|times| *times == 1), "{taken:?}");
    until("nothing is parked", || (parked(server) == 0.0).then_some(()));
    let lines = report(app, push_id);
    assert!(lines.iter().all(|(_, rest)| rest.contains("apns,accepted")), "{lines:?}");
    // The sums of the channel are its own.
    let answer = app.call("/v3/statistics/get_push_task_stat_channel", &json!({ "pushId": push_id }));
    let list = answer["pushStatDataAll"].as_array().expect("a list");
    let sums = |channel: &str| {
        let entry = list.iter().find(|entry| entry["channel"] == channel).expect("the channel has an entry");
        ["pushActiveUv", "pushOnlineUv"].map(|sum| entry["pushState"][sum].clone())
    };
    assert_eq!([sums("apns"), sums("xg")], [[devices, devices], [0, 0]].map(|of| of.map(Value::from)), "{answer}");
}

fn states(server: &Server) -> [f64; 3] {
    ["closed", "open", "half_open"]
        .map(|state| server.metric("pigeonloft_vendor_channels", &format!("channel=\"apns\",state=\"{state}\"")))
}

#[test]
fn a_vendor_that_answers_503_is_left_alone_and_holds_up_nobody() {
    let (server, app, apple) = shop();
    goes_through(&app);
    assert_eq!(states(&server), [1.0, 0.0, 0.0]);
    let asked = apple.sim.counts()[0];
    let reply = Reply { retry_after: Some(1_800), ..Reply::new(503, "ServiceUnavailable") };
    apple.behaves(|habits| habits.next = Some((u64::MAX, reply)));
    let push_id = app.pushed(to_ann(json!({})));
    let shown = app.finished(&push_id);
    // Two batches in a row said so, two more were under way by then.
    let asked = apple.sim.counts()[0] - asked;
    assert!((20..=60).contains(&asked), "{asked}");
    assert_eq!(outcomes(&app, &push_id), json!({ "waiting": DEVICES }));
    let paused = &shown["paused_channels"][0];
    assert_eq!([&paused["channel"], &paused["reason"], &paused["code"]], ["apns", "failing", "ServiceUnavailable"]);
    assert!(paused["since"].as_i64() > Some(1_700_000_000), "{paused}");
    assert!((1_700..=2_160).contains(&paused["next_try_in_seconds"].as_i64().unwrap_or_default()), "{paused}");
    // Each recipient once, with the reason.
    let lines = report(&app, &push_id);
    assert_eq!(lines.len(), DEVICES);
    assert_eq!(lines.iter().map(|(token, _)| token).collect::<HashSet<_>>().len(), DEVICES);
    let word = |says: &str| lines.iter().filter(|(_, rest)| rest.contains(says)).count() as u64;
    assert_eq!(word("apns: ServiceUnavailable"), asked);
    assert_eq!(word("apns: paused: ServiceUnavailable"), DEVICES as u64 - asked);
    // Another app's channel, and our own, are as ever.
    let other = (server.app("ios"), Apple::start());
    other.1.serves(&server, &other.0);
    let _phone = device(&other.0, 0);
    let through_other = other.0.pushed(to_ann(json!({})));
    assert_eq!(outcomes(&other.0, &through_other), json!({ "accepted": 1 }));
    let (_fleet, _phones) = Fleet::of(&server, vec![app.register_device(Some("ben"))]);
    let to_ben = app.pushed(json!({ "audience_type": "account", "account_list": ["ben"] }));
    until("it arrived", || (outcomes(&app, &to_ben) == json!({ "arrived": 1 })).then_some(()));
    assert_eq!(states(&server), [1.0, 1.0, 0.0]);
    let pauses = || server.metric("pigeonloft_vendor_pauses_total", "channel=\"apns\",reason=\"failing\"");
    assert_eq!(pauses(), 1.0);
    // Whom the push does not concern it is not told.
    let kept_off = app.pushed(to_ann(json!({ "channel_rules": [{ "channel": "apns", "disable": true }] })));
    assert_eq!(app.finished(&kept_off)["paused_channels"], json!([]));
    // The operator does not wait for half an hour: credentials that are set again are tried at once.
    apple.behaves(|habits| habits.next = None);
    apple.serves(&server, &app);
    goes_through(&app);
    assert_eq!((states(&server), pauses()), ([2.0, 0.0, 0.0], 1.0));
    assert_eq!(app.finished(&push_id)["paused_channels"], json!([]));
    let log = server.log();
    assert_eq!(log.matches("a vendor's channel is paused").count(), 1, "{log}");
    assert_eq!(log.matches("a vendor's channel is used again").count(), 1, "{log}");
    // What waited through the pause is taken by Apple now, each once.
    is_taken(&server, &app, &apple, &push_id, DEVICES);
}

#[test]
fn a_vendor_that_refuses_the_credentials_is_tried_again_by_itself() {
    let (server, app, apple) = shop();
    apple.behaves(|habits| habits.next = Some((u64::MAX, Reply::new(403, "InvalidProviderToken"))));
    let push_id = app.pushed(to_ann(json!({})));
    let paused = app.finished(&push_id)["paused_channels"][0].clone();
    assert_eq!([&paused["reason"], &paused["code"]], ["configuration", "InvalidProviderToken"]);
    assert_eq!(outcomes(&app, &push_id), json!({ "waiting": DEVICES }));
    assert!(apple.sim.counts()[0] <= 40, "{:?}", apple.sim.counts());
    apple.behaves(|habits| habits.next = None);
    goes_through(&app);
    assert_eq!(states(&server), [1.0, 0.0, 0.0]);
    is_taken(&server, &app, &apple, &push_id, DEVICES);
}

#[test]
fn where_most_tokens_are_said_to_be_dead_the_channel_is_paused_and_none_is_forgotten() {
    let server = pigeonloft!().start();
    let (app, apple) = (server.app("ios"), Apple::start());
    apple.serves(&server, &app);
    for n in 0..DEVICES {
        let _ = device(&app, n);
    }
    let reply = Reply { timestamp: Some(4_000_000_000_000), ..Reply::new(410, "Unregistered") };
    apple.behaves(|habits| habits.next = Some((DEVICES as u64, reply)));
    let push_id = app.pushed(to_ann(json!({})));
    let paused = app.finished(&push_id)["paused_channels"][0].clone();
    assert_eq!([&paused["reason"], &paused["code"]], ["dead_tokens", "Unregistered"]);
    assert_eq!(outcomes(&app, &push_id), json!({ "waiting": DEVICES }));
    let asked_for = push_id;
    let asked = apple.sim.counts()[0];
    let left_alone = app.pushed(to_ann(json!({})));
    assert_eq!(outcomes(&app, &left_alone), json!({ "waiting": DEVICES }));
    assert_eq!(apple.sim.counts()[0], asked, "Apple is left alone");
    let says: Vec<Value> =
        report(&app, &left_alone).iter().map(|(_, rest)| json!(rest.contains("apns: paused: Unregistered"))).collect();
    assert_eq!(json!(says), json!(vec![true; DEVICES]));
    // Each token is still there.
    goes_through(&app);
    assert!((0..DEVICES).all(|n| apple.sim.all_taken().contains_key(&apns_token(n))));
    assert_eq!(server.metric("pigeonloft_vendor_pauses_total", "reason=\"dead_tokens\""), 1.0);
    for push_id in [asked_for, left_alone] {
        is_taken(&server, &app, &apple, &push_id, DEVICES);
    }
}

#[test]
fn credentials_that_cannot_be_opened_are_a_pause_that_ends_when_they_can() {
    let (server, app, apple) = shop();
    let key = server.data_dir().join("credentials.key");
    let away = key.with_extension("away");
    std::fs::rename(&key, &away).expect("the key is there");
    let push_id = app.pushed(to_ann(json!({})));
    let paused = app.finished(&push_id)["paused_channels"][0].clone();
    assert_eq!(
        [&paused["channel"], &paused["reason"], &paused["code"]],
        ["apns", "configuration", "credentials unusable"]
    );
    assert_eq!(outcomes(&app, &push_id), json!({ "waiting": DEVICES }));
    assert!(report(&app, &push_id).iter().all(|(_, rest)| rest.contains("apns: credentials unusable")));
    assert_eq!((states(&server), apple.sim.counts()[0]), ([0.0, 1.0, 0.0], 0));
    assert_eq!(server.metric("pigeonloft_vendor_pauses_total", "channel=\"apns\",reason=\"configuration\""), 1.0);
    std::fs::rename(&away, &key).expect("it is brought back");
    goes_through(&app);
    assert_eq!(states(&server), [1.0, 0.0, 0.0]);
    assert_eq!(app.finished(&push_id)["paused_channels"], json!([]));
    let log = server.log();
    assert_eq!(log.matches("a vendor's channel cannot be used").count(), 1, "{log}");
    is_taken(&server, &app, &apple, &push_id, DEVICES);
}
