//! Corpus: the table of upload cases, taken and refused, behind the feature `corpus`.
//!
//! This crate runs it against [`Intake`](crate::Intake), and the server through its real port: the same bytes must meet the
//! same verdict. Everything is built here, so that nothing but cargo is needed.

mod archive;
mod hostile;
mod text;
mod zip;

use crate::{Limits, RefusalKind};

/// One file, and what must become of it under [`limits`] when bad rows refuse.
#[derive(Debug, Clone)]
pub struct Case {
    /// What is tried, as a phrase; unique.
    pub name: String,
    /// The file name to send.
    pub file_name: String,
    /// The bytes of the file.
    pub bytes: Vec<u8>,
    /// The verdict.
    pub expect: Expect,
}

/// The verdict on a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// It becomes a package.
    Taken {
        /// Distinct rows.
        rows: u64,
        /// Rows beyond the first of their kind.
        duplicates: u64,
        /// Blank rows.
        blanks: u64,
    },
    /// It is refused.
    Refused {
        /// The class, which decides the code.
        kind: RefusalKind,
        /// What the text must say: the place and the remedy.
        says: Vec<&'static str>,
    },
}

/// The limits that the cases are made for: the default ones, but for a bomb that need not expand to gigabytes.
pub fn limits() -> Limits {
    Limits { expanded_bytes: 8 << 20, ..Limits::default() }
}

/// All cases but those of [`size_cases`]; a few megabytes together.
pub fn cases() -> Vec<Case> {
    let mut cases = text::cases();
    cases.extend(zip::cases());
    cases.extend(hostile::cases());
    cases
}

/// A file of exactly `limit` bytes (taken), and one of a byte more (refused); `limit` is a multiple of 1,024. Made apart
/// because at the default limit each takes 100 MiB.
pub fn size_cases(limit: u64) -> [Case; 2] {
    // 512 rows of two bytes and a line end would not divide evenly; three and one do.
    let page: String = (0..256).map(|row| format!("{row:03x}\n")).collect();
    let mut bytes = page.repeat(limit as usize / page.len()).into_bytes();
    let at_limit = taken("as large as the limit", "list.txt", bytes.clone(), [256, limit / 4 - 256, 0]);
    bytes.push(b'\n');
    let over = refused("one byte over the limit", "list.txt", bytes, RefusalKind::Invalid, &["larger than", "split"]);
    [at_limit, over]
}

/// A sound archive of one file.
pub fn zipped(file_name: &str, content: &[u8]) -> Vec<u8> {
    zipped_pieces(file_name, [content])
}

/// A sound archive of one file below 4 GiB, which comes in pieces and is never held as a whole.
pub fn zipped_pieces<P: AsRef<[u8]>>(file_name: &str, content: impl IntoIterator<Item = P>) -> Vec<u8> {
    archive::archive(&[archive::Entry::of_pieces(file_name, content)], "")
}

fn taken(name: impl Into<String>, file_name: &str, bytes: impl Into<Vec<u8>>, counts: [u64; 3]) -> Case {
    let [rows, duplicates, blanks] = counts;
    Case {
        name: name.into(),
        file_name: file_name.to_owned(),
        bytes: bytes.into(),
        expect: Expect::Taken { rows, duplicates, blanks },
    }
}

fn refused(
    name: impl Into<String>,
    file_name: &str,
    bytes: impl Into<Vec<u8>>,
    kind: RefusalKind,
    says: &[&'static str],
) -> Case {
    Case {
        name: name.into(),
        file_name: file_name.to_owned(),
        bytes: bytes.into(),
        expect: Expect::Refused { kind, says: says.to_vec() },
    }
}
