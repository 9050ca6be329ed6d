//! Why did this device get that push, or not: `GET /v1/devices/{token}/pushes`, a call of our own for the app's servers.

use pigeonloft_testkit::{App, Device, Fleet, Habit, Phone, pigeonloft, until};
use serde_json::{Value, json};

use super::at;

fn pushes(app: &App, device: &Device, asked: &str) -> Value {
    let (status, answer) = app.own("GET", &format!("/v1/devices/{}/pushes{asked}", device.token));
    assert_eq!(status, 200, "{answer}");
    answer
}

fn explained(app: &App, device: &Device, push_id: &str) -> Value {
    pushes(app, device, &format!("?push_id={push_id}"))
}

/// The device is no recipient of the push for this reason, and the explanation says this.
fn assert_not(app: &App, device: &Device, push_id: &str, because: &str, says: &str) {
    let answer = explained(app, device, push_id);
    assert_eq!((&answer["because"], &answer["outcome"]), (&json!(because), &Value::Null), "{answer}");
    assert!(answer["explanation"].as_str().is_some_and(|text| text.contains(says)), "not \"{says}\": {answer}");
}

/// The device is a recipient with this outcome, and the explanation says this.
fn assert_is(app: &App, device: &Device, push_id: &str, outcome: &str, says: &str) -> Value {
    let answer = explained(app, device, push_id);
    assert_eq!((&answer["outcome"], &answer["because"]), (&json!(outcome), &Value::Null), "{answer}");
    assert!(answer["explanation"].as_str().is_some_and(|text| text.contains(says)), "not \"{says}\": {answer}");
    answer
}

#[test]
fn the_pushes_of_a_device_are_listed_latest_first_a_page_at_a_time() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let [ann, bob] = ["ann", "bob"].map(|account| app.register_device(Some(account)));
    let (_fleet, phones) = Fleet::of(&server, [ann.clone()]);
    let to = |account: &str| app.pushed(json!({ "audience_type": "account", "account_list": [account] }));
    let [first, _, third, fourth] = ["ann", "bob", "ann", "ann"].map(to);
    let _ = phones[0].wait_for_messages(3);
    phones[0].report(&first, "clicked");
    until("all of it is on record", || {
        let listed = pushes(&app, &ann, "");
        let all: Vec<&Value> = listed["pushes"].as_array()?.iter().map(|push| &push["push_id"]).collect();
        assert_eq!(all, [&fourth, &third, &first]);
        (listed["pushes"][2]["clicked"] == true && listed["pushes"][2]["outcome"] == "arrived").then_some(())
    });
    let page = pushes(&app, &ann, "?limit=2");
    assert_eq!((page["pushes"].as_array().map(Vec::len), &page["next"]), (Some(2), &json!(third)));
    let shown = pushes(&app, &ann, &format!("?limit=2&before={third}"));
    let [only] = shown["pushes"].as_array().expect("a list").as_slice() else { panic!("{shown}") };
    assert_eq!((&only["push_id"], &shown["next"]), (&json!(first), &Value::Null));
    assert!(only["sent_at"].is_number() && only["arrived_at"].is_number(), "{only}");
    assert_eq!(pushes(&app, &bob, "")["pushes"].as_array().map(Vec::len), Some(1));

    for asked in ["?limit=0", "?limit=1001", "?before=x"] {
        assert_eq!(app.own("GET", &format!("/v1/devices/{}/pushes{asked}", ann.token)).0, 400, "{asked}");
    }
    let path = format!("/v1/devices/{}/pushes", ann.token);
    assert_eq!(server.app("android").own("GET", &path).0, 404, "another app has no such device");
    assert_eq!(app.as_device(&ann, "GET", "/pushes", &json!({})).0, 401, "it is the app's servers that ask");
    assert_eq!(app.own("GET", &format!("{path}?push_id=999")).0, 404);
}

#[test]
fn a_recipient_is_told_how_far_its_message_came() {
    let server = pigeonloft!().clock_at(at("2027-01-30 08:00:00")).start();
    let app = server.app("android");
    let [ann, bob, deaf] = ["ann", "bob", "deaf"].map(|account| app.register_device(Some(account)));
    let (fleet, phones) = Fleet::of(&server, [ann.clone()]);
    fleet.online([&Phone::new(deaf.clone())], Habit::NeverAcknowledges);
    let everybody = json!(["ann", "bob", "deaf"]);
    let to_all = json!({ "audience_type": "account_list", "account_list": everybody });
    let push_id = app.pushed(to_all);
    let _ = phones[0].wait_for_messages(1);
    let _ = app.finished(&push_id);
    until("ann's is on record", || (explained(&app, &ann, &push_id)["outcome"] == "arrived").then_some(()));
    phones[0].report(&push_id, "shown");
    until("that it was shown is, too", || (explained(&app, &ann, &push_id)["shown"] == true).then_some(()));
    assert_is(&app, &ann, &push_id, "arrived", "it arrived at 2027-01-30T00:00:");
    assert!(explained(&app, &ann, &push_id)["explanation"].as_str().is_some_and(|text| text.ends_with(", shown")));
    let waits = assert_is(&app, &bob, &push_id, "waiting", "the device is offline");
    assert!(
        waits["explanation"].as_str().is_some_and(|text| text.contains("at most until 2027-01-31T00:00:")),
        "{waits}"
    );
    assert_is(&app, &deaf, &push_id, "sent", "has not acknowledged it");

    let not_kept = app.pushed(json!({ "audience_type": "account", "account_list": ["bob"], "expire_time": 0 }));
    let _ = app.finished(&not_kept);
    assert_is(&app, &bob, &not_kept, "not_kept", "expire_time 0");
    let rules = json!([{ "channel": "xg", "disable": true }]);
    let no_channel = app.pushed(json!({ "audience_type": "account", "account_list": ["bob"], "channel_rules": rules }));
    let _ = app.finished(&no_channel);
    assert_is(&app, &bob, &no_channel, "no_channel", "channel_rules");
    let hours = json!([{ "start": { "hour": "10", "min": "00" }, "end": { "hour": "11", "min": "00" } }]);
    let closed =
        app.pushed(json!({ "audience_type": "account", "account_list": ["ann"], "message": { "accept_time": hours } }));
    let _ = app.finished(&closed);
    assert_is(&app, &ann, &closed, "waiting", "accept_time");

    server.set_clock(at("2027-02-02 08:00:00"));
    until("they expire", || (explained(&app, &bob, &push_id)["outcome"] == "expired").then_some(()));
    assert_is(&app, &bob, &push_id, "expired", "did not come for it by 2027-01-31T00:00:");
    until("they expire", || (explained(&app, &deaf, &push_id)["outcome"] == "expired").then_some(()));
    assert_is(&app, &deaf, &push_id, "expired", "did not acknowledge it");
}

#[test]
fn who_is_no_recipient_is_told_where_the_push_left_it_out() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let [ann, older, newer, eve] = ["ann", "bob", "bob", "eve"].map(|account| app.register_device(Some(account)));
    let nobody = app.register_device(None);
    let package = app.uploaded((0..5000).map(|place| format!("row-{place}")).chain(["ann".into(), "bob".into()]));
    let excluded = app.uploaded(["ann", "zoe"]);
    let to_package = json!({ "audience_type": "package_account_push", "upload_id": package });
    let with = |members: Value| {
        let mut given = to_package.clone();
        given.as_object_mut().expect("members").extend(members.as_object().expect("members").clone());
        let push_id = app.pushed_in_turn(&given);
        let _ = app.finished(&push_id);
        push_id
    };
    let push_id = with(json!({}));
    let _ = assert_is(&app, &newer, &push_id, "waiting", "offline");
    assert_not(&app, &older, &push_id, "another_device", "account_push_type 1");
    assert_not(&app, &eve, &push_id, "not_in_audience", "account \"eve\" of type 0 is not in package 1");
    assert_not(&app, &nobody, &push_id, "not_in_audience", "bound to none of that type");
    app.bind(&eve, "row-4711", 0);
    assert_not(&app, &eve, &push_id, "not_then", "it was bound to its account at 20");

    let push_id = with(json!({ "exclude_upload_id": excluded }));
    assert_not(&app, &ann, &push_id, "excluded", "its account is in package 2, which the push excludes");
    let push_id = with(json!({ "sample": 1e-9 }));
    assert_not(&app, &ann, &push_id, "sampled_out", "sample");
    let tokens = app.pushed(json!({ "audience_type": "token_list", "token_list": [ann.token] }));
    let _ = app.finished(&tokens);
    let _ = assert_is(&app, &ann, &tokens, "waiting", "offline");
    assert_not(&app, &eve, &tokens, "not_in_audience", "token is not in the list of the push");

    assert_eq!(app.own("DELETE", &format!("/v1/packages/{package}")).0, 204);
    let _ = assert_is(&app, &newer, "1", "waiting", "offline");
    assert_not(&app, &older, "1", "package_gone", "was deleted");
}

#[test]
fn a_device_in_the_other_environment_of_apples_is_told_so() {
    let server = pigeonloft!().start();
    let app = server.app("ios");
    let (_, registered) = app.register(&json!({ "environment": "dev" }));
    let text = |name: &str| registered[name].as_str().expect("a text").to_owned();
    let dev = Device { access_id: app.access_id, token: text("token"), password: text("password") };
    let product = app.register_device(None);
    let push_id = app.pushed(json!({ "audience_type": "token_list", "token_list": [dev.token, product.token] }));
    let _ = app.finished(&push_id);
    let _ = assert_is(&app, &product, &push_id, "waiting", "offline");
    assert_not(&app, &dev, &push_id, "environment", "the push is for the environment product, the device is in dev");
}

#[test]
fn a_device_that_the_rules_of_a_push_do_not_mean_is_told_so() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let [tagged, other] = [(); 2].map(|()| app.register_device(None));
    let tag = |operator: u8, device: &Device| {
        let body = json!({ "operator_type": operator, "tag_list": ["vip"], "token_list": [device.token] });
        assert_eq!(app.call("/v3/device/tag", &body)["ret_code"], 0);
    };
    tag(1, &tagged);
    let push_id = app.pushed(json!({ "audience_type": "tag", "tag_list": { "tags": ["vip"] } }));
    let _ = app.finished(&push_id);
    assert_is(&app, &tagged, &push_id, "waiting", "offline");
    assert_not(&app, &other, &push_id, "not_in_audience", "the tags it has now");
    let late = app.register_device(None);
    tag(1, &late);
    assert_not(&app, &late, &push_id, "not_in_audience", "registered before");
    // Tagged since: it was not when the push came to it.
    tag(1, &other);
    assert_not(&app, &other, &push_id, "not_then", "its tags");
}

#[test]
fn a_push_that_has_not_come_to_the_device_says_how_far_it_is() {
    // A second for each device, as none acknowledges.
    let server =
        pigeonloft!().set("push.batch_rows", 1).set("push.batches_in_flight", 1).set("push.ack_wait_ms", 1000).start();
    let app = server.app("android");
    let account = |place: usize| format!("account-{place:02}");
    let devices: Vec<Device> = (0..30).map(|place| app.register_device(Some(&account(place)))).collect();
    let phones: Vec<Phone> = devices.iter().cloned().map(Phone::new).collect();
    let fleet = Fleet::new(server.mqtt());
    fleet.online(&phones, Habit::NeverAcknowledges);
    let package = app.uploaded((0..30).map(account));
    let to_package = json!({ "audience_type": "package_account_push", "upload_id": package });
    let push_id = app.pushed(to_package.clone());
    until("some of it is done", || (app.progress(&push_id)["targets"] != 0).then_some(()));
    assert_not(&app, &devices[29], &push_id, "not_yet", "of 30 rows are dealt with");
    assert_eq!(app.call("/v3/push/stop_push_msg", &json!({ "pushId": push_id }))["ret_code"], 0);
    assert_not(&app, &devices[29], &push_id, "stopped", "before it came to the device");
    until("the first of it is stopped", || {
        (explained(&app, &devices[0], &push_id)["outcome"] == "stopped").then_some(())
    });
    let _ = assert_is(&app, &devices[0], &push_id, "stopped", "when the push was stopped");

    let mut later = to_package;
    let moment = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(48);
    let moment = jiff::tz::Offset::constant(8).to_datetime(moment).strftime("%Y-%m-%d %H:%M:%S").to_string();
    later["send_time"] = json!(moment);
    let later = app.pushed_in_turn(&later);
    assert_not(&app, &devices[0], &later, "not_started", "the push starts at 20");
    assert_eq!(app.call("/v3/push/cancel_timing_task", &json!({ "pushId": later }))["ret_code"], 0);
    assert_not(&app, &devices[0], &later, "cancelled", "cancelled before it started");
}
