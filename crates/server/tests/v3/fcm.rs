//! Google's channel, from the call to what Google's side takes: who is reached through it, and what becomes of whom it does
//! not take. Google's side is the sim.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use pigeonloft_channels::fcm::sim::{Behaviour, Rule};
use pigeonloft_testkit::{App, Device, Google, Server, pigeonloft, until};
use serde_json::{Value, json};

use super::{Running, outcomes};

/// A device of ann's with this token on Google's channel.
fn device(app: &App, token: &str) -> Device {
    let device = app.register_device(Some("ann"));
    let (status, answer) = app.as_device(&device, "PATCH", "", &json!({ "channels": { "fcm": { "token": token } } }));
    assert_eq!(status, 204, "{answer}");
    device
}

/// A server whose app has an account with Google, and devices with these tokens that are offline.
fn with_devices(tokens: &[&str]) -> (Server, App, Google, Vec<Device>) {
    let (server, google) = (pigeonloft!().start(), Google::start());
    let app = server.app("android");
    google.serves(&server, &app);
    let devices = tokens.iter().map(|token| device(&app, token)).collect();
    (server, app, google, devices)
}

/// Pushes to all of ann's devices, with these members.
fn pushed(app: &App, members: Value) -> String {
    let mut given = json!({ "audience_type": "account", "account_list": ["ann"], "account_push_type": 1 });
    for (name, value) in members.as_object().expect("members") {
        given[name] = value.clone();
    }
    app.pushed(given)
}

fn answers(google: &Google, rules: &[(&str, &str)]) {
    let rule = |&(token, answer): &(&str, &str)| Rule {
        token: token.into(),
        answer: answer.into(),
        times: None,
        retry_after: None,
    };
    google.sim.behave(Behaviour { rules: rules.iter().map(rule).collect(), ..Behaviour::default() });
}

#[test]
fn a_device_that_is_offline_gets_the_message_through_google() {
    let (_server, app, google, devices) = with_devices(&["phone-of-ann"]);
    let message = json!({ "title": "Hello", "content": "from afar",
        "android": { "fcm_ch_id": "news", "custom_content": "{\"a\":1}", "action": { "action_type": 1 } } });
    let push_id = pushed(&app, json!({ "message": message, "expire_time": 3600 }));
    assert_eq!(outcomes(&app, &push_id), json!({ "accepted": 1 }));
    let record = google.sim.record();
    assert_eq!((record.seen.len(), record.bearers), (1, 1));
    let seen = &record.seen[0];
    assert_eq!((&*seen.project, &*seen.token), ("pigeonloft-sim", "phone-of-ann"));
    assert_eq!(seen.message["notification"], json!({ "title": "Hello", "body": "from afar" }));
    assert_eq!(seen.message["data"]["push_id"], json!(push_id));
    assert!(seen.message["data"]["msg_id"].as_str().expect("a text").starts_with(&format!("{push_id}-")));
    assert_eq!(seen.message["data"]["custom_content"], "{\"a\":1}");
    assert_eq!(seen.message["android"]["notification"], json!({ "tag": push_id, "channel_id": "news" }));
    let ttl = seen.message["android"]["ttl"].as_str().and_then(|ttl| ttl.strip_suffix('s')?.parse::<u32>().ok());
    assert!(ttl.is_some_and(|ttl| (3_500..=3_600).contains(&ttl)), "{ttl:?}");

    let answer = app.call("/v3/statistics/get_push_task_stat_channel", &json!({ "pushId": push_id }));
    let of_fcm = answer["pushStatDataAll"].as_array().expect("a list").iter().find(|entry| entry["channel"] == "fcm");
    assert_eq!(of_fcm.expect("the channel has an entry")["pushState"]["pushOnlineUv"], 1);
    let report = app.own_text(&format!("/v1/pushes/{push_id}/recipients.csv"));
    let line = report.lines().nth(1).expect("a line");
    assert!(line.starts_with(&format!("{},0,ann,fcm,accepted,", devices[0].token)), "{line}");
}

#[test]
fn what_google_does_not_take_waits_in_the_inbox_and_says_why() {
    let (_server, app, google, devices) = with_devices(&["good", "gone", "other", "limited"]);
    answers(&google, &[("gone", "UNREGISTERED"), ("other", "SENDER_ID_MISMATCH"), ("limited", "QUOTA_EXCEEDED")]);
    let push_id = pushed(&app, json!({}));
    assert_eq!(outcomes(&app, &push_id), json!({ "accepted": 1, "waiting": 3 }));
    let report = app.own_text(&format!("/v1/pushes/{push_id}/recipients.csv"));
    let says = ["fcm,accepted", "fcm: UNREGISTERED", "fcm: SENDER_ID_MISMATCH", "fcm: QUOTA_EXCEEDED"];
    for (device, says) in devices.iter().zip(says) {
        let line = report.lines().find(|line| line.starts_with(&device.token)).expect("a line");
        assert!(line.contains(says), "{line}");
    }
    // Only the token that is certainly dead is asked no more.
    let asked = google.sim.record().requests;
    let push_id = pushed(&app, json!({}));
    assert_eq!(outcomes(&app, &push_id), json!({ "accepted": 1, "waiting": 3 }));
    assert_eq!(google.sim.record().requests - asked, 3);
}

#[test]
fn a_token_that_a_device_names_while_its_message_is_under_way_is_kept() {
    let (_server, app, google, devices) = with_devices(&["phone"]);
    let rule = Rule { token: String::new(), answer: "UNREGISTERED".into(), times: Some(1), retry_after: None };
    google.sim.behave(Behaviour { latency_ms: 1_000, rules: vec![rule], ..Behaviour::default() });
    let push_id = pushed(&app, json!({}));
    until("it is on its way", || (google.sim.record().bearers == 1).then_some(()));
    let named = json!({ "channels": { "fcm": { "token": "phone" } } });
    assert_eq!(app.as_device(&devices[0], "PATCH", "", &named).0, 204);
    assert_eq!(outcomes(&app, &push_id), json!({ "waiting": 1 }));
    let push_id = pushed(&app, json!({}));
    assert_eq!(outcomes(&app, &push_id), json!({ "accepted": 1 }));
}

#[test]
fn credentials_that_google_refuses_leave_the_messages_in_the_inboxes() {
    let (server, app, google, devices) = with_devices(&["good"]);
    google.sim.behave(Behaviour { gives_no_bearer: true, ..Behaviour::default() });
    let push_id = pushed(&app, json!({}));
    assert_eq!(outcomes(&app, &push_id), json!({ "waiting": 1 }));
    let report = app.own_text(&format!("/v1/pushes/{push_id}/recipients.csv"));
    assert!(report.contains(&devices[0].token) && report.contains("fcm: invalid_grant"), "{report}");
    let id = app.access_id.to_string();
    let listed = server.run(["app", "channel", "list", "--app", &id]);
    assert!(listed.contains("project pigeonloft-sim  account push@pigeonloft-sim.iam.gserviceaccount.com"), "{listed}");
    assert!(!listed.contains("PRIVATE KEY"), "{listed}");
}

#[test]
fn a_test_of_the_channel_says_what_google_answers_and_what_to_do() {
    let (server, app, google, _devices) = with_devices(&[]);
    let id = app.access_id.to_string();
    let test = |token: &str| server.try_run(["app", "channel", "test", "--app", &id, "fcm", "--token", token]);
    assert!(test("good").expect("it succeeds").contains("fcm took the message"));
    answers(
        &google,
        &[("gone", "UNREGISTERED"), ("other", "SENDER_ID_MISMATCH"), ("iphone", "THIRD_PARTY_AUTH_ERROR")],
    );
    for (token, says, hint) in [
        ("gone", "UNREGISTERED: the app was removed", "the token that the app on the device has now"),
        ("other", "SENDER_ID_MISMATCH: the token is of another Firebase project", "google-services.json"),
        ("iphone", "THIRD_PARTY_AUTH_ERROR: ", "the settings of the Firebase project"),
    ] {
        let said = test(token).expect_err("it fails");
        assert!(said.contains(says) && said.contains("hint: ") && said.contains(hint), "{said}");
    }
    google.sim.behave(Behaviour { gives_no_bearer: true, ..Behaviour::default() });
    let said = test("good").expect_err("it fails");
    assert!(said.contains("fcm does not take the credentials: invalid_grant: ") && said.contains("clock"), "{said}");
}

#[test]
fn a_message_for_the_app_itself_and_a_push_that_rules_google_out_take_our_own_channel() {
    let (_server, app, google, _devices) = with_devices(&["good"]);
    let rules = json!([{ "channel": "fcm", "disable": true }]);
    for members in [json!({ "message_type": "message" }), json!({ "channel_rules": rules })] {
        let push_id = pushed(&app, members);
        assert_eq!(outcomes(&app, &push_id), json!({ "waiting": 1 }));
    }
    assert_eq!(google.sim.record().requests, 0);
}

#[test]
fn after_a_kill_everybody_has_the_message_and_a_repeat_takes_the_place_of_the_first() {
    const DEVICES: usize = 40;
    const BATCH: usize = 10;
    const IN_FLIGHT: usize = 1;
    const WITH_VENDORS: usize = 1;
    let small = pigeonloft!().set("push.batch_rows", BATCH).set("push.batches_in_flight", IN_FLIGHT);
    let mut server = small.set("push.batches_with_vendors", WITH_VENDORS).start();
    let google = Google::start();
    let app = server.app("android");
    google.serves(&server, &app);
    for n in 0..DEVICES {
        let _ = device(&app, &format!("phone-{n}"));
    }
    google.sim.behave(Behaviour { latency_ms: 400, ..Behaviour::default() });
    let push_id = pushed(&app, json!({}));
    until("some messages are out", || (google.sim.record().seen.len() >= BATCH).then_some(()));
    server.kill9();
    google.sim.behave(Behaviour::default());
    server.restart();
    assert_eq!(outcomes(&app, &push_id), json!({ "accepted": DEVICES }));
    let mut first = BTreeMap::new();
    let seen = google.sim.record().seen;
    for seen in &seen {
        let same = [&seen.message["data"]["msg_id"], &seen.message["android"]["notification"]["tag"]];
        assert_eq!(*first.entry(&seen.token).or_insert(same), same, "{}", seen.token);
    }
    assert_eq!(first.len(), DEVICES);
    let repeats = seen.len() - DEVICES;
    assert!(repeats <= (IN_FLIGHT + WITH_VENDORS) * BATCH, "only what was under way is sent again: {repeats}");
}

#[test]
fn the_sim_of_the_command_line_prints_what_it_takes_and_misbehaves_on_command() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(file("key"), Google::key()).expect("a file can be written");
    std::fs::write(file("behaviour"), "{}").expect("a file can be written");
    let mut sim = Command::new(env!("CARGO_BIN_EXE_pigeonloft"));
    sim.args(["sim", "fcm", "--listen", "127.0.0.1:0", "--key", &file("key")]);
    sim.args(["--service-account", &file("account"), "--behaviour", &file("behaviour")]);
    let sim = sim.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut sim = Running(sim.expect("the binary can be run"));
    let mut says = BufReader::new(sim.0.stderr.take().expect("it is piped")).lines();
    let said = says.next().expect("it says where it is").expect("a line");
    let url = said.split_once("http://").and_then(|(_, rest)| rest.split_once(';')).expect("a URL").0;
    let (id, url) = (app.access_id.to_string(), format!("http://{url}"));
    server.run(["app", "channel", "set", "--app", &id, "fcm", "--service-account", &file("account"), "--url", &url]);
    let _ann = device(&app, "phone-of-ann");
    let push_id = pushed(&app, json!({}));
    assert_eq!(outcomes(&app, &push_id), json!({ "accepted": 1 }));
    let mut prints = BufReader::new(sim.0.stdout.take().expect("it is piped")).lines();
    let printed: Value = serde_json::from_str(&prints.next().expect("a message").expect("a line")).expect("JSON");
    assert_eq!((&printed["token"], &printed["message"]["data"]["push_id"]), (&json!("phone-of-ann"), &json!(push_id)));
    let refuses = json!({ "rules": [{ "token": "phone", "answer": "SENDER_ID_MISMATCH" }] });
    std::fs::write(file("behaviour"), refuses.to_string()).expect("a file can be written");
    until("it misbehaves", || (outcomes(&app, &pushed(&app, json!({}))) == json!({ "waiting": 1 })).then_some(()));
}
