use std::future::poll_fn;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::unconstrained;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message as Sent};

use super::*;

const PACKET_BYTES: usize = 4096;

/// An HTTP server with the endpoint alone: its address, and the byte streams it accepted.
async fn server() -> (SocketAddr, mpsc::UnboundedReceiver<ByteStream>) {
    let (accepted, streams) = mpsc::unbounded_channel();
    let upgrade = async move |upgrade: WebSocketUpgrade| {
        accept(upgrade, PACKET_BYTES, move |stream| accepted.send(stream).unwrap())
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/mqtt", get(upgrade));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, streams)
}

async fn client(address: SocketAddr, subprotocol: Option<&str>) -> Result<WebSocketStream<TcpStream>, Error> {
    let mut request = format!("ws://{address}/mqtt").into_client_request().unwrap();
    if let Some(subprotocol) = subprotocol {
        request.headers_mut().insert("Sec-WebSocket-Protocol", subprotocol.parse().unwrap());
    }
    let stream = TcpStream::connect(address).await.unwrap();
    let (socket, response) = tokio_tungstenite::client_async(request, stream).await?;
    assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "mqtt", "the subprotocol is echoed");
    Ok(socket)
}

/// Both ends of one connection.
async fn pair() -> (WebSocketStream<TcpStream>, ByteStream) {
    let (address, mut streams) = server().await;
    let client = client(address, Some("mqtt")).await.unwrap();
    (client, streams.recv().await.unwrap())
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(10), what).await.expect("soon")
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

#[tokio::test]
async fn frames_that_split_and_merge_packets_are_one_stream_of_bytes() {
    let (mut client, mut stream) = pair().await;
    let sent = bytes(20_000);
    let mut rest = &sent[..];
    for length in [1, 2, 0, 125, 126, 7, 9000, 0, 3, 10_000, 500] {
        let (frame, after) = rest.split_at(length.min(rest.len()));
        client.send(Sent::binary(frame.to_vec())).await.unwrap();
        rest = after;
    }
    client.send(Sent::binary(rest.to_vec())).await.unwrap();
    client.close(None).await.unwrap();
    // Pieces of a size that fits no frame.
    let mut read = Vec::new();
    loop {
        let mut piece = [0; 333];
        match soon(stream.read(&mut piece)).await.unwrap() {
            0 => break,
            bytes => read.extend_from_slice(&piece[..bytes]),
        }
    }
    assert_eq!(read, sent);
}

#[tokio::test]
async fn what_is_written_arrives_in_binary_frames_of_a_bounded_size() {
    let (mut client, mut stream) = pair().await;
    let sent = bytes(3 * WRITE_BYTES + 5);
    stream.write_all(&sent).await.unwrap();
    stream.flush().await.unwrap();
    let mut read = Vec::new();
    while read.len() < sent.len() {
        match soon(client.next()).await.unwrap().unwrap() {
            Sent::Binary(frame) => {
                assert!(frame.len() <= WRITE_BYTES);
                read.extend_from_slice(&frame);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(read, sent);
}

#[tokio::test]
async fn a_device_that_does_not_read_makes_the_writer_wait_and_loses_nothing() {
    let (mut client, mut stream) = pair().await;
    let piece = bytes(WRITE_BYTES);
    let mut frames = 0;
    // Until the system's buffers are full, which they are long before a gigabyte; unconstrained, since a task that was
    // busy for long is told to wait, too.
    unconstrained(poll_fn(|cx| {
        while frames < 1 << 19 {
            match Pin::new(&mut stream).poll_write(cx, &piece) {
                Poll::Ready(written) => assert_eq!(written.unwrap(), WRITE_BYTES),
                Poll::Pending => return Poll::Ready(()),
            }
            frames += 1;
        }
        panic!("the writer never waits");
    }))
    .await;
    let writing = tokio::spawn(async move {
        stream.write_all(b"last").await.unwrap();
        stream.flush().await.unwrap();
    });
    for _ in 0..frames {
        assert_eq!(soon(client.next()).await.unwrap().unwrap(), Sent::binary(piece.clone()));
    }
    assert_eq!(soon(client.next()).await.unwrap().unwrap(), Sent::binary(&b"last"[..]));
    soon(writing).await.unwrap();
}

#[tokio::test]
async fn a_ping_is_answered_while_the_stream_is_read() {
    let (mut client, mut stream) = pair().await;
    let reading = tokio::spawn(async move {
        let mut piece = [0; 4];
        stream.read_exact(&mut piece).await.unwrap();
        piece
    });
    client.send(Sent::binary(&b"ab"[..])).await.unwrap();
    client.send(Sent::Ping("?".into())).await.unwrap();
    assert_eq!(soon(client.next()).await.unwrap().unwrap(), Sent::Pong("?".into()));
    client.send(Sent::Pong("unasked".into())).await.unwrap();
    client.send(Sent::binary(&b"cd"[..])).await.unwrap();
    assert_eq!(&soon(reading).await.unwrap(), b"abcd");
}

#[tokio::test]
async fn a_text_frame_ends_the_connection_with_the_reason() {
    let (mut client, mut stream) = pair().await;
    client.send(Sent::text("CONNECT")).await.unwrap();
    let error = soon(stream.read(&mut [0; 8])).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    match soon(client.next()).await.unwrap().unwrap() {
        Sent::Close(Some(close)) => assert_eq!(close.code, CloseCode::Unsupported),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_frame_larger_than_any_packet_ends_the_connection() {
    let (mut client, mut stream) = pair().await;
    client.send(Sent::binary(vec![0; PACKETS_PER_FRAME * PACKET_BYTES + 1])).await.unwrap();
    assert!(soon(stream.read(&mut [0; 8])).await.is_err());
}

#[tokio::test]
async fn a_closed_stream_says_goodbye_to_the_device() {
    let (mut client, mut stream) = pair().await;
    stream.shutdown().await.unwrap();
    assert!(matches!(soon(client.next()).await, Some(Ok(Sent::Close(_)))));
}

#[tokio::test]
async fn without_the_subprotocol_the_upgrade_is_refused_with_the_remedy() {
    let (address, _streams) = server().await;
    for subprotocol in [None, Some("graphql-ws")] {
        match client(address, subprotocol).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), StatusCode::BAD_REQUEST),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn the_subprotocol_is_found_among_others() {
    let (address, _streams) = server().await;
    assert!(client(address, Some("mqttv3.1, mqtt")).await.is_ok());
}
