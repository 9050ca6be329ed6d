//! Rules of pushes: when a message is sent and how long it is kept, which calls take turns, and what one that cannot be
//! carried out is told.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pigeonloft_testkit::{App, Fleet, Habit, Phone, assert_refused, pigeonloft, until};
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);

/// A moment so many seconds from now, as the API writes it, in UTC+8.
fn from_now(seconds: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let moment = i64::try_from(now).expect("a moment") + seconds;
    let moment = jiff::Timestamp::from_second(moment).expect("a moment");
    jiff::tz::Offset::constant(8).to_datetime(moment).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

#[test]
fn expire_time_0_is_for_devices_online_alone() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let (here, away) = (app.register_device(Some("ann")), app.register_device(Some("ann")));
    let (fleet, phones) = Fleet::of(&server, [here]);
    let given = json!({
        "audience_type": "account", "account_list": ["ann"], "account_push_type": 1, "expire_time": 0,
    });
    let push_id = app.pushed(given);
    let _ = phones[0].wait_for_messages(1);
    let _ = app.finished(&push_id);
    until("the arrival is counted", || (app.progress(&push_id)["outcomes"]["arrived"] == 1).then_some(()));
    let shown = app.progress(&push_id);
    assert_eq!((&shown["outcomes"]["not_kept"], &shown["targets"]), (&json!(1), &json!(2)));
    // What comes after it shows that it does not come.
    let later = app.pushed(json!({ "audience_type": "token", "token_list": [away.token] }));
    let away = Phone::new(away);
    fleet.online([&away], Habit::Acknowledges);
    assert_eq!(away.wait_for_messages(1)[0].push_id, later);
}

#[test]
fn expire_time_is_at_least_800_seconds_and_at_most_three_days() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let device = app.register_device(Some("ann"));
    let (_fleet, phones) = Fleet::of(&server, [device]);
    let given = |expire: i64| json!({ "audience_type": "account", "account_list": ["ann"], "expire_time": expire });
    for (place, (expire, kept)) in [(1, 800), (799, 800), (801, 801), (259_200, 259_200)].into_iter().enumerate() {
        let _ = app.pushed(given(expire));
        let message = phones[0].wait_for_messages(place + 1)[place].payload.clone();
        assert_eq!(message["expire_at"].as_i64(), message["sent_at"].as_i64().map(|at| at + kept), "{expire}");
    }
    assert_refused(&app.push(given(259_201)), 1_008_007, "expire_time");
    assert_refused(&app.push(given(-1)), 1_008_007, "expire_time");
}

#[test]
fn a_push_waits_for_its_time_and_a_time_that_is_past_means_now() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let (_fleet, phones) = Fleet::of(&server, [app.register_device(Some("ann"))]);
    let package = app.uploaded(["ann"]);
    let given =
        |time: &str| json!({ "audience_type": "package_account_push", "upload_id": package, "send_time": time });
    let time = from_now(4);
    let waiting = app.pushed_in_turn(&given(&time));
    assert_eq!(app.progress(&waiting)["state"], "PUSH_WAIT");
    assert_eq!(app.own("DELETE", &format!("/v1/packages/{package}")).0, 409, "it is needed");
    let past = app.pushed_in_turn(&given(&from_now(-3600)));
    assert_eq!(phones[0].wait_for_messages(1)[0].push_id, past);
    let message = phones[0].wait_for_messages(2)[1].clone();
    assert_eq!(message.push_id, waiting);
    let shown = app.finished(&waiting);
    assert_eq!(message.payload["sent_at"], shown["start_at"]);
    assert!(shown["started_at"].as_i64() >= shown["start_at"].as_i64(), "not before its time: {shown}");
    let record = app.call("/v3/statistics/get_push_record", &json!({ "pushId": waiting }));
    assert_eq!(record["pushRecordData"][0]["date"], time);
    for time in ["tomorrow", "2026-13-01 00:00:00", &from_now(91 * 86_400)] {
        assert_refused(&app.push(given(time)), 10_010_012, "send_time");
    }
}

#[test]
fn a_push_that_waits_for_its_time_survives_a_kill() {
    let mut server = pigeonloft!().start();
    let app = server.app("android");
    let device = app.register_device(Some("ann"));
    let package = app.uploaded(["ann"]);
    let push_id = app.pushed(json!({
        "audience_type": "package_account_push", "upload_id": package, "send_time": from_now(3),
    }));
    server.kill9();
    server.restart();
    let (_fleet, phones) = Fleet::of(&server, [device]);
    assert_eq!(phones[0].wait_for_messages(1)[0].push_id, push_id);
    assert_eq!(app.finished(&push_id)["targets"], 1);
}

#[test]
fn what_waits_for_a_device_comes_oldest_first() {
    let mut server = pigeonloft!().start();
    let app = server.app("android");
    let device = app.register_device(Some("ann"));
    let given = json!({ "audience_type": "account", "account_list": ["ann"] });
    let pushes: Vec<String> = (0..5).map(|_| app.pushed(given.clone())).collect();
    for push_id in &pushes {
        assert_eq!(app.finished(push_id)["outcomes"]["waiting"], 1);
    }
    assert_eq!(server.metric("pigeonloft_inbox_messages", ""), 5.0);
    server.terminate();
    server.restart();
    let (_fleet, phones) = Fleet::of(&server, [device]);
    let came: Vec<String> = phones[0].wait_for_messages(5).into_iter().map(|message| message.push_id).collect();
    assert_eq!(came, pushes);
    for push_id in &pushes {
        assert_eq!(app.receivers(&phones, push_id), [0]);
    }
}
#[test]
fn a_small_push_is_delivered_while_a_large_one_runs() {
    let server =
        pigeonloft!().set("push.batch_rows", 5).set("push.batches_in_flight", 1).set("push.ack_wait_ms", 500).start();
    let app = server.app("android");
    let accounts: Vec<String> = (0..100).map(|place| format!("account-{place:03}")).collect();
    let phones: Vec<Phone> = app.import_devices(&server, &accounts).into_iter().map(Phone::new).collect();
    let fleet = Fleet::new(server.mqtt());
    // Twenty batches of half a second each: nobody acknowledges.
    fleet.online(&phones, Habit::NeverAcknowledges);
    let (_others, reader) = Fleet::of(&server, [app.register_device(Some("reader"))]);
    let package = app.uploaded(&accounts);
    let large = app.pushed(json!({ "audience_type": "package_account_push", "upload_id": package }));
    until("the large push has begun", || (app.progress(&large)["rows_done"].as_u64() > Some(0)).then_some(()));
    let small = app.pushed(json!({ "audience_type": "account", "account_list": ["reader"] }));
    assert_eq!(reader[0].wait_for_messages(1)[0].push_id, small);
    assert_eq!(app.receivers(&reader, &small), [0]);
    let shown = app.progress(&large);
    assert_eq!(shown["state"], "PUSH_STARTED", "the large one was not waited for: {shown}");
}

#[test]
fn a_second_package_push_within_a_second_is_too_fast_for_its_app_alone() {
    let server = pigeonloft!().start();
    let (app, other) = (server.app("android"), server.app("android"));
    let given = |app: &App| json!({ "audience_type": "package_account_push", "upload_id": app.uploaded(["ann"]) });
    let (mine, others) = (given(&app), given(&other));
    let (began, second) = until("two pushes fall into one second", || {
        let began = Instant::now();
        let (first, second) = (app.push(mine.clone()), app.push(mine.clone()));
        (first["ret_code"] == 0 && began.elapsed() < SECOND).then_some((began, second))
    });
    assert_refused(&second, 1_008_028, "one such push a second");
    let _ = other.pushed(others);
    let _ = app.pushed_in_turn(&mine);
    assert!(began.elapsed() >= SECOND, "taken after a second, not before");
}

#[test]
fn a_package_that_is_not_there_is_no_target() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let deleted = app.uploaded(["ann"]);
    assert_eq!(app.own("DELETE", &format!("/v1/packages/{deleted}")).0, 204);
    for upload_id in [deleted, 999_999] {
        let given = json!({ "audience_type": "package_account_push", "upload_id": upload_id, "seq": 7 });
        let answer = app.push(given);
        assert_refused(&answer, 10_010_005, &upload_id.to_string());
        assert_eq!(answer["seq"], 7, "the caller finds its call again");
    }
    for (upload_id, code) in [(json!(0), 1_008_002), (Value::Null, 1_008_002), (json!(-1), 1_008_007)] {
        let given = json!({ "audience_type": "package_token_push", "upload_id": upload_id });
        assert_refused(&app.push(given), code, "upload_id");
    }
}

#[test]
fn a_token_push_of_an_account_package_names_the_row_that_is_no_token() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let device = app.register_device(None);
    let mixed = app.uploaded([&device.token, "ann the account"]);
    let given = json!({ "audience_type": "package_token_push", "upload_id": mixed });
    let answer = app.push(given);
    assert_refused(&answer, 1_008_007, "line 2");
    assert_refused(&answer, 1_008_007, "ann the account");
    assert_refused(&answer, 1_008_007, "package_account_push");
    // What was refused has not used up the app's turn.
    let tokens = app.uploaded([&device.token]);
    let push_id = app.pushed(json!({ "audience_type": "package_token_push", "upload_id": tokens }));
    assert_eq!(app.finished(&push_id)["targets"], 1);
}

#[test]
fn an_unknown_token_fails_the_call_or_is_listed() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let device = app.register_device(None);
    let unknown = "f".repeat(36);
    let given = json!({ "audience_type": "token_list", "token_list": [device.token, unknown, "no token"] });
    assert_refused(&app.push(given.clone()), 1_008_029, &unknown);
    let mut given = given;
    given["ignore_invalid_token"] = json!(1);
    let answer = app.push(given);
    assert_eq!(answer["ret_code"], 0, "{answer}");
    assert_eq!(answer["invalid_targe_list"], json!([unknown, "no token"]));
    let (_fleet, phones) = Fleet::of(&server, [device]);
    assert_eq!(phones[0].wait_for_messages(1)[0].push_id, answer["push_id"]);
    let single = json!({ "audience_type": "token", "token_list": [unknown] });
    assert_refused(&app.push(single), 1_008_029, &unknown);
}

#[test]
fn a_message_of_more_than_4096_bytes_is_refused() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let (_fleet, phones) = Fleet::of(&server, [app.register_device(Some("ann"))]);
    let given = |bytes: usize| {
        let rest = json!({ "title": "a title", "content": "" }).to_string().len();
        let content = "x".repeat(bytes - rest);
        json!({ "audience_type": "account", "account_list": ["ann"], "message": { "content": content } })
    };
    let push_id = app.pushed(given(4096));
    assert_eq!(app.receivers(&phones, &push_id), [0], "more than a device may send is sent to it");
    assert_refused(&app.push(given(4097)), 1_008_007, "4097 bytes");
}
