//! Calls that are repeated under an `Idempotency-Key`: done once, and answered as the first time.

use std::thread;
use std::time::Duration;

use pigeonloft_testkit::{App, Fleet, Form, assert_refused, pigeonloft, until};
use serde_json::{Value, json};

const HEADER: &str = "Idempotency-Key";

/// The answer, and whether it is that of an earlier call.
type Told = (Value, bool);

fn told(answer: ureq::http::Response<Value>) -> Told {
    assert_eq!(answer.status(), 200);
    let replayed = answer.headers().get("idempotent-replayed").is_some_and(|value| value == "true");
    (answer.into_body(), replayed)
}

fn push(app: &App, key: &str, body: &Value) -> Told {
    told(app.request("POST", "/v3/push/app", &[(HEADER, key)], body.to_string()))
}

fn upload(app: &App, key: &str, form: &Form) -> Told {
    let headers = [(HEADER, key), ("Content-Type", &form.content_type())];
    told(app.request("POST", "/v3/push/package/upload", &headers, form.body()))
}

fn to_account(account: &str, title: &str) -> Value {
    json!({
        "audience_type": "account", "account_list": [account], "message_type": "notify", "message": { "title": title },
    })
}

/// How many pushes were made so far: their ids follow one another.
fn pushes(app: &App, account: &str) -> u64 {
    let next = app.pushed(json!({ "audience_type": "account", "account_list": [account] }));
    next.parse::<u64>().expect("a number") - 1
}

#[test]
fn a_push_that_is_repeated_with_its_key_reaches_the_device_once() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let device = app.register_device(Some("ann"));
    let body = to_account("ann", "paid");

    let (first, replayed) = push(&app, "order-7", &body);
    assert_eq!((&first["ret_code"], replayed), (&json!(0), false), "{first}");
    for _ in 0..3 {
        assert_eq!(push(&app, "order-7", &body), (first.clone(), true), "word for word");
    }
    let (second, replayed) = push(&app, "order-8", &body);
    assert!(second["push_id"] != first["push_id"] && !replayed, "another key is another push");
    assert_eq!(pushes(&app, "ann"), 2);

    let (_fleet, phones) = Fleet::of(&server, [device]);
    let count = |answer: &Value| phones[0].of_push(answer["push_id"].as_str().unwrap()).1;
    until("both are there", || (count(&first) > 0 && count(&second) > 0).then_some(()));
    assert_eq!((count(&first), count(&second)), (1, 1));
}

#[test]
fn a_repeat_is_no_second_push_to_a_package_within_a_second() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let upload_id = app.uploaded(["ann", "bob"]);
    let body = json!({
        "audience_type": "package_account_push", "upload_id": upload_id, "message_type": "notify",
        "message": { "title": "sale" }, "seq": 5,
    });
    let (first, _) = push(&app, "sale", &body);
    assert_eq!(first["ret_code"], 0, "{first}");
    assert_eq!(push(&app, "sale", &body), (first, true));
    assert_refused(&push(&app, "another", &body).0, 1_008_028, "repeat this one");
}

#[test]
fn a_repeat_is_no_second_message_to_all_within_an_hour() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let _ = app.register_device(None);
    let body = json!({ "audience_type": "all", "message_type": "notify", "message": { "title": "sale" } });
    let (first, _) = push(&app, "sale", &body);
    assert_eq!(first["ret_code"], 0, "{first}");
    assert_eq!(push(&app, "sale", &body), (first.clone(), true));
    let other = until("it is the app's turn", || {
        Some(push(&app, "another", &body).0).filter(|answer| answer["ret_code"] != 1_008_028)
    });
    assert_refused(&other, 10_010_018, "same message");
    assert_eq!(push(&app, "sale", &body), (first, true));
}

#[test]
fn a_key_stands_for_one_body_of_one_call_of_one_app() {
    let server = pigeonloft!().start();
    let (app, other) = (server.app("android"), server.app("android"));
    for app in [&app, &other] {
        let _ = app.register_device(Some("ann"));
    }
    let (first, _) = push(&app, "k", &to_account("ann", "one"));
    let text = "the Idempotency-Key header is invalid: ";
    assert_refused(&push(&app, "k", &to_account("ann", "two")).0, 1_008_007, text);
    let (of_other, replayed) = push(&other, "k", &to_account("ann", "two"));
    assert!(of_other["ret_code"] == 0 && !replayed && of_other["push_id"] != first["push_id"], "{of_other}");
    let (uploaded, replayed) = upload(&app, "k", &Form::of_file("rows.txt", b"ann\n"));
    assert!(uploaded["retCode"] == 0 && !replayed, "{uploaded}");
}

#[test]
fn what_was_refused_may_succeed_when_it_is_repeated() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let body = to_account("ann", "hello");
    for _ in 0..2 {
        let (refused, replayed) = push(&app, "k", &body);
        assert_refused(&refused, 10_010_005, "no device of this app is bound");
        assert!(!replayed);
    }
    let _ = app.register_device(Some("ann"));
    let (answer, replayed) = push(&app, "k", &body);
    assert_eq!((&answer["ret_code"], replayed), (&json!(0), false), "{answer}");

    let bad = Form::of_file("rows.txt", b"a\n");
    assert_refused(&upload(&app, "u", &bad).0, 1_008_007, "1 bad row");
    server.run(["app", "set", "--access-id", &app.access_id.to_string(), "--bad-rows", "skip"]);
    let good = Form::of_file("rows.txt", b"ann\n");
    assert_eq!(upload(&app, "u", &good).0["retCode"], 0, "a key of what was refused is free");
}

#[test]
fn a_file_that_is_uploaded_again_with_its_key_is_kept_once() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let rows: String = (0..20_000).map(|n| format!("account {n}\n")).collect();
    let form = Form::of_file("rows.txt", rows.as_bytes());
    let (first, replayed) = upload(&app, "march", &form);
    assert_eq!((&first["retCode"], replayed), (&json!(0), false), "{first}");
    let files = server.package_files();

    // Between other fields, and with another boundary, as a client makes one each time.
    let again = Form::default().with_boundary("another-boundary").field("a", "b");
    let again = again.file("file", "C:\\lists\\rows.txt", rows.as_bytes()).field("c", "d");
    assert_eq!(upload(&app, "march", &again), (first.clone(), true));
    assert_eq!(server.package_files(), files, "nothing of it is on the disk");

    let text = "the Idempotency-Key header is invalid: ";
    for (name, content) in [("rows.txt", &rows[1..]), ("other.txt", &rows[..])] {
        let answer = upload(&app, "march", &Form::of_file(name, content.as_bytes())).0;
        assert_refused(&answer, 1_008_007, text);
    }
    assert_refused(&upload(&app, "march", &Form::default().field("a", "b")).0, 1_008_002, "file");
    assert_eq!(app.own("GET", "/v1/packages").1["packages"].as_array().map(Vec::len), Some(1));
    assert_ne!(upload(&app, "april", &form).0["uploadId"], first["uploadId"]);
    assert!((server.metric("pigeonloft_uploads_total", "result=\"replayed\"") - 1.0).abs() < 0.1);
}

#[test]
fn of_many_at_once_with_one_key_one_is_done() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let _ = app.register_device(Some("ann"));
    let at_once = |call: &(dyn Fn() -> Value + Sync)| -> Vec<Value> {
        thread::scope(|scope| {
            let calls: Vec<_> = (0..6).map(|_| scope.spawn(call)).collect();
            calls.into_iter().map(|call| call.join().expect("an answer")).collect()
        })
    };
    let body = to_account("ann", "at once");
    let answers = at_once(&|| push(&app, "k", &body).0);
    assert!(answers.iter().all(|answer| *answer == answers[0] && answer["ret_code"] == 0), "{answers:?}");
    assert_eq!(pushes(&app, "ann"), 1);

    let rows: String = (0..20_000).map(|n| format!("account {n}\n")).collect();
    let form = Form::of_file("rows.txt", rows.as_bytes());
    let answers = at_once(&|| upload(&app, "k", &form).0);
    assert!(answers.iter().all(|answer| *answer == answers[0] && answer["retCode"] == 0), "{answers:?}");
    until("the files of the others are gone", || (server.package_files().len() == 1).then_some(()));

    let body = json!({
        "audience_type": "package_account_push", "upload_id": answers[0]["uploadId"], "message_type": "notify",
        "message": { "title": "at once" },
    });
    let answers = at_once(&|| push(&app, "package", &body).0);
    let (first, _) = push(&app, "package", &body);
    assert_eq!(first["ret_code"], 0, "{first}");
    let as_documented = |answer: &Value| *answer == first || answer["ret_code"] == 1_008_028;
    assert!(answers.iter().all(as_documented) && answers.contains(&first), "{answers:?}");
    assert_eq!(pushes(&app, "ann"), 3);
}

#[test]
fn after_a_kill_the_answer_is_there_with_the_push_or_neither_is() {
    let mut server = pigeonloft!().start();
    let app = server.app("android");
    let _ = app.register_device(Some("ann"));
    let form = Form::of_file("rows.txt", b"ann\nbob\n");
    let mut made = 0;
    for round in 0..6_u64 {
        let (key, body) = (format!("round {round}").replace(' ', "-"), to_account("ann", &format!("round {round}")));
        thread::scope(|scope| {
            let call = || app.try_request("POST", "/v3/push/app", &[(HEADER, &key)], body.to_string());
            let kept = || {
                let headers = [(HEADER, key.as_str()), ("Content-Type", &form.content_type())];
                app.try_request("POST", "/v3/push/package/upload", &headers, form.body())
            };
            let calls = [scope.spawn(call), scope.spawn(call), scope.spawn(kept), scope.spawn(kept)];
            thread::sleep(Duration::from_millis(2 * round));
            server.kill9();
            for call in calls {
                // Most of them hear nothing.
                let _ = call.join();
            }
        });
        server.restart();
        let (answer, _) = push(&app, &key, &body);
        assert_eq!(answer["ret_code"], 0, "{answer}");
        assert_eq!(push(&app, &key, &body), (answer, true));
        made += 1;
        assert_eq!(pushes(&app, "ann"), made, "round {round}");
        made += 1;
        let (answer, _) = upload(&app, &key, &form);
        assert_eq!(answer["retCode"], 0, "{answer}");
        assert_eq!(upload(&app, &key, &form), (answer, true));
        let packages = app.own("GET", "/v1/packages").1["packages"].as_array().map(Vec::len);
        assert_eq!((packages, server.package_files().len() as u64), (Some(round as usize + 1), round + 1));
    }
}

#[test]
fn an_answer_is_kept_for_as_long_as_the_settings_say() {
    let server = pigeonloft!().set("http.idempotency_s", 1).start();
    let app = server.app("android");
    let _ = app.register_device(Some("ann"));
    let body = to_account("ann", "again");
    let (first, _) = push(&app, "k", &body);
    let later = until("it is forgotten", || Some(push(&app, "k", &body)).filter(|(_, replayed)| !replayed));
    assert_ne!(later.0["push_id"], first["push_id"]);
    assert_eq!(push(&app, "k", &body), (later.0, true), "the later one is kept in its place");
}

#[test]
fn a_key_is_a_few_visible_characters_given_once() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let _ = app.register_device(Some("ann"));
    let body = to_account("ann", "hello");
    let longest = "~!".repeat(127) + "k";
    assert_eq!(push(&app, &longest, &body).0["ret_code"], 0, "255 characters");
    let text = "the Idempotency-Key header is invalid: ";
    for key in ["", "two words", &format!("{longest}k")] {
        assert_refused(&push(&app, key, &body).0, 1_008_007, text);
        assert_refused(&upload(&app, key, &Form::of_file("rows.txt", b"ann\n")).0, 1_008_007, text);
    }
    let twice = [(HEADER, "a"), (HEADER, "b")];
    assert_refused(&told(app.request("POST", "/v3/push/app", &twice, body.to_string())).0, 1_008_007, text);
}
