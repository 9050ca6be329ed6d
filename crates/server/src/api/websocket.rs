//! MQTT over WebSocket: `GET /mqtt`, subprotocol `mqtt` (MQTT 5.0, chapter 6). The frames are taken for a byte stream,
//! in which packets begin and end where they like; what the bytes mean is the channel's.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::Extension;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::{Buf, Bytes};
use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::answer;
use super::openapi::{Caller, Operation};
use crate::loft::Loft;
use crate::net::Admission;

/// The subprotocol. Both sides must name it. (MQTT 5.0, 6.0.0-3 and 6.0.0-4)
const SUBPROTOCOL: &str = "mqtt";

/// Bytes read from a connection at once. As small as that: it is held by every connection, mostly idle, and what
/// devices send are acknowledgements of a few bytes.
const READ_BYTES: usize = 512;

/// Largest frame written: a larger piece of the stream is cut. The buffer of a connection keeps its largest size.
const WRITE_BYTES: usize = 2048;

/// A frame may carry this many of the largest packets.
const PACKETS_PER_FRAME: usize = 4;

/// Largest frame written by the library itself, an answered ping: header and 125 bytes. (RFC 6455, 5.5)
const CONTROL_BYTES: usize = 127;

/// `GET /mqtt`
pub(super) fn described() -> Operation {
    Operation::new("v1 devices", "mqtt", Caller::Anybody, "MQTT over WebSocket, subprotocol `mqtt`")
        .says("A device authenticates in its CONNECT: client id its token, user name the AccessId, password its own.")
        .empty(101, "A WebSocket from here on")
        .problems(&[400, 426, 503])
}

/// Turns the connection into one of a device.
pub(super) async fn upgrade(
    State(loft): State<Arc<Loft>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Extension(admission): Extension<Arc<Admission>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    if loft.is_draining() {
        return answer::problem_with(StatusCode::SERVICE_UNAVAILABLE, "the server is shutting down");
    }
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(refused) => {
            let remedy = format!("{}: this is MQTT over WebSocket", refused.body_text());
            return answer::problem_with(refused.status(), &remedy);
        }
    };
    let hub = Arc::clone(&loft.hub);
    accept(upgrade, loft.config.mqtt.packet_bytes, move |stream| {
        // A task of its own: what the upgrade needed is not part of every connection's memory.
        tokio::spawn(hub.serve(stream, peer, admission));
    })
}

/// Accepts the upgrade, and has the byte stream served; `serve` must return at once.
fn accept(upgrade: WebSocketUpgrade, packet_bytes: usize, serve: impl FnOnce(ByteStream) + Send + 'static) -> Response {
    let upgrade = upgrade.protocols([SUBPROTOCOL]);
    if upgrade.selected_protocol().is_none() {
        return answer::problem_with(
            StatusCode::BAD_REQUEST,
            "this is MQTT over WebSocket: the request must name the subprotocol mqtt (Sec-WebSocket-Protocol: mqtt)",
        );
    }
    let frame_bytes = packet_bytes.saturating_mul(PACKETS_PER_FRAME);
    upgrade
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(2 * (WRITE_BYTES + CONTROL_BYTES))
        .max_frame_size(frame_bytes)
        .max_message_size(frame_bytes)
        .on_failed_upgrade(|error| tracing::debug!(%error, "a connection did not become a WebSocket"))
        .on_upgrade(async move |socket| serve(ByteStream { socket, rest: Bytes::new(), over: false }))
        .into_response()
}

/// A WebSocket as a stream of bytes.
struct ByteStream {
    socket: WebSocket,
    /// What of the last frame was not read yet.
    rest: Bytes,
    /// The other side has ended the stream.
    over: bool,
}

impl ByteStream {
    /// Fills `rest` with the next bytes; leaves it empty at the end of the stream.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.rest.is_empty() && !self.over {
            match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => self.rest = bytes,
                // The library answers pings. A pong is an answer nobody asked for.
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_))) | None => self.over = true,
                Some(Ok(Message::Text(_))) => return Poll::Ready(Err(self.refuse_text(cx))),
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// MQTT travels in binary frames; the connection ends with anything else. (MQTT 5.0, 6.0.0-1)
    fn refuse_text(&mut self, cx: &mut Context<'_>) -> io::Error {
        self.over = true;
        let reason = "MQTT travels in binary frames".into();
        let close = Message::Close(Some(CloseFrame { code: close_code::UNSUPPORTED, reason }));
        // As far as it goes without waiting: the connection is dropped next.
        if Pin::new(&mut self.socket).poll_ready(cx).is_ready() && Pin::new(&mut self.socket).start_send(close).is_ok()
        {
            let _ = Pin::new(&mut self.socket).poll_flush(cx);
        }
        io::Error::new(io::ErrorKind::InvalidData, "a text frame in a stream of MQTT")
    }
}

impl AsyncRead for ByteStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_frame(cx))?;
        let length = buffer.remaining().min(self.rest.len());
        buffer.put_slice(&self.rest[..length]);
        self.rest.advance(length);
        if self.rest.is_empty() {
            // An empty piece still holds the frame it was cut from.
            self.rest = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ByteStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.socket).poll_ready(cx)).map_err(io::Error::other)?;
        let length = bytes.len().min(WRITE_BYTES);
        let frame = Message::Binary(Bytes::copy_from_slice(&bytes[..length]));
        Pin::new(&mut self.socket).start_send(frame).map_err(io::Error::other)?;
        Poll::Ready(Ok(length))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx).map_err(io::Error::other)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_close(cx).map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests;
