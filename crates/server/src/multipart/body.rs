//! The body between the first delimiter and the final one: headers and data of part after part. Data is passed on as
//! slices of the chunk; only what may be the beginning of a delimiter at the end of a chunk is held back and copied.

use bytes::{Buf, Bytes};

use super::boundary::{Delimiter, LONGEST_DELIMITER, LineEnd, Then};
use super::error::{Error, Place};
use super::header::HeaderBlock;
use super::{Event, MAX_PARTS};

/// The parts of a body while they arrive.
#[derive(Debug)]
pub(super) struct Body {
    delimiter: Delimiter,
    /// The part being read, counted from 1.
    part: usize,
    inside: Inside,
}

#[derive(Debug)]
enum Inside {
    /// The headers of the part.
    Headers(HeaderBlock),
    /// The data of the part.
    Data(HeldBack),
    /// Its delimiter, which was just read; `last`: the final one.
    Delimiter { last: bool },
}

/// What may be the beginning of a delimiter, shorter than [`LONGEST_DELIMITER`].
#[derive(Debug)]
struct HeldBack {
    text: Vec<u8>,
    /// How many bytes at its front are no data: the line end of the blank line after the headers, which is as good as
    /// a delimiter's own when a part has no data.
    not_data: usize,
}

impl HeldBack {
    /// Takes the first `count` bytes out; those which are data, if any.
    fn release(&mut self, count: usize) -> Option<Event> {
        let not_data = self.not_data.min(count);
        self.not_data -= not_data;
        let released: Vec<u8> = self.text.drain(..count).skip(not_data).collect();
        (!released.is_empty()).then(|| Event::Data(released.into()))
    }
}

impl Body {
    /// A body whose first part begins `at` bytes into it; its delimiters are `dashed` on a line of its own.
    pub(super) fn new(dashed: &[u8], end: LineEnd, at: u64) -> Body {
        Body {
            delimiter: Delimiter::new(dashed, end),
            part: 1,
            inside: Inside::Headers(HeaderBlock::new(Place { part: 1, at })),
        }
    }

    /// Takes the next event off the front of `chunk`, the end of which is `fed` bytes into the body.
    pub(super) fn read(&mut self, chunk: &mut Bytes, fed: u64) -> Result<Option<Event>, Error> {
        loop {
            match &mut self.inside {
                Inside::Headers(block) => {
                    let Some(part) = block.read(chunk)? else { return Ok(None) };
                    let line_end = self.delimiter.line_end();
                    self.inside = Inside::Data(HeldBack { text: line_end.to_vec(), not_data: line_end.len() });
                    return Ok(Some(Event::PartBegin(part)));
                }
                Inside::Data(_) if chunk.is_empty() => return Ok(None),
                Inside::Data(held) => match read_data(&self.delimiter, held, chunk) {
                    Step::Event(event) => return Ok(Some(event)),
                    Step::Again => {}
                    Step::Delimiter { last } => {
                        self.inside = Inside::Delimiter { last };
                        return Ok(Some(Event::PartEnd));
                    }
                },
                Inside::Delimiter { last: true } => return Ok(Some(Event::End)),
                Inside::Delimiter { last: false } => {
                    self.part += 1;
                    let place = Place { part: self.part, at: fed - chunk.len() as u64 };
                    if self.part > MAX_PARTS {
                        return Err(Error::TooManyParts(place));
                    }
                    self.inside = Inside::Headers(HeaderBlock::new(place));
                }
            }
        }
    }

    /// The error for a body that ends here, after `fed` bytes.
    pub(super) fn truncated(&self, fed: u64) -> Error {
        let (part, inside) = match self.inside {
            Inside::Headers(_) => (self.part, "the headers"),
            Inside::Data(_) => (self.part, "the data"),
            Inside::Delimiter { .. } => (self.part + 1, "the headers"),
        };
        Error::Truncated { part, at: fed, inside }
    }
}

/// What came of looking at data.
enum Step {
    Event(Event),
    Delimiter { last: bool },
    Again,
}

/// Reads on in the data of a part; `chunk` is not empty.
fn read_data(delimiter: &Delimiter, held: &mut HeldBack, chunk: &mut Bytes) -> Step {
    if !held.text.is_empty() {
        return read_across(delimiter, held, chunk);
    }
    let scan = delimiter.scan(chunk);
    if scan.data > 0 {
        return Step::Event(Event::Data(chunk.split_to(scan.data)));
    }
    match scan.then {
        Then::Open { len } => {
            chunk.advance(len);
            Step::Delimiter { last: false }
        }
        Then::Close => Step::Delimiter { last: true },
        Then::Undecided | Then::Nothing => {
            held.text.extend_from_slice(chunk);
            chunk.clear();
            Step::Again
        }
    }
}

/// Reads on where text is held back: decides it by the beginning of `chunk`, which stays where it is unless it belongs
/// to a delimiter or must be held back as well.
fn read_across(delimiter: &Delimiter, held: &mut HeldBack, chunk: &mut Bytes) -> Step {
    let before = held.text.len();
    let borrowed = chunk.len().min(LONGEST_DELIMITER);
    held.text.extend_from_slice(&chunk[..borrowed]);
    let scan = delimiter.scan(&held.text);
    // An undecided delimiter is shorter than what was borrowed at most: if it begins in the text held back, the whole
    // chunk was borrowed.
    if matches!(scan.then, Then::Undecided) && scan.data < before {
        chunk.advance(borrowed);
    } else {
        held.text.truncate(before);
    }
    let event = held.release(scan.data.min(before));
    match (event, scan.then) {
        (Some(event), _) => Step::Event(event),
        (None, Then::Open { len }) if scan.data == 0 => {
            chunk.advance(len - before);
            Step::Delimiter { last: false }
        }
        (None, Then::Close) if scan.data == 0 => Step::Delimiter { last: true },
        (None, _) => Step::Again,
    }
}
