//! Merge: several sorted runs in, their distinct rows out in order.

use std::fs::File;
use std::io;

use super::block::BlockReader;

/// A run and the row it stands at.
struct Source {
    blocks: BlockReader<File>,
    left: u64,
    offset: u64,
    raw: Vec<u8>,
    start: usize,
    end: usize,
    key: u64,
}

impl Source {
    fn open(file: File) -> io::Result<Option<Self>> {
        let left = file.metadata()?.len();
        let blocks = BlockReader::new(file);
        let mut source = Self { blocks, left, offset: 0, raw: Vec::new(), start: 0, end: 0, key: 0 };
        Ok(source.advance()?.then_some(source))
    }

    fn row(&self) -> &[u8] {
        &self.raw[self.start..self.end]
    }

    /// Goes to the next row; false when there is none.
    fn advance(&mut self) -> io::Result<bool> {
        self.start = self.end + 1;
        if self.start >= self.raw.len() {
            if self.left == 0 {
                return Ok(false);
            }
            let (_, size) = self.blocks.next(self.offset, &mut self.raw)?;
            self.left = self.left.saturating_sub(size);
            self.offset += size;
            self.start = 0;
        }
        let rest = &self.raw[self.start..];
        self.end = self.start + memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        self.key = key(self.row());
        Ok(true)
    }

    fn before(&self, other: &Self) -> bool {
        self.key < other.key || self.key == other.key && self.row() < other.row()
    }
}

/// Merges `runs`, whose rows ascend in each; a row that several hold is handed over once.
pub(super) fn merge(runs: Vec<File>, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut heap = Vec::with_capacity(runs.len());
    for run in runs {
        heap.extend(Source::open(run)?);
    }
    // Indices instead of sources would save moves of 120 bytes, and cost a memory access in each comparison.
    let mut heap: Vec<Box<Source>> = heap.into_iter().map(Box::new).collect();
    for at in (0..heap.len() / 2).rev() {
        sift_down(&mut heap, at);
    }
    let mut last: Vec<u8> = Vec::new();
    while let Some(top) = heap.first_mut() {
        // No row is empty, so the first one differs from the empty `last`.
        if top.row() != last {
            last.clear();
            last.extend_from_slice(top.row());
            each(&last)?;
        }
        if !top.advance()? {
            heap.swap_remove(0);
        }
        sift_down(&mut heap, 0);
    }
    Ok(())
}

/// Lets the source at `at` sink until no child is smaller: a binary heap with its smallest row on top.
fn sift_down(heap: &mut [Box<Source>], mut at: usize) {
    loop {
        let mut least = at;
        for child in [2 * at + 1, 2 * at + 2] {
            if heap.get(child).is_some_and(|source| source.before(&heap[least])) {
                least = child;
            }
        }
        if least == at {
            return;
        }
        heap.swap(at, least);
        at = least;
    }
}

/// The first eight bytes as a number that orders as they do; a shorter row is filled up with zeros, which no row holds.
pub(super) fn key(row: &[u8]) -> u64 {
    if let Some(bytes) = row.first_chunk() {
        return u64::from_be_bytes(*bytes);
    }
    let mut bytes = [0; 8];
    bytes[..row.len()].copy_from_slice(row);
    u64::from_be_bytes(bytes)
}
