//! Pushes that leave devices out: those of another package, and those that are not in a sample. Members of our own of
//! `POST /v3/push/app`.

use std::collections::BTreeSet;

use pigeonloft_testkit::{App, Fleet, Habit, Phone, assert_refused, pigeonloft, until};
use serde_json::{Value, json};

/// Counts of a finished push: rows without a device, devices excluded, not in the sample, recipients.
fn counts(app: &App, push_id: &str) -> [u64; 4] {
    let shown = app.finished(push_id);
    ["no_device", "excluded", "sampled_out", "targets"].map(|name| shown[name].as_u64().expect("a number"))
}

/// Tokens of the recipients of a push, once it is finished.
fn recipients(app: &App, push_id: &str) -> BTreeSet<String> {
    let _ = app.finished(push_id);
    let all = "waiting,sent,arrived,expired,not_kept,no_channel,gone,stopped";
    let csv = app.own_text(&format!("/v1/pushes/{push_id}/recipients.csv?outcome={all}"));
    csv.lines().skip(1).map(|line| line.split(',').next().expect("a token").to_owned()).collect()
}

#[test]
fn a_push_to_a_package_minus_another_reaches_the_difference() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let phones: Vec<Phone> =
        ["ann", "bob", "bob", "eve"].map(|account| Phone::new(app.register_device(Some(account)))).into();
    let fleet = Fleet::new(server.mqtt());
    fleet.online(&phones, Habit::Acknowledges);
    let [everybody, bought] =
        [&["ann", "bob", "eve", "nobody"][..], &["bob", "somebody"]].map(|rows| app.uploaded(rows));
    let push_id = app.pushed(json!({
        "audience_type": "package_account_push", "upload_id": everybody, "account_push_type": 1,
        "exclude_upload_id": bought,
    }));
    assert_eq!(app.receivers(&phones, &push_id), [0, 3]);
    assert_eq!(counts(&app, &push_id), [1, 2, 0, 2], "all devices of an excluded account are left out");
}

#[test]
fn tokens_are_left_out_of_accounts_and_accounts_of_tokens_because_devices_are_compared() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let devices = ["ann", "bob", "eve"].map(|account| app.register_device(Some(account)));
    let accounts = app.uploaded(["ann", "bob"]);
    let tokens = app.uploaded(devices[1..].iter().map(|device| &device.token));
    let ann = app.pushed_in_turn(&json!({
        "audience_type": "package_account_push", "upload_id": accounts,
        "exclude_upload_id": tokens, "exclude_audience_type": "package_token_push",
    }));
    assert_eq!(counts(&app, &ann), [0, 1, 0, 1]);
    assert_eq!(recipients(&app, &ann), [devices[0].token.clone()].into());
    let eve = app.pushed_in_turn(&json!({
        "audience_type": "package_token_push", "upload_id": tokens,
        "exclude_upload_id": accounts, "exclude_audience_type": "package_account_push",
    }));
    assert_eq!(recipients(&app, &eve), [devices[2].token.clone()].into());
    let listed = app.pushed(json!({
        "audience_type": "token_list", "token_list": [devices[0].token, devices[2].token],
        "exclude_upload_id": tokens,
    }));
    assert_eq!(recipients(&app, &listed), [devices[0].token.clone()].into(), "a list is of tokens, so is the package");
}

#[test]
fn a_package_that_a_push_is_to_exclude_is_kept_until_the_push_is_done() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let _ = app.register_device(Some("ann"));
    let [audience, excluded] = [app.uploaded(["ann"]), app.uploaded(["bob"])];
    let given = json!({
        "audience_type": "package_account_push", "upload_id": audience, "exclude_upload_id": excluded,
        "send_time": "2099-01-01 00:00:00",
    });
    assert_refused(&app.push(given.clone()), 10_010_012, "send_time");
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(48);
    let later = jiff::tz::Offset::constant(8).to_datetime(later).strftime("%Y-%m-%d %H:%M:%S").to_string();
    let _ = app.pushed_in_turn(&with(given, json!({ "send_time": later })));
    let (status, problem) = app.own("DELETE", &format!("/v1/packages/{excluded}"));
    assert_eq!(status, 409, "{problem}");
}

fn with(mut body: Value, members: Value) -> Value {
    if let (Value::Object(body), Value::Object(members)) = (&mut body, members) {
        body.extend(members);
    }
    body
}

#[test]
fn what_cannot_be_left_out_is_refused_and_never_pushed_to_all() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let device = app.register_device(Some("ann"));
    let [accounts, tokens] = [app.uploaded(["ann"]), app.uploaded([&device.token])];
    let to_accounts = json!({ "audience_type": "package_account_push", "upload_id": accounts });
    let to_tokens = json!({ "audience_type": "package_token_push", "upload_id": tokens });
    let refused = |body: &Value, members: Value, code, says: &str| {
        assert_refused(&app.push(with(body.clone(), members)), code, says);
    };
    refused(&to_accounts, json!({ "exclude_upload_id": 0 }), 1_008_007, "exclude_upload_id");
    refused(&to_accounts, json!({ "exclude_upload_id": "x" }), 1_008_001, "exclude_upload_id");
    refused(&to_accounts, json!({ "exclude_upload_id": 999 }), 10_010_005, "999");
    refused(&to_accounts, json!({ "exclude_upload_id": accounts }), 1_008_007, "nobody would be left");
    refused(&to_tokens, json!({ "exclude_upload_id": accounts }), 1_008_007, "exclude_audience_type");
    let kind = json!({ "exclude_upload_id": tokens, "exclude_audience_type": "all" });
    refused(&to_accounts, kind, 1_008_007, "exclude_audience_type");
    for share in [json!(0), json!(-0.5), json!(1.000_001), json!("NaN"), json!(1e-10)] {
        refused(&to_accounts, json!({ "sample": share }), 1_008_007, "sample");
    }
    refused(&to_accounts, json!({ "sample": [1] }), 1_008_001, "sample");
    refused(&to_accounts, json!({ "sample": 0.5, "sample_seed": "s".repeat(65) }), 1_008_007, "sample_seed");
    let _ = app.pushed_in_turn(&with(to_accounts, json!({ "sample": "1.0", "sample_seed": "s".repeat(64) })));
}

#[test]
fn a_sample_is_of_the_same_devices_each_time_and_one_twice_as_large_has_them_among_it() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let devices = app.import_devices(&server, (0..2000).map(|place| format!("account-{place:04}")));
    let package = app.uploaded((0..2000).map(|place| format!("account-{place:04}")));
    let push = |members: Value| {
        let to_all = json!({ "audience_type": "package_account_push", "upload_id": package });
        let push_id = app.pushed_in_turn(&with(to_all, members));
        let [no_device, excluded, sampled_out, targets] = counts(&app, &push_id);
        assert_eq!((no_device, excluded, sampled_out + targets), (0, 0, devices.len() as u64));
        recipients(&app, &push_id)
    };
    let some = push(json!({ "sample": 0.1 }));
    assert!((140..260).contains(&some.len()), "about 200 of 2000: {}", some.len());
    assert_eq!(
        push(json!({ "sample": "0.1", "sample_seed": package })),
        some,
        "the seed is the package's id by itself"
    );
    assert!(push(json!({ "sample": 0.2 })).is_superset(&some));
    assert_ne!(push(json!({ "sample": 0.1, "sample_seed": "another" })), some);
}

#[test]
fn a_push_that_leaves_devices_out_goes_on_after_a_kill_and_leaves_the_same_ones_out() {
    let mut server =
        pigeonloft!().set("push.batch_rows", 10).set("push.batches_in_flight", 1).set("push.ack_wait_ms", 100).start();
    let app = server.app("android");
    let account = |place: usize| format!("account-{place:04}");
    let devices = app.import_devices(&server, (0..600).map(account));
    // Devices that never acknowledge make each batch take its time.
    let phones: Vec<Phone> = devices.into_iter().map(Phone::new).collect();
    let fleet = Fleet::new(server.mqtt());
    fleet.online(&phones, Habit::NeverAcknowledges);
    let everybody = app.uploaded((0..600).map(account));
    let excluded = app.uploaded((0..600).step_by(3).map(account));
    let push_id = app.pushed(json!({
        "audience_type": "package_account_push", "upload_id": everybody, "exclude_upload_id": excluded,
        "sample": 0.5,
    }));
    until("some of the push is done", || (app.progress(&push_id)["targets"].as_u64() >= Some(30)).then_some(()));
    server.kill9();
    server.restart();
    let [no_device, excluded, sampled_out, targets] = counts(&app, &push_id);
    assert_eq!((no_device, excluded, sampled_out + targets), (0, 200, 400));
    assert!((150..250).contains(&targets), "{targets}");
    let again = app.pushed_in_turn(&json!({
        "audience_type": "package_account_push", "upload_id": everybody, "exclude_upload_id": 2, "sample": 0.5,
    }));
    assert_eq!(recipients(&app, &again), recipients(&app, &push_id));
}
