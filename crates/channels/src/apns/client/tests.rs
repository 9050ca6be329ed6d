//! The client against a sim that misbehaves: whatever happens, each message has the right verdict, and none is taken twice.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use pigeonloft_model::{DeviceId, Platform, Push, PushId, Zone};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::json;
use tokio::net::TcpListener;

use super::*;
use crate::apns::Credentials;
use crate::apns::sim::{Habits, Reply, Sim, Team, url};
use crate::vendor::Outgoing;

/// Credentials with a key that was just made.
pub(in crate::apns) fn credentials(url: &str) -> Credentials {
    let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
    let key = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", BASE64.encode(der.as_ref()));
    Credentials {
        key,
        key_id: "ABC123DEFG".into(),
        team_id: "DEF123GHIJ".into(),
        topic: "com.example.shop".into(),
        url: Some(url.into()),
        trusted: None,
    }
}

/// A client and the sim it sends to.
struct Line {
    sim: Arc<Sim>,
    client: Client,
    signer: Signer,
    payload: Payload,
}

impl Line {
    async fn new(habits: Habits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let credentials = credentials(&url(listener.local_addr().unwrap(), false));
        credentials.check().unwrap();
        let team = Team::new(&credentials.key, &credentials.key_id, &credentials.team_id).unwrap();
        let sim = Sim::new(Some(team));
        *sim.habits() = habits;
        tokio::spawn(sim.clone().serve(listener, None));
        let call = json!({ "audience_type": "account", "account_list": ["ann"], "message_type": "notify",
            "message": { "title": "t", "content": "c" } });
        let push = Push::parse(call.to_string().as_bytes(), Platform::Ios, 1_700_000_000, Zone::CHINA).unwrap();
        let outgoing = Outgoing { push_id: PushId(7), push: &push, expire_at: 1_700_086_400 };
        Self {
            sim,
            client: Client::new(credentials.endpoint(pigeonloft_model::Environment::Product).unwrap()),
            signer: Signer::new(&credentials).unwrap(),
            payload: Payload::new(&outgoing, &credentials.topic).unwrap(),
        }
    }

    fn patient(mut self, answered_within: u64, tried_for: u64) -> Self {
        let [answered_within, tried_for] = [answered_within, tried_for].map(Duration::from_millis);
        self.client.patience = Patience { answered_within, tried_for };
        self
    }

    /// Sends to so many devices. Of those that are accepted Apple's side took each once, and none twice.
    async fn send(&self, count: usize) -> Vec<Verdict> {
        let targets: Vec<Target> = (0..count).map(target).collect();
        let verdicts = self.client.send(&self.payload, &Values::default(), &self.signer, &targets).await;
        assert_eq!(verdicts.len(), count);
        let taken = self.sim.all_taken();
        for (target, verdict) in targets.iter().zip(&verdicts) {
            let times = taken.get(&target.token).copied().unwrap_or(0);
            match verdict {
                Verdict::Accepted => assert_eq!(times, 1, "{target:?}"),
                Verdict::Unknown(_) => assert!(times <= 1, "{target:?} {times}"),
                other => assert_eq!(times, 0, "{target:?} {other:?}"),
            }
        }
        verdicts
    }
}

fn target(n: usize) -> Target {
    Target { device: DeviceId(n as i64), token: token(n), detail: None }
}

fn token(n: usize) -> String {
    format!("{n:064x}")
}

/// How many of each verdict, by its code; those that are accepted under "".
fn count(verdicts: &[Verdict]) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for verdict in verdicts {
        *counts.entry(verdict.code().map_or(String::new(), ToString::to_string)).or_insert(0) += 1;
    }
    counts
}

fn all(code: &str, count: usize) -> HashMap<String, usize> {
    HashMap::from([(code.to_owned(), count)])
}

#[tokio::test]
async fn as_many_are_under_way_as_the_other_side_allows() {
    for (streams, messages) in [(1, 60), (1_000, 3_000)] {
        let line = Line::new(Habits { streams, latency: Duration::from_millis(5), ..Habits::default() }).await;
        assert_eq!(count(&line.send(messages).await), all("", messages));
        assert!(line.sim.counts()[2] <= CONNECTIONS as u64, "connections stay open");
        assert_eq!(count(&line.send(0).await), HashMap::new());
    }
}

#[tokio::test]
async fn streams_that_are_refused_are_sent_again_once_there_is_room() {
    let latency = Duration::from_millis(5);
    let line = Line::new(Habits { streams: 1_000, really: Some(10), latency, ..Habits::default() }).await;
    assert_eq!(count(&line.send(200).await), all("", 200));
    assert!(line.sim.counts()[0] > 200, "some were refused");
}

#[tokio::test]
async fn a_goaway_in_mid_flight_loses_nothing_and_doubles_nothing() {
    for latency in [Duration::ZERO, Duration::from_millis(30)] {
        let line = Line::new(Habits { goes_away_after: Some(40), latency, ..Habits::default() }).await;
        let verdicts = line.send(1_000).await;
        let unknown = verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Unknown(_))).count();
        let accepted = verdicts.iter().filter(|verdict| **verdict == Verdict::Accepted).count();
        assert_eq!(accepted + unknown, 1_000, "{:?}", count(&verdicts));
        assert!(line.sim.counts()[2] > CONNECTIONS as u64, "those above the last went over another connection");
    }
}

#[tokio::test]
async fn what_was_under_way_when_a_connection_breaks_is_unknown_and_the_rest_is_sent() {
    let line =
        Line::new(Habits { cut_after: Some(40), latency: Duration::from_millis(5), streams: 50, ..Habits::default() })
            .await;
    let verdicts = line.send(500).await;
    let counts = count(&verdicts);
    let lost: usize = verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Unknown(_))).count();
    assert!(lost > 0 && counts[""] > 0 && counts[""] + lost == 500, "{counts:?}");
}

#[tokio::test]
async fn silence_is_no_answer() {
    let line = Line::new(Habits { is_silent: true, ..Habits::default() }).await.patient(200, 1_000);
    let verdicts = line.send(20).await;
    assert_eq!(count(&verdicts), all("no answer", 20));
    assert!(verdicts.iter().all(|verdict| matches!(verdict, Verdict::Unknown(_))));
    *line.sim.habits() = Habits::default();
    let one = line.client.send(&line.payload, &Values::default(), &line.signer, &[target(99)]).await;
    assert_eq!(one, [Verdict::Accepted], "over another connection");
}

#[tokio::test]
async fn what_is_not_taken_now_is_sent_again_when_it_may_be() {
    let reply = Reply { retry_after: Some(1), ..Reply::new(503, "ServiceUnavailable") };
    let line = Line::new(Habits { next: Some((30, reply)), ..Habits::default() }).await;
    let begun = Instant::now();
    assert_eq!(count(&line.send(100).await), all("", 100));
    assert!(begun.elapsed() >= Duration::from_secs(1), "as long as it asks to wait");
    assert_eq!(line.sim.counts()[0], 130);
    // And when it never is, or not for long, that is said.
    let reply = Reply { retry_after: Some(3_600), ..Reply::new(429, "TooManyRequests") };
    *line.sim.habits() = Habits { next: Some((1, reply)), ..Habits::default() };
    let later = line.client.send(&line.payload, &Values::default(), &line.signer, &[target(1_000)]).await;
    assert_eq!(later, [Verdict::Later { code: "TooManyRequests".into(), after: Some(Duration::from_secs(3_600)) }]);
    let line =
        Line::new(Habits { next: Some((u64::MAX, Reply::new(500, "InternalServerError"))), ..Habits::default() });
    let line = line.await.patient(1_000, 400);
    assert_eq!(count(&line.send(10).await), all("InternalServerError", 10));
}

#[tokio::test]
async fn where_nobody_is_nothing_is_sent() {
    let mut line = Line::new(Habits::default()).await.patient(1_000, 300);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = url(listener.local_addr().unwrap(), false);
    drop(listener);
    line.client.endpoint = Endpoint::new(&nobody, None).unwrap();
    assert_eq!(count(&line.send(10).await), all("no connection", 10));
}

#[tokio::test]
async fn one_bad_token_fails_none_of_its_neighbours() {
    let line = Line::new(Habits::default()).await;
    let gone = Reply { timestamp: Some(5), ..Reply::new(410, "Unregistered") };
    line.sim.habits().by_token.extend([(token(1), gone), (token(2), Reply::new(400, "BadDeviceToken"))]);
    let mut targets: Vec<Target> = (0..5).map(target).collect();
    targets[3].token = "not hexadecimal".into();
    let verdicts = line.client.send(&line.payload, &Values::default(), &line.signer, &targets).await;
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
async fn a_new_token_that_is_said_to_be_too_old_is_not_made_again_and_again() {
    let line =
        Line::new(Habits { next: Some((u64::MAX, Reply::new(403, "ExpiredProviderToken"))), ..Habits::default() });
    let line = line.await;
    assert_eq!(count(&line.send(5).await), all("ExpiredProviderToken", 5));
    assert_eq!(line.sim.counts()[0], 5);
}

#[tokio::test]
async fn while_nothing_is_taken_each_batch_is_tried_once_and_then_as_before() {
    let down = Habits { next: Some((u64::MAX, Reply::new(503, "ServiceUnavailable"))), ..Habits::default() };
    let line = Line::new(down).await.patient(1_000, 500);
    let timed = async |n: usize| {
        let begun = Instant::now();
        let verdicts = line.client.send(&line.payload, &Values::default(), &line.signer, &[target(n)]).await;
        (count(&verdicts), begun.elapsed(), line.sim.counts()[0])
    };
    let (first, _, tries) = timed(1).await;
    assert_eq!(first, all("ServiceUnavailable", 1));
    assert!(tries > 1);
    let (second, took, after) = timed(2).await;
    assert_eq!((second, after), (all("ServiceUnavailable", 1), tries + 1));
    assert!(took < Duration::from_millis(400), "{took:?}");
    *line.sim.habits() = Habits::default();
    assert_eq!(timed(3).await.0, all("", 1));
    line.sim.habits().next = Some((1, Reply::new(503, "ServiceUnavailable")));
    assert_eq!(timed(4).await.0, all("", 1), "it is waited for again");
}
