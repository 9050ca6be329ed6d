//! Bad devices, through the real port: they vanish without a word, acknowledge nothing or nonsense, send a byte at a time,
//! or never read. Each harms itself alone, what it did not acknowledge waits for it, and memory stays bounded.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use mqtt_proto::Pid;
use mqtt_proto::v3::Packet;
use pigeonloft_testkit::{App, Fleet, Habit, Phone, Server, pigeonloft, raw_mqtt, until};
use serde_json::{Value, json};

fn to_ann() -> Value {
    json!({ "audience_type": "account", "account_list": ["ann"], "account_push_type": 1 })
}

fn connected(server: &Server, devices: u32) {
    until(&format!("{devices} devices are connected"), || {
        (server.metric("pigeonloft_devices_connected", "") == f64::from(devices)).then_some(())
    });
}

/// The device connects as it should, and gets these pushes in this order, each once.
fn gets_all_in_the_end(server: &Server, app: &App, phone: &Phone, pushes: &[String]) {
    let fleet = Fleet::new(server.mqtt());
    fleet.online([phone], Habit::Acknowledges);
    let came = phone.wait_for_messages(pushes.len());
    assert_eq!(came.iter().map(|message| &message.push_id).collect::<Vec<_>>(), pushes.iter().collect::<Vec<_>>());
    for push_id in pushes {
        until("all have it", || (app.progress(push_id)["outcomes"]["waiting"] == 0).then_some(()));
    }
    assert_eq!(phone.messages().len(), pushes.len());
}

/// Resident memory of the server now, bytes.
fn memory(server: &Server) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
}

#[test]
fn a_device_that_vanishes_without_a_word_is_missed_after_its_keep_alive_and_its_messages_wait() {
    let server = pigeonloft!().set("mqtt.keep_alive_max_s", 2).set("push.ack_wait_ms", 50).start();
    let app = server.app("android");
    let devices = [(); 3].map(|()| app.register_device(Some("ann")));
    // Their connections stay open, and nothing comes over them any more: as of phones whose battery is empty. Two promised
    // to be heard of within a second or two, and one promised nothing.
    let mut silent: Vec<TcpStream> =
        devices.iter().zip([1, 2, 0]).map(|(device, s)| raw_mqtt::subscribed(server.mqtt(), device, s)).collect();
    let first = app.pushed(to_ann());
    assert_eq!(app.finished(&first)["sent"], 3, "as long as nobody knows, it is sent to them");
    connected(&server, 0);
    let second = app.pushed(to_ann());
    assert_eq!(app.finished(&second)["sent"], 0, "from now on it waits for them");
    assert_eq!(app.progress(&first)["outcomes"]["waiting"], 3);
    for stream in &mut silent {
        let (_, message) = raw_mqtt::message(stream);
        assert!(message.contains(&format!("\"push_id\":\"{first}\"")), "{message}");
        assert_eq!(raw_mqtt::next(stream), None, "and then the connection was closed");
    }
    let pushes = [first, second];
    let (_fleet, phones) = Fleet::of(&server, devices);
    for phone in &phones {
        let came: Vec<String> = phone.wait_for_messages(2).into_iter().map(|message| message.push_id).collect();
        assert_eq!(came, pushes);
    }
    for push_id in &pushes {
        until("all have it", || (app.progress(push_id)["outcomes"]["arrived"] == 3).then_some(()));
    }
}

#[test]
fn nonsense_instead_of_an_acknowledgement_acknowledges_nothing() {
    let server = pigeonloft!().set("push.ack_wait_ms", 50).start();
    let app = server.app("android");
    let (liar, honest) = (app.register_device(Some("ann")), app.register_device(Some("ann")));
    let (_fleet, honest) = Fleet::of(&server, [honest]);
    let id = |number: u16| Pid::try_from(number).expect("not zero");
    let mut pushes = Vec::new();
    let nonsense: [&dyn Fn(Pid) -> Packet; 7] = [
        // Of messages that were never sent.
        &|sent| Packet::Puback(id(sent.value() + 1)),
        &|_| Packet::Puback(id(u16::MAX)),
        // What belongs to other qualities of service.
        &|sent| Packet::Pubrec(sent),
        &|sent| Packet::Pubcomp(sent),
        &|sent| Packet::Pubrel(sent),
        // What only a server says.
        &|_| Packet::Pingresp,
        &|sent| Packet::Unsuback(sent),
    ];
    for wrong in nonsense {
        let mut stream = raw_mqtt::subscribed(server.mqtt(), &liar, 60);
        pushes.push(app.pushed(to_ann()));
        let push_id = pushes.last().expect("it was pushed");
        let _ = honest[0].wait_for_messages(pushes.len());
        let (sent, message) = raw_mqtt::message(&mut stream);
        assert!(message.contains(&format!("\"push_id\":\"{}\"", pushes[0])), "the oldest comes first: {message}");
        let packet = wrong(sent);
        stream.write_all(&raw_mqtt::bytes(packet.clone())).expect("the server reads");
        // It may close the connection over it. If it does not, it goes on as if nothing had been said.
        let _ = stream.write_all(&raw_mqtt::bytes(Packet::Pingreq));
        while raw_mqtt::next(&mut stream).is_some_and(|packet| packet != Packet::Pingresp) {}
        assert_eq!(app.finished(push_id)["outcomes"]["waiting"], 1, "{packet:?}");
        drop(stream);
        connected(&server, 1);
    }
    for push_id in &pushes {
        assert_eq!(app.progress(push_id)["outcomes"]["arrived"], 1);
    }
    gets_all_in_the_end(&server, &app, &Phone::new(liar), &pushes);
}

#[test]
fn what_one_device_acknowledges_is_not_what_another_was_sent() {
    let server = pigeonloft!().set("push.ack_wait_ms", 50).start();
    let app = server.app("android");
    let devices = [(); 2].map(|()| app.register_device(Some("ann")));
    let [mut one, mut other] = devices.each_ref().map(|device| raw_mqtt::subscribed(server.mqtt(), device, 60));
    let push_id = app.pushed(to_ann());
    let (id, _) = raw_mqtt::message(&mut one);
    assert_eq!(raw_mqtt::message(&mut other).0, id, "each connection counts for itself");
    for _ in 0..3 {
        one.write_all(&raw_mqtt::bytes(Packet::Puback(id))).expect("the server reads");
    }
    until("one has arrived", || (app.finished(&push_id)["outcomes"]["arrived"] == 1).then_some(()));
    other.write_all(&raw_mqtt::bytes(Packet::Pingreq)).expect("the server reads");
    assert_eq!(raw_mqtt::next(&mut other), Some(Packet::Pingresp));
    assert_eq!(app.progress(&push_id)["outcomes"]["waiting"], 1);
    drop(other);
    gets_all_in_the_end(&server, &app, &Phone::new(devices[1].clone()), &[push_id]);
}

#[test]
fn devices_that_send_a_byte_at_a_time_are_heard_out_and_hold_nobody_up() {
    const SLOW: usize = 40;
    let server = pigeonloft!().start();
    let app = server.app("android");
    let (_fleet, prompt) = Fleet::of(&server, [app.register_device(Some("ann"))]);
    let slow: Vec<_> = (0..SLOW).map(|_| app.register_device(Some("bob"))).collect();
    let mut streams: Vec<TcpStream> =
        slow.iter().map(|device| raw_mqtt::subscribed(server.mqtt(), device, 60)).collect();
    let mut to_bob = to_ann();
    to_bob["account_list"] = json!(["bob"]);
    let slow_push = app.pushed(to_bob);
    let ids: Vec<Pid> = streams.iter_mut().map(|stream| raw_mqtt::message(stream).0).collect();
    // The receipt, and then the acknowledgement of the message it is for.
    let said: Vec<Vec<u8>> = ids
        .iter()
        .map(|id| [raw_mqtt::receipt(&slow_push, "shown"), raw_mqtt::bytes(Packet::Puback(*id))].concat())
        .collect();
    let mut pushes = 0;
    for place in 0..said.iter().map(Vec::len).max().unwrap_or_default() {
        for (stream, said) in streams.iter_mut().zip(&said) {
            stream.set_nodelay(true).expect("it can be set");
            stream.write_all(&said[place..said.len().min(place + 1)]).expect("the server reads");
        }
        if place % 10 == 0 {
            let push_id = app.pushed(to_ann());
            pushes += 1;
            assert_eq!(prompt[0].wait_for_messages(pushes)[pushes - 1].push_id, push_id);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    until("all were heard out", || {
        let shown = app.progress(&slow_push);
        (shown["receipts"]["shown"] == SLOW && shown["outcomes"]["arrived"] == SLOW).then_some(())
    });
}

#[test]
fn devices_that_never_read_cost_a_bounded_amount_of_memory_and_get_everything_later() {
    const DEAF: usize = 40;
    const PUSHES: usize = 200;
    const PUSHED: usize = DEAF * PUSHES * 4000;
    let server = pigeonloft!().set("push.ack_wait_ms", 20).start();
    let app = server.app("android");
    let (_fleet, prompt) = Fleet::of(&server, [app.register_device(Some("ann"))]);
    let deaf: Vec<Phone> = (0..DEAF).map(|_| Phone::new(app.register_device(Some("ann")))).collect();
    let fleet = Fleet::new(server.mqtt());
    fleet.online(&deaf, Habit::NeverReads);
    let mut given = to_ann();
    given["message"] = json!({ "content": "x".repeat(3900) });
    let before = memory(&server);
    let pushes: Vec<String> = (0..PUSHES).map(|_| app.pushed(given.clone())).collect();
    assert_eq!(prompt[0].wait_for_messages(PUSHES).len(), PUSHES, "the one that reads has them all");
    for push_id in &pushes {
        assert_eq!(app.finished(push_id)["targets"], DEAF + 1);
    }
    let grown = memory(&server).saturating_sub(before);
    println!("{} KiB for each device that does not read", (grown >> 10) / DEAF);
    assert!(grown < PUSHED / 2, "{grown} bytes are held of {PUSHED}");
    fleet.online(&deaf, Habit::Acknowledges);
    for phone in &deaf {
        let came: Vec<String> = phone.wait_for_messages(PUSHES).into_iter().map(|message| message.push_id).collect();
        assert_eq!(came, pushes);
    }
    for push_id in &pushes {
        until("all have it", || (app.progress(push_id)["outcomes"]["arrived"] == DEAF + 1).then_some(()));
    }
}

/// Registers a device over and over until that is refused: how many were let in, and the seconds to wait.
fn registered_until_refused(server: &Server, app: &App) -> (usize, u64) {
    let mut registered = 0;
    until("no more may register", || {
        let request = ureq::post(server.url("/v1/devices")).config().http_status_as_error(false).build();
        let request = request.header("AccessId", app.access_id.to_string()).header("AccessKey", &app.access_key);
        let mut answer = request.send("{}").expect("the server answers");
        if answer.status() == 201 {
            registered += 1;
            return None;
        }
        assert_eq!(answer.status(), 429);
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        let wait = answer.headers()["retry-after"].to_str().expect("a text").parse().expect("seconds");
        let problem: Value = answer.body_mut().read_json().expect("it is JSON");
        assert!(problem["detail"].as_str().expect("a text").contains("Retry-After"), "{problem}");
        Some((registered, wait))
    })
}

#[test]
fn one_who_registers_devices_without_end_is_slowed_down_and_other_apps_are_not() {
    let bounds = [("registrations_per_second_per_address", 1), ("registrations_burst_per_address", 20)];
    let server = bounds.iter().fold(pigeonloft!(), |server, (key, value)| server.set(&format!("device.{key}"), value));
    let server = server.start();
    let (flooded, other) = (server.app("android"), server.app("android"));
    let known = flooded.register_device(None);
    let (registered, wait) = registered_until_refused(&server, &flooded);
    // One more for each second that this took.
    assert!((19..40).contains(&registered) && wait == 1, "{registered} were let in, wait {wait} s");
    assert_eq!(other.register(&json!({})).0, 201);
    let accounts = json!({ "accounts": [{ "account": "ann" }] });
    assert_eq!(flooded.as_device(&known, "PUT", "/accounts", &accounts).0, 200, "who is registered is not bounded");
    until("there is room for one more", || (flooded.register(&json!({})).0 == 201).then_some(()));
}

#[test]
fn what_adds_no_device_takes_no_other_devices_place() {
    let bounds = [("registrations_per_second_per_address", 1), ("registrations_burst_per_address", 1)];
    let server = bounds.iter().fold(pigeonloft!(), |server, (key, value)| server.set(&format!("device.{key}"), value));
    let server = server.start();
    let app = server.app("android");
    let imported = app.import_devices(&server, ["ann"]);
    let claim = json!({ "token": imported[0].token });
    for _ in 0..10 {
        assert_eq!(app.register(&claim).0, 409, "the import gave it a password");
    }
    assert_eq!(app.register(&json!({ "channel": "no channel" })).0, 400);
    assert_eq!(app.register(&json!({})).0, 201);
}
