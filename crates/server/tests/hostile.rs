//! Hostile clients: what one may cost the server, who has no credentials or only those every copy of an app holds.

use std::io::Write;
use std::net::TcpStream;
use std::time::{SystemTime, UNIX_EPOCH};

use pigeonloft_testkit::{Server, pigeonloft, raw, until};
use serde_json::json;

/// Largest body of a JSON call.
const JSON_BYTES: usize = 2 << 20;

/// A call with these header lines, whose body is complete but for its last byte.
fn unfinished_call(server: &Server, path: &str, credentials: &str) -> TcpStream {
    let mut stream = raw::connect(server.http());
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\n{credentials}Content-Length: {JSON_BYTES}\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("the server reads");
    stream.write_all(&vec![b' '; JSON_BYTES - 1]).expect("the server reads");
    stream
}

/// Resident memory of the server now, bytes.
fn memory(server: &Server) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
}

#[test]
fn the_body_of_a_caller_nobody_knows_is_not_held() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let before = memory(&server);
    let wrong = format!("AccessId: {}\r\nAccessKey: wrong\r\n", app.access_id);
    let calls: Vec<_> = (0..32)
        .flat_map(|_| [unfinished_call(&server, "/v3/push/app", ""), unfinished_call(&server, "/v1/devices", &wrong)])
        .collect();
    let grown = memory(&server).saturating_sub(before);
    assert!(grown < 32 * JSON_BYTES, "{} calls that know no secret hold {grown} bytes", calls.len());
}

#[test]
fn the_bodies_of_all_calls_share_the_memory_there_is_for_them() {
    let server = pigeonloft!().set("http.bodies_bytes", JSON_BYTES).start();
    let app = server.app("android");
    let known = format!("Authorization: {}\r\n", app.basic());
    let first = unfinished_call(&server, "/v3/push/app", &known);
    let ask = || app.call("/v3/push/app", &json!({}))["ret_code"].clone();
    until("the first call holds all of it", || (ask() == 1_008_004).then_some(()));
    drop(first);
    until("it gave its share back", || (ask() != 1_008_004).then_some(()));
}

#[test]
fn who_knows_an_access_id_alone_keeps_no_other_app_from_uploading() {
    // Silence is not what frees a turn here.
    let server = pigeonloft!().set("package.uploads_at_once", 2).set("http.body_idle_timeout_s", 600).start();
    let (watched, other) = (server.app("android"), server.app("android"));
    let stamp = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is right").as_secs();
    let request = format!(
        "POST /v3/push/package/upload HTTP/1.1\r\nHost: x\r\nAccessId: {}\r\nTimeStamp: {stamp}\r\nSign: none\r\n\
         Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {}\r\n\r\n\
         --b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\n",
        watched.access_id,
        64 << 20
    );
    let held: Vec<TcpStream> = (0..4)
        .map(|place| {
            let mut stream = raw::connect(server.http());
            stream.write_all(request.as_bytes()).expect("the server reads");
            if place == 0 {
                // More than the system keeps for who does not read: once it is sent, this upload has its turn.
                stream.write_all(&b"ab\n".repeat(8 << 20)).expect("the server reads");
            }
            stream
        })
        .collect();
    assert_eq!(other.upload("list.txt", "ab\ncd\n")["retCode"], 0, "while {} are open", held.len());
}
