//! Sorter: any number of rows in, the distinct ones out in ascending order of their bytes, in bounded memory.
//!
//! Rows gather in an arena. A full arena is sorted and spilled as a *run*, an anonymous file that vanishes with its last
//! handle, on a thread beside the one that gathers: there are two arenas, and each has half the memory. At most
//! [`FAN_IN`] runs of one size are open; then they are merged into one of the next size.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use super::block::BlockWriter;
use super::merge::{key, merge};

/// Runs that are merged at a time; each costs a file handle, and about 128 KiB while it is merged.
const FAN_IN: usize = 32;
/// Bounds of the memory for sorting: below it runs become absurdly many, above it offsets no longer fit 32 bits.
const MEMORY: std::ops::RangeInclusive<usize> = 64 << 10..=1 << 30;

/// glibc maps what is larger than 32 MiB by itself and gives it back when it is freed; what is smaller it may keep, in
/// every thread that allocated it.
const GIVEN_BACK: usize = 33 << 20;

/// Where a row stands in the arena. `key` is its first eight bytes after the prefix that all rows share, big-endian, so that
/// most comparisons are of one number and touch no row.
#[derive(Clone, Copy)]
struct Entry {
    key: u64,
    offset: u32,
    len: u32,
}

/// Rows, and where each stands.
#[derive(Default)]
struct Arena {
    text: Vec<u8>,
    entries: Vec<Entry>,
}

impl Arena {
    /// Reserves `memory` bytes at once, for growing would copy and hold both copies; pages that stay untouched cost
    /// nothing. So more is reserved than is used where that is little: [`GIVEN_BACK`].
    fn reserve(&mut self, memory: usize) {
        let memory = memory.max(GIVEN_BACK);
        self.text.reserve_exact(memory);
        self.entries.reserve_exact(memory / size_of::<Entry>());
    }

    fn bytes(&self) -> usize {
        self.text.len() + self.entries.len() * size_of::<Entry>()
    }

    fn push(&mut self, row: &[u8]) {
        self.entries.push(Entry { key: 0, offset: self.text.len() as u32, len: row.len() as u32 });
        self.text.extend_from_slice(row);
    }

    fn clear(&mut self) {
        self.text.clear();
        self.entries.clear();
    }
}

/// A run being written, and the arena it is made of, which is empty when it comes back.
type Spill = JoinHandle<io::Result<(File, Arena)>>;

/// Sorts and deduplicates.
pub(crate) struct Sorter {
    dir: PathBuf,
    /// Of one arena.
    memory: usize,
    arena: Arena,
    spill: Option<Spill>,
    /// `levels[n]` holds runs that were made of `FAN_IN`ⁿ arenas.
    levels: Vec<Vec<File>>,
}

impl Sorter {
    /// Spills into `dir` what exceeds `memory` bytes.
    pub(crate) fn new(dir: &Path, memory: usize) -> Self {
        let memory = memory.clamp(*MEMORY.start(), *MEMORY.end()) / 2;
        Self { dir: dir.to_owned(), memory, arena: Arena::default(), spill: None, levels: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, row: &[u8]) -> io::Result<()> {
        let held = self.arena.bytes();
        if held + row.len() + size_of::<Entry>() > self.memory && held > 0 {
            self.spill()?;
        }
        if self.arena.entries.capacity() == 0 {
            self.arena.reserve(self.memory);
        }
        self.arena.push(row);
        Ok(())
    }

    /// Hands over every distinct row in order.
    pub(crate) fn finish(mut self, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        if self.levels.is_empty() && self.spill.is_none() {
            return sorted(&mut self.arena, each);
        }
        self.spill()?;
        self.spilled()?;
        self.arena = Arena::default();
        let mut runs: Vec<File> = self.levels.drain(..).flatten().collect();
        while runs.len() > FAN_IN {
            // The smallest runs come first.
            let merged = run(&self.dir, |out| merge(runs.drain(..FAN_IN).collect(), |row| out.push(row)))?;
            runs.push(merged);
        }
        merge(runs, &mut each)
    }

    /// Begins to spill the arena, and goes on with the one spilled before.
    fn spill(&mut self) -> io::Result<()> {
        let empty = self.spilled()?;
        let mut full = std::mem::replace(&mut self.arena, empty);
        let dir = self.dir.clone();
        let spill = std::thread::Builder::new().name("spill".to_owned()).spawn(move || {
            let file = run(&dir, |out| sorted(&mut full, |row| out.push(row)))?;
            full.clear();
            Ok((file, full))
        })?;
        self.spill = Some(spill);
        Ok(())
    }

    /// Waits for the spill under way, if there is one, and answers its arena.
    fn spilled(&mut self) -> io::Result<Arena> {
        let Some(spill) = self.spill.take() else { return Ok(Arena::default()) };
        let (file, empty) = spill.join().map_err(|_| io::Error::other("sorting rows failed"))??;
        self.add(0, file)?;
        Ok(empty)
    }

    fn add(&mut self, level: usize, run_file: File) -> io::Result<()> {
        if self.levels.len() == level {
            self.levels.push(Vec::new());
        }
        self.levels[level].push(run_file);
        if self.levels[level].len() < FAN_IN {
            return Ok(());
        }
        let full = std::mem::take(&mut self.levels[level]);
        let merged = run(&self.dir, |out| merge(full, |row| out.push(row)))?;
        self.add(level + 1, merged)
    }
}

/// Writes a run and rewinds it.
fn run(dir: &Path, fill: impl FnOnce(&mut BlockWriter<File>) -> io::Result<()>) -> io::Result<File> {
    let mut out = BlockWriter::new(tempfile::tempfile_in(dir)?, 0);
    fill(&mut out)?;
    let mut file = out.finish()?.out;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

/// Sorts an arena, and hands over its distinct rows.
fn sorted(arena: &mut Arena, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let Arena { text, entries } = arena;
    let row = |entry: &Entry| &text[entry.offset as usize..][..entry.len as usize];
    let Some(first) = entries.first().map(row) else { return Ok(()) };
    let shared = entries.iter().fold(first.len(), |shared, entry| shared_prefix(&first[..shared], row(entry)));
    for entry in entries.iter_mut() {
        entry.key = key(&row(entry)[shared..]);
    }
    // By number first, which needs no memory access beyond the entry, then each group of equal numbers by its bytes.
    entries.sort_unstable_by_key(|entry| entry.key);
    for group in entries.chunk_by_mut(|a, b| a.key == b.key) {
        if group.len() > 1 {
            group.sort_unstable_by(|a, b| row(a).cmp(row(b)));
        }
        let mut last: Option<&[u8]> = None;
        for row in group.iter().map(row) {
            if last != Some(row) {
                each(row)?;
                last = Some(row);
            }
        }
    }
    Ok(())
}

fn shared_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Sorts with an arena smaller than a real one may be.
    fn sorted_in(memory: usize, rows: &[Vec<u8>]) -> (Vec<Vec<u8>>, usize) {
        let dir = tempfile::tempdir().unwrap();
        let mut sorter = Sorter { memory, ..Sorter::new(dir.path(), memory) };
        for row in rows {
            sorter.push(row).unwrap();
        }
        let levels = sorter.levels.len();
        let mut out = Vec::new();
        sorter
            .finish(|row| {
                out.push(row.to_vec());
                Ok(())
            })
            .unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        (out, levels)
    }

    fn distinct(rows: &[Vec<u8>]) -> Vec<Vec<u8>> {
        rows.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Rows that share prefixes of all lengths, around the eight bytes of a key.
    fn row() -> impl Strategy<Value = Vec<u8>> {
        ("(user_|)(00000|)", "[a-c\u{540d}]{1,12}").prop_map(|(a, b)| (a + &b).into_bytes())
    }

    proptest! {
        #[test]
        fn many_runs_merge_to_the_distinct_rows_in_order(
            rows in prop::collection::vec(row(), 0..400),
            memory in 40usize..4000,
        ) {
            prop_assert_eq!(sorted_in(memory, &rows).0, distinct(&rows));
        }
    }

    #[test]
    fn more_runs_than_are_merged_at_a_time_are_merged_in_levels() {
        // One row a run; 32 × 32 of them make a run of the third level, and every level has some left.
        let rows: Vec<_> = (0..32 * 32 + 40u32).map(|n| format!("{:04}", n * 7919 % 1000).into_bytes()).collect();
        let (out, levels) = sorted_in(20, &rows);
        assert_eq!((out, levels), (distinct(&rows), 3));
    }

    #[test]
    fn a_row_larger_than_the_arena_is_sorted_all_the_same() {
        let rows = [vec![b'b'; 300], vec![b'a'; 400], vec![b'b'; 300]];
        assert_eq!(sorted_in(64, &rows).0, distinct(&rows));
    }
}
