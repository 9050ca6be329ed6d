//! OpenAPI: what `/openapi.json` says of the calls is what is served, no more and no less.

mod clients;
mod fuzzed;

use std::net::SocketAddr;

use pigeonloft_testkit::raw::{Answer, exchange};
use pigeonloft_testkit::{Server, pigeonloft};
use serde_json::Value;

/// Methods a call could have.
const METHODS: &[&str] = &["get", "post", "put", "patch", "delete"];

/// The document, of a server that has just started.
fn document(server: &Server) -> Value {
    ask(server.http(), "GET", "/openapi.json").json()
}

fn ask(server: SocketAddr, method: &str, path: &str) -> Answer {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: loft\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    exchange(server, head.as_bytes()).expect("the server answers")
}

/// A path of the document, with something in place of its parameters.
fn filled(path: &str) -> String {
    path.replace("{id}", "1").replace("{token}", "0123456789abcdef0123456789abcdef0123")
}

fn paths(document: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    paths.iter().map(|(path, methods)| (path.as_str(), methods))
}

#[test]
fn every_described_call_answers_as_described_and_under_no_other_method() {
    let server = pigeonloft!().start();
    let document = document(&server);
    assert_eq!(document["openapi"], "3.1.0");
    for (path, methods) in paths(&document) {
        for method in METHODS {
            let answer = ask(server.http(), &method.to_uppercase(), &filled(path));
            let Some(responses) = methods[method]["responses"].as_object() else {
                assert_eq!(answer.status, 405, "{method} {path} is served and not described");
                continue;
            };
            let response = responses.get(&answer.status.to_string());
            let response =
                response.unwrap_or_else(|| panic!("{method} {path} answers {} beside those described", answer.status));
            let content = response["content"].as_object().expect("it has a body");
            let kind = answer.head.lines().find_map(|line| line.strip_prefix("content-type: ")).expect("a type");
            assert!(content.keys().any(|known| kind.starts_with(known)), "{method} {path}: {kind}");
        }
    }
    assert_eq!(ask(server.http(), "POST", "/v3/push/ap").status, 404);
}

#[test]
fn the_page_for_people_asks_for_nothing_but_itself() {
    let server = pigeonloft!().start();
    let page = ask(server.http(), "GET", "/docs");
    assert_eq!(page.status, 200);
    for line in ["content-type: text/html", "content-security-policy: default-src 'none'; style-src 'sha256-"] {
        assert!(page.head.contains(line), "{line} in {}", page.head);
    }
    assert!(!page.body.contains("src=") && !page.body.contains("<script") && !page.body.contains("<link"));
    for (path, _) in paths(&document(&server)) {
        assert!(page.body.contains(path), "{path}");
    }
}

#[test]
fn every_call_stands_in_the_written_documentation_too() {
    let written = include_str!("../../../../../docs/API.md");
    let server = pigeonloft!().start();
    for (path, _) in paths(&document(&server)) {
        let name = path.rsplit('/').find(|part| !part.starts_with('{')).expect("a part");
        assert!(written.contains(name), "docs/API.md says nothing of {path}");
    }
}
