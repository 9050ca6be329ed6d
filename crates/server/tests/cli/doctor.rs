//! `doctor`: whatever is broken in a folder that a real server has written is named, repaired where that is safe, and
//! the server runs on.

mod database;
mod files;
mod story;

use std::fs;
use std::io::Write;

use pigeonloft_testkit::{Fleet, Form, Habit, Phone, raw, until};
use rusqlite::Connection;
use serde_json::{Value, json};
use story::{DEVICES, Folder, OFFLINE, Story};

#[test]
fn of_a_folder_that_a_server_left_nothing_is_wrong() {
    let folder = Folder::copy();
    let (found, done) = folder.findings(&["--check-only"]);
    assert_eq!(found, Vec::<Value>::new());
    assert_eq!((&done["repaired"], &done["remain"]), (&json!(0), &json!(0)));
    let examined = done["examined"].clone();
    let counts = ["packages", "package_rows", "pushes", "recipients", "inbox"].map(|name| examined[name].clone());
    assert_eq!(counts, [1, DEVICES + 1, 2, DEVICES, OFFLINE].map(|count| json!(count)), "{examined}");
    let said = folder.doctor(&[]).ok();
    assert!(said.contains("packages: 1 with 7 rows, pushes: 2, recipients: 6, in inboxes: 2\n"), "{said}");
    assert!(said.ends_with("\nnothing is wrong\n"), "{said}");
}

#[test]
fn what_people_read_names_finding_repair_and_what_to_do() {
    let folder = Folder::copy();
    let package = folder.package();
    fs::remove_file(&package).unwrap();
    fs::write(folder.packages().join("0123.package"), "x").unwrap();
    let ran = folder.doctor(&[]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), ""));
    let connection = Connection::open(folder.database()).unwrap();
    let app: i64 = connection.query_row("SELECT access_id FROM app", [], |row| row.get(0)).unwrap();
    // Without what differs from run to run and from machine to machine.
    let lines = ran.stdout.lines().filter(|line| !line.contains("the disk has"));
    let said: Vec<&str> = lines.map(|line| line.split_once("-removed-").map_or(line, |(before, _)| before)).collect();
    let expected = [
        format!(
            "remains     packages: package 1 (\"list.txt\" of app {app}): its file is missing; unfinished pushes need it \
             and end PUSH_FAILED without it: 2"
        ),
        format!(
            "            to do: put packages/{} back from the backup, before the server starts; or upload the list \
             again, push to its new uploadId and remove the old one: DELETE /v1/packages/1",
            package.file_name().unwrap().display()
        ),
        "repaired    packages: packages/0123.package belongs to no package: it was moved to doctor".to_owned(),
    ];
    assert_eq!(said[..3], expected);
    assert!(said[3].starts_with("examined    database of "), "{said:?}");
    assert_eq!(said[4..], ["1 repaired, 1 to do"]);
}

#[test]
fn a_folder_is_not_examined_while_a_server_runs_on_it() {
    let server = pigeonloft_testkit::pigeonloft!().start();
    let folder = Folder::of(&server);
    for flags in [&[][..], &["--check-only"]] {
        let failed = folder.doctor(flags).failed();
        assert!(failed.starts_with("error: a server runs on the data folder "), "{failed}");
        assert!(failed.contains("hint: stop it first"), "{failed}");
    }
}

#[test]
fn a_server_runs_on_after_everything_that_can_be_repaired_was() {
    let mut story = Story::told();
    let folder = story.folder();
    folder.sql(
        "DELETE FROM inbox WHERE device_id = (SELECT min(device_id) FROM inbox);
         DELETE FROM recipient WHERE outcome = 0 AND device_id IN (SELECT device_id FROM inbox);
         INSERT INTO inbox VALUES (1, 77), (77, 1);
         UPDATE push SET arrived = 99 WHERE push_id = 1;
         UPDATE push SET rows_done = 1000, start_at_s = 1 WHERE push_id = 2",
    );
    let (found, done) = folder.findings(&[]);
    assert_eq!(done["remain"], 0, "{found:?}");
    story.server.restart();
    story.fleet.online(&story.phones, Habit::Acknowledges);
    for push_id in [story.push_id.as_str(), "2"] {
        let shown = until("every device has it", || {
            let shown = story.app.progress(push_id);
            (shown["outcomes"]["arrived"] == DEVICES).then_some(shown)
        });
        assert_eq!((&shown["targets"], &shown["rows_done"]), (&json!(DEVICES), &json!(DEVICES + 1)), "{shown}");
        for phone in &story.phones {
            assert_eq!(phone.of_push(push_id).1, 1, "{:?}", phone.messages());
        }
    }
    story.server.terminate();
    let (left, done) = folder.findings(&[]);
    assert_eq!(done["remain"], 0, "{left:?}");
    assert_eq!(done["repaired"], 0, "{left:?}");
}

#[test]
fn a_kill_in_the_middle_of_a_push_and_an_upload_leaves_nothing_wrong_but_a_file() {
    let settings = [("push.batch_rows", 10), ("push.batches_in_flight", 2), ("package.sort_memory_bytes", 65_536)];
    let server = settings.iter().fold(pigeonloft_testkit::pigeonloft!(), |server, (key, value)| server.set(key, value));
    let mut server = server.start();
    let app = server.app("android");
    let accounts: Vec<String> = (0..300).map(|place| format!("account-{place:03}")).collect();
    let phones: Vec<Phone> = app.import_devices(&server, &accounts).into_iter().map(Phone::new).collect();
    let fleet = Fleet::new(server.mqtt());
    // Some do not acknowledge, so that the batches with them take their time.
    let (stubborn, prompt): (Vec<_>, Vec<_>) = phones.chunks(10).map(|some| (&some[0], &some[1..6])).unzip();
    fleet.online(stubborn, Habit::NeverAcknowledges);
    fleet.online(prompt.into_iter().flatten(), Habit::Acknowledges);
    let upload_id = app.uploaded(&accounts);
    let form = Form::of_file("list.txt", &b"0123456\n".repeat(1 << 20));
    let mut upload = raw::connect(server.http());
    upload.write_all(raw::upload_head(&app, &form).as_bytes()).unwrap();
    upload.write_all(&form.body()[..4 << 20]).unwrap();
    let push_id = app.pushed(json!({ "audience_type": "package_account_push", "upload_id": upload_id }));
    until("some of it is done", || (app.progress(&push_id)["rows_done"].as_u64() > Some(0)).then_some(()));
    assert_eq!(app.progress(&push_id)["state"], "PUSH_STARTED", "it is killed in the middle");
    server.kill9();
    let (found, _) = Folder::of(&server).findings(&["--check-only"]);
    let of_upload = |finding: &&Value| finding["what"].as_str().unwrap().ends_with("is of an upload that never ended");
    assert_eq!(found.iter().find(|finding| !of_upload(finding)), None, "{found:?}");
}
