//! Push services that are paused: of those that an app's browsers name, one that fails is left alone, and nobody else notices.

use pigeonloft_testkit::{PushService, Server, until};
use serde_json::{Value, json};

use super::outcomes;
use super::webpush::{browser, to_ann, with_keys};

/// Browsers of each of two push services.
const BROWSERS: u64 = 25;

fn origin(subscription: &Value) -> String {
    let endpoint = subscription["endpoint"].as_str().expect("an endpoint");
    endpoint.split('/').take(3).collect::<Vec<_>>().join("/")
}

/// How many push services are closed, open, half open.
fn states(server: &Server) -> [f64; 3] {
    ["closed", "open", "half_open"]
        .map(|state| server.metric("pigeonloft_vendor_channels", &format!("channel=\"webpush\",state=\"{state}\"")))
}

#[test]
fn a_push_service_that_fails_is_left_alone_and_the_others_are_not() {
    let (server, app, well) = with_keys();
    let (ill, own) = (PushService::start(), PushService::start());
    for _ in 0..BROWSERS {
        let _ = [&well, &ill].map(|service| browser(&app, &service.subscription()));
    }
    // Somebody's own, which fails as well: one device's word pauses nothing.
    let _ = browser(&app, &own.subscription());
    own.behaves(&json!({ "status": 503, "retry_after": "1800" }));
    ill.behaves(&json!({ "status": 503, "retry_after": "11" }));
    let to_all = || app.pushed(to_ann(&json!({})));
    let some = json!({ "accepted": BROWSERS, "waiting": BROWSERS + 1 });

    let push_id = to_all();
    assert_eq!(outcomes(&app, &push_id), some);
    assert_eq!(ill.answered(), BROWSERS);
    let shown = app.finished(&push_id)["paused_channels"].clone();
    let [paused] = &**shown.as_array().expect("a list") else { panic!("one is paused: {shown}") };
    let what = [&paused["channel"], &paused["origin"], &paused["reason"], &paused["code"]];
    assert_eq!(json!(what), json!(["webpush", origin(&ill.subscription()), "failing", "503"]));
    assert_eq!(states(&server), [2.0, 1.0, 0.0]);

    let push_id = to_all();
    assert_eq!(outcomes(&app, &push_id), some);
    assert_eq!((ill.answered(), own.answered(), well.answered()), (BROWSERS, 2, 2 * BROWSERS));
    let report = app.own_text(&format!("/v1/pushes/{push_id}/recipients.csv"));
    assert_eq!(report.matches("webpush: paused: 503").count() as u64, BROWSERS, "{report}");

    // It is well again, and found out to be so when it wanted to be asked.
    ill.behaves(&json!({}));
    until("it is asked again", || {
        (outcomes(&app, &to_all()) == json!({ "accepted": 2 * BROWSERS, "waiting": 1 })).then_some(())
    });
    assert_eq!(states(&server), [3.0, 0.0, 0.0]);
    let log = server.log();
    assert_eq!(log.matches("a vendor's channel is paused").count(), 1, "{log}");
    assert!(log.contains(&origin(&ill.subscription())), "{log}");
}
