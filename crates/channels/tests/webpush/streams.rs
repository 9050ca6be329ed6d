//! Streams: what becomes of messages where a push service allows one stream on a connection, and many once it has answered; and
//! where it takes fewer than it allows. It is frames by hand: a library neither says another limit than the one it began with nor
//! breaks its own.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::*;

const LATENCY: Duration = Duration::from_millis(5);

/// Bytes of the client's preface, and of a frame's head.
const PREFACE: usize = 24;
const HEAD: usize = 9;

// Types of frames (RFC 9113, 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const REFUSED_STREAM: u32 = 7;

/// `:status: 201`, as HPACK writes what it is not to remember.
const CREATED: &[u8] = b"\x08\x03201";

/// How many streams a connection may have.
#[derive(Clone, Copy)]
struct Limits {
    first: u32,
    /// Once it has answered one.
    then: u32,
    /// More are refused, whatever it says.
    really: usize,
}

#[derive(Default)]
struct Seen {
    answered: AtomicUsize,
    refused: AtomicUsize,
    connections: AtomicUsize,
    /// Streams that a connection had at once: as long as it had said the first limit alone, and ever.
    most_at_first: AtomicUsize,
    most: AtomicUsize,
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn settings(streams: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&[0, 3][..], &streams.to_be_bytes()].concat())
}

async fn serve(listener: TcpListener, tls: Arc<rustls::ServerConfig>, limits: Limits, seen: Arc<Seen>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, seen) = (TlsAcceptor::from(tls.clone()), seen.clone());
        // A client that has what it wants hangs up.
        tokio::spawn(async move { attend(stream, &tls, limits, &seen).await });
    }
}

async fn attend(stream: TcpStream, tls: &TlsAcceptor, limits: Limits, seen: &Arc<Seen>) -> io::Result<()> {
    seen.connections.fetch_add(1, Ordering::Relaxed);
    let (mut reads, mut writes) = tokio::io::split(tls.accept(stream).await?);
    let (say, mut said) = mpsc::unbounded_channel::<Vec<u8>>();
    tokio::spawn(async move {
        while let Some(frame) = said.recv().await {
            let written = async { writes.write_all(&frame).await.and(writes.flush().await) };
            if written.await.is_err() {
                break;
            }
        }
    });
    let tell = |frame: Vec<u8>| _ = say.send(frame);
    reads.read_exact(&mut [0; PREFACE]).await?;
    tell(settings(limits.first));
    // Bodies have room, however many.
    tell(frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes()));
    let open = Arc::new(AtomicUsize::new(0));
    let (mut refused, mut is_first) = (HashSet::new(), true);
    let said_more = Arc::new(AtomicBool::new(false));
    loop {
        let mut head = [0; HEAD];
        reads.read_exact(&mut head).await?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        reads.read_exact(&mut payload).await?;
        let (kind, flags, stream) = (head[3], head[4], u32::from_be_bytes([head[5], head[6], head[7], head[8]]));
        match kind {
            SETTINGS if flags & ACK == 0 => tell(frame(SETTINGS, ACK, 0, &[])),
            PING if flags & ACK == 0 => tell(frame(PING, ACK, 0, &payload)),
            HEADERS => {
                let now = open.fetch_add(1, Ordering::Relaxed) + 1;
                seen.most.fetch_max(now, Ordering::Relaxed);
                if !said_more.load(Ordering::Relaxed) {
                    seen.most_at_first.fetch_max(now, Ordering::Relaxed);
                }
                if now > limits.really {
                    open.fetch_sub(1, Ordering::Relaxed);
                    seen.refused.fetch_add(1, Ordering::Relaxed);
                    refused.insert(stream);
                    tell(frame(RST_STREAM, 0, stream, &REFUSED_STREAM.to_be_bytes()));
                }
            }
            DATA if flags & END_STREAM != 0 && !refused.contains(&stream) => {
                let (say, open, seen, said_more) = (say.clone(), open.clone(), seen.clone(), said_more.clone());
                let tells_more = std::mem::take(&mut is_first) && limits.then != limits.first;
                tokio::spawn(async move {
                    tokio::time::sleep(LATENCY).await;
                    open.fetch_sub(1, Ordering::Relaxed);
                    seen.answered.fetch_add(1, Ordering::Relaxed);
                    let _ = say.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, CREATED));
                    if tells_more {
                        said_more.store(true, Ordering::Relaxed);
                        let _ = say.send(settings(limits.then));
                    }
                });
            }
            _ => {}
        }
    }
}

/// Sends to so many browsers; answers how many were accepted, and what the push service saw.
async fn sent(limits: Limits, browsers: i64) -> (usize, Arc<Seen>) {
    let (certificate, tls) = tls(&["h2"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let endpoint = format!("https://localhost:{}/push/1", listener.local_addr().expect("it listens").port());
    let seen = Arc::new(Seen::default());
    tokio::spawn(serve(listener, tls, limits, seen.clone()));
    let private = Permits { plain_http: false, private_addresses: true };
    let way = way(private, vec![certificate]);
    let verdicts = send_by(&way, "a content", &devices(&target(1, &endpoint, &any_keys()), browsers)).await;
    let accepted = verdicts.iter().filter(|verdict| **verdict == Verdict::Accepted).count();
    let other = verdicts.iter().find(|verdict| **verdict != Verdict::Accepted);
    assert_eq!(accepted, seen.answered.load(Ordering::Relaxed), "none is sent twice that was taken: {other:?}");
    (accepted, seen)
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_are_under_way_as_the_push_service_allows() {
    for (streams, browsers) in [(1, 60), (1_000, 2_000)] {
        let limits = Limits { first: streams, then: streams, really: streams as usize };
        let (accepted, seen) = sent(limits, browsers).await;
        assert_eq!((accepted, seen.refused.load(Ordering::Relaxed)), (browsers as usize, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_stream_at_first_and_many_once_it_answered() {
    let (accepted, seen) = sent(Limits { first: 1, then: 1_000, really: 1_000 }, 1_000).await;
    assert_eq!(accepted, 1_000);
    let [at_first, most] = [&seen.most_at_first, &seen.most].map(|most| most.load(Ordering::Relaxed));
    assert!(at_first == 1 && most > 10, "{at_first} {most}");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_refused_are_sent_again_until_they_are_taken() {
    let (accepted, seen) = sent(Limits { first: 1_000, then: 1_000, really: 10 }, 300).await;
    assert_eq!(accepted, 300);
    assert!(seen.refused.load(Ordering::Relaxed) > 0, "it took fewer than it said");
}
