//! Hostile files of full size at the real port: each meets a clear answer, in bounded time and memory, and leaves nothing
//! behind that was not taken.
//!
//! Under `cargo test --release` they have the size of the limit, 100 MiB, and what is packed expands to gigabytes;
//! without optimization that would take minutes, so they are a fraction of it.

use std::io::Write;
use std::time::{Duration, Instant};

use pigeonloft_package::corpus::zipped_pieces;
use pigeonloft_testkit::{App, Form, Server, pigeonloft, raw, until};
use serde_json::{Value, json};

const MIB: usize = 1 << 20;
const OPTIMIZED: bool = !cfg!(debug_assertions);

/// Bytes of a file of full size.
const FULL: usize = if OPTIMIZED { 100 * MIB } else { 6 * MIB };

/// Bytes that a packed file expands to.
const EXPANDED: usize = if OPTIMIZED { 1024 * MIB } else { 24 * MIB };

/// Memory above idle that one upload may take, whatever it is.
const MEMORY: usize = 160 * MIB;

/// How long one may take. Generous: the machine may be busy with other tests.
const TIME: Duration = Duration::from_secs(60);

/// A server, an app, and what the server holds when nothing happens.
struct Port {
    server: Server,
    app: App,
    idle: usize,
}

impl Port {
    fn open() -> Self {
        Self::with(4 << 30)
    }

    /// Where the entry of an archive may expand to so many bytes.
    fn with(expanded_bytes: usize) -> Self {
        let server = pigeonloft!().set("package.expanded_bytes", expanded_bytes).start();
        let app = server.app("android");
        let _ = app.uploaded(["the first upload", "brings its threads"]);
        let idle = memory(&server, "VmRSS:");
        Self { server, app, idle }
    }

    /// The answer to an upload of `length` bytes of content, which come in pieces, and what it cost.
    fn upload(&self, name: &str, length: usize, pieces: impl Iterator<Item = Vec<u8>>) -> Value {
        std::fs::write(format!("/proc/{}/clear_refs", self.server.pid()), "5").expect("its peak can be set back");
        let begun = Instant::now();
        let mut stream = raw::connect(self.server.http());
        let body = Form::of_file(name, b"").body();
        let content = body.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
        let head = format!(
            "POST /v3/push/package/upload HTTP/1.1\r\nHost: localhost\r\nAuthorization: {}\r\nContent-Type: {}\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            self.app.basic(),
            Form::default().content_type(),
            body.len() + length
        );
        let (before, after) = body.split_at(content);
        let head = [head.as_bytes(), before].concat();
        // What is refused early need not be read to its end.
        let _ = [head].into_iter().chain(pieces).chain([after.to_vec()]).try_for_each(|piece| stream.write_all(&piece));
        let answer = raw::answer(&mut stream).expect("an answer").json();
        let (took, peak) = (begun.elapsed(), memory(&self.server, "VmHWM:").saturating_sub(self.idle));
        println!("{name}: {} MiB in {took:?}, {} MiB above idle: {answer}", length / MIB, peak / MIB);
        assert!(took < TIME, "{name}: {took:?}");
        assert!(peak <= MEMORY, "{name}: {} MiB above idle", peak / MIB);
        answer
    }

    /// It is refused, the text says this, and nothing is left of it.
    fn refuses(&self, name: &str, length: usize, pieces: impl Iterator<Item = Vec<u8>>, code: i64, says: &[&str]) {
        let files = self.server.package_files();
        let answer = self.upload(name, length, pieces);
        assert_eq!((&answer["retCode"], &answer["uploadId"]), (&json!(code), &json!(0)), "{name}: {answer}");
        let text = answer["errMsg"].as_str().expect("a text");
        assert!(says.iter().all(|say| text.contains(say)), "{name}: {text}");
        assert!(text.len() < 1000, "{name}: {text}");
        until("nothing of it is left", || (self.server.package_files() == files).then_some(()));
        until("no file is held open", || self.unnamed_files().is_empty().then_some(()));
    }

    /// It is taken with these counts of rows, duplicates and blanks, and goes when it is deleted.
    fn takes(&self, name: &str, length: usize, pieces: impl Iterator<Item = Vec<u8>>, counts: [u64; 3]) {
        let answer = self.upload(name, length, pieces);
        assert_eq!(answer["retCode"], 0, "{name}: {answer}");
        let path = format!("/v1/packages/{}", answer["uploadId"]);
        let (_, package) = self.app.own("GET", &path);
        assert_eq!(json!([package["rows"], package["duplicates"], package["blanks"]]), json!(counts), "{name}");
        assert_eq!(self.app.own("DELETE", &path).0, 204);
        until("no file is held open", || self.unnamed_files().is_empty().then_some(()));
    }

    /// Files of the data folder that have no name any more, and are held open.
    fn unnamed_files(&self) -> Vec<String> {
        let folder = std::fs::read_dir(format!("/proc/{}/fd", self.server.pid())).expect("it runs");
        let targets = folder.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        let targets = targets.map(|target| target.to_string_lossy().into_owned());
        let data = self.server.data_dir().to_string_lossy().into_owned();
        targets.filter(|target| target.starts_with(&data) && target.ends_with("(deleted)")).collect()
    }
}

/// A figure of the server's memory, bytes.
fn memory(server: &Server, figure: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(figure)).expect("Linux tells");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
}

/// So many bytes of a pattern over and over, in pieces of whole patterns.
fn pieces(pattern: &[u8], bytes: usize) -> impl Iterator<Item = Vec<u8>> {
    let page = pattern.repeat((MIB / pattern.len()).max(1));
    let rest = page[..bytes % page.len()].to_vec();
    std::iter::repeat_n(page.clone(), bytes / page.len()).chain([rest])
}

fn whole(bytes: Vec<u8>) -> (usize, impl Iterator<Item = Vec<u8>>) {
    (bytes.len(), std::iter::once(bytes))
}

#[test]
fn rows_without_an_end_are_refused_by_their_place() {
    let port = Port::open();
    let long = &["1 bad row: line 1: ", "characters of at most 100"];
    port.refuses("one-row.txt", FULL, pieces(b"x", FULL), 1_008_007, long);
    port.refuses("one-row.csv", FULL, pieces(b"x", FULL), 1_008_007, long);
    port.refuses("one-row-of-chinese.txt", FULL / 3 * 3, pieces("名".as_bytes(), FULL / 3 * 3), 1_008_007, long);
    port.refuses("nuls.txt", FULL, pieces(b"\0", FULL), 1_008_007, &["1 bad row: line 1: "]);
    port.refuses("returns.txt", FULL, pieces(b"\r", FULL), 1_008_012, &["no rows (1 blank)"]);
    let (length, row) = whole(zipped_pieces("list.txt", pieces(b"x", EXPANDED)));
    port.refuses("one-row.zip", length, row, 1_008_007, long);
    let quote = std::iter::once(b"user1\n\"".to_vec()).chain(pieces(b"user2\n", FULL - 7));
    port.refuses("quote.csv", FULL, quote, 1_008_007, &["line 2", "quote"]);
}

#[test]
fn rows_without_content_are_counted_and_refused() {
    let port = Port::open();
    let blanks = format!("no rows ({FULL} blank)");
    port.refuses("blank.txt", FULL, pieces(b"\n", FULL), 1_008_012, &[&blanks]);
    port.refuses("blank.csv", FULL, pieces(b"\n", FULL), 1_008_012, &[&blanks]);
    // A quarter: of all that can be packed, these are the most rows by far.
    let blanks = EXPANDED / 4;
    let (length, blank) = whole(zipped_pieces("list.txt", pieces(b"\n", blanks)));
    port.refuses("blank.zip", length, blank, 1_008_012, &[&format!("no rows ({blanks} blank)")]);
    let bad = format!("{} bad rows: line 1: ", FULL / 2);
    port.refuses("bad.txt", FULL, pieces(b"x\n", FULL), 1_008_007, &[&bad, "line 10: ", "and ", "bad_rows = skip"]);
}

#[test]
fn what_is_no_utf_8_is_named_by_its_encoding() {
    let port = Port::open();
    let wide: Vec<u8> = "user1\r\n用户2\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let length = FULL / wide.len() * wide.len();
    let says = &["not UTF-8", "UTF-16", "save it as UTF-8"];
    port.refuses("utf16.txt", length, pieces(&wide, length), 1_008_007, says);
    let gbk = b"\xd5\xc5\xc8\xfd\n\xc0\xee\xcb\xc4\n";
    let length = FULL / gbk.len() * gbk.len();
    port.refuses("gbk.csv", length, pieces(gbk, length), 1_008_007, &["not UTF-8", "GBK", "line 1"]);
}

#[test]
fn an_archive_of_full_size_that_lies_or_explodes_is_refused() {
    let port = Port::open();
    let strict = Port::with(EXPANDED / 2);
    let (length, bomb) = whole(zipped_pieces("list.txt", pieces(b"user1\n", EXPANDED)));
    strict.refuses("bomb.zip", length, bomb, 1_008_007, &["list.txt", "expands to more than", "split"]);
    // Nothing but headers of entries that are not there.
    let header = [b"PK\x01\x02", &[0; 42][..]].concat();
    let length = FULL / header.len() * header.len();
    port.refuses("headers.zip", length, pieces(&header, length), 1_008_011, &["not a complete zip archive"]);
    // Every end record must be tried, and none is one.
    let end = [b"PK\x05\x06", &[0xff; 18][..]].concat();
    let length = FULL / end.len() * end.len();
    port.refuses("ends.zip", length, pieces(&end, length), 1_008_011, &["zip", "repeat the upload"]);
    let begins = std::iter::once(b"PK\x03\x04".to_vec()).chain(pieces(b"\0", FULL - 4));
    port.refuses("begins.zip", FULL, begins, 1_008_011, &["not a complete zip archive"]);
}

#[test]
fn rows_in_the_worst_order_are_taken() {
    let port = Port::open();
    let rows = FULL as u64 / 13;
    let numbered = |numbers: Box<dyn Iterator<Item = u64>>| {
        let mut numbers = numbers.peekable();
        std::iter::from_fn(move || {
            numbers.peek()?;
            Some(numbers.by_ref().take(MIB / 13).flat_map(|n| format!("{n:012}\n").into_bytes()).collect())
        })
    };
    let length = rows as usize * 13;
    port.takes("sorted.txt", length, numbered(Box::new(0..rows)), [rows, 0, 0]);
    port.takes("reversed.csv", length, numbered(Box::new((0..rows).rev())), [rows, 0, 0]);
    let pairs = Box::new((0..rows / 2).flat_map(move |n| [n, rows - 1 - n]).chain((0..rows % 2).map(|_| 0)));
    let (twice, once) = (rows % 2, rows - rows % 2);
    port.takes("from-both-ends.txt", length, numbered(pairs), [once, twice, 0]);
    let same = FULL / 6 * 6;
    port.takes("repeated.txt", same, pieces(b"user1\n", same), [1, same as u64 / 6 - 1, 0]);
    let expanded = EXPANDED / 6 * 6;
    let (length, repeated) = whole(zipped_pieces("list.csv", pieces(b"user1\n", expanded)));
    port.takes("repeated.zip", length, repeated, [1, expanded as u64 / 6 - 1, 0]);
    // As long a common beginning as a row can have.
    let alike = |n: usize| format!("{}{n:08}\n", "a".repeat(92));
    let count = FULL / 101;
    let pieces = (0..count).step_by(10_000).map(|from| (from..count.min(from + 10_000)).map(alike).collect::<String>());
    port.takes("alike.txt", count * 101, pieces.map(String::into_bytes), [count as u64, 0, 0]);
}
