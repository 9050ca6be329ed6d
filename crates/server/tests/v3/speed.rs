//! `push_speed`: so many devices a second, spread over it, also of several pushes and after a restart.

use std::time::{Duration, Instant};

use pigeonloft_testkit::{Fleet, Phone, pigeonloft, until};
use serde_json::json;

/// Devices that are recipients of the push by now, and when it was asked.
fn targets(app: &pigeonloft_testkit::App, push_id: &str) -> (u64, Instant) {
    let targets = app.progress(push_id)["targets"].as_u64().expect("a number");
    (targets, Instant::now())
}

#[test]
fn pushes_keep_their_speed_side_by_side_and_across_a_kill() {
    let mut server = pigeonloft!().start();
    let app = server.app("android");
    let accounts: Vec<String> = (0..8_000).map(|n| format!("a{n:05}")).collect();
    let _ = app.import_devices(&server, &accounts);
    let package = app.uploaded(&accounts);
    let given = json!({ "audience_type": "package_account_push", "upload_id": package, "push_speed": 1_000 });
    let slow = app.pushed_in_turn(&given);
    let mut faster = given.clone();
    faster["push_speed"] = json!(2_000);
    let fast = app.pushed_in_turn(&faster);
    // Each over the seconds after its first devices. The answers come a little after the counts they tell.
    let begun = until("both have begun", || {
        let begun = [targets(&app, &slow), targets(&app, &fast)];
        begun.iter().all(|(targets, _)| *targets > 0).then_some(begun)
    });
    until("two seconds have passed", || (begun[1].1.elapsed() > Duration::from_secs(2)).then_some(()));
    for ((push_id, speed), (before, since)) in [(&slow, 1_000.0), (&fast, 2_000.0)].into_iter().zip(begun) {
        let (after, now) = targets(&app, push_id);
        let rate = (after - before) as f64 / (now - since).as_secs_f64();
        assert!((0.85..=1.15).contains(&(rate / speed)), "{rate} a second of a push with {speed}");
    }
    assert_eq!(app.progress(&slow)["slowest_part"], "pace");

    server.kill9();
    server.restart();
    let begun = targets(&app, &slow);
    let (ended, at) = until("the slow push has ended", || {
        let shown = app.progress(&slow);
        (shown["state"] == "PUSH_FINISHED").then(|| (shown["targets"].as_u64().expect("a number"), Instant::now()))
    });
    assert_eq!(ended, 8_000);
    let rate = (ended - begun.0) as f64 / (at - begun.1).as_secs_f64();
    assert!(rate <= 1_100.0, "{rate} a second after the restart");
    assert_eq!(app.finished(&fast)["targets"], 8_000);
}

#[test]
fn devices_that_are_online_get_it_spread_over_the_second() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let accounts: Vec<String> = (0..1_500).map(|n| format!("a{n:05}")).collect();
    let devices = app.import_devices(&server, &accounts);
    let (_fleet, phones) = Fleet::of(&server, devices);
    let package = app.uploaded(&accounts);
    let push_id = app.pushed(json!({
        "audience_type": "package_account_push", "upload_id": package, "push_speed": 1_000,
    }));
    until("all have it", || (app.progress(&push_id)["outcomes"]["arrived"] == 1_500).then_some(()));
    let mut came: Vec<Instant> = phones.iter().flat_map(|phone| phone.deliveries().0).map(|one| one.at).collect();
    came.sort_unstable();
    let took = (came[came.len() - 1] - came[0]).as_secs_f64();
    assert!((1.35..=1.8).contains(&took), "1,500 devices in {took} seconds");
    let tenth = |of: u32| came.iter().filter(|at| (**at - came[0]).as_secs_f64() < f64::from(of) / 10.0).count();
    let spread: Vec<usize> = (1..=10).map(|of| tenth(of) - tenth(of - 1)).collect();
    assert!(spread.iter().all(|count| (40..=160).contains(count)), "in each tenth of a second: {spread:?}");
}

#[test]
fn a_paced_push_that_is_stopped_ends_at_once() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let accounts: Vec<String> = (0..8_000).map(|n| format!("a{n:05}")).collect();
    let devices = app.import_devices(&server, &accounts);
    let package = app.uploaded(&accounts);
    let push_id = app.pushed(json!({
        "audience_type": "package_account_push", "upload_id": package, "push_speed": 1_000,
    }));
    until("it has begun", || (targets(&app, &push_id).0 > 0).then_some(()));
    let answer = app.call("/v3/push/stop_push_msg", &json!({ "pushId": push_id }));
    assert_eq!(answer["ret_code"], 0, "{answer}");
    let ended = until("it has ended, and nothing waits", || {
        let shown = app.progress(&push_id);
        (shown["finished_at"].is_number() && shown["outcomes"]["waiting"] == 0).then_some(shown)
    });
    let reached = ended["targets"].as_u64().expect("a number");
    assert!(reached < 4_000, "{ended}");
    assert_eq!((&ended["outcomes"]["stopped"], &ended["state"]), (&json!(reached), &json!("PUSH_DELETED_PUSH_MSG")));
    let (_fleet, phones) = Fleet::of(&server, devices.into_iter().take(20));
    let later = app.pushed(json!({ "audience_type": "account_list", "account_list": accounts[..20] }));
    for phone in &phones {
        assert_eq!(Phone::wait_for_messages(phone, 1)[0].push_id, later, "nothing of the stopped push comes first");
    }
}

#[test]
fn paced_pushes_hold_up_neither_another_push_nor_the_end_of_the_server() {
    let mut server = pigeonloft!().start();
    let accounts: Vec<String> = (0..8_000).map(|n| format!("a{n:05}")).collect();
    let given = |package: i64| json!({ "audience_type": "package_account_push", "upload_id": package });
    // More of them than windows are made at once. Each of an app of its own, or they would wait for their turn.
    let paced: Vec<_> = (0..3)
        .map(|_| {
            let app = server.app("android");
            let _ = app.import_devices(&server, &accounts);
            let mut given = given(app.uploaded(&accounts));
            given["push_speed"] = json!(1_000);
            let push_id = app.pushed(given);
            (app, push_id)
        })
        .collect();
    let app = server.app("android");
    let _ = app.import_devices(&server, &accounts);
    let fast = app.pushed(given(app.uploaded(&accounts)));
    let ended = app.finished(&fast);
    assert_eq!(ended["targets"], 8_000);
    let (last_app, last) = &paced[2];
    assert!(targets(last_app, last).0 < 8_000, "the fast one has overtaken it");

    let asked = Instant::now();
    server.terminate();
    assert!(asked.elapsed() < Duration::from_secs(5), "it took {:?} to stop", asked.elapsed());
    server.restart();
    for (app, push_id) in &paced {
        assert_eq!(app.finished(push_id)["targets"], 8_000);
    }
}
