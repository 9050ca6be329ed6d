//! Stall: a stream that fails when the other side reads nothing for too long while something is written to it. Without
//! it, who asks for much and reads nothing holds a connection, and the answer, for ever.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A stream whose writes must get on within a time.
#[derive(Debug)]
pub(super) struct Stall<S> {
    stream: S,
    within: Duration,
    /// Runs out while a write waits; there is none while none does.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> Stall<S> {
    pub(super) fn new(stream: S, within: Duration) -> Self {
        Self { stream, within, deadline: None }
    }

    /// Passes on what a write came to, and keeps the time of one that waits.
    fn timed<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.deadline = None;
            return written;
        }
        let within = self.within;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(within)));
        ready!(deadline.as_mut().poll(cx));
        self.deadline = None;
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the other side reads nothing")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stall<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stall<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.timed(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.timed(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.timed(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.timed(cx, shut)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_write_fails_when_the_other_side_reads_nothing_for_too_long() {
        let (ours, _theirs) = duplex(4);
        let mut stream = Stall::new(ours, Duration::from_secs(30));
        let error = stream.write_all(b"more than fits").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_side_that_reads_a_little_now_and_then_gets_everything() {
        let (ours, mut theirs) = duplex(4);
        let mut stream = Stall::new(ours, Duration::from_secs(30));
        let reader = tokio::spawn(async move {
            let mut read = Vec::new();
            while read.len() < 14 {
                sleep(Duration::from_secs(29)).await;
                let mut piece = [0; 4];
                let bytes = theirs.read(&mut piece).await.unwrap();
                read.extend_from_slice(&piece[..bytes]);
            }
            read
        });
        stream.write_all(b"more than fits").await.unwrap();
        assert_eq!(reader.await.unwrap(), b"more than fits");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_has_nothing_to_write_may_be_silent_for_ever() {
        let (ours, mut theirs) = duplex(64);
        let mut stream = Stall::new(ours, Duration::from_secs(30));
        stream.write_all(b"1").await.unwrap();
        sleep(Duration::from_secs(3600)).await;
        stream.write_all(b"2").await.unwrap();
        let mut read = [0; 2];
        theirs.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"12");
    }
}
