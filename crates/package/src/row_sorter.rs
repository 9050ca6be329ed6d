//! Row sorter: the sorting of packages, for rows that are to become something else.
//!
//! What the rows mean is the caller's; an import of devices sorts its lines so.

use std::io;
use std::path::Path;

use crate::disk::Sorter;

/// Bytes of a row, at most: rows are held in chunks of which each takes several.
const ROW_BYTES_MAX: usize = 16 << 10;

/// Any number of rows in, the distinct ones out in ascending order of their bytes. What exceeds its memory is in files
/// that have no name and end with the process.
pub struct RowSorter(Sorter);

impl RowSorter {
    /// Spills into `dir` what exceeds `memory` bytes, which are raised to 2 MiB when they are less.
    #[must_use]
    pub fn new(dir: &Path, memory: usize) -> Self {
        Self(Sorter::new(dir, memory, ROW_BYTES_MAX))
    }

    /// Adds a row: UTF-8, not empty, without a line end or a NUL, of at most 16 KiB.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`]: the row is none, and all others are kept. Else what exceeds the memory cannot be
    /// written to a file.
    pub fn push(&mut self, row: &str) -> io::Result<()> {
        let row = row.as_bytes();
        if row.is_empty() || row.len() > ROW_BYTES_MAX || memchr::memchr2(0, b'\n', row).is_some() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a row that can be sorted"));
        }
        self.0.push(row)
    }

    /// Hands over every distinct row in order, until `each` fails.
    ///
    /// # Errors
    /// Those of the files, and those of `each`.
    pub fn finish(self, each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        self.0.finish().each(each)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_any_length_come_out_sorted_and_once_with_and_without_files() {
        let dir = tempfile::tempdir().unwrap();
        for memory in [64 << 10, 64 << 20] {
            let mut sorter = RowSorter::new(dir.path(), memory);
            let mut rows: Vec<String> =
                (0..60_000u32).map(|n| format!("{:05}\t{}", n * 7919 % 40_000, "张".repeat(20))).collect();
            for row in &rows {
                sorter.push(row).unwrap();
            }
            rows.sort();
            rows.dedup();
            let mut sorted = Vec::new();
            sorter
                .finish(|row| {
                    sorted.push(String::from_utf8(row.to_vec()).unwrap());
                    Ok(())
                })
                .unwrap();
            assert_eq!(sorted, rows);
        }
    }

    #[test]
    fn what_is_no_row_is_refused_and_leaves_the_others() {
        let mut sorter = RowSorter::new(&std::env::temp_dir(), 64 << 10);
        let longest = "x".repeat(ROW_BYTES_MAX);
        for row in ["", "a\0", "a\nb", &format!("{longest}x")] {
            assert_eq!(sorter.push(row).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
        for row in [&longest, "12", "a"] {
            sorter.push(row).unwrap();
        }
        let mut sorted = Vec::new();
        sorter
            .finish(|row| {
                sorted.push(row.to_vec());
                Ok(())
            })
            .unwrap();
        assert_eq!(sorted, [b"12", &b"a"[..], longest.as_bytes()]);
    }

    #[test]
    fn who_takes_the_rows_may_end_it() {
        let mut sorter = RowSorter::new(&std::env::temp_dir(), 64 << 10);
        sorter.push("a").unwrap();
        sorter.push("b").unwrap();
        let mut taken = 0;
        let ended = sorter.finish(|_| {
            taken += 1;
            Err(io::Error::other("enough"))
        });
        assert_eq!((taken, ended.unwrap_err().to_string()), (1, "enough".to_owned()));
    }
}
