//! Bodies of calls, read with a bound on size and on silence.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is larger than allowed.
    #[error("the body has more than {0} bytes")]
    TooLarge(usize),
    /// The client said nothing for this long.
    #[error("nothing of the body came for {} s", .0.as_secs())]
    Idle(Duration),
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

/// A whole body of at most `limit` bytes.
///
/// # Errors
/// As [`next_piece`], and it is too large: then what follows was read and thrown away.
pub async fn whole(mut body: Body, limit: usize, idle: Duration) -> Result<Bytes, Error> {
    let read = up_to(&mut body, limit, idle).await;
    if let Err(Error::TooLarge(_)) = read {
        discard(body, limit as u64, idle).await;
    }
    read
}

async fn up_to(body: &mut Body, limit: usize, idle: Duration) -> Result<Bytes, Error> {
    let Some(first) = next_piece(body, idle).await? else { return Ok(Bytes::new()) };
    if first.len() > limit {
        return Err(Error::TooLarge(limit));
    }
    let mut all: Option<BytesMut> = None;
    while let Some(piece) = next_piece(body, idle).await? {
        let all = all.get_or_insert_with(|| BytesMut::from(&first[..]));
        if all.len() + piece.len() > limit {
            return Err(Error::TooLarge(limit));
        }
        all.extend_from_slice(&piece);
    }
    Ok(all.map_or(first, BytesMut::freeze))
}

/// Reads what a client still sends after its call was refused, so that it gets to reading the answer instead of finding
/// the connection reset. `limit` is what such a body may have: whose body is far larger needs the answer most, so many
/// times as much is read.
pub async fn discard(mut body: Body, limit: u64, idle: Duration) {
    const TIMES: u64 = 16;
    let mut left = limit.saturating_mul(TIMES);
    while let Ok(Some(piece)) = next_piece(&mut body, idle).await {
        match left.checked_sub(piece.len() as u64) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}
