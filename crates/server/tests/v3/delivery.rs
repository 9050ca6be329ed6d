//! How a push goes out on our own channel, the only one there is so far: `channel_rules`, `tpns_online_push_type`,
//! `multi_pkg`, the steps of `expire_time` of messages that wait, and devices that go meanwhile.

use std::io::Write;

use pigeonloft_testkit::{App, Fleet, Habit, Phone, assert_refused, pigeonloft, raw_mqtt, until};
use serde_json::{Value, json};

use super::at;

/// A push to ann, all her devices, with these members.
fn to_ann(members: Value) -> Value {
    let mut given = json!({ "audience_type": "account", "account_list": ["ann"], "account_push_type": 1 });
    for (name, value) in members.as_object().expect("members") {
        given[name] = value.clone();
    }
    given
}

fn outcomes(app: &App, push_id: &str, outcome: &str, count: u64) {
    let what = format!("{count} {outcome}");
    until(&what, || (app.finished(push_id)["outcomes"][outcome] == count).then_some(()));
}

#[test]
fn a_push_keeps_off_the_channels_that_its_rules_disable() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let (here, away) = (app.register_device(Some("ann")), app.register_device(Some("ann")));
    let (_fleet, phones) = Fleet::of(&server, [here]);
    let _away = Phone::new(away);
    let rule = |channel: &str, disable: Value| json!({ "channel": channel, "disable": disable });
    for (rules, allowed) in [
        (json!([rule("xg", json!(true))]), false),
        (json!([rule("xg", json!("1")), rule("hw", json!(true))]), false),
        (json!([rule("xg", json!(false)), rule("xg", json!(1))]), false),
        (json!([rule("xg", json!(true)), rule("xg", json!(false))]), true),
        (json!([rule("hw", json!(true)), rule("fcm", json!(true)), rule("apns", json!(true))]), true),
        (json!([rule("", json!(false))]), true),
        (Value::Null, true),
    ] {
        let push_id = app.pushed(to_ann(json!({ "channel_rules": rules })));
        if allowed {
            outcomes(&app, &push_id, "arrived", 1);
            outcomes(&app, &push_id, "waiting", 1);
        } else {
            outcomes(&app, &push_id, "no_channel", 2);
        }
        assert_eq!(phones[0].of_push(&push_id).1, usize::from(allowed), "{rules}");
    }
    assert_refused(&app.push(to_ann(json!({ "channel_rules": [rule("pager", json!(true))] }))), 1_008_007, "channel");
    assert_refused(&app.push(to_ann(json!({ "channel_rules": [rule("xg", json!(2))] }))), 1_008_007, "disable");
}

#[test]
fn what_no_vendor_can_deliver_comes_over_our_own_channel() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let (_fleet, phones) = Fleet::of(&server, [app.register_device(Some("ann"))]);
    // 1: through the vendor also where the device is online; a vendor that fails falls back on our own channel.
    for kind in [json!(0), json!(1), json!("1"), Value::Null] {
        let push_id = app.pushed(to_ann(json!({ "tpns_online_push_type": kind, "multi_pkg": true })));
        outcomes(&app, &push_id, "arrived", 1);
        assert_eq!(phones[0].of_push(&push_id).1, 1);
        let record = app.call("/v3/statistics/get_push_record", &json!({ "pushId": push_id }));
        assert_eq!(record["pushRecordData"][0]["multiPkg"], true);
    }
    assert_refused(&app.push(to_ann(json!({ "tpns_online_push_type": 2 }))), 1_008_007, "tpns_online_push_type");
    assert_refused(&app.push(to_ann(json!({ "multi_pkg": 2 }))), 1_008_007, "multi_pkg");
}

#[test]
fn a_message_waits_for_a_device_as_long_as_its_expire_time_says() {
    let server = pigeonloft!().clock_at(at("2027-01-30 08:00:00")).start();
    let app = server.app("android");
    let device = app.register_device(Some("ann"));
    // 799 becomes 800; nothing said is a day; 259,200 is the longest.
    let given = |expire: Value| to_ann(json!({ "expire_time": expire }));
    let pushes: Vec<String> =
        [json!(799), json!("1200"), Value::Null, json!(259_200)].map(|expire| app.pushed(given(expire))).into();
    let starts: Vec<i64> = pushes.iter().map(|id| app.finished(id)["start_at"].as_i64().expect("seconds")).collect();
    let expired = |count: usize| {
        until("so many are expired", || {
            let is_expired = |id: &&String| app.progress(id)["outcomes"]["expired"] == 1;
            (pushes.iter().take_while(is_expired).count() == count).then_some(())
        });
    };
    for (place, kept) in [800, 1_200, 86_400].into_iter().enumerate() {
        server.set_clock(starts[place] + kept);
        expired(place + 1);
        assert_eq!(app.progress(&pushes[3])["outcomes"]["waiting"], 1);
    }
    server.set_clock(starts[3] + 259_190);
    let phone = Phone::new(device);
    let fleet = Fleet::new(server.mqtt());
    fleet.online([&phone], Habit::Acknowledges);
    let messages = phone.wait_for_messages(1);
    assert_eq!((messages.len(), &messages[0].push_id), (1, &pushes[3]), "the others are not kept any more");
}

#[test]
fn who_is_deleted_while_the_batch_is_under_way_is_gone() {
    // The batch is recorded once the one who is online has acknowledged.
    let mut server = pigeonloft!().set("push.ack_wait_ms", 60_000).start();
    let app = server.app("android");
    let [here, leaver, away] = [(); 3].map(|()| app.register_device(Some("ann")));
    let mut phone = raw_mqtt::subscribed(server.mqtt(), &here, 60);
    let push_id = app.pushed(to_ann(json!({})));
    let (id, _) = raw_mqtt::message(&mut phone);
    assert_eq!(app.as_device(&leaver, "DELETE", "", &json!({})).0, 204);
    assert_eq!(app.progress(&push_id)["targets"], 0, "no batch is recorded");
    phone.write_all(&raw_mqtt::puback(id)).expect("the server reads");
    let shown = app.finished(&push_id);
    let outcomes = ["arrived", "gone", "waiting"].map(|outcome| shown["outcomes"][outcome].clone());
    assert_eq!((outcomes, &shown["targets"]), ([json!(1), json!(1), json!(1)], &json!(3)));
    until("the metrics say it, too", || {
        (server.metric("pigeonloft_recipients_total", "outcome=\"gone\"") == 1.0).then_some(())
    });

    server.terminate();
    println!("{}", server.run(["doctor", "--check-only"]));
    server.restart();
    let (_fleet, phones) = Fleet::of(&server, [away]);
    assert_eq!(phones[0].wait_for_messages(1)[0].push_id, push_id);
}
