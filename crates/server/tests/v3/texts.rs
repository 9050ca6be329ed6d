//! Texts filled from attributes: each device gets a title and a content of its own.

use pigeonloft_testkit::{App, Fleet, Habit, Phone, assert_refused, pigeonloft, until};
use serde_json::{Value, json};

use super::attributes::{call, declare};

fn set(app: &App, phone: &Phone, map: &Value) {
    let answer = call(app, 1, phone.device(), map);
    assert_eq!(answer, json!({ "retCode": 0, "errMsg": "" }));
}

/// The texts a phone got of a push, in the order in which they came.
fn texts(phone: &Phone, push_id: &str) -> Vec<(String, String)> {
    let text = |payload: &Value, name: &str| payload[name].as_str().expect("a text").to_owned();
    let messages = phone.messages().into_iter().filter(|message| message.push_id == push_id);
    messages.map(|message| (text(&message.payload, "title"), text(&message.payload, "content"))).collect()
}

fn dear() -> Value {
    json!({ "title": "Dear {{ nickname | friend }},", "content": "{{city}} has {{|{{}}snow}}" })
}

fn expected(name: &str, city: &str) -> Vec<(String, String)> {
    vec![(format!("Dear {name},"), format!("{city} has {{{{snow}}}}"))]
}

#[test]
fn each_device_of_a_push_gets_texts_of_its_own_online_or_later() {
    // Batches of two: the values of each are asked for together.
    let mut server = pigeonloft!().set("push.batch_rows", 2).start();
    let app = server.app("android");
    declare(&server, &app, &["nickname", "city"]);
    let accounts: Vec<String> = (0..5).map(|place| format!("account-{place}")).collect();
    let phones: Vec<Phone> = app.import_devices(&server, &accounts).into_iter().map(Phone::new).collect();
    set(&app, &phones[0], &json!({ "nickname": "\"Ming\" \\ 明 {{city}}\n", "city": "Wuxi" }));
    set(&app, &phones[1], &json!({ "nickname": "Li" }));
    set(&app, &phones[2], &json!({ "city": "Xi'an" }));
    set(&app, &phones[4], &json!({ "nickname": "Wang", "city": "Wuhan" }));
    let fleet = Fleet::new(server.mqtt());
    fleet.online(&phones[..4], Habit::Acknowledges);
    let upload_id = app.uploaded(&accounts);
    let push_id =
        app.pushed(json!({ "audience_type": "package_account_push", "upload_id": upload_id, "message": dear() }));
    until("four have it", || (app.progress(&push_id)["outcomes"]["arrived"] == 4).then_some(()));
    let all = [
        expected("\"Ming\" \\ 明 {{city}}\n", "Wuxi"),
        expected("Li", ""),
        expected("friend", "Xi'an"),
        expected("friend", ""),
        expected("Wang", "Wuhan"),
    ];
    for (phone, expected) in phones[..4].iter().zip(&all) {
        assert_eq!(texts(phone, &push_id), *expected);
    }
    server.kill9();
    server.restart();
    let fleet = Fleet::new(server.mqtt());
    fleet.online(&phones[4..], Habit::Acknowledges);
    until("the fifth has it", || (app.progress(&push_id)["outcomes"]["arrived"] == 5).then_some(()));
    assert_eq!(texts(&phones[4], &push_id), all[4]);
}

#[test]
fn a_message_that_comes_again_shows_what_the_device_has_by_then() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    declare(&server, &app, &["nickname", "city"]);
    let fleet = Fleet::new(server.mqtt());
    let phone = Phone::new(app.register_device(None));
    set(&app, &phone, &json!({ "nickname": "Ming", "city": "Wuxi" }));
    fleet.online([&phone], Habit::NeverAcknowledges);
    let push_id =
        app.pushed(json!({ "audience_type": "token", "token_list": [phone.device().token], "message": dear() }));
    until("it comes", || (phone.of_push(&push_id).1 == 1).then_some(()));
    let _ = app.finished(&push_id);
    set(&app, &phone, &json!({ "nickname": "Mr Ming", "city": "" }));
    phone.vanish();
    fleet.online([&phone], Habit::Acknowledges);
    until("it comes again", || (phone.of_push(&push_id).1 == 2).then_some(()));
    assert_eq!(phone.of_push(&push_id).0.len(), 1, "under the same msg_id");
    assert_eq!(texts(&phone, &push_id), [expected("Ming", "Wuxi"), expected("Mr Ming", "")].concat());
    assert_eq!(app.receivers(&[phone], &push_id), [0]);
}

#[test]
fn an_alert_on_an_iphone_is_filled_and_a_name_that_was_taken_back_is_its_default() {
    let server = pigeonloft!().start();
    let app = server.app("ios");
    declare(&server, &app, &["nickname"]);
    let (_fleet, phones) = Fleet::of(&server, [app.register_device(None)]);
    set(&app, &phones[0], &json!({ "nickname": "Ming" }));
    let to = |alert: Value| {
        let push_id = app.pushed(json!({ "audience_type": "token", "token_list": [phones[0].device().token],
            "message": { "title": "", "content": "", "ios": { "aps": { "alert": alert } } } }));
        until("it comes", || (phones[0].of_push(&push_id).1 == 1).then_some(()));
        phones[0].messages().into_iter().find(|message| message.push_id == push_id).expect("it came").payload
    };
    let alert = json!({ "title": "T {{nickname}}", "subtitle": "S {{nickname}}", "body": "B {{nickname|you}}" });
    let payload = to(alert.clone());
    assert_eq!((&payload["title"], &payload["content"]), (&json!("T Ming"), &json!("B Ming")));
    assert_eq!(payload["ios"]["aps"]["alert"], json!({ "title": "T Ming", "subtitle": "S Ming", "body": "B Ming" }));
    // Once a push is taken it is sent, whatever becomes of the names in it.
    let away = Phone::new(app.register_device(None));
    set(&app, &away, &json!({ "nickname": "Li" }));
    let push_id = app.pushed(json!({ "audience_type": "token", "token_list": [away.device().token],
        "message": { "title": "", "content": "", "ios": { "aps": { "alert": alert } } } }));
    let _ = app.finished(&push_id);
    server.run(["app", "attribute", "remove", "--app", &app.access_id.to_string(), "nickname"]);
    let fleet = Fleet::new(server.mqtt());
    fleet.online([&away], Habit::Acknowledges);
    until("it comes", || (away.of_push(&push_id).1 == 1).then_some(()));
    assert_eq!(texts(&away, &push_id), [("T ".to_owned(), "B you".to_owned())]);
}

#[test]
fn a_text_that_names_an_attribute_nobody_declared_fails_the_call() {
    let server = pigeonloft!().start();
    let (ours, theirs) = (server.app("android"), server.app("ios"));
    declare(&server, &ours, &["nickname"]);
    let (android, iphone) = (ours.register_device(None), theirs.register_device(None));
    let push = |app: &App, token: &str, message: Value| {
        app.push(json!({ "audience_type": "token", "token_list": [token], "message": message }))
    };
    let refused = push(&ours, &android.token, json!({ "title": "{{nickname}}", "content": "{{nick|you}}" }));
    assert_refused(&refused, 1_008_007, "message.content is invalid: the app has no attribute \"nick\"");
    // What another app has declared is nothing to this one.
    let alert = json!({ "title": "", "content": "", "ios": { "aps": { "alert": { "body": "{{nickname}}" } } } });
    let refused = push(&theirs, &iphone.token, alert);
    assert_refused(&refused, 1_008_007, "message.ios.aps.alert.body is invalid: the app has no attribute \"nickname\"");
    let at_most = |places: usize| push(&ours, &android.token, json!({ "title": "{{nickname}}".repeat(places) }));
    assert_eq!(at_most(20)["ret_code"], 0);
    assert_refused(&at_most(21), 1_008_007, "message.title is invalid: it names more than 20 attributes");
    let plain = json!({ "title": "a {{ without an end", "content": "}} {nickname} {{" });
    assert_eq!(push(&theirs, &iphone.token, plain)["ret_code"], 0);
}

#[test]
fn the_four_kilobytes_are_of_the_message_as_it_came() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    declare(&server, &app, &["n"]);
    let (_fleet, phones) = Fleet::of(&server, [app.register_device(None)]);
    let value = "信".repeat(16) + "ab";
    set(&app, &phones[0], &json!({ "n": value }));
    let mut message = json!({ "title": "{{n}}".repeat(20), "content": "" });
    let room = 4_096 - message.to_string().len();
    message["content"] = json!("x".repeat(room));
    let to = json!({ "audience_type": "token", "token_list": [phones[0].device().token], "message": message });
    let push_id = app.pushed(to.clone());
    assert_eq!(app.receivers(&phones, &push_id), [0]);
    assert_eq!(texts(&phones[0], &push_id), [(value.repeat(20), "x".repeat(room))]);
    let mut one_more = to;
    one_more["message"]["content"] = json!("x".repeat(room + 1));
    assert_refused(&app.push(one_more), 1_008_007, "it has 4097 bytes");
}
