//! What published clients send beside what they mean: zero values for all they do not set, numbers as texts, members that
//! no page names. A call means the same with and without them. And where they go wrong: what is said then.

use pigeonloft_testkit::{App, Device, assert_refused, pigeonloft};
use serde_json::{Value, json};

/// A push call with every member it may have, none of which says anything.
fn zeros() -> Value {
    json!({
        "audience_type": "", "message_type": "", "platform": "", "environment": "", "upload_id": 0, "account_type": 0,
        "account_push_type": 0, "account_list": null, "token_list": null, "tag_list": { "tags": null, "op": "" },
        "tag_rules": [], "send_time": "", "push_speed": 0, "collapse_id": 0, "force_collapse": false, "multi_pkg": false,
        "channel_rules": null, "tpns_online_push_type": 0, "ignore_invalid_token": 0, "plan_id": "", "group_id": "",
        "trace_id": "", "stat_tag": "", "loop_times": 0, "loop_interval": 0, "adjunct": "",
        "loop_param": { "startDate": "", "endDate": "", "loopType": 0, "loopDayIndexs": null, "dayTimes": null },
        "message": zero_message(),
    })
}

/// A message with a title, and every other member it may have.
fn zero_message() -> Value {
    json!({
            "title": "a title", "content": "", "accept_time": null, "thread_id": "", "thread_sumtext": "",
            "xg_media_resources": "", "show_type": 0,
            "android": {
                "n_ch_id": "", "n_ch_name": "", "n_id": 0, "builder_id": 0, "badge_type": 0, "ring": 0, "ring_raw": "",
                "vibrate": 0, "lights": 0, "clearable": 0, "icon_type": 0, "icon_res": "", "style_id": 0, "icon_color": 0,
                "action": {
                    "action_type": 0, "activity": "", "aty_attr": { "if": 0, "pf": 0 },
                    "browser": { "url": "", "confirm": 0 }, "intent": ""
                },
                "custom_content": null
            },
            "ios": { "aps": { "alert": null, "badge_type": 0, "category": "", "sound": "" }, "custom_content": "" }
    })
}

fn zeros_but(said: &Value) -> Value {
    let mut given = zeros();
    for (name, value) in said.as_object().expect("members") {
        given[name] = value.clone();
    }
    given
}

#[test]
fn zero_values_in_a_push_mean_not_set() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let ann = app.register_device(Some("ann"));
    let package = app.uploaded(["ann", "eve"]);
    for said in [
        json!({ "audience_type": "token", "token_list": [ann.token] }),
        json!({ "audience_type": "account", "account_list": ["ann"] }),
        json!({ "audience_type": "account_list", "account_list": ["ann"], "account_type": "0", "expire_time": "86400" }),
        json!({ "audience_type": "package_account_push", "upload_id": package.to_string() }),
        json!({ "audience_type": "all" }),
        json!({ "audience_type": "tag", "tag_rules": [{ "tag_items": [
            { "tags": ["nobody's"], "is_not": 1, "tags_operator": "", "items_operator": "", "tag_type": "" }],
            "operator": "", "is_not": 0 }] }),
    ] {
        let push_id = app.pushed_in_turn(&zeros_but(&merged(&said, "message_type", json!("notify"))));
        let ended = app.finished(&push_id);
        assert_eq!((&ended["targets"], &ended["outcomes"]["waiting"]), (&json!(1), &json!(1)), "{said}: {ended}");
        let kept = ended["expire_at"].as_i64().zip(ended["start_at"].as_i64()).map(|(end, start)| end - start);
        assert_eq!(kept, Some(86_400), "{said}");
    }
    // What has to be said is missing then, and not wrong.
    assert_refused(&app.push(zeros()), 1_008_002, "audience_type is missing");
    assert_refused(
        &app.push(zeros_but(&json!({ "audience_type": "tag", "message_type": "notify" }))),
        1_008_002,
        "tag_list.tags",
    );
}

fn merged(said: &Value, name: &str, value: Value) -> Value {
    let mut said = said.clone();
    said[name] = value;
    said
}

#[test]
fn a_refused_push_has_its_seq_whatever_it_is_refused_for() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    for (said, code) in [
        (json!({ "audience_type": null }), 1_008_002),
        (json!({ "audience_type": "some" }), 1_008_007),
        (json!({ "audience_type": "all", "message": "a text" }), 1_008_001),
        (json!({ "audience_type": "all", "expire_time": 259_201 }), 1_008_007),
        (json!({ "audience_type": "all", "send_time": "tomorrow" }), 10_010_012),
        (json!({ "audience_type": "all" }), 10_010_005),
    ] {
        let answer = app.push(merged(&said, "seq", json!(4711)));
        assert_eq!((&answer["ret_code"], &answer["seq"]), (&json!(code), &json!(4711)), "{said}: {answer}");
    }
}

#[test]
fn zero_values_in_the_other_calls_mean_not_set() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let ann = app.register_device(Some("ann"));
    let package = app.uploaded(["ann"]);
    let (status, estimated) = app.own_post(
        &format!("/v1/packages/{package}/estimate"),
        &json!({ "audience_type": "", "account_type": 0, "environment": "", "channel_rules": null }),
    );
    assert_eq!((status, &estimated["devices"]), (200, &json!(1)), "{estimated}");
    for (path, body) in other_calls(&ann) {
        let answer = app.call(path, &body);
        let code = answer.get("ret_code").or_else(|| answer.get("retCode"));
        assert_eq!(code, Some(&json!(0)), "{path}: {answer}");
    }
    let day = today(&app);
    let asked = json!({ "pushId": "", "startDate": day, "endDate": day, "msgType": "", "pushType": "", "offset": 0, "limit": 0 });
    let records = "/v3/statistics/get_push_record";
    assert_eq!(app.call(records, &asked)["count"], 1);
    assert_refused(&app.call(records, &merged(&asked, "offset", json!(-1))), 1_008_007, "from 0 to 4294967295");
    assert_refused(&app.push(json!({ "audience_type": "all", "multi_pkg": "x" })), 1_008_001, "true or false");
}

fn other_calls(ann: &Device) -> [(&'static str, Value); 5] {
    let token = &ann.token;
    [
        (
            "/v3/device/account/batchoperate",
            json!({ "operator_type": "2", "platform": "", "account_list": null, "token_list": null,
                "token_accounts": [{ "token": token, "account_list": [{ "account": "ann", "account_type": "0" }] }] }),
        ),
        (
            "/v3/device/account/query",
            json!({ "operator_type": "2", "platform": "android", "token_list": [token], "account_list": null }),
        ),
        (
            "/v3/device/tag",
            json!({ "operator_type": "1", "platform": "", "seq": 0, "tag_list": ["vip"], "token_list": [token],
                "tag_token_list": null }),
        ),
        (
            "/v3/device/tag",
            json!({ "operator_type": 5, "tag_list": null, "token_list": [token], "tag_token_list": [] }),
        ),
        ("/v3/device/set_custom_attribute", json!({ "cmd": "5", "token": token, "attributeInfo": null })),
    ]
}

/// The day a push of now counts on, as the server says.
fn today(app: &App) -> String {
    let push_id = app.pushed_in_turn(&json!({ "audience_type": "all" }));
    let answer = app.call("/v3/statistics/get_push_record", &json!({ "pushId": push_id, "startDate": "", "limit": 0 }));
    answer["pushRecordData"][0]["date"].as_str().expect("a date")[..10].to_owned()
}

#[test]
fn what_is_not_the_api_is_said_to_be_so() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    // A service URL with the path of a call in it, as somebody may set it.
    let (status, answer) = app.own_post("/v3/push/app/v3/push/app", &json!({}));
    assert_eq!((status, &answer["status"]), (404, &json!(404)), "{answer}");
    assert!(answer["detail"].as_str().is_some_and(|text| text.contains("service URL")), "{answer}");
    let answer = app.request("GET", "/v3/push/app", &[], "");
    assert_eq!((answer.status().as_u16(), answer.headers()["allow"].to_str().ok()), (405, Some("POST")));
    assert!(answer.body()["detail"].as_str().is_some_and(|text| text.contains("Allow")), "{answer:?}");
}
