//! `collapse_id`: a push takes the place of an earlier one. Whom that has not reached gets the new one alone, and whom it
//! has is told what to replace.

use pigeonloft_testkit::{App, Fleet, Habit, Phone, assert_refused, pigeonloft, until};
use serde_json::{Value, json};

use super::{at, one_after_the_other};
use crate::stops::{outcomes, state};

fn to(package: i64, collapse_id: &Value) -> Value {
    json!({ "audience_type": "package_account_push", "upload_id": package, "collapse_id": collapse_id })
}

/// The ids of the pushes a phone has, in the order they came, each with the push that it replaces.
fn came(phone: &Phone) -> Vec<(String, Value)> {
    phone.messages().into_iter().map(|message| (message.push_id, message.payload["collapse_id"].clone())).collect()
}

fn line(app: &App, push_id: &str) -> i64 {
    let answer = app.call("/v3/statistics/get_push_record", &json!({ "pushId": push_id }));
    answer["pushRecordData"][0]["collapseID"].as_i64().expect("a number")
}

#[test]
fn the_later_push_replaces_the_earlier_one_where_it_waits_and_where_it_is_shown() {
    let mut server = pigeonloft!().start();
    let app = server.app("android");
    let [ann, bob] = ["ann", "bob"].map(|name| app.register_device(Some(name)));
    let (fleet, phones) = Fleet::of(&server, [ann]);
    let package = app.uploaded(["ann", "bob"]);
    let score = app.pushed(to(package, &json!(0)));
    outcomes(&app, &score, &json!({ "arrived": 1, "waiting": 1 }));

    let answer = until("it is the app's turn", || {
        let answer = app.push(to(package, &json!(score)));
        (answer["ret_code"] == 0).then_some(answer)
    });
    assert_eq!(answer["collapse_id"], score.parse::<i64>().unwrap(), "{answer}");
    let goal = answer["push_id"].as_str().expect("a push_id").to_owned();
    outcomes(&app, &score, &json!({ "arrived": 1, "stopped": 1 }));
    outcomes(&app, &goal, &json!({ "arrived": 1, "waiting": 1 }));
    assert_eq!((state(&app, &score), state(&app, &goal)), (json!("PUSH_COLLAPSED"), json!("PUSH_FINISHED")));

    // One that names the second is of the same line: a device knows it by the first.
    server.kill9();
    server.restart();
    fleet.online(&phones, Habit::Acknowledges);
    let end = app.pushed_in_turn(&to(package, &json!(goal)));
    outcomes(&app, &end, &json!({ "arrived": 1, "waiting": 1 }));
    assert_eq!(
        came(&phones[0]),
        [(score.clone(), Value::Null), (goal.clone(), json!(score)), (end.clone(), json!(score))]
    );
    for push_id in [&score, &goal, &end] {
        assert_eq!(line(&app, push_id).to_string(), score);
    }
    let bob = Phone::new(bob);
    fleet.online([&bob], Habit::Acknowledges);
    outcomes(&app, &end, &json!({ "arrived": 2 }));
    assert_eq!(came(&bob), [(end, json!(score))]);
}

#[test]
fn a_push_that_runs_ends_before_the_one_that_replaces_it_begins() {
    let (_server, app, _fleet, phones, package) = one_after_the_other(1_000);
    let old = app.pushed(to(package, &Value::Null));
    let new = app.pushed_in_turn(&to(package, &json!(old)));
    for phone in &phones {
        until("it has the new one", || came(phone).contains(&(new.clone(), json!(old))).then_some(()));
    }
    let had_the_old: Vec<usize> = phones.iter().map(|phone| phone.of_push(&old).1).collect();
    assert!(had_the_old[0] == 1 && had_the_old[3] == 0, "it had begun, and was not through: {had_the_old:?}");
    for phone in &phones {
        assert_eq!(came(phone).last(), Some(&(new.clone(), json!(old))), "never the older after the newer");
    }
    let shown = app.progress(&old);
    assert_eq!(
        (&shown["state"], &shown["targets"]),
        (&json!("PUSH_COLLAPSED"), &json!(had_the_old.iter().sum::<usize>()))
    );
}

#[test]
fn a_push_for_later_replaces_the_earlier_one_when_its_time_comes() {
    let server = pigeonloft!().clock_at(at("2027-01-30 08:00:00")).start();
    let app = server.app("android");
    let ann = app.register_device(Some("ann"));
    let to_all = |title: &str| json!({ "audience_type": "all", "message": { "title": title } });
    let old = app.pushed(to_all("kick-off at 8"));
    let mut given = to_all("kick-off");
    given["collapse_id"] = json!(old);
    given["send_time"] = json!("2027-01-30 09:00:00");
    let new = app.pushed_in_turn(&given);
    outcomes(&app, &old, &json!({ "waiting": 1 }));
    assert_eq!((state(&app, &old), state(&app, &new)), (json!("PUSH_FINISHED"), json!("PUSH_WAIT")));
    server.set_clock(at("2027-01-30 09:00:00"));
    outcomes(&app, &old, &json!({ "stopped": 1 }));
    outcomes(&app, &new, &json!({ "waiting": 1 }));
    let (_fleet, phones) = Fleet::of(&server, [ann]);
    outcomes(&app, &new, &json!({ "arrived": 1 }));
    assert_eq!(came(&phones[0]), [(new, json!(old))]);
}

#[test]
fn only_an_earlier_push_of_the_app_to_many_can_be_replaced() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let _ = app.register_device(Some("ann"));
    let package = app.uploaded(["ann"]);
    let to_one = json!({ "audience_type": "account", "account_list": ["ann"] });
    let single = app.pushed(to_one.clone());
    assert_refused(&app.push(to(package, &json!(999))), 1_008_015, "no push 999");
    assert_refused(&app.push(to(package, &json!(single))), 1_008_007, "collapse_id");
    let other = server.app("android");
    let _ = other.register_device(Some("ann"));
    let theirs = other.pushed(to(other.uploaded(["ann"]), &Value::Null));
    assert_refused(&app.push(to(package, &json!(theirs))), 1_008_015, &theirs);
    // To one device it means nothing, as published.
    let mut given = to_one;
    given["collapse_id"] = json!(999);
    let answer = app.push(given);
    assert_eq!((&answer["ret_code"], answer.get("collapse_id")), (&json!(0), None), "{answer}");
    assert_eq!(app.finished(&single)["outcomes"]["waiting"], 1);
}
