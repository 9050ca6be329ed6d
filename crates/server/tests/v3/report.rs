//! The report of a push: a line for each device and for each row that named none, as csv and as Parquet.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::time::Duration;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use pigeonloft_testkit::{App, Device, Fleet, Habit, Phone, Server, pigeonloft, raw, until};
use serde_json::json;

const HEADER: &str = "token,account_type,account,channel,outcome,reason,code,sent_at,arrived_at,shown,clicked,cleared";

/// The lines of a csv after its header, by their columns.
fn lines(csv: &str) -> Vec<BTreeMap<String, String>> {
    assert!(csv.starts_with(&format!("{HEADER}\r\n")), "{csv}");
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    reader.deserialize().map(|line| line.expect("a line of the header's columns")).collect()
}

/// These columns of each line, in the order of the texts.
fn columns(csv: &str, names: &[&str]) -> Vec<String> {
    let of_line =
        |line: &BTreeMap<String, String>| names.iter().map(|name| &*line[*name]).collect::<Vec<_>>().join("|");
    let mut found: Vec<String> = lines(csv).iter().map(of_line).collect();
    found.sort();
    found
}

fn report(app: &App, push_id: &str, asked: &str) -> String {
    app.own_text(&format!("/v1/pushes/{push_id}/recipients.csv{asked}"))
}

/// A push to a package of accounts, of which ann's phone took and clicked it, bob's is offline, and two rows name nobody.
struct Story {
    server: Server,
    app: App,
    ann: Device,
    bob: Device,
    push_id: String,
}

impl Story {
    fn told() -> Self {
        let server = pigeonloft!().start();
        let app = server.app("android");
        let [ann, bob] = ["+8613800000000", "bob"].map(|account| app.register_device(Some(account)));
        let (_fleet, phones) = Fleet::of(&server, [ann.clone()]);
        let package = app.uploaded(["+8613800000000", "bob", "=1+1", "nobody, \"nowhere\""]);
        let push_id = app.pushed(json!({ "audience_type": "package_account_push", "upload_id": package }));
        let _ = phones[0].wait_for_messages(1);
        phones[0].report(&push_id, "clicked");
        let _ = app.finished(&push_id);
        until("ann's arrival is counted", || (app.progress(&push_id)["outcomes"]["arrived"] == 1).then_some(()));
        Self { server, app, ann, bob, push_id }
    }
}

#[test]
fn a_report_tells_of_each_device_and_of_each_row_that_names_none() {
    let Story { app, ann, bob, push_id, .. } = &Story::told();
    let csv = report(app, push_id, "");
    assert_eq!(
        columns(&csv, &["account_type", "account", "token", "channel", "outcome", "reason", "shown", "clicked"]),
        [
            format!("0|'+8613800000000|{}|xg|arrived||0|1", ann.token),
            "0|'=1+1|||no_device|the account is bound to no device|0|0".to_owned(),
            format!(
                "0|bob|{}|xg|waiting|it waits in the inbox until the device comes online, or the hours of the push begin|0|0",
                bob.token
            ),
            "0|nobody, \"nowhere\"|||no_device|the account is bound to no device|0|0".to_owned(),
        ]
    );
    let arrived = lines(&csv).into_iter().find(|line| line["outcome"] == "arrived").expect("ann's");
    for time in ["sent_at", "arrived_at"] {
        let shown = &arrived[time];
        assert!(shown.ends_with('Z') && shown.parse::<jiff::Timestamp>().is_ok(), "{shown}");
    }
    let waiting = lines(&csv).into_iter().find(|line| line["outcome"] == "waiting").expect("bob's");
    assert_eq!((&*waiting["sent_at"], &*waiting["arrived_at"]), ("", ""));
}

#[test]
fn a_report_has_the_outcomes_that_are_asked_for_and_texts_as_they_are() {
    let Story { app, push_id, .. } = &Story::told();
    let accounts = |asked: &str| columns(&report(app, push_id, asked), &["account", "outcome"]);
    assert_eq!(accounts("?outcome=waiting"), ["bob|waiting"]);
    assert_eq!(accounts("?outcome=arrived,waiting"), ["'+8613800000000|arrived", "bob|waiting"]);
    assert_eq!(
        accounts("?outcome=no_device&text=verbatim"),
        ["=1+1|no_device", "nobody, \"nowhere\"|no_device"],
        "what is to be uploaded again is asked for as it is"
    );
    assert_eq!(accounts("?outcome=expired"), Vec::<String>::new());
    for (asked, says) in [("?outcome=lost", "no_device"), ("?text=loud", "verbatim")] {
        let (status, problem) = app.own("GET", &format!("/v1/pushes/{push_id}/recipients.csv{asked}"));
        assert_eq!(status, 400, "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(says)), "{problem}");
    }
}

#[test]
fn a_report_of_tokens_names_the_rows_and_a_deleted_device_keeps_its_line() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let [here, deleted] = [(); 2].map(|()| app.register_device(Some("ann")));
    let unknown = "0".repeat(36);
    let package = app.uploaded([&here.token, &deleted.token, &unknown]);
    let push_id = app.pushed(json!({ "audience_type": "package_token_push", "upload_id": package }));
    let _ = app.finished(&push_id);
    assert_eq!(app.as_device(&deleted, "DELETE", "", &json!({})).0, 204);
    let nobody = "no device of the app has this token";
    let mut expected = [
        "||gone|the device was deleted while the message waited".to_owned(),
        format!("{}||no_device|{nobody}", deleted.token),
        format!("{unknown}||no_device|{nobody}"),
        format!(
            "{}|ann|waiting|it waits in the inbox until the device comes online, or the hours of the push begin",
            here.token
        ),
    ];
    expected.sort();
    let found = columns(&report(&app, &push_id, ""), &["token", "account", "outcome", "reason"]);
    assert_eq!(found, expected, "rows are asked as they are bound now: that of the deleted device names nobody");
}

#[test]
fn a_report_is_the_apps_own_and_outlives_its_package_but_for_the_rows_that_named_nobody() {
    let Story { server, app, push_id, .. } = &Story::told();
    let path = |asked: &str| format!("/v1/pushes/{push_id}/recipients.csv{asked}");
    assert_eq!(server.app("android").own("GET", &path("")).0, 404, "another app has no such push");
    assert_eq!(app.own("GET", "/v1/pushes/999/recipients.csv").0, 404);
    assert_eq!(app.own("DELETE", "/v1/packages/1").0, 204);
    assert_eq!(columns(&report(app, push_id, ""), &["outcome"]), ["arrived", "waiting"]);
    let (status, problem) = app.own("GET", &path("?outcome=no_device"));
    assert_eq!(status, 410, "{problem}");
}

#[test]
fn a_report_of_recipients_that_are_forgotten_says_so() {
    let mut story = Story::told();
    // Bob's phone takes it, so that nothing waits; then more days go by than recipients are kept.
    let (_fleet, phones) = Fleet::of(&story.server, [story.bob.clone()]);
    let _ = phones[0].wait_for_messages(1);
    until("nothing waits", || (story.app.progress(&story.push_id)["outcomes"]["waiting"] == 0).then_some(()));
    story.server.terminate();
    let database = rusqlite::Connection::open(story.server.data_dir().join("pigeonloft.db")).expect("a database");
    database.execute("UPDATE push SET finished_at = finished_at - 91 * 86400000", []).expect("it can be written");
    drop(database);
    story.server.restart();
    for ending in ["csv", "parquet"] {
        let (status, problem) = story.app.own("GET", &format!("/v1/pushes/{}/recipients.{ending}", story.push_id));
        assert_eq!(status, 410, "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("push.recipients_days")), "{problem}");
    }
    assert_eq!(columns(&report(&story.app, &story.push_id, "?outcome=no_device"), &["account"]).len(), 2);
}

#[test]
fn a_report_in_parquet_says_what_the_csv_says() {
    let Story { server, app, push_id, .. } = &Story::told();
    let request = format!(
        "GET /v1/pushes/{push_id}/recipients.parquet HTTP/1.0\r\nHost: localhost\r\nAuthorization: {}\r\n\r\n",
        app.basic()
    );
    let mut stream = raw::connect(server.http());
    stream.write_all(request.as_bytes()).expect("it is taken");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it comes");
    let begin = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head") + 4;
    let file = SerializedFileReader::new(bytes::Bytes::from(answer.split_off(begin))).expect("a Parquet file");
    let shown = |field: &Field| match field {
        Field::Null => String::new(),
        Field::Str(text) => text.clone(),
        Field::Int(number) => number.to_string(),
        Field::Bool(value) => u8::from(*value).to_string(),
        Field::TimestampMillis(ms) => {
            let at = jiff::Timestamp::from_millisecond(*ms).expect("a moment");
            at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
        }
        other => panic!("{other:?}"),
    };
    let mut found: Vec<BTreeMap<String, String>> = file
        .get_row_iter(None)
        .expect("rows")
        .map(|row| row.expect("a row").get_column_iter().map(|(name, field)| (name.clone(), shown(field))).collect())
        .collect();
    let mut expected = lines(&report(app, push_id, "?text=verbatim"));
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(found.len(), 4);
}

/// Kilobytes of memory that the server has now.
fn memory(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells");
    line.split_whitespace().next().and_then(|kilobytes| kilobytes.parse().ok()).expect("a number")
}

/// Devices of the report that is read slowly.
const MANY: usize = 50_000;

#[test]
fn a_report_of_50_000_devices_that_is_read_slowly_comes_whole_and_holds_up_nobody() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let devices = app.import_devices(&server, (0..MANY).map(|place| format!("account-{place:05}")));
    let package = app.uploaded((0..MANY + 1000).map(|place| format!("account-{place:05}")));
    let push_id = app.pushed(json!({ "audience_type": "package_account_push", "upload_id": package }));
    let _ = app.finished(&push_id);
    let before = memory(&server);
    let request = format!(
        "GET /v1/pushes/{push_id}/recipients.csv HTTP/1.0\r\nHost: localhost\r\nAuthorization: {}\r\n\r\n",
        app.basic()
    );
    let ask = || {
        let mut stream = raw::connect(server.http());
        stream.write_all(request.as_bytes()).expect("it is taken");
        stream
    };
    // Some ask and read nothing, one breaks off, and one reads by and by.
    let idle: Vec<_> = (0..20).map(|_| ask()).collect();
    raw::reset(ask());
    let mut slow = ask();
    let mut answer = vec![0; 64 << 10];
    slow.read_exact(&mut answer).expect("it begins");
    // Meanwhile the server does what it is for.
    let phone = Phone::new(devices[0].clone());
    let fleet = Fleet::new(server.mqtt());
    fleet.online([&phone], Habit::Acknowledges);
    let _ = phone.wait_for_messages(1);
    let another = app.pushed(json!({ "audience_type": "account", "account_list": ["account-00000"] }));
    assert_eq!(phone.wait_for_messages(2)[1].push_id, another);
    let grown = memory(&server).saturating_sub(before);
    println!("{grown} KiB for {} reports under way", idle.len() + 1);
    assert!(grown < 60 << 10, "{grown} KiB");
    let mut piece = vec![0; 64 << 10];
    loop {
        std::thread::sleep(Duration::from_millis(2));
        match slow.read(&mut piece).expect("it goes on") {
            0 => break,
            count => answer.extend_from_slice(&piece[..count]),
        }
    }
    let text = String::from_utf8(answer).expect("text");
    let (_, csv) = text.split_once("\r\n\r\n").expect("a head");
    let outcomes = columns(csv, &["outcome"]);
    let count = |outcome: &str| outcomes.iter().filter(|of| *of == outcome).count();
    // Device 0's line may have been written before its phone came.
    assert_eq!((count("waiting") + count("arrived"), count("no_device")), (MANY, 1000));
}
