//! The opening: what stands before the first delimiter line, which also shows which of the announced boundaries the body
//! uses and how its lines end. The parts are left to `body`.

use bytes::{Buf, Bytes};

use super::MAX_PREAMBLE_BYTES;
use super::boundary::{LONGEST_DELIMITER, Line, LineEnd, classify};
use super::error::{Error, excerpt};

/// How much of the beginning of a body is kept for an error text.
const KEPT_BYTES: usize = 64;

/// The search for the first delimiter, line by line; it keeps one bounded line.
#[derive(Debug)]
pub(super) struct Opening {
    /// `--boundary` of every candidate, the longest first: one may begin with another.
    dashed: Vec<Vec<u8>>,
    /// The candidate to name in an error.
    announced: String,
    /// The line so far, while it may be a delimiter.
    line: Vec<u8>,
    /// Whether the rest of the line is to be passed over.
    skipping: bool,
    /// Bytes of the lines that are no delimiter.
    passed: u64,
    beginning: Vec<u8>,
}

/// The first delimiter.
pub(super) enum Found {
    /// Parts follow, separated by lines of `dashed` (`--` and the boundary), which end like this one.
    Open { dashed: Vec<u8>, end: LineEnd },
    /// The form has no parts.
    Close,
}

impl Opening {
    /// Searches for any of the boundaries, at least one.
    pub(super) fn new(candidates: Vec<Vec<u8>>) -> Opening {
        let announced = candidates.first().map(|boundary| excerpt(boundary)).unwrap_or_default();
        let mut dashed: Vec<_> = candidates.into_iter().map(|boundary| [b"--", &boundary[..]].concat()).collect();
        dashed.sort_by_key(|candidate| std::cmp::Reverse(candidate.len()));
        Opening { dashed, announced, line: Vec::new(), skipping: false, passed: 0, beginning: Vec::new() }
    }

    /// Takes what belongs to the opening off the front of `chunk`; the delimiter, once one is found.
    pub(super) fn read(&mut self, chunk: &mut Bytes) -> Result<Option<Found>, Error> {
        let wanted = KEPT_BYTES - self.beginning.len();
        self.beginning.extend_from_slice(&chunk[..wanted.min(chunk.len())]);
        while !chunk.is_empty() {
            let newline = memchr::memchr(b'\n', chunk);
            let line_rest = newline.map_or(chunk.len(), |at| at + 1);
            if self.skipping {
                chunk.advance(line_rest);
                self.pass(line_rest, newline.is_none())?;
                continue;
            }
            let taken = line_rest.min(LONGEST_DELIMITER - self.line.len());
            self.line.extend_from_slice(&chunk[..taken]);
            chunk.advance(taken);
            match self.decide() {
                Line::Undecided => {}
                Line::Open { len, end } => {
                    let dashed = self.line[..len].trim_ascii_end().to_vec();
                    return Ok(Some(Found::Open { dashed, end }));
                }
                Line::Close { .. } => return Ok(Some(Found::Close)),
                Line::No => {
                    let passed = self.line.len();
                    self.line.clear();
                    self.pass(passed, newline.is_none() || taken < line_rest)?;
                }
            }
        }
        Ok(None)
    }

    /// What the line is to the candidates: the longest that may fit decides.
    fn decide(&self) -> Line {
        self.dashed.iter().map(|dashed| classify(dashed, &self.line)).find(|line| *line != Line::No).unwrap_or(Line::No)
    }

    /// Counts bytes that are no delimiter; `unfinished`: their line goes on.
    fn pass(&mut self, bytes: usize, unfinished: bool) -> Result<(), Error> {
        self.passed += bytes as u64;
        self.skipping = unfinished;
        if self.passed > MAX_PREAMBLE_BYTES { Err(self.not_found(MAX_PREAMBLE_BYTES)) } else { Ok(()) }
    }

    /// The error for a body without a delimiter in its first `searched` bytes.
    pub(super) fn not_found(&self, searched: u64) -> Error {
        Error::BoundaryNotFound { boundary: self.announced.clone(), found: excerpt(&self.beginning), searched }
    }
}
