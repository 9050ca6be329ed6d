//! What happens to a server where it runs: its disk fills up, it is asked to stop at the wrong moment, somebody looks
//! how it is.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use pigeonloft_testkit::program::{require, run};
use pigeonloft_testkit::{Fleet, Form, Habit, Phone, assert_refused, pigeonloft, raw, until};
use serde_json::{Value, json};
use tempfile::TempDir;

fn rows(bytes: usize) -> Vec<u8> {
    (0..).flat_map(|place: u32| format!("{place:07}\n").into_bytes()).take(bytes).collect()
}

fn to_ann() -> Value {
    json!({ "audience_type": "account", "account_list": ["ann"], "account_push_type": 1 })
}

/// A disk of a few megabytes, in memory. Mounting needs root.
struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    fn mount(megabytes: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let size = format!("size={megabytes}m");
        let mount = require("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).output();
        let mount = mount.expect("mount can be run");
        let why = String::from_utf8_lossy(&mount.stderr);
        assert!(mount.status.success(), "this test mounts a tmpfs, which needs root: run it as root. {why}");
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Fills it up but for so many bytes.
    fn fill_but(&self, left: usize) {
        let mut file = fs::File::create(self.filler()).expect("a file can be made");
        let piece = [7; 4096];
        while file.write(&piece).is_ok_and(|written| written > 0) {}
        let length = file.metadata().expect("it is there").len();
        file.set_len(length.saturating_sub(left as u64)).expect("it can be cut");
    }

    fn make_room(&self) {
        fs::remove_file(self.filler()).expect("it is there");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the server may still be ending.
        let _ = require("umount").arg("-l").arg(self.path()).status();
    }
}

#[test]
fn a_full_disk_refuses_uploads_and_leaves_nothing_until_there_is_room_again() {
    let disk = SmallDisk::mount(48);
    let server = pigeonloft!().data_dir(disk.path()).set("package.sort_memory_bytes", 65_536).start();
    let app = server.app("android");
    let kept = app.uploaded(["ann", "bob"]);
    disk.fill_but(1 << 20);
    for _ in 0..3 {
        let answer = app.upload("list.txt", rows(8 << 20));
        assert_refused(&answer, 1_008_011, "disk is full");
        assert_eq!(server.package_files().len(), 1, "nothing of it is left: {:?}", server.package_files());
    }
    assert_eq!(app.own("GET", &format!("/v1/packages/{kept}")).0, 200, "what was kept is still there");
    disk.make_room();
    let answer = app.upload("list.txt", rows(8 << 20));
    assert_eq!(answer["retCode"], 0, "{answer}");
    assert_eq!(server.package_files().len(), 2);
}

#[test]
fn a_push_that_meets_a_full_disk_goes_on_when_there_is_room_again() {
    let disk = SmallDisk::mount(32);
    let server =
        pigeonloft!().data_dir(disk.path()).set("push.batch_rows", 10).set("push.batches_in_flight", 1).start();
    let app = server.app("android");
    let accounts: Vec<String> = (0..2000).map(|place| format!("account-{place:04}")).collect();
    let phones: Vec<Phone> = app.import_devices(&server, &accounts).into_iter().map(Phone::new).collect();
    let fleet = Fleet::new(server.mqtt());
    // One of a hundred takes its time, so that the push lasts until the disk is full.
    let (stubborn, others): (Vec<_>, Vec<_>) = phones.chunks(100).map(|some| (&some[0], &some[1..10])).unzip();
    fleet.online(stubborn.iter().copied(), Habit::NeverAcknowledges);
    fleet.online(others.iter().copied().flatten(), Habit::Acknowledges);
    let upload_id = app.uploaded(&accounts);
    let push_id = app.pushed(json!({ "audience_type": "package_account_push", "upload_id": upload_id }));
    disk.fill_but(0);
    until("the server notices", || server.log().contains("could not be").then_some(()));
    let refused = app.push(to_ann());
    assert_ne!(refused["ret_code"], 0, "what cannot be kept is not accepted: {refused}");
    disk.make_room();
    let finished = app.finished(&push_id);
    assert_eq!(finished["targets"], accounts.len(), "{finished}");
    fleet.online(stubborn.iter().copied(), Habit::Acknowledges);
    until("every device online is counted", || (app.stat(&push_id)["arrivalUv"] == 200).then_some(()));
    for phone in stubborn.into_iter().chain(others.into_iter().flatten()) {
        assert_eq!(phone.of_push(&push_id).0.len(), 1);
    }
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
