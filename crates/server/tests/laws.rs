//! Laws that hold whatever goes wrong beside them: each file has its row, and a trouble that passes ends no push.

use std::io::Write;
use std::time::{Duration, Instant};

use pigeonloft_testkit::{App, Fleet, Form, Habit, Phone, Server, pigeonloft, raw, until};
use serde_json::json;

fn packages(app: &App) -> usize {
    let (status, page) = app.own("GET", "/v1/packages?limit=1000");
    assert_eq!(status, 200);
    page["packages"].as_array().expect("a page").len()
}

/// The files of packages, once no upload is under way.
fn settled_files(server: &Server) -> usize {
    let mut before = (0, Instant::now());
    until("the packages folder is quiet", || {
        let files = server.package_files();
        let under_way = files.iter().any(|name| name.starts_with('.'));
        if under_way || files.len() != before.0 {
            before = (files.len(), Instant::now());
        }
        (before.1.elapsed() > Duration::from_millis(500)).then_some(files.len())
    })
}

#[test]
fn an_upload_whose_client_leaves_before_the_answer_leaves_a_file_with_its_row_or_none() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let rows: String = (0..100_000).map(|row| format!("account{row:06}\n")).collect();
    let form = Form::of_file("audience.txt", rows.as_bytes());
    let request = [raw::upload_head(&app, &form).as_bytes(), &form.body()].concat();
    let mut patience = Duration::ZERO;
    for upload in 0..12 {
        let mut stream = raw::connect(server.http());
        stream.write_all(&request).expect("the server reads");
        // Leaves a little later each time: while the rows are sorted, written, synced and named.
        std::thread::sleep(patience);
        patience += Duration::from_millis(15);
        if upload % 2 == 0 {
            raw::reset(stream);
        }
    }
    let files = settled_files(&server);
    assert_eq!(files, packages(&app), "{:?}", server.package_files());
    assert!(files > 0, "what was sent whole was kept");
}

#[test]
fn a_package_that_cannot_be_read_for_a_while_fails_no_push() {
    let data = tempfile::tempdir().expect("a folder can be made");
    let server = pigeonloft!().data_dir(data.path()).start();
    let app = server.app("android");
    let _ann = app.register_device(Some("ann"));
    let upload_id = app.uploaded(["ann", "bob"]);
    let file = data.path().join("packages").join(&server.package_files()[0]);
    let aside = file.with_extension("aside");
    std::fs::rename(&file, &aside).expect("it can be renamed");
    // A link to itself is there and cannot be opened: as good as a disk that fails for a while.
    std::os::unix::fs::symlink(&file, &file).expect("a link can be made");

    let push_id = app.pushed(json!({ "audience_type": "package_account_push", "upload_id": upload_id }));
    until("the push has stopped once", || server.log().contains("it is taken up again").then_some(()));
    let trouble = app.progress(&push_id)["trouble"].clone();
    assert!(trouble["error"].as_str().is_some_and(|error| error.contains("package")), "{trouble}");
    assert!(trouble["failures"].as_u64() >= Some(1) && trouble["next_try_in_seconds"].is_u64(), "{trouble}");
    std::fs::remove_file(&file).expect("it is there");
    std::fs::rename(&aside, &file).expect("it can be renamed");
    let (state, push) = until("the push ends", || {
        let (_, push) = app.own("GET", &format!("/v1/pushes/{push_id}"));
        let state = push["state"].as_str().expect("a state").to_owned();
        ["PUSH_FINISHED", "PUSH_FAILED"].contains(&state.as_str()).then_some((state, push))
    });
    assert_eq!(
        (state.as_str(), &push["rows_done"], &push["targets"]),
        ("PUSH_FINISHED", &json!(2), &json!(1)),
        "{push}"
    );
    assert_eq!(push["trouble"], json!(null));
}

#[test]
fn a_small_push_waits_for_no_large_one_to_end_however_many_there_are() {
    let server = pigeonloft!()
        .set("push.running", 2)
        .set("push.batch_rows", 1)
        .set("push.batches_in_flight", 1)
        .set("push.ack_wait_ms", 1000)
        .start();
    let app = server.app("android");
    let _ann = app.register_device(Some("ann"));
    // A batch is one device, and nobody acknowledges: a large push lasts for twenty seconds.
    let accounts: Vec<String> = (0..20).map(|place| format!("account{place:02}")).collect();
    let phones: Vec<Phone> = app.import_devices(&server, &accounts).into_iter().map(Phone::new).collect();
    let fleet = Fleet::new(server.mqtt());
    fleet.online(&phones, Habit::NeverAcknowledges);
    let upload_id = app.uploaded(&accounts);
    let large = json!({ "audience_type": "package_account_push", "upload_id": upload_id });
    let large = [app.pushed_in_turn(&large), app.pushed_in_turn(&large)];
    let small = app.pushed(json!({ "audience_type": "account", "account_list": ["ann"] }));

    let push = |push_id: &str| app.own("GET", &format!("/v1/pushes/{push_id}")).1;
    until("the small push is finished", || (push(&small)["state"] == "PUSH_FINISHED").then_some(()));
    for push_id in large {
        assert_ne!(push(&push_id)["state"], "PUSH_FINISHED");
    }
}
