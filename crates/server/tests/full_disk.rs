//! A full disk: what cannot be kept is refused with a code that says so, or waits; nothing is left half done, and all goes
//! on by itself once there is room.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use pigeonloft_testkit::program::{json_in, require, run};
use pigeonloft_testkit::{
    App, Builder, Fleet, Form, Habit, Phone, Server, SmallDisk, assert_refused, pigeonloft, raw, until,
};
use serde_json::{Value, json};

fn rows(bytes: usize) -> Vec<u8> {
    (0..).flat_map(|place: u32| format!("{place:07}\n").into_bytes()).take(bytes).collect()
}

fn to_ann() -> Value {
    json!({ "audience_type": "account", "account_list": ["ann"], "account_push_type": 1 })
}

/// A server on this disk whose uploads may take all of it.
fn on(disk: &SmallDisk) -> Builder {
    pigeonloft!().data_dir(disk.path()).set("package.disk_reserve_bytes", 0)
}

/// Fills the disk up, and waits until the database has room for nothing more. Answers the pushes it kept meanwhile.
fn fill(disk: &SmallDisk, app: &App) -> Vec<String> {
    let device = app.register_device(None);
    disk.fill_but(0);
    let kept = push_until_refused(app, &to_ann());
    // A push changes many pages. Where it does not fit any more, what a device says still may, as this does: one page.
    let mut change = 0;
    until("the smallest write is refused", || {
        change += 1;
        let channel = json!({ "channel": "fcm", "channel_token": format!("token {change}") });
        (app.as_device(&device, "PATCH", "", &channel).0 == 503).then_some(())
    });
    kept
}

/// Pushes until the database has noticed that the disk is full: what it has room for in its own files it still keeps.
/// Answers the pushes it kept.
fn push_until_refused(app: &App, push: &Value) -> Vec<String> {
    let mut kept = Vec::new();
    until("a push is refused", || {
        let answer = app.push(push.clone());
        if answer["ret_code"] == 0 {
            kept.push(answer["push_id"].as_str().expect("an id").to_owned());
            return None;
        }
        assert_refused(&answer, 1_008_004, "disk is full");
        Some(())
    });
    kept
}

/// Stops the server, has its data folder examined, and starts it again.
fn examine(server: &mut Server) {
    server.terminate();
    println!("{}", server.run(["doctor", "--check-only"]));
    server.restart();
}

#[test]
fn a_full_disk_refuses_uploads_and_leaves_nothing_until_there_is_room_again() {
    let disk = SmallDisk::mount(48);
    let server = on(&disk).set("package.sort_memory_bytes", 65_536).start();
    let app = server.app("android");
    let kept = app.uploaded(["ann", "bob"]);
    disk.fill_but(1 << 20);
    for _ in 0..3 {
        let answer = app.upload("list.txt", rows(3 << 20));
        assert_refused(&answer, 1_008_011, "disk is full");
        assert_eq!(server.package_files().len(), 1, "nothing of it is left: {:?}", server.package_files());
    }
    assert_eq!(app.own("GET", &format!("/v1/packages/{kept}")).0, 200, "what was kept is still there");
    disk.make_room();
    let answer = app.upload("list.txt", rows(3 << 20));
    assert_eq!(answer["retCode"], 0, "{answer}");
    assert_eq!(server.package_files().len(), 2);
}

#[test]
fn a_push_that_meets_a_full_disk_goes_on_when_there_is_room_again() {
    let disk = SmallDisk::mount(32);
    // A thousand commits: more than the room that the database's log has from the start.
    let server = on(&disk).set("push.batch_rows", 2).set("push.batches_in_flight", 1).start();
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
    // A call writes less than a batch, and may still fit where one did not.
    push_until_refused(&app, &json!({ "audience_type": "account", "account_list": ["account-0000"] }));
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
fn an_upload_whose_disk_fills_up_in_its_middle_is_refused_and_leaves_nothing() {
    let disk = SmallDisk::mount(48);
    let server = on(&disk).set("package.sort_memory_bytes", 65_536).start();
    let app = server.app("android");
    let zip = pigeonloft_package::corpus::zipped("list.txt", &rows(8 << 20));
    for (name, file) in [("list.txt", rows(3 << 20)), ("list.csv", rows(3 << 20)), ("list.zip", zip)] {
        let form = Form::of_file(name, &file);
        let body = form.body();
        let mut stream = raw::connect(server.http());
        stream.write_all(raw::upload_head(&app, &form).as_bytes()).expect("the server reads");
        stream.write_all(&body[..body.len() / 2]).expect("the server reads");
        disk.fill_but(64 << 10);
        // It may be refused before the rest is sent.
        let _ = stream.write_all(&body[body.len() / 2..]);
        let answer = raw::answer(&mut stream).expect("an answer, not a reset").json();
        assert_refused(&answer, 1_008_011, "disk is full");
        assert_eq!(server.package_files(), Vec::<String>::new(), "{name}");
        disk.make_room();
        let answer = app.upload_form(&form);
        assert_eq!(answer["retCode"], 0, "{name}: {answer}");
        assert_eq!(app.own("DELETE", &format!("/v1/packages/{}", answer["uploadId"])).0, 204);
    }
}

#[test]
fn what_devices_say_while_the_disk_is_full_waits_until_there_is_room() {
    let disk = SmallDisk::mount(16);
    let mut server = on(&disk).start();
    let app = server.app("android");
    let [reader, silent, leaver] = [(); 3].map(|()| Phone::new(app.register_device(Some("ann"))));
    let fleet = Fleet::new(server.mqtt());
    fleet.online([&reader], Habit::Acknowledges);
    fleet.online([&silent, &leaver], Habit::NeverAcknowledges);
    let push_id = app.pushed(to_ann());
    let _ = silent.wait_for_messages(1);
    until("one has arrived", || (app.finished(&push_id)["outcomes"]["arrived"] == 1).then_some(()));
    let before = app.progress(&push_id);
    let kept = fill(&disk, &app);

    std::thread::scope(|scope| {
        let receipt = scope.spawn(|| reader.report(&push_id, "shown"));
        // It says now that it has the message, and asks for its inbox: it is let in, or sent away to come again.
        fleet.stay(&silent, Habit::Acknowledges);
        until("what devices report cannot be written", || {
            server.log().contains("reports of devices could not be written").then_some(())
        });
        let (status, problem) = app.register(&json!({}));
        assert_eq!((status, problem["detail"].as_str().is_some_and(|text| text.contains("full"))), (503, true));
        let accounts = json!({ "accounts": [{ "account": "bob" }] });
        assert_eq!(app.as_device(leaver.device(), "PUT", "/accounts", &accounts).0, 503);
        assert_eq!(app.as_device(leaver.device(), "DELETE", "", &json!({})).0, 503);
        assert_refused(&app.upload("list.txt", rows(1 << 20)), 1_008_011, "disk is full");
        assert_refused(&app.upload("list.txt", "ab\ncd\n"), 1_008_011, "disk is full");
        // What is only read is answered as ever, and nothing has changed.
        assert_eq!(app.progress(&push_id), before);
        assert_eq!(app.own("GET", "/v1/packages").1["packages"], json!([]));
        assert!(!receipt.is_finished(), "what is not durable is not acknowledged");
        disk.make_room();
        receipt.join().expect("it is acknowledged");
    });
    until("what was said meanwhile is counted", || {
        let shown = app.progress(&push_id);
        (shown["outcomes"]["arrived"] == 2 && shown["receipts"]["shown"] == 1).then_some(())
    });
    assert_eq!(app.as_device(leaver.device(), "DELETE", "", &json!({})).0, 204);
    assert_eq!(app.progress(&push_id)["outcomes"]["gone"], 1);
    assert_eq!(app.upload("list.txt", "ab\ncd\n")["retCode"], 0);
    let _ = app.register_device(Some("ann"));
    for push_id in kept {
        let _ = app.finished(&push_id);
    }
    examine(&mut server);
}

#[test]
fn a_disk_that_fills_up_again_and_again_costs_no_push_and_no_sum() {
    const PHONES: usize = 20;
    let disk = SmallDisk::mount(24);
    let mut server = on(&disk).set("push.batch_rows", 3).set("push.ack_wait_ms", 50).start();
    let app = server.app("android");
    let accounts: Vec<String> = (0..PHONES).map(|place| format!("phone-{place:02}")).collect();
    let phones: Vec<Phone> = app.import_devices(&server, &accounts).into_iter().map(Phone::new).collect();
    let fleet = Fleet::new(server.mqtt());
    phones.iter().for_each(|phone| fleet.stay(phone, Habit::Shows));
    let (is_over, given) =
        (AtomicBool::new(false), json!({ "audience_type": "account_list", "account_list": accounts }));
    let pushes: Vec<String> = std::thread::scope(|scope| {
        let pushing = scope.spawn(|| {
            let mut pushes = Vec::new();
            while !is_over.load(Ordering::Acquire) {
                let answer = app.push(given.clone());
                match answer["ret_code"].as_i64() {
                    Some(0) => pushes.push(answer["push_id"].as_str().expect("an id").to_owned()),
                    _ => assert_refused(&answer, 1_008_004, "full"),
                }
            }
            pushes
        });
        for round in 0..8 {
            // Some leave room for a part of what is written next: it is cut off at another place each time.
            disk.fill_but(round % 4 * 20_000);
            let failed = server.log().matches("was not committed").count();
            until("a group of writes is lost", || {
                (server.log().matches("was not committed").count() > failed).then_some(())
            });
            disk.make_room();
            let kept = server.metric("pigeonloft_pushes_accepted_total", "");
            until("pushes are kept again", || {
                (server.metric("pigeonloft_pushes_accepted_total", "") > kept).then_some(())
            });
        }
        is_over.store(true, Ordering::Release);
        pushing.join().expect("it found nothing amiss")
    });
    println!("{} pushes were kept", pushes.len());
    for push_id in &pushes {
        assert_eq!(app.finished(push_id)["targets"], PHONES);
        until("every device has it, and has said so", || {
            let shown = app.progress(push_id);
            (shown["outcomes"]["arrived"] == PHONES && shown["receipts"]["shown"] == PHONES).then_some(())
        });
        assert!(phones.iter().all(|phone| phone.of_push(push_id).0.len() == 1));
    }
    examine(&mut server);
}

#[test]
fn a_server_killed_on_a_full_disk_goes_on_where_it_was_once_there_is_room() {
    let disk = SmallDisk::mount(16);
    let mut server = on(&disk).start();
    let app = server.app("android");
    let phone = Phone::new(app.register_device(Some("ann")));
    let mut pushes = vec![app.pushed(to_ann())];
    let upload_id = app.uploaded(["ann", "bob"]);
    pushes.extend(fill(&disk, &app));
    server.kill9();
    disk.make_room();
    server.restart();
    assert_eq!(app.own("GET", &format!("/v1/packages/{upload_id}")).1["rows"], 2);
    let fleet = Fleet::new(server.mqtt());
    fleet.online([&phone], Habit::Acknowledges);
    for push_id in &pushes {
        until("it has arrived", || (app.finished(push_id)["outcomes"]["arrived"] == 1).then_some(()));
    }
    assert_eq!(phone.messages().len(), pushes.len());
    examine(&mut server);
}

#[test]
fn uploads_leave_the_rest_of_a_nearly_full_disk_to_pushes_and_receipts() {
    const RESERVE: usize = 8 << 20;
    let disk = SmallDisk::mount(32);
    let server = on(&disk).set("package.disk_reserve_bytes", RESERVE).start();
    let app = server.app("android");
    let (_fleet, phones) = Fleet::of(&server, [app.register_device(Some("ann"))]);
    let upload_id = app.uploaded(["ann", "bob"]);
    // There is room for the file, and then there would not be enough for the others.
    disk.fill_but(RESERVE + (1 << 20));
    let form = Form::of_file("list.txt", &rows(2 << 20));
    assert_refused(&app.upload_form(&form), 1_008_011, "disk is nearly full");
    // Nobody knows how long this will be: it is stopped on its way.
    let mut curl = require("curl");
    let url = server.url("/v3/push/package/upload");
    let authorization = format!("Authorization: {}", app.basic());
    let file = disk.path().join("list.txt");
    std::fs::write(&file, rows(RESERVE)).expect("there is room");
    let field = format!("file=@{}", file.display());
    curl.args([
        "-sS",
        "--max-time",
        "60",
        "-H",
        &authorization,
        "-H",
        "Transfer-Encoding: chunked",
        "-F",
        &field,
        &url,
    ]);
    assert_refused(&json_in(&run(&mut curl)), 1_008_011, "disk is nearly full");
    assert_refused(&app.upload("list.txt", "ab\ncd\n"), 1_008_011, "disk is nearly full");
    assert_eq!(server.package_files().len(), 1);

    let push_id = app.pushed(json!({ "audience_type": "package_account_push", "upload_id": upload_id }));
    let _ = phones[0].wait_for_messages(1);
    phones[0].report(&push_id, "shown");
    assert_eq!(app.finished(&push_id)["receipts"]["shown"], 1);
    disk.make_room();
    assert_eq!(app.upload_form(&form)["retCode"], 0);
}
