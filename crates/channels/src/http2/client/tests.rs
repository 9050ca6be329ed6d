//! The client against a sim that misbehaves: whatever happens, each message has the right verdict, and none is taken twice.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::*;
use crate::apns::sim::{Habits, Reply, url};
use crate::apns::tests::{Line, target};
use crate::http2::Trust;
use crate::sim_tls;

fn patient(mut line: Line, answered_within: u64, tried_for: u64) -> Line {
    let [answered_within, tried_for] = [answered_within, tried_for].map(Duration::from_millis);
    line.client.patience = Patience { answered_within, tried_for, ..PATIENCE };
    line
}

fn targets(count: usize) -> Vec<Target> {
    (0..count).map(target).collect()
}

/// Sends to so many devices. Of those that are accepted the other side took each once, and none twice.
async fn send(line: &Line, count: usize) -> Vec<Verdict> {
    let targets = targets(count);
    let verdicts = line.send(&targets).await;
    assert_eq!(verdicts.len(), count);
    let taken = line.sim.all_taken();
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

/// How many of each verdict, by its code; those that are accepted under "".
fn count(verdicts: &[Verdict]) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for verdict in verdicts {
        *counts.entry(verdict.code().map_or(String::new(), ToString::to_string)).or_insert(0) += 1;
    }
    counts
}

/// A certificate for this machine, PEM, and who shows it.
fn server_tls() -> (String, Arc<rustls::ServerConfig>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let tls = sim_tls(&made.cert.pem(), &made.signing_key.serialize_pem(), None, &["h2"]).unwrap();
    (made.cert.pem(), tls)
}

fn all(code: &str, count: usize) -> HashMap<String, usize> {
    HashMap::from([(code.to_owned(), count)])
}

#[tokio::test]
async fn as_many_are_under_way_as_the_other_side_allows() {
    for (streams, messages) in [(1, 60), (1_000, 3_000)] {
        let line = Line::new(Habits { streams, latency: Duration::from_millis(5), ..Habits::default() }).await;
        assert_eq!(count(&send(&line, messages).await), all("", messages));
        assert!(line.sim.counts()[2] <= CONNECTIONS as u64, "connections stay open");
        assert_eq!(count(&send(&line, 0).await), HashMap::new());
    }
}

#[tokio::test]
async fn batches_have_their_turn_one_after_another_and_a_few_messages_wait_for_none() {
    const EACH: usize = 400;
    let line = Line::new(Habits { streams: 5, latency: Duration::from_millis(5), ..Habits::default() }).await;
    let batch = |from: usize, count: usize| (from..from + count).map(target).collect::<Vec<_>>();
    let batches = [batch(0, EACH), batch(EACH, EACH), batch(2 * EACH, 1)];
    // How many messages of all were sent when it was answered.
    let sent = async |targets: &[Target]| {
        assert_eq!(count(&line.send(targets).await), all("", targets.len()));
        usize::try_from(line.sim.counts()[0]).unwrap()
    };
    let (first, second, one) = tokio::join!(sent(&batches[0]), sent(&batches[1]), sent(&batches[2]));
    // The second goes while the last of the first are answered. If they shared the streams, both would end together.
    assert!(first < EACH + EACH / 2, "{first}");
    assert!(one < EACH, "{one}");
    assert_eq!(second, 2 * EACH + 1);
}

#[tokio::test]
async fn as_many_connections_are_opened_as_messages_are_worth() {
    let line = Line::new(Habits::default()).await;
    for (messages, connections) in [(1, 1), (32, 1), (33, 2), (100, 4), (1, 4), (3_000, 8), (3_000, 8)] {
        assert_eq!(count(&line.send(&targets(messages)).await), all("", messages));
        let opened = || line.sim.counts()[2];
        // One that is not waited for comes a moment later.
        let deadline = Instant::now() + Duration::from_secs(10);
        while opened() != connections {
            assert!(Instant::now() < deadline && opened() < connections, "{messages}: {}", opened());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn a_connection_that_is_long_in_opening_is_not_waited_for() {
    let mut line = Line::new(Habits::default()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (certificate, tls) = server_tls();
    line.client.endpoint =
        Endpoint::new(&url(listener.local_addr().unwrap(), true), Trust { trusted: Some(&certificate), shown: None })
            .unwrap();
    // The first that comes is served, the others are taken and hear nothing.
    let inner = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = inner.local_addr().unwrap();
    tokio::spawn(line.sim.clone().serve(inner, Some(tls)));
    tokio::spawn(async move {
        let (mut first, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let mut sim = TcpStream::connect(to).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut first, &mut sim).await;
        });
        let mut others = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            others.push(stream);
        }
    });
    let begun = Instant::now();
    for _ in 0..2 {
        assert_eq!(count(&line.send(&targets(200)).await), all("", 200));
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_connection_that_carries_nothing_for_long_is_closed_and_the_next_message_opens_another() {
    let mut line = Line::new(Habits::default()).await;
    line.client.patience.keeping.kept_for = Duration::from_millis(300);
    assert_eq!(line.send(&[target(1)]).await, [Verdict::Accepted]);
    let deadline = Instant::now() + Duration::from_secs(10);
    while line.client.lanes.iter().any(Lane::is_open) {
        assert!(Instant::now() < deadline, "it stays");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(line.send(&[target(2)]).await, [Verdict::Accepted]);
    assert_eq!(line.sim.counts()[2], 2);
}

#[tokio::test]
async fn a_side_that_begins_with_one_stream_and_then_gives_more_is_followed() {
    let latency = Duration::from_millis(5);
    let line = Line::new(Habits { first_streams: Some(1), streams: 1_000, latency, ..Habits::default() }).await;
    assert_eq!(count(&send(&line, 3_000).await), all("", 3_000));
    assert_eq!(line.sim.counts()[0], 3_000, "none was refused");
    assert!(line.sim.most_at_once() > 1, "more than one was under way");
}

#[tokio::test]
async fn a_message_that_is_reset_may_have_been_taken_and_is_not_sent_again() {
    let line = Line::new(Habits { resets: 7, ..Habits::default() }).await;
    let verdicts = send(&line, 100).await;
    assert_eq!(count(&verdicts), HashMap::from([("".to_owned(), 93), ("reset INTERNAL_ERROR".to_owned(), 7)]));
    assert_eq!(line.sim.counts()[0], 100);
}

#[tokio::test]
async fn streams_that_are_refused_are_sent_again_once_there_is_room() {
    let latency = Duration::from_millis(5);
    let line = Line::new(Habits { streams: 1_000, really: Some(10), latency, ..Habits::default() }).await;
    assert_eq!(count(&send(&line, 200).await), all("", 200));
    assert!(line.sim.counts()[0] > 200, "some were refused");
}

#[tokio::test]
async fn a_goaway_in_mid_flight_loses_nothing_and_doubles_nothing() {
    for latency in [Duration::ZERO, Duration::from_millis(30)] {
        let line = Line::new(Habits { goes_away_after: Some(40), latency, ..Habits::default() }).await;
        let verdicts = send(&line, 1_000).await;
        let unknown = verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Unknown(_))).count();
        let accepted = verdicts.iter().filter(|verdict| **verdict == Verdict::Accepted).count();
        assert_eq!(accepted + unknown, 1_000, "{:?}", count(&verdicts));
        assert!(line.sim.counts()[2] > CONNECTIONS as u64, "those above the last went over another connection");
    }
}

#[tokio::test]
async fn what_was_under_way_when_a_connection_breaks_is_unknown_and_the_rest_is_sent() {
    // The 41st request of a connection comes when at least 31 are answered. How many are lost with it is not said: up to a
    // stretch waits in the connection for room.
    let latency = Duration::from_millis(5);
    let line = Line::new(Habits { cut_after: Some(40), latency, streams: 10, ..Habits::default() }).await;
    let verdicts = send(&line, 500).await;
    let accepted = verdicts.iter().filter(|verdict| **verdict == Verdict::Accepted).count();
    let lost = verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Unknown(_))).count();
    assert!(lost > 0 && accepted >= 31 && accepted + lost == 500, "{:?}", count(&verdicts));
}

#[tokio::test]
async fn silence_is_no_answer() {
    let line = patient(Line::new(Habits { is_silent: true, ..Habits::default() }).await, 200, 1_000);
    let verdicts = send(&line, 20).await;
    assert_eq!(count(&verdicts), all("no answer", 20));
    assert!(verdicts.iter().all(|verdict| matches!(verdict, Verdict::Unknown(_))));
    *line.sim.habits() = Habits::default();
    let one = line.send(&[target(99)]).await;
    assert_eq!(one, [Verdict::Accepted], "over another connection");
}

#[tokio::test]
async fn what_is_not_taken_now_is_sent_again_when_it_may_be() {
    let reply = Reply { retry_after: Some(1), ..Reply::new(503, "ServiceUnavailable") };
    let line = Line::new(Habits { next: Some((30, reply)), ..Habits::default() }).await;
    let begun = Instant::now();
    assert_eq!(count(&send(&line, 100).await), all("", 100));
    assert!(begun.elapsed() >= Duration::from_secs(1), "as long as it asks to wait");
    assert_eq!(line.sim.counts()[0], 130);
    // And when it never is, or not for long, that is said.
    let reply = Reply { retry_after: Some(3_600), ..Reply::new(429, "TooManyRequests") };
    *line.sim.habits() = Habits { next: Some((1, reply)), ..Habits::default() };
    let later = line.send(&[target(1_000)]).await;
    assert_eq!(later, [Verdict::Later { code: "TooManyRequests".into(), after: Some(Duration::from_secs(3_600)) }]);
    let line =
        Line::new(Habits { next: Some((u64::MAX, Reply::new(500, "InternalServerError"))), ..Habits::default() });
    let line = patient(line.await, 1_000, 400);
    assert_eq!(count(&send(&line, 10).await), all("InternalServerError", 10));
}

#[tokio::test]
async fn one_device_that_gets_too_many_holds_up_no_other_of_its_batch() {
    let latency = Duration::from_millis(5);
    let line = Line::new(Habits { streams: 1_000, really: Some(10), latency, ..Habits::default() }).await;
    let token = |n: usize| target(n).token;
    let reply = |status, reason, retry_after| Reply { retry_after, ..Reply::new(status, reason) };
    line.sim.habits().by_token.extend([
        (token(3), reply(429, "TooManyRequests", None)),
        (token(4), reply(429, "TooManyRequests", Some(3_600))),
        (token(5), reply(503, "ServiceUnavailable", Some(u64::MAX))),
    ]);
    let begun = Instant::now();
    let verdicts = send(&line, 60).await;
    let counts = [("", 57), ("TooManyRequests", 2), ("ServiceUnavailable", 1)];
    assert_eq!(count(&verdicts), counts.map(|(word, count)| (word.to_owned(), count)).into());
    assert!(begun.elapsed() < PATIENCE.tried_for / 2, "{:?}", begun.elapsed());
    let after = |place: usize| match &verdicts[place] {
        Verdict::Later { after, .. } => *after,
        other => panic!("{other:?}"),
    };
    let hour = Some(Duration::from_secs(3_600));
    assert_eq!([3, 4, 5].map(after), [None, hour, hour], "an hour is the longest that is believed");
    // Those that were refused a stream were sent again, these three were not.
    line.sim.habits().really = None;
    let before = line.sim.counts()[0];
    assert!(before > 60, "{before}");
    assert_eq!(line.send(&[target(3), target(6)]).await[1], Verdict::Accepted);
    assert_eq!(line.sim.counts()[0], before + 2);
}

#[tokio::test]
async fn a_server_that_is_shutting_down_is_left_for_another_connection() {
    let latency = Duration::from_millis(20);
    let line = Line::new(Habits { next: Some((1, Reply::new(503, "Shutdown"))), latency, ..Habits::default() }).await;
    assert_eq!(count(&send(&line, 20).await), all("", 20), "those under way, too");
    assert_eq!(line.sim.counts(), [21, 20, 2]);
    // It is still open, but nothing comes over it any more.
    assert_eq!(line.send(&targets(20)).await, vec![Verdict::Accepted; 20]);
    assert_eq!(line.sim.counts()[2], 2);
}

#[tokio::test]
async fn what_the_vendor_refuses_is_sent_again_within_a_budget_and_what_it_has_not_looked_at_as_ever() {
    const MANY: u64 = 3_000;
    let line = Line::new(Habits { next: Some((u64::MAX, Reply::new(503, "ServiceUnavailable"))), ..Habits::default() });
    let line = line.await;
    let begun = Instant::now();
    let verdicts = line.send(&(0..MANY as usize).map(target).collect::<Vec<_>>()).await;
    assert_eq!(count(&verdicts), all("ServiceUnavailable", MANY as usize));
    // Each once, and two thousand of them, or their like, once more.
    let spent = MANY + 2_000;
    assert!((spent..=spent + 10).contains(&line.sim.counts()[0]), "{:?}", line.sim.counts());
    assert!(begun.elapsed() < PATIENCE.tried_for / 2, "{:?}", begun.elapsed());
    *line.sim.habits() = Habits { really: Some(10), latency: Duration::from_millis(5), ..Habits::default() };
    assert_eq!(line.send(&[target(MANY as usize)]).await, [Verdict::Accepted]);
    let before = line.sim.counts()[0];
    let others: Vec<Target> = (0..200).map(target).collect();
    assert_eq!(count(&line.send(&others).await), all("", 200), "streams that are refused cost nothing");
    assert!(line.sim.counts()[0] > before + 200, "some were");
}

/// A router between, which forgets connections when it is told to: what comes over them goes nowhere, and nobody is told.
async fn router(to: SocketAddr) -> (SocketAddr, Arc<watch::Sender<usize>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // So many of the first connections are forgotten.
    let forgets = Arc::new(watch::Sender::new(0));
    let forgotten = forgets.subscribe();
    tokio::spawn(async move {
        for connection in 1.. {
            let (mut here, _) = listener.accept().await.unwrap();
            let mut there = TcpStream::connect(to).await.unwrap();
            let mut forgotten = forgotten.clone();
            tokio::spawn(async move {
                let is_forgotten = async { drop(forgotten.wait_for(|forgets| *forgets >= connection).await) };
                tokio::select! {
                    _ = copy_bidirectional(&mut here, &mut there) => {}
                    () = is_forgotten => std::future::pending().await,
                }
            });
        }
    });
    (address, forgets)
}

#[tokio::test]
async fn a_connection_that_was_forgotten_on_the_way_while_it_was_idle_costs_no_message() {
    let mut line = Line::new(Habits::default()).await;
    let sim: SocketAddr = line.client.endpoint.authority.as_str().parse().unwrap();
    let (router, forgets) = router(sim).await;
    line.client.endpoint = Endpoint::new(&url(router, false), Trust::default()).unwrap();
    let keeping = Keeping { trusted_for: Duration::ZERO, pong_within: Duration::from_millis(500), ..PATIENCE.keeping };
    line.client.patience.keeping = keeping;
    assert_eq!(count(&send(&line, 100).await), all("", 100));
    let connections = line.sim.counts()[2];
    let more: Vec<Target> = (100..200).map(target).collect();
    assert_eq!(line.send(&more).await, vec![Verdict::Accepted; 100]);
    assert_eq!(line.sim.counts()[2], connections, "those that live are used again");
    forgets.send_replace(connections as usize);
    let begun = Instant::now();
    let others: Vec<Target> = (200..300).map(target).collect();
    assert_eq!(line.send(&others).await, vec![Verdict::Accepted; 100], "over other connections");
    assert!(begun.elapsed() < line.client.patience.answered_within / 2, "{:?}", begun.elapsed());
    assert!(line.sim.counts()[2] > connections);
    assert!(line.sim.all_taken().values().all(|times| *times == 1));
}

#[tokio::test]
async fn where_nobody_is_nothing_is_sent() {
    let mut line = patient(Line::new(Habits::default()).await, 1_000, 300);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = url(listener.local_addr().unwrap(), false);
    drop(listener);
    line.client.endpoint = Endpoint::new(&nobody, Trust::default()).unwrap();
    assert_eq!(count(&send(&line, 10).await), all("no connection", 10));
}

#[tokio::test]
async fn while_nothing_is_taken_each_batch_is_tried_once_and_then_as_before() {
    let down = Habits { next: Some((u64::MAX, Reply::new(503, "ServiceUnavailable"))), ..Habits::default() };
    let line = patient(Line::new(down).await, 1_000, 500);
    let timed = async |n: usize| {
        let begun = Instant::now();
        let verdicts = line.send(&[target(n)]).await;
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
