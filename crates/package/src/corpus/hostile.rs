//! Cases of archives that were made to deceive: what their headers say is not what lies there.
//!
//! An honest archive is built and then patched, so that each case is wrong in one place.

use super::archive::{Entry, archive, archive_listing};
use super::{Case, refused, taken};
use crate::RefusalKind::{Invalid, Unreadable};

const ROWS: &str = "user1\r\nuser2\r\nuser1\r\n";
const NAME: &str = "list.txt";

/// Fields of a local header, by their offset.
mod local {
    pub(super) const FLAGS: usize = 6;
    pub(super) const METHOD: usize = 8;
    pub(super) const CRC: usize = 14;
    pub(super) const SIZES: usize = 18;
    pub(super) const NAME_LENGTH: usize = 26;
    pub(super) const EXTRA_LENGTH: usize = 28;
    pub(super) const NAME: usize = 30;
}

/// Fields of a central header, by their offset. An extra field follows the name; its numbers begin four bytes in.
mod central {
    pub(super) const FLAGS: usize = 8;
    pub(super) const METHOD: usize = 10;
    pub(super) const PACKED: usize = 20;
    pub(super) const SIZE: usize = 24;
    pub(super) const NAME_LENGTH: usize = 28;
    pub(super) const EXTRA_LENGTH: usize = 30;
    pub(super) const COMMENT_LENGTH: usize = 32;
    pub(super) const OFFSET: usize = 42;
    pub(super) const EXTRA: usize = 46 + super::NAME.len();
    pub(super) const SIZE64: usize = EXTRA + 4;
    pub(super) const OFFSET64: usize = SIZE64 + 16;
}

/// Fields of the end record, by their offset.
mod end {
    pub(super) const COUNTS: usize = 8;
    pub(super) const OFFSET: usize = 16;
}

/// Fields of the zip64 end record and of its locator, by their offset.
mod end64 {
    pub(super) const COUNTS: usize = 24;
    pub(super) const OFFSET: usize = 48;
    pub(super) const LOCATED: usize = 8;
}

/// Numbers no file has room for.
const ABSURD: [(u64, &str); 3] =
    [(u64::MAX, "all ones"), (u64::MAX >> 1, "the largest signed number"), (1 << 40, "a terabyte")];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = sizes();
    cases.extend(places());
    cases.extend(contradictions());
    cases.extend(zip64());
    cases.extend(overlaps());
    cases.extend(many());
    cases
}

/// An archive of one entry, and where its parts begin.
struct Built {
    bytes: Vec<u8>,
    central: usize,
    end64: usize,
    locator: usize,
    end: usize,
}

fn built(entry: Entry) -> Built {
    let bytes = archive(&[entry], "");
    let find = |sign: &[u8]| bytes.windows(sign.len()).rposition(|window| window == sign).unwrap_or_default();
    let [central, end64, locator, end] =
        [b"PK\x01\x02", b"PK\x06\x06", b"PK\x06\x07", b"PK\x05\x06"].map(|sign| find(sign));
    Built { central, end64, locator, end, bytes }
}

fn deflated() -> Built {
    built(Entry::new(NAME, ROWS))
}

fn stored() -> Built {
    built(Entry::stored(NAME, ROWS))
}

impl Built {
    fn put(mut self, at: usize, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    fn put_central(self, field: usize, bytes: impl AsRef<[u8]>) -> Self {
        let at = self.central + field;
        self.put(at, bytes)
    }

    fn put_end(self, field: usize, bytes: impl AsRef<[u8]>) -> Self {
        let at = self.end + field;
        self.put(at, bytes)
    }

    /// It is refused as broken.
    fn damaged(self, name: impl Into<String>) -> Case {
        refused(name, "list.zip", self.bytes, Unreadable, &["damaged", "repeat the upload"])
    }

    /// Its rows are what their checksum says, so that nothing depends on the lie.
    fn taken(self, name: &'static str) -> Case {
        taken(name, "list.zip", self.bytes, [2, 1, 0])
    }
}

fn four(number: u32) -> [u8; 4] {
    number.to_le_bytes()
}

/// Sizes that are not those of the data.
fn sizes() -> Vec<Case> {
    let (length, packed) = (ROWS.len() as u32, Entry::new(NAME, ROWS).packed_len() as u32);
    vec![
        deflated().put(local::SIZES, [7; 8]).taken("sizes that lie in the local header alone"),
        deflated().put(local::SIZES, [0xff; 8]).taken("sizes of all ones in the local header alone"),
        deflated()
            .put_central(central::PACKED, four(packed + 10))
            .taken("a packed size that reaches into the list of files"),
        deflated().put_central(central::PACKED, four(i32::MAX as u32)).taken("a packed size beyond the file"),
        deflated().put_central(central::PACKED, four(packed - 2)).damaged("a packed size too small"),
        deflated().put_central(central::PACKED, four(0)).damaged("a packed size of nothing"),
        deflated().put_central(central::PACKED, [0xff; 8]).damaged("sizes of all ones without a zip64 field"),
        stored()
            .put_central(central::PACKED, four(length + 10))
            .damaged("a stored entry that says it was packed larger"),
        stored()
            .put_central(central::PACKED, four(length - 3))
            .damaged("a stored entry that says it was packed smaller"),
        stored()
            .put_central(central::PACKED, four(length + 10))
            .put_central(central::SIZE, four(length + 10))
            .damaged("a stored entry that reaches into the list of files"),
    ]
}

/// Offsets and lengths that lead somewhere else.
fn places() -> Vec<Case> {
    let list = deflated().central as u32;
    vec![
        deflated().put_central(central::OFFSET, four(i32::MAX as u32)).damaged("an entry beyond the file"),
        deflated().put_central(central::OFFSET, [0xff; 4]).damaged("an entry at all ones without a zip64 field"),
        deflated().put_central(central::OFFSET, four(list)).damaged("an entry that lies in the list of files"),
        deflated().put_central(central::OFFSET, four(1)).damaged("an entry that begins a byte late"),
        deflated().put_end(end::OFFSET, four(i32::MAX as u32)).damaged("a list of files beyond the file"),
        deflated().put_end(end::OFFSET, four(0)).damaged("a list of files where the entry is"),
        deflated().put_end(end::COUNTS, [0; 4]).damaged("a list of files that says it is empty"),
        deflated().put_end(end::COUNTS, [2, 0, 2, 0]).damaged("a list of files that says it has one more"),
        deflated().put_end(end::COUNTS, [0xff; 4]).damaged("a list of files that says it has 65,535"),
        deflated().put(local::EXTRA_LENGTH, [0xff; 2]).damaged("an extra field longer than the file"),
        deflated().put_central(central::NAME_LENGTH, [0xff; 2]).damaged("a name longer than the file"),
        deflated().put_central(central::EXTRA_LENGTH, [0xff; 2]).damaged("a central extra field longer than the file"),
        deflated().put_central(central::COMMENT_LENGTH, [0xff; 2]).damaged("a comment longer than the file"),
        deflated().put(local::NAME_LENGTH, [0xff; 2]).damaged("a local name longer than the file"),
        deflated().put(0, b"XX").damaged("no local header where one should be"),
    ]
}

/// Local and central header say different things, or the data is a third one.
fn contradictions() -> Vec<Case> {
    let method = |name, built: Built, says: &[&'static str]| refused(name, "list.zip", built.bytes, Invalid, says);
    vec![
        deflated().put(local::NAME, b"evil.exe").taken("another name in the local header"),
        deflated().put(local::METHOD, [0; 2]).taken("another method in the local header"),
        deflated().put(local::CRC, [7; 4]).taken("another checksum in the local header"),
        deflated().put(local::FLAGS, [1]).taken("encrypted by the local header alone"),
        deflated().put_central(central::METHOD, [0; 2]).damaged("packed data that says it is stored"),
        stored().put_central(central::METHOD, [8, 0]).damaged("stored data that says it is packed"),
        method(
            "an entry packed by deflate64",
            deflated().put_central(central::METHOD, [9, 0]),
            &["list.txt", "method 9", "deflate"],
        ),
        method(
            "an entry with strong encryption",
            deflated().put_central(central::FLAGS, [0x41, 0]),
            &["list.txt", "encrypted", "without a password"],
        ),
    ]
}

/// Numbers of 64 bits that no file has room for, and fields for them that are not there.
fn zip64() -> Vec<Case> {
    let whole = || built(Entry::new(NAME, ROWS).zip64());
    let mut cases = Vec::new();
    for (number, said) in ABSURD {
        let number = number.to_le_bytes();
        let put_end = |built: Built, at: usize| {
            let at = built.end64 + at;
            built.put(at, number)
        };
        let counts = put_end(put_end(whole(), end64::COUNTS), end64::COUNTS + 8);
        let located = whole();
        let locator = located.locator + end64::LOCATED;
        cases.extend([
            whole().put_central(central::SIZE64, number).damaged(format!("a zip64 size of {said}")),
            whole().put_central(central::OFFSET64, number).damaged(format!("a zip64 entry at {said}")),
            counts.damaged(format!("a zip64 list of {said} entries")),
            put_end(whole(), end64::OFFSET).damaged(format!("a zip64 list at {said}")),
            located.put(locator, number).damaged(format!("a zip64 end record at {said}")),
        ]);
    }
    cases.extend([
        whole().put_central(central::EXTRA, [7, 0]).damaged("a zip64 entry without its field"),
        whole().put_central(central::EXTRA + 2, [8, 0]).damaged("a zip64 field that ends after the size"),
        whole().put_central(central::EXTRA + 2, [0xff; 2]).damaged("a zip64 field longer than the header"),
    ]);
    cases
}

/// Entries that share their bytes: the ways to make a small archive expand to a huge one.
fn overlaps() -> Vec<Case> {
    let more = &["more than one", "keep one"];
    let bomb = Entry::bomb(NAME, 4, 4 << 20);
    vec![
        refused(
            "an entry listed twice",
            "list.zip",
            archive_of_one_listed(&Entry::new(NAME, ROWS), 2, NAME),
            Invalid,
            more,
        ),
        refused(
            "60,000 entries that share one bomb",
            "list.zip",
            archive_of_one_listed(&bomb, 60_000, NAME),
            Invalid,
            more,
        ),
        // What is not read expands to nothing.
        taken(
            "an extra of macOS that shares the bytes of the file",
            "list.zip",
            archive_listing(&[Entry::new(NAME, ROWS)], &[(0, NAME), (0, "__MACOSX/._x")]),
            [2, 1, 0],
        ),
    ]
}

fn archive_of_one_listed(entry: &Entry, times: usize, name: &str) -> Vec<u8> {
    archive_listing(std::slice::from_ref(entry), &vec![(0, name); times])
}

/// As many entries as 16 bits just can and just cannot count, and texts as long as they can be.
fn many() -> Vec<Case> {
    let extras = |count: usize| {
        let mut names = vec![(0, "__MACOSX/._x"); count - 1];
        names.push((0, NAME));
        archive_listing(&[Entry::new(NAME, ROWS)], &names)
    };
    let files = |count: usize| archive_of_one_listed(&Entry::new(NAME, ROWS), count, NAME);
    let longest = "n".repeat(usize::from(u16::MAX) - 4) + ".txt";
    let more = &["more than one", "keep one"];
    vec![
        taken("65,535 entries", "list.zip", extras(65_535), [2, 1, 0]),
        taken("65,536 entries, which 16 bits count as none", "list.zip", extras(65_536), [2, 1, 0]),
        refused("65,536 files", "list.zip", files(65_536), Invalid, more),
        taken("a name of 65,535 bytes", "list.zip", archive(&[Entry::new(&longest, ROWS)], ""), [2, 1, 0]),
        taken(
            "a comment of 65,535 bytes",
            "list.zip",
            archive(&[Entry::new(NAME, ROWS)], &"c".repeat(usize::from(u16::MAX))),
            [2, 1, 0],
        ),
        refused(
            "folders with names of 64 KiB",
            "list.zip",
            archive(&vec![Entry::stored(&("d/".to_owned() + &longest[2..]), ""); 64], ""),
            Invalid,
            &["folder", "top of the archive"],
        ),
    ]
}
