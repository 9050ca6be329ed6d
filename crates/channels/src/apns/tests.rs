//! Apple's channel against its sim: what is Apple's own. What every vendor does wrong is in the tests of the client.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use pigeonloft_model::{DeviceId, Platform, Push, PushId, Zone};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::json;
use tokio::net::TcpListener;

use super::sim::{Habits, Reply, Sim, Team, url};
use super::*;
use crate::http2::{Endpoint, Trust, ask};
use crate::sim_tls;

/// A key that was just made.
pub(super) fn team_key() -> TeamKey {
    let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
    let key = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", BASE64.encode(der.as_ref()));
    TeamKey { key, key_id: "ABC123DEFG".into(), team_id: "DEF123GHIJ".into() }
}

const TOPIC: &str = "com.example.shop";

/// The credentials of an app with this key.
pub(super) fn credentials(key: TeamKey, url: Option<String>) -> Credentials {
    let identity = Identity::Key(key);
    Credentials { identity, topic: TOPIC.into(), url, sandbox_url: None, port: None, trusted: None }
}

/// A client and the sim it sends to.
pub(crate) struct Line {
    pub(crate) sim: Arc<Sim>,
    pub(crate) client: Client,
    key: TeamKey,
    signer: Signer,
    payload: Payload,
}

impl Line {
    pub(crate) async fn new(habits: Habits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let key = team_key();
        let sim = Sim::new(Some(Team::new(&key).unwrap()));
        let signer = Signer::new(&key).unwrap();
        let url = url(listener.local_addr().unwrap(), false);
        let credentials = credentials(key.clone(), Some(url));
        credentials.check(0).unwrap();
        *sim.habits() = habits;
        tokio::spawn(sim.clone().serve(listener, None));
        let push = push();
        let outgoing = Outgoing { push_id: PushId(7), push: &push, expire_at: 1_700_086_400 };
        Self {
            sim,
            client: Client::new(credentials.endpoint(Environment::Product).unwrap()),
            key,
            signer,
            payload: Payload::new(&outgoing, &credentials.topic).unwrap(),
        }
    }

    pub(crate) async fn send(&self, targets: &[Target]) -> Vec<Verdict> {
        self.send_signed_by(&self.signer, targets).await
    }

    async fn send_signed_by(&self, signer: &Signer, targets: &[Target]) -> Vec<Verdict> {
        let Self { client, payload, .. } = self;
        client.send(&Sending { client, signer: Some(signer), payload, values: &Values::default() }, targets).await
    }
}

fn push() -> Push {
    let call = json!({ "audience_type": "account", "account_list": ["ann"], "message_type": "notify",
        "message": { "title": "t", "content": "c" } });
    Push::parse(call.to_string().as_bytes(), Platform::Ios, 1_700_000_000, Zone::CHINA).unwrap()
}

pub(crate) fn target(n: usize) -> Target {
    Target { device: DeviceId(n as i64), token: token(n), detail: None }
}

fn token(n: usize) -> String {
    format!("{n:064x}")
}

#[test]
fn an_address_says_host_and_port_and_nothing_else() {
    let check = |url: &str| {
        let credentials = credentials(team_key(), Some(url.to_owned()));
        credentials.check(0).map_err(|error| error.to_string())
    };
    for url in ["http://127.0.0.1:2197", "http://[::1]:2197/", "https://push.example.com"] {
        assert_eq!(check(url), Ok(()), "{url}");
    }
    for url in
        ["http://user:word@127.0.0.1:2197", "https://push.example.com:99999", "ftp://127.0.0.1", "http://127.0.0.1/x"]
    {
        assert!(check(url).unwrap_err().contains("is no address of a server"), "{url}");
    }
}

#[tokio::test]
async fn one_bad_token_fails_none_of_its_neighbours() {
    let line = Line::new(Habits::default()).await;
    let gone = Reply { timestamp: Some(5), ..Reply::new(410, "Unregistered") };
    line.sim.habits().by_token.extend([(token(1), gone), (token(2), Reply::new(400, "BadDeviceToken"))]);
    let mut targets: Vec<Target> = (0..5).map(target).collect();
    targets[3].token = "not hexadecimal".into();
    let verdicts = line.send(&targets).await;
    assert_eq!(
        verdicts,
        [
            Verdict::Accepted,
            Verdict::Dead { code: "Unregistered".into(), since: Some(5) },
            Verdict::Refused("BadDeviceToken".into()),
            Verdict::Refused("token is not hexadecimal".into()),
            Verdict::Accepted,
        ]
    );
}

#[tokio::test]
async fn a_sim_that_knows_no_team_takes_any_teams_token_and_no_message_without_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = url(listener.local_addr().unwrap(), false);
    tokio::spawn(Sim::new(None).serve(listener, None));
    let mut line = Line::new(Habits::default()).await;
    line.client = Client::new(Endpoint::new(&at, Trust::default()).unwrap());
    assert_eq!(line.send(&[target(1)]).await, [Verdict::Accepted]);
    let refused = async |authorization: Option<&str>| {
        let headers = authorization.map(|text| (AUTHORIZATION, HeaderValue::from_str(text).unwrap()));
        let request = line.client.endpoint().post("/3/device/00", headers.into_iter().collect());
        let answer = ask(line.client.endpoint(), request.unwrap(), Bytes::new()).await.unwrap();
        assert_eq!(answer.status, 403);
        String::from_utf8(answer.body).unwrap()
    };
    assert_eq!(refused(None).await, r#"{"reason":"MissingProviderToken"}"#);
    for none in ["bearer", "bearer a.b.c", "bearer e30.e30.AA"] {
        assert_eq!(refused(Some(none)).await, r#"{"reason":"InvalidProviderToken"}"#, "{none}");
    }
}

#[tokio::test]
async fn a_new_token_that_is_said_to_be_too_old_is_not_made_again_and_again() {
    let line =
        Line::new(Habits { next: Some((u64::MAX, Reply::new(403, "ExpiredProviderToken"))), ..Habits::default() });
    let line = line.await;
    let targets: Vec<Target> = (0..5).map(target).collect();
    assert_eq!(line.send(&targets).await, vec![Verdict::Later { code: "ExpiredProviderToken".into(), after: None }; 5]);
    assert_eq!(line.sim.counts()[0], 5);
}

#[tokio::test]
async fn a_second_token_of_a_team_is_refused_as_one_too_many_and_the_first_is_as_good_as_before() {
    let line = Line::new(Habits { tokens_apart: Duration::from_secs(1_200), ..Habits::default() }).await;
    let targets: Vec<Target> = (0..5).map(target).collect();
    assert_eq!(line.send(&targets).await, vec![Verdict::Accepted; 5]);
    // Another program with the key, such as `app channel test`.
    let other = Signer::new(&line.key).unwrap();
    let refused = Verdict::Later { code: "TooManyProviderTokenUpdates".into(), after: None };
    assert_eq!(line.send_signed_by(&other, &targets).await, vec![refused; 5]);
    assert_eq!(line.send(&targets).await, vec![Verdict::Accepted; 5]);
}

#[tokio::test]
async fn secrets_are_in_nothing_that_is_logged() {
    let (key, signers) = (team_key(), Signers::default());
    let apns = Apns::new(&credentials(key.clone(), None), &signers).unwrap();
    let Proof::Token(signer) = &apns.proof else { panic!("it signs") };
    let authorization = signer.authorization(SystemTime::now).unwrap();
    let shown = format!("{signers:?} {apns:?} {:?}", credentials(key.clone(), None));
    let secret = key.key.lines().nth(1).unwrap();
    assert!(shown.contains("DEF123GHIJ") && !shown.contains("PRIVATE KEY") && !shown.contains(secret), "{shown}");
    assert!(!shown.contains(authorization.to_str().unwrap()), "{shown}");
}

/// A sim that demands a certificate, and the channel of an app that shows this one.
async fn demanding(shown: &rcgen::CertifiedKey<rcgen::KeyPair>, trusted: &str) -> (Arc<Sim>, Arc<Apns>) {
    let server = self_signed("localhost");
    let tls = sim_tls(&server.cert.pem(), &server.signing_key.serialize_pem(), Some(trusted), &["h2"]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = url(listener.local_addr().unwrap(), true);
    let sim = Sim::new(None);
    tokio::spawn(sim.clone().serve(listener, Some(tls)));
    let pem = format!("{}{}", shown.cert.pem(), shown.signing_key.serialize_pem());
    let credentials = Credentials {
        identity: Identity::Certificate { certificate: Certificate::from_pem(&pem).unwrap() },
        trusted: Some(server.cert.pem()),
        ..credentials(team_key(), Some(url))
    };
    credentials.check(1_700_000_000).unwrap();
    // As they are kept, they are the same.
    let kept = serde_json::to_string(&credentials).unwrap();
    assert_eq!(serde_json::from_str::<Credentials>(&kept).unwrap(), credentials);
    (sim, Arc::new(Apns::new(&credentials, &Signers::default()).unwrap()))
}

async fn send_one(apns: &Arc<Apns>) -> Vec<Verdict> {
    let push = push();
    let outgoing = Outgoing { push_id: PushId(7), push: &push, expire_at: 1_700_086_400 };
    apns.clone().open(&outgoing).unwrap().send(&[target(1)], &Values::default()).await
}

fn self_signed(name: &str) -> rcgen::CertifiedKey<rcgen::KeyPair> {
    rcgen::generate_simple_self_signed([name.to_owned()]).unwrap()
}

#[tokio::test]
async fn a_certificate_says_who_we_are_and_no_token_is_sent() {
    let own = self_signed(TOPIC);
    let (sim, apns) = demanding(&own, &own.cert.pem()).await;
    assert_eq!(send_one(&apns).await, [Verdict::Accepted]);
    assert!(!sim.taken(&token(1)).unwrap().headers.contains_key("authorization"));
}

#[tokio::test]
async fn a_certificate_that_is_refused_is_said_to_be_and_no_message_goes_out() {
    let (sim, apns) = demanding(&self_signed(TOPIC), &self_signed("another").cert.pem()).await;
    let [Verdict::Configuration(code)] = &send_one(&apns).await[..] else { panic!("it is taken") };
    assert!(code.starts_with("TLS: received fatal alert: "), "{code}");
    assert_eq!(sim.counts()[0], 0);
}

#[tokio::test]
async fn a_push_through_a_certificate_that_has_ended_is_not_begun() {
    let mut params = rcgen::CertificateParams::default();
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let signing_key = rcgen::KeyPair::generate().unwrap();
    let pem = format!("{}{}", params.self_signed(&signing_key).unwrap().pem(), signing_key.serialize_pem());
    let certificate = Certificate::from_pem(&pem).unwrap();
    let refused = Expiry::new(certificate).look(1_700_000_000, TOPIC);
    assert_eq!(refused, Err(Verdict::Configuration("certificate expired".into())));
}
