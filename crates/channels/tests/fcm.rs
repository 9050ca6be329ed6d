//! FCM against its sim: what becomes of messages when Google's side is well, and when it is not.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use pigeonloft_channels::fcm::sim::{Behaviour, Rule, Sim};
use pigeonloft_channels::fcm::{BadCredentials, Credentials, Fcm, Projects};
use pigeonloft_channels::vendor::{Opened, Outgoing, Target, Vendor};
use pigeonloft_model::attribute::Values;
use pigeonloft_model::{DeviceId, Platform, Push, PushId, Verdict, Zone};
use serde_json::{Value, json};

const NOW: i64 = 1_700_000_000;

/// An RSA key, the same for all.
fn key() -> &'static str {
    static KEY: OnceLock<String> = OnceLock::new();
    KEY.get_or_init(|| {
        let made = Command::new("openssl").args(["genpkey", "-quiet", "-algorithm", "RSA"]).output();
        String::from_utf8(made.expect("openssl is here").stdout).expect("a key is text")
    })
}

/// The sim, and a channel that leads to it.
async fn sim() -> (Sim, Arc<Fcm>) {
    with(|_| ()).await
}

async fn with(change: impl FnOnce(&mut Credentials)) -> (Sim, Arc<Fcm>) {
    let sim = Sim::start(([127, 0, 0, 1], 0).into(), key()).await.expect("a port is free");
    let (service_account, url) = (sim.service_account().to_owned(), Some(sim.url().to_owned()));
    let mut credentials = Credentials { service_account, url, trusted: None, messages_per_minute: None };
    change(&mut credentials);
    credentials.check().expect("they are in order");
    let fcm = Arc::new(Fcm::new(&credentials, &Projects::default()).expect("they are in order"));
    (sim, fcm)
}

fn opened(fcm: &Arc<Fcm>) -> Box<dyn Opened> {
    let body = json!({ "audience_type": "account", "account_list": ["ann"], "message_type": "notify",
        "message": { "title": "t", "content": "c" } });
    let push = Push::parse(body.to_string().as_bytes(), Platform::Android, NOW, Zone::CHINA).expect("it is a push");
    fcm.clone()
        .open(&Outgoing { push_id: PushId(7), push: &push, expire_at: i64::from(u32::MAX) })
        .expect("it is short enough")
}

fn targets(tokens: impl IntoIterator<Item = impl Into<String>>) -> Vec<Target> {
    let tokens = tokens.into_iter().zip(1..);
    tokens.map(|(token, n)| Target { device: DeviceId(n), token: token.into(), detail: None }).collect()
}

fn many(count: usize) -> Vec<Target> {
    targets((0..count).map(|n| format!("token-{n}")))
}

fn rule(token: &str, answer: &str, times: Option<u32>, retry_after: Option<u64>) -> Behaviour {
    let rule = Rule { token: token.into(), answer: answer.into(), times, retry_after };
    Behaviour { rules: vec![rule], ..Behaviour::default() }
}

/// How often the sim took a message for each token.
fn taken(sim: &Sim) -> BTreeMap<String, u32> {
    let mut taken = BTreeMap::new();
    for seen in sim.record().seen {
        *taken.entry(seen.token).or_default() += 1;
    }
    taken
}

#[tokio::test]
async fn messages_go_out_with_one_access_token_over_connections_that_stay() {
    let (sim, fcm) = sim().await;
    let push = opened(&fcm);
    for _ in 0..3 {
        assert_eq!(push.send(&many(200), &Values::default()).await, vec![Verdict::Accepted; 200]);
    }
    let record = sim.record();
    assert_eq!((record.requests, record.bearers), (600, 1));
    assert!(record.connections <= 9, "eight, and one for the access token: {}", record.connections);
    assert_eq!(record.seen[0].project, "pigeonloft-sim");
    let first = &record.seen.iter().find(|seen| seen.token == "token-0").unwrap().message;
    assert_eq!(first["data"], json!({ "msg_id": "7-1", "push_id": "7" }));
    assert_eq!(first["notification"], json!({ "title": "t", "body": "c" }));
    assert_eq!(first["android"]["notification"]["tag"], "7");
}

#[tokio::test]
async fn apps_of_one_project_have_one_access_token_and_one_quota() {
    let sim = Sim::start(([127, 0, 0, 1], 0).into(), key()).await.expect("a port is free");
    let (service_account, url) = (sim.service_account().to_owned(), Some(sim.url().to_owned()));
    let credentials = Credentials { service_account, url, trusted: None, messages_per_minute: None };
    let projects = Projects::default();
    let [one, other] = [(); 2].map(|()| Arc::new(Fcm::new(&credentials, &projects).expect("they are in order")));
    for app in [&one, &other] {
        assert_eq!(opened(app).send(&many(5), &Values::default()).await, vec![Verdict::Accepted; 5]);
    }
    assert_eq!((sim.record().requests, sim.record().bearers), (10, 1));
    sim.behave(rule("", "QUOTA_EXCEEDED", Some(30), Some(60)));
    let refused = opened(&one).send(&many(30), &Values::default()).await;
    assert!(refused.iter().all(|verdict| matches!(verdict, Verdict::Later { .. })), "{refused:?}");
    // Google would take it, but is not asked before its time.
    let verdicts = opened(&other).send(&many(1), &Values::default()).await;
    let [Verdict::Later { code, after: Some(after) }] = &verdicts[..] else { panic!("{verdicts:?}") };
    assert!(code == "QUOTA_EXCEEDED" && after.as_secs() > 30, "{verdicts:?}");
    assert_eq!(sim.record().requests, 40);
}

#[tokio::test]
async fn one_bad_token_does_not_fail_its_neighbours() {
    let (sim, fcm) = sim().await;
    let mut behaviour = rule("gone", "UNREGISTERED", None, None);
    behaviour.rules.extend(rule("other-project", "SENDER_ID_MISMATCH", None, None).rules);
    behaviour.rules.extend(rule("broken", "INVALID_ARGUMENT", None, None).rules);
    sim.behave(behaviour);
    let dead = |word: &'static str| Verdict::Dead { code: word.into(), since: None };
    assert_eq!(
        opened(&fcm)
            .send(&targets(["a", "gone-1", "b", "other-project-1", "broken-1", "c", ""]), &Values::default())
            .await,
        [
            Verdict::Accepted,
            dead("UNREGISTERED"),
            Verdict::Accepted,
            Verdict::Refused("SENDER_ID_MISMATCH".into()),
            dead("INVALID_ARGUMENT"),
            Verdict::Accepted,
            dead("INVALID_ARGUMENT"),
        ]
    );
    assert_eq!(taken(&sim).into_keys().collect::<Vec<_>>(), ["a", "b", "c"]);
}

#[tokio::test]
async fn what_is_not_taken_now_is_sent_again_until_it_is() {
    let (sim, fcm) = sim().await;
    for (answer, retry_after) in [("UNAVAILABLE", Some(0)), ("INTERNAL", Some(0)), ("REFUSED_STREAM", None)] {
        sim.behave(rule("", answer, Some(30), retry_after));
        assert_eq!(opened(&fcm).send(&many(20), &Values::default()).await, vec![Verdict::Accepted; 20], "{answer}");
    }
    assert!(taken(&sim).values().all(|times| *times == 3), "each once");
}

#[tokio::test]
async fn who_asks_to_wait_longer_than_that_is_left_alone() {
    let (sim, fcm) = sim().await;
    let after =
        |word: &'static str, seconds| Verdict::Later { code: word.into(), after: Some(Duration::from_secs(seconds)) };
    sim.behave(rule("", "QUOTA_EXCEEDED", None, None));
    assert_eq!(
        opened(&fcm).send(&many(2), &Values::default()).await,
        vec![after("QUOTA_EXCEEDED", 60); 2],
        "where it does not say"
    );
    sim.behave(rule("", "UNAVAILABLE", None, Some(600)));
    assert_eq!(opened(&fcm).send(&many(2), &Values::default()).await, vec![after("UNAVAILABLE", 600); 2]);
    assert_eq!(sim.record().requests, 4);
}

#[tokio::test]
async fn while_google_takes_nothing_each_batch_is_tried_once_but_a_quota_is_no_such_sign() {
    let (sim, fcm) = sim().await;
    let push = opened(&fcm);
    let after = async |answer: &str| {
        sim.behave(rule("", answer, None, Some(3_600)));
        assert!(matches!(push.send(&many(3), &Values::default()).await[..], [Verdict::Later { .. }, ..]));
        sim.behave(rule("", "UNAVAILABLE", Some(1), Some(0)));
        push.send(&many(1), &Values::default()).await.remove(0)
    };
    assert_eq!(after("QUOTA_EXCEEDED").await, Verdict::Accepted);
    let once = after("UNAVAILABLE").await;
    assert_eq!(once, Verdict::Later { code: "UNAVAILABLE".into(), after: Some(Duration::ZERO) });
    assert_eq!(push.send(&many(1), &Values::default()).await, [Verdict::Accepted], "it is taken again");
}

#[tokio::test]
async fn a_goaway_in_the_middle_loses_nothing_and_doubles_nothing() {
    let (sim, fcm) = sim().await;
    sim.behave(Behaviour { goes_away_after: 10, latency_ms: 5, ..Behaviour::default() });
    let verdicts = opened(&fcm).send(&many(60), &Values::default()).await;
    sim.behave(Behaviour::default());
    let unknown = |verdict: &Verdict| matches!(verdict, Verdict::Unknown(_));
    assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Accepted || unknown(verdict)), "{verdicts:?}");
    assert!(verdicts.iter().any(unknown), "those under way: {verdicts:?}");
    let taken = taken(&sim);
    assert!(taken.values().all(|times| *times == 1), "{taken:?}");
    let accepted = verdicts.iter().enumerate().filter(|(_, verdict)| **verdict == Verdict::Accepted);
    for (place, _) in accepted {
        assert!(taken.contains_key(&format!("token-{place}")), "{place}");
    }
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_unknown_and_not_sent_again() {
    let (sim, fcm) = sim().await;
    sim.behave(rule("token-1", "RESET", None, None));
    let verdicts = opened(&fcm).send(&many(3), &Values::default()).await;
    assert_eq!(verdicts, [Verdict::Accepted, Verdict::Unknown("reset INTERNAL_ERROR".into()), Verdict::Accepted]);
    assert_eq!(sim.record().requests, 3);
}

#[tokio::test]
async fn a_side_that_is_silent_is_unknown_after_a_while() {
    let (sim, fcm) = sim().await;
    sim.behave(rule("token-1", "SILENCE", None, None));
    let verdicts = opened(&fcm).send(&many(3), &Values::default()).await;
    assert_eq!(verdicts, [Verdict::Accepted, Verdict::Unknown("no answer".into()), Verdict::Accepted]);
}

#[tokio::test]
async fn as_many_streams_as_it_allows_are_used_and_no_more() {
    for streams in [1, 1_000] {
        let (sim, fcm) = sim().await;
        sim.behave(Behaviour { streams, latency_ms: 1, ..Behaviour::default() });
        assert_eq!(opened(&fcm).send(&many(100), &Values::default()).await, vec![Verdict::Accepted; 100], "{streams}");
        assert_eq!(sim.record().requests, 100);
    }
}

#[tokio::test]
async fn an_access_token_is_replaced_before_its_end() {
    let (sim, fcm) = sim().await;
    sim.behave(Behaviour { bearer_seconds: 2, ..Behaviour::default() });
    let push = opened(&fcm);
    let deadline = Instant::now() + Duration::from_secs(30);
    while sim.record().bearers < 3 {
        assert!(Instant::now() < deadline, "it is never replaced");
        assert_eq!(push.send(&many(1), &Values::default()).await, [Verdict::Accepted]);
    }
}

#[tokio::test]
async fn while_an_access_token_is_good_nobody_waits_for_the_next() {
    const SLOW: Duration = Duration::from_secs(2);
    let (sim, fcm) = sim().await;
    let behaviour = Behaviour { bearer_seconds: 12, ..Behaviour::default() };
    sim.behave(behaviour.clone());
    let push = opened(&fcm);
    assert_eq!(push.send(&many(1), &Values::default()).await, [Verdict::Accepted]);
    sim.behave(Behaviour { bearer_latency_ms: SLOW.as_millis() as u64, ..behaviour });
    let begun = Instant::now();
    while sim.record().bearers < 2 {
        assert!(begun.elapsed() < Duration::from_secs(12), "it is never replaced");
        let asked = Instant::now();
        assert_eq!(push.send(&many(1), &Values::default()).await, [Verdict::Accepted]);
        assert!(asked.elapsed() < SLOW, "{:?}", asked.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // And no more than that was fetched for all of them.
    assert_eq!(push.send(&many(100), &Values::default()).await, vec![Verdict::Accepted; 100]);
    assert_eq!(sim.record().bearers, 2);
}

#[tokio::test]
async fn numbers_of_any_size_from_google_are_taken_for_long_and_break_nothing() {
    let (sim, fcm) = sim().await;
    let rules = rule("token-1", "UNAVAILABLE", None, Some(u64::MAX)).rules;
    sim.behave(Behaviour { bearer_seconds: u64::MAX, rules, ..Behaviour::default() });
    let later = Verdict::Later { code: "UNAVAILABLE".into(), after: Some(Duration::from_secs(3_600)) };
    for _ in 0..2 {
        let verdicts = opened(&fcm).send(&many(3), &Values::default()).await;
        assert_eq!(verdicts, [Verdict::Accepted, later.clone(), Verdict::Accepted]);
    }
    assert_eq!(sim.record().bearers, 1);
}

#[tokio::test]
async fn an_access_token_that_is_refused_while_it_is_young_is_a_matter_of_configuration() {
    let (sim, fcm) = sim().await;
    assert_eq!(opened(&fcm).send(&many(1), &Values::default()).await, [Verdict::Accepted]);
    sim.forget_bearers();
    let verdicts = opened(&fcm).send(&many(2), &Values::default()).await;
    assert_eq!(verdicts, vec![Verdict::Configuration("UNAUTHENTICATED".into()); 2]);
    assert_eq!(sim.record().bearers, 1, "another would be refused as well");
}

#[tokio::test]
async fn an_account_that_gets_no_access_token_sends_nothing() {
    let (sim, fcm) = sim().await;
    sim.behave(Behaviour { gives_no_bearer: true, ..Behaviour::default() });
    for _ in 0..2 {
        assert_eq!(
            opened(&fcm).send(&many(2), &Values::default()).await,
            vec![Verdict::Configuration("invalid_grant".into()); 2]
        );
    }
    assert_eq!(sim.record().requests, 0);
    drop(sim);
    let (gone, fcm) = self::sim().await;
    drop(gone);
    let after = Some(Duration::from_secs(10));
    let later = Verdict::Later { code: "no connection for a token".into(), after };
    assert_eq!(opened(&fcm).send(&many(1), &Values::default()).await, [later]);
}

#[tokio::test]
async fn messages_are_spread_as_the_project_may_send_them() {
    let (sim, fcm) = with(|credentials| credentials.messages_per_minute = Some(600)).await;
    let begun = Instant::now();
    assert_eq!(opened(&fcm).send(&many(20), &Values::default()).await, vec![Verdict::Accepted; 20]);
    assert!(begun.elapsed() > Duration::from_millis(900), "ten at once, ten in a second: {:?}", begun.elapsed());
    assert_eq!(sim.record().requests, 20);
}

#[tokio::test]
async fn a_file_that_is_no_service_accounts_is_told_apart() {
    let (sim, _) = sim().await;
    let check = |change: &dyn Fn(&mut Value)| {
        let mut file: Value = serde_json::from_str(sim.service_account()).unwrap();
        change(&mut file);
        let service_account = file.to_string();
        Credentials { service_account, url: None, trusted: None, messages_per_minute: None }.check()
    };
    check(&|_| ()).unwrap();
    assert!(matches!(check(&|file| *file = json!({ "project_info": {} })), Err(BadCredentials::NotAServiceAccount(_))));
    assert!(matches!(check(&|file| file["type"] = "authorized_user".into()), Err(BadCredentials::OtherType(_))));
    assert!(matches!(check(&|file| file["project_id"] = "a/../b".into()), Err(BadCredentials::Project(_))));
    assert!(matches!(check(&|file| file["private_key"] = "-----".into()), Err(BadCredentials::Key)));
    assert!(matches!(check(&|file| file["token_uri"] = "oauth2".into()), Err(BadCredentials::Endpoint(_))));
}
