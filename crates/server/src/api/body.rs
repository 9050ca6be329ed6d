//! Bodies of calls, read with a bound on size, on silence, on time, and on what all of them hold together.

use std::ops::Deref;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::sync::{Semaphore, SemaphorePermit};

/// A whole body may take as many times the silence it may have. One that trickles would hold its memory for hours.
const SILENCES: u32 = 4;

/// What a refused client still sends is read for as many times that silence.
const SILENCES_REFUSED: u32 = 20;

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is larger than allowed.
    #[error("the body has more than {0} bytes")]
    TooLarge(usize),
    /// The client said nothing for this long.
    #[error("nothing of the body came for {} s", .0.as_secs())]
    Idle(Duration),
    /// The client took longer than this.
    #[error("the body was not complete after {} s", .0.as_secs())]
    Slow(Duration),
    /// The bodies being worked on hold all the memory there is for them.
    #[error("the server holds as many calls as it has memory for: try again")]
    Busy,
    /// The connection broke.
    #[error("the connection broke while the body was read: {0}")]
    Broken(axum::Error),
}

/// The next piece of a body, or `None` at its end.
///
/// # Errors
/// The client is silent for `idle`, or gone.
pub async fn next_piece(body: &mut Body, idle: Duration) -> Result<Option<Bytes>, Error> {
    loop {
        let frame = tokio::time::timeout(idle, body.frame()).await.map_err(|_| Error::Idle(idle))?;
        match frame {
            None => return Ok(None),
            Some(Err(error)) => return Err(Error::Broken(error)),
            // Frames that are no data are trailers: nothing here wants them.
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

/// A whole body, and its share of the memory for bodies, given back when dropped.
#[derive(Debug)]
pub struct Whole<'a> {
    bytes: Bytes,
    _share: SemaphorePermit<'a>,
}

impl Deref for Whole<'_> {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        &self.bytes
    }
}

/// A whole body of at most `limit` bytes, taken out of `memory`, whose permits are bytes.
///
/// # Errors
/// As [`next_piece`]; it is too slow; or it is too large, or no memory is left: then what follows was read and thrown
/// away.
pub async fn whole(mut body: Body, limit: usize, idle: Duration, memory: &Semaphore) -> Result<Whole<'_>, Error> {
    let longest = idle.saturating_mul(SILENCES);
    let read = tokio::time::timeout(longest, up_to(&mut body, limit, idle, memory)).await;
    let read = read.unwrap_or(Err(Error::Slow(longest)));
    if let Err(Error::TooLarge(_) | Error::Busy) = read {
        discard(body, limit as u64, idle).await;
    }
    read
}

async fn up_to<'a>(body: &mut Body, limit: usize, idle: Duration, memory: &'a Semaphore) -> Result<Whole<'a>, Error> {
    let take = |bytes: usize| {
        let bytes = u32::try_from(bytes).map_err(|_| Error::Busy)?;
        memory.try_acquire_many(bytes).map_err(|_| Error::Busy)
    };
    let mut share = take(0)?;
    let Some(first) = next_piece(body, idle).await? else { return Ok(Whole { bytes: Bytes::new(), _share: share }) };
    if first.len() > limit {
        return Err(Error::TooLarge(limit));
    }
    share.merge(take(first.len())?);
    let mut all: Option<BytesMut> = None;
    while let Some(piece) = next_piece(body, idle).await? {
        let all = all.get_or_insert_with(|| BytesMut::from(&first[..]));
        if all.len() + piece.len() > limit {
            return Err(Error::TooLarge(limit));
        }
        share.merge(take(piece.len())?);
        all.extend_from_slice(&piece);
    }
    Ok(Whole { bytes: all.map_or(first, BytesMut::freeze), _share: share })
}

/// Reads what a client still sends after its call was refused, so that it gets to reading the answer instead of finding
/// the connection reset. `limit` is what such a body may have: whose body is far larger needs the answer most, so many
/// times as much is read.
pub async fn discard(mut body: Body, limit: u64, idle: Duration) {
    const TIMES: u64 = 16;
    let mut left = limit.saturating_mul(TIMES);
    let read = async {
        while let Ok(Some(piece)) = next_piece(&mut body, idle).await {
            match left.checked_sub(piece.len() as u64) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    // Whoever takes longer is answered without being listened to.
    let _ = tokio::time::timeout(idle.saturating_mul(SILENCES_REFUSED), read).await;
}
