//! Limit: how many streams a connection may have, which Apple first says is one, and many once it knows who is there.
//!
//! `h2` cannot say another limit than it began with. So what it writes is looked through here: its first SETTINGS are made to
//! say the first limit, and any others the limit from then on.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes of a frame's head: three of length, its type, its flags, and four of the stream.
const HEAD: usize = 9;

/// The type of SETTINGS, and the flag of those that acknowledge others.
const SETTINGS: u8 = 4;
const ACK: u8 = 1;

/// The setting that limits streams.
const MAX_CONCURRENT_STREAMS: u16 = 3;

/// Bytes of a setting: two of its name, four of its value.
const SETTING: usize = 6;

/// The limits of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) first: u32,
    pub(super) then: u32,
}

/// A stream that says these limits; none: what `h2` says.
pub(super) struct Says<S> {
    stream: S,
    limits: Option<Limits>,
    is_first: bool,
    /// What was taken and is not written yet.
    taken: Vec<u8>,
    written: usize,
    /// Bytes of the last frame that are still to come.
    payload_left: usize,
}

impl<S> Says<S> {
    pub(super) fn new(stream: S, limits: Option<Limits>) -> Self {
        Self { stream, limits, is_first: true, taken: Vec::new(), written: 0, payload_left: 0 }
    }

    /// Changes what is to be said. `h2` writes the head of a frame in one piece.
    fn say(&mut self, mut bytes: &mut [u8], limits: Limits) {
        loop {
            let payload = self.payload_left.min(bytes.len());
            self.payload_left -= payload;
            bytes = &mut bytes[payload..];
            let Some((head, rest)) = bytes.split_first_chunk_mut::<HEAD>() else { return };
            self.payload_left = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            if head[3] == SETTINGS && head[4] & ACK == 0 {
                let payload = self.payload_left.min(rest.len());
                let limit = if self.is_first { limits.first } else { limits.then };
                for setting in rest[..payload].chunks_exact_mut(SETTING) {
                    // Beside the first, which have this setting, there are none but those that it stands for.
                    if !self.is_first || setting[..2] == MAX_CONCURRENT_STREAMS.to_be_bytes() {
                        setting[..2].copy_from_slice(&MAX_CONCURRENT_STREAMS.to_be_bytes());
                        setting[2..].copy_from_slice(&limit.to_be_bytes());
                    }
                }
                self.is_first = false;
            }
            bytes = rest;
        }
    }
}

impl<S: AsyncWrite + Unpin> Says<S> {
    fn poll_taken(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.taken.len() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, &self.taken[self.written..]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
        }
        self.taken.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Says<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Says<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let Some(limits) = this.limits else { return Pin::new(&mut this.stream).poll_write(context, bytes) };
        ready!(this.poll_taken(context))?;
        let mut taken = bytes.to_vec();
        this.say(&mut taken, limits);
        this.taken = taken;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_taken(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_taken(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
