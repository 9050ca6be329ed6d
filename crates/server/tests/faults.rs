//! What happens to a server where it runs: it is asked to stop at the wrong moment, somebody looks how it is.

use std::io::Write;

use pigeonloft_testkit::program::{require, run};
use pigeonloft_testkit::{Fleet, Form, pigeonloft, raw, until};
use serde_json::{Value, json};

fn rows(bytes: usize) -> Vec<u8> {
    (0..).flat_map(|place: u32| format!("{place:07}\n").into_bytes()).take(bytes).collect()
}

fn to_ann() -> Value {
    json!({ "audience_type": "account", "account_list": ["ann"], "account_push_type": 1 })
}

#[test]
fn an_upload_under_way_ends_well_though_the_server_is_asked_to_stop() {
    let mut server = pigeonloft!().start();
    let app = server.app("android");
    let form = Form::of_file("list.txt", &rows(8 << 20));
    let body = form.body();
    let mut stream = raw::connect(server.http());
    stream.write_all(raw::upload_head(&app, &form).as_bytes()).expect("the server reads");
    stream.write_all(&body[..body.len() / 2]).expect("the server reads");
    server.ask_to_stop();
    until("the server is stopping", || server.log().contains("no new work is taken").then_some(()));
    stream.write_all(&body[body.len() / 2..]).expect("the server reads on");
    let answer = raw::answer(&mut stream).expect("an answer").json();
    assert_eq!(answer["retCode"], 0, "{answer}");
    assert!(server.ended().success());
    server.restart();
    assert_eq!(app.own("GET", &format!("/v1/packages/{}", answer["uploadId"])).1["rows"], 1 << 20);
}

#[test]
fn an_upload_that_never_ends_does_not_keep_the_server_from_stopping() {
    let mut server = pigeonloft!().set("shutdown.grace_s", 2).start();
    let app = server.app("android");
    let form = Form::of_file("list.txt", &rows(8 << 20));
    let mut stream = raw::connect(server.http());
    stream.write_all(raw::upload_head(&app, &form).as_bytes()).expect("the server reads");
    stream.write_all(&form.body()[..1 << 20]).expect("the server reads");
    server.terminate();
    server.restart();
    assert_eq!(server.package_files(), Vec::<String>::new());
    assert_eq!(app.own("GET", "/v1/packages").1["packages"], json!([]));
}

#[test]
fn an_operator_sees_whether_the_server_lives_works_and_what_it_does() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let ask = |path: &str| run(require("curl").args(["-sS", "-w", " %{http_code}", &server.url(path)]));
    assert_eq!(ask("/healthz"), "ok\n 200");
    assert!(ask("/readyz").ends_with(" 200"), "{}", ask("/readyz"));
    assert!(ask("/v3/nothing").ends_with(" 404"), "{}", ask("/v3/nothing"));
    assert!(ask("/v3/push/app").ends_with(" 405"), "{}", ask("/v3/push/app"));

    let (_fleet, _phones) = Fleet::of(&server, [app.register_device(Some("ann"))]);
    let _away = app.register_device(Some("ann"));
    let upload_id = app.uploaded(["ann", "bob"]);
    let _ = app.upload("list.txt", "");
    let push_id = app.pushed(json!({
        "audience_type": "package_account_push", "upload_id": upload_id, "send_time": "",
    }));
    let _ = app.finished(&push_id);
    let all = app.pushed(to_ann());
    let _ = app.finished(&all);
    for (name, labels, least) in [
        ("pigeonloft_uploads_total", "accepted", 1.0),
        ("pigeonloft_uploads_total", "refused", 1.0),
        ("pigeonloft_upload_rows_total", "", 2.0),
        ("pigeonloft_pushes_accepted_total", "package_account_push", 1.0),
        ("pigeonloft_pushes_finished_total", "PUSH_FINISHED", 2.0),
        ("pigeonloft_recipients_total", "waiting", 2.0),
        ("pigeonloft_devices_connected", "", 1.0),
        ("pigeonloft_inbox_messages", "", 1.0),
        ("pigeonloft_http_request_seconds_count", "/v3/push/app", 2.0),
        ("pigeonloft_batch_seconds_count", "", 2.0),
    ] {
        until(&format!("{name} {labels} is at least {least}"), || (server.metric(name, labels) >= least).then_some(()));
    }
    assert_eq!(server.metric("pigeonloft_queue_age_seconds", ""), 0.0);
}
