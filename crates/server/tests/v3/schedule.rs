//! When a push starts: `send_time`, `loop_param`, `cancel_timing_task`, and clocks that are not what they were.

use pigeonloft_testkit::{App, Fleet, Habit, Phone, assert_refused, pigeonloft, until};
use serde_json::{Value, json};

use super::at;

/// A push to the package of ann, with these members besides.
fn to_package(app: &App, members: Value) -> Value {
    let mut given = json!({ "audience_type": "package_account_push", "upload_id": app.uploaded(["ann"]) });
    for (name, value) in members.as_object().expect("members") {
        given[name] = value.clone();
    }
    given
}

/// The ids of a repeated push.
fn repeated(app: &App, members: Value) -> Vec<String> {
    let answer = app.push(to_package(app, members));
    assert_eq!(answer["ret_code"], 0, "{answer}");
    serde_json::from_value(answer["push_id"].clone()).expect("a list of texts")
}

fn record(app: &App, push_id: &str) -> Value {
    app.call("/v3/statistics/get_push_record", &json!({ "pushId": push_id }))["pushRecordData"][0].clone()
}

fn cancel(app: &App, body: &Value) -> Value {
    app.call("/v3/push/cancel_timing_task", body)
}

fn came(phone: &Phone) -> Vec<String> {
    phone.messages().into_iter().map(|message| message.push_id).collect()
}

#[test]
fn a_loop_is_a_push_for_each_occurrence_and_each_starts_at_its_time() {
    let server = pigeonloft!().clock_at(at("2027-01-30 08:00:00")).start();
    let app = server.app("android");
    let (_fleet, phones) = Fleet::of(&server, [app.register_device(Some("ann"))]);
    let rule = json!({ "startDate": "2027-01-01", "endDate": "2027-03-31", "loopType": 3, "loopDayIndexs": [30, 31],
        "dayTimes": ["09:00:00"] });
    let answer = app.push(to_package(&app, json!({ "loop_param": rule, "seq": 7 })));
    assert_eq!(
        answer,
        json!({ "ret_code": 0, "err_msg": "", "seq": 7, "push_id": ["1", "2", "3", "4"], "environment": "product",
            "result": "", "invalid_targe_list": [], "skipped_days": ["2027-02-30", "2027-02-31"] })
    );
    let times = ["2027-01-30 09:00:00", "2027-01-31 09:00:00", "2027-03-30 09:00:00", "2027-03-31 09:00:00"];
    for (push_id, time) in ["1", "2", "3", "4"].into_iter().zip(times) {
        let record = record(&app, push_id);
        assert_eq!((&record["status"], &record["date"]), (&json!("PUSH_WAIT"), &json!(time)));
    }
    for (place, time) in times.into_iter().enumerate() {
        assert_eq!(came(&phones[0]).len(), place, "nothing before {time}");
        server.set_clock(at(time));
        let message = phones[0].wait_for_messages(place + 1)[place].clone();
        assert_eq!(message.push_id, (place + 1).to_string());
        assert_eq!(message.payload["sent_at"], at(time));
        assert_eq!(app.finished(&message.push_id)["start_at"], at(time));
    }
}

#[test]
fn a_loop_that_cannot_be_carried_out_starts_nothing() {
    let server = pigeonloft!().clock_at(at("2027-01-30 08:00:00")).start();
    let app = server.app("android");
    let given = |first: &str, last: &str, times: Value| {
        let rule = json!({ "startDate": first, "endDate": last, "loopType": 1, "dayTimes": times });
        to_package(&app, json!({ "loop_param": rule }))
    };
    let nine = json!(["09:00:00"]);
    assert_refused(&app.push(given("2027-01-30", "2027-05-01", nine.clone())), 10_010_012, "2027-04-30");
    assert_refused(&app.push(given("2027-01-29", "2027-01-29", nine.clone())), 10_010_012, "no time");
    assert_refused(&app.push(given("2027-01-30", "2027-02-29", nine.clone())), 10_010_012, "endDate");
    assert_refused(&app.push(given("2027-01-30", "2027-01-30", json!(["9 am"]))), 10_010_012, "dayTimes[0]");
    let eleven: Vec<String> = (9..20).map(|hour| format!("{hour:02}:00:00")).collect();
    assert_refused(&app.push(given("2027-01-30", "2027-04-30", json!(eleven))), 10_010_012, "1000 times");
    let mut single = given("2027-01-30", "2027-01-30", nine);
    single["audience_type"] = json!("account");
    single["account_list"] = json!(["ann"]);
    assert_refused(&app.push(single), 10_010_012, "loop_param");
    let days = json!({ "startDate": "2027-01-30", "endDate": "2027-01-30" });
    assert_eq!(app.call("/v3/statistics/get_push_record", &days)["count"], 0, "what is refused is not there");
}

#[test]
fn a_push_is_cancelled_before_its_time_and_not_after() {
    let server = pigeonloft!().clock_at(at("2027-01-30 08:00:00")).start();
    let (app, other) = (server.app("android"), server.app("android"));
    let (_fleet, phones) = Fleet::of(&server, [app.register_device(Some("ann"))]);
    let given = to_package(&app, json!({ "send_time": "2027-01-30 09:00:00" }));
    let package = format!("/v1/packages/{}", given["upload_id"]);
    let rule = json!({ "startDate": "2027-01-30", "endDate": "2027-01-30", "loopType": 1,
        "dayTimes": ["09:00:00", "09:00:01", "09:00:02"] });
    let cancelled = app.pushed(given);
    assert_eq!(app.own("DELETE", &package).0, 409, "it is needed");
    for spelling in ["pushId", "pushid", "push_id"] {
        assert_eq!(
            cancel(&app, &json!({ spelling: cancelled })),
            json!({ "ret_code": 0, "err_msg": "" }),
            "{spelling}"
        );
    }
    assert_eq!(record(&app, &cancelled)["status"], "PUSH_CANCELED");
    assert_eq!(app.progress(&cancelled)["state"], "PUSH_CANCELED");
    assert_eq!(app.own("DELETE", &package).0, 204, "it is needed no more");
    let occurrences = until("it is the app's turn", || {
        let answer = app.push(to_package(&app, json!({ "loop_param": rule })));
        (answer["ret_code"] == 0).then(|| serde_json::from_value::<Vec<String>>(answer["push_id"].clone()).unwrap())
    });
    assert_eq!(cancel(&app, &json!({ "pushId": occurrences[1] }))["ret_code"], 0, "one of three");
    server.set_clock(at("2027-01-30 09:00:03"));
    let mut rest = [occurrences[0].clone(), occurrences[2].clone()];
    let _ = phones[0].wait_for_messages(2);
    for push_id in &rest {
        let _ = app.finished(push_id);
        assert_refused(&cancel(&app, &json!({ "pushId": push_id })), 1_008_007, "has ended (PUSH_FINISHED)");
    }
    let mut came = came(&phones[0]);
    came.sort();
    rest.sort();
    assert_eq!(came, rest);
    let at_once = app.pushed_in_turn(&to_package(&app, json!({})));
    let _ = app.finished(&at_once);
    assert_refused(&cancel(&app, &json!({ "pushId": at_once })), 1_008_007, &at_once);
    assert_refused(&cancel(&app, &json!({ "pushId": "999999" })), 1_008_015, "999999");
    assert_refused(&cancel(&other, &json!({ "pushId": cancelled })), 1_008_015, &cancelled);
    assert_refused(&cancel(&app, &json!({ "pushId": "" })), 1_008_002, "pushId");
    assert_refused(&cancel(&app, &json!({ "pushId": "next" })), 1_008_001, "pushId");
}

#[test]
fn a_push_that_is_cancelled_while_it_becomes_due_starts_or_is_cancelled_and_never_both() {
    let server = pigeonloft!().clock_at(at("2027-01-30 08:00:00")).start();
    let app = server.app("android");
    let (_fleet, phones) = Fleet::of(&server, [app.register_device(Some("ann"))]);
    let times: Vec<String> = (0..60).map(|second| format!("09:00:{second:02}")).collect();
    let rule = json!({ "startDate": "2027-01-30", "endDate": "2027-01-30", "loopType": 1, "dayTimes": times });
    let pushes = repeated(&app, json!({ "loop_param": rule }));
    server.set_clock(at("2027-01-30 09:01:00"));
    let is_cancelled = |push_id: &String| match cancel(&app, &json!({ "pushId": push_id }))["ret_code"].as_i64() {
        Some(0) => true,
        Some(1_008_007) => false,
        other => panic!("{other:?}"),
    };
    let (mut cancelled, mut started): (Vec<_>, Vec<_>) = pushes.into_iter().rev().partition(is_cancelled);
    for push_id in &started {
        assert_eq!(app.receivers(&phones, push_id), [0]);
    }
    let mut came = came(&phones[0]);
    came.sort();
    started.sort();
    assert_eq!(came, started);
    cancelled.retain(|push_id| record(&app, push_id)["status"] != "PUSH_CANCELED");
    assert!(cancelled.is_empty(), "{cancelled:?}");
}

#[test]
fn a_server_that_was_down_at_the_time_catches_up_with_what_has_not_expired() {
    let mut server = pigeonloft!().clock_at(at("2027-01-30 08:00:00")).start();
    let app = server.app("android");
    let device = app.register_device(Some("ann"));
    let rule = json!({ "startDate": "2027-01-30", "endDate": "2027-02-01", "loopType": 1, "dayTimes": ["09:00:00"] });
    let pushes = repeated(&app, json!({ "loop_param": rule, "expire_time": 86_400 }));
    server.terminate();
    // Down on the whole of the 30th and most of the 31st.
    server.set_clock(at("2027-01-31 21:00:00"));
    server.restart();
    let (_fleet, phones) = Fleet::of(&server, [device]);
    let message = phones[0].wait_for_messages(1)[0].clone();
    assert_eq!(message.push_id, pushes[1]);
    assert_eq!(message.payload["sent_at"], at("2027-01-31 09:00:00"), "as it would have been");
    assert_eq!(message.payload["expire_at"], at("2027-02-01 09:00:00"));
    let missed = app.finished(&pushes[0]);
    assert_eq!(
        (&missed["outcomes"]["expired"], &missed["targets"]),
        (&json!(1), &json!(1)),
        "kept for a day, as asked"
    );
    assert_eq!(app.progress(&pushes[2])["state"], "PUSH_WAIT");
    server.kill9();
    server.set_clock(at("2027-02-01 10:00:00"));
    server.restart();
    let fleet = Fleet::new(server.mqtt());
    fleet.online(&phones, Habit::Acknowledges);
    assert_eq!(phones[0].wait_for_messages(2)[1].push_id, pushes[2]);
    assert_eq!(app.receivers(&phones, &pushes[2]), [0]);
    assert_eq!(came(&phones[0]), pushes[1..]);
}

#[test]
fn a_clock_that_jumps_neither_loses_an_occurrence_nor_doubles_one() {
    let mut server = pigeonloft!().clock_at(at("2027-01-30 08:00:00")).start();
    let app = server.app("android");
    let (_fleet, phones) = Fleet::of(&server, [app.register_device(Some("ann"))]);
    let rule = json!({ "startDate": "2027-01-30", "endDate": "2027-01-30", "loopType": 1,
        "dayTimes": ["09:00:00", "10:00:00", "11:00:00"] });
    let pushes = repeated(&app, json!({ "loop_param": rule }));
    server.set_clock(at("2027-01-30 10:30:00"));
    let _ = phones[0].wait_for_messages(2);
    let _ = (app.receivers(&phones, &pushes[0]), app.receivers(&phones, &pushes[1]));
    // Back before both, and on from there; a push that is meant for now does not wait for the clock.
    server.set_clock(at("2027-01-30 08:30:00"));
    let now = app.pushed(json!({ "audience_type": "account", "account_list": ["ann"] }));
    assert_eq!(phones[0].wait_for_messages(3)[2].push_id, now);
    server.terminate();
    server.restart();
    let fleet = Fleet::new(server.mqtt());
    fleet.online(&phones, Habit::Acknowledges);
    server.set_clock(at("2027-01-30 11:00:00"));
    assert_eq!(phones[0].wait_for_messages(4)[3].push_id, pushes[2]);
    let mut all = came(&phones[0]);
    all[..2].sort();
    assert_eq!(all.iter().collect::<Vec<_>>(), [&pushes[0], &pushes[1], &now, &pushes[2]]);
}

#[test]
fn a_push_under_way_goes_on_though_the_clock_was_set_back_behind_its_start() {
    let mut server = pigeonloft!()
        .clock_at(at("2027-01-30 08:00:00"))
        .set("push.batch_rows", 1)
        .set("push.batches_in_flight", 1)
        .set("push.ack_wait_ms", 300)
        .start();
    let app = server.app("android");
    let accounts: Vec<String> = (0..20).map(|place| format!("account-{place:02}")).collect();
    let phones: Vec<Phone> = app.import_devices(&server, &accounts).into_iter().map(Phone::new).collect();
    let fleet = Fleet::new(server.mqtt());
    fleet.online(&phones, Habit::NeverAcknowledges);
    let push_id = app.pushed(json!({ "audience_type": "account_list", "account_list": accounts }));
    until("it has begun", || (app.progress(&push_id)["rows_done"].as_u64() > Some(0)).then_some(()));
    server.terminate();
    assert!(phones.iter().any(|phone| phone.messages().is_empty()), "it is not through");
    server.set_clock(at("2027-01-30 07:00:00"));
    server.restart();
    let fleet = Fleet::new(server.mqtt());
    fleet.online(&phones, Habit::Acknowledges);
    assert_eq!(app.receivers(&phones, &push_id).len(), accounts.len());
}
