//! Tags as an app's server gives them to devices and takes them away: each operator, what it answers for each element,
//! and who is reached by the tag then.

use pigeonloft_testkit::{App, Device, assert_refused, pigeonloft};
use serde_json::{Value, json};

use super::audiences::reached;

fn tag(app: &App, body: Value) -> Value {
    app.call("/v3/device/tag", &body)
}

/// Gives or takes, and all goes well.
fn tagged(app: &App, body: Value) {
    let answer = tag(app, body);
    assert_eq!(answer["ret_code"], 0, "{answer}");
}

/// Which of the devices have this custom tag, by their place.
fn having(app: &App, devices: &[Device], name: &str) -> Vec<usize> {
    reached(app, devices, json!({ "tag_list": { "tags": [name], "op": "OR" } }))
}

#[test]
fn each_operator_gives_or_takes_what_it_says() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let devices = [app.register_device(None), app.register_device(None)];
    let [one, two] = [&devices[0].token, &devices[1].token];
    let having = |name: &str| having(&app, &devices, name);

    // 1: one tag to one token; what is beyond the first of a list does not count.
    tagged(&app, json!({ "operator_type": 1, "tag_list": ["vip", "other"], "token_list": [one, two] }));
    assert_eq!((having("vip"), having("other")), (vec![0], vec![]));
    // 7: one tag to many tokens, of whom one has it already.
    let answer = tag(&app, json!({ "operator_type": 7, "tag_list": ["vip"], "token_list": [one, two] }));
    assert_eq!(answer, json!({ "ret_code": 0, "err_msg": "", "result": ["0", "0"] }));
    assert_eq!(having("vip"), [0, 1]);
    // 2 and 8 take it away again.
    tagged(&app, json!({ "operator_type": 2, "tag_list": ["vip"], "token_list": [one] }));
    assert_eq!(having("vip"), [1]);
    tagged(&app, json!({ "operator_type": 8, "tag_list": ["vip"], "token_list": [one, two] }));
    assert_eq!(having("vip"), Vec::<usize>::new());
    // 3 and 4: many tags, one token.
    tagged(&app, json!({ "operator_type": 3, "tag_list": ["a", "b", "level:1", "sex:f"], "token_list": [one] }));
    tagged(&app, json!({ "operator_type": 4, "tag_list": ["b", "never had"], "token_list": [one] }));
    assert_eq!((having("a"), having("b")), (vec![0], vec![]));
    // 6 with categories takes the place of these alone.
    tagged(&app, json!({ "operator_type": 6, "tag_list": ["level:2", "level:3"], "token_list": [one] }));
    assert_eq!((having("level:1"), having("level:2"), having("level:3")), (vec![], vec![0], vec![0]));
    assert_eq!((having("a"), having("sex:f")), (vec![0], vec![0]));
    // With one that has none, of all.
    tagged(&app, json!({ "operator_type": 6, "tag_list": ["new", "level:2"], "token_list": [one] }));
    assert_eq!((having("new"), having("level:2")), (vec![0], vec![0]));
    assert_eq!((having("a"), having("level:3"), having("sex:f")), (vec![], vec![], vec![]));
    // 9 and 10: pairs, also as older clients write them.
    let pairs = json!([{ "tag": "p", "token": one }, ["q", two]]);
    tagged(&app, json!({ "operator_type": 9, "tag_token_list": pairs }));
    assert_eq!((having("p"), having("q")), (vec![0], vec![1]));
    tagged(&app, json!({ "operator_type": 10, "tag_token_list": [["q", two]] }));
    assert_eq!((having("p"), having("q")), (vec![0], vec![]));
    // 5: all of a token.
    tagged(&app, json!({ "operator_type": 5, "token_list": [one] }));
    assert_eq!((having("p"), having("new")), (vec![], vec![]));
}

#[test]
fn a_tag_that_is_deleted_is_off_all_devices_and_may_be_given_again() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let devices = [app.register_device(None), app.register_device(None)];
    let tokens = [&devices[0].token, &devices[1].token];
    tagged(&app, json!({ "operator_type": 7, "tag_list": ["sale"], "token_list": tokens }));
    let answer =
        app.call("/v3/device/tag/delete_all_device", &json!({ "tag_list": ["sale", "unknown", "x".repeat(51)] }));
    assert_eq!(answer["result"], json!(["0", "0", "1008007"]), "{answer}");
    assert_eq!(having(&app, &devices, "sale"), Vec::<usize>::new());
    tagged(&app, json!({ "operator_type": 1, "tag_list": ["sale"], "token_list": [tokens[1]] }));
    assert_eq!(having(&app, &devices, "sale"), [1]);
}

#[test]
fn a_bad_element_leaves_its_neighbours_alone() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let devices = [app.register_device(None)];
    let (token, unknown) = (&devices[0].token, "0".repeat(36));
    let answer =
        tag(&app, json!({ "operator_type": 7, "tag_list": ["vip"], "token_list": [unknown, token, "no token"] }));
    assert_eq!(answer["ret_code"], 1_008_026, "{answer}");
    assert_eq!(answer["result"], json!(["1008006", "0", "1008006"]), "{answer}");
    assert_eq!(having(&app, &devices, "vip"), [0]);
    let answer = tag(&app, json!({ "operator_type": 3, "tag_list": ["a", "b"], "token_list": [unknown] }));
    assert_eq!(
        (&answer["ret_code"], &answer["result"]),
        (&json!(1_008_027), &json!(["1008006", "1008006"])),
        "{answer}"
    );
    // Another app's device is nobody's here.
    let other = server.app("android").register_device(None).token;
    let answer = tag(&app, json!({ "operator_type": 5, "token_list": [other] }));
    assert_eq!(answer["result"], json!(["1008006"]), "{answer}");
    let long = json!(["x".repeat(50), "x".repeat(51), " "]);
    let answer = tag(&app, json!({ "operator_type": 3, "tag_list": long, "token_list": [token] }));
    assert_eq!(answer["result"], json!(["0", "1008007", "1008007"]), "{answer}");
}

#[test]
fn a_device_has_100_custom_tags_and_not_one_more() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let device = app.register_device(None);
    let tags: Vec<String> = (0..101).map(|n| format!("tag {n}")).collect();
    let answer = tag(&app, json!({ "operator_type": 3, "tag_list": tags, "token_list": [device.token] }));
    assert_eq!(answer["ret_code"], 1_008_026, "{answer}");
    let result = answer["result"].as_array().expect("a list");
    assert_eq!(result.iter().filter(|code| **code == "0").count(), 100, "{answer}");
    assert_eq!(result[100], "1008007", "{answer}");
    assert!(answer["err_msg"].as_str().is_some_and(|text| text.contains("100 custom tags")), "{answer}");
    // What it reports of itself is beside them, and in the place of one there is room.
    let (status, _) = app.as_device(&device, "PATCH", "", &json!({ "app_version": "1.2" }));
    assert_eq!(status, 204);
    tagged(&app, json!({ "operator_type": 2, "tag_list": ["tag 7"], "token_list": [device.token] }));
    tagged(&app, json!({ "operator_type": 1, "tag_list": ["tag 100"], "token_list": [device.token] }));
}

#[test]
fn an_app_has_10_000_custom_tags_and_not_one_more() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let devices: Vec<Device> = (0..101).map(|_| app.register_device(None)).collect();
    for (n, device) in devices[..100].iter().enumerate() {
        let tags: Vec<String> = (0..100).map(|tag| format!("{n}/{tag}")).collect();
        tagged(&app, json!({ "operator_type": 3, "tag_list": tags, "token_list": [device.token] }));
    }
    let token = &devices[100].token;
    let more = json!({ "operator_type": 1, "tag_list": ["one more"], "token_list": [token] });
    let answer = tag(&app, more.clone());
    assert_eq!(answer["result"], json!(["1008007"]), "{answer}");
    assert!(answer["err_msg"].as_str().is_some_and(|text| text.contains("10,000")), "{answer}");
    // One that is there may go to more devices; and what the last one gives back leaves room.
    tagged(&app, json!({ "operator_type": 1, "tag_list": ["0/0"], "token_list": [token] }));
    tagged(&app, json!({ "operator_type": 2, "tag_list": ["1/1"], "token_list": [devices[1].token] }));
    tagged(&app, more);
}

#[test]
fn a_batch_that_cannot_be_read_is_refused_as_a_whole() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let token = "0".repeat(36);
    for (body, code, says) in [
        (json!({}), 1_008_002, "operator_type"),
        (json!({ "operator_type": 11 }), 1_008_007, "operator_type"),
        (json!({ "operator_type": 1, "tag_list": ["a"] }), 1_008_002, "token_list"),
        (json!({ "operator_type": 3, "tag_list": vec!["a"; 501], "token_list": [token] }), 1_008_007, "500"),
        (json!({ "operator_type": 7, "tag_list": ["a"], "token_list": vec![&token; 501] }), 1_008_007, "500"),
        (json!({ "operator_type": 9, "tag_token_list": vec![["a", &token]; 21] }), 1_008_007, "20"),
        (json!({ "operator_type": 9, "tag_token_list": "a" }), 1_008_001, "tag_token_list"),
    ] {
        assert_refused(&tag(&app, body), code, says);
    }
    assert_refused(&app.call("/v3/device/tag/delete_all_device", &json!({ "tag_list": null })), 1_008_002, "tag_list");
}
