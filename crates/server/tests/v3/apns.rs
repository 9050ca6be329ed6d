//! Apple's channel, from the call to what Apple's side takes: who is reached through it, and what becomes of whom it does not
//! take. Apple's side is the sim, over TLS.

use pigeonloft_channels::apns::sim::Reply;
use pigeonloft_testkit::{App, Apple, Device, Fleet, Server, assert_refused, pigeonloft, until};
use serde_json::{Value, json};

use super::outcomes;

/// The vendor's token of the so many-th device.
pub(super) fn apns_token(n: usize) -> String {
    format!("{n:064x}")
}

/// A device of ann's with this token on Apple's channel.
pub(super) fn device(app: &App, n: usize) -> Device {
    let device = app.register_device(Some("ann"));
    let channels = json!({ "channels": { "apns": { "token": apns_token(n) } } });
    let (status, answer) = app.as_device(&device, "PATCH", "", &channels);
    assert_eq!(status, 204, "{answer}");
    device
}

/// A server whose app has an account with Apple, and so many devices that are offline.
fn with_devices(count: usize) -> (Server, App, Apple, Vec<Device>) {
    let (server, apple) = (pigeonloft!().start(), Apple::start());
    let app = server.app("ios");
    apple.serves(&server, &app);
    let devices = (0..count).map(|n| device(&app, n)).collect();
    (server, app, apple, devices)
}

/// A push to all of ann's devices, with these members.
pub(super) fn to_ann(members: Value) -> Value {
    let mut given = json!({ "audience_type": "account", "account_list": ["ann"], "account_push_type": 1 });
    for (name, value) in members.as_object().expect("members") {
        given[name] = value.clone();
    }
    given
}

#[test]
fn a_device_that_is_offline_gets_the_message_through_apple() {
    let (_server, app, apple, devices) = with_devices(1);
    let message = json!({ "title": "Hello", "content": "from afar", "thread_id": "talk",
        "ios": { "custom_content": "{\"a\":1}", "aps": { "badge_type": 3, "sound": "bell.caf" } } });
    let push_id = app.pushed(to_ann(json!({ "message": message })));
    assert_eq!(outcomes(&app, &push_id), json!({ "accepted": 1 }));
    let taken = apple.sim.taken(&apns_token(0)).expect("Apple has it");
    assert_eq!(taken.times, 1);
    assert_eq!(
        taken.payload,
        json!({ "aps": { "alert": { "title": "Hello", "body": "from afar" }, "sound": "bell.caf", "badge": 3,
                "thread-id": "talk", "mutable-content": 1 },
            "msg_id": taken.payload["msg_id"], "push_id": push_id, "custom_content": "{\"a\":1}" })
    );
    let header = |name: &str| taken.headers[name].as_str();
    assert_eq!(
        [header("apns-topic"), header("apns-push-type"), header("apns-collapse-id")],
        ["com.example.shop", "alert", &push_id]
    );
    // The sums of the channel are its own, and those of all channels together are all.
    let answer = app.call("/v3/statistics/get_push_task_stat_channel", &json!({ "pushId": push_id }));
    let online = |channel: &str| {
        let list = answer["pushStatDataAll"].as_array().expect("a list");
        let entry = list.iter().find(|entry| entry["channel"] == channel).expect("the channel has an entry");
        [entry["pushState"]["pushActiveUv"].clone(), entry["pushState"]["pushOnlineUv"].clone()]
    };
    assert_eq!([online("apns"), online("xg"), online("all")], [[1, 1], [0, 0], [1, 1]].map(|of| of.map(Value::from)));
    // Each recipient has its channel in the report.
    let report = app.own_text(&format!("/v1/pushes/{push_id}/recipients.csv"));
    let line = report.lines().nth(1).expect("a line");
    assert!(line.starts_with(&format!("{},0,ann,apns,accepted,", devices[0].token)), "{line}");
}

#[test]
fn a_device_that_is_online_gets_it_there_unless_the_push_prefers_the_vendor() {
    let (server, app, apple, devices) = with_devices(1);
    let (_fleet, phones) = Fleet::of(&server, devices);
    let push_id = app.pushed(to_ann(json!({})));
    until("it arrived", || (outcomes(&app, &push_id) == json!({ "arrived": 1 })).then_some(()));
    assert_eq!(apple.sim.counts()[0], 0, "Apple was not asked");
    let push_id = app.pushed(to_ann(json!({ "tpns_online_push_type": 1 })));
    assert_eq!(outcomes(&app, &push_id), json!({ "accepted": 1 }));
    assert_eq!((apple.sim.all_taken()[&apns_token(0)], phones[0].of_push(&push_id).1), (1, 0));
    // What the vendor does not take comes over our own channel.
    apple.behaves(|habits| _ = habits.by_token.insert(apns_token(0), Reply::new(400, "BadDeviceToken")));
    let push_id = app.pushed(to_ann(json!({ "tpns_online_push_type": 1 })));
    until("it arrived", || (outcomes(&app, &push_id) == json!({ "arrived": 1 })).then_some(()));
    assert_eq!(phones[0].of_push(&push_id).1, 1);
}

#[test]
fn a_push_keeps_off_a_vendor_that_its_rules_disable() {
    let (_server, app, apple, _devices) = with_devices(1);
    let rules = |rules: Value| to_ann(json!({ "channel_rules": rules }));
    let push_id = app.pushed(rules(json!([{ "channel": "apns", "disable": true }])));
    assert_eq!(outcomes(&app, &push_id), json!({ "waiting": 1 }));
    assert_eq!(apple.sim.counts()[0], 0);
    let push_id = app.pushed(rules(json!([{ "channel": "xg", "disable": true }])));
    assert_eq!(outcomes(&app, &push_id), json!({ "accepted": 1 }));
    apple.behaves(|habits| _ = habits.by_token.insert(apns_token(0), Reply::new(400, "BadDeviceToken")));
    let push_id = app.pushed(rules(json!([{ "channel": "xg", "disable": true }])));
    assert_eq!(outcomes(&app, &push_id), json!({ "no_channel": 1 }));
}

#[test]
fn what_apple_does_not_take_waits_in_the_inbox_and_says_why() {
    let (_server, app, apple, devices) = with_devices(4);
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_millis() as i64;
    let gone = |timestamp| Reply { timestamp: Some(timestamp), ..Reply::new(410, "Unregistered") };
    apple.behaves(|habits| {
        habits.by_token.insert(apns_token(1), Reply::new(400, "BadDeviceToken"));
        habits.by_token.insert(apns_token(2), gone(now + 60_000));
        // It registered again since.
        habits.by_token.insert(apns_token(3), gone(now - 3_600_000));
    });
    let push_id = app.pushed(to_ann(json!({})));
    assert_eq!(outcomes(&app, &push_id), json!({ "accepted": 1, "waiting": 3 }));
    let report = app.own_text(&format!("/v1/pushes/{push_id}/recipients.csv"));
    for (device, says) in
        devices.iter().zip(["apns,accepted", "apns: BadDeviceToken", "apns: Unregistered", "apns: Unregistered"])
    {
        let line = report.lines().find(|line| line.starts_with(&device.token)).expect("a line");
        assert!(line.contains(says), "{line}");
    }
    // Only the token that is certainly dead is asked no more.
    let asked = apple.sim.counts()[0];
    let push_id = app.pushed(to_ann(json!({})));
    assert_eq!(outcomes(&app, &push_id), json!({ "accepted": 1, "waiting": 3 }));
    assert_eq!(apple.sim.counts()[0] - asked, 3);
}

#[test]
fn each_device_is_reached_in_its_environment_and_by_its_own_topic() {
    let (server, apple) = (pigeonloft!().start(), Apple::start());
    let (sandbox, app) = (apple.sandbox(), server.app("ios"));
    apple.serves_beside(&sandbox, &server, &app);
    let (_shop, beta) = (device(&app, 0), device(&app, 1));
    let of_beta = json!({ "token": apns_token(1), "environment": "dev", "bundle_id": "com.example.shop.beta" });
    let (status, answer) = app.as_device(&beta, "PATCH", "", &json!({ "channels": { "apns": of_beta } }));
    assert_eq!(status, 204, "{answer}");
    for environment in ["product", "dev"] {
        let push_id = app.pushed(to_ann(json!({ "environment": environment })));
        assert_eq!(outcomes(&app, &push_id), json!({ "accepted": 1 }), "{environment}");
    }
    let topics = |apple: &Apple| {
        [0, 1].map(|n| apple.sim.taken(&apns_token(n)).map(|taken| taken.headers["apns-topic"].clone()))
    };
    assert_eq!(topics(&apple), [Some("com.example.shop".to_owned()), None]);
    assert_eq!(topics(&sandbox), [None, Some("com.example.shop.beta".to_owned())]);
}

#[test]
fn a_token_that_another_device_registers_moves_there() {
    let (_server, app, apple, _devices) = with_devices(1);
    let _second = device(&app, 0);
    let push_id = app.pushed(to_ann(json!({})));
    assert_eq!(outcomes(&app, &push_id), json!({ "accepted": 1, "waiting": 1 }));
    assert_eq!(apple.sim.all_taken()[&apns_token(0)], 1);
    let (status, answer) = app.register(&json!({ "channels": { "apns": { "token": "no hexadecimal" } } }));
    assert_eq!(status, 400, "{answer}");
}

#[test]
fn a_message_for_the_app_itself_goes_through_apple_silently_with_what_it_says() {
    let (server, app, apple, devices) = with_devices(1);
    let message = json!({ "title": "Hello", "content": "" });
    let push_id = app.pushed(to_ann(json!({ "message_type": "message", "message": message })));
    assert_eq!(outcomes(&app, &push_id), json!({ "accepted": 1 }));
    let taken = apple.sim.taken(&apns_token(0)).expect("Apple has it");
    let msg_id = taken.payload["msg_id"].as_str().expect("a text").to_owned();
    assert!(msg_id.starts_with(&format!("{push_id}-")), "{msg_id}");
    assert_eq!(
        taken.payload,
        json!({ "msg_id": msg_id, "title": "Hello", "content": "", "aps": { "content-available": 1 }, "push_id": push_id })
    );
    assert_eq!(taken.headers["apns-push-type"], "background");
    // On our own channel it has the same id.
    let (_fleet, phones) = Fleet::of(&server, devices);
    let push_id = app.pushed(to_ann(json!({ "message_type": "message" })));
    let message = phones[0].wait_for_messages(1).remove(0);
    assert_eq!((&message.push_id, message.msg_id.split('-').nth(1)), (&push_id, msg_id.split('-').nth(1)));
    assert_refused(
        &app.push(to_ann(json!({ "channel_rules": [{ "channel": "apple", "disable": true }] }))),
        1_008_007,
        "channel",
    );
}

#[test]
fn what_an_app_keeps_of_a_device_is_filled_into_its_message() {
    let (server, app, apple, devices) = with_devices(2);
    server.run(["app", "attribute", "add", "--app", &app.access_id.to_string(), "nickname"]);
    let set =
        json!({ "cmd": 1, "token": devices[0].token, "attributeInfo": { "attributeMap": { "nickname": "Ann" } } });
    let answer = app.call("/v3/device/set_custom_attribute", &set);
    assert_eq!(answer["retCode"], 0, "{answer}");
    let push_id = app.pushed(to_ann(json!({ "message": { "title": "Dear {{nickname|friend}}", "content": "c" } })));
    assert_eq!(outcomes(&app, &push_id), json!({ "accepted": 2 }));
    let title =
        |n: usize| apple.sim.taken(&apns_token(n)).expect("Apple has it").payload["aps"]["alert"]["title"].clone();
    assert_eq!([title(0), title(1)], ["Dear Ann", "Dear friend"]);
}

#[test]
fn while_a_slow_vendor_answers_it_is_given_more_batches_than_the_rest_of_the_server() {
    const DEVICES: usize = 60;
    let small = pigeonloft!().set("push.batch_rows", 10).set("push.batches_in_flight", 1);
    let (server, apple) = (small.set("push.batches_with_vendors", 3).start(), Apple::start());
    let app = server.app("ios");
    apple.serves(&server, &app);
    for n in 0..DEVICES {
        let _ = device(&app, n);
    }
    apple.behaves(|habits| habits.latency = std::time::Duration::from_secs(2));
    let push_id = app.pushed(to_ann(json!({})));
    until("four batches are with Apple", || (apple.sim.counts()[0] == 40).then_some(()));
    assert_eq!(outcomes(&app, &push_id), json!({ "accepted": DEVICES }));
    assert!(apple.sim.all_taken().values().all(|times| *times == 1));
}

#[test]
fn a_kill_in_mid_push_loses_nobody_and_repeats_only_batches_under_way() {
    const DEVICES: usize = 200;
    const BATCH: usize = 10;
    const IN_FLIGHT: usize = 1;
    const WITH_VENDORS: usize = 3;
    let apple = Apple::start();
    let small = pigeonloft!().set("push.batch_rows", BATCH).set("push.batches_in_flight", IN_FLIGHT);
    let mut server = small.set("push.batches_with_vendors", WITH_VENDORS).start();
    let app = server.app("ios");
    apple.serves(&server, &app);
    for n in 0..DEVICES {
        let _ = device(&app, n);
    }
    apple.behaves(|habits| habits.latency = std::time::Duration::from_millis(20));
    let push_id = app.pushed(to_ann(json!({})));
    until("a part of it is sent", || (apple.sim.counts()[0] >= 60).then_some(()));
    server.kill9();
    server.restart();
    assert_eq!(outcomes(&app, &push_id), json!({ "accepted": DEVICES }));
    let taken = apple.sim.all_taken();
    assert_eq!(taken.len(), DEVICES);
    assert!(taken.values().all(|times| *times <= 2));
    let repeated: Vec<&String> = taken.iter().filter(|(_, times)| **times == 2).map(|(token, _)| token).collect();
    let under_way = (IN_FLIGHT + WITH_VENDORS) * BATCH;
    assert!(repeated.len() <= under_way, "only what was under way is sent again: {}", repeated.len());
    // A repeat replaces the first, for Apple knows both by the push.
    assert!(repeated.iter().all(|token| apple.sim.taken(token).expect("taken").headers["apns-collapse-id"] == push_id));
}

#[test]
fn a_test_of_the_channel_says_what_apple_answers() {
    let (server, app, apple, _devices) = with_devices(0);
    let id = app.access_id.to_string();
    let test = |token: &str| server.try_run(["app", "channel", "test", "--app", &id, "apns", "--token", token]);
    assert!(test(&apns_token(1)).expect("it succeeds").contains("apns took the message"));
    apple.behaves(|habits| _ = habits.by_token.insert(apns_token(2), Reply::new(403, "InvalidProviderToken")));
    let says = test(&apns_token(2)).expect_err("it fails");
    assert!(says.contains("InvalidProviderToken") && says.contains("hint: "), "{says}");
    let listed = server.run(["app", "channel", "list", "--app", &id]);
    assert!(listed.contains("key-id ABC123DEFG") && !listed.contains("PRIVATE"), "{listed}");
    server.run(["app", "channel", "remove", "--app", &id, "apns"]);
    assert!(test(&apns_token(1)).expect_err("it fails").contains("no credentials for apns"));
}

#[test]
fn credentials_whose_key_is_lost_are_named_at_the_start() {
    let (mut server, _app, _apple, _devices) = with_devices(1);
    let key = server.data_dir().join("credentials.key");
    std::fs::rename(&key, key.with_extension("away")).unwrap();
    server.terminate();
    server.restart();
    let log = server.log();
    assert!(log.contains("credentials with vendors cannot be opened") && log.contains("count=1"), "{log}");
}
