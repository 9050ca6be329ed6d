//! Pushes: who gets a message and who does not.

use pigeonloft_testkit::{App, Device, Fleet, Habit, Phone, State, assert_refused, pigeonloft, until};
use serde_json::{Value, json};

#[test]
fn each_audience_reaches_its_devices_and_no_others() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let devices: Vec<Device> = ["ann", "bob", "cid", "dan"].map(|name| app.register_device(Some(name))).into();
    let tokens: Vec<String> = devices.iter().map(|device| device.token.clone()).collect();
    let (_fleet, phones) = Fleet::of(&server, devices);
    let accounts = app.uploaded(["ann", "cid", "nobody"]);
    let tokens_package = app.uploaded([&tokens[1], &tokens[3], &"0".repeat(36)]);
    for (given, expected) in [
        (json!({ "audience_type": "account", "account_list": ["bob", "cid"] }), vec![1]),
        (json!({ "audience_type": "account_list", "account_list": ["bob", "cid", "bob", "nobody"] }), vec![1, 2]),
        (json!({ "audience_type": "token", "token_list": [tokens[2], tokens[3]] }), vec![2]),
        (json!({ "audience_type": "token_list", "token_list": [tokens[0], tokens[3], tokens[0]] }), vec![0, 3]),
        (json!({ "audience_type": "package_account_push", "upload_id": accounts }), vec![0, 2]),
        (json!({ "audience_type": "package_token_push", "upload_id": tokens_package }), vec![1, 3]),
    ] {
        let push_id = app.pushed_in_turn(&given);
        assert_eq!(app.receivers(&phones, &push_id), expected, "{given}");
        let messages: Vec<_> = phones.iter().flat_map(Phone::messages).filter(|m| m.push_id == push_id).collect();
        assert_eq!(messages.len(), expected.len(), "once each: {given}");
        let record = app.call("/v3/statistics/get_push_record", &json!({ "pushId": push_id }));
        let record = &record["pushRecordData"][0];
        assert_eq!(record["pushType"], given["audience_type"]);
        assert_eq!(record["status"], "PUSH_FINISHED");
        assert_eq!(record["uploadId"], given.get("upload_id").cloned().unwrap_or(json!(0)));
        assert_eq!(app.stat(&push_id)["arrivalUv"], expected.len());
    }
    // A package may be pushed again, and knows when it was used last.
    let again = app.pushed_in_turn(&json!({ "audience_type": "package_account_push", "upload_id": accounts }));
    assert_eq!(app.receivers(&phones, &again), [0, 2]);
    assert!(app.own("GET", &format!("/v1/packages/{accounts}")).1["last_used_at"].is_number());
}

#[test]
fn a_device_gets_all_that_the_call_says_of_the_message() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let (_fleet, phones) = Fleet::of(&server, [app.register_device(Some("ann"))]);
    let push_id = app.pushed(json!({
        "audience_type": "account", "account_list": ["ann"], "expire_time": 3600, "seq": 7,
        "message": { "title": "信鸽", "content": "came home", "thread_id": "t", "android": {
            "custom_content": "{\"k\": \"v\"}", "ring": 0, "action": { "action_type": 2, "browser": { "url": "https://a" } },
        } },
    }));
    let message = phones[0].wait_for_messages(1)[0].payload.clone();
    let sent_at = message["sent_at"].as_i64().expect("unix seconds");
    assert_eq!(
        message,
        json!({
            "msg_id": message["msg_id"], "push_id": push_id, "message_type": "notify", "title": "信鸽",
            "content": "came home", "custom_content": "{\"k\": \"v\"}", "thread_id": "t",
            "android": { "ring": 0, "action": { "action_type": 2, "browser": { "url": "https://a" } } },
            "sent_at": sent_at, "expire_at": sent_at + 3600,
        })
    );
}

#[test]
fn the_type_of_an_account_is_part_of_its_name() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let (mail, plain) = (app.register_device(None), app.register_device(None));
    app.bind(&mail, "ann@example.com", 1005);
    app.bind(&plain, "ann@example.com", 0);
    let (_fleet, phones) = Fleet::of(&server, [mail, plain]);
    let push = |kind: Value| {
        let list = json!(["ann@example.com"]);
        json!({ "audience_type": "account_list", "account_list": list, "account_type": kind, "account_push_type": 1 })
    };
    for (kind, expected) in [(json!(1005), 0), (json!("1005"), 0), (json!(0), 1), (Value::Null, 1)] {
        assert_eq!(app.receivers(&phones, &app.pushed(push(kind.clone()))), [expected], "{kind}");
    }
    assert_refused(&app.push(push(json!(1002))), 10_010_005, "account_type 1002");
    let package = app.uploaded(["ann@example.com"]);
    let given = json!({ "audience_type": "package_account_push", "upload_id": package, "account_type": 1005 });
    assert_eq!(app.receivers(&phones, &app.pushed_in_turn(&given)), [0]);
}

#[test]
fn an_account_is_its_latest_device_or_all_of_them() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let devices = [(); 3].map(|()| app.register_device(Some("ann")));
    let latest = app.pushed(json!({ "audience_type": "account", "account_list": ["ann"] }));
    let all = app.pushed(json!({ "audience_type": "account", "account_list": ["ann"], "account_push_type": 1 }));
    let package = app.uploaded(["ann"]);
    let of_package = json!({ "audience_type": "package_account_push", "upload_id": package });
    let package_latest = app.pushed_in_turn(&of_package);
    for push_id in [&latest, &all, &package_latest] {
        let _ = app.finished(push_id);
    }
    let (_fleet, phones) = Fleet::of(&server, devices);
    assert_eq!(app.receivers(&phones, &latest), [2], "the one that was bound last");
    assert_eq!(app.receivers(&phones, &all), [0, 1, 2]);
    assert_eq!(app.receivers(&phones, &package_latest), [2]);
}

#[test]
fn two_apps_never_meet() {
    let server = pigeonloft!().start();
    let (app, other) = (server.app("android"), server.app("ios"));
    let token = "ab".repeat(18);
    let register = |app: &App| {
        let (status, answer) = app.register(&json!({ "token": token }));
        assert_eq!(status, 201, "{answer}");
        let password = answer["password"].as_str().expect("a password").to_owned();
        Device { access_id: app.access_id, token: token.clone(), password }
    };
    let (mine, others) = (register(&app), register(&other));
    app.bind(&mine, "ann", 0);
    other.bind(&others, "ann", 0);
    let intruder = Device { access_id: other.access_id, ..mine.clone() };
    let (fleet, phones) = Fleet::of(&server, [mine, others]);

    let package = app.uploaded(["ann"]);
    for given in [
        json!({ "audience_type": "account", "account_list": ["ann"] }),
        json!({ "audience_type": "token", "token_list": [token] }),
        json!({ "audience_type": "package_account_push", "upload_id": package }),
    ] {
        let push_id = app.pushed(given);
        assert_eq!(app.receivers(&phones, &push_id), [0]);
        assert_eq!(other.own("GET", &format!("/v1/pushes/{push_id}")).0, 404);
        for call in ["get_push_record", "get_push_task_stat_channel"] {
            let answer = other.call(&format!("/v3/statistics/{call}"), &json!({ "pushId": push_id }));
            assert_eq!(answer["retCode"], 1_008_015, "{call}: {answer}");
        }
    }
    let stolen = json!({ "audience_type": "package_account_push", "upload_id": package });
    assert_refused(&other.push(stolen), 10_010_005, "upload_id");
    assert_eq!(other.own("GET", &format!("/v1/packages/{package}")).0, 404);
    assert_eq!(other.own("DELETE", &format!("/v1/packages/{package}")).0, 404);
    assert_eq!(other.own("GET", "/v1/packages").1["packages"], json!([]));
    let query = json!({ "operator_type": 1, "account_list": [{ "account": "ann", "account_type": 0 }] });
    assert_eq!(other.call("/v3/device/account/query", &query)["account_tokens"][0]["token_list"], json!([token]));
    let intruder = Phone::new(intruder);
    fleet.connect(&intruder, Habit::Acknowledges);
    until("the password of one app's device does not open the other's", || {
        matches!(intruder.state(), State::Refused(_)).then_some(())
    });
}

#[test]
fn a_push_to_ios_reaches_the_devices_of_its_environment() {
    let server = pigeonloft!().start();
    let app = server.app("ios");
    let register = |environment: &str| {
        let (status, answer) = app.register(&json!({ "environment": environment }));
        assert_eq!(status, 201, "{answer}");
        let text = |name: &str| answer[name].as_str().expect("a text").to_owned();
        Device { access_id: app.access_id, token: text("token"), password: text("password") }
    };
    let (product, dev) = (register("product"), register("dev"));
    app.bind(&product, "ann", 0);
    app.bind(&dev, "ann", 0);
    let (_fleet, phones) = Fleet::of(&server, [product, dev]);
    for (environment, expected) in [("product", 0), ("dev", 1), ("", 0)] {
        let given = json!({
            "audience_type": "account", "account_list": ["ann"], "account_push_type": 1, "environment": environment,
        });
        assert_eq!(app.receivers(&phones, &app.pushed(given)), [expected], "{environment}");
    }
    let wrong = json!({ "audience_type": "account", "account_list": ["ann"], "environment": "test" });
    assert_refused(&app.push(wrong), 1_008_007, "environment");
}
