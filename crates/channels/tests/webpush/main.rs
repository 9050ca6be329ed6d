//! The way to browsers, against the push service that is simulated: what arrives, and what each misbehaviour comes to.

mod streams;

use std::collections::HashSet;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use pigeonloft_channels::sim_tls;
use pigeonloft_channels::vendor::{Outgoing, Target, Vendor};
use pigeonloft_channels::webpush::sim::Sim;
use pigeonloft_channels::webpush::{Client, Credentials, PLAINTEXT_MAX, Permits, WebPush};
use pigeonloft_model::attribute::Values;
use pigeonloft_model::{DeviceId, Platform, Push, PushId, Verdict, Zone};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use tokio::net::TcpListener;

const LOCAL: Permits = Permits { plain_http: true, private_addresses: true };

const SUBJECT: &str = "mailto:push@example.net";

/// The service, and a way to it.
struct World {
    base: String,
    sim: SocketAddr,
    webpush: Arc<WebPush>,
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    since.as_secs().cast_signed()
}

fn way(permits: Permits, trusted: Vec<CertificateDer<'_>>) -> Arc<WebPush> {
    let client = Arc::new(Client::new(permits, trusted).expect("TLS"));
    Arc::new(WebPush::new(&Credentials::generate(SUBJECT).expect("random numbers"), &client).expect("a pair"))
}

/// Sends push 7 with this content.
async fn send_by(way: &Arc<WebPush>, content: &str, targets: &[Target]) -> Vec<Verdict> {
    let call = json!({
        "audience_type": "account", "account_list": ["ann"], "message_type": "notify", "message": { "content": content },
    });
    let push = Push::parse(call.to_string().as_bytes(), Platform::Web, now(), Zone::CHINA).expect("a push");
    let outgoing = Outgoing { push_id: PushId(7), push: &push, expire_at: now() + 3600 };
    match Arc::clone(way).open(&outgoing) {
        Ok(opened) => opened.send(targets, &Values::default()).await,
        Err(verdict) => vec![verdict; targets.len()],
    }
}

/// Asks the service itself, whoever vouches for it.
fn agent() -> ureq::Agent {
    let tls = ureq::tls::TlsConfig::builder().disable_verification(true).build();
    ureq::Agent::config_builder().tls_config(tls).build().into()
}

/// A certificate of localhost, and TLS with it for these protocols.
fn tls(protocols: &[&str]) -> (CertificateDer<'static>, Arc<ServerConfig>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let tls = sim_tls(&made.cert.pem(), &made.signing_key.serialize_pem(), None, protocols).expect("they fit");
    (made.cert.der().clone(), tls)
}

impl World {
    async fn begin() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let sim = listener.local_addr().expect("it listens");
        tokio::spawn(async move { Sim::serve(listener, &format!("http://{sim}"), None).await });
        Self { base: format!("http://{sim}"), sim, webpush: way(LOCAL, vec![]) }
    }

    /// One over TLS and HTTP/2.
    async fn over_http_2() -> Self {
        let (certificate, tls) = tls(&["h2", "http/1.1"]);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let sim = listener.local_addr().expect("it listens");
        let base = format!("https://localhost:{}", sim.port());
        let origin = base.clone();
        tokio::spawn(async move { Sim::serve(listener, &origin, Some(tls)).await });
        let private = Permits { plain_http: false, private_addresses: true };
        Self { base, sim, webpush: way(private, vec![certificate]) }
    }

    /// A call of the service itself.
    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        let request = request.body(body.to_string()).expect("a request");
        tokio::task::block_in_place(|| {
            agent().run(request).expect("it answers").body_mut().read_json().expect("with JSON")
        })
    }

    /// A browser: its subscription, and where its messages are asked for.
    fn browser(&self, device: i64) -> (Target, String) {
        let made = self.ask("POST", "/subscriptions", &Value::Null);
        let endpoint = made["endpoint"].as_str().expect("a text");
        let id = endpoint.rsplit_once('/').expect("a path").1;
        (target(device, endpoint, &made["keys"]), format!("/subscriptions/{id}"))
    }

    fn got(&self, browser: &str) -> Vec<Value> {
        self.ask("GET", browser, &Value::Null)["messages"].as_array().expect("a list").clone()
    }

    async fn send(&self, targets: &[Target]) -> Vec<Verdict> {
        send_by(&self.webpush, "a content", targets).await
    }

    fn assert_no_faults(&self) {
        assert_eq!(self.ask("GET", "/log", &Value::Null)["faults"], json!([]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_comes_to_the_browser_as_devices_on_the_own_channel_get_it() {
    let world = World::begin().await;
    let (target, browser) = world.browser(12);
    assert_eq!(world.send(&[target]).await, [Verdict::Accepted]);
    let [got] = &*world.got(&browser) else { panic!("one message") };
    let plaintext: Value = serde_json::from_str(got["plaintext"].as_str().unwrap()).unwrap();
    assert_eq!((&plaintext["msg_id"], &plaintext["content"]), (&json!("7-12"), &json!("a content")), "{plaintext}");
    assert_eq!((&got["urgency"], &got["topic"], &got["subject"]), (&json!("high"), &json!("7"), &json!(SUBJECT)));
    assert!((3590..=3600).contains(&got["ttl"].as_i64().unwrap()), "{got}");
    world.assert_no_faults();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_browser_of_a_batch_gets_its_own_and_none_two() {
    const MANY: i64 = 1000;
    let world = World::begin().await;
    let (targets, browsers): (Vec<_>, Vec<_>) = (0..MANY).map(|device| world.browser(device)).unzip();
    let _ = world.ask("PUT", "/behaviour", &json!({ "latency_ms": 20 }));
    assert_eq!(world.send(&targets).await, vec![Verdict::Accepted; MANY as usize]);
    for (device, browser) in browsers.iter().enumerate().step_by(37) {
        let [got] = &*world.got(browser) else { panic!("one message") };
        assert!(got["plaintext"].as_str().unwrap().starts_with(&format!(r#"{{"msg_id":"7-{device}","#)), "{got}");
    }
    let log = world.ask("GET", "/log", &Value::Null);
    assert_eq!((&log["faults"], &log["answered"]), (&json!([]), &json!(MANY)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_goes_over_few_connections_where_the_service_speaks_http_2() {
    const MANY: i64 = 1000;
    let world = World::over_http_2().await;
    let (target, browser) = world.browser(0);
    let connections = || world.ask("GET", "/log", &Value::Null)["connections"].as_i64().unwrap();
    // One is for each question.
    let before = connections();
    assert_eq!(world.send(&devices(&target, 100)).await, vec![Verdict::Accepted; 100]);
    assert_eq!(connections() - before, 1 + 1, "a hundred messages are worth one");
    let before = connections();
    assert_eq!(world.send(&devices(&target, MANY)).await, vec![Verdict::Accepted; MANY as usize]);
    assert_eq!(connections() - before, 7 + 1, "and a thousand eight, that one among them");
    let log = world.ask("GET", "/log", &Value::Null);
    assert_eq!((&log["faults"], &log["answered"]), (&json!([]), &json!(MANY + 100)));
    assert_eq!(world.got(&browser).len(), MANY as usize + 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_closes_its_connections_amid_a_batch_loses_no_message_and_doubles_none() {
    const MANY: i64 = 2000;
    let world = World::over_http_2().await;
    let (target, browser) = world.browser(0);
    let _ = world.ask("PUT", "/behaviour", &json!({ "latency_ms": 20 }));
    let targets = devices(&target, MANY);
    let mut sending = std::pin::pin!(world.send(&targets));
    let mut goaways = 0;
    let verdicts = loop {
        tokio::select! {
            verdicts = &mut sending => break verdicts,
            () = tokio::time::sleep(Duration::from_millis(60)), if goaways < 3 => {
                let _ = world.ask("POST", "/goaway", &Value::Null);
                goaways += 1;
            }
        }
    };
    assert_eq!(goaways, 3, "all of them came while it was sent");
    let others: Vec<_> = verdicts.iter().filter(|verdict| **verdict != Verdict::Accepted).collect();
    assert!(others.is_empty(), "{} others: {:?}", others.len(), others.first());
    let got = world.got(&browser);
    let different: HashSet<String> = got.iter().map(|message| message["plaintext"].to_string()).collect();
    assert_eq!((got.len(), different.len()), (MANY as usize, MANY as usize));
    world.assert_no_faults();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_resets_or_says_nothing_leaves_open_what_it_took() {
    let world = World::over_http_2().await;
    let (target, browser) = world.browser(0);
    assert_eq!(world.send(std::slice::from_ref(&target)).await, [Verdict::Accepted]);
    let _ = world.ask("PUT", "/behaviour", &json!({ "cuts": true, "times": 10 }));
    let verdicts = world.send(&devices(&target, 30)).await;
    let reset = Verdict::Unknown("connection lost".into());
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == reset).count(), 10, "{verdicts:?}");
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Accepted).count(), 20);
    assert_eq!(world.got(&browser).len(), 31, "it had come all the same, and nobody sent it twice");
    let _ = world.ask("PUT", "/behaviour", &json!({ "latency_ms": 60_000, "times": 5 }));
    let verdicts = world.send(&devices(&target, 6)).await;
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Unknown("no answer".into())).count(), 5);
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Accepted).count(), 1);
    world.assert_no_faults();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_is_gone_fails_none_of_its_neighbours() {
    let world = World::begin().await;
    let browsers: Vec<_> = (0..3).map(|device| world.browser(device)).collect();
    let _ = world.ask("DELETE", &browsers[1].1, &Value::Null);
    let (mut targets, names): (Vec<_>, Vec<_>) = browsers.into_iter().unzip();
    // And one that the service never had.
    let mut unknown = targets[0].clone();
    let endpoint = format!("http://{}/push/ffff", world.sim);
    unknown.token = endpoint;
    targets.push(unknown);
    assert_eq!(
        world.send(&targets).await,
        [
            Verdict::Accepted,
            Verdict::Dead { code: "410".into(), since: None },
            Verdict::Accepted,
            Verdict::Dead { code: "404".into(), since: None },
        ]
    );
    let counts: Vec<_> = names.iter().map(|name| world.got(name).len()).collect();
    assert_eq!(counts, [1, 0, 1]);
}

/// So many devices with the subscription of one.
fn devices(target: &Target, count: i64) -> Vec<Target> {
    (0..count).map(|device| Target { device: DeviceId(device), ..target.clone() }).collect()
}

fn target(device: i64, endpoint: &str, keys: &Value) -> Target {
    Target { device: DeviceId(device), token: endpoint.to_owned(), detail: Some(keys.to_string()) }
}

/// Those of the example of RFC 8291.
fn any_keys() -> Value {
    json!({
        "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
        "auth": "BTBZMqHH6r4Tts7J_aSIgg",
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn each_misbehaviour_of_a_push_service_has_its_verdict() {
    let world = World::begin().await;
    let (target, browser) = world.browser(1);
    let later = |code: &'static str, seconds: Option<u64>| Verdict::Later {
        code: code.into(),
        after: seconds.map(Duration::from_secs),
    };
    for (behaviour, verdict) in [
        (json!({ "status": 429, "retry_after": "70" }), later("429", Some(70))),
        (json!({ "status": 429, "retry_after": "1", "times": 1 }), Verdict::Accepted),
        (json!({ "status": 503, "times": 3 }), Verdict::Accepted),
        (json!({ "status": 503 }), later("503", None)),
        (json!({ "status": 413, "body": "{\"code\":413,\"errno\":104}" }), Verdict::Refused("413 errno 104".into())),
        (json!({ "status": 403 }), Verdict::Configuration("403".into())),
        // A redirect leads nowhere, however long what it says.
        (json!({ "status": 307, "body": "x".repeat(6000) }), Verdict::Refused("307".into())),
        (json!({ "cuts": true }), Verdict::Unknown("connection lost".into())),
    ] {
        let _ = world.ask("PUT", "/behaviour", &behaviour);
        assert_eq!(world.send(std::slice::from_ref(&target)).await, [verdict], "{behaviour}");
    }
    let _ = world.ask("PUT", "/behaviour", &json!({}));
    assert_eq!(world.send(&[target]).await, [Verdict::Accepted]);
    assert_eq!(world.got(&browser).len(), 4, "what was cut off had come, and nobody can know");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sent_is_judged_without_being_sent() {
    let world = World::begin().await;
    let (target, browser) = world.browser(1);
    let send =
        async |content: usize| send_by(&world.webpush, &"x".repeat(content), std::slice::from_ref(&target)).await;
    assert_eq!(send(1).await, [Verdict::Accepted]);
    let around = world.got(&browser)[0]["plaintext"].as_str().unwrap().len() - 1;
    assert_eq!(send(PLAINTEXT_MAX - around).await, [Verdict::Accepted], "the largest there is");
    assert_eq!(send(PLAINTEXT_MAX - around + 1).await, [Verdict::Refused("payload too large".into())]);

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    // Nobody listens there; keys that are no point of the curve, or none at all; an endpoint that is none.
    let endpoint = format!("http://{}/push/0", world.sim);
    let mut no_point = any_keys();
    no_point["p256dh"] = json!(any_keys()["p256dh"].as_str().unwrap().replace("BCVx", "BCVy"));
    let refused = |why: &'static str| Verdict::Refused(why.into());
    assert_eq!(
        world
            .send(&[
                self::target(2, &format!("http://{nobody}/push"), &any_keys()),
                self::target(3, &endpoint, &no_point),
                self::target(4, &endpoint, &json!({})),
                self::target(5, "file:///etc/passwd", &any_keys()),
            ])
            .await,
        [
            Verdict::Later { code: "no connection".into(), after: None },
            refused("key is no point of P-256"),
            refused("subscription cannot be used"),
            refused("subscription cannot be used"),
        ]
    );

    // A name that leads to one's own machine is as bad as its address, and found out when it is looked up.
    let strict = way(Permits { plain_http: true, private_addresses: false }, vec![]);
    let inside = [self::target(2, &endpoint, &any_keys())];
    assert_eq!(send_by(&strict, "x", &inside).await, [refused("subscription cannot be used")]);
    let inside = [self::target(2, &format!("http://localhost:{}/push/0", world.sim.port()), &any_keys())];
    assert_eq!(send_by(&strict, "x", &inside).await, [refused("address is not public")]);
    assert_eq!(world.got(&browser).len(), 2);
    world.assert_no_faults();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_as_browsers_write_it_may_stand_for_endpoint_and_keys() {
    let world = World::begin().await;
    let subscription = world.ask("POST", "/subscriptions", &Value::Null).to_string();
    let target = Target { device: DeviceId(1), token: subscription, detail: None };
    assert_eq!(world.send(&[target]).await, [Verdict::Accepted]);
}

/// Another implementation sends to the service, with keys of ours: the service takes it.
#[tokio::test(flavor = "multi_thread")]
async fn the_service_takes_what_pywebpush_sends() {
    let world = World::begin().await;
    let (_, browser) = world.browser(1);
    let made = world.ask("POST", "/subscriptions", &Value::Null);
    let keys = Credentials::generate(SUBJECT).unwrap();
    let script = r#"
import json, sys
from pywebpush import webpush
given = json.load(sys.stdin)
answer = webpush(given["subscription"], "salut, 信鸽", vapid_private_key=given["private_key"],
                 vapid_claims={"sub": given["subject"]}, ttl=60)
print(answer.status_code)
"#;
    let given = json!({ "subscription": made, "private_key": keys.private_key, "subject": SUBJECT });
    let said = tokio::task::block_in_place(|| {
        let mut python = Command::new("python3")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 can be run: scripts/test sees to it");
        python.stdin.take().unwrap().write_all(given.to_string().as_bytes()).unwrap();
        String::from_utf8(python.wait_with_output().unwrap().stdout).unwrap()
    });
    assert_eq!(said.trim(), "201");
    let id = made["endpoint"].as_str().unwrap().rsplit_once('/').unwrap().1.to_owned();
    let [got] = &*world.got(&format!("/subscriptions/{id}")) else { panic!("one message") };
    assert_eq!((&got["plaintext"], &got["ttl"]), (&json!("salut, 信鸽"), &json!(60)));
    assert!(world.got(&browser).is_empty());
    world.assert_no_faults();
}
