//! Uploads at their limits and cut off: what is too much is refused with a text that says so, and what does not end
//! leaves nothing behind, neither a package nor a file.

use std::fs;
use std::io::Write;

use pigeonloft_testkit::program::{json_in, python, require, run};
use pigeonloft_testkit::{App, Form, Server, assert_refused, pigeonloft, raw, until};
use serde_json::json;

fn rows(bytes: usize) -> Vec<u8> {
    (0..).flat_map(|place: u32| format!("{place:07}\n").into_bytes()).take(bytes).collect()
}

fn assert_nothing_is_left(server: &Server, app: &App) {
    until("nothing of the upload is left in the packages folder", || server.package_files().is_empty().then_some(()));
    assert_eq!(app.own("GET", "/v1/packages").1["packages"], json!([]));
}

#[test]
fn a_server_killed_in_the_middle_of_an_upload_has_no_orphan_after_its_next_start() {
    // Little memory to sort in: many pieces to merge once the file has come.
    let mut server = pigeonloft!().set("package.sort_memory_bytes", 65_536).start();
    let app = server.app("android");
    let kept = app.uploaded(["kept one", "kept two"]);
    let form = Form::of_file("list.txt", &rows(16 << 20));
    let request = [raw::upload_head(&app, &form).as_bytes(), &form.body()].concat();
    for sent in [request.len() / 2, request.len()] {
        let mut stream = raw::connect(server.http());
        stream.write_all(&request[..sent]).expect("the server reads");
        if sent == request.len() {
            until("the package is being written", || (server.package_files().len() > 1).then_some(()));
        }
        server.kill9();
        assert_eq!(raw::answer(&mut stream).map(|answer| answer.body), None, "killed before it could answer");
        server.restart();
        assert_eq!(server.package_files().len(), 1, "{:?}", server.package_files());
        let packages = app.own("GET", "/v1/packages").1["packages"].clone();
        assert_eq!(packages.as_array().map(Vec::len), Some(1), "{packages}");
        assert_eq!((&packages[0]["upload_id"], &packages[0]["rows"]), (&json!(kept), &json!(2)));
    }
    assert!(server.log().contains("files of uploads that never ended were removed"));
}

#[test]
fn an_answered_upload_survives_a_kill_that_follows_at_once() {
    let mut server = pigeonloft!().start();
    let app = server.app("android");
    let uploads: Vec<i64> = (0..3).map(|upload| app.uploaded([format!("row of {upload}"), "another".into()])).collect();
    server.kill9();
    server.restart();
    for upload_id in uploads {
        let (status, package) = app.own("GET", &format!("/v1/packages/{upload_id}"));
        assert_eq!((status, &package["rows"]), (200, &json!(2)), "{package}");
    }
    assert_eq!(server.package_files().len(), 3);
}

#[test]
fn a_form_without_the_one_file_is_refused() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let form = Form::default;
    for (form, code, says) in [
        (form(), 1_008_002, "file"),
        (form().field("fileName", "list.txt"), 1_008_002, "\"fileName\""),
        (form().file("upload", "list.txt", b"ab\ncd\n"), 1_008_002, "\"upload\""),
        (form().file("File", "list.txt", b"ab\ncd\n"), 1_008_002, "\"File\""),
        (form().file("file", "a.txt", b"ab\n").file("file", "b.txt", b"cd\n"), 1_008_007, "two"),
        (form().file("file", "", b"ab\n"), 1_008_007, "name"),
        (form().field("file", "ab\ncd\n"), 1_008_007, "name"),
        (form().file("file", "list.xlsx", b"ab\n"), 1_008_007, ".csv"),
        (form().file("file", "list.txt", b""), 1_008_012, "empty"),
        (form().file("file", "list.txt", b"\n \n"), 1_008_012, "no rows"),
    ] {
        assert_refused(&app.upload_form(&form), code, says);
    }
    assert_nothing_is_left(&server, &app);
}

#[test]
fn a_body_that_is_no_form_is_refused() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let ask = |content_type: &str, body: &str| {
        let request = format!(
            "POST /v3/push/package/upload HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nContent-Type: {content_type}\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            app.basic(),
            body.len()
        );
        raw::exchange(server.http(), request.as_bytes()).expect("an answer").json()
    };
    let part = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\nab\n";
    assert_refused(&ask("application/json", "{}"), 1_008_001, "multipart/form-data");
    assert_refused(&ask("multipart/form-data", part), 1_008_001, "boundary");
    assert_refused(&ask("multipart/form-data; boundary=b", "rows\n"), 1_008_001, "boundary");
    assert_refused(&ask("multipart/form-data; boundary=b", ""), 1_008_002, "empty");
    assert_refused(&ask("multipart/form-data; boundary=b", part), 1_008_011, "");
    assert_nothing_is_left(&server, &app);
}

#[test]
fn a_name_of_100_characters_is_taken_and_one_more_is_refused() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    for stem in ["a", "信"] {
        let name = |chars: usize| format!("{}.txt", stem.repeat(chars - 4));
        let answer = app.upload(&name(100), "ab\n");
        assert_eq!(answer["retCode"], 0, "{answer}");
        let (_, package) = app.own("GET", &format!("/v1/packages/{}", answer["uploadId"]));
        assert_eq!(package["file_name"], name(100));
        assert_refused(&app.upload(&name(101), "ab\n"), 1_008_007, "101 characters");
    }
}

#[test]
fn a_file_of_the_limit_is_taken_and_one_byte_more_is_refused() {
    const LIMIT: usize = 1 << 20;
    let server = pigeonloft!().set("package.file_bytes", LIMIT).start();
    let app = server.app("android");
    let answer = app.upload("list.txt", rows(LIMIT));
    assert_eq!(answer["retCode"], 0, "{answer}");
    let (_, package) = app.own("GET", &format!("/v1/packages/{}", answer["uploadId"]));
    assert_eq!((&package["bytes"], &package["rows"]), (&json!(LIMIT), &json!(LIMIT / 8)));
    assert_refused(&app.upload("list.txt", rows(LIMIT + 1)), 1_008_007, "larger than 1048576 bytes");
    assert_eq!(server.package_files().len(), 1);
}

#[test]
fn the_published_limit_is_104857600_bytes_and_the_answer_to_more_reaches_the_client() {
    const LIMIT: usize = 104_857_600;
    let server = pigeonloft!().start();
    let app = server.app("android");
    let folder = tempfile::tempdir().expect("a folder");
    let upload = |bytes: usize, expect: &str| {
        let path = folder.path().join("list.txt");
        // One row over and over: deduplicating is not what is measured here.
        fs::write(&path, b"0123456\n".iter().copied().cycle().take(bytes).collect::<Vec<u8>>()).expect("written");
        let mut curl = require("curl");
        curl.args(["-sS", "--max-time", "120", "-H", &format!("Authorization: {}", app.basic()), "-H", expect]);
        let form = format!("file=@{}", path.display());
        json_in(&run(curl.args(["-F", &form, &server.url("/v3/push/package/upload")])))
    };
    let answer = upload(LIMIT, "Expect: 100-continue");
    assert_eq!(answer["retCode"], 0, "{answer}");
    let (_, package) = app.own("GET", &format!("/v1/packages/{}", answer["uploadId"]));
    assert_eq!((&package["bytes"], &package["rows"]), (&json!(LIMIT), &json!(1)));
    assert_refused(&upload(LIMIT + 1, "Expect:"), 1_008_007, "larger than 104857600 bytes");
    assert_refused(&upload(LIMIT + 1, "Expect: 100-continue"), 1_008_007, "larger than 104857600 bytes");
    assert_eq!(server.package_files().len(), 1);
}

#[test]
fn a_body_ten_times_the_limit_is_refused_with_an_answer_that_curl_and_requests_can_read() {
    let server = pigeonloft!().set("package.file_bytes", 1 << 20).start();
    let app = server.app("android");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("list.txt");
    fs::write(&path, rows(10 << 20)).expect("written");
    let url = server.url("/v3/push/package/upload");
    for coding in ["Expect:", "Transfer-Encoding: chunked"] {
        let mut curl = require("curl");
        curl.args(["-sS", "--max-time", "120", "-H", &format!("Authorization: {}", app.basic()), "-H", coding]);
        let answer = json_in(&run(curl.args(["-F", &format!("file=@{}", path.display()), &url])));
        assert_refused(&answer, 1_008_007, "larger than 1048576 bytes");
    }
    let script = "import requests, sys\n\
                  file = {'file': open(sys.argv[4], 'rb')}\n\
                  print(requests.post(sys.argv[1], files=file, auth=tuple(sys.argv[2:4])).text)";
    let mut requests = python("requests");
    requests.args(["-c", script, &url, &app.access_id.to_string(), &app.secret_key]).arg(&path);
    assert_refused(&json_in(&run(&mut requests)), 1_008_007, "larger than 1048576 bytes");
    assert_nothing_is_left(&server, &app);
}
