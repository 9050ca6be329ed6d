//! `accept_time`: the parts of the day, in the server's zone, outside of which no message of a push goes to a device.

use pigeonloft_testkit::{App, Fleet, Habit, Phone, assert_refused, pigeonloft, until};
use serde_json::{Value, json};

use super::at;

/// The parts of the day from and to these times, written like `09:00`.
fn parts<const N: usize>(parts: [(&str, &str); N]) -> Value {
    let time = |text: &str| json!({ "hour": text[..2], "min": text[3..] });
    parts.iter().map(|(start, end)| json!({ "start": time(start), "end": time(end) })).collect()
}

/// A push to ann with these accept times.
fn to_ann(accept: Value) -> Value {
    json!({ "audience_type": "account", "account_list": ["ann"], "account_push_type": 1,
        "message": { "accept_time": accept } })
}

/// Waits until a push to ann at any time has come to a phone: what was sent to it before has come, too.
fn witness(app: &App, phone: &Phone) {
    let push_id = app.pushed(to_ann(json!([])));
    until("the witness comes", || (phone.of_push(&push_id).1 > 0).then_some(()));
}

fn waits(app: &App, push_id: &str) {
    let shown = app.finished(push_id);
    assert_eq!((&shown["outcomes"]["waiting"], &shown["sent"]), (&shown["targets"], &json!(0)), "{shown}");
}

#[test]
fn a_message_outside_its_hours_waits_in_the_inbox_and_goes_out_when_they_begin() {
    let server = pigeonloft!().clock_at(at("2027-01-30 08:00:00")).start();
    let app = server.app("android");
    let (here, away) = (app.register_device(Some("ann")), app.register_device(Some("ann")));
    let (fleet, phones) = Fleet::of(&server, [here]);
    let away = Phone::new(away);
    let push_id = app.pushed(to_ann(parts([("09:00", "10:00"), ("12:00", "13:00")])));
    waits(&app, &push_id);
    witness(&app, &phones[0]);
    fleet.online([&away], Habit::Acknowledges);
    witness(&app, &away);
    // Not with the last second before, nor to one who connects then.
    server.set_clock(at("2027-01-30 08:59:50"));
    away.leave();
    fleet.online([&away], Habit::Acknowledges);
    witness(&app, &away);
    for phone in [&phones[0], &away] {
        assert_eq!(phone.of_push(&push_id).1, 0);
    }
    server.set_clock(at("2027-01-30 09:00:00"));
    for phone in [&phones[0], &away] {
        until("it goes out when its hours begin", || (phone.of_push(&push_id).1 == 1).then_some(()));
    }
    assert_eq!(app.receivers(&[phones[0].clone(), away.clone()], &push_id), [0, 1]);
    // One that runs within its hours goes out at once.
    let now = app.pushed(to_ann(parts([("09:00", "09:10")])));
    until("it comes", || (phones[0].of_push(&now).1 == 1).then_some(()));
    let message = &phones[0].messages().into_iter().find(|message| message.push_id == now).expect("it came");
    assert_eq!(
        message.payload["accept_time"],
        json!([{ "start": { "hour": 9, "min": 0 }, "end": { "hour": 9, "min": 10 } }])
    );
}

#[test]
fn a_message_that_was_not_delivered_within_its_hours_waits_for_the_next() {
    let mut server = pigeonloft!().clock_at(at("2027-01-30 17:59:00")).start();
    let app = server.app("android");
    let device = app.register_device(Some("ann"));
    let phones = [Phone::new(device)];
    let fleet = Fleet::new(server.mqtt());
    fleet.online(&phones, Habit::NeverAcknowledges);
    let push_id = app.pushed(to_ann(parts([("09:00", "18:00")])));
    until("it comes", || (phones[0].of_push(&push_id).1 == 1).then_some(()));
    let _ = app.finished(&push_id);
    // It did not acknowledge, and is back when the day is over: the same message waits for the next one.
    phones[0].vanish();
    server.set_clock(at("2027-01-30 18:00:00"));
    fleet.online(&phones, Habit::Acknowledges);
    witness(&app, &phones[0]);
    assert_eq!(phones[0].of_push(&push_id).1, 1);
    // A server that was down when the hours began has missed nothing.
    server.terminate();
    server.restart();
    let fleet = Fleet::new(server.mqtt());
    fleet.online(&phones, Habit::Acknowledges);
    witness(&app, &phones[0]);
    assert_eq!(phones[0].of_push(&push_id).1, 1);
    server.terminate();
    server.set_clock(at("2027-01-31 09:30:00"));
    server.restart();
    let fleet = Fleet::new(server.mqtt());
    fleet.online(&phones, Habit::Acknowledges);
    until("it comes again", || (phones[0].of_push(&push_id).1 == 2).then_some(()));
    assert_eq!(phones[0].of_push(&push_id).0.len(), 1, "under the same msg_id");
    assert_eq!(app.receivers(&phones, &push_id), [0]);
}

#[test]
fn a_message_that_expires_before_its_hours_begin_never_goes_out() {
    let server = pigeonloft!().clock_at(at("2027-01-30 08:00:00")).start();
    let app = server.app("android");
    let (_fleet, phones) = Fleet::of(&server, [app.register_device(Some("ann"))]);
    let mut given = to_ann(parts([("09:00", "10:00")]));
    given["expire_time"] = json!(1800);
    let push_id = app.pushed(given.clone());
    waits(&app, &push_id);
    server.set_clock(at("2027-01-30 08:30:00"));
    until("it expires", || (app.progress(&push_id)["outcomes"]["expired"] == 1).then_some(()));
    // For devices online now only, outside of its hours: there is no such device.
    given["expire_time"] = json!(0);
    let online_only = app.pushed(given);
    assert_eq!(app.finished(&online_only)["outcomes"]["not_kept"], 1);
    server.set_clock(at("2027-01-30 09:00:00"));
    witness(&app, &phones[0]);
    assert_eq!(phones[0].messages().len(), 1, "the witness alone");
}

#[test]
fn hours_may_pass_midnight_be_the_whole_day_or_overlap() {
    let server = pigeonloft!().clock_at(at("2027-01-30 23:30:00")).start();
    let app = server.app("android");
    let (_fleet, phones) = Fleet::of(&server, [app.register_device(Some("ann"))]);
    let comes = |accept: Value| {
        let push_id = app.pushed(to_ann(accept));
        witness(&app, &phones[0]);
        (phones[0].of_push(&push_id).1 == 1, push_id)
    };
    for accept in [parts([("22:00", "06:00")]), parts([("00:00", "00:00")]), parts([("07:00", "07:00")])] {
        assert!(comes(accept.clone()).0, "{accept}");
    }
    let (came, night) = comes(parts([("00:00", "05:00")]));
    assert!(!came);
    let (came, morning) = comes(parts([("06:00", "09:00"), ("08:00", "12:00"), ("05:59", "06:00")]));
    assert!(!came);
    server.set_clock(at("2027-01-31 00:00:00"));
    until("the night begins", || (phones[0].of_push(&night).1 == 1).then_some(()));
    assert!(comes(parts([("22:00", "06:00")])).0);
    server.set_clock(at("2027-01-31 05:59:00"));
    until("the morning begins", || (phones[0].of_push(&morning).1 == 1).then_some(()));
    assert!(!comes(parts([("22:00", "05:59")])).0, "the end is outside");
    for (hour, min) in [(24, 0), (9, 60), (-1, 0)] {
        let accept = json!([{ "start": { "hour": 9, "min": 0 }, "end": { "hour": hour, "min": min } }]);
        assert_refused(&app.push(to_ann(accept)), 1_008_007, "message.accept_time[0].end");
    }
    assert_refused(&app.push(to_ann(json!([{ "start": { "hour": 9 } }]))), 1_008_002, "message.accept_time[0].end");
}

#[test]
fn hours_are_those_of_the_configured_zone_and_of_a_clock_that_is_set_back() {
    let server = pigeonloft!().set("push.utc_offset", "-03:30").clock_at(at("2027-01-30 20:30:00")).start();
    // 09:00 there.
    let app = server.app("android");
    let (_fleet, phones) = Fleet::of(&server, [app.register_device(Some("ann"))]);
    let there = app.pushed(to_ann(parts([("09:00", "09:30")])));
    until("it comes", || (phones[0].of_push(&there).1 == 1).then_some(()));
    let earlier = app.pushed(to_ann(parts([("08:00", "08:30")])));
    waits(&app, &earlier);
    server.set_clock(at("2027-01-30 19:40:00"));
    until("the clock is back at it", || (phones[0].of_push(&earlier).1 == 1).then_some(()));
}

#[test]
fn when_hours_begin_for_thousands_each_connected_device_gets_its_message_once() {
    let server = pigeonloft!().clock_at(at("2027-01-30 08:00:00")).start();
    let app = server.app("android");
    let accounts: Vec<String> = (0..2_500).map(|place| format!("account-{place:04}")).collect();
    let phones: Vec<Phone> = app.import_devices(&server, &accounts).into_iter().map(Phone::new).collect();
    let fleet = Fleet::new(server.mqtt());
    fleet.online(&phones[..2_100], Habit::Acknowledges);
    let given = json!({ "audience_type": "package_account_push", "upload_id": app.uploaded(&accounts),
        "message": { "accept_time": parts([("09:00", "10:00")]) } });
    let push_id = app.pushed(given);
    waits(&app, &push_id);
    server.set_clock(at("2027-01-30 09:00:00"));
    until("those that are connected have it", || {
        (app.progress(&push_id)["outcomes"]["arrived"] == 2_100).then_some(())
    });
    assert_eq!(app.progress(&push_id)["outcomes"]["waiting"], 400);
    assert!(phones[..2_100].iter().all(|phone| phone.of_push(&push_id).1 == 1));
}
