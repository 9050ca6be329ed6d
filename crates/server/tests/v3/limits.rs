//! Limits of the calls, each at its value and one over. Those of a topic of its own stand there.

use pigeonloft_testkit::{assert_refused, pigeonloft};
use serde_json::{Value, json};

const OPERATE: &str = "/v3/device/account/batchoperate";
const QUERY: &str = "/v3/device/account/query";

#[test]
fn a_push_to_a_list_has_at_most_1000_accounts_or_tokens() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let device = app.register_device(Some("ann"));
    let accounts = |count: usize| {
        let names: Vec<_> = (1..count).map(|n| format!("account {n}")).chain(["ann".into()]).collect();
        json!({ "audience_type": "account_list", "account_list": names })
    };
    let tokens = |count: usize| {
        let tokens: Vec<_> = (1..count).map(|n| format!("{n:036x}")).chain([device.token.clone()]).collect();
        json!({ "audience_type": "token_list", "token_list": tokens, "ignore_invalid_token": 1 })
    };
    for (taken, refused, member) in [
        (accounts(1_000), accounts(1_001), "account_list is invalid: it has 1001 elements, give at most 1000"),
        (tokens(1_000), tokens(1_001), "token_list is invalid: it has 1001 elements, give at most 1000"),
    ] {
        assert_eq!(app.finished(&app.pushed(taken))["targets"], 1);
        assert_refused(&app.push(refused), 1_008_007, member);
    }
    let mut first = accounts(1_001);
    first["audience_type"] = "account".into();
    first["account_list"][0] = "ann".into();
    assert_eq!(app.finished(&app.pushed(first))["targets"], 1, "of these the first counts, however many there are");
}

#[test]
fn texts_and_numbers_of_a_push_stay_within_their_limits() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let device = app.register_device(Some("ann"));
    let to_ann = |member: &str, value: Value| {
        app.push(json!({ "audience_type": "token", "token_list": [device.token], member: value }))
    };
    let text = |characters: usize| json!("信".repeat(characters));
    for (member, taken, refused) in [
        ("plan_id", text(64), text(65)),
        ("group_id", text(64), text(65)),
        ("account_type", json!(16), json!(17)),
        ("account_type", json!(1_015), json!(1_016)),
        ("expire_time", json!(259_200), json!(259_201)),
        ("push_speed", json!(50_000), json!(50_001)),
        ("push_speed", json!(1_000), json!(999)),
        ("account_push_type", json!(1), json!(2)),
        ("tpns_online_push_type", json!(0), json!(2)),
    ] {
        let answer = to_ann(member, taken);
        assert_eq!(answer["ret_code"], 0, "{member}: {answer}");
        assert_refused(&to_ann(member, refused), 1_008_007, member);
    }
    assert_eq!(to_ann("seq", text(256))["seq"], text(256));
    assert_eq!(to_ann("seq", text(257))["seq"], Value::Null, "what is too long to be echoed is no reason to refuse");
    let package = |id: i64| app.push(json!({ "audience_type": "package_account_push", "upload_id": id }));
    assert_refused(&package(i64::from(i32::MAX)), 10_010_005, "no package with upload_id 2147483647");
    assert_refused(&package(i64::from(i32::MAX) + 1), 1_008_007, "upload_id");
}

#[test]
fn however_many_rules_there_are_for_channels_the_last_of_each_counts() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let device = app.register_device(Some("ann"));
    let rules: Vec<_> = (0..10_001).map(|n| json!({ "channel": "xg", "disable": n % 2 == 1 })).collect();
    let given =
        |rules: &[Value]| json!({ "audience_type": "token", "token_list": [device.token], "channel_rules": rules });
    let outcomes = |rules: &[Value]| app.finished(&app.pushed(given(rules)))["outcomes"].clone();
    assert_eq!(outcomes(&rules)["waiting"], 1);
    assert_eq!(outcomes(&rules[..10_000])["no_channel"], 1);
}

#[test]
fn a_batch_of_accounts_has_at_most_20_pairs_or_500_elements() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let device = app.register_device(None);
    let tokens = |operator: u8, count: usize| {
        let tokens: Vec<_> = (0..count).map(|_| device.token.clone()).collect();
        json!({ "operator_type": operator, "token_list": tokens })
    };
    let accounts = |operator: u8, count: usize| {
        let accounts: Vec<_> = (0..count).map(|n| json!({ "account": format!("account {n}") })).collect();
        json!({ "operator_type": operator, "account_list": accounts })
    };
    let pairs = |operator: u8, count: usize| {
        let pair = json!({ "token": device.token, "account_list": [{ "account": "ann" }] });
        json!({ "operator_type": operator, "token_accounts": vec![pair; count] })
    };
    for (path, taken, refused, most) in [
        (OPERATE, pairs(2, 20), pairs(2, 21), 20),
        (OPERATE, pairs(3, 20), pairs(3, 21), 20),
        (OPERATE, tokens(4, 500), tokens(4, 501), 500),
        (OPERATE, accounts(5, 500), accounts(5, 501), 500),
        (QUERY, accounts(1, 500), accounts(1, 501), 500),
        (QUERY, tokens(2, 500), tokens(2, 501), 500),
    ] {
        let answer = app.call(path, &taken);
        assert_eq!(answer["result"].as_array().map(Vec::len), Some(most), "{answer}");
        assert_refused(&app.call(path, &refused), 1_008_007, &format!("at most {most}"));
    }
    let bind = |name: String| {
        let pair = json!({ "token": device.token, "account_list": [{ "account": name }] });
        app.call(OPERATE, &json!({ "operator_type": 2, "token_accounts": [pair] }))["result"][0].clone()
    };
    for (characters, code) in [(1, "1008007"), (2, "0"), (100, "0"), (101, "1008007")] {
        assert_eq!(bind("信".repeat(characters)), code, "{characters} characters");
    }
}
