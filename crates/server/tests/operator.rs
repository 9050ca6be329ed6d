//! What an operator reads: whether log lines and refusals to start say what happened and where.

use std::process::Command;

use pigeonloft_testkit::{pigeonloft, until};
use serde_json::json;

#[test]
fn a_start_says_what_started_where_and_how_many_pushes_go_on() {
    let mut server = pigeonloft!().start();
    let app = server.app("android");
    // Read in UTC+8, so some hours ahead wherever this runs.
    let tomorrow = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(32)).strftime("%F %T").to_string();
    let upload_id = app.uploaded(["ann".to_owned(), "bob".to_owned()]);
    let _ = app.pushed(json!({
        "audience_type": "package_account_push", "upload_id": upload_id, "send_time": tomorrow
    }));
    server.kill9();
    server.restart();
    let log = server.log();
    let started = log.lines().filter(|line| line.contains("started: ")).collect::<Vec<_>>();
    let [first, second] = started[..] else { panic!("two starts in: {log}") };
    assert!(first.contains("unfinished=0") && second.contains("unfinished=1"), "{started:?}");
    for says in [env!("CARGO_PKG_VERSION"), &server.data_dir().display().to_string()] {
        assert!(second.contains(says), "{says} in {second}");
    }
}

#[test]
fn every_outcome_is_in_the_metrics_those_of_deleted_devices_too() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let device = app.register_device(Some("ann"));
    let push_id = app.pushed(json!({ "audience_type": "account", "account_list": ["ann"] }));
    until("it waits for the device", || (app.progress(&push_id)["outcomes"]["waiting"] == 1).then_some(()));
    assert_eq!(app.as_device(&device, "DELETE", "", &json!({})).0, 204);
    let recipients = |outcome: &str| server.metric("pigeonloft_recipients_total", &format!("outcome=\"{outcome}\""));
    assert_eq!((recipients("waiting"), recipients("gone")), (1.0, 1.0));
    assert_eq!(server.metric("pigeonloft_inbox_messages", ""), 0.0);
}

#[test]
fn a_database_that_is_none_is_named_with_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("pigeonloft.db"), "not a database, but long enough to be taken for one").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_pigeonloft"))
        .args(["serve", "--listen", "127.0.0.1:0", "--mqtt-listen", "127.0.0.1:0", "--data-dir"])
        .arg(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let folder = folder.path().display().to_string();
    let told = said.lines().find(|line| line.starts_with("error: cannot serve: "));
    assert!(told.is_some_and(|line| line.contains(&folder) && line.contains("file is not a database")), "{said}");
}
