//! Accounts as an app's server keeps them: bound and unbound in batches, asked for both ways, each element with a code
//! of its own.

use pigeonloft_testkit::{App, Device, assert_refused, pigeonloft};
use serde_json::{Value, json};

fn operate(app: &App, body: Value) -> Value {
    app.call("/v3/device/account/batchoperate", &body)
}

/// The tokens of each of these accounts of type 0, sorted; empty where there are none.
fn tokens_of(app: &App, account: &str) -> Vec<String> {
    let query = json!({ "operator_type": 1, "account_list": [{ "account": account, "account_type": 0 }] });
    let answer = app.call("/v3/device/account/query", &query);
    let list = answer["account_tokens"][0]["token_list"].as_array().cloned().unwrap_or_default();
    assert_eq!(answer["retCode"] == 0, !list.is_empty(), "{answer}");
    let mut tokens: Vec<String> = list.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    tokens.sort();
    tokens
}

/// The accounts of a token, as (type, name), sorted.
fn accounts_of(app: &App, device: &Device) -> Vec<(u64, String)> {
    let query = json!({ "operator_type": 2, "token_list": [device.token] });
    let answer = app.call("/v3/device/account/query", &query);
    assert_eq!(answer["retCode"], 0, "{answer}");
    assert_eq!(answer["token_accounts"][0]["token"], device.token.as_str());
    let list = answer["token_accounts"][0]["account_list"].as_array().cloned().unwrap_or_default();
    let account = |account: &Value| Some((account["account_type"].as_u64()?, account["account"].as_str()?.to_owned()));
    let mut accounts: Vec<_> = list.iter().filter_map(account).collect();
    accounts.sort();
    accounts
}

fn sorted(devices: [&Device; 2]) -> Vec<String> {
    let mut tokens: Vec<String> = devices.iter().map(|device| device.token.clone()).collect();
    tokens.sort();
    tokens
}

#[test]
fn what_is_bound_is_found_from_both_sides_until_it_is_unbound() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let (one, two) = (app.register_device(None), app.register_device(None));
    for operator in [1, 2] {
        let both =
            json!([{ "account": "ann", "account_type": 0 }, { "account": "a@example.com", "account_type": "1005" }]);
        let answer = operate(
            &app,
            json!({ "operator_type": operator, "token_accounts": [
            { "token": one.token, "account_list": both },
            { "token": two.token, "account_list": [{ "account": "ann" }] },
        ] }),
        );
        assert_eq!((&answer["ret_code"], &answer["result"]), (&json!(0), &json!(["0", "0"])), "{answer}");
        assert_eq!(tokens_of(&app, "ann"), sorted([&one, &two]));
        assert_eq!(accounts_of(&app, &one), [(0, "ann".into()), (1005, "a@example.com".into())]);
    }
    // A token holds one account of each type: a later one takes the place of the earlier.
    app.bind(&one, "bob", 0);
    assert_eq!(accounts_of(&app, &one), [(0, "bob".into()), (1005, "a@example.com".into())]);
    assert_eq!(tokens_of(&app, "ann"), std::slice::from_ref(&two.token));

    let answer = operate(
        &app,
        json!({ "operator_type": 3, "token_accounts": [
        { "token": one.token, "account_list": [{ "account": "bob", "account_type": 0 }] },
    ] }),
    );
    assert_eq!(answer["result"], json!(["0"]), "{answer}");
    assert_eq!(accounts_of(&app, &one), [(1005, "a@example.com".into())]);
    assert_eq!(operate(&app, json!({ "operator_type": 4, "token_list": [one.token] }))["result"], json!(["0"]));
    assert_eq!(accounts_of(&app, &one), []);
    app.bind(&one, "ann", 0);
    let unbound =
        operate(&app, json!({ "operator_type": 5, "account_list": [{ "account": "ann", "account_type": 0 }] }));
    assert_eq!(unbound["result"], json!(["0"]), "{unbound}");
    assert_eq!(tokens_of(&app, "ann"), Vec::<String>::new());
}

#[test]
fn a_bad_element_of_a_batch_leaves_its_neighbours_alone() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let device = app.register_device(None);
    let element = |token: &str, account: &str| json!({ "token": token, "account_list": [{ "account": account }] });
    let unknown = "0".repeat(36);
    let answer = operate(
        &app,
        json!({ "operator_type": 2, "token_accounts": [
        element("no token", "ann"), element(&device.token, "bob"), element(&unknown, "ann"), element(&device.token, "x"),
    ] }),
    );
    assert_eq!(answer["ret_code"], 1_008_026, "{answer}");
    assert_eq!(answer["result"], json!(["1008006", "0", "1008006", "1008007"]), "{answer}");
    assert_eq!(accounts_of(&app, &device), [(0, "bob".into())]);

    let answer = operate(&app, json!({ "operator_type": 2, "token_accounts": [element(&unknown, "ann")] }));
    assert_eq!((&answer["ret_code"], &answer["result"]), (&json!(1_008_027), &json!(["1008006"])), "{answer}");

    let query = json!({ "operator_type": 2, "token_list": [device.token, unknown] });
    let answer = app.call("/v3/device/account/query", &query);
    assert_eq!(answer["retCode"], 1_008_026, "{answer}");
    assert_eq!(answer["result"], json!(["0", "10110008"]), "{answer}");
    assert_eq!(answer["token_accounts"].as_array().map(Vec::len), Some(1), "{answer}");
}

#[test]
fn a_batch_that_cannot_be_read_is_refused_as_a_whole() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let many: Vec<Value> =
        (0..21).map(|place| json!({ "token": format!("{place:036x}"), "account_list": [] })).collect();
    for (body, code, says) in [
        (json!({}), 1_008_002, "operator_type"),
        (json!({ "operator_type": 9 }), 1_008_007, "operator_type"),
        (json!({ "operator_type": 2 }), 1_008_002, "token_accounts"),
        (json!({ "operator_type": 2, "token_accounts": many }), 1_008_007, "20"),
        (json!({ "operator_type": 4, "token_list": "no list" }), 1_008_001, "token_list"),
    ] {
        assert_refused(&operate(&app, body), code, says);
    }
}
