//! How many devices a push to a package would reach: `POST /v1/packages/{id}/estimate`, a call of our own.

use pigeonloft_testkit::{App, Fleet, pigeonloft};
use serde_json::{Value, json};

fn estimate(app: &App, package: i64, asked: &Value) -> Value {
    let (status, answer) = app.own_post(&format!("/v1/packages/{package}/estimate"), asked);
    assert_eq!(status, 200, "{answer}");
    answer
}

/// The push reaches as many, and leaves as many out, as the estimate of it says.
fn assert_as_estimated(app: &App, package: i64, asked: &Value) -> Value {
    let estimated = estimate(app, package, asked);
    let mut given = asked.clone();
    given["upload_id"] = json!(package);
    given["audience_type"] = estimated["audience_type"].clone();
    let finished = app.finished(&app.pushed_in_turn(&given));
    for (of_estimate, of_push) in [
        ("devices", "targets"),
        ("rows", "audience_rows"),
        ("no_device", "no_device"),
        ("excluded", "excluded"),
        ("sampled_out", "sampled_out"),
    ] {
        assert_eq!(estimated[of_estimate], finished[of_push], "{of_estimate}: {estimated} {finished}");
    }
    estimated
}

#[test]
fn an_estimate_says_what_the_push_then_does() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let [ann, older, newer] = ["ann", "bob", "bob"].map(|account| app.register_device(Some(account)));
    let with_vendor = json!({ "channel": "fcm", "channel_token": "an fcm token" });
    assert_eq!(app.as_device(&older, "PATCH", "", &with_vendor).0, 204);
    let (_fleet, _phones) = Fleet::of(&server, [ann.clone()]);
    let package = app.uploaded(["ann", "bob", "eve", "zoe"]);
    let estimated = estimate(&app, package, &json!({}));
    assert_eq!(
        estimated,
        json!({
            "upload_id": package, "audience_type": "package_account_push", "platform": "android",
            "rows": 4, "rows_done": 4, "is_whole": true, "no_device": 2, "excluded": 0, "sampled_out": 0,
            "devices": 2, "xg": { "online": 1, "offline": 1 }, "vendor_tokens": {},
        }),
        "the device that bound the account last, which has no vendor's token"
    );
    let all = assert_as_estimated(&app, package, &json!({ "account_push_type": 1 }));
    assert_eq!((&all["xg"]["offline"], &all["vendor_tokens"]), (&json!(2), &json!({ "fcm": 1 })));
    let _ = assert_as_estimated(&app, package, &json!({}));
    let of_another_type = estimate(&app, package, &json!({ "account_type": 3 }));
    assert_eq!((&of_another_type["devices"], &of_another_type["no_device"]), (&json!(0), &json!(4)));
    let excluded = app.uploaded(["ann"]);
    let left_out =
        assert_as_estimated(&app, package, &json!({ "exclude_upload_id": excluded, "account_push_type": 1 }));
    assert_eq!((&left_out["excluded"], &left_out["devices"]), (&json!(1), &json!(2)));
    let _ = assert_as_estimated(&app, package, &json!({ "sample": 0.5 }));
    let rules = json!({ "channel_rules": [{ "channel": "xg", "disable": true }] });
    assert_eq!(estimate(&app, package, &rules)["xg"], json!({ "online": 0, "offline": 0 }));

    let tokens = app.uploaded([&newer.token, &"0".repeat(36)]);
    let of_tokens = assert_as_estimated(&app, tokens, &json!({}));
    assert_eq!(of_tokens["audience_type"], "package_token_push", "every row may be a token");
    assert_eq!((&of_tokens["devices"], &of_tokens["no_device"]), (&json!(1), &json!(1)));
    assert_eq!(estimate(&app, tokens, &json!({ "audience_type": "package_account_push" }))["no_device"], 2);
}

#[test]
fn an_estimate_is_for_an_environment_of_apples() {
    let server = pigeonloft!().start();
    let app = server.app("ios");
    let (_, registered) = app.register(&json!({ "environment": "dev" }));
    let token = registered["token"].as_str().expect("a token");
    let package = app.uploaded([token]);
    for (environment, devices) in [("dev", 1), ("product", 0)] {
        let estimated = assert_as_estimated(&app, package, &json!({ "environment": environment }));
        assert_eq!(estimated["devices"], devices, "{environment}");
    }
}

#[test]
fn what_cannot_be_estimated_is_refused_as_the_push_would_be() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let package = app.uploaded(["ann"]);
    let path = format!("/v1/packages/{package}/estimate");
    for (asked, says) in [
        (json!({ "audience_type": "all" }), "audience_type"),
        (json!({ "audience_type": "package_token_push" }), "no package of tokens"),
        (json!({ "account_type": 17 }), "account_type"),
        (json!({ "sample": 2 }), "sample"),
        (json!({ "exclude_upload_id": package }), "nobody would be left"),
    ] {
        let (status, problem) = app.own_post(&path, &asked);
        assert_eq!(status, 400, "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(says)), "{asked}: {problem}");
    }
    assert_eq!(app.own_post("/v1/packages/999/estimate", &json!({})).0, 404);
    assert_eq!(app.own_post(&path, &json!({ "exclude_upload_id": 999 })).0, 404);
    assert_eq!(server.app("android").own_post(&path, &json!({})).0, 404, "another app has no such package");
}

#[test]
fn an_estimate_of_100_000_rows_is_whole() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let _ = app.import_devices(&server, (0..20_000).map(|place| format!("account-{:06}", place * 5)));
    let package = app.uploaded((0..100_000).map(|place| format!("account-{place:06}")));
    let begun = std::time::Instant::now();
    let estimated = estimate(&app, package, &json!({}));
    println!("estimated in {:?}", begun.elapsed());
    assert_eq!((&estimated["is_whole"], &estimated["devices"]), (&json!(true), &json!(20_000)));
    assert_eq!(estimated["no_device"], 80_000);
}
