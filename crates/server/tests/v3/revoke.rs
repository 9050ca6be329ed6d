//! `revoke_push_msg`: whom a push has not reached, it will not reach any more; whom it has reached takes it back.

use std::io::Write;

use pigeonloft_testkit::{App, Device, Fleet, Habit, Phone, assert_refused, pigeonloft, raw_mqtt, until};
use serde_json::{Value, json};

use super::{at, one_after_the_other};
use crate::stops::{outcomes, state};

const REVOKE: &str = "/v3/push/revoke_push_msg";

fn revoked(app: &App, push_id: &str) {
    assert_eq!(app.call(REVOKE, &json!({ "pushId": push_id })), json!({ "ret_code": 0, "err_msg": "" }));
}

/// Waits until what became of those who are to take a push back is this, what is zero left out. Answers the push by which
/// they are told.
fn taken_back(app: &App, push_id: &str, expected: &Value) -> String {
    until(&format!("push {push_id} is taken back, {expected}"), || {
        let mut by = app.progress(push_id)["revocation"].clone();
        let outcomes = by["outcomes"].as_object_mut()?;
        outcomes.retain(|_, count| *count != 0);
        (by["outcomes"] == *expected && by["finished_at"].is_number())
            .then(|| by["push_id"].as_str().expect("an id").to_owned())
    })
}

/// The push that a device is told to take back, by its last message.
fn told(phone: &Phone) -> Option<String> {
    let last = phone.messages().pop()?;
    assert_eq!(last.msg_id.split('-').next(), Some(&*last.push_id), "its ids are its own");
    (last.payload["message_type"] == "revoke").then(|| last.payload["revoked_push_id"].as_str().map(str::to_owned))?
}

#[test]
fn who_has_the_message_and_did_not_click_it_is_told_to_take_it_back() {
    let mut server = pigeonloft!().start();
    let app = server.app("android");
    let names = ["ann", "bob", "cid", "dan"];
    let devices: Vec<Device> = names.iter().map(|name| app.register_device(Some(name))).collect();
    let (fleet, phones) = Fleet::of(&server, devices[..3].iter().cloned());
    let push_id = app.pushed(json!({ "audience_type": "account_list", "account_list": names }));
    outcomes(&app, &push_id, &json!({ "arrived": 3, "waiting": 1 }));
    // Ann has it, bob clicked it, cid has it and went, dan never had it.
    phones[1].report(&push_id, "clicked");
    phones[2].leave();

    revoked(&app, &push_id);
    assert_eq!(state(&app, &push_id), "PUSH_REVOKED");
    outcomes(&app, &push_id, &json!({ "arrived": 3, "stopped": 1 }));
    let by = taken_back(&app, &push_id, &json!({ "arrived": 1, "waiting": 1 }));
    until("ann is told", || (told(&phones[0]).as_ref() == Some(&push_id)).then_some(()));
    // Again it changes nothing, and a stop does not make less of it.
    revoked(&app, &push_id);
    assert_eq!(app.call("/v3/push/stop_push_msg", &json!({ "pushId": push_id }))["ret_code"], 0);
    server.kill9();
    server.restart();
    assert_eq!(state(&app, &push_id), "PUSH_REVOKED");
    fleet.online([&phones[0], &phones[1], &phones[2]], Habit::Acknowledges);
    let dan = Phone::new(devices[3].clone());
    fleet.online([&dan], Habit::Acknowledges);
    assert_eq!(taken_back(&app, &push_id, &json!({ "arrived": 2 })), by);
    let later = app.pushed(json!({ "audience_type": "account_list", "account_list": names }));
    outcomes(&app, &later, &json!({ "arrived": 4 }));
    let came = |phone: &Phone| phone.messages().into_iter().map(|message| message.push_id).collect::<Vec<_>>();
    assert_eq!(came(&phones[0]), [&*push_id, &*by, &*later]);
    assert_eq!(came(&phones[1]), [&*push_id, &*later], "who clicked it keeps it");
    assert_eq!(came(&phones[2]), [&*push_id, &*by, &*later]);
    assert_eq!(came(&dan), [&*later], "who never had it has nothing to take back");
}

#[test]
fn what_tells_devices_so_is_no_push_that_anybody_made() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let ann = app.register_device(Some("ann"));
    let token = ann.token.clone();
    let (_fleet, phones) = Fleet::of(&server, [ann]);
    let push_id = app.pushed(json!({ "audience_type": "account", "account_list": ["ann"] }));
    let _ = app.finished(&push_id);
    until("it has arrived", || (app.progress(&push_id)["outcomes"]["arrived"] == 1).then_some(()));
    revoked(&app, &push_id);
    let by = taken_back(&app, &push_id, &json!({ "arrived": 1 }));
    assert_eq!(told(&phones[0]), Some(push_id.clone()));

    for path in ["stop_push_msg", "revoke_push_msg", "cancel_timing_task"] {
        let answer = app.call(&format!("/v3/push/{path}"), &json!({ "pushId": by }));
        assert_refused(&answer, 1_008_015, &by);
    }
    assert_eq!(app.own("GET", &format!("/v1/pushes/{by}")).0, 404);
    let today = app.call("/v3/toolbox/getPushListByToken", &json!({ "token": token }));
    let listed: Vec<&Value> =
        today["pushTaskList"].as_array().expect("a list").iter().map(|push| &push["pushId"]).collect();
    assert_eq!(listed, [&json!(push_id)]);
    let of_today =
        jiff::Timestamp::now().to_zoned(jiff::tz::Offset::constant(8).to_time_zone()).strftime("%F").to_string();
    let records =
        app.call("/v3/statistics/get_push_record", &json!({ "startDate": of_today, "endDate": of_today, "limit": 10 }));
    assert_eq!((&records["count"], records["pushRecordData"].as_array().map(Vec::len)), (&json!(1), Some(1)));
}

#[test]
fn a_device_that_acknowledges_only_after_the_revocation_is_told_all_the_same() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let ann = app.register_device(Some("ann"));
    // She is connected, and has it from her inbox once she subscribes: whether she has it, only she can say.
    let mut phone = raw_mqtt::connected(server.mqtt(), &ann, 60);
    let push_id = app.pushed(json!({ "audience_type": "account", "account_list": ["ann"] }));
    outcomes(&app, &push_id, &json!({ "waiting": 1 }));
    raw_mqtt::subscribe(&mut phone);
    let (id, _) = raw_mqtt::message(&mut phone);
    revoked(&app, &push_id);
    outcomes(&app, &push_id, &json!({ "stopped": 1 }));
    let _ = taken_back(&app, &push_id, &json!({}));
    phone.write_all(&raw_mqtt::puback(id)).expect("the server reads");
    let (_, text) = raw_mqtt::message(&mut phone);
    let told: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((&told["message_type"], &told["revoked_push_id"]), (&json!("revoke"), &json!(push_id)));
    outcomes(&app, &push_id, &json!({ "arrived": 1 }));
}

#[test]
fn a_device_whose_acknowledgement_was_lost_is_told_all_the_same() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let ann = app.register_device(Some("ann"));
    let push_id = app.pushed(json!({ "audience_type": "account", "account_list": ["ann"] }));
    outcomes(&app, &push_id, &json!({ "waiting": 1 }));
    let mut phone = raw_mqtt::subscribed(server.mqtt(), &ann, 60);
    let _ = raw_mqtt::message(&mut phone);
    drop(phone);
    revoked(&app, &push_id);
    let _ = taken_back(&app, &push_id, &json!({ "waiting": 1 }));
    let (_fleet, phones) = Fleet::of(&server, [ann]);
    let _ = taken_back(&app, &push_id, &json!({ "arrived": 1 }));
    assert_eq!((told(&phones[0]), phones[0].count().0), (Some(push_id), 1));
}

#[test]
fn a_running_push_is_taken_back_from_those_it_has_reached() {
    let (_server, app, _fleet, phones, package) = one_after_the_other(2_000);
    let push_id = app.pushed(json!({ "audience_type": "package_account_push", "upload_id": package }));
    let _ = phones[0].wait_for_messages(1);
    revoked(&app, &push_id);
    let _ = phones[0].wait_for_messages(2);
    assert_eq!(told(&phones[0]), Some(push_id.clone()));
    let _ = taken_back(&app, &push_id, &json!({ "waiting": 1 }));
    assert_eq!(phones.iter().map(|phone| phone.count().0).collect::<Vec<_>>(), [2, 0, 0, 0]);
}

#[test]
fn a_push_that_is_revoked_before_its_time_never_starts() {
    let server = pigeonloft!().clock_at(at("2027-01-30 08:00:00")).start();
    let app = server.app("android");
    let _ = app.register_device(Some("ann"));
    let package = app.uploaded(["ann"]);
    let time = "2027-01-30 09:00:00";
    let push_id =
        app.pushed(json!({ "audience_type": "package_account_push", "upload_id": package, "send_time": time }));
    revoked(&app, &push_id);
    server.set_clock(at(time));
    assert_eq!(state(&app, &push_id), "PUSH_REVOKED");
    let shown = app.progress(&push_id);
    assert_eq!((&shown["revocation"], &shown["targets"]), (&Value::Null, &json!(0)), "{shown}");
    assert!(shown["finished_at"].is_number(), "{shown}");
}

#[test]
fn a_call_that_names_no_push_of_the_app_revokes_nothing() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let _ = app.register_device(Some("ann"));
    let push_id = app.pushed(json!({ "audience_type": "account", "account_list": ["ann"] }));
    assert_refused(&app.call(REVOKE, &json!({ "pushId": "999" })), 1_008_015, "no push 999");
    assert_refused(&app.call(REVOKE, &json!({})), 1_008_002, "pushId");
    let other = server.app("android");
    assert_refused(&other.call(REVOKE, &json!({ "pushId": push_id })), 1_008_015, &push_id);
    assert_eq!(app.finished(&push_id)["outcomes"]["waiting"], 1);
}
