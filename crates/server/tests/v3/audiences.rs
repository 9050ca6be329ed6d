//! Audiences without rows: pushes to all devices of an app, and to those that tags mean.

use std::sync::atomic::{AtomicUsize, Ordering};

use pigeonloft_testkit::{App, Device, Fleet, Habit, Phone, assert_refused, pigeonloft, until};
use serde_json::{Value, json};

use super::at;

/// Pushes by these tags, a message of its own each time; answers the push_id.
fn push_by(app: &App, mut given: Value) -> String {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    given["audience_type"] = json!("tag");
    given["message"] = json!({ "content": format!("message {number}") });
    app.pushed_in_turn(&given)
}

/// Which of the devices a push by these tags is for, by their place.
pub(crate) fn reached(app: &App, devices: &[Device], given: Value) -> Vec<usize> {
    let push_id = push_by(app, given);
    let _ = app.finished(&push_id);
    recipients(app, devices, &push_id)
}

fn recipients(app: &App, devices: &[Device], push_id: &str) -> Vec<usize> {
    let report = app.own_text(&format!("/v1/pushes/{push_id}/recipients.csv"));
    (0..devices.len()).filter(|place| report.contains(&devices[*place].token)).collect()
}

fn tagged(app: &App, device: &Device, tags: &[&str]) {
    let body = json!({ "operator_type": 6, "tag_list": tags, "token_list": [device.token] });
    let answer = app.call("/v3/device/tag", &body);
    assert_eq!(answer["ret_code"], 0, "{answer}");
}

fn rule(items: Value) -> Value {
    json!({ "tag_rules": [{ "tag_items": items, "operator": "OR", "is_not": false }] })
}

fn item(tags: Value, tags_operator: &str, items_operator: &str) -> Value {
    json!({ "tags": tags, "tags_operator": tags_operator, "items_operator": items_operator, "is_not": false,
        "tag_type": "xg_user_define" })
}

#[test]
fn a_push_to_all_reaches_every_device_of_the_app_and_no_other() {
    let server = pigeonloft!().start();
    let (app, other) = (server.app("android"), server.app("android"));
    let mut devices: Vec<Device> = (0..5).map(|n| if n == 2 { &other } else { &app }.register_device(None)).collect();
    let (status, _) = app.as_device(&devices[3], "DELETE", "", &json!({}));
    assert_eq!(status, 204);
    let (_fleet, phones) = Fleet::of(&server, [devices.remove(0)]);
    let push_id = app.pushed(json!({ "audience_type": "all" }));
    assert_eq!(phones[0].wait_for_messages(1)[0].push_id, push_id);
    assert_eq!(recipients(&app, &devices, &push_id), [0, 3]);
    let shown = app.finished(&push_id);
    // Rows are device numbers, from the app's first to its last.
    assert_eq!((&shown["targets"], &shown["audience_rows"], &shown["share_done"]), (&json!(3), &json!(5), &json!(1.0)));
}

#[test]
fn an_app_without_devices_has_no_target() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    assert_refused(&app.push(json!({ "audience_type": "all" })), 10_010_005, "no devices");
    let by_tag = json!({ "audience_type": "tag", "tag_list": { "tags": ["a"], "op": "OR" } });
    assert_refused(&app.push(by_tag.clone()), 10_010_005, "no devices");
    // Once it has one, a tag that nobody has is no fault: the push has nobody to reach.
    let _ = app.register_device(None);
    let push_id = app.pushed(by_tag);
    assert_eq!(app.finished(&push_id)["targets"], 0);
}

#[test]
fn a_push_to_all_goes_on_after_a_kill_and_is_for_those_who_were_there_at_its_call() {
    let mut server = pigeonloft!().set("push.batch_rows", 100).start();
    let app = server.app("android");
    let accounts: Vec<String> = (0..4_000).map(|n| format!("a{n:05}")).collect();
    let _ = app.import_devices(&server, &accounts);
    let push_id = app.pushed(json!({ "audience_type": "all", "push_speed": 1_000 }));
    let targets = || app.progress(&push_id)["targets"].as_u64().expect("a number");
    until("some have it", || (targets() > 1_000).then_some(()));
    let late = app.register_device(None);
    server.kill9();
    server.restart();
    let shown = app.finished(&push_id);
    assert_eq!((&shown["targets"], &shown["outcomes"]["waiting"]), (&json!(4_000), &json!(4_000)));
    assert_eq!(recipients(&app, &[late], &push_id), Vec::<usize>::new());
    let report = app.own_text(&format!("/v1/pushes/{push_id}/recipients.csv"));
    assert_eq!(report.lines().count(), 1 + 4_000, "each once, and a header");
}

#[test]
fn a_device_that_was_not_seen_for_90_days_is_left_out() {
    let server = pigeonloft!().clock_at(at("2027-01-30 08:00:00")).start();
    let app = server.app("android");
    let devices = [(); 2].map(|()| app.register_device(None));
    devices.iter().for_each(|device| tagged(&app, device, &["vip"]));
    server.set_clock(at("2027-05-01 08:00:01"));
    let fleet = Fleet::new(server.mqtt());
    let phone = Phone::new(devices[1].clone());
    fleet.online([&phone], Habit::Acknowledges);
    let push_id = app.pushed_in_turn(&json!({ "audience_type": "all" }));
    assert_eq!(phone.wait_for_messages(1)[0].push_id, push_id);
    let _ = app.finished(&push_id);
    assert_eq!(recipients(&app, &devices, &push_id), [1]);
    assert_eq!(reached(&app, &devices, json!({ "tag_list": { "tags": ["vip"] } })), [1]);
    // The others are the others of those who count.
    let not = json!([{ "tags": ["nobody's"], "is_not": true }]);
    assert_eq!(reached(&app, &devices, rule(not)), [1]);
}

#[test]
fn a_device_that_a_vendor_alone_reaches_counts_by_what_it_says_at_its_start() {
    let server = pigeonloft!().clock_at(at("2027-01-30 08:00:00")).start();
    let app = server.app("android");
    let devices = [(); 3].map(|()| app.register_device(None));
    devices.iter().for_each(|device| tagged(&app, device, &["vip"]));
    server.set_clock(at("2027-05-01 08:00:01"));
    let (status, _) = app.as_device(&devices[1], "PATCH", "", &json!({ "channels": { "fcm": { "token": "t" } } }));
    assert_eq!(status, 204);
    let (status, _) = app.as_device(&devices[2], "PUT", "/accounts", &json!({ "accounts": [] }));
    assert_eq!(status, 200);
    let push_id = app.pushed_in_turn(&json!({ "audience_type": "all" }));
    let _ = app.finished(&push_id);
    assert_eq!(recipients(&app, &devices, &push_id), [1, 2]);
    assert_eq!(reached(&app, &devices, json!({ "tag_list": { "tags": ["vip"] } })), [1, 2]);
    let today = json!({ "tag_rules": [{ "tag_items": [{ "tags": ["20270501"], "tag_type": "xg_auto_active" }] }] });
    assert_eq!(reached(&app, &devices, today), [1, 2]);
}

#[test]
fn rules_join_their_tags_by_and_or_and_not() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let devices: Vec<Device> = (0..5).map(|_| app.register_device(None)).collect();
    for (device, tags) in devices.iter().zip([&["a"][..], &["a", "b"], &["b", "c"], &["c"]]) {
        tagged(&app, device, tags);
    }
    let not = |mut of: Value| {
        of["is_not"] = json!(true);
        of
    };
    let rules = |rules: Value| json!({ "tag_rules": rules });
    let one = |tag: &str| item(json!([tag]), "", "");
    for (given, expected) in [
        (rule(json!([item(json!(["a", "b"]), "AND", "")])), vec![1]),
        (rule(json!([item(json!(["a", "c"]), "OR", "")])), vec![0, 1, 2, 3]),
        (rule(json!([not(item(json!(["a", "c"]), "OR", ""))])), vec![4]),
        // The first operator says nothing, and AND comes before OR.
        (
            rule(json!([item(json!(["a"]), "", "AND"), item(json!(["b"]), "", "OR"), item(json!(["c"]), "", "AND")])),
            vec![0, 1, 2],
        ),
        (rule(json!([one("b"), not(item(json!(["c"]), "", "AND"))])), vec![1]),
        (
            rules(json!([
                { "tag_items": [one("a")], "operator": "AND", "is_not": true },
                { "tag_items": [one("b")], "operator": "AND", "is_not": true },
            ])),
            vec![3, 4],
        ),
        (
            rules(json!([
                { "tag_items": [one("a")], "operator": "" },
                { "tag_items": [one("c")], "operator": "OR" },
                { "tag_items": [one("b")], "operator": "AND", "is_not": true },
            ])),
            vec![0, 1, 3],
        ),
        // The older form; where both are there the rules count.
        (json!({ "tag_list": { "tags": ["b", "c"], "op": "AND" } }), vec![2]),
        (json!({ "tag_list": { "tags": ["a"] }, "tag_rules": [{ "tag_items": [one("c")] }] }), vec![2, 3]),
        (rule(json!([one("nobody's")])), vec![]),
        (rule(json!([not(one("nobody's"))])), vec![0, 1, 2, 3, 4]),
    ] {
        assert_eq!(reached(&app, &devices, given.clone()), expected, "{given}");
    }
}

#[test]
fn what_devices_report_are_tags_of_other_types() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let register = |reported: Value| {
        let (status, answer) = app.register(&reported);
        assert_eq!(status, 201, "{answer}");
        let text = |name: &str| answer[name].as_str().expect("a text").to_owned();
        Device { access_id: app.access_id, token: text("token"), password: text("password") }
    };
    let everything = json!({ "app_version": "1.2.0", "province": "广东", "country": "CN", "language": "zh",
        "brand": "HUAWEI", "model": "Mate 60", "sdk_version": "1.4.3" });
    let devices =
        [register(everything), register(json!({ "app_version": "1.3.0", "country": "CN" })), register(json!({}))];
    let of = |kind: &str, tag: &str| {
        let item = json!({ "tags": [tag], "tags_operator": "OR", "tag_type": kind });
        reached(&app, &devices, rule(json!([item])))
    };
    for (kind, tag, expected) in [
        ("xg_auto_version", "1.2.0", vec![0]),
        ("xg_auto_version", "1.3.0", vec![1]),
        ("xg_auto_province", "广东", vec![0]),
        ("xg_auto_country", "CN", vec![0, 1]),
        ("xg_auto_systemlanguage", "zh", vec![0]),
        ("xg_auto_devicebrand", "HUAWEI", vec![0]),
        ("xg_auto_deviceversion", "Mate 60", vec![0]),
        ("xg_auto_sdkversion", "1.4.3", vec![0]),
        // The name of one type is none of another.
        ("xg_user_define", "CN", vec![]),
    ] {
        assert_eq!(of(kind, tag), expected, "{kind} {tag}");
    }
    let today = jiff::tz::Offset::constant(8).to_datetime(jiff::Timestamp::now()).strftime("%Y%m%d").to_string();
    assert_eq!(of("xg_auto_active", &today), [0, 1, 2]);
    assert_eq!(of("xg_auto_active", "20200101"), Vec::<usize>::new());
    // A new version takes the place of the old one; an empty text takes a tag away; what is not said stays.
    let (status, _) = app.as_device(&devices[0], "PATCH", "", &json!({ "app_version": "1.3.0", "province": "" }));
    assert_eq!(status, 204);
    assert_eq!(of("xg_auto_version", "1.3.0"), [0, 1]);
    assert_eq!(of("xg_auto_version", "1.2.0"), Vec::<usize>::new());
    assert_eq!(of("xg_auto_province", "广东"), Vec::<usize>::new());
    assert_eq!(of("xg_auto_devicebrand", "HUAWEI"), [0]);
    let (status, answer) = app.as_device(&devices[0], "PATCH", "", &json!({ "brand": "x".repeat(51) }));
    assert_eq!((status, answer["detail"].as_str().map(|text| text.starts_with("brand: "))), (400, Some(true)));
}

#[test]
fn on_apples_platforms_a_push_is_for_one_environment() {
    let server = pigeonloft!().start();
    let app = server.app("ios");
    let devices = ["product", "dev"].map(|environment| {
        let (status, answer) = app.register(&json!({ "environment": environment }));
        assert_eq!(status, 201, "{answer}");
        let text = |name: &str| answer[name].as_str().expect("a text").to_owned();
        Device { access_id: app.access_id, token: text("token"), password: text("password") }
    });
    for device in &devices {
        tagged(&app, device, &["vip"]);
    }
    let by_tag = |environment: &str| json!({ "tag_list": { "tags": ["vip"] }, "environment": environment });
    assert_eq!(reached(&app, &devices, by_tag("")), [0]);
    assert_eq!(reached(&app, &devices, by_tag("dev")), [1]);
    let push_id = app.pushed_in_turn(&json!({ "audience_type": "all", "environment": "dev" }));
    assert_eq!(app.finished(&push_id)["targets"], 1);
}

#[test]
fn the_same_message_to_all_or_to_the_same_tags_is_taken_once_an_hour() {
    let mut server = pigeonloft!().start();
    let app = server.app("android");
    let _ = app.register_device(None);
    let all = json!({ "audience_type": "all" });
    let by_tag = json!({ "audience_type": "tag", "tag_list": { "tags": ["a"], "op": "OR" } });
    let first = app.pushed(all.clone());
    // A push a second is taken; which of the two reasons it is refused for is told by its code.
    let repeated = |given: &Value| {
        until("it is the app's turn", || Some(app.push(given.clone())).filter(|answer| answer["ret_code"] != 1_008_028))
    };
    assert_refused(
        &app.push(json!({ "audience_type": "all", "message": { "content": "other" } })),
        1_008_028,
        "a second",
    );
    assert_refused(&repeated(&all), 10_010_018, &format!("push {first} "));
    let _ = app.pushed_in_turn(&by_tag);
    assert_refused(&repeated(&by_tag), 10_010_018, "the same message");
    // Another message, another rule, another app: another push.
    let _ = app.pushed_in_turn(&json!({ "audience_type": "all", "message": { "content": "other" } }));
    let _ = app.pushed_in_turn(&json!({ "audience_type": "tag", "tag_list": { "tags": ["b"], "op": "OR" } }));
    server.terminate();
    server.restart();
    assert_refused(&repeated(&all), 10_010_018, "the same message");
}

#[test]
fn the_record_of_a_push_by_tags_says_its_tags_and_is_found_by_its_type() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let _ = app.register_device(None);
    let by_list = push_by(&app, json!({ "tag_list": { "tags": ["a", "b"], "op": "AND" } }));
    let by_rules = push_by(&app, rule(json!([{ "tags": ["1.2"], "tag_type": "xg_auto_version" }])));
    let all = app.pushed_in_turn(&json!({ "audience_type": "all" }));
    let record = |body: Value| app.call("/v3/statistics/get_push_record", &body)["pushRecordData"].clone();
    assert_eq!(record(json!({ "pushId": by_list }))[0]["tagSet"], json!({ "tags": ["a", "b"], "op": "AND" }));
    let rules = &record(json!({ "pushId": by_rules }))[0]["tagSet"]["tag_rules"];
    assert_eq!(rules[0]["tag_items"][0]["tag_type"], "xg_auto_version", "{rules}");
    let today = jiff::tz::Offset::constant(8).to_datetime(jiff::Timestamp::now()).strftime("%Y-%m-%d").to_string();
    let ids = |kind: &str| {
        let found = record(json!({ "startDate": today, "endDate": today, "pushType": kind }));
        let ids =
            found.as_array().expect("a list").iter().map(|push| push["pushId"].as_str().unwrap_or_default().to_owned());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(ids("tag"), [by_rules, by_list]);
    assert_eq!(ids("all"), [all]);
}
