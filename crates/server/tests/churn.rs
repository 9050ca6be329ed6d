//! Churn: the server is killed again and again, and devices come and go, while pushes run. Whatever the moment, every
//! device ends with each message under one id, and the sums are those of the audience.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use pigeonloft_testkit::{App, Fleet, Habit, Phone, Server, State, pigeonloft, until};
use serde_json::json;

const BATCH_ROWS: usize = 20;
const BATCHES_IN_FLIGHT: usize = 3;

fn account(place: usize) -> String {
    format!("account-{place:05}")
}

fn server() -> Server {
    pigeonloft!()
        .set("push.batch_rows", BATCH_ROWS)
        .set("push.batches_in_flight", BATCHES_IN_FLIGHT)
        .set("push.ack_wait_ms", 200)
        .start()
}

fn wait_for_arrivals(app: &App, push_id: &str, count: usize) {
    until(&format!("{count} arrivals of push {push_id} are counted"), || {
        let arrived = app.progress(push_id)["outcomes"]["arrived"].as_u64();
        assert!(arrived <= Some(count as u64), "more arrivals than devices: {arrived:?}");
        (arrived == Some(count as u64)).then_some(())
    });
}

/// Every phone has the push, under one id that no other has.
fn assert_once_each(phones: &[Phone], push_id: &str) {
    let mut all = BTreeSet::new();
    for phone in phones {
        let (ids, _) = phone.of_push(push_id);
        assert_eq!(ids.len(), 1, "one id: {ids:?}");
        all.extend(ids);
    }
    assert_eq!(all.len(), phones.len(), "no id is that of two devices");
}

#[test]
fn killing_the_server_again_and_again_neither_loses_nor_doubles_a_message() {
    const DEVICES: usize = 1200;
    const STRANGERS: usize = 5;
    const KILLS: usize = 6;
    let mut server = server();
    let app = server.app("android");
    let phones: Vec<Phone> =
        app.import_devices(&server, (0..DEVICES).map(account)).into_iter().map(Phone::new).collect();
    let fleet = Fleet::new(server.mqtt());
    // Half of the devices are away; of the others, one in each other batch takes its time.
    let online = || (0..DEVICES).filter(|place| place % 2 == 0);
    let is_stubborn = |place: &usize| place.is_multiple_of(40);
    let connect = || {
        fleet.online(online().filter(is_stubborn).map(|place| &phones[place]), Habit::NeverAcknowledges);
        fleet.online(online().filter(|place| !is_stubborn(place)).map(|place| &phones[place]), Habit::Acknowledges);
    };
    connect();
    // The rows of nobody lie between those of the devices, so that there is still something to do after each start.
    let rows =
        (0..DEVICES).flat_map(|place| (0..=STRANGERS).map(move |stranger| account(place) + &"x".repeat(stranger)));
    let package = app.uploaded(rows);
    // As slow as a push can be asked to be, so that it outlasts a start after which no device is there yet.
    let push_id =
        app.pushed(json!({ "audience_type": "package_account_push", "upload_id": package, "push_speed": 1000 }));
    let (mut done, mut kills) = (0, 0);
    while kills < KILLS {
        let shown = until("the push gets on", || {
            let shown = app.progress(&push_id);
            let is_on = shown["rows_done"].as_u64() > Some(done + 200) || shown["state"] == "PUSH_FINISHED";
            is_on.then_some(shown)
        });
        if shown["state"] == "PUSH_FINISHED" {
            break;
        }
        done = shown["rows_done"].as_u64().expect("a number");
        server.kill9();
        kills += 1;
        online().for_each(|place| phones[place].wait_for_state(&State::Offline));
        server.restart();
        let shown = app.progress(&push_id);
        assert!(shown["rows_done"].as_u64() >= Some(done), "what was done stays done: {shown}");
        connect();
    }
    assert!(kills > 1, "the push was over after {kills} kills");
    let finished = app.finished(&push_id);
    assert_eq!(finished["targets"], DEVICES);
    assert_eq!(finished["no_device"], DEVICES * STRANGERS);
    assert_eq!(finished["rows_done"], finished["audience_rows"]);
    fleet.online(&phones, Habit::Acknowledges);
    wait_for_arrivals(&app, &push_id, DEVICES);
    assert_once_each(&phones, &push_id);
    let again = online().filter(|place| !is_stubborn(place) && phones[*place].of_push(&push_id).1 > 1).count();
    println!("{again} devices that acknowledge at once got the message again, over {kills} kills");
    assert!(again <= kills * BATCHES_IN_FLIGHT * BATCH_ROWS, "only batches in flight can be repeated: {again}");
    let away = (0..DEVICES).filter(|place| place % 2 == 1);
    assert!(away.into_iter().all(|place| phones[place].of_push(&push_id).1 == 1), "an inbox is read once");
}

#[test]
fn devices_that_come_and_go_while_pushes_run_get_each_message_under_one_id() {
    const DEVICES: usize = 300;
    const PUSHES: usize = 6;
    let server = server();
    let app = server.app("android");
    let phones: Vec<Phone> =
        app.import_devices(&server, (0..DEVICES).map(account)).into_iter().map(Phone::new).collect();
    let fleet = Fleet::new(server.mqtt());
    fleet.online(&phones, Habit::Acknowledges);
    let package = app.uploaded((0..DEVICES).map(account));
    let is_over = AtomicBool::new(false);
    let pushes: Vec<String> = std::thread::scope(|scope| {
        let (phones, fleet, is_over) = (&phones, &fleet, &is_over);
        scope.spawn(move || {
            // Each in its turn is cut off, comes back without acknowledging, is taken over, and comes back for good.
            for place in (0..DEVICES).cycle() {
                if is_over.load(Ordering::Acquire) {
                    return;
                }
                let phone = &phones[place * 7 % DEVICES];
                phone.vanish();
                fleet.online([phone], Habit::NeverAcknowledges);
                fleet.online([phone], Habit::Acknowledges);
            }
        });
        let given = json!({ "audience_type": "package_account_push", "upload_id": package });
        let pushes: Vec<String> = (0..PUSHES).map(|_| app.pushed_in_turn(&given)).collect();
        for push_id in &pushes {
            assert_eq!(app.finished(push_id)["targets"], DEVICES);
        }
        is_over.store(true, Ordering::Release);
        pushes
    });
    fleet.online(&phones, Habit::Acknowledges);
    for push_id in &pushes {
        wait_for_arrivals(&app, push_id, DEVICES);
        assert_once_each(&phones, push_id);
    }
    assert_eq!(server.metric("pigeonloft_inbox_messages", ""), 0.0);
}

#[test]
fn what_a_device_was_told_is_counted_survives_a_kill_that_follows_at_once() {
    let mut server = server();
    let app = server.app("android");
    let phone = Phone::new(app.register_device(Some("ann")));
    let fleet = Fleet::new(server.mqtt());
    fleet.online([&phone], Habit::Acknowledges);
    let push_id = app.pushed(json!({ "audience_type": "account", "account_list": ["ann"] }));
    let _ = phone.wait_for_messages(1);
    for event in ["shown", "clicked"] {
        phone.report(&push_id, event);
        server.kill9();
        phone.wait_for_state(&State::Offline);
        server.restart();
        fleet.online([&phone], Habit::Acknowledges);
        // The device cannot know that it was heard, and says it again.
        phone.report(&push_id, event);
    }
    assert_eq!(app.progress(&push_id)["receipts"], json!({ "shown": 1, "clicked": 1, "cleared": 0 }));
    wait_for_arrivals(&app, &push_id, 1);
    assert_eq!(phone.of_push(&push_id).0.len(), 1);
}

#[test]
fn a_push_that_was_answered_survives_a_kill_that_follows_at_once() {
    let mut server = server();
    let app = server.app("android");
    let device = app.register_device(Some("ann"));
    let package = app.uploaded(["ann"]);
    let mut pushes = Vec::new();
    for given in [
        json!({ "audience_type": "account", "account_list": ["ann"] }),
        json!({ "audience_type": "token", "token_list": [device.token] }),
        json!({ "audience_type": "package_account_push", "upload_id": package }),
    ] {
        pushes.push(app.pushed(given));
        server.kill9();
        server.restart();
    }
    for push_id in &pushes {
        assert_eq!(app.finished(push_id)["targets"], 1);
    }
    let (_fleet, phones) = Fleet::of(&server, [device]);
    let came: Vec<String> = phones[0].wait_for_messages(3).into_iter().map(|message| message.push_id).collect();
    assert_eq!(came, pushes);
}
