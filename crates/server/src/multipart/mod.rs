//! Multipart: reads a `multipart/form-data` body (RFC 7578) as it arrives, in memory that does not grow with the body.
//! It takes what the published clients send, where that is not what the standard asks. It knows neither sockets nor
//! uploads: the caller feeds chunks, takes events, and decides what a field means and how large it may be.
//!
//! ```
//! use bytes::Bytes;
//! use pigeonloft_server::multipart::{Event, Reader};
//!
//! let mut reader = Reader::new(b"multipart/form-data; boundary=b")?;
//! let mut file = Vec::new();
//! for chunk in ["--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nuse", "r-1\r\n--b--\r\n"] {
//!     reader.feed(Bytes::from_static(chunk.as_bytes()));
//!     while let Some(event) = reader.next_event()? {
//!         if let Event::Data(data) = event {
//!             file.extend_from_slice(&data);
//!         }
//!     }
//! }
//! reader.finish()?;
//! assert_eq!(file, b"user-1");
//! # Ok::<(), pigeonloft_server::multipart::Error>(())
//! ```

mod body;
mod boundary;
mod error;
mod header;
mod opening;
mod parameters;
#[cfg(test)]
mod tests;

use bytes::Bytes;

use body::Body;
pub use error::{Error, Place};
pub use header::Part;
use opening::{Found, Opening};

/// The longest boundary taken. RFC 2046 allows 70 characters; some clients exceed it.
pub const MAX_BOUNDARY_BYTES: usize = 200;
/// The most different boundaries one Content-Type may give.
pub const MAX_BOUNDARIES: usize = 8;
/// What may stand before the first boundary.
pub const MAX_PREAMBLE_BYTES: u64 = 16 * 1024;
/// The most parts of a body.
pub const MAX_PARTS: usize = 64;
/// The headers of one part together, with the blank line behind them.
pub const MAX_HEADER_BYTES: usize = 16 * 1024;
/// The most header lines of one part.
pub const MAX_HEADER_LINES: usize = 32;
/// The longest name of a field, as sent.
pub const MAX_FIELD_NAME_BYTES: usize = 256;
/// The longest name of a file, as sent: a path may be in it. How long the name itself may be is another's rule.
pub const MAX_FILE_NAME_BYTES: usize = 4 * 1024;

/// What a body consists of, in its order: for each part `PartBegin`, any number of `Data`, `PartEnd`; at last `End`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A part begins.
    PartBegin(Part),
    /// Bytes of the part, never none; file or text field alike. As a rule a slice of the chunk fed, not a copy.
    Data(Bytes),
    /// The part is complete.
    PartEnd,
    /// The final boundary was seen. Whatever follows it is ignored.
    End,
}

/// Reads one body: [`feed`](Reader::feed) a chunk, take its events with [`next_event`](Reader::next_event) until there
/// is none, and so on; [`finish`](Reader::finish) when the body has ended.
///
/// The events do not depend on where the chunks begin and end, save for how the data of a part is divided.
#[derive(Debug)]
pub struct Reader {
    stage: Stage,
    chunk: Bytes,
    fed: u64,
}

#[derive(Debug)]
enum Stage {
    /// Before the first delimiter.
    Opening(Opening),
    /// Within the parts.
    Body(Box<Body>),
    /// Behind the final delimiter.
    Ended,
}

impl Reader {
    /// A reader for a body with this Content-Type header, as sent (several such headers: joined by a comma).
    ///
    /// # Errors
    /// [`Error::NotMultipart`], [`Error::NoBoundary`], [`Error::BoundaryTooLong`], [`Error::TooManyBoundaries`].
    pub fn new(content_type: &[u8]) -> Result<Reader, Error> {
        let candidates = boundary::candidates(content_type)?;
        Ok(Reader { stage: Stage::Opening(Opening::new(candidates)), chunk: Bytes::new(), fed: 0 })
    }

    /// Gives the next chunk of the body. Take all events of the one before first: what is left of it is else copied.
    pub fn feed(&mut self, chunk: Bytes) {
        if matches!(self.stage, Stage::Ended) {
            return;
        }
        self.fed += chunk.len() as u64;
        self.chunk = if self.chunk.is_empty() { chunk } else { [&self.chunk[..], &chunk[..]].concat().into() };
    }

    /// The next event; `None` when another chunk is needed, and always after [`Event::End`].
    ///
    /// # Errors
    /// What is wrong with the body. The reader is of no use afterwards.
    pub fn next_event(&mut self) -> Result<Option<Event>, Error> {
        loop {
            match &mut self.stage {
                Stage::Opening(opening) => match opening.read(&mut self.chunk)? {
                    None => return Ok(None),
                    Some(Found::Open { dashed, end }) => {
                        let at = self.fed - self.chunk.len() as u64;
                        self.stage = Stage::Body(Box::new(Body::new(&dashed, end, at)));
                    }
                    Some(Found::Close) => {
                        self.stage = Stage::Ended;
                        return Ok(Some(Event::End));
                    }
                },
                Stage::Body(body) => match body.read(&mut self.chunk, self.fed)? {
                    Some(Event::End) => {
                        self.stage = Stage::Ended;
                        return Ok(Some(Event::End));
                    }
                    event => return Ok(event),
                },
                Stage::Ended => return Ok(None),
            }
        }
    }

    /// Says that the body has ended, all events being taken.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::BoundaryNotFound`] or [`Error::Truncated`] if its final boundary was not seen.
    pub fn finish(&self) -> Result<(), Error> {
        match &self.stage {
            Stage::Ended => Ok(()),
            Stage::Opening(_) if self.fed == 0 => Err(Error::Empty),
            Stage::Opening(opening) => Err(opening.not_found(self.fed)),
            Stage::Body(body) => Err(body.truncated(self.fed)),
        }
    }
}
