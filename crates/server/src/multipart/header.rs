//! Part headers: the lines between a delimiter and the data, collected within bounds and read into a [`Part`]. Which
//! fields an upload wants, and what makes a good file name, is left to the caller.

use bytes::{Buf, Bytes};
use percent_encoding::percent_decode;

use super::error::{Error, Place, excerpt};
use super::parameters::{SEMICOLON, split};
use super::{MAX_FIELD_NAME_BYTES, MAX_FILE_NAME_BYTES, MAX_HEADER_BYTES, MAX_HEADER_LINES};

/// What the headers of a part say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The name of the form field, at most [`MAX_FIELD_NAME_BYTES`] bytes as sent.
    pub name: String,
    /// The file name as the client gave it, path and all (`C:\data\a.txt`), at most [`MAX_FILE_NAME_BYTES`] bytes as
    /// sent; `None` for a text field. Bytes that are not UTF-8 (a name in GBK) became U+FFFD.
    pub file_name: Option<String>,
    /// The part's own media type, as sent. It decides nothing: clients guess it from the file name.
    pub content_type: Option<String>,
}

/// The headers of a part while they arrive.
#[derive(Debug)]
pub(super) struct HeaderBlock {
    /// Where the block begins.
    place: Place,
    text: Vec<u8>,
    line_begin: usize,
    lines: usize,
}

impl HeaderBlock {
    /// An empty block at `place`.
    pub(super) fn new(place: Place) -> HeaderBlock {
        HeaderBlock { place, text: Vec::new(), line_begin: 0, lines: 0 }
    }

    /// Takes what belongs to the block off the front of `chunk`; the part, once the blank line was seen.
    pub(super) fn read(&mut self, chunk: &mut Bytes) -> Result<Option<Part>, Error> {
        while !chunk.is_empty() {
            let newline = memchr::memchr(b'\n', chunk);
            let taken = newline.map_or(chunk.len(), |at| at + 1);
            if self.text.len() + taken > MAX_HEADER_BYTES {
                return Err(Error::HeadersTooLong(self.place));
            }
            self.text.extend_from_slice(&chunk[..taken]);
            chunk.advance(taken);
            if newline.is_some() {
                if matches!(&self.text[self.line_begin..], b"\n" | b"\r\n") {
                    return self.part().map(Some);
                }
                self.line_begin = self.text.len();
                self.lines += 1;
                if self.lines > MAX_HEADER_LINES {
                    return Err(Error::TooManyHeaders(self.place));
                }
            }
        }
        Ok(None)
    }

    /// Reads the block, which is whole.
    fn part(&self) -> Result<Part, Error> {
        let mut disposition = None;
        let mut content_type = None;
        for header in self.headers()? {
            match header.name.as_str() {
                "content-disposition" => disposition = disposition.or(Some(header.value)),
                "content-type" => {
                    content_type = content_type.or_else(|| Some(String::from_utf8_lossy(&header.value).into_owned()));
                }
                "content-transfer-encoding"
                    if ["base64", "quoted-printable"]
                        .iter()
                        .any(|e| header.value.eq_ignore_ascii_case(e.as_bytes())) =>
                {
                    return Err(Error::Encoded { place: self.place, encoding: excerpt(&header.value) });
                }
                _ => {}
            }
        }
        let (name, file_name) = self.names(&disposition.unwrap_or_default())?;
        Ok(Part { name, file_name, content_type })
    }

    /// The header lines, folded ones joined.
    fn headers(&self) -> Result<Vec<Header>, Error> {
        let mut headers: Vec<Header> = Vec::new();
        let mut at = self.place.at;
        for line in self.text[..self.line_begin].split_inclusive(|&byte| byte == b'\n') {
            let text = line.trim_ascii();
            match (line.first(), headers.last_mut(), memchr::memchr(b':', line)) {
                (Some(b' ' | b'\t'), Some(folded), _) => {
                    folded.value.push(b' ');
                    folded.value.extend_from_slice(text);
                }
                (_, _, Some(colon)) => headers.push(Header {
                    name: String::from_utf8_lossy(line[..colon].trim_ascii()).to_ascii_lowercase(),
                    value: line[colon + 1..].trim_ascii().to_vec(),
                }),
                _ => {
                    let place = Place { at, ..self.place };
                    return Err(Error::BadHeader { place, line: excerpt(text) });
                }
            }
            at += line.len() as u64;
        }
        Ok(headers)
    }

    /// The names of field and file that a Content-Disposition gives.
    fn names(&self, disposition: &[u8]) -> Result<(String, Option<String>), Error> {
        let place = self.place;
        let mut name = Name::default();
        let mut file_name = Name::default();
        for (parameter, value) in split(disposition, SEMICOLON).1 {
            match parameter.as_str() {
                "name" => name.plain = name.plain.or(Some(value)),
                "name*" => name.extended = name.extended.or(Some(value)),
                "filename" => file_name.plain = file_name.plain.or(Some(value)),
                "filename*" => file_name.extended = file_name.extended.or(Some(value)),
                _ => {}
            }
        }
        if name.bytes() > MAX_FIELD_NAME_BYTES {
            return Err(Error::FieldNameTooLong { place, bytes: name.bytes() });
        }
        if file_name.bytes() > MAX_FILE_NAME_BYTES {
            return Err(Error::FileNameTooLong { place, bytes: file_name.bytes() });
        }
        let name = name.text().ok_or(Error::NoName(place))?;
        Ok((name, file_name.text()))
    }
}

/// One header: its name in lower case.
struct Header {
    name: String,
    value: Vec<u8>,
}

/// A name in the two forms it may be sent in.
#[derive(Default)]
struct Name {
    /// `filename="…"`.
    plain: Option<Vec<u8>>,
    /// `filename*=utf-8''…` (RFC 8187; urllib3 before 1.25).
    extended: Option<Vec<u8>>,
}

impl Name {
    /// The longer of the two, as sent.
    fn bytes(&self) -> usize {
        self.plain.iter().chain(&self.extended).map(Vec::len).max().unwrap_or(0)
    }

    /// The name: the extended one if it is valid, for it is exact.
    fn text(self) -> Option<String> {
        let extended = self.extended.as_deref();
        extended.and_then(extended_value).or_else(|| self.plain.map(|plain| plain_value(&plain))).or_else(|| {
            // Nothing better was sent.
            extended.map(|value| String::from_utf8_lossy(value).into_owned())
        })
    }
}

/// A plain value: browsers, curl and urllib3 write `%22` for a quote and leave other percent signs as they are, so only
/// that one is read back. (`%0D%0A`, for line ends, stays: a name with a line end in it helps nobody.)
fn plain_value(value: &[u8]) -> String {
    String::from_utf8_lossy(value).replace("%22", "\"")
}

/// `charset'language'percent-encoded` in UTF-8 or Latin-1, the two charsets of RFC 5987; `None` if it is anything else.
fn extended_value(value: &[u8]) -> Option<String> {
    let mut fields = value.splitn(3, |&byte| byte == b'\'');
    let (charset, _language, text) = (fields.next()?, fields.next()?, fields.next()?);
    let decoded = percent_decode(text).collect::<Vec<u8>>();
    if charset.eq_ignore_ascii_case(b"utf-8") {
        String::from_utf8(decoded).ok()
    } else if charset.eq_ignore_ascii_case(b"iso-8859-1") {
        Some(decoded.into_iter().map(char::from).collect())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { part: 1, at: 40 };

    fn read(block: &[u8]) -> Result<Part, Error> {
        HeaderBlock::new(PLACE).read(&mut Bytes::copy_from_slice(block)).map(|part| part.expect("a whole block"))
    }

    fn file_name(disposition: &[u8]) -> String {
        let block = [b"Content-Disposition: form-data; name=\"file\"; ", disposition, b"\r\n\r\n"].concat();
        read(&block).unwrap().file_name.expect("a file name")
    }

    #[test]
    fn names_are_read_in_every_form_clients_send() {
        for (sent, name) in [
            (r#"filename="a.txt""#, "a.txt"),
            (r#"filename="say \"hi\".txt""#, r#"say "hi".txt"#),
            (r#"filename="say %22hi%22.txt""#, r#"say "hi".txt"#),
            (r#"filename="50%25 off.txt""#, "50%25 off.txt"),
            (r#"filename="C:\dir\a.txt""#, r"C:\dir\a.txt"),
            (r#"filename="\\server\dir\a.txt""#, r"\server\dir\a.txt"),
            ("filename=a b.txt", "a b.txt"),
            (r#"filename="账号.txt""#, "账号.txt"),
            ("filename*=utf-8''%E8%B4%A6%E5%8F%B7.txt", "账号.txt"),
            ("filename*=UTF-8'zh'%E8%B4%A6%E5%8F%B7.txt", "账号.txt"),
            ("filename=\"x.txt\"; filename*=utf-8''%E8%B4%A6.txt", "账.txt"),
            ("filename*=utf-8''%E8%B4%A6.txt; filename=\"x.txt\"", "账.txt"),
            ("filename*=iso-8859-1''caf%E9.txt", "café.txt"),
            ("filename=\"x.txt\"; filename*=utf-8''%FF.txt", "x.txt"),
            ("filename=\"x.txt\"; filename*=gbk''%D5%CB.txt", "x.txt"),
            ("filename*=a.txt", "a.txt"),
            ("filename=\"\"", ""),
        ] {
            assert_eq!(file_name(sent.as_bytes()), name, "{sent}");
        }
    }

    #[test]
    fn a_name_in_gbk_is_kept_as_far_as_it_goes() {
        assert!(file_name(b"filename=\"\xd5\xcb\xba\xc5.txt\"").ends_with(".txt"));
    }

    #[test]
    fn header_lines_may_end_in_a_bare_line_feed_and_may_be_folded() {
        let part =
            read(b"content-disposition:form-data;\n\tname=file\nCONTENT-TYPE: text/plain\r\nX-Other: 1\n\n").unwrap();
        assert_eq!(
            part,
            Part { name: "file".to_owned(), file_name: None, content_type: Some("text/plain".to_owned()) }
        );
    }

    #[test]
    fn a_part_without_a_name_is_refused() {
        assert_eq!(read(b"\r\n"), Err(Error::NoName(PLACE)));
        assert_eq!(read(b"Content-Disposition: form-data; filename=a.txt\r\n\r\n"), Err(Error::NoName(PLACE)));
    }

    #[test]
    fn a_line_that_is_no_header_is_named_with_its_place() {
        assert_eq!(
            read(b"Content-Type: text/plain\r\nuser-1\r\n\r\n"),
            Err(Error::BadHeader { place: Place { part: 1, at: 66 }, line: "user-1".to_owned() })
        );
    }

    #[test]
    fn an_encoded_part_is_refused_and_a_binary_one_is_not() {
        let with = |encoding: &str| {
            let block = format!("Content-Disposition: form-data; name=a\nContent-Transfer-Encoding: {encoding}\n\n");
            read(block.as_bytes())
        };
        assert_eq!(with("Base64"), Err(Error::Encoded { place: PLACE, encoding: "Base64".to_owned() }));
        assert!(with("binary").is_ok());
    }

    #[test]
    fn every_bound_holds_at_its_limit_and_breaks_one_past_it() {
        let field =
            |bytes: usize| read(format!("Content-Disposition: form-data; name={}\n\n", "n".repeat(bytes)).as_bytes());
        assert_eq!(field(MAX_FIELD_NAME_BYTES).map(|part| part.name.len()), Ok(MAX_FIELD_NAME_BYTES));
        let bytes = MAX_FIELD_NAME_BYTES + 1;
        assert_eq!(field(bytes), Err(Error::FieldNameTooLong { place: PLACE, bytes }));

        let file = |bytes: usize| {
            let name = "f".repeat(bytes);
            read(format!("Content-Disposition: form-data; name=file; filename={name}\n\n").as_bytes())
        };
        assert!(file(MAX_FILE_NAME_BYTES).is_ok());
        let bytes = MAX_FILE_NAME_BYTES + 1;
        assert_eq!(file(bytes), Err(Error::FileNameTooLong { place: PLACE, bytes }));

        let lines = |count: usize| {
            let more = "X: 1\r\n".repeat(count - 1);
            read(format!("Content-Disposition: form-data; name=file\r\n{more}\r\n").as_bytes())
        };
        assert!(lines(MAX_HEADER_LINES).is_ok());
        assert_eq!(lines(MAX_HEADER_LINES + 1), Err(Error::TooManyHeaders(PLACE)));

        let block = |bytes: usize| {
            let fixed = "Content-Disposition: form-data; name=file\nX:\n\n".len();
            let filler = "x".repeat(bytes - fixed);
            read(format!("Content-Disposition: form-data; name=file\nX:{filler}\n\n").as_bytes())
        };
        assert!(block(MAX_HEADER_BYTES).is_ok());
        assert_eq!(block(MAX_HEADER_BYTES + 1), Err(Error::HeadersTooLong(PLACE)));
    }
}
