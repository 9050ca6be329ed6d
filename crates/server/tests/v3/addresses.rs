//! Where an app's servers may call from.

use pigeonloft_testkit::raw::{self, connect};
use pigeonloft_testkit::{App, Form, Server, assert_refused, pigeonloft, until};
use serde_json::{Value, json};

fn allow(server: &Server, app: &App, action: &str, networks: &str) {
    server.run(["app", "allow-ip", "--app", &app.access_id.to_string(), action, networks]);
}

/// A call that is answered to everybody who may call.
fn asked(app: &App, headers: &[(&str, &str)]) -> Value {
    let body = json!({ "operator_type": 2, "token_list": [] }).to_string();
    app.request("POST", "/v3/device/account/query", headers, body).into_body()
}

fn is_let_in(answer: &Value) -> bool {
    answer["retCode"] != 1_008_003
}

#[test]
fn an_app_that_allows_addresses_takes_calls_from_no_other() {
    let server = pigeonloft!().start();
    let (app, other) = (server.app("android"), server.app("android"));
    allow(&server, &app, "add", "203.0.113.0/24");

    let text = "takes no calls from address 127.0.0.1: call from one that it allows";
    assert_refused(&asked(&app, &[]), 1_008_003, text);
    assert_refused(&app.push(json!({ "audience_type": "token", "token_list": ["x"] })), 1_008_003, text);
    assert_refused(&app.upload("rows.txt", vec![b'a'; 1 << 20]), 1_008_003, text);
    let (status, problem) = app.own("GET", "/v1/packages");
    assert_eq!((status, problem["detail"].as_str().is_some_and(|detail| detail.contains(text))), (401, true));

    let mut guessing = app.clone();
    guessing.secret_key = "guessed".into();
    assert_eq!(asked(&guessing, &[]), asked(&app, &[]), "who is elsewhere does not learn whether the secret is right");
    assert!(is_let_in(&asked(&other, &[])), "of another app nothing was said");
    let device = app.register_device(Some("ann"));
    assert_eq!(app.as_device(&device, "PATCH", "", &json!({})).0, 204, "devices are everywhere");

    allow(&server, &app, "add", "127.0.0.0/8");
    until("the running server follows", || is_let_in(&asked(&app, &[])).then_some(()));
    allow(&server, &app, "remove", "127.0.0.0/8");
    until("the running server follows", || (!is_let_in(&asked(&app, &[]))).then_some(()));
    allow(&server, &app, "remove", "203.0.113.0/24");
    until("with none in the list all may call", || is_let_in(&asked(&app, &[])).then_some(()));
}

#[test]
fn who_is_refused_for_its_address_is_so_before_it_sends_the_file() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    allow(&server, &app, "add", "203.0.113.7");
    let head = raw::upload_head(&app, &Form::of_file("rows.txt", b"ab\n"));
    let head = head.replacen("\r\n", "\r\nExpect: 100-continue\r\n", 1);
    let mut stream = connect(server.http());
    std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
    let answer = raw::answer(&mut stream).expect("an answer without the body");
    assert_refused(&answer.json(), 1_008_003, "takes no calls from address 127.0.0.1");
}

#[test]
fn behind_a_proxy_of_ours_the_address_it_speaks_for_counts() {
    let server = pigeonloft!()
        .set("http.trusted_proxies", "127.0.0.1, 10.0.0.0/8")
        .set("http.connections_per_address", 1)
        .set("device.registrations_per_second_per_address", 1)
        .set("device.registrations_burst_per_address", 1)
        .start();
    let app = server.app("android");
    allow(&server, &app, "add", "192.0.2.7");
    let _of_others_behind_it = [(); 3].map(|()| connect(server.http()));
    let from = |header: &str, text: &str| asked(&app, &[(header, text)]);

    assert!(is_let_in(&from("X-Forwarded-For", "192.0.2.7")));
    assert!(is_let_in(&from("X-Forwarded-For", "203.0.113.9, 192.0.2.7, 10.4.4.4")), "through two proxies");
    let forged = from("X-Forwarded-For", "192.0.2.7, 203.0.113.9");
    assert_refused(&forged, 1_008_003, "no calls from address 203.0.113.9");
    assert_refused(&from("Forwarded", "for=192.0.2.7"), 1_008_003, "no calls from address 127.0.0.1");

    let registered = |address: &str| {
        let (id, key) = (app.access_id.to_string(), app.access_key.clone());
        let headers = [("AccessId", id.as_str()), ("AccessKey", &key), ("X-Forwarded-For", address)];
        app.request("POST", "/v1/devices", &headers, "").status().as_u16()
    };
    let answers = ["203.0.113.1", "203.0.113.1", "203.0.113.2"].map(registered);
    assert_eq!(answers, [201, 429, 201], "each address has registrations of its own");
}

#[test]
fn the_header_of_the_standard_counts_where_the_settings_say_so() {
    let server =
        pigeonloft!().set("http.trusted_proxies", "127.0.0.1").set("http.forwarded_header", "forwarded").start();
    let app = server.app("android");
    allow(&server, &app, "add", "2001:db8::/32");
    assert!(is_let_in(&asked(&app, &[("Forwarded", "for=203.0.113.9, for=\"[2001:db8::7]:4711\";proto=https")])));
    assert!(!is_let_in(&asked(&app, &[("X-Forwarded-For", "2001:db8::7")])));
}

#[test]
fn who_is_no_proxy_of_ours_speaks_for_itself_alone() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    allow(&server, &app, "add", "192.0.2.7");
    let answer = asked(&app, &[("X-Forwarded-For", "192.0.2.7"), ("Forwarded", "for=192.0.2.7")]);
    assert_refused(&answer, 1_008_003, "no calls from address 127.0.0.1");
}
