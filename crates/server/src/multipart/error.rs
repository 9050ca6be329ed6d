//! What can be wrong with a multipart body: the thing, the place and the remedy, in words for whoever wrote the client.
//! Which ret code an error becomes is the API's business.

use std::fmt;

use super::{
    MAX_BOUNDARIES, MAX_BOUNDARY_BYTES, MAX_FIELD_NAME_BYTES, MAX_FILE_NAME_BYTES, MAX_HEADER_BYTES, MAX_HEADER_LINES,
    MAX_PARTS, MAX_PREAMBLE_BYTES,
};

/// How much of foreign text an error quotes, in characters.
const EXCERPT_CHARS: usize = 60;

/// Where in a body something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The part, counted from 1.
    pub part: usize,
    /// Bytes of the body before it.
    pub at: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "part {} of the form, byte {} of the body", self.part, self.at)
    }
}

/// Why a body cannot be read as `multipart/form-data`.
///
/// None of these is ours: each one is the client's to mend. Quoted text is bounded and escaped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The Content-Type names something else.
    #[error("the Content-Type is {content_type:?}, not multipart/form-data: send the file as a form field")]
    NotMultipart {
        /// What it names instead, shortened.
        content_type: String,
    },
    /// The Content-Type has no `boundary`.
    #[error(
        "the Content-Type has no boundary: leave this header to the HTTP library, or add `; boundary=` and the text \
         that separates the parts"
    )]
    NoBoundary,
    /// The boundary is longer than any client needs.
    #[error("the boundary is {bytes} bytes long, the limit is {MAX_BOUNDARY_BYTES}: use one of at most 70 characters")]
    BoundaryTooLong {
        /// Its length.
        bytes: usize,
    },
    /// More boundaries than a confused client sends.
    #[error("the Content-Type gives more than {MAX_BOUNDARIES} boundaries: give one")]
    TooManyBoundaries,
    /// There is no body.
    #[error("the body is empty: send the form with the file in it")]
    Empty,
    /// The body does not begin with any of the boundaries.
    #[error(
        "none of the first {searched} bytes of the body (limit {MAX_PREAMBLE_BYTES}) is a line `--{boundary}`, it begins \
         with \"{found}\": the boundary of the Content-Type and the one in the body must be the same"
    )]
    BoundaryNotFound {
        /// The boundary announced, or the first of several.
        boundary: String,
        /// How the body begins.
        found: String,
        /// How many bytes were looked at.
        searched: u64,
    },
    /// The body ended before its final boundary.
    #[error(
        "the body ends after {at} bytes, in {inside} of part {part}: the final boundary is missing, send it again whole"
    )]
    Truncated {
        /// The part it ended in, counted from 1.
        part: usize,
        /// The length of the body.
        at: u64,
        /// "the headers" or "the data".
        inside: &'static str,
    },
    /// The form has too many parts.
    #[error("{0}: a form may have {MAX_PARTS} parts, send the file alone")]
    TooManyParts(Place),
    /// The headers of a part are too long.
    #[error("{0}: the headers of a part may have {MAX_HEADER_BYTES} bytes; is the blank line before the data missing?")]
    HeadersTooLong(Place),
    /// A part has too many header lines.
    #[error("{0}: a part may have {MAX_HEADER_LINES} header lines; is the blank line before the data missing?")]
    TooManyHeaders(Place),
    /// A header line is not `name: value`.
    #[error("{place}: \"{line}\" is not a header; is the blank line before the data missing?")]
    BadHeader {
        /// Where the line begins.
        place: Place,
        /// The line, shortened.
        line: String,
    },
    /// A part does not say which field it is.
    #[error(
        "{0}: the part has no name, give it a header `Content-Disposition: form-data; name=\"file\"; filename=\"…\"`"
    )]
    NoName(Place),
    /// The name of a field is too long.
    #[error(
        "{place}: the field name has {bytes} bytes, the limit is {MAX_FIELD_NAME_BYTES}; the field is called `file`"
    )]
    FieldNameTooLong {
        /// Where the part begins.
        place: Place,
        /// Its length as sent.
        bytes: usize,
    },
    /// The name of a file is too long even for a path.
    #[error(
        "{place}: the file name has {bytes} bytes, the limit is {MAX_FILE_NAME_BYTES}; send the name without its path"
    )]
    FileNameTooLong {
        /// Where the part begins.
        place: Place,
        /// Its length as sent.
        bytes: usize,
    },
    /// A part is encoded, as it may be in a mail but not in a form.
    #[error(
        "{place}: the part is sent as {encoding}, forms carry bytes as they are: leave out Content-Transfer-Encoding"
    )]
    Encoded {
        /// Where the part begins.
        place: Place,
        /// The encoding, shortened.
        encoding: String,
    },
}

/// `text` as an error may quote it: short, escaped, on one line.
pub(super) fn excerpt(text: &[u8]) -> String {
    // Four bytes are the longest character, so no more need be decoded.
    let text = &text[..text.len().min(4 * EXCERPT_CHARS)];
    String::from_utf8_lossy(text).chars().take(EXCERPT_CHARS).flat_map(char::escape_debug).collect()
}
