//! The own channel over TCP with the clients people have: `mosquitto_sub` and `mosquitto_pub` (Debian package
//! `mosquitto-clients`), and `paho-mqtt` for Python (from PyPI), each with MQTT 3.1.1 and 5.

mod common;

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use common::{FakeDesk, TestHub, hub, payload, token};
use pigeonloft_channels::xg::{AckSet, Handed, Limits, ReceiptEvent, Tracker};
use pigeonloft_model::{DeviceId, PushId};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Instant, timeout};

const VERSIONS: [&str; 2] = ["mqttv311", "mqttv5"];
/// Processes start and connect within this, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(60);

async fn listen(hub: &TestHub) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let hub = Arc::clone(hub);
    tokio::spawn(async move {
        loop {
            let (stream, peer) = listener.accept().await.expect("accepts");
            tokio::spawn(Arc::clone(&hub).serve(stream, peer, ()));
        }
    });
    port
}

fn program(name: &str, remedy: &str, arguments: &[&str]) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = Command::new(name)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {name} ({error}); these tests need it: {remedy}"));
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    (child, lines)
}

fn mosquitto(name: &str, port: u16, version: &str, more: &[&str]) -> (Child, Lines<BufReader<ChildStdout>>) {
    let (port, token) = (port.to_string(), token(7));
    let login =
        ["-h", "127.0.0.1", "-p", &port, "-V", version, "-i", &token, "-u", common::APP, "-P", common::PASSWORD];
    program(name, "apt-get install mosquitto-clients", &[&login, more].concat())
}

async fn line(lines: &mut Lines<BufReader<ChildStdout>>) -> String {
    timeout(PATIENCE, lines.next_line()).await.expect("a line in time").expect("readable").expect("a line")
}

/// Until the device's session takes live messages.
async fn send_when_online(hub: &TestHub, push: i64) -> Vec<usize> {
    let deadline = Instant::now() + PATIENCE;
    let far = i64::from(u32::MAX);
    loop {
        let tracker = Tracker::new(1);
        if hub.send(&payload(push), &[DeviceId(7)], far, &tracker) == [Handed::Accepted] {
            tracker.wait(deadline).await;
            let acked = tracker.close_with(|set: &AckSet| set.iter().collect());
            hub.settled(DeviceId(7), PushId(push));
            return acked;
        }
        assert!(Instant::now() < deadline, "the device did not come online");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn text(push: i64) -> String {
    String::from_utf8(common::content(PushId(push), DeviceId(7)).to_vec()).expect("UTF-8")
}

async fn mosquitto_receives_what_waits_and_what_comes(version: &str) {
    let (hub, desk) = hub(Limits::default());
    desk.put_until(7, 1, i64::from(u32::MAX));
    let port = listen(&hub).await;
    // Its default is QoS 0; it gets QoS 1 all the same, and acknowledges.
    let (mut child, mut lines) = mosquitto("mosquitto_sub", port, version, &["-t", "push", "-C", "3"]);
    assert_eq!(line(&mut lines).await, text(1));
    desk.until("the first arrived", |book| book.arrived.len() == 1).await;
    for push in [2, 3] {
        assert_eq!(send_when_online(&hub, push).await, [0], "{version}: acknowledged");
        assert_eq!(line(&mut lines).await, text(push));
    }
    assert!(timeout(PATIENCE, child.wait()).await.expect("ends").expect("ended").success());
    desk.until("the session is closed", |book| book.calls.last() == Some(&("closed", DeviceId(7)))).await;
}

async fn mosquitto_reports(version: &str) {
    let (hub, desk) = hub(Limits::default());
    let port = listen(&hub).await;
    for qos in ["0", "1", "2"] {
        let message = r#"{"push_id":"5","event":"clicked"}"#;
        let (mut child, _) = mosquitto("mosquitto_pub", port, version, &["-t", "receipt", "-q", qos, "-m", message]);
        assert!(timeout(PATIENCE, child.wait()).await.expect("ends").expect("ended").success(), "{version} {qos}");
    }
    desk.until("three receipts", |book| book.receipts.len() == 3).await;
    assert_eq!(desk.book().receipts[0], (DeviceId(7), PushId(5), ReceiptEvent::Clicked));
}

#[tokio::test]
async fn mosquitto_sub_receives_with_3_1_1() {
    mosquitto_receives_what_waits_and_what_comes(VERSIONS[0]).await;
}

#[tokio::test]
async fn mosquitto_sub_receives_with_5() {
    mosquitto_receives_what_waits_and_what_comes(VERSIONS[1]).await;
}

#[tokio::test]
async fn mosquitto_pub_reports_in_every_quality_of_service() {
    for version in VERSIONS {
        mosquitto_reports(version).await;
    }
}

#[tokio::test]
async fn mosquitto_is_told_that_its_password_is_wrong() {
    for (version, status) in [("mqttv311", 4), ("mqttv5", 134)] {
        let (hub, _desk) = hub(Limits::default());
        let port = listen(&hub).await.to_string();
        let token = token(7);
        let login = ["-p", &port, "-V", version, "-i", &token, "-u", common::APP, "-P", "guess", "-t", "push"];
        let (mut child, _) = program("mosquitto_sub", "apt-get install mosquitto-clients", &login);
        let ended = timeout(PATIENCE, child.wait()).await.expect("ends").expect("ended");
        assert_eq!(ended.code(), Some(status), "{version}");
    }
}

/// A device as an app would have it: it stays, acknowledges, reports each message, and survives being cut off.
const PAHO: &str = include_str!("paho_device.py");

fn paho(port: u16, version: &str) -> (Child, Lines<BufReader<ChildStdout>>) {
    let (port, token) = (port.to_string(), token(7));
    program(
        "python3",
        "install Python 3 and `pip install paho-mqtt`",
        &["-c", PAHO, &port, version, &token, common::APP, common::PASSWORD],
    )
}

async fn expect(lines: &mut Lines<BufReader<ChildStdout>>, expected: &str) {
    let line = timeout(PATIENCE, lines.next_line()).await.expect("a line in time").expect("readable");
    let remedy = "if Python lacks the module: `pip install paho-mqtt` (2 or later)";
    assert_eq!(line.as_deref(), Some(expected), "{remedy}");
}

/// The receipt's PUBACK and the message's own end may come in either order with other lines, so they are counted.
async fn reported(desk: &FakeDesk, messages: usize) {
    desk.until("the receipts are in", |book| book.receipts.len() == messages).await;
}

async fn paho_is_a_device(version: &str, refused: u8, taken_over: Option<&str>) {
    let (hub, desk) = hub(Limits::default());
    desk.put_until(7, 1, i64::from(u32::MAX));
    let port = listen(&hub).await;
    let (_child, mut lines) = paho(port, version);
    let greeting = ["connected Success 0".to_owned(), format!("subscribed 1 {refused}")];
    for line in &greeting {
        expect(&mut lines, line).await;
    }
    expect(&mut lines, "message 1 push 1 0 0").await;
    expect(&mut lines, "reported Success").await;
    reported(&desk, 1).await;
    desk.until("the first arrived", |book| book.arrived.len() == 1).await;
    assert_eq!(send_when_online(&hub, 2).await, [0]);
    expect(&mut lines, "message 2 push 1 0 0").await;
    expect(&mut lines, "reported Success").await;

    // Somebody else with the same credentials takes over for one message; then it comes back.
    desk.put_until(7, 3, i64::from(u32::MAX));
    let (_other, mut other) = mosquitto("mosquitto_sub", port, version, &["-t", "push", "-C", "1"]);
    assert_eq!(line(&mut other).await, text(3));
    let word = timeout(PATIENCE, lines.next_line()).await.expect("a line").expect("readable").expect("a line");
    match taken_over {
        Some(reason) => assert_eq!(word, format!("disconnected {reason}")),
        None => assert!(word.starts_with("disconnected "), "{word}"),
    }
    for line in &greeting {
        expect(&mut lines, line).await;
    }
    assert_eq!(send_when_online(&hub, 4).await, [0]);
    expect(&mut lines, "message 4 push 1 0 0").await;
    expect(&mut lines, "reported Success").await;
    reported(&desk, 3).await;
}

#[tokio::test]
async fn paho_is_a_device_with_3_1_1() {
    paho_is_a_device("mqttv311", 0x80, None).await;
}

#[tokio::test]
async fn paho_is_a_device_with_5() {
    paho_is_a_device("mqttv5", 0xa2, Some("Session-taken-over")).await;
}
