//! Parked messages: what Apple did not take for now is given to it again, unless its device has it by then or nobody is to get it
//! any more. Apple's side is the sim.

use std::time::Duration;

use pigeonloft_channels::apns::sim::Reply;
use pigeonloft_testkit::{App, Apple, Device, Fleet, Server, pigeonloft, until};
use serde_json::{Value, json};

use super::apns::{apns_token, device, to_ann};
use super::outcomes;
use super::paused::{is_taken, parked, report};

/// As many as pause the channel, where it takes none of them.
const DEVICES: usize = 30;

fn shop() -> (Server, App, Apple, Vec<Device>) {
    shop_on(pigeonloft!().set("push.batch_rows", 10).start())
}

fn shop_on(server: Server) -> (Server, App, Apple, Vec<Device>) {
    let apple = Apple::start();
    let app = server.app("ios");
    apple.serves(&server, &app);
    let devices = (0..DEVICES).map(|n| device(&app, n)).collect();
    (server, app, apple, devices)
}

/// Now, in unix milliseconds.
fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("after 1970").as_millis() as i64
}

/// Apple takes nothing, and asks to be left alone for half an hour.
fn is_down(apple: &Apple) {
    let reply = Reply { retry_after: Some(1_800), ..Reply::new(503, "ServiceUnavailable") };
    apple.behaves(|habits| habits.next = Some((u64::MAX, reply)));
}

/// Apple is well, and the operator does not wait for half an hour.
fn is_up(server: &Server, app: &App, apple: &Apple) {
    apple.behaves(|habits| habits.next = None);
    apple.serves(server, app);
}

#[test]
fn what_is_parked_outlives_a_kill() {
    let (mut server, app, apple, _devices) = shop();
    apple.behaves(|habits| habits.next = Some((u64::MAX, Reply::new(503, "ServiceUnavailable"))));
    let push_id = app.pushed(to_ann(json!({})));
    assert_eq!(outcomes(&app, &push_id), json!({ "waiting": DEVICES }));
    assert_eq!(parked(&server), DEVICES as f64);
    server.kill9();
    let asked = apple.sim.counts()[0];
    server.restart();
    // It is tried after the start, in vain.
    until("Apple is asked", || (apple.sim.counts()[0] > asked).then_some(()));
    assert_eq!(parked(&server), DEVICES as f64);
    server.kill9();
    apple.behaves(|habits| habits.next = None);
    server.restart();
    is_taken(&server, &app, &apple, &push_id, DEVICES);
}

#[test]
fn what_nobody_waits_for_any_more_is_not_given() {
    let begun = now_ms() / 1_000;
    let (server, app, apple, devices) = shop_on(pigeonloft!().set("push.batch_rows", 10).clock_at(begun).start());
    is_down(&apple);
    let push = |members: Value| {
        let push_id = app.pushed(to_ann(members));
        assert_eq!(outcomes(&app, &push_id), json!({ "waiting": DEVICES }));
        push_id
    };
    let [stopped, revoked, kept] = [(); 3].map(|()| push(json!({})));
    let package = app.uploaded(["ann"]);
    let to_all = |collapse_id: i64| {
        let all = json!({ "audience_type": "package_account_push", "upload_id": package, "account_push_type": 1,
            "collapse_id": collapse_id });
        app.pushed_in_turn(&all)
    };
    let replaced = to_all(0);
    assert_eq!(outcomes(&app, &replaced), json!({ "waiting": DEVICES }));
    let expires = push(json!({ "expire_time": 800 }));
    assert_eq!(parked(&server), 5.0 * DEVICES as f64);
    // One comes online, and has what waits from its inbox.
    let (_fleet, phones) = Fleet::of(&server, [devices[0].clone()]);
    until("it arrived", || (phones[0].of_push(&kept).1 == 1).then_some(()));
    for (path, push_id) in [("stop_push_msg", &stopped), ("revoke_push_msg", &revoked)] {
        assert_eq!(app.call(&format!("/v3/push/{path}"), &json!({ "pushId": push_id }))["ret_code"], 0);
    }
    let in_its_place = to_all(replaced.parse().expect("a number"));
    server.set_clock(begun + 1_000);
    until("it expires", || outcomes(&app, &expires)["expired"].is_u64().then_some(()));
    phones[0].vanish();
    is_up(&server, &app, &apple);
    let others = DEVICES - 1;
    let to_others = json!({ "arrived": 1, "accepted": others });
    for push_id in [&kept, &in_its_place] {
        until("Apple has taken it", || (outcomes(&app, push_id) == to_others).then_some(()));
    }
    until("nothing is parked", || (parked(&server) == 0.0).then_some(()));
    let taken = |push_id: &str| apple.sim.taken_under(push_id);
    assert_eq!(taken(&kept).len(), others);
    assert!(!taken(&kept).contains_key(&apns_token(0)), "it has it from us");
    // What takes the place of another one goes under its name.
    assert_eq!((taken(&replaced).len(), taken(&in_its_place).len()), (others, 0));
    for push_id in [&kept, &replaced] {
        assert!(taken(push_id).values().all(|times| *times == 1), "{:?}", taken(push_id));
    }
    for push_id in [&stopped, &revoked, &expires] {
        assert_eq!(taken(push_id).len(), 0);
    }
    assert_eq!(app.progress(&stopped)["outcomes"]["stopped"], json!(others));
}

#[test]
fn other_credentials_are_tried_at_once_with_those_that_the_first_were_not_for() {
    let (server, app, apple, devices) = shop();
    apple.behaves(|habits| _ = habits.by_token.insert(apns_token(3), Reply::new(400, "DeviceTokenNotForTopic")));
    let push_id = app.pushed(to_ann(json!({})));
    assert_eq!(outcomes(&app, &push_id), json!({ "accepted": DEVICES - 1, "waiting": 1 }));
    let line = report(&app, &push_id).into_iter().find(|(token, _)| *token == devices[3].token).expect("a line");
    assert!(line.1.contains("apns: DeviceTokenNotForTopic"), "{line:?}");
    assert_eq!((app.progress(&push_id)["paused_channels"].clone(), parked(&server)), (json!([]), 1.0));
    apple.behaves(|habits| habits.by_token.clear());
    apple.serves(&server, &app);
    is_taken(&server, &app, &apple, &push_id, DEVICES);
}

#[test]
fn one_device_that_gets_too_much_is_given_its_message_later_and_one_that_is_gone_by_then_is_forgotten() {
    let (server, app, apple, devices) = shop();
    let too_many = || Reply { retry_after: Some(2), ..Reply::new(429, "TooManyRequests") };
    apple.behaves(|habits| habits.by_token.extend([3, 4].map(|n| (apns_token(n), too_many()))));
    let push_id = app.pushed(to_ann(json!({})));
    assert_eq!(outcomes(&app, &push_id), json!({ "accepted": DEVICES - 2, "waiting": 2 }));
    assert_eq!(parked(&server), 2.0);
    let (_, explained) = app.own("GET", &format!("/v1/devices/{}/pushes?push_id={push_id}", devices[4].token));
    let says = explained["explanation"].as_str().expect("words");
    assert!(says.contains("; apns is given it again, too (not taken by apns: TooManyRequests)"), "{says}");
    apple.behaves(|habits| {
        habits.by_token.remove(&apns_token(3));
        let gone = Reply { timestamp: Some(now_ms() + 600_000), ..Reply::new(410, "Unregistered") };
        habits.by_token.insert(apns_token(4), gone);
    });
    until("Apple has taken it", || {
        (outcomes(&app, &push_id) == json!({ "accepted": DEVICES - 1, "waiting": 1 })).then_some(())
    });
    until("nothing is parked", || (parked(&server) == 0.0).then_some(()));
    assert_eq!(apple.sim.taken_under(&push_id)[&apns_token(3)], 1);
    let line = report(&app, &push_id).into_iter().find(|(token, _)| *token == devices[4].token).expect("a line");
    assert!(line.1.contains("apns: Unregistered"), "{line:?}");
    // It waits for its device in the inbox, and Apple is asked for that one no more.
    let next = app.pushed(to_ann(json!({})));
    assert_eq!(outcomes(&app, &next), json!({ "accepted": DEVICES - 1, "waiting": 1 }));
    assert_eq!(parked(&server), 0.0);
}

#[test]
fn a_push_goes_past_what_is_parked() {
    let (server, app, apple, _devices) = shop();
    let ben = app.register_device(Some("ben"));
    let channels = json!({ "channels": { "apns": { "token": apns_token(DEVICES) } } });
    assert_eq!(app.as_device(&ben, "PATCH", "", &channels).0, 204);
    is_down(&apple);
    let pushes: Vec<String> = (0..10).map(|_| app.pushed(to_ann(json!({})))).collect();
    for push_id in &pushes {
        assert_eq!(outcomes(&app, push_id), json!({ "waiting": DEVICES }));
    }
    apple.behaves(|habits| habits.latency = Duration::from_millis(50));
    is_up(&server, &app, &apple);
    until("some of it is taken", || (parked(&server) < (10 * DEVICES) as f64).then_some(()));
    let to_ben = app.pushed(json!({ "audience_type": "account", "account_list": ["ben"] }));
    assert_eq!(outcomes(&app, &to_ben), json!({ "accepted": 1 }));
    assert!(parked(&server) > 0.0, "that was not all yet");
    for push_id in &pushes {
        is_taken(&server, &app, &apple, push_id, DEVICES);
    }
}

/// A push that is kept off our own channel.
fn vendors_only() -> Value {
    to_ann(json!({ "channel_rules": [{ "channel": "xg", "disable": true }] }))
}

#[test]
fn what_is_kept_off_our_own_channel_waits_for_the_vendor_and_no_session_has_it() {
    let (server, app, apple, devices) = shop();
    is_down(&apple);
    let push_id = app.pushed(vendors_only());
    assert_eq!(outcomes(&app, &push_id), json!({ "waiting": DEVICES }));
    assert_eq!(parked(&server), DEVICES as f64);
    let rules = json!([{ "channel": "xg", "disable": true }]);
    let not_kept = app.pushed(to_ann(json!({ "expire_time": 0, "channel_rules": rules })));
    assert_eq!(outcomes(&app, &not_kept), json!({ "no_channel": DEVICES }));
    let line = report(&app, &push_id).into_iter().find(|(token, _)| *token == devices[3].token).expect("a line");
    assert!(line.1.contains(",,waiting,\"it waits for its vendor"), "{line:?}");
    let (_, explained) = app.own("GET", &format!("/v1/devices/{}/pushes?push_id={push_id}", devices[3].token));
    assert_eq!((&explained["channel"], &explained["outcome"]), (&Value::Null, &json!("waiting")));
    let says = explained["explanation"].as_str().expect("words");
    assert!(says.starts_with("it is given to apns again") && says.contains("(not taken by apns: "), "{says}");
    // Its devices that come online meanwhile have what may go that way, and nothing else.
    let (_fleet, phones) = Fleet::of(&server, devices[..2].to_vec());
    let own = app.pushed(to_ann(json!({})));
    until("it arrived", || (phones.iter().all(|phone| phone.of_push(&own).1 == 1)).then_some(()));
    // A phone that is deleted waits no more.
    assert_eq!(app.as_device(&devices[DEVICES - 1], "DELETE", "", &Value::Null).0, 204);
    assert_eq!(outcomes(&app, &push_id), json!({ "gone": 1, "waiting": DEVICES - 1 }));
    is_up(&server, &app, &apple);
    let taken = || (outcomes(&app, &push_id) == json!({ "gone": 1, "accepted": DEVICES - 1 })).then_some(());
    until("Apple has taken it", taken);
    let taken = apple.sim.taken_under(&push_id);
    assert!(taken.len() == DEVICES - 1 && taken.values().all(|times| *times == 1), "{taken:?}");
    until("nothing is parked", || (parked(&server) == 0.0).then_some(()));
    assert!(phones.iter().all(|phone| phone.of_push(&push_id).1 == 0), "it came over our own channel");
}

#[test]
fn what_is_kept_off_our_own_channel_has_none_where_the_vendor_refuses_it_for_good_or_is_given_up() {
    let (server, app, apple, devices) = shop();
    is_down(&apple);
    let push_id = app.pushed(vendors_only());
    assert_eq!(outcomes(&app, &push_id), json!({ "waiting": DEVICES }));
    apple.behaves(|habits| _ = habits.by_token.insert(apns_token(3), Reply::new(400, "BadDeviceToken")));
    // Another one has no token any more.
    let none = json!({ "channels": { "apns": null } });
    assert_eq!(app.as_device(&devices[4], "PATCH", "", &none).0, 204);
    is_up(&server, &app, &apple);
    let taken = json!({ "accepted": DEVICES - 2, "no_channel": 2 });
    until("Apple has said so", || (outcomes(&app, &push_id) == taken).then_some(()));
    let line = report(&app, &push_id).into_iter().find(|(token, _)| *token == devices[3].token).expect("a line");
    assert!(line.1.contains(",,no_channel,") && line.1.contains("apns: BadDeviceToken"), "{line:?}");
    assert_eq!(server.metric("pigeonloft_recipients_total", "channel=\"xg\",outcome=\"no_channel\""), 2.0);
    until("nothing is parked", || (parked(&server) == 0.0).then_some(()));
    // The app gives the channel up.
    is_down(&apple);
    let push_id = app.pushed(vendors_only());
    let waits = outcomes(&app, &push_id)["waiting"].clone();
    assert!(waits.as_u64() >= Some(DEVICES as u64 - 2), "{waits}");
    server.run(["app", "channel", "remove", "--app", &app.access_id.to_string(), "apns"]);
    until("it waits no more", || (outcomes(&app, &push_id) == json!({ "no_channel": DEVICES })).then_some(()));
}
