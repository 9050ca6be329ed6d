use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::config::Overrides;
use crate::metrics::Metrics;
use crate::net::accept::Gate;
use crate::net::bounds::Bounds;

const PEER: &str = "192.0.2.1:1234";

/// A server whose one slow handler answers when it is told to.
fn server() -> (Arc<HttpServer>, Arc<Notify>) {
    let config = Config::load(None, &Overrides::default()).unwrap();
    assert_eq!((config.http.header_timeout_s, config.http.body_idle_timeout_s), (15, 30));
    let go = Arc::new(Notify::new());
    let told = Arc::clone(&go);
    let peer = |ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() };
    let slow = || async move {
        told.notified().await;
        "slow"
    };
    let large = || async { "x".repeat(1 << 20) };
    let router = Router::new().route("/peer", get(peer)).route("/slow", get(slow)).route("/large", get(large));
    (HttpServer::new(&config, router), go)
}

/// A connection to it, and the task that serves it.
fn connect(server: &Arc<HttpServer>) -> (DuplexStream, JoinHandle<()>) {
    let (ours, theirs) = duplex(4096);
    let peer: SocketAddr = PEER.parse().unwrap();
    let gate = Gate { name: "http", bounds: Bounds::new(1, 1), counters: Metrics::new().listener("http") };
    let admission = gate.admit(peer).unwrap();
    let server = Arc::clone(server);
    let open = server.open.clone();
    (ours, open.spawn(async move { server.connection(theirs, peer, admission).await }))
}

async fn all(stream: &mut DuplexStream) -> String {
    let mut read = Vec::new();
    stream.read_to_end(&mut read).await.unwrap();
    String::from_utf8(read).unwrap()
}

/// One answer with a body that ends so, of a connection that stays open.
async fn answer(stream: &mut DuplexStream, end: &str) -> String {
    let mut read = String::new();
    while !read.ends_with(end) {
        let mut piece = [0; 1024];
        let bytes = stream.read(&mut piece).await.unwrap();
        assert_ne!(bytes, 0, "closed after {read}");
        read.push_str(std::str::from_utf8(&piece[..bytes]).unwrap());
    }
    read
}

/// How long the connection lived, in whole seconds.
async fn lived(begun: Instant, serving: JoinHandle<()>) -> u64 {
    timeout(Duration::from_secs(3600), serving).await.expect("it ends").unwrap();
    begun.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_is_closed_when_a_head_is_overdue() {
    let (server, _) = server();
    let begun = Instant::now();
    let (_client, serving) = connect(&server);
    assert_eq!(lived(begun, serving).await, 15);
}

#[tokio::test(start_paused = true)]
async fn half_a_preface_of_http_2_does_not_keep_a_connection_open() {
    let (server, _) = server();
    let begun = Instant::now();
    let (mut client, serving) = connect(&server);
    client.write_all(b"PRI * HT").await.unwrap();
    assert_eq!(lived(begun, serving).await, 15);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_comes_byte_by_byte_is_cut_off_when_it_is_overdue() {
    let (server, _) = server();
    let begun = Instant::now();
    let (mut client, serving) = connect(&server);
    let slowloris = tokio::spawn(async move {
        for byte in b"GET /peer HTTP/1.1\r\nHost: pigeonloft.example\r\n" {
            sleep(Duration::from_secs(4)).await;
            if client.write_all(&[*byte]).await.is_err() {
                return;
            }
        }
    });
    let lived = lived(begun, serving).await;
    assert!((15..=20).contains(&lived), "{lived} s");
    slowloris.abort();
}

#[tokio::test(start_paused = true)]
async fn a_second_head_may_not_take_longer_than_the_first() {
    let (server, _) = server();
    let (mut client, serving) = connect(&server);
    client.write_all(b"GET /peer HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    answer(&mut client, PEER).await;
    let begun = Instant::now();
    client.write_all(b"GET /peer HT").await.unwrap();
    let lived = lived(begun, serving).await;
    assert!((14..=16).contains(&lived), "{lived} s");
}

#[tokio::test(start_paused = true)]
async fn a_request_may_take_longer_than_its_head_and_knows_where_it_comes_from() {
    let (server, go) = server();
    let (mut client, _serving) = connect(&server);
    client.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    sleep(Duration::from_secs(60)).await;
    go.notify_one();
    assert!(answer(&mut client, "slow").await.starts_with("HTTP/1.1 200"));
    client.write_all(b"GET /peer HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert!(answer(&mut client, PEER).await.starts_with("HTTP/1.1 200"), "the connection goes on");
}

#[tokio::test(start_paused = true)]
async fn a_head_that_is_too_large_is_answered_with_431() {
    let (server, _) = server();
    let (mut client, _serving) = connect(&server);
    let (mut reader, mut writer) = tokio::io::split(&mut client);
    let write = async {
        let head = format!("GET /peer HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(2 * HEAD_BYTES));
        // The server stops reading when it has seen enough.
        let _ = writer.write_all(head.as_bytes()).await;
    };
    let read = async {
        let mut piece = [0; 12];
        reader.read_exact(&mut piece).await.unwrap();
        piece
    };
    let (_, read) = tokio::join!(write, read);
    assert_eq!(&read, b"HTTP/1.1 431");
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_much_and_reads_nothing_is_disconnected() {
    let (server, _) = server();
    let begun = Instant::now();
    let (mut client, serving) = connect(&server);
    client.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert_eq!(lived(begun, serving).await, 30);
}

#[tokio::test(start_paused = true)]
async fn a_stopping_server_ends_what_is_in_flight_and_closes_what_is_idle() {
    let (server, go) = server();
    let (mut busy, _serving) = connect(&server);
    let (mut idle, _serving) = connect(&server);
    let (mut silent, _serving) = connect(&server);
    idle.write_all(b"GET /peer HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    answer(&mut idle, PEER).await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let begun = Instant::now();
    let draining = tokio::spawn(async move { server.drain(Duration::from_secs(10)).await });
    assert_eq!(all(&mut idle).await, "");
    assert_eq!(all(&mut silent).await, "");
    assert_eq!(begun.elapsed().as_secs(), 0, "nobody waits for them");
    go.notify_one();
    let answer = all(&mut busy).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("slow"), "{answer}");
    draining.await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_does_not_end_is_cut_off_after_the_grace_time() {
    let (server, _go) = server();
    let (mut busy, _serving) = connect(&server);
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let begun = Instant::now();
    server.drain(Duration::from_secs(10)).await;
    assert_eq!(begun.elapsed().as_secs(), 10);
    assert_eq!(all(&mut busy).await, "");
}

#[tokio::test(start_paused = true)]
async fn a_connection_of_http_2_that_never_asks_for_anything_is_closed() {
    let (server, _) = server();
    let begun = Instant::now();
    let (mut client, serving) = connect(&server);
    // The preface and empty SETTINGS. (RFC 9113, 3.4)
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    assert_eq!(lived(begun, serving).await, 15);
}
