//! Attributes: what an app says of a device, under names it has declared.

use pigeonloft_testkit::{App, Device, Server, assert_refused, pigeonloft};
use serde_json::{Value, json};

/// Declares attributes of an app.
pub(super) fn declare(server: &Server, app: &App, names: &[&str]) {
    let id = app.access_id.to_string();
    server.run(["app", "attribute", "add", "--app", &id].into_iter().chain(names.iter().copied()));
}

pub(super) fn call(app: &App, command: u8, device: &Device, map: &Value) -> Value {
    let body = json!({ "cmd": command, "token": device.token, "attributeInfo": { "attributeMap": map } });
    app.call("/v3/device/set_custom_attribute", &body)
}

/// What a device has.
fn held(app: &App, device: &Device) -> Value {
    let answer = call(app, 5, device, &json!(null));
    assert_eq!(answer["retCode"], 0, "{answer}");
    answer["attributeInfo"]["attributeMap"].clone()
}

fn done() -> Value {
    json!({ "retCode": 0, "errMsg": "" })
}

#[test]
fn attributes_are_added_updated_deleted_and_asked_for() {
    let mut server = pigeonloft!().start();
    let app = server.app("android");
    declare(&server, &app, &["age", "name"]);
    let device = app.register_device(None);
    assert_eq!(held(&app, &device), json!({}));
    // As the published example does it: what is not declared is answered, the rest is done.
    let answer = call(&app, 1, &device, &json!({ "age": "100", "name": "Ming", "high": "2.66" }));
    assert_eq!(answer, json!({ "retCode": 0, "errMsg": "", "invalidAttribute": ["high"] }));
    assert_eq!(held(&app, &device), json!({ "age": "100", "name": "Ming" }));
    assert_eq!(call(&app, 2, &device, &json!({ "name": "workman" })), done());
    assert_eq!(held(&app, &device), json!({ "age": "100", "name": "workman" }), "others stay");
    server.kill9();
    server.restart();
    assert_eq!(held(&app, &device), json!({ "age": "100", "name": "workman" }), "what was answered is durable");
    assert_eq!(call(&app, 3, &device, &json!({ "name": "whatever it is", "age": "" })), done());
    assert_eq!(held(&app, &device), json!({}));
    // A number is a text, an empty text takes the attribute off.
    assert_eq!(call(&app, 1, &device, &json!({ "age": 0, "name": "Ming" })), done());
    assert_eq!(call(&app, 1, &device, &json!({ "name": "" })), done());
    assert_eq!(held(&app, &device), json!({ "age": "0" }));
    assert_eq!(call(&app, 4, &device, &json!(null)), done());
    assert_eq!(held(&app, &device), json!({}));
}

#[test]
fn names_and_values_have_at_most_fifty_bytes_and_an_app_fifty_names() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let device = app.register_device(None);
    let longest = "信".repeat(16) + "ab";
    let names: Vec<String> = (1..50).map(|n| format!("attribute-{n}")).chain([longest.clone()]).collect();
    declare(&server, &app, &names.iter().map(String::as_str).collect::<Vec<_>>());
    let all: Value = names.iter().map(|name| (name.clone(), json!(longest))).collect();
    assert_eq!(call(&app, 1, &device, &all), done());
    assert_eq!(held(&app, &device), all);
    for too_long in [json!({ "信".repeat(17): "x" }), json!({ "attribute-1": "信".repeat(17) })] {
        assert_refused(&call(&app, 1, &device, &too_long), 1_008_007, "51 bytes, of at most 50");
    }
    let mut one_more = all;
    one_more["another"] = json!("x");
    assert_refused(&call(&app, 1, &device, &one_more), 1_008_007, "attributeInfo.attributeMap");
}

#[test]
fn a_call_says_what_is_wrong_with_it() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let device = app.register_device(None);
    let call = |body: Value| app.call("/v3/device/set_custom_attribute", &body);
    assert_refused(&call(json!({ "token": device.token })), 1_008_002, "cmd is missing");
    assert_refused(&call(json!({ "cmd": 6, "token": device.token })), 1_008_007, "cmd is invalid");
    assert_refused(&call(json!({ "cmd": 5 })), 1_008_002, "token is missing");
    assert_refused(&call(json!({ "cmd": 1, "token": device.token })), 1_008_002, "attributeInfo.attributeMap");
    assert_refused(&call(json!({ "cmd": 5, "token": "short" })), 1_008_006, "token");
    for command in 1..=5 {
        let body =
            json!({ "cmd": command, "token": "a".repeat(36), "attributeInfo": { "attributeMap": { "a": "b" } } });
        assert_refused(&call(body), 1_008_006, "no device of this app");
    }
}

#[test]
fn two_apps_have_names_and_devices_of_their_own() {
    let server = pigeonloft!().start();
    let (ours, theirs) = (server.app("android"), server.app("android"));
    declare(&server, &ours, &["name"]);
    let token = "0123456789abcdef0123456789abcdef0123";
    for app in [&ours, &theirs] {
        assert_eq!(app.register(&json!({ "token": token })).0, 201);
    }
    let device = Device { access_id: ours.access_id, token: token.into(), password: String::new() };
    let ming = json!({ "name": "Ming" });
    assert_eq!(call(&ours, 1, &device, &ming), done());
    assert_eq!(call(&theirs, 1, &device, &ming)["invalidAttribute"], json!(["name"]));
    declare(&server, &theirs, &["name"]);
    assert_eq!((held(&ours, &device), held(&theirs, &device)), (ming, json!({})));
    assert_refused(&call(&theirs, 5, &ours.register_device(None), &json!(null)), 1_008_006, "no device of this app");
}

#[test]
fn a_device_that_is_deleted_and_a_name_that_is_taken_back_leave_nothing() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let id = app.access_id.to_string();
    declare(&server, &app, &["city", "name"]);
    let (gone, stays) = (app.register_device(None), app.register_device(None));
    for device in [&gone, &stays] {
        assert_eq!(call(&app, 1, device, &json!({ "city": "Wuxi", "name": "Ming" })), done());
    }
    assert_eq!(app.as_device(&gone, "DELETE", "", &json!({})).0, 204);
    assert_refused(&call(&app, 5, &gone, &json!(null)), 1_008_006, "no device of this app");
    assert_eq!(app.register(&json!({ "token": gone.token })).0, 201);
    assert_eq!(held(&app, &gone), json!({}), "the token is another device's now");
    server.run(["app", "attribute", "remove", "--app", &id, "name"]);
    assert_eq!(held(&app, &stays), json!({ "city": "Wuxi" }));
    assert_eq!(call(&app, 2, &stays, &json!({ "name": "Li" }))["invalidAttribute"], json!(["name"]));
    declare(&server, &app, &["name"]);
    assert_eq!(held(&app, &stays), json!({ "city": "Wuxi" }), "declared anew, it begins with nothing");
}
