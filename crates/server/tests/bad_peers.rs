//! Bad peers: garbage, clients that are slow, and clients that are many. None takes the process, a neighbour or memory with
//! it, and who can be answered is.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use pigeonloft_testkit::program::{json_in, require, run};
use pigeonloft_testkit::{App, Fleet, Form, Habit, Phone, Server, State, assert_refused, pigeonloft, raw, until};
use serde_json::json;

/// Bytes that look like nothing, the same in every run.
fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..bytes).map(|_| next()).collect()
}

/// Sends bytes and hears the server out, whatever it says.
fn send(server: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = raw::connect(server);
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut heard = Vec::new();
    let _ = stream.read_to_end(&mut heard);
    heard
}

/// The most memory the server has had, in MiB.
fn peak_memory(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("the process is there");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("it says so");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") / 1024
}

fn assert_well(server: &mut Server, app: &App, pid: u32) {
    assert!(server.is_running());
    assert_eq!(server.pid(), pid);
    assert!(!server.log().contains("panicked"));
    assert_eq!(app.upload("list.txt", "ab\ncd\n")["retCode"], 0);
    let memory = peak_memory(server);
    assert!(memory < 200, "{memory} MiB");
}

#[test]
fn garbage_on_the_http_port_disturbs_nobody() {
    let mut server = pigeonloft!().start();
    let app = server.app("android");
    let (pid, http) = (server.pid(), server.http());
    for seed in 0..30 {
        send(http, &noise(seed, 65_536));
    }
    let long = "x".repeat(1 << 20);
    let many: String = (0..10_000).map(|place| format!("x-{place}: y\r\n")).collect();
    for head in [
        format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: x\r\nx: {long}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n"),
        format!("POST /v3/push/app HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {long}\r\n\r\n"),
    ] {
        let heard = send(http, head.as_bytes());
        let heard = String::from_utf8_lossy(&heard);
        assert!(heard.starts_with("HTTP/1.1 4"), "refused as too large: {heard}");
    }
    for head in [
        "POST /v3/push/app HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST /v3/push/app HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n123456",
        "POST /v3/push/app HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\0",
    ] {
        send(http, head.as_bytes());
    }
    assert_well(&mut server, &app, pid);
}

#[test]
fn json_of_any_depth_and_size_is_answered() {
    let mut server = pigeonloft!().start();
    let app = server.app("android");
    let pid = server.pid();
    let folder = tempfile::tempdir().expect("a folder");
    let ask = |path: &str, body: &[u8]| {
        let file = folder.path().join("body");
        fs::write(&file, body).expect("a file can be written");
        let (authorization, data) = (format!("Authorization: {}", app.basic()), format!("@{}", file.display()));
        let mut curl = require("curl");
        curl.args(["-sS", "--max-time", "60", "-H", &authorization, "-H", "Expect:", "--data-binary", &data]);
        json_in(&run(curl.arg(server.url(path))))
    };
    let deep = |depth: usize| format!("{}1{}", "{\"message\":".repeat(depth), "}".repeat(depth));
    for path in ["/v3/push/app", "/v3/device/account/batchoperate", "/v3/statistics/get_push_record"] {
        assert_refused(&ask(path, &b"[".repeat(1 << 20)), 1_008_001, "");
        assert_refused(&ask(path, deep(100_000).as_bytes()), 1_008_001, "");
        assert_refused(&ask(path, &noise(7, 1 << 20)), 1_008_001, "");
        assert_refused(&ask(path, b"{\"a\":\"\xff\"}"), 1_008_001, "");
        // Many times what is taken: the answer is to reach the client all the same.
        assert_refused(&ask(path, &b" ".repeat(16 << 20)), 1_008_007, "2097152 bytes");
    }
    assert_well(&mut server, &app, pid);
}

#[test]
fn garbage_on_the_mqtt_port_disturbs_nobody() {
    let mut server = pigeonloft!().start();
    let app = server.app("android");
    let (pid, mqtt) = (server.pid(), server.mqtt());
    let (_fleet, phones) = Fleet::of(&server, [app.register_device(Some("ann"))]);
    let connect = b"\x10\x10\0\x04MQTT\x04\x02\0\x3c\0\x04abcd";
    for seed in 0..30 {
        send(mqtt, &noise(seed, 65_536));
        // As the rest of a packet that begins well, and after one that is whole.
        send(mqtt, &[&connect[..8], &noise(seed, 4096)].concat());
        send(mqtt, &[&connect[..], &noise(seed, 4096)].concat());
    }
    for bytes in [
        &b"\x10\xff\xff\xff\x7f"[..],
        b"\x10\xff\xff\xff\xff\xff",
        b"\x10\0",
        b"\x30\x03\0\x01a",
        b"\xc0\0".repeat(100_000).as_slice(),
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        send(mqtt, bytes);
    }
    let push_id = app.pushed(json!({ "audience_type": "account", "account_list": ["ann"] }));
    assert_eq!(phones[0].wait_for_messages(1)[0].push_id, push_id);
    assert_well(&mut server, &app, pid);
}

/// Whether the server closes this connection, with or without a word, while it would wait for more.
fn is_closed(stream: &mut TcpStream) -> bool {
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).map_or_else(|error| error.kind() == std::io::ErrorKind::ConnectionReset, |_| true)
}

/// Whether the connection gets an answer to a request.
fn answers(stream: &mut TcpStream) -> bool {
    if stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").is_err() {
        return false;
    }
    let mut heard = Vec::new();
    let mut piece = [0; 1024];
    while !heard.ends_with(b"\r\n\r\nok\n") {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return false,
            Ok(length) => heard.extend_from_slice(&piece[..length]),
        }
    }
    true
}

#[test]
fn one_address_has_so_many_connections_and_no_more() {
    let server = pigeonloft!().set("http.connections_per_address", 4).set("mqtt.connections_per_address", 4).start();
    let app = server.app("android");
    let mut open: Vec<TcpStream> = Vec::new();
    until("all places are taken", || {
        let mut stream = raw::connect(server.http());
        let has_place = answers(&mut stream);
        open.push(stream);
        (!has_place).then_some(())
    });
    open.pop();
    // One place may be that of an earlier call, which keeps its connection.
    assert!((3..=4).contains(&open.len()), "{}", open.len());
    drop(open.pop());
    until("a place is free again", || answers(&mut raw::connect(server.http())).then_some(()));
    assert!(open.iter_mut().all(answers), "the others kept theirs");

    let devices = [(); 4].map(|()| app.register_device(None));
    let (_fleet, phones) = Fleet::of(&server, devices);
    assert!(is_closed(&mut raw::connect(server.mqtt())), "a fifth is closed at once");
    phones[0].leave();
    let again = Phone::new(phones[0].device().clone());
    let fleet = Fleet::new(server.mqtt());
    until("its place is free again", || {
        fleet.connect(&again, Habit::Acknowledges);
        until("it is decided", || Some(again.state()).filter(|state| *state != State::Connecting));
        (again.state() == State::Online).then_some(())
    });
}

#[test]
fn a_client_that_does_not_get_on_is_sent_away() {
    let server = pigeonloft!()
        .set("http.header_timeout_s", 1)
        .set("http.body_idle_timeout_s", 1)
        .set("mqtt.connect_timeout_s", 1)
        .start();
    let app = server.app("android");
    let mut half_a_head = raw::connect(server.http());
    half_a_head.write_all(b"GET /healthz HTTP/1.1\r\nHost:").expect("the server reads");
    let mut nothing = raw::connect(server.mqtt());
    let mut half_a_packet = raw::connect(server.mqtt());
    half_a_packet.write_all(b"\x10\x10\0\x04MQTT").expect("the server reads");
    let form = Form::of_file("list.txt", "ab\n".repeat(1 << 18).as_bytes());
    let mut half_a_body = raw::connect(server.http());
    half_a_body.write_all(raw::upload_head(&app, &form).as_bytes()).expect("the server reads");
    half_a_body.write_all(&form.body()[..1 << 19]).expect("the server reads");

    assert!(is_closed(&mut half_a_head), "half a head");
    assert!(is_closed(&mut nothing), "nothing");
    assert!(is_closed(&mut half_a_packet), "half a packet");
    let answer = raw::answer(&mut half_a_body).expect("an upload is answered");
    assert_refused(&answer.json(), 1_008_011, "1 s");
    assert_eq!(server.package_files(), Vec::<String>::new());
}
