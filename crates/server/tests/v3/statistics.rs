//! Statistics: the sums of a push, a plan, a group and a day; what was pushed when; how often that may be asked.

use jiff::Span;
use jiff::civil::{Date, date};
use pigeonloft_testkit::{App, Builder, Fleet, Habit, State, assert_refused, pigeonloft, until};
use serde_json::{Value, json};

use super::at;

/// The day on which these tests play, in the zone of the default configuration.
const TODAY: Date = date(2027, 3, 1);

/// A server at noon of today.
fn noon() -> Builder {
    pigeonloft!().clock_at(at("2027-03-01 12:00:00"))
}

/// A day so far from today, as `%Y%m%d` or `%F`.
fn day(days: i64, format: &str) -> String {
    TODAY.checked_add(Span::new().days(days)).expect("it is near").strftime(format).to_string()
}

/// A call about the days from one to another, so far from today.
fn over(app: &App, call: &str, (first, last): (i64, i64), format: &str, more: Value) -> Value {
    let mut body = more;
    body["startDate"] = json!(day(first, format));
    body["endDate"] = json!(day(last, format));
    app.call(&format!("/v3/statistics/{call}"), &body)
}

/// Targets, arrivals and clicks of an entry for all channels.
fn sums(channels: &Value) -> [u64; 3] {
    let all = channels.as_array().and_then(|list| list.iter().find(|entry| entry["channel"] == "all"));
    let state = &all.expect("an entry for all channels")["pushState"];
    ["pushActiveUv", "arrivalUv", "clickUv"].map(|member| state[member].as_u64().expect("a number"))
}

#[test]
fn what_becomes_of_pushes_is_summed_by_plan_by_group_and_by_day() {
    let server = noon().start();
    let app = server.app("android");
    let (fleet, phones) = Fleet::of(&server, ["ann", "bob"].map(|name| app.register_device(Some(name))));
    let _away = app.register_device(Some("cid"));
    let push = |accounts: &[&str], more: Value| {
        let mut given = json!({ "audience_type": "account_list", "account_list": accounts });
        given.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        app.pushed(given)
    };
    let plain = push(&["ann", "cid"], json!({}));
    let planned = push(&["ann", "bob", "cid"], json!({ "plan_id": "spring", "group_id": 7 }));
    let also = push(&["bob"], json!({ "plan_id": "spring", "group_id": 0 }));
    for push_id in [&plain, &planned, &also] {
        let _ = app.finished(push_id);
    }
    let _ = phones[0].wait_for_messages(2);
    phones[0].report(&planned, "clicked");

    let overview = "get_push_channel_stat_overview";
    let group = "get_push_group_stat_channel";
    let today = |call: &str, more: Value| over(&app, call, (0, 0), "%Y%m%d", more);
    until("all of it is counted", || {
        let answer = today(overview, json!({}));
        (sums(&answer["pushDateChannelStat"][0]["channelDatas"]) == [6, 4, 1]).then_some(())
    });
    assert_eq!(sums(&today(group, json!({ "planId": "spring" }))["pushStatDataAll"]), [4, 3, 1]);
    assert_eq!(sums(&today(group, json!({ "groupId": "7" }))["pushStatDataAll"]), [3, 2, 1]);
    assert_eq!(sums(&today(group, json!({ "planId": "7" }))["pushStatDataAll"]), [0, 0, 0]);

    // Days without pushes have their rows, those to come have none, and each is written as it was asked for.
    let answer = over(&app, overview, (-2, 1), "%Y%m%d", json!({}));
    let rows = answer["pushDateChannelStat"].as_array().expect("a list");
    let dates: Vec<_> = rows.iter().map(|row| row["date"].clone()).collect();
    assert_eq!(dates, [-2, -1, 0].map(|days| json!(day(days, "%Y%m%d"))));
    assert_eq!(rows.iter().map(|row| sums(&row["channelDatas"])[0]).collect::<Vec<_>>(), [0, 0, 6]);
    let channels: Vec<_> = rows[0]["channelDatas"].as_array().expect("a list").iter().collect();
    assert_eq!(channels[0]["channel"], "xg");
    assert_eq!(
        *channels[1],
        json!({ "channel": "all", "pushState": { "pushActiveUv": 0, "pushOnlineUv": 0, "arrivalUv": 0, "verifySvcUv": 0,
            "callbackVerifySvcUv": 0, "verifyUv": 0, "clickUv": 0, "cleanupUv": 0 } })
    );

    // Another app sees nothing of it.
    let other = server.app("android");
    let theirs = over(&other, group, (0, 0), "%Y%m%d", json!({ "planId": "spring" }));
    assert_eq!(sums(&theirs["pushStatDataAll"]), [0, 0, 0]);
    drop(fleet);
}

#[test]
fn pushes_are_listed_by_day_a_page_at_a_time() {
    let server = noon().start();
    let app = server.app("android");
    let _ann = app.register_device(Some("ann"));
    let push = |kind: &str, message_type: &str| {
        app.pushed(json!({ "audience_type": kind, "account_list": ["ann"], "message_type": message_type }))
    };
    let ids = [push("account", "notify"), push("account_list", "message"), push("account", "message")];
    let list = |more: Value| {
        let answer = over(&app, "get_push_record", (-31, 0), "%F", more);
        assert_eq!(answer["retCode"], 0, "{answer}");
        let records = answer["pushRecordData"].as_array().expect("a list");
        let found = records.iter().map(|record| record["pushId"].as_str().expect("a text").to_owned());
        (found.collect::<Vec<_>>(), answer["count"].as_u64().expect("a number"))
    };
    let of = |places: &[usize]| places.iter().map(|&place| ids[place].clone()).collect::<Vec<_>>();
    assert_eq!(list(json!({})), (of(&[2, 1, 0]), 3));
    assert_eq!(list(json!({ "offset": 1, "limit": 1 })), (of(&[1]), 3));
    assert_eq!(list(json!({ "offset": "3", "limit": 200 })), (of(&[]), 3));
    assert_eq!(list(json!({ "msgType": "message" })), (of(&[2, 1]), 2));
    assert_eq!(list(json!({ "pushType": "account", "msgType": "" })), (of(&[2, 0]), 2));
    assert_eq!(list(json!({ "pushType": "account", "msgType": "message" })), (of(&[2]), 1));
}

#[test]
fn days_beyond_the_window_and_pushes_that_are_not_there_are_refused() {
    let server = noon().start();
    let app = server.app("android");
    for (call, window, format) in [
        ("get_push_record", 31, "%F"),
        ("get_push_channel_stat_overview", 30, "%Y%m%d"),
        ("get_push_group_stat_channel", 7, "%Y%m%d"),
    ] {
        let ask = |days, format| over(&app, call, days, format, json!({ "planId": "p" }));
        assert_eq!(ask((-window, 0), format)["retCode"], 0, "{call}");
        assert_refused(&ask((-window - 1, 0), format), 1_008_016, "startDate is");
        assert_refused(&ask((0, -1), format), 1_008_016, "endDate lies before startDate");
        assert_refused(&ask((0, 0), "%d.%m.%Y"), 1_008_016, "write it as YYYY");
        let path = format!("/v3/statistics/{call}");
        assert_refused(&app.call(&path, &json!({ "planId": "p" })), 1_008_002, "startDate");
    }
    assert_eq!(over(&app, "get_push_record", (0, 0), "%F", json!({ "limit": 200 }))["retCode"], 0);
    assert_refused(&over(&app, "get_push_record", (0, 0), "%F", json!({ "limit": 201 })), 1_008_007, "limit");
    for call in ["get_push_record", "get_push_task_stat_channel"] {
        assert_refused(&app.call(&format!("/v3/statistics/{call}"), &json!({ "pushId": 9 })), 1_008_015, "no push 9");
    }
}

#[test]
fn an_app_asks_for_each_statistic_200_times_an_hour() {
    let server = noon().set("statistics.calls_per_hour", 200).start();
    let (app, other) = (server.app("android"), server.app("android"));
    let ask = |app: &App, call: &str| app.call(&format!("/v3/statistics/{call}"), &json!({ "pushId": 9 }));
    for _ in 0..200 {
        assert_eq!(ask(&app, "get_push_task_stat_channel")["retCode"], 1_008_015);
    }
    assert_refused(&ask(&app, "get_push_task_stat_channel"), 1_008_028, "called 200 times in this hour");
    assert_eq!(ask(&app, "get_push_record")["retCode"], 1_008_015, "each call by itself");
    assert_eq!(ask(&other, "get_push_task_stat_channel")["retCode"], 1_008_015, "each app by itself");
}

#[test]
fn the_pushes_of_today_to_a_token_are_listed_latest_first() {
    let server = noon().start();
    let app = server.app("android");
    let (ann, bob) = (app.register_device(Some("ann")), app.register_device(Some("bob")));
    let first = app.pushed(json!({ "audience_type": "account", "account_list": ["ann"] }));
    let others = app.pushed(json!({ "audience_type": "account", "account_list": ["bob"] }));
    let last = app.pushed(json!({ "audience_type": "token", "token_list": [ann.token] }));
    for push_id in [&first, &others, &last] {
        let _ = app.finished(push_id);
    }
    let list = |token: &str| app.call("/v3/toolbox/getPushListByToken", &json!({ "token": token }));
    let answer = list(&ann.token);
    let date = |push_id: &str| {
        app.call("/v3/statistics/get_push_record", &json!({ "pushId": push_id }))["pushRecordData"][0]["date"].clone()
    };
    assert_eq!(
        answer,
        json!({ "retCode": 0, "errMsg": "", "pushTaskList": [
            { "pushId": last, "pushTime": date(&last), "pushTargetType": "token" },
            { "pushId": first, "pushTime": date(&first), "pushTargetType": "account" },
        ]})
    );
    assert_eq!(list(&bob.token)["pushTaskList"][0]["pushId"], others);
    assert_refused(&list("nobody"), 10_110_008, "no device of this app has this token");
    assert_refused(&list(""), 1_008_002, "token");
}

/// The devices there were, the new ones and the active ones, from a day to another, so far from today.
fn devices(app: &App, days: (i64, i64)) -> Vec<[u64; 3]> {
    let answer = over(app, "get_device_stat_overview", days, "%Y%m%d", json!({}));
    assert_eq!(answer["retCode"], 0, "{answer}");
    let rows = answer["getDeviceStatOverviewData"].as_array().expect("a list").iter();
    rows.map(|row| ["accuUv", "newUv", "activeUv"].map(|member| row[member].as_u64().expect("a number"))).collect()
}

#[test]
fn devices_are_counted_as_they_come_are_seen_and_go() {
    let server = noon().start();
    let app = server.app("android");
    assert_eq!(devices(&app, (-1, 0)), [[0, 0, 0]; 2]);
    let ann = app.register_device(None);
    let bob = app.register_device(None);
    assert_eq!(devices(&app, (-1, 0)), [[0, 0, 0], [2, 2, 2]], "who registers is active");
    let brought = app.import_devices(&server, ["cid", "dan", "eve"]);
    assert_eq!(devices(&app, (0, 0)), [[5, 5, 2]], "who is imported was not seen yet");
    let (fleet, phones) = Fleet::of(&server, [ann.clone(), brought[0].clone()]);
    until("the one that was not seen before is counted", || (devices(&app, (0, 0)) == [[5, 5, 3]]).then_some(()));
    for phone in &phones {
        phone.leave();
        phone.wait_for_state(&State::Offline);
    }
    fleet.online(&phones, Habit::Acknowledges);
    let (status, answer) = app.as_device(&bob, "DELETE", "", &Value::Null);
    assert_eq!(status, 204, "{answer}");
    assert_eq!(devices(&app, (-30, 0)).last(), Some(&[4, 5, 3]), "once a day, and gone when deleted");

    // In the format in which it is asked for.
    let answer = over(&app, "get_device_stat_overview", (0, 1), "%F", json!({}));
    assert_eq!(answer["getDeviceStatOverviewData"][0]["date"], day(0, "%F"));
    let ask = |days| over(&app, "get_device_stat_overview", days, "%F", json!({}));
    assert_refused(&ask((-31, 0)), 1_008_016, "the last 30 days");
}

#[test]
fn a_push_counts_on_the_day_of_its_start_and_a_device_on_each_day_it_is_seen() {
    let server = pigeonloft!().clock_at(at("2026-12-31 23:50:00")).start();
    let app = server.app("android");
    let (ann, bob) = (app.register_device(Some("ann")), app.register_device(None));
    let push_id = app.pushed(json!({ "audience_type": "account", "account_list": ["ann"] }));
    let _ = app.finished(&push_id);
    server.set_clock(at("2027-01-01 00:10:00"));
    let (_fleet, phones) = Fleet::of(&server, [ann]);
    let _ = phones[0].wait_for_messages(1);
    let ask = |call: &str| {
        let days = json!({ "startDate": "20261231", "endDate": "20270102" });
        app.call(&format!("/v3/statistics/{call}"), &days)
    };
    until("its arrival counts on the day before", || {
        let rows = ask("get_push_channel_stat_overview")["pushDateChannelStat"].clone();
        let of_days = [&rows[0], &rows[1]].map(|row| (row["date"].clone(), sums(&row["channelDatas"])));
        assert_eq!(rows[2], Value::Null, "a day to come");
        (of_days == [(json!("20261231"), [1, 1, 0]), (json!("20270101"), [0, 0, 0])]).then_some(())
    });
    let (status, answer) = app.as_device(&bob, "DELETE", "", &Value::Null);
    assert_eq!(status, 204, "{answer}");
    assert_eq!(
        ask("get_device_stat_overview")["getDeviceStatOverviewData"],
        json!([
            { "date": "20261231", "accuUv": 2, "newUv": 2, "activeUv": 2 },
            { "date": "20270101", "accuUv": 1, "newUv": 0, "activeUv": 1 },
        ])
    );
    let today = app.call("/v3/toolbox/getPushListByToken", &json!({ "token": phones[0].device().token }));
    assert_eq!(today["pushTaskList"], json!([]), "that was yesterday");
}

#[test]
fn a_plan_is_made_and_the_pushes_that_name_it_are_counted_in_it() {
    let server = noon().start();
    let app = server.app("android");
    let _ann = app.register_device(Some("ann"));
    let make = |body: Value| app.call("/v3/push/plan/add_plan_push", &body);
    let answer = make(json!({ "planName": "春节", "planDescribe": "all of February" }));
    let plan = &answer["result"];
    let made_at = plan["createdAt"].as_str().expect("a text").to_owned();
    assert!(made_at.starts_with("2027-03-01 12:0"), "{made_at}");
    assert_eq!(
        answer,
        json!({ "retCode": 0, "errMsg": "", "result": { "planId": "1", "planName": "春节", "planDescribe": "all of February",
            "planPushSource": "api", "createdAt": made_at, "updateAt": made_at } })
    );
    let push_id = app.pushed(json!({ "audience_type": "account", "account_list": ["ann"], "plan_id": plan["planId"] }));
    let _ = app.finished(&push_id);
    let group = over(&app, "get_push_group_stat_channel", (-7, 0), "%Y%m%d", json!({ "planId": 1 }));
    assert_eq!(sums(&group["pushStatDataAll"]), [1, 0, 0]);
    assert_eq!(make(json!({ "planName": "春节" }))["result"]["planId"], "2", "names may be the same");
    assert_refused(&make(json!({ "planName": "a".repeat(61) })), 1_008_007, "61 characters");
    assert_refused(&make(json!({ "planName": "a", "planDescribe": "b".repeat(301) })), 1_008_007, "301 characters");
    assert_refused(&make(json!({ "planDescribe": "b" })), 1_008_002, "planName");
}
