//! Cases of zip files.

use super::archive::{Entry, archive};
use super::{Case, refused, taken};
use crate::RefusalKind::{Empty, Invalid, Unreadable};

const ROWS: &str = "user1\r\nuser2\r\nuser1\r\n";
const ENCRYPTED: u16 = 1;
const STREAMED: u16 = 8;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = good();
    cases.extend(wrong_entries());
    cases.extend(damaged());
    cases.extend(liars());
    cases.extend(wrong_rows());
    cases
}

fn zip(entries: &[Entry]) -> Vec<u8> {
    archive(entries, "")
}

fn list() -> Entry {
    Entry::new("list.txt", ROWS)
}

fn good() -> Vec<Case> {
    let counts = [2, 1, 0];
    let extras = [
        list(),
        Entry::new("__MACOSX/", ""),
        Entry::new("__MACOSX/._list.txt", "\0\x05\x16\x07"),
        Entry::new("._list.txt", "\0\x05\x16\x07"),
        Entry::new(".DS_Store", "\0\0\0\x01Bud1"),
    ];
    let mut many = vec![Entry::stored("__MACOSX/._x", ""); 65_540];
    many.push(list());
    let late = archive(&[list()], "made by hand").into_iter().chain(*b"\r\n\r\n");
    vec![
        taken("a zipped txt", "list.zip", zip(&[list()]), counts),
        taken("a zipped csv", "list.zip", zip(&[Entry::new("list.csv", "\"user,1\"\nuser2\nuser2\n")]), counts),
        taken("a zip in capitals", "LIST.ZIP", zip(&[Entry::new("LIST.TXT", ROWS)]), counts),
        taken("an entry that is stored", "list.zip", zip(&[Entry::stored("list.txt", ROWS)]), counts),
        taken("an entry whose sizes follow it", "list.zip", zip(&[list().flags(STREAMED)]), counts),
        taken("a zip64 archive", "list.zip", zip(&[list().zip64()]), counts),
        taken("a comment in the archive", "list.zip", archive(&[list()], "made by hand"), counts),
        taken("junk after the archive, as the 2019 sample sends", "list.zip", late.collect::<Vec<_>>(), counts),
        taken("junk before the archive", "list.zip", [&b"#!junk\n"[..], &zip(&[list()])].concat(), counts),
        taken("the extras of macOS", "list.zip", zip(&extras), counts),
        taken("an entry name in GBK", "list.zip", zip(&[Entry::new(b"\xc3\xfb\xb5\xa5.txt", ROWS)]), counts),
        taken("more entries than 16 bits count", "list.zip", zip(&many), counts),
        taken("the name of the 2019 sample, an archive in it", "File name", zip(&[list()]), counts),
    ]
}

fn wrong_entries() -> Vec<Case> {
    let top = "top of the archive";
    let huge = "n".repeat(65_000) + ".txt";
    let case = |name, entries: &[Entry], says: &[&'static str]| refused(name, "list.zip", zip(entries), Invalid, says);
    let path = |name, path: &str| case(name, &[Entry::new(path, ROWS)], &["folder", top]);
    vec![
        case("two files", &[list(), Entry::new("b.csv", ROWS)], &["more than one", "list.txt", "b.csv", "keep one"]),
        case("a second file with a huge name", &[list(), Entry::new(huge, ROWS)], &["more than one", "nnn"]),
        case("a folder beside the file", &[list(), Entry::new("old/", "")], &["old/", "folder", top]),
        path("a file in a folder", "lists/list.txt"),
        path("a file in a folder of Windows", "lists\\list.txt"),
        path("a path that climbs out", "../../etc/list.txt"),
        path("an absolute path", "/etc/list.txt"),
        case("an encrypted entry", &[list().flags(ENCRYPTED)], &["list.txt", "encrypted", "without a password"]),
        case("an entry of another extension", &[Entry::new("list.xlsx", ROWS)], &["list.xlsx", ".txt or .csv"]),
        case("an entry without extension", &[Entry::new("txt", ROWS)], &[".txt or .csv"]),
        case("a zip in the zip", &[Entry::new("list.zip", zip(&[list()]))], &["list.zip", "zip archive", "itself"]),
        case("a zip in the zip, named txt", &[Entry::new("list.txt", zip(&[list()]))], &["list.txt", "itself"]),
        case("an entry packed by another method", &[list().method(12)], &["method 12", "deflate"]),
        refused("an archive without files", "list.zip", zip(&[]), Empty, &["no file", "put one"]),
        refused(
            "nothing but extras of macOS",
            "list.zip",
            zip(&[Entry::new("__MACOSX/._list.txt", "x")]),
            Empty,
            &["no file", "put one"],
        ),
        refused("an empty entry", "list.zip", zip(&[Entry::new("list.txt", "")]), Empty, &["no rows"]),
        refused("no byte of a zip", "list.zip", "", Empty, &["empty"]),
        refused("a zip named txt", "list.txt", zip(&[list()]), Invalid, &["zip archive", "name an archive .zip"]),
        refused(
            "a spreadsheet named csv",
            "list.csv",
            zip(&[list()]),
            Invalid,
            &["spreadsheet", "save a sheet as .csv"],
        ),
        case(
            "a spreadsheet named zip",
            &[Entry::new("[Content_Types].xml", "<xml/>"), Entry::new("xl/workbook.xml", "<xml/>")],
            &["spreadsheet", "save its sheet as .csv"],
        ),
        refused(
            "an old workbook named csv",
            "list.csv",
            *b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1,\n",
            Invalid,
            &["Excel workbook", "save its sheet as .csv"],
        ),
        refused("a gzip named txt", "list.txt", *b"\x1f\x8b\x08\0\0", Invalid, &["gzip", "unpack it"]),
    ]
}

fn damaged() -> Vec<Case> {
    let whole = zip(&[list()]);
    let mut overwritten = zip(&[Entry::new("list.txt", rows_that_do_not_shrink())]);
    overwritten[2000..2100].fill(0xaa);
    let mut no_list = whole.clone();
    let at = no_list.len() - 22 - 46 - "list.txt".len();
    no_list[at] = b'X';
    // The end record is whole, the bytes before it are not there.
    let tail = whole[whole.len() - 22..].to_vec();
    let case = |name, bytes: Vec<u8>, says: &[&'static str]| refused(name, "list.zip", bytes, Unreadable, says);
    vec![
        case("text named zip", ROWS.into(), &["not a complete zip archive", "zip it again"]),
        case("a truncated archive", whole[..whole.len() / 2].to_vec(), &["not a complete zip archive"]),
        case(
            "an archive that lacks its last byte",
            whole[..whole.len() - 1].to_vec(),
            &["damaged", "repeat the upload"],
        ),
        case("an archive that lacks its first half", tail, &["damaged", "repeat the upload"]),
        case("a wrong checksum", zip(&[list().crc(7)]), &["damaged", "checksum"]),
        case("bytes overwritten", overwritten, &["damaged"]),
        case("a list of files overwritten", no_list, &["damaged"]),
    ]
}

fn liars() -> Vec<Case> {
    let bomb = |size| zip(&[Entry::bomb("list.txt", 9, size)]);
    let damaged = &["damaged", "a size does not match"];
    vec![
        refused("a bomb", "list.zip", bomb(9 << 20), Invalid, &["list.txt", "expands to more than", "split"]),
        refused("a bomb that says it is small", "list.zip", bomb(12), Unreadable, damaged),
        refused("a size too small", "list.zip", zip(&[list().size(3)]), Unreadable, damaged),
        refused("a size too large", "list.zip", zip(&[list().size(1 << 30)]), Unreadable, damaged),
        refused("a zip64 size beyond reason", "list.zip", zip(&[list().zip64().size(u64::MAX)]), Unreadable, damaged),
    ]
}

fn wrong_rows() -> Vec<Case> {
    let case = |name, entry: &str, content: &[u8], says: &[&'static str]| {
        refused(name, "list.zip", zip(&[Entry::new(entry, content)]), Invalid, says)
    };
    vec![
        case("a bad row in a zip", "list.txt", b"user1\na\n", &["1 bad row", "line 2"]),
        case("a second column in a zip", "list.csv", b"user1\nuser2,8\n", &["line 2", "second column"]),
        case("UTF-16 in a zip", "list.txt", b"\xff\xfeu\0s\0e\0r\0\n\0", &["UTF-16", "save it as UTF-8"]),
    ]
}

/// Rows that take the compressor some thousand bytes.
fn rows_that_do_not_shrink() -> String {
    let mut seed = 1u64;
    let row = |_| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("{seed:016x}\n")
    };
    (0..500).map(row).collect()
}
