//! Web Push: browsers that are offline get their messages through the push service they named.

use pigeonloft_testkit::{App, Builder, Certificate, Device, Fleet, PushService, Server, pigeonloft, until};
use serde_json::{Value, json};

use super::attributes::{call, declare};
use super::outcomes;

/// A server that may reach push services of this machine, and an app with keys.
pub(super) fn with_keys() -> (Server, App, PushService) {
    local(pigeonloft!())
}

fn local(server: Builder) -> (Server, App, PushService) {
    let server = server.set("webpush.allow_http", true).set("webpush.allow_private_addresses", true).start();
    let app = server.app("web");
    let _ = webpush_keys(&server, &app);
    (server, app, PushService::start())
}

fn webpush_keys(server: &Server, app: &App) -> String {
    let id = app.access_id.to_string();
    let said = server.run(["app", "webpush-keys", "--app", &id, "--subject", "mailto:push@example.net"]);
    said.trim().to_owned()
}

/// A browser of ann's with this subscription.
pub(super) fn browser(app: &App, subscription: &Value) -> Device {
    let (status, registered) = app.register(&json!({ "channels": { "webpush": subscription } }));
    assert_eq!(status, 201, "{registered}");
    let text = |name: &str| registered[name].as_str().expect("a text").to_owned();
    let device = Device { access_id: app.access_id, token: text("token"), password: text("password") };
    app.bind(&device, "ann", 0);
    device
}

pub(super) fn to_ann(members: &Value) -> Value {
    let mut given = json!({ "audience_type": "account_list", "account_list": ["ann"], "account_push_type": 1 });
    given.as_object_mut().expect("members").extend(members.as_object().expect("members").clone());
    given
}

#[test]
fn a_browser_that_is_offline_gets_what_it_would_get_on_our_own_channel() {
    let (server, app, service) = with_keys();
    let subscription = service.subscription();
    let device = browser(&app, &subscription);
    let push_id = app.pushed(to_ann(&json!({ "message": { "title": "Hello", "content": "信鸽" } })));
    assert_eq!(outcomes(&app, &push_id), json!({ "accepted": 1 }));
    let [message] = &*service.messages(&subscription) else { panic!("one message") };
    let shown: Value = serde_json::from_str(message["plaintext"].as_str().expect("a text")).expect("JSON");
    assert_eq!(
        (&shown["title"], &shown["content"], &shown["push_id"]),
        (&json!("Hello"), &json!("信鸽"), &json!(push_id))
    );
    assert!(shown["msg_id"].as_str().is_some_and(|id| id.starts_with(&format!("{push_id}-"))), "{shown}");
    assert_eq!((&message["urgency"], &message["topic"]), (&json!("high"), &json!(push_id)));
    assert!((86_000..=86_400).contains(&message["ttl"].as_u64().expect("a number")), "{message}");
    assert_eq!(message["subject"], "mailto:push@example.net");
    let csv = app.own_text(&format!("/v1/pushes/{push_id}/recipients.csv"));
    assert!(csv.contains(&format!("{},0,ann,webpush,accepted,", device.token)), "{csv}");

    // Online it gets it there, and a later push takes the place of an earlier one, if it waits still.
    let (_fleet, phones) = Fleet::of(&server, [device]);
    let online = app.pushed(to_ann(&json!({})));
    until("it arrived", || (outcomes(&app, &online) == json!({ "arrived": 1 })).then_some(()));
    assert_eq!((phones[0].of_push(&online).1, service.answered()), (1, 1));
}

#[test]
fn what_is_for_the_app_itself_goes_to_no_browser_nor_is_a_channel_taken_that_leads_nowhere() {
    let (server, _, service) = with_keys();
    let app = server.app("macos");
    let _ = webpush_keys(&server, &app);
    let _browser = browser(&app, &service.subscription());
    let push_id = app.pushed(to_ann(&json!({ "message_type": "message" })));
    assert_eq!(outcomes(&app, &push_id), json!({ "waiting": 1 }));
    let push_id = app.pushed(to_ann(&json!({})));
    assert_eq!((outcomes(&app, &push_id), service.answered()), (json!({ "accepted": 1 }), 1));
    for (platform, channel) in [("macos", "fcm"), ("web", "apns")] {
        let app = server.app(platform);
        let token = json!({ "token": "ab" });
        let (status, answer) = app.register(&json!({ "channels": { channel: token } }));
        let says = format!("channels.{channel}: {channel} leads to no device of an app on {platform}: leave it out");
        assert_eq!((status, &answer["detail"]), (400, &json!(says)));
        let (status, answer) = app.register(&json!({ "channels": { channel: null } }));
        assert_eq!(status, 201, "{answer}");
    }
    let subscription = service.subscription();
    let key = subscription["keys"]["p256dh"].as_str().expect("a key");
    // Another abscissa: of every two of them one has no point.
    let is_refused = |letter: char| {
        let mut keys = subscription.clone();
        keys["keys"]["p256dh"] = json!(format!("{}{letter}{}", &key[..20], &key[21..]));
        app.register(&json!({ "channels": { "webpush": keys } })).0 == 400
    };
    assert!(('a'..='z').any(is_refused));
}

#[test]
fn texts_are_filled_for_each_browser() {
    let (server, app, service) = with_keys();
    declare(&server, &app, &["nickname"]);
    let subscriptions = [(); 2].map(|()| service.subscription());
    let devices = subscriptions.each_ref().map(|subscription| browser(&app, subscription));
    assert_eq!(call(&app, 1, &devices[0], &json!({ "nickname": "Ming" }))["retCode"], 0);
    let push_id = app.pushed(to_ann(&json!({ "message": { "content": "Dear {{nickname|friend}}" } })));
    assert_eq!(outcomes(&app, &push_id), json!({ "accepted": 2 }));
    for (subscription, content) in subscriptions.iter().zip(["Dear Ming", "Dear friend"]) {
        let [message] = &*service.messages(subscription) else { panic!("one message") };
        assert!(message["plaintext"].as_str().is_some_and(|text| text.contains(content)), "{message}");
    }
}

#[test]
fn a_browser_that_is_gone_is_asked_no_more_and_one_that_cannot_be_reached_finds_it_in_its_inbox() {
    let (_server, app, service) = with_keys();
    let [gone, here] = [(); 2].map(|()| service.subscription());
    let devices = [&gone, &here].map(|subscription| browser(&app, subscription));
    service.leaves(&gone);
    let push_id = app.pushed(to_ann(&json!({})));
    assert_eq!(outcomes(&app, &push_id), json!({ "accepted": 1, "waiting": 1 }));
    let csv = app.own_text(&format!("/v1/pushes/{push_id}/recipients.csv"));
    let line = csv.lines().find(|line| line.starts_with(&devices[0].token)).expect("a line");
    assert!(line.contains("webpush: 410"), "{line}");
    let asked = service.answered();
    let push_id = app.pushed(to_ann(&json!({})));
    assert_eq!(outcomes(&app, &push_id), json!({ "accepted": 1, "waiting": 1 }));
    assert_eq!(service.answered() - asked, 1, "its endpoint is forgotten");

    // A wrong key is not the subscription's fault: it stays.
    service.behaves(&json!({ "status": 403, "times": 1 }));
    let push_id = app.pushed(to_ann(&json!({})));
    assert_eq!(outcomes(&app, &push_id), json!({ "waiting": 2 }));
    // Busy for a moment, then not.
    service.behaves(&json!({ "status": 429, "retry_after": "1", "times": 1 }));
    let push_id = app.pushed(to_ann(&json!({})));
    assert_eq!(outcomes(&app, &push_id), json!({ "accepted": 1, "waiting": 1 }));
    let rules = json!([{ "channel": "webpush", "disable": true }]);
    let push_id = app.pushed(to_ann(&json!({ "channel_rules": rules })));
    assert_eq!(outcomes(&app, &push_id), json!({ "waiting": 2 }));
}

#[test]
fn a_subscription_may_not_lead_into_the_servers_own_network() {
    let server = pigeonloft!().start();
    let app = server.app("web");
    let service = PushService::start();
    let keys = service.subscription()["keys"].clone();
    for (endpoint, says) in [
        ("http://push.example.net/x", "https://"),
        ("https://127.0.0.1/x", "public internet"),
        ("https://[::1]:8443/x", "public internet"),
        ("https://169.254.169.254/latest/meta-data", "public internet"),
        ("https://user@push.example.net/", "a user in it"),
    ] {
        let subscription = json!({ "endpoint": endpoint, "keys": keys });
        let (status, problem) = app.register(&json!({ "channels": { "webpush": subscription } }));
        assert_eq!(status, 400, "{problem}");
        let detail = problem["detail"].as_str().expect("a text");
        assert!(detail.starts_with("channels.webpush: endpoint: ") && detail.contains(says), "{detail}");
    }
    let (status, problem) =
        app.register(&json!({ "channels": { "webpush": { "endpoint": "https://push.example.net/" } } }));
    assert_eq!(status, 400, "{problem}");
    let subscription = json!({ "endpoint": "https://push.example.net/x", "expirationTime": null, "keys": keys });
    assert_eq!(app.register(&json!({ "channels": { "webpush": subscription } })).0, 201);
    let flat = json!({ "channel": "webpush", "channel_token": subscription.to_string() });
    let (status, problem) = app.register(&flat);
    assert_eq!(status, 400, "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("channels.webpush")), "{problem}");

    // A name is looked up when it is used.
    let server = pigeonloft!().set("webpush.allow_http", true).start();
    let app = server.app("web");
    let _ = webpush_keys(&server, &app);
    let mut subscription = service.subscription();
    subscription["endpoint"] =
        json!(subscription["endpoint"].as_str().expect("a text").replace("127.0.0.1", "localhost"));
    let _ann = browser(&app, &subscription);
    let push_id = app.pushed(to_ann(&json!({})));
    assert_eq!(outcomes(&app, &push_id), json!({ "waiting": 1 }));
    assert_eq!(service.answered(), 0);
    let csv = app.own_text(&format!("/v1/pushes/{push_id}/recipients.csv"));
    assert!(csv.contains("webpush: address is not public"), "{csv}");
}

#[test]
fn the_keys_of_an_app_are_made_once_and_told_to_its_programs() {
    let server = pigeonloft!().start();
    let app = server.app("web");
    let ask = |key: &str| app.as_program("/v1/webpush/key", key);
    assert_eq!(ask(&app.access_key).0, 404, "it has none yet");
    let made = webpush_keys(&server, &app);
    assert_eq!(made.len(), 87, "65 bytes in base64url: {made}");
    assert_eq!(webpush_keys(&server, &app), made, "keys that are there stay");
    assert_eq!(ask(&app.access_key), (200, json!({ "public_key": made })));
    assert_eq!(ask("another").0, 401);
    let listed = server.run(["app", "channel", "list", "--app", &app.access_id.to_string()]);
    assert!(listed.contains(&made), "{listed}");
}

#[test]
fn a_test_of_the_channel_says_what_the_push_service_answers_and_what_to_do() {
    let (server, app, service) = with_keys();
    let id = app.access_id.to_string();
    let test = |token: &str| server.try_run(["app", "channel", "test", "--app", &id, "webpush", "--token", token]);
    let subscription = service.subscription();
    let [whole, endpoint, keys] = [
        subscription.to_string(),
        subscription["endpoint"].as_str().expect("a text").into(),
        subscription["keys"].to_string(),
    ];
    assert!(test(&whole).expect("it succeeds").contains("webpush took the message"));
    let apart = ["app", "channel", "test", "--app", &id, "webpush", "--token", &endpoint, "--detail", &keys];
    assert!(server.run(apart).contains("webpush took the message"));
    let [first, second] = &*service.messages(&subscription) else { panic!("two messages") };
    assert_eq!(first["topic"], second["topic"], "the later takes the place of the earlier");

    let fails = |token: &str, says: &str, hint: &str| {
        let said = test(token).expect_err("it fails");
        assert!(said.contains(says) && said.contains("hint: ") && said.contains(hint), "{said}");
    };
    fails(&endpoint, "webpush does not take this message for this token: subscription cannot be used", "--detail");
    service.behaves(&json!({ "status": 403, "times": 1 }));
    fails(&whole, "403: the subscription was made with another key than the app's", "pigeonloft app webpush-keys");
    service.behaves(&json!({ "status": 413, "times": 1 }));
    fails(&whole, "413: the message is longer than the push service takes", "a shorter --title");
    service.leaves(&subscription);
    fails(&whole, "leads to no device any more: 410: the browser unsubscribed", "subscribe again");
    let inside = whole.replace("127.0.0.1", "169.254.169.254").replace("http:", "ftp:");
    fails(&inside, "subscription cannot be used", "webpush.allow_http");
}

#[test]
fn after_a_kill_every_browser_has_the_message_and_a_repeat_takes_the_place_of_the_first() {
    const BROWSERS: usize = 100;
    const BATCH: usize = 10;
    const IN_FLIGHT: usize = 1;
    const WITH_VENDORS: usize = 2;
    let small = pigeonloft!().set("push.batch_rows", BATCH).set("push.batches_in_flight", IN_FLIGHT);
    let (mut server, app, service) = local(small.set("push.batches_with_vendors", WITH_VENDORS));
    let subscriptions: Vec<Value> = (0..BROWSERS).map(|_| service.subscription()).collect();
    for subscription in &subscriptions {
        let _ = browser(&app, subscription);
    }
    service.behaves(&json!({ "latency_ms": 100 }));
    let push_id = app.pushed(to_ann(&json!({})));
    until("a part of it is sent", || (service.answered() >= 3 * BATCH as u64).then_some(()));
    server.kill9();
    assert!(service.answered() < BROWSERS as u64, "it was killed amid the push");
    server.restart();
    assert_eq!(outcomes(&app, &push_id), json!({ "accepted": BROWSERS }));
    let mut repeats = 0;
    for subscription in &subscriptions {
        let got = service.messages(subscription);
        assert!((1..=2).contains(&got.len()), "{got:?}");
        repeats += got.len() - 1;
        // The service keeps the last of a topic, the page shows the last of a push.
        let same = |message: &Value| {
            let shown: Value = serde_json::from_str(message["plaintext"].as_str().expect("a text")).expect("JSON");
            [message["topic"].clone(), shown["push_id"].clone(), shown["msg_id"].clone()]
        };
        assert!(got.iter().all(|message| same(message) == same(&got[0])), "{got:?}");
        assert_eq!(same(&got[0])[..2], [json!(push_id), json!(push_id)]);
    }
    assert!(repeats <= (IN_FLIGHT + WITH_VENDORS) * BATCH, "only what was under way is sent again: {repeats}");
}

#[test]
fn the_demo_page_is_embedded_and_allows_nothing_but_itself() {
    let server = pigeonloft!().start();
    for (path, content_type, has) in [
        ("/demo/webpush", "text/html; charset=utf-8", "<script src=\"/demo/webpush.js\" defer></script>"),
        ("/demo/webpush.css", "text/css; charset=utf-8", "body {"),
        ("/demo/webpush.js", "text/javascript; charset=utf-8", "/demo/webpush-worker.js"),
        ("/demo/webpush-worker.js", "text/javascript; charset=utf-8", "showNotification"),
    ] {
        let mut answer = ureq::get(server.url(path)).call().expect("it is there");
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        assert_eq!(header("content-type").as_deref(), Some(content_type), "{path}");
        let policy = header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self';") && !policy.contains("unsafe"), "{policy}");
        let text = answer.body_mut().read_to_string().expect("text");
        assert!(text.contains(has), "{path}");
        // The policy would stop all of these.
        for forbidden in ["http://", "https://", "style=", "onclick=", "innerHTML", "eval("] {
            assert!(!text.contains(forbidden), "{path}: {forbidden}");
        }
    }
}

#[test]
fn the_simulated_service_runs_by_itself_also_over_tls() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let Certificate { certificate, key } = Certificate::write(folder.path());
    let [certificate, key] = [certificate, key].map(|path| path.display().to_string());
    let mut sim = std::process::Command::new(env!("CARGO_BIN_EXE_pigeonloft"))
        .args(["sim", "webpush", "--listen", "127.0.0.1:0", "--certificate", &certificate, "--tls-key", &key])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("it can be run");
    let mut said = String::new();
    let stdout = sim.stdout.take().expect("a pipe");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut said).expect("it says where it is");
    let at = said.trim().strip_prefix("a push service is at ").expect("so").to_owned();
    assert!(at.starts_with("https://localhost:"), "{at}");
    // The certificate is trusted, and http is not allowed.
    let server = pigeonloft!().set("webpush.allow_private_addresses", true);
    let server = server.set("webpush.trusted_certificate", &certificate).start();
    let app = server.app("web");
    let _ = webpush_keys(&server, &app);
    let tls = ureq::tls::TlsConfig::builder().disable_verification(true).build();
    let agent: ureq::Agent = ureq::Agent::config_builder().tls_config(tls).build().into();
    let mut made = agent.post(format!("{at}/subscriptions")).send(r#"{"count": 2}"#).expect("it answers");
    let subscriptions: Vec<Value> = made.body_mut().read_json().expect("JSON");
    assert_eq!(subscriptions.len(), 2);
    for subscription in &subscriptions {
        let _ = browser(&app, subscription);
    }
    let push_id = app.pushed(to_ann(&json!({})));
    assert_eq!(outcomes(&app, &push_id), json!({ "accepted": 2 }));
    sim.kill().expect("it runs");
    let _ = sim.wait();
}
