//! A reader of audience files that is too simple to be wrong, to hold the real one against.

use std::collections::BTreeSet;
use std::path::Path;

use pigeonloft_package::{BadRows, FileName, Intake, IntakeError, Limits, Published, Reader, Reason};

/// What a file of good and bad rows comes to.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Naive {
    pub(crate) rows: BTreeSet<String>,
    pub(crate) good: u64,
    pub(crate) blanks: u64,
    pub(crate) bad: Vec<(u64, Reason)>,
    pub(crate) not_utf8: u64,
    pub(crate) beyond_ascii: u64,
}

impl Naive {
    /// Judges rows given as (line, bytes between the line ends).
    pub(crate) fn of_rows<'a>(rows: impl IntoIterator<Item = (u64, &'a [u8])>) -> Self {
        let mut naive = Self::default();
        for (line, raw) in rows {
            let Ok(text) = std::str::from_utf8(raw) else {
                naive.bad.push((line, Reason::NotUtf8));
                naive.not_utf8 += 1;
                continue;
            };
            let row = text.trim();
            if row.is_empty() {
                naive.blanks += 1;
                continue;
            }
            naive.beyond_ascii += u64::from(!row.is_ascii());
            let chars = row.chars().count() as u64;
            if let Some(char) = row.chars().find(|c| c.is_control()) {
                naive.bad.push((line, Reason::Control { char }));
            } else if chars < 2 {
                naive.bad.push((line, Reason::TooShort { chars, min: 2 }));
            } else if chars > 100 {
                naive.bad.push((line, Reason::TooLong { chars, max: 100 }));
            } else {
                naive.good += 1;
                naive.rows.insert(row.to_owned());
            }
        }
        naive
    }

    /// Judges a txt file.
    pub(crate) fn of_txt(bytes: &[u8]) -> Self {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
        if lines.last().is_some_and(|last| last.is_empty()) {
            lines.pop();
        }
        Self::of_rows((1..).zip(lines))
    }

    /// Whether the file as a whole counts as written in another encoding.
    pub(crate) fn is_foreign(&self) -> bool {
        let rows = self.good + self.bad.len() as u64;
        self.not_utf8 > self.beyond_ascii
            && (self.not_utf8 * 2 > rows || self.not_utf8 >= 10 && self.not_utf8 * 10 >= rows)
    }
}

/// Whether the first bytes alone refuse the file.
pub(crate) fn head_is_refused(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(1024)];
    let nuls = |parity: usize| head.iter().enumerate().filter(|(at, byte)| at % 2 == parity && **byte == 0).count();
    let (even, odd) = (nuls(0), nuls(1));
    let many = |nuls: usize| head.len() > 3 && nuls * 10 >= head.len() / 2 * 8;
    head.starts_with(b"PK\x03\x04")
        || head.starts_with(b"\xff\xfe")
        || head.starts_with(b"\xfe\xff")
        || many(odd) && even == 0
        || many(even) && odd == 0
}

/// A folder in memory where the system has one: nothing here asks whether syncing works, and thousands of cases wait for it.
pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Takes `bytes` in, torn at `cuts`, and publishes them.
pub(crate) fn take(
    dir: &Path,
    name: &str,
    bytes: &[u8],
    cuts: &[usize],
    limits: Limits,
    bad_rows: BadRows,
) -> Result<Published, IntakeError> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    let mut intake = Intake::begin(dir, FileName::parse(name)?, limits, bad_rows)?;
    for cut in cuts.windows(2) {
        intake.write(&bytes[cut[0]..cut[1]])?;
    }
    intake.finish()?.publish(&dir.join("1.package"))
}

/// All rows of a package, read `batch` at a time.
pub(crate) fn rows(path: &Path, batch: usize) -> Vec<String> {
    let mut reader = Reader::open(path).unwrap();
    let mut rows = Vec::new();
    while let Some(batch) = reader.next_batch(batch).unwrap() {
        assert_eq!(batch.first_row(), rows.len() as u64);
        rows.extend(batch.iter().map(str::to_owned));
    }
    assert_eq!(reader.rows(), rows.len() as u64);
    rows
}

/// Names of what lies in a folder, to see that nothing is left behind.
pub(crate) fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
