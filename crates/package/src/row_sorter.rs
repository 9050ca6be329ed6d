//! Row sorter: the sorting of packages, for rows that are to become something else.
//!
//! What the rows mean is the caller's; an import of devices sorts its lines so.

use std::io;
use std::path::Path;

use crate::disk::Sorter;

/// Any number of rows in, the distinct ones out in ascending order of their bytes. What exceeds its memory is in files
/// that have no name and end with the process.
pub struct RowSorter(Sorter);

impl RowSorter {
    /// Spills into `dir` what exceeds `memory` bytes.
    #[must_use]
    pub fn new(dir: &Path, memory: usize) -> Self {
        Self(Sorter::new(dir, memory))
    }

    /// Adds a row: UTF-8, not empty, without a line end.
    ///
    /// # Errors
    /// A full one of the two halves of the memory cannot be written to a file.
    pub fn push(&mut self, row: &str) -> io::Result<()> {
        debug_assert!(!row.is_empty() && !row.contains('\n'), "no row: {row:?}");
        self.0.push(row.as_bytes())
    }

    /// Hands over every distinct row in order, until `each` fails.
    ///
    /// # Errors
    /// Those of the files, and those of `each`.
    pub fn finish(self, each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        self.0.finish(each)
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
                (0..5000u32).map(|n| format!("{:05}\t{}", n * 7919 % 4000, "张".repeat(20))).collect();
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
