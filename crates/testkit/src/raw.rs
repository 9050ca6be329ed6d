//! Raw: HTTP by hand over a TCP connection, for what no client would send.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::app::App;
use crate::form::Form;

/// How long a read may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer, read to the end of the connection.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Header lines.
    pub head: String,
    /// Body.
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Panics
    /// It is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let (mut head, mut body) = text.split_once("\r\n\r\n")?;
        // An interim answer stands before the real one.
        while head.starts_with("HTTP/1.1 100") {
            (head, body) = body.split_once("\r\n\r\n")?;
        }
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Self { status, head: head.to_owned(), body: body.to_owned() })
    }
}

/// A connection to the server.
///
/// # Panics
/// It is refused.
#[must_use]
pub fn connect(server: SocketAddr) -> TcpStream {
    try_connect(server).expect("the server accepts connections")
}

/// A connection to a server that may be down.
///
/// # Errors
/// It is refused.
pub fn try_connect(server: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Closes a connection with a reset, as one that broke: nothing that is still on its way is delivered.
///
/// # Panics
/// The system does not let it.
pub fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("it can be set");
    drop(stream);
}

/// The head of an upload of this form: with credentials, and with `Connection: close` so that the answer has an end.
#[must_use]
pub fn upload_head(app: &App, form: &Form) -> String {
    format!(
        "POST /v3/push/package/upload HTTP/1.1\r\nHost: localhost\r\nAuthorization: {}\r\nContent-Type: {}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        app.basic(),
        form.content_type(),
        form.body().len()
    )
}

/// Sends these bytes and reads until the server closes. `None`: it did without a whole answer.
#[must_use]
pub fn exchange(server: SocketAddr, request: &[u8]) -> Option<Answer> {
    let mut stream = connect(server);
    // The server may refuse what it reads before it has read all of it.
    let _ = stream.write_all(request);
    answer(&mut stream)
}

/// Reads until the server closes. `None`: it did without a whole answer.
#[must_use]
pub fn answer(stream: &mut TcpStream) -> Option<Answer> {
    let mut bytes = Vec::new();
    // A reset after the answer does not take the answer back.
    let _ = stream.read_to_end(&mut bytes);
    Answer::parse(&bytes)
}
