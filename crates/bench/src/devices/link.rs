//! Link: one device's connection: opened and subscribed while it blocks, then read and written without blocking.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::Identity;
use super::packets::{self, Packet};

/// How long a server may take for each answer while a connection is opened.
const PATIENCE: Duration = Duration::from_secs(60);

/// How connections are opened.
#[derive(Debug)]
pub(super) enum Door {
    Tcp,
    Websocket,
    Tls(Arc<ClientConfig>),
}

/// A configuration that trusts one certificate.
pub(super) fn trusting(certificate: &Path) -> Result<Arc<ClientConfig>> {
    let certificate = CertificateDer::from_pem_file(certificate).context("the certificate cannot be read")?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate)?;
    Ok(Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
}

/// One connection.
pub(super) struct Link {
    pub(super) socket: mio::net::TcpStream,
    wrapping: Wrapping,
    /// Bytes of MQTT that are not a whole packet yet.
    rest: Vec<u8>,
}

enum Wrapping {
    None,
    /// Bytes of a frame that is not whole yet.
    Frames(Vec<u8>),
    Tls(Box<ClientConnection>),
}

impl Link {
    pub(super) fn open(door: &Door, address: SocketAddr, user: &str, identity: &Identity, topic: &str) -> Result<Self> {
        let mut socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let wrapping = match door {
            Door::Tcp => Wrapping::None,
            Door::Websocket => {
                upgrade(&mut socket, address)?;
                Wrapping::Frames(Vec::new())
            }
            Door::Tls(config) => {
                let name = ServerName::try_from("localhost")?;
                Wrapping::Tls(Box::new(ClientConnection::new(Arc::clone(config), name)?))
            }
        };
        let mut link = Self { socket: mio::net::TcpStream::from_std(socket), wrapping, rest: Vec::new() };
        let (connect, subscribe) = identity.greeting(user, topic);
        link.exchange(&connect, Packet::Connack)?;
        link.exchange(&subscribe, Packet::Suback)?;
        // mio's sockets have the standard library's mode: it blocked so far.
        let socket = TcpStream::from(link.socket);
        socket.set_nonblocking(true)?;
        link.socket = mio::net::TcpStream::from_std(socket);
        Ok(link)
    }

    fn exchange(&mut self, packet: &[u8], answer: Packet) -> Result<()> {
        self.write(packet)?;
        let mut answers = Vec::new();
        let mut buffer = [0; 4096];
        while answers.is_empty() {
            ensure!(self.read(&mut buffer, |packet| answers.push(packet))? > 0, "closed by the server");
        }
        ensure!(answers == [answer], "answered with {answers:?}");
        Ok(())
    }

    /// Reads once, through `buffer`, and tells of each whole packet. Answers how many bytes came, 0 at the end.
    pub(super) fn read(&mut self, buffer: &mut [u8], mut packet: impl FnMut(Packet)) -> Result<usize> {
        let length = self.socket.read(buffer)?;
        match &mut self.wrapping {
            Wrapping::None => take(&mut self.rest, &buffer[..length], &mut packet)?,
            Wrapping::Frames(partial) => {
                partial.extend_from_slice(&buffer[..length]);
                let mut read = 0;
                while let Some((content, size)) = frame(&partial[read..])? {
                    take(&mut self.rest, content, &mut packet)?;
                    read += size;
                }
                partial.drain(..read);
            }
            Wrapping::Tls(session) => {
                let mut wire = &buffer[..length];
                while !wire.is_empty() {
                    session.read_tls(&mut wire)?;
                    let state = session.process_new_packets()?;
                    let mut plain = vec![0; state.plaintext_bytes_to_read()];
                    session.reader().read_exact(&mut plain)?;
                    take(&mut self.rest, &plain, &mut packet)?;
                }
                // Handshakes answer by themselves.
                while session.wants_write() {
                    session.write_tls(&mut &self.socket)?;
                }
            }
        }
        Ok(length)
    }

    /// Writes all of it, or fails: a device writes so little that a socket that takes no more is out of order.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.wrapping {
            Wrapping::None => self.socket.write_all(bytes),
            Wrapping::Frames(_) => self.socket.write_all(&masked(bytes)),
            Wrapping::Tls(session) => {
                session.writer().write_all(bytes)?;
                while session.wants_write() {
                    session.write_tls(&mut &self.socket)?;
                }
                Ok(())
            }
        }
    }
}

/// Tells of the whole packets in `rest` and `bytes`, and leaves what remains in `rest`.
fn take(rest: &mut Vec<u8>, bytes: &[u8], packet: &mut impl FnMut(Packet)) -> Result<()> {
    if rest.is_empty() {
        let taken = take_whole(bytes, packet)?;
        rest.extend_from_slice(&bytes[taken..]);
    } else {
        rest.extend_from_slice(bytes);
        let taken = take_whole(rest, packet)?;
        rest.drain(..taken);
    }
    Ok(())
}

fn take_whole(bytes: &[u8], packet: &mut impl FnMut(Packet)) -> Result<usize> {
    let mut taken = 0;
    while let Some((read, length)) = packets::read(&bytes[taken..])? {
        packet(read);
        taken += length;
    }
    Ok(taken)
}

fn upgrade(socket: &mut TcpStream, host: SocketAddr) -> Result<()> {
    let request = format!(
        "GET /mqtt HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
    );
    socket.write_all(request.as_bytes())?;
    let mut head = Vec::new();
    let mut byte = [0];
    // Not a byte further: what follows is frames.
    while !head.ends_with(b"\r\n\r\n") {
        socket.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    ensure!(head.starts_with(b"HTTP/1.1 101 "), "not upgraded: {}", String::from_utf8_lossy(&head));
    Ok(())
}

/// The content of the binary frame `bytes` begin with, and the frame's size; `None`: it is not whole.
fn frame(bytes: &[u8]) -> Result<Option<(&[u8], usize)>> {
    const WHOLE_BINARY: u8 = 0x82;
    let (start, length) = match *bytes {
        [first, ..] if first != WHOLE_BINARY => bail!("a frame that is not a whole binary one: {first:#04x}"),
        [_, length @ 0..=125, ..] => (2, usize::from(length)),
        [_, 126, high, low, ..] => (4, usize::from(u16::from_be_bytes([high, low]))),
        [_, 127, ..] => bail!("a frame of more than 64 KiB"),
        _ => return Ok(None),
    };
    Ok(bytes.get(start..start + length).map(|content| (content, start + length)))
}

/// A binary frame as clients write it; a mask of zeros leaves the content as it is.
fn masked(content: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x82];
    match content.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend_from_slice(content);
    frame
}

/// Was it only that nothing is there now?
pub(super) fn nothing_now(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::WouldBlock)
}
