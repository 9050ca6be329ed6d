//! Boundaries: which texts may separate the parts, and where a delimiter line with one of them stands. A delimiter line
//! is `--boundary`, then `--` (the final one) or nothing but blanks up to the end of the line. What is between two
//! delimiters is left to the reader.

use memchr::{memchr_iter, memmem};

use super::error::{Error, excerpt};
use super::parameters::{SEMICOLON, SEMICOLON_OR_COMMA, split};
use super::{MAX_BOUNDARIES, MAX_BOUNDARY_BYTES};

/// Blanks allowed between a boundary and the end of its line. RFC 2046 sets no limit; a line longer than this is data.
const MAX_PADDING: usize = 64;

/// The longest delimiter: line end, `--`, boundary, blanks, line end.
pub(super) const LONGEST_DELIMITER: usize = 2 + 2 + MAX_BOUNDARY_BYTES + MAX_PADDING + 2;

/// The boundaries a Content-Type gives, in its order: one, as a rule.
///
/// curl with a forced header sends two and uses the second; clients that merge headers send others. Which one counts is
/// seen in the body alone.
pub(super) fn candidates(content_type: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
    let (media_type, parameters) = split(content_type, SEMICOLON_OR_COMMA);
    if !media_type.eq_ignore_ascii_case(b"multipart/form-data") {
        return Err(Error::NotMultipart { content_type: excerpt(media_type) });
    }
    // A comma may also belong to an unquoted boundary, so the reading without it is a candidate too.
    let (_, to_the_semicolon) = split(content_type, SEMICOLON);
    let mut found: Vec<Vec<u8>> = Vec::new();
    let mut too_long = None;
    for (_, value) in parameters.chain(to_the_semicolon).filter(|(name, _)| name == "boundary") {
        // Blanks at its end would be taken for padding in the body.
        let boundary = value.trim_ascii();
        if boundary.len() > MAX_BOUNDARY_BYTES {
            too_long = Some(boundary.len());
        } else if !boundary.is_empty() && !found.iter().any(|other| other == boundary) {
            if found.len() == MAX_BOUNDARIES {
                return Err(Error::TooManyBoundaries);
            }
            found.push(boundary.to_vec());
        }
    }
    match (found.is_empty(), too_long) {
        (false, _) => Ok(found),
        (true, Some(bytes)) => Err(Error::BoundaryTooLong { bytes }),
        (true, None) => Err(Error::NoBoundary),
    }
}

/// How the lines of a body end; its first delimiter line decides it for all delimiters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineEnd {
    /// As the standard asks.
    CrLf,
    /// As a body put together by hand may have it.
    Lf,
}

impl LineEnd {
    fn bytes(self) -> &'static [u8] {
        match self {
            LineEnd::CrLf => b"\r\n",
            LineEnd::Lf => b"\n",
        }
    }
}

/// What the text at the beginning of a line is to a boundary.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// No delimiter.
    No,
    /// More text decides.
    Undecided,
    /// A delimiter with a part behind it, `len` bytes with its line end.
    Open { len: usize, end: LineEnd },
    /// The final delimiter, `len` bytes.
    Close { len: usize },
}

/// Looks at the beginning of `text`; `dashed` is `--` and the boundary.
pub(super) fn classify(dashed: &[u8], text: &[u8]) -> Line {
    let Some(rest) = text.strip_prefix(dashed) else {
        return if dashed.starts_with(text) { Line::Undecided } else { Line::No };
    };
    if rest.starts_with(b"--") {
        return Line::Close { len: dashed.len() + 2 };
    }
    let padding = rest.iter().take(MAX_PADDING + 1).take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let before_end = dashed.len() + padding;
    match &rest[padding..] {
        _ if padding > MAX_PADDING => Line::No,
        [b'\r', b'\n', ..] => Line::Open { len: before_end + 2, end: LineEnd::CrLf },
        [b'\n', ..] => Line::Open { len: before_end + 1, end: LineEnd::Lf },
        [] | [b'\r'] => Line::Undecided,
        [b'-'] if padding == 0 => Line::Undecided,
        _ => Line::No,
    }
}

/// The delimiter of a body, once its first line showed which boundary it uses.
#[derive(Debug)]
pub(super) struct Delimiter {
    /// Line end, `--` and the boundary.
    needle: Vec<u8>,
    /// Finds line ends with `--` behind them. Searching for the whole needle takes twice the time: it is too long for
    /// vectors alone, and the digits most boundaries end in are what the rows are made of.
    beginning: memmem::Finder<'static>,
    line_end: &'static [u8],
}

/// What a delimiter's [`Delimiter::scan`] saw.
#[derive(Debug)]
pub(super) struct Scan {
    /// How many bytes at the front are data for certain.
    pub(super) data: usize,
    /// What stands behind them.
    pub(super) then: Then,
}

/// What stands behind the data; lengths count the line end before the boundary in.
#[derive(Debug)]
pub(super) enum Then {
    /// Nothing: all of it was data.
    Nothing,
    /// Text that may become a delimiter; shorter than [`LONGEST_DELIMITER`].
    Undecided,
    /// A delimiter and behind it a part.
    Open { len: usize },
    /// The final delimiter.
    Close,
}

impl Delimiter {
    /// The delimiter made of `dashed`, which is `--` and the boundary.
    pub(super) fn new(dashed: &[u8], end: LineEnd) -> Delimiter {
        let line_end = end.bytes();
        let beginning = memmem::Finder::new(&[line_end, b"--"].concat()).into_owned();
        Delimiter { needle: [line_end, dashed].concat(), beginning, line_end }
    }

    /// The line end that belongs to the delimiter, not to the data before it.
    pub(super) fn line_end(&self) -> &'static [u8] {
        self.line_end
    }

    /// Finds the first delimiter in `window`, or what may become one at its end.
    pub(super) fn scan(&self, window: &[u8]) -> Scan {
        let needle = &self.needle[..];
        let dashed = &needle[self.line_end.len()..];
        let mut from = 0;
        while let Some(found) = self.beginning.find(&window[from..]) {
            let data = from + found;
            let then = match classify(dashed, &window[data + self.line_end.len()..]) {
                // No delimiter begins within a line end and its dashes.
                Line::No => {
                    from = data + self.beginning.needle().len();
                    continue;
                }
                Line::Undecided => Then::Undecided,
                Line::Open { len, .. } => Then::Open { len: self.line_end.len() + len },
                Line::Close { .. } => Then::Close,
            };
            return Scan { data, then };
        }
        let tail = from.max(window.len().saturating_sub(needle.len() - 1));
        let begun =
            memchr_iter(needle[0], &window[tail..]).map(|at| tail + at).find(|&at| needle.starts_with(&window[at..]));
        match begun {
            Some(data) => Scan { data, then: Then::Undecided },
            None => Scan { data: window.len(), then: Then::Nothing },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(content_type: &str) -> Vec<String> {
        let found = candidates(content_type.as_bytes()).unwrap();
        found.into_iter().map(|boundary| String::from_utf8(boundary).unwrap()).collect()
    }

    #[test]
    fn boundaries_are_found_however_the_header_is_written() {
        for content_type in [
            "multipart/form-data; boundary=abc",
            "multipart/form-data,boundary=abc",
            "Multipart/Form-Data;BOUNDARY=\"abc\"; charset=utf-8",
            "multipart/form-data ; charset=utf-8 ; boundary = abc ",
            "multipart/form-data; boundary=abc; boundary=abc",
        ] {
            assert_eq!(texts(content_type), ["abc"], "{content_type}");
        }
    }

    #[test]
    fn several_boundaries_are_all_candidates() {
        assert_eq!(texts("multipart/form-data; boundary=a; boundary=b"), ["a", "b"]);
        assert_eq!(texts("multipart/form-data; boundary=a,b"), ["a", "a,b"]);
        let many: String = (0..=MAX_BOUNDARIES).map(|n| format!("; boundary={n}")).collect();
        assert_eq!(candidates(format!("multipart/form-data{many}").as_bytes()), Err(Error::TooManyBoundaries));
    }

    #[test]
    fn another_media_type_and_a_missing_boundary_are_told_apart() {
        assert_eq!(
            candidates(b"application/json"),
            Err(Error::NotMultipart { content_type: "application/json".to_owned() })
        );
        assert_eq!(candidates(b""), Err(Error::NotMultipart { content_type: String::new() }));
        assert_eq!(candidates(b"multipart/form-data"), Err(Error::NoBoundary));
        assert_eq!(candidates(b"multipart/form-data; boundary=\"\""), Err(Error::NoBoundary));
        assert_eq!(candidates(b"multipart/form-data; boundary"), Err(Error::NoBoundary));
    }

    #[test]
    fn a_boundary_at_the_limit_is_taken_and_one_byte_more_is_not() {
        let with = |bytes: usize| candidates(format!("multipart/form-data; boundary={}", "x".repeat(bytes)).as_bytes());
        assert_eq!(with(MAX_BOUNDARY_BYTES), Ok(vec![vec![b'x'; MAX_BOUNDARY_BYTES]]));
        assert_eq!(with(MAX_BOUNDARY_BYTES + 1), Err(Error::BoundaryTooLong { bytes: MAX_BOUNDARY_BYTES + 1 }));
    }

    #[test]
    fn only_a_whole_line_is_a_delimiter() {
        assert_eq!(classify(b"--b", b"--b\r\nrest"), Line::Open { len: 5, end: LineEnd::CrLf });
        assert_eq!(classify(b"--b", b"--b \t\n"), Line::Open { len: 6, end: LineEnd::Lf });
        assert_eq!(classify(b"--b", b"--b--anything"), Line::Close { len: 5 });
        for undecided in ["", "-", "--b", "--b-", "--b ", "--b\r"] {
            assert_eq!(classify(b"--b", undecided.as_bytes()), Line::Undecided, "{undecided:?}");
        }
        let padded = format!("--b{}\r\n", " ".repeat(MAX_PADDING + 1));
        for no in ["x", "--a", "--bc", "--b-x", "--b --", "--b\rx", padded.as_str()] {
            assert_eq!(classify(b"--b", no.as_bytes()), Line::No, "{no:?}");
        }
    }
}
