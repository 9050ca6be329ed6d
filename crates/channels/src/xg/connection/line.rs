//! The line: a byte stream with what was read and not yet taken, and what is to be written.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;

/// Bytes read at a time, through the stack. More than this many acknowledgements of 4 bytes seldom come at once.
pub(super) const READ: usize = 2048;

/// After the last words, what the device still sends is read and dropped up to this many bytes: closing a socket
/// with unread bytes in it resets the connection, and the last words would be lost on the way.
const LINGER: usize = 65_536;

pub(in crate::xg) struct Line<S> {
    stream: S,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    written: usize,
    unflushed: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    pub(in crate::xg) fn new(stream: S) -> Self {
        Self { stream, incoming: Vec::new(), outgoing: Vec::new(), written: 0, unflushed: false }
    }

    /// What was read and not yet taken.
    pub(super) fn incoming(&self) -> &[u8] {
        &self.incoming
    }

    pub(super) fn consume(&mut self, bytes: usize) {
        if bytes == self.incoming.len() {
            self.incoming = Vec::new();
        } else {
            self.incoming.drain(..bytes);
        }
    }

    /// Takes what was kept; [`Line::keep_rest`] puts back what of it is not used.
    pub(super) fn take_incoming(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.incoming)
    }

    /// Keeps what [`Line::take_incoming`] gave, without its first bytes.
    pub(super) fn keep_rest(&mut self, mut bytes: Vec<u8>, used: usize) {
        if used < bytes.len() {
            bytes.drain(..used);
            self.incoming = bytes;
        }
    }

    /// Reads once, into `buffer`, which is left empty at the end of the stream.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }

    /// Keeps what was read and not taken, behind what was kept before.
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        self.incoming.extend_from_slice(bytes);
    }

    /// Reads once, and keeps it. 0 at the end of the stream.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut space = [MaybeUninit::uninit(); READ];
        let mut buffer = ReadBuf::uninit(&mut space);
        ready!(self.poll_read(cx, &mut buffer))?;
        self.keep(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    }

    pub(super) async fn fill(&mut self) -> io::Result<usize> {
        poll_fn(|cx| self.poll_fill(cx)).await
    }

    /// Nothing is left to be written or flushed.
    pub(super) fn is_written(&self) -> bool {
        self.outgoing.is_empty() && !self.unflushed
    }

    /// Sets what is to be written, when nothing is left of the last.
    pub(super) fn put(&mut self, bytes: Vec<u8>) {
        if self.outgoing.is_empty() {
            self.outgoing = bytes;
        } else {
            self.outgoing.extend_from_slice(&bytes);
        }
    }

    /// Writes and flushes what there is. `progress` is set when at least a byte was taken.
    pub(super) fn poll_write_all(&mut self, cx: &mut Context<'_>, progress: &mut bool) -> Poll<io::Result<()>> {
        while self.written < self.outgoing.len() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.outgoing[self.written..]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
            self.unflushed = true;
            *progress = true;
        }
        self.outgoing = Vec::new();
        self.written = 0;
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
            *progress = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes the last words and closes, as far as that goes in the time given.
    pub(super) async fn farewell(&mut self, last_words: Vec<u8>, within: Duration) {
        self.put(last_words);
        let close = async {
            poll_fn(|cx| self.poll_write_all(cx, &mut false)).await?;
            poll_fn(|cx| Pin::new(&mut self.stream).poll_shutdown(cx)).await?;
            let mut dropped = 0;
            while dropped < LINGER {
                match self.fill().await? {
                    0 => break,
                    bytes => dropped += bytes,
                }
                self.incoming.clear();
            }
            io::Result::Ok(())
        };
        // The connection ends either way, and nobody is left to be told.
        let _ = timeout(within, close).await;
    }
}
