//! Devices on the own channel, through the real ports: the clients people have, and devices that behave as phones do.

use std::fs;
use std::path::Path;
use std::process::Command;

use pigeonloft_testkit::program::{Subscriber, Transport, require, run};
use pigeonloft_testkit::{Certificate, Device, Fleet, Habit, Phone, Server, State, assert_refused, pigeonloft, until};
use serde_json::{Value, json};

fn to_all_of(account: &str) -> Value {
    json!({ "audience_type": "account", "account_list": [account], "account_push_type": 1 })
}

fn with_certificate(certificate: &Certificate) -> Server {
    pigeonloft!()
        .set("tls.certificate", certificate.certificate.display())
        .set("tls.key", certificate.key.display())
        .set("tls.reload_s", 1)
        .start()
}

#[test]
fn mosquitto_and_paho_receive_a_push_over_every_transport_they_have() {
    let folder = tempfile::tempdir().expect("a folder");
    let certificate = Certificate::write(folder.path());
    let server = with_certificate(&certificate);
    let app = server.app("android");
    let trusted = certificate.certificate.as_path();
    let mut clients = Vec::new();
    for version in ["311", "5"] {
        let device = || app.register_device(Some("ann"));
        let (plain, secure) = (server.mqtt().port(), server.mqtts().port());
        let (http, https) = (server.http().port(), server.https().port());
        clients.extend([
            Subscriber::mosquitto(plain, &device(), version, Transport::Tcp),
            Subscriber::mosquitto(secure, &device(), version, Transport::Tls(trusted)),
            Subscriber::paho(plain, &device(), version, Transport::Tcp),
            Subscriber::paho(secure, &device(), version, Transport::Tls(trusted)),
            Subscriber::paho(http, &device(), version, Transport::WebSocket),
            Subscriber::paho(https, &device(), version, Transport::WebSocketTls(trusted)),
        ]);
    }
    let clients: Vec<Subscriber> = clients.into_iter().map(Subscriber::subscribed).collect();
    let push_id = app.pushed(to_all_of("ann"));
    let mut ids: Vec<String> = Vec::new();
    for client in &clients {
        let message = client.wait_for_payloads(1)[0].clone();
        assert_eq!(message["push_id"], push_id);
        assert_eq!(message["title"], "a title");
        ids.push(message["msg_id"].as_str().expect("an id").to_owned());
    }
    until("all are counted", || (app.stat(&push_id)["arrivalUv"] == clients.len()).then_some(()));
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), clients.len(), "each has an id of its own");
    assert!(clients.iter().all(|client| client.payloads().len() == 1), "once each");
}

#[test]
fn a_device_that_cannot_say_its_password_is_refused() {
    let server = pigeonloft!().start();
    let (app, other) = (server.app("android"), server.app("android"));
    let device = app.register_device(Some("ann"));
    let unknown = Device { token: "0".repeat(36), ..device.clone() };
    let wrong = Device { password: "wrong".into(), ..device.clone() };
    let empty = Device { password: String::new(), ..device.clone() };
    let of_other = Device { access_id: other.access_id, ..device.clone() };
    let fleet = Fleet::new(server.mqtt());
    for device in [&wrong, &unknown, &empty, &of_other] {
        let phone = Phone::new(device.clone());
        fleet.connect(&phone, Habit::Acknowledges);
        // 4: bad user name or password.
        phone.wait_for_state(&State::Refused(4));
    }
    let port = server.mqtt().port();
    Subscriber::mosquitto(port, &wrong, "311", Transport::Tcp).wait_for("Connection Refused");
    Subscriber::paho(port, &wrong, "5", Transport::Tcp).wait_for("connected: Bad user name or password");
    fleet.online([&Phone::new(device)], Habit::Acknowledges);
}

#[test]
fn a_second_connection_of_a_device_takes_over_the_first() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let device = app.register_device(Some("ann"));
    let (first, second) = (Phone::new(device.clone()), Phone::new(device));
    let fleet = Fleet::new(server.mqtt());
    fleet.online([&first], Habit::Acknowledges);
    fleet.online([&second], Habit::Acknowledges);
    first.wait_for_state(&State::Offline);
    let push_id = app.pushed(to_all_of("ann"));
    assert_eq!(second.wait_for_messages(1)[0].push_id, push_id);
    assert_eq!(first.messages(), []);
    assert_eq!(server.metric("pigeonloft_devices_connected", ""), 1.0);
}

#[test]
fn what_was_not_acknowledged_comes_again_under_the_same_id() {
    let mut server = pigeonloft!().start();
    let app = server.app("android");
    let phone = Phone::new(app.register_device(Some("ann")));
    let fleet = Fleet::new(server.mqtt());
    fleet.online([&phone], Habit::NeverAcknowledges);
    let push_id = app.pushed(to_all_of("ann"));
    let _ = phone.wait_for_messages(1);
    let _ = app.finished(&push_id);
    assert_eq!(app.stat(&push_id)["arrivalUv"], 0);
    assert_eq!(app.stat(&push_id)["pushOnlineUv"], 1);

    phone.vanish();
    fleet.online([&phone], Habit::NeverAcknowledges);
    let _ = phone.wait_for_messages(2);
    server.kill9();
    phone.wait_for_state(&State::Offline);
    server.restart();
    fleet.online([&phone], Habit::Acknowledges);
    let came = phone.wait_for_messages(3);
    assert!(came.iter().all(|message| *message == came[0]), "the same in every way: {came:?}");
    until("the arrival is counted", || (app.stat(&push_id)["arrivalUv"] == 1).then_some(()));

    // Once acknowledged it is over: what comes next is the next push.
    phone.leave();
    fleet.online([&phone], Habit::Acknowledges);
    let next = app.pushed(to_all_of("ann"));
    assert_eq!(phone.wait_for_messages(4)[3].push_id, next);
}

#[test]
fn a_device_that_reads_nothing_delays_itself_alone() {
    const PUSHES: usize = 100;
    let server = pigeonloft!().set("push.ack_wait_ms", 50).start();
    let app = server.app("android");
    let (slow, prompt) = (app.register_device(Some("ann")), app.register_device(Some("ann")));
    let (fleet, prompt) = Fleet::of(&server, [prompt]);
    let slow = Phone::new(slow);
    fleet.online([&slow], Habit::NeverReads);
    // Together far more than one connection may cost: 100 messages of nearly 4 KB.
    let content = "x".repeat(3900);
    let mut given = to_all_of("ann");
    given["message"] = json!({ "content": content });
    let pushes: Vec<String> = (0..PUSHES).map(|_| app.pushed(given.clone())).collect();
    assert_eq!(prompt[0].wait_for_messages(PUSHES).len(), PUSHES);
    for push_id in &pushes {
        let shown = app.finished(push_id);
        assert_eq!(shown["targets"], 2, "{shown}");
    }
    slow.vanish();
    fleet.online([&slow], Habit::Acknowledges);
    let came = slow.wait_for_messages(PUSHES);
    assert_eq!(came.iter().map(|message| &message.push_id).collect::<Vec<_>>(), pushes.iter().collect::<Vec<_>>());
}

#[test]
fn an_inbox_survives_a_kill() {
    let mut server = pigeonloft!().start();
    let app = server.app("android");
    let device = app.register_device(Some("ann"));
    let pushes: Vec<String> = (0..40).map(|_| app.pushed(to_all_of("ann"))).collect();
    for push_id in &pushes {
        assert_eq!(app.finished(push_id)["outcomes"]["waiting"], 1);
    }
    server.kill9();
    server.restart();
    // More than a window of 32: the rest comes as what came is acknowledged.
    let (_fleet, phones) = Fleet::of(&server, [device]);
    let came = phones[0].wait_for_messages(pushes.len());
    assert_eq!(came.iter().map(|message| &message.push_id).collect::<Vec<_>>(), pushes.iter().collect::<Vec<_>>());
}

/// curl with this certificate as the only one it trusts.
fn curl(trusted: &Path, arguments: &[&str]) -> Command {
    let mut curl = require("curl");
    curl.args(["-sS", "--max-time", "60", "--cacert"]).arg(trusted).args(arguments);
    curl
}

#[test]
fn the_api_is_there_over_tls_with_http_2() {
    let folder = tempfile::tempdir().expect("a folder");
    let certificate = Certificate::write(folder.path());
    let server = with_certificate(&certificate);
    let app = server.app("android");
    let list = folder.path().join("list.txt");
    fs::write(&list, "ann\n".repeat(100_000)).expect("a file can be written");
    let url = format!("https://localhost:{}/v3/push/package/upload", server.https().port());
    let (authorization, field) = (format!("Authorization: {}", app.basic()), format!("file=@{}", list.display()));
    for (asked, spoken) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let arguments = [asked, "-w", " HTTP/%{http_version}", "-H", &authorization, "-F", &field, &url];
        let answer = run(&mut curl(&certificate.certificate, &arguments));
        assert!(answer.contains("\"retCode\":0") && answer.ends_with(&format!("HTTP/{spoken}")), "{answer}");
    }
    let plain = run(require("curl").args(["-sS", "--http2-prior-knowledge", &server.url("/healthz")]));
    assert_eq!(plain, "ok\n", "and without TLS for those who know");
}

#[test]
fn a_new_certificate_is_taken_without_a_restart_and_without_losing_a_connection() {
    let folder = tempfile::tempdir().expect("a folder");
    let old = Certificate::write(folder.path());
    let server = with_certificate(&old);
    let app = server.app("android");
    let copy = folder.path().join("old.pem");
    fs::copy(&old.certificate, &copy).expect("a file can be copied");
    let client =
        Subscriber::mosquitto(server.mqtts().port(), &app.register_device(Some("ann")), "5", Transport::Tls(&copy));
    let client = client.subscribed();
    let health = format!("https://localhost:{}/healthz", server.https().port());
    assert_eq!(run(&mut curl(&copy, &[&health])), "ok\n");

    let new = Certificate::write(folder.path());
    until("the new certificate is used", || {
        curl(&new.certificate, &[&health]).output().expect("curl can be run").status.success().then_some(())
    });
    assert!(!curl(&copy, &[&health]).output().expect("curl can be run").status.success(), "and the old one is not");
    let _ = app.pushed(to_all_of("ann"));
    assert_eq!(client.wait_for_payloads(1).len(), 1);
    let device = app.register_device(None);
    drop(Subscriber::mosquitto(server.mqtts().port(), &device, "5", Transport::Tls(&new.certificate)).subscribed());
}

#[test]
fn a_deleted_device_is_sent_away_and_its_messages_are_counted_as_gone() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let device = app.register_device(Some("ann"));
    let phone = Phone::new(device.clone());
    let fleet = Fleet::new(server.mqtt());
    fleet.online([&phone], Habit::NeverAcknowledges);
    let push_id = app.pushed(to_all_of("ann"));
    let _ = phone.wait_for_messages(1);
    let _ = app.finished(&push_id);

    assert_eq!(app.as_device(&device, "DELETE", "", &json!({})).0, 204);
    phone.wait_for_state(&State::Offline);
    until("its message is counted as gone", || (app.progress(&push_id)["outcomes"]["gone"] == 1).then_some(()));
    fleet.connect(&phone, Habit::Acknowledges);
    phone.wait_for_state(&State::Refused(4));
    assert_refused(
        &app.push(json!({ "audience_type": "token", "token_list": [device.token] })),
        1_008_029,
        "1 of the 1",
    );
    assert_refused(&app.push(to_all_of("ann")), 10_010_005, "account");
    assert_eq!(app.as_device(&device, "DELETE", "", &json!({})).0, 401);
}

#[test]
fn an_imported_device_is_claimed_once() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let token = "c1".repeat(18);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("devices.csv");
    fs::write(&file, format!("token,account,account_type\n{token},ann,5\n")).expect("a file can be written");
    server.run(["device", "import", &file.display().to_string(), "--app", &app.access_id.to_string()]);

    // It is a target before anybody has claimed it.
    let given = json!({ "audience_type": "account", "account_list": ["ann"], "account_type": 5 });
    let push_id = app.pushed(given);
    assert_eq!(app.finished(&push_id)["outcomes"]["waiting"], 1);
    let unclaimed = Phone::new(Device { access_id: app.access_id, token: token.clone(), password: String::new() });
    let fleet = Fleet::new(server.mqtt());
    fleet.connect(&unclaimed, Habit::Acknowledges);
    unclaimed.wait_for_state(&State::Refused(4));

    let (status, claimed) = app.register(&json!({ "token": token }));
    assert_eq!((status, &claimed["token"]), (201, &json!(token)), "{claimed}");
    assert_eq!(app.register(&json!({ "token": token })).0, 409, "a second one is not given its password");
    let password = claimed["password"].as_str().expect("a password").to_owned();
    let device = Device { access_id: app.access_id, token, password };
    let (_claimed, phones) = Fleet::of(&server, [device]);
    assert_eq!(phones[0].wait_for_messages(1)[0].push_id, push_id);
}

#[test]
fn a_device_names_its_accounts_itself() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let (device, other) = (app.register_device(Some("ann")), app.register_device(Some("ann")));
    let accounts = json!({ "accounts": [{ "account": "bob" }, { "account": "b@example.com", "account_type": 1005 }] });
    assert_eq!(app.as_device(&device, "PUT", "/accounts", &accounts).0, 200);
    let (_fleet, phones) = Fleet::of(&server, [device.clone(), other.clone()]);
    for (account, account_type, expected) in [("ann", 0, 1), ("bob", 0, 0), ("b@example.com", 1005, 0)] {
        let mut given = to_all_of(account);
        given["account_type"] = json!(account_type);
        assert_eq!(app.receivers(&phones, &app.pushed(given)), [expected], "{account}");
    }
    let stolen = Device { token: other.token, ..device };
    assert_eq!(app.as_device(&stolen, "PUT", "/accounts", &accounts).0, 401);
}
