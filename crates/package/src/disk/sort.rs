//! Sorter: any number of rows in, the distinct ones out in ascending order of their bytes, in bounded memory.
//!
//! Rows are parted into buckets while they come, by keys that the first megabyte gives ([`Partition`]); nothing is sorted
//! until the last is there. What the memory cannot hold of a bucket goes to a file as it is. At the end the buckets are
//! taken in order, as leaves that are small enough to be sorted at once; one that is not is parted again, by a sample of
//! its own. So each row is moved once or twice, whatever the input, and leaves can be sorted side by side.

use std::io;
use std::path::Path;

use super::hex::{self, Packed};
use super::leaf::{LEAF_BYTES_MAX, Leaf};
use super::partition::{BUCKETS_MIN, Partition, spill_largest};
use super::pool::{Chain, Pool};
use super::record::Form;

/// Bounds of the memory for sorting: below it buckets become absurdly few, above it offsets no longer fit 32 bits.
const MEMORY: std::ops::RangeInclusive<usize> = 64 << 10..=1 << 30;
/// The smallest chunk, and how many of the longest records one takes at least. Not a power of two: buckets fill at the same
/// pace, and where they are written to would compete for the same lines of a cache.
const CHUNK_BYTES: usize = (4 << 10) - 64;
const RECORDS_A_CHUNK: usize = 8;
/// Chunks in memory, at least, and for each bucket: every bucket fills one, and others must be left to give.
const CHUNKS_MIN: usize = 16;
const CHUNKS_A_BUCKET: usize = 4;
const _: () = assert!(CHUNKS_MIN / CHUNKS_A_BUCKET >= BUCKETS_MIN);
/// Buckets, at most. All are written to in turn, so more of them would not fit the caches for memory and its addresses.
const BUCKETS: usize = 512;
/// Full chunks after which the first rows are parted.
const SAMPLE_CHUNKS: usize = 256;
/// Buckets that follow each other make one leaf up to so many bytes.
const LEAF_BYTES: usize = 128 << 10;

/// Sorts and deduplicates.
pub(crate) struct Sorter {
    pool: Pool,
    partition: Partition,
    packed: Packed,
}

impl Sorter {
    /// For rows of at most `row_bytes_max`; spills into `dir` what exceeds `memory` bytes.
    pub(crate) fn new(dir: &Path, memory: usize, row_bytes_max: usize) -> Self {
        let chunk_bytes = CHUNK_BYTES.max(RECORDS_A_CHUNK * row_bytes_max);
        let memory = memory.clamp(*MEMORY.start(), *MEMORY.end());
        Self::with(Pool::new(dir.to_owned(), chunk_bytes, (memory / chunk_bytes).max(CHUNKS_MIN)))
    }

    fn with(pool: Pool) -> Self {
        Self { pool, partition: Partition::whole(Form::Hex), packed: Packed::new() }
    }

    /// Adds a row that is hexadecimal; false: it is not, or an earlier one was not, and [`push`](Self::push) takes it.
    pub(crate) fn push_hex(&mut self, row: &[u8]) -> io::Result<bool> {
        if self.partition.form() != Form::Hex || !self.packed.pack(row) {
            return Ok(false);
        }
        self.partition.push(&mut self.pool, &self.packed)?;
        self.part_first()?;
        Ok(true)
    }

    /// Adds a row, which is not empty and holds neither `'\n'` nor NUL.
    pub(crate) fn push(&mut self, row: &[u8]) -> io::Result<()> {
        if self.push_hex(row)? {
            return Ok(());
        }
        if self.partition.form() == Form::Hex {
            self.part(Form::Raw)?;
        }
        self.partition.push(&mut self.pool, &row)?;
        self.part_first()
    }

    /// Parts the first rows as soon as there are enough of them.
    fn part_first(&mut self) -> io::Result<()> {
        if self.partition.is_whole_of(self.sample_chunks()) {
            self.part(self.partition.form())?;
        }
        Ok(())
    }

    fn sample_chunks(&self) -> usize {
        SAMPLE_CHUNKS.min(self.pool.chunks() / 4)
    }

    /// Parts all rows so far, if there are enough to tell what others will be, and holds them in `form` from here on.
    fn part(&mut self, form: Form) -> io::Result<()> {
        let before = std::mem::replace(&mut self.partition, Partition::whole(form));
        let from = before.form();
        let mut source = Chain::default();
        before.finish(&self.pool).into_iter().for_each(|chain| source.append(chain));
        let buckets = if source.chunks() < self.sample_chunks() { 1 } else { BUCKETS };
        self.partition = part(&mut self.pool, source, &mut [], (from, form), buckets)?;
        Ok(())
    }

    /// All rows, as leaves.
    pub(crate) fn finish(self) -> Leaves {
        let Self { pool, partition, .. } = self;
        let form = partition.form();
        let mut pending = partition.finish(&pool);
        pending.reverse();
        let memory = pool.chunks() * pool.chunk_bytes();
        Leaves { pool, form, pending, bytes: LEAF_BYTES.min(memory / 8), bytes_max: LEAF_BYTES_MAX.min(memory / 4) }
    }
}

/// Parts `source` after making room for it, at the cost of `others` if need be.
fn part(
    pool: &mut Pool,
    mut source: Chain,
    others: &mut [Chain],
    (from, form): (Form, Form),
    buckets: usize,
) -> io::Result<Partition> {
    let buckets = buckets.min(BUCKETS).min(pool.chunks() / CHUNKS_A_BUCKET);
    while pool.free() < 2 * buckets {
        spill_largest(pool, others.iter_mut().chain([&mut source]))?;
    }
    Partition::split(pool, source, from, form, buckets)
}

/// Rows that are parted into leaves, in the order of their bytes.
pub(crate) struct Leaves {
    pool: Pool,
    form: Form,
    /// The first comes last.
    pending: Vec<Chain>,
    /// Of a leaf: what is aimed at, and at most (unless a single chunk has more).
    bytes: usize,
    bytes_max: usize,
}

impl Leaves {
    pub(super) fn form(&self) -> Form {
        self.form
    }

    /// Whether all rows fit one leaf.
    pub(super) fn is_one(&self) -> bool {
        self.pending.iter().map(Chain::bytes).sum::<u64>() <= self.bytes as u64
    }

    /// Hands over every distinct row in order, until `each` fails.
    pub(crate) fn each(mut self, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let (mut leaf, mut row) = (Leaf::default(), [0; hex::CHARS_MAX]);
        while self.next(&mut leaf.text)? {
            leaf.distinct(self.form, |record| match self.form {
                Form::Hex => {
                    let row = &mut row[..record.len()];
                    hex::unpack(record.bytes(), row);
                    each(row)
                }
                Form::Raw => each(record.bytes()),
            })?;
        }
        Ok(())
    }

    /// Reads the next leaf's records, of which nothing is in order, into `text`. False when there is none.
    pub(super) fn next(&mut self, text: &mut Vec<u8>) -> io::Result<bool> {
        text.clear();
        let fits = |held: usize, chain: &Chain| held == 0 || held as u64 + chain.bytes() <= self.bytes as u64;
        while let Some(chain) = self.pending.pop_if(|chain| fits(text.len(), chain)) {
            if chain.bytes() > self.bytes_max as u64 && chain.chunks() > 1 {
                let buckets = BUCKETS_MIN.max((chain.bytes() / self.bytes as u64) as usize);
                let parted = part(&mut self.pool, chain, &mut self.pending, (self.form, self.form), buckets)?;
                self.pending.extend(parted.finish(&self.pool).into_iter().rev());
            } else {
                text.reserve_exact(chain.bytes() as usize + self.pool.chunk_bytes());
                self.pool.read(chain, text)?;
            }
        }
        Ok(!text.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::block::{BlockEncoder, BlockReader};
    use super::*;

    /// Sorts with chunks and leaves far smaller than real ones; answers the rows, and whether some were spilled.
    fn sorted_in(chunk_bytes: usize, chunks: usize, rows: &[Vec<u8>]) -> (Vec<Vec<u8>>, bool) {
        let dir = tempfile::tempdir().unwrap();
        let mut sorter = Sorter::with(Pool::new(dir.path().to_owned(), chunk_bytes, chunks));
        for row in rows {
            sorter.push(row).unwrap();
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let mut leaves = sorter.finish();
        let (mut leaf, mut encoder) = (Leaf::default(), BlockEncoder::new(leaves.form()));
        let mut out = Vec::new();
        while leaves.next(&mut leaf.text).unwrap() {
            assert!(leaf.text.len() <= leaves.bytes_max.max(chunk_bytes));
            leaf.distinct(leaves.form(), |record| {
                encoder.push(record);
                Ok(())
            })
            .unwrap();
            let blocks = encoder.finish();
            let mut reader = BlockReader::new(&blocks.bytes[..]);
            for (offset, _) in &blocks.index {
                let mut text = Vec::new();
                reader.next(*offset, &mut text).unwrap();
                out.extend(text.strip_suffix(b"\n").unwrap().split(|byte| *byte == b'\n').map(<[u8]>::to_vec));
            }
            blocks.clear();
        }
        assert_eq!(leaves.pool.free(), leaves.pool.chunks());
        (out, leaves.pool.has_spilled())
    }

    fn distinct(rows: &[Vec<u8>]) -> Vec<Vec<u8>> {
        rows.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Rows that share prefixes of all lengths, around the bytes of a key, and end in zeros.
    fn row() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            4 => ("(0|1|abc|00000|0000000000000000)", "(0|00|7|f){1,20}").prop_map(|(a, b)| (a + &b).into_bytes()),
            1 => "(13|158)[0-9]{1,9}".prop_map(String::into_bytes),
            1 => Just(b"f".repeat(60)),
        ]
    }

    fn any_row() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            2 => row(),
            3 => ("(user_|)(00000|)", "[a-c\u{540d}]{1,12}").prop_map(|(a, b)| (a + &b).into_bytes()),
        ]
    }

    /// As they come, sorted, and sorted the other way.
    fn ordered(mut rows: Vec<Vec<u8>>, order: u8) -> Vec<Vec<u8>> {
        match order {
            0 => {}
            1 => rows.sort(),
            _ => rows.sort_by(|a, b| b.cmp(a)),
        }
        rows
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn hex_rows_come_out_distinct_and_in_order(
            rows in prop::collection::vec(row(), 0..600),
            order in 0u8..3,
            chunk_bytes in 80usize..200,
        ) {
            let rows = ordered(rows, order);
            prop_assert_eq!(sorted_in(chunk_bytes, 16, &rows).0, distinct(&rows));
        }

        #[test]
        fn any_rows_come_out_distinct_and_in_order(
            rows in prop::collection::vec(any_row(), 0..600),
            order in 0u8..3,
            chunk_bytes in 80usize..200,
        ) {
            let rows = ordered(rows, order);
            prop_assert_eq!(sorted_in(chunk_bytes, 16, &rows).0, distinct(&rows));
        }

        #[test]
        fn a_row_that_is_not_hex_may_come_at_any_time(
            rows in prop::collection::vec(row(), 0..600),
            at in any::<prop::sample::Index>(),
        ) {
            let mut rows = rows;
            rows.insert(at.index(rows.len() + 1), "g\u{540d}".into());
            prop_assert_eq!(sorted_in(90, 16, &rows).0, distinct(&rows));
        }
    }

    #[test]
    fn skewed_rows_are_parted_again_until_they_fit() {
        let numbers = || (0..20_000u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40);
        let shared = "0f".repeat(40);
        let inputs: [Vec<String>; 6] = [
            (0..20_000).map(|n| format!("{n:011}")).collect(),
            (0..20_000).map(|n| format!("{shared}{n:011}")).collect(),
            (0..20_000).map(|n| format!("user_{}_{n:011}", "x".repeat(200))).collect(),
            numbers().map(|n| if n % 10 > 0 { "7".repeat(36) } else { format!("{n:036}") }).collect(),
            numbers().map(|n| "0".repeat(1 + n as usize % 100)).collect(),
            // The first rows tell nothing of the others.
            (0..2000).map(|n| format!("{n:011}")).chain(numbers().map(|n| format!("{n:x}{n:x}"))).collect(),
        ];
        for rows in inputs {
            let rows: Vec<_> = rows.into_iter().map(String::into_bytes).collect();
            for reverse in [false, true] {
                let mut rows = rows.clone();
                if reverse {
                    rows.reverse();
                }
                let (out, spilled) = sorted_in(300, 64, &rows);
                assert_eq!(out, distinct(&rows));
                assert!(spilled || out.len() < 1000, "{}", out.len());
            }
        }
    }

    #[test]
    fn rows_that_are_all_the_same_take_no_memory() {
        for few in [&["13800138000"][..], &["1380013", "user"]] {
            let rows: Vec<_> = few.iter().map(|row| row.as_bytes().to_vec()).cycle().take(100_000).collect();
            assert_eq!(sorted_in(300, 64, &rows), (distinct(&rows), false));
        }
    }
}
