//! The reader against a naive one that has the whole body before it, against every way of cutting a body into chunks,
//! and against the requests real clients sent.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::boundary::{LONGEST_DELIMITER, candidates};
use super::header::HeaderBlock;
use super::*;

/// What a body gave: its events, neighbouring data joined, and how it ended.
type Outcome = (Vec<Event>, Result<(), Error>);

/// Reads `body` in chunks of these sizes, over and over.
fn read(content_type: &str, body: &[u8], sizes: &[usize]) -> Outcome {
    let mut reader = Reader::new(content_type.as_bytes()).unwrap();
    let mut events = Vec::new();
    let mut rest = Bytes::copy_from_slice(body);
    for &size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        reader.feed(rest.split_to(size.min(rest.len())));
        loop {
            match reader.next_event() {
                Ok(None) => break,
                Ok(Some(event)) => join(&mut events, event),
                Err(error) => return (events, Err(error)),
            }
        }
    }
    (events, reader.finish())
}

fn join(events: &mut Vec<Event>, event: Event) {
    match (events.last_mut(), event) {
        (Some(Event::Data(data)), Event::Data(more)) => *data = [&data[..], &more[..]].concat().into(),
        (_, event) => events.push(event),
    }
}

/// The complete parts among events.
fn parts(events: &[Event]) -> Vec<(Part, Vec<u8>)> {
    let mut parts = Vec::new();
    let mut open = None;
    for event in events {
        match event {
            Event::PartBegin(part) => open = Some((part.clone(), Vec::new())),
            Event::Data(data) => open.as_mut().expect("data belongs to a part").1.extend_from_slice(data),
            Event::PartEnd => parts.extend(open.take()),
            Event::End => assert!(open.is_none(), "the end within a part"),
        }
    }
    parts
}

/// The delimiter at `at`: its length, and whether it is the final one.
fn naive_delimiter(body: &[u8], at: usize, boundary: &[u8]) -> Option<(usize, bool)> {
    let text = &body[at..];
    let rest = text.strip_prefix(b"--")?.strip_prefix(boundary)?;
    if rest.starts_with(b"--") {
        return Some((boundary.len() + 4, true));
    }
    let line = &rest[..=rest.iter().position(|&byte| byte == b'\n')?];
    let padding = line.strip_suffix(b"\r\n").or_else(|| line.strip_suffix(b"\n"))?;
    let blank = padding.iter().all(|byte| b" \t".contains(byte)) && padding.len() <= 64;
    blank.then_some((2 + boundary.len() + line.len(), false))
}

/// Reads the whole body at once, looking at every position: its complete parts, and whether it is a whole form.
fn naive(content_type: &str, body: &[u8]) -> (Vec<(Part, Vec<u8>)>, bool) {
    let mut boundaries = candidates(content_type.as_bytes()).unwrap();
    boundaries.sort_by_key(|boundary| std::cmp::Reverse(boundary.len()));
    let mut parts = Vec::new();
    let line_begins = (0..body.len()).filter(|&at| at == 0 || body[at - 1] == b'\n');
    let first = line_begins
        .flat_map(|at| boundaries.iter().map(move |boundary| (at, boundary)))
        .find_map(|(at, boundary)| naive_delimiter(body, at, boundary).map(|found| (at, boundary, found)));
    let Some((at, boundary, (len, last))) = first.filter(|&(at, _, _)| at as u64 <= MAX_PREAMBLE_BYTES) else {
        return (parts, false);
    };
    let line_end: &[u8] = if body[..at + len].ends_with(b"\r\n") { b"\r\n" } else { b"\n" };
    let mut at = at + len;
    let mut last = last;
    while !last {
        let mut rest = Bytes::copy_from_slice(&body[at..]);
        let place = Place { part: parts.len() + 1, at: at as u64 };
        let Ok(Some(part)) = HeaderBlock::new(place).read(&mut rest) else { return (parts, false) };
        if parts.len() == MAX_PARTS {
            return (parts, false);
        }
        let begin = body.len() - rest.len();
        let (end, len) = if let Some((len, is_last)) = naive_delimiter(body, begin, boundary) {
            last = is_last;
            (begin, len)
        } else {
            let found = (begin..body.len())
                .filter(|&end| body[end..].starts_with(line_end))
                .find_map(|end| naive_delimiter(body, end + line_end.len(), boundary).map(|found| (end, found)));
            let Some((end, (len, is_last))) = found else { return (parts, false) };
            last = is_last;
            (end, line_end.len() + len)
        };
        parts.push((part, body[begin..end].to_vec()));
        at = end + len;
    }
    (parts, true)
}

/// Boundaries that are prefixes of each other, and of the dashes around them.
const CONTENT_TYPE: &str = "multipart/form-data; boundary=b; boundary=--b; boundary=bb";

/// One of them followed by a dash as well, so that a body that ends in `--b--` is not decided: no form for the reader,
/// one for the naive reader.
const WITH_DASH: &str = "multipart/form-data; boundary=b; boundary=b-; boundary=--b; boundary=bb";

/// Fragments that delimiters, headers and their near misses are made of.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "\r\n--b\r\n",
        "\r\n--b--",
        "--b\r\n",
        "--b\n",
        "\n--b\n",
        "\r\n--b",
        "\r\n----b",
        "--bb\r\n",
        "--b-\r\n",
        "--b---",
        "--b ",
        "\r\n",
        "\r",
        "\n",
        "-",
        "--",
        "b",
        " ",
        "\t",
        "x",
        "Content-Disposition: form-data; name=\"file\"\r\n\r\n",
        "Content-Disposition: form-data; name=a; filename=b\n\n",
        "Content-Type: text/plain\r\n",
        "name=\"",
        ":",
    ];
    prop_oneof![
        9 => proptest::sample::select(words.to_vec()).prop_map(|word| word.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..40),
        1 => (60..70_usize).prop_map(|count| vec![b' '; count]),
    ]
}

/// Bodies of such fragments, most of them beginning like a form.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let opening = proptest::sample::select(vec![
        "",
        "--b\r\nContent-Disposition: form-data; name=a\r\n\r\n",
        "preamble\r\n--b\nContent-Disposition: form-data; name=a\n\n",
        "--bb\r\nContent-Disposition: form-data; name=a\r\n\r\n",
        "----b \r\nContent-Disposition: form-data; name=a\r\n\r\n",
    ]);
    (opening, vec(fragment(), 0..24))
        .prop_map(|(opening, fragments)| [opening.as_bytes(), &fragments.concat()].concat())
}

fn chunk_sizes() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![Just(vec![1]), vec(1..8_usize, 1..20), vec(1..400_usize, 1..8)]
}

proptest! {
    #[test]
    fn any_text_gives_what_the_naive_reader_sees(body in soup(), sizes in chunk_sizes()) {
        let (events, end) = read(CONTENT_TYPE, &body, &sizes);
        let (expected, whole) = naive(CONTENT_TYPE, &body);
        prop_assert_eq!(parts(&events), expected);
        prop_assert_eq!(end.is_ok(), whole, "{:?}", end);
        prop_assert_eq!(events.last() == Some(&Event::End), whole);
    }

    #[test]
    fn chunk_borders_change_neither_events_nor_errors(body in soup(), sizes in chunk_sizes()) {
        prop_assert_eq!(read(WITH_DASH, &body, &sizes), read(WITH_DASH, &body, &[usize::MAX]));
    }

    #[test]
    fn what_is_written_as_a_form_is_read_back(contents in vec(vec(fragment(), 0..8), 0..5), sizes in chunk_sizes()) {
        // A boundary that no fragment holds, so that every content is legal in a form.
        let mut body = Vec::new();
        let contents: Vec<Vec<u8>> = contents.into_iter().map(|fragments| fragments.concat()).collect();
        for content in &contents {
            body.extend_from_slice(b"--unheard-of\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\n");
            body.extend_from_slice(content);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--unheard-of--\r\n");
        let (events, end) = read("multipart/form-data; boundary=unheard-of", &body, &sizes);
        prop_assert_eq!(end, Ok(()));
        let read_back: Vec<Vec<u8>> = parts(&events).into_iter().map(|(_, content)| content).collect();
        prop_assert_eq!(read_back, contents);
    }
}

const FORM: &str = "multipart/form-data; boundary=b";
const HEADERS: &str = "Content-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\n";

#[test]
fn data_within_a_chunk_is_not_copied() {
    let body = Bytes::from(format!("--b\r\n{HEADERS}user-1\r\nuser-2\r\n--b--\r\n"));
    let mut reader = Reader::new(FORM.as_bytes()).unwrap();
    reader.feed(body.clone());
    assert!(matches!(reader.next_event(), Ok(Some(Event::PartBegin(_)))));
    let Ok(Some(Event::Data(data))) = reader.next_event() else { panic!("data follows the headers") };
    assert_eq!(&data[..], b"user-1\r\nuser-2");
    assert!(body.as_ptr_range().contains(&data.as_ptr()), "the data is a slice of the chunk");
}

#[test]
fn what_follows_the_final_boundary_is_ignored() {
    let body = format!("--b\r\n{HEADERS}x\r\n--b--\r\n--b\r\nnot a header");
    let (events, end) = read(FORM, body.as_bytes(), &[7]);
    assert_eq!((parts(&events).len(), end), (1, Ok(())));
}

#[test]
fn an_unfinished_body_says_where_it_ends() {
    let whole = format!("--b\r\n{HEADERS}x\r\n--b--");
    for (length, inside) in [(9, "the headers"), (whole.len() - 1, "the data")] {
        let (_, end) = read(FORM, &whole.as_bytes()[..length], &[usize::MAX]);
        assert_eq!(end, Err(Error::Truncated { part: 1, at: length as u64, inside }));
    }
    assert_eq!(read(FORM, b"", &[1]).1, Err(Error::Empty));
}

#[test]
fn a_body_with_another_boundary_is_told_what_was_expected_and_what_came() {
    let (_, end) = read("multipart/form-data; boundary=abc", b"--xyz\r\nContent-Disposition: form-data", &[usize::MAX]);
    let text = end.unwrap_err().to_string();
    assert!(text.contains("`--abc`") && text.contains("--xyz\\r\\n"), "{text}");
}

#[test]
fn a_preamble_is_passed_over_up_to_its_limit() {
    let with = |preamble: u64| {
        let body = format!("{}\r\n--b\r\n{HEADERS}x\r\n--b--", "p".repeat(preamble as usize - 2));
        read(FORM, body.as_bytes(), &[1000]).1
    };
    assert_eq!(with(MAX_PREAMBLE_BYTES), Ok(()));
    assert!(matches!(with(MAX_PREAMBLE_BYTES + 1), Err(Error::BoundaryNotFound { searched: MAX_PREAMBLE_BYTES, .. })));
}

#[test]
fn a_boundary_in_the_middle_of_a_long_line_is_no_delimiter() {
    let body = format!("{}--b\r\n{HEADERS}x\r\n--b--", "p".repeat(LONGEST_DELIMITER));
    let (events, end) = read(FORM, body.as_bytes(), &[usize::MAX]);
    assert_eq!((events, end), (vec![Event::End], Ok(())));
}

#[test]
fn of_two_boundaries_that_fit_the_longer_one_counts() {
    let body = format!("--b--\r\n{HEADERS}x\r\n--b----");
    let (events, end) = read("multipart/form-data; boundary=b; boundary=b--", body.as_bytes(), &[usize::MAX]);
    assert_eq!((parts(&events).len(), end), (1, Ok(())));
}

#[test]
fn parts_are_counted_and_one_too_many_is_refused() {
    let with = |count: usize| {
        let body = format!("{}--b--", format!("--b\r\n{HEADERS}x\r\n").repeat(count));
        read(FORM, body.as_bytes(), &[usize::MAX]).1
    };
    assert_eq!(with(MAX_PARTS), Ok(()));
    assert!(matches!(with(MAX_PARTS + 1), Err(Error::TooManyParts(Place { part, .. })) if part == MAX_PARTS + 1));
}

/// The Content-Type and the body of a captured request.
fn captured(name: &str) -> (String, Vec<u8>) {
    let path = format!("{}/tests/data/captured/{name}.http", env!("CARGO_MANIFEST_DIR"));
    let request = std::fs::read(path).unwrap();
    let head_end = memchr::memmem::find(&request, b"\r\n\r\n").unwrap();
    let head = String::from_utf8(request[..head_end].to_vec()).unwrap();
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    };
    let mut body = request[head_end + 4..].to_vec();
    if header("transfer-encoding").is_some() {
        // One chunk and the last one is all a small upload has.
        let size_end = memchr::memmem::find(&body, b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&body[..size_end]).unwrap(), 16).unwrap();
        body = body[size_end + 2..][..size].to_vec();
    }
    (header("content-type").unwrap(), body)
}

#[test]
fn what_real_clients_send_is_read() {
    const ROWS: &str = "user-1\nuser-2\n信鸽-3\n";
    let with_blank_lines = format!("{ROWS}\r\n\r\n");
    let text = Some("text/plain");
    for (name, file_name, content_type, content) in [
        ("curl-2019", "accounts.txt", text, ROWS),
        ("curl-token", "accounts.txt", text, ROWS),
        ("curl-chunked", "accounts.txt", text, ROWS),
        ("curl-expect-100", "accounts.txt", text, ROWS),
        ("curl-part-labelled-form-data", "accounts.txt", Some("multipart/form-data"), ROWS),
        ("curl-quotes", "say \"hi\".txt", text, ROWS),
        ("curl-quotes-backslash", "say \"hi\".txt", text, ROWS),
        ("curl-windows-path", r"C:\data\new\accounts.txt", text, ROWS),
        ("curl-windows-path-backslash", r"C:\data\new\accounts.txt", text, ROWS),
        ("curl-gbk-name", "\u{fffd}\u{2fa}\u{fffd}.txt", text, ROWS),
        ("curl-empty-file", "empty.txt", text, ""),
        ("python-2019", "File name", None, "user-1\nuser-2\n\r\n\r\n"),
        ("python-2019-utf8", "账号.txt", None, with_blank_lines.as_str()),
        ("python-2021", "…/accounts.txt", text, ROWS),
        ("python-2021-non-ascii", "…/账号.txt", text, ROWS),
        ("python-2021-quotes", "say \"hi\".txt", text, ROWS),
        ("python36-2021-non-ascii", "…/账号.txt", text, ROWS),
        ("python-token", "accounts.txt", None, ROWS),
        ("python-token-non-ascii", "账号.txt", None, ROWS),
    ] {
        let (header, body) = captured(name);
        for sizes in [&[usize::MAX][..], &[1], &[7, 61, 2]] {
            let (events, end) = read(&header, &body, sizes);
            assert_eq!(end, Ok(()), "{name}");
            let files: Vec<_> = parts(&events).into_iter().filter(|(part, _)| part.name == "file").collect();
            let [(part, data)] = &files[..] else { panic!("{name}: one file, not {files:?}") };
            let sent = part.file_name.as_deref().expect("a file name");
            // The folder of a full path changes with every recording.
            match file_name.strip_prefix('…') {
                Some(end) => assert!(sent.starts_with('/') && sent.ends_with(end), "{name}: {sent}"),
                None => assert_eq!(sent, file_name, "{name}"),
            }
            assert_eq!(part.content_type.as_deref(), content_type, "{name}");
            assert_eq!(String::from_utf8_lossy(data), content, "{name}");
        }
    }
}

#[test]
fn captured_archives_arrive_byte_for_byte() {
    for (name, behind) in [("curl-2019-zip", ""), ("curl-extra-fields", ""), ("python27-2019-zip", "\r\n\r\n")] {
        let (header, body) = captured(name);
        let (events, end) = read(&header, &body, &[13]);
        assert_eq!(end, Ok(()), "{name}");
        let (_, data) = parts(&events).into_iter().find(|(part, _)| part.name == "file").unwrap();
        // The comment length, zero, is the end of the archive's last record.
        let archive = data.strip_suffix(behind.as_bytes()).unwrap();
        assert!(
            archive.starts_with(b"PK\x03\x04") && archive[archive.len() - 22..].starts_with(b"PK\x05\x06"),
            "{name}"
        );
    }
}

#[test]
fn extra_fields_come_in_their_order() {
    let (header, body) = captured("curl-extra-fields");
    let names: Vec<String> = parts(&read(&header, &body, &[64]).0).into_iter().map(|(part, _)| part.name).collect();
    assert_eq!(names, ["fileName", "remark", "file", "after"]);
    let (header, body) = captured("python-token");
    let names: Vec<String> = parts(&read(&header, &body, &[64]).0).into_iter().map(|(part, _)| part.name).collect();
    assert_eq!(names, ["fileName", "file"]);
}
