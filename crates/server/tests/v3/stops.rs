//! `stop_push_msg`: whom a push has not reached, it will not reach any more.

use std::io::Write;

use pigeonloft_testkit::{App, Fleet, Habit, Phone, assert_refused, pigeonloft, raw_mqtt, until};
use serde_json::{Value, json};

use super::{at, one_after_the_other};

const STOP: &str = "/v3/push/stop_push_msg";

fn stopped(app: &App, push_id: &str) {
    assert_eq!(app.call(STOP, &json!({ "pushId": push_id })), json!({ "ret_code": 0, "err_msg": "" }));
}

pub(crate) fn state(app: &App, push_id: &str) -> Value {
    app.call("/v3/statistics/get_push_record", &json!({ "pushId": push_id }))["pushRecordData"][0]["status"].clone()
}

/// Waits until these are the outcomes of the push, those that are zero left out.
pub(crate) fn outcomes(app: &App, push_id: &str, expected: &Value) {
    until(&format!("push {push_id} comes to {expected}"), || {
        let mut shown = app.progress(push_id)["outcomes"].clone();
        shown.as_object_mut()?.retain(|_, count| *count != 0);
        (shown == *expected).then_some(())
    });
}

#[test]
fn a_stopped_push_reaches_nobody_more_and_who_has_it_keeps_it() {
    let mut server = pigeonloft!().start();
    let app = server.app("android");
    let [ann, bob] = ["ann", "bob"].map(|name| app.register_device(Some(name)));
    let (fleet, phones) = Fleet::of(&server, [ann]);
    let to_both = json!({ "audience_type": "account_list", "account_list": ["ann", "bob"] });
    let push_id = app.pushed(to_both.clone());
    outcomes(&app, &push_id, &json!({ "arrived": 1, "waiting": 1 }));

    stopped(&app, &push_id);
    assert_eq!(state(&app, &push_id), "PUSH_DELETED_PUSH_MSG");
    outcomes(&app, &push_id, &json!({ "arrived": 1, "stopped": 1 }));
    assert!(app.progress(&push_id)["stopped_at"].is_number());
    assert_eq!(app.stat(&push_id)["arrivalUv"], 1);
    // Again it changes nothing, and published samples spell it otherwise.
    for body in [json!({ "pushid": push_id }), json!({ "push_id": push_id.parse::<i64>().unwrap() })] {
        assert_eq!(app.call(STOP, &body)["ret_code"], 0, "{body}");
    }
    server.kill9();
    server.restart();
    assert_eq!(state(&app, &push_id), "PUSH_DELETED_PUSH_MSG");

    // What comes later is all that waits.
    let later = app.pushed(to_both);
    let bob = Phone::new(bob);
    fleet.online([&phones[0], &bob], Habit::Acknowledges);
    assert_eq!(bob.wait_for_messages(1)[0].push_id, later);
    phones[0].report(&push_id, "clicked");
    assert_eq!(app.progress(&push_id)["receipts"]["clicked"], 1, "who has it may still click it");
}

#[test]
fn a_call_that_names_no_push_of_the_app_stops_nothing() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let _ = app.register_device(Some("ann"));
    let push_id = app.pushed(json!({ "audience_type": "account", "account_list": ["ann"] }));
    assert_refused(&app.call(STOP, &json!({ "pushId": "999" })), 1_008_015, "no push 999");
    assert_refused(&app.call(STOP, &json!({})), 1_008_002, "pushId");
    assert_refused(&app.call(STOP, &json!({ "pushId": "x" })), 1_008_001, "pushId");
    let other = server.app("android");
    assert_refused(&other.call(STOP, &json!({ "pushId": push_id })), 1_008_015, &push_id);
    assert_eq!(app.finished(&push_id)["outcomes"]["waiting"], 1);
}

#[test]
fn a_push_that_is_stopped_before_its_time_never_starts_and_needs_its_package_no_longer() {
    let server = pigeonloft!().clock_at(at("2027-01-30 08:00:00")).start();
    let app = server.app("android");
    let device = app.register_device(Some("ann"));
    let (_fleet, phones) = Fleet::of(&server, [device]);
    let package = app.uploaded(["ann"]);
    let given =
        |time: &str| json!({ "audience_type": "package_account_push", "upload_id": package, "send_time": time });
    let push_id = app.pushed(given("2027-01-30 09:00:00"));
    stopped(&app, &push_id);
    let later = app.pushed_in_turn(&given("2027-01-30 10:00:00"));
    server.set_clock(at("2027-01-30 10:00:00"));
    assert_eq!(phones[0].wait_for_messages(1)[0].push_id, later);
    assert_eq!(state(&app, &push_id), "PUSH_DELETED_PUSH_MSG");
    assert_eq!(app.progress(&push_id)["targets"], 0);
    let to_be_stopped = app.pushed_in_turn(&given("2027-01-30 11:00:00"));
    assert_eq!(app.own("DELETE", &format!("/v1/packages/{package}")).0, 409, "it is needed");
    stopped(&app, &to_be_stopped);
    assert_eq!(app.own("DELETE", &format!("/v1/packages/{package}")).0, 204);
}

#[test]
fn a_running_push_ends_with_the_batches_under_way() {
    let (_server, app, _fleet, phones, package) = one_after_the_other(2_000);
    let push_id = app.pushed(json!({ "audience_type": "package_account_push", "upload_id": package }));
    let _ = phones[0].wait_for_messages(1);
    stopped(&app, &push_id);
    outcomes(&app, &push_id, &json!({ "stopped": 1 }));
    let shown =
        until("its run has ended", || Some(app.progress(&push_id)).filter(|shown| shown["finished_at"].is_number()));
    assert_eq!((&shown["targets"], &shown["sent"], &shown["rows_done"]), (&json!(1), &json!(1), &json!(1)), "{shown}");
    assert_eq!(shown["state"], "PUSH_DELETED_PUSH_MSG");
    assert_eq!(phones.iter().map(|phone| phone.count().0).collect::<Vec<_>>(), [1, 0, 0, 0]);
}

#[test]
fn an_acknowledgement_that_comes_after_the_stop_still_counts() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let device = app.register_device(Some("ann"));
    let mut phone = raw_mqtt::subscribed(server.mqtt(), &device, 60);
    let push_id = app.pushed(json!({ "audience_type": "account", "account_list": ["ann"] }));
    let (id, _) = raw_mqtt::message(&mut phone);
    stopped(&app, &push_id);
    outcomes(&app, &push_id, &json!({ "stopped": 1 }));
    phone.write_all(&raw_mqtt::puback(id)).expect("the server reads");
    outcomes(&app, &push_id, &json!({ "arrived": 1 }));
    assert_eq!(state(&app, &push_id), "PUSH_DELETED_PUSH_MSG");
}
