//! Partition: a chain of records parted into buckets, each of which holds what lies between two keys. Buckets stand in the
//! order of their rows, so that each can be sorted by itself.

use std::cmp::Ordering;
use std::io;

use super::pool::{Chain, Pool};
use super::record::{Form, Row, is_whole, records, unpack};

/// Chunks that a sample is taken from, at most; with chunks of 4 KiB some 50,000 tokens.
const SAMPLED_CHUNKS: usize = 256;
/// Slots in the table of splitters, for each of them: a slot has none of them then, in most cases.
const SLOTS: usize = 8;
/// Chunks moved at a time.
const MOVED_CHUNKS: usize = 16;
/// With fewer, a key that most rows have could not be told from those before and behind it.
pub(super) const BUCKETS_MIN: usize = 4;

/// Buckets that are being filled.
pub(super) struct Partition {
    form: Form,
    /// What all rows of the sample begin with. A row that does not lies before or behind them all.
    prefix: Vec<u8>,
    /// Bucket `n` takes the keys from splitter `n − 1` on and below splitter `n`. Strictly ascending.
    splitters: Splitters,
    cursors: Vec<Cursor>,
    chains: Vec<Chain>,
}

/// Splitters, and a table to find the one that follows a key without a search in most cases.
struct Splitters {
    keys: Vec<u64>,
    shift: u32,
    /// For each slot of equal width from the first splitter to the last: how many splitters lie before it.
    slots: Vec<u16>,
}

impl Splitters {
    fn new(keys: Vec<u64>) -> Self {
        let (first, last) = (keys.first().copied().unwrap_or(0), keys.last().copied().unwrap_or(0));
        let slot_bits = (SLOTS * keys.len()).max(1).ilog2();
        let shift = (u64::BITS - (last - first).leading_zeros()).saturating_sub(slot_bits);
        let slots = (0..=((last - first) >> shift) + 1)
            .map(|slot| keys.partition_point(|key| (key - first) >> shift < slot) as u16)
            .collect();
        Self { keys, shift, slots }
    }

    /// How many splitters are not greater than `key`.
    fn count_up_to(&self, key: u64) -> usize {
        let Some(above) = self.keys.first().and_then(|first| key.checked_sub(*first)) else { return 0 };
        let slot = (above >> self.shift) as usize;
        let Some([from, to]) = self.slots.get(slot..slot + 2) else { return self.keys.len() };
        let (from, to) = (usize::from(*from), usize::from(*to));
        if to - from > 1 {
            return from + self.keys[from..to].partition_point(|splitter| *splitter <= key);
        }
        // Of a slot without a splitter the next one is greater: to tell the two apart would be a branch nobody can predict.
        from + usize::from(self.keys.get(from).is_some_and(|splitter| *splitter <= key))
    }
}

/// Where a bucket's next record goes: to the pool's memory at `at`, if it ends before `end`.
#[derive(Clone, Copy, Default)]
struct Cursor {
    at: u32,
    end: u32,
    /// The bucket's rows are all the same, so that one is enough.
    alike: bool,
}

impl Partition {
    /// One bucket for everything.
    pub(super) fn whole(form: Form) -> Self {
        Self::new(form, Vec::new(), Vec::new())
    }

    fn new(form: Form, prefix: Vec<u8>, splitters: Vec<u64>) -> Self {
        let mut cursors = vec![Cursor::default(); splitters.len() + 1];
        for (at, pair) in splitters.windows(2).enumerate() {
            cursors[at + 1].alike = pair[0] + 1 == pair[1] && is_whole(form, pair[0]);
        }
        let chains = (0..cursors.len()).map(|_| Chain::default()).collect();
        Self { form, prefix, splitters: Splitters::new(splitters), cursors, chains }
    }

    /// Parts `source`, whose records have the form `from`, into at most `buckets`, by a sample of its rows. Some bucket is
    /// smaller than all of it, unless all rows share more than they were known to, or are the same, or `buckets` is less
    /// than [`BUCKETS_MIN`]. At least twice as many chunks as buckets must be free.
    pub(super) fn split(pool: &mut Pool, source: Chain, from: Form, form: Form, buckets: usize) -> io::Result<Self> {
        let (mut text, mut packed) = (Vec::new(), Vec::new());
        let convert = |text: &mut Vec<u8>, packed: &mut Vec<u8>| {
            if from != form {
                std::mem::swap(text, packed);
                text.clear();
                unpack(packed, text);
            }
        };
        pool.sample(&source, SAMPLED_CHUNKS, &mut text)?;
        convert(&mut text, &mut packed);
        let (prefix, splitters) = splitters(form, &text, buckets);
        let mut partition = Self::new(form, prefix, splitters);
        pool.read_in_steps(source, MOVED_CHUNKS, |pool, text| {
            convert(text, &mut packed);
            records(form, text).try_for_each(|(_, record)| partition.push(pool, &record))
        })?;
        Ok(partition)
    }

    pub(super) fn form(&self) -> Form {
        self.form
    }

    /// Whether there is but one bucket, and it has so many full chunks.
    pub(super) fn is_whole_of(&self, chunks: usize) -> bool {
        self.cursors.len() == 1 && self.chains[0].chunks() >= chunks
    }

    /// Adds a row of the partition's form.
    pub(super) fn push(&mut self, pool: &mut Pool, row: &impl Row) -> io::Result<()> {
        let bucket = self.bucket(row);
        let mut cursor = self.cursors[bucket];
        if cursor.alike && cursor.end > 0 {
            return Ok(());
        }
        if ((cursor.end - cursor.at) as usize) < row.room() {
            self.begin_chunk(pool, bucket)?;
            cursor = self.cursors[bucket];
        }
        row.write(&mut pool.memory()[cursor.at as usize..cursor.end as usize]);
        self.cursors[bucket].at += row.size() as u32;
        Ok(())
    }

    fn bucket(&self, row: &impl Row) -> usize {
        if !self.prefix.is_empty() {
            match row.order(self.form, &self.prefix) {
                Ordering::Less => return 0,
                Ordering::Equal => {}
                Ordering::Greater => return self.cursors.len() - 1,
            }
        }
        self.splitters.count_up_to(row.key(self.form, self.prefix.len()))
    }

    fn begin_chunk(&mut self, pool: &mut Pool, bucket: usize) -> io::Result<()> {
        self.end_chunk(pool, bucket);
        let chunk = loop {
            match pool.take()? {
                Some(chunk) => break chunk,
                None => spill_largest(pool, self.chains.iter_mut())?,
            }
        };
        let start = chunk as usize * pool.chunk_bytes();
        let cursor = &mut self.cursors[bucket];
        (cursor.at, cursor.end) = (start as u32, (start + pool.chunk_bytes()) as u32);
        Ok(())
    }

    fn end_chunk(&mut self, pool: &Pool, bucket: usize) {
        let cursor = &mut self.cursors[bucket];
        if cursor.end == 0 {
            return;
        }
        let start = cursor.end as usize - pool.chunk_bytes();
        self.chains[bucket].push((start / pool.chunk_bytes()) as u32, cursor.at as usize - start);
        (cursor.at, cursor.end) = (0, 0);
    }

    /// All buckets, in order.
    pub(super) fn finish(mut self, pool: &Pool) -> Vec<Chain> {
        for bucket in 0..self.chains.len() {
            self.end_chunk(pool, bucket);
        }
        self.chains
    }
}

/// Makes room in the pool by what takes most of it.
pub(super) fn spill_largest<'a>(pool: &mut Pool, chains: impl Iterator<Item = &'a mut Chain>) -> io::Result<()> {
    match chains.max_by_key(|chain| chain.in_memory()) {
        Some(chain) if chain.in_memory() > 0 => pool.spill(chain),
        // Cannot be: twice as many chunks as buckets are there before any is filled.
        _ => Err(io::Error::other("no memory is left for sorting")),
    }
}

/// The prefix that all records of `sample` share, and keys behind it that part them evenly.
fn splitters(form: Form, sample: &[u8], buckets: usize) -> (Vec<u8>, Vec<u64>) {
    let Some((_, first)) = records(form, sample).next() else { return (Vec::new(), Vec::new()) };
    let shared = shared_prefix(form, sample);
    let mut keys: Vec<u64> = records(form, sample).map(|(_, record)| record.key(form, shared)).collect();
    keys.sort_unstable();
    let mut splitters: Vec<u64> = Vec::with_capacity(buckets);
    for nth in 1..buckets {
        let key = keys[nth * keys.len() / buckets];
        match splitters.last() {
            // A bucket of its own for a key that takes more than its share. The last byte of a key is never full.
            Some(last) if *last == key => splitters.push(key + 1),
            Some(last) if *last > key => {}
            _ => splitters.push(key),
        }
    }
    (first.bytes()[..shared].to_vec(), splitters)
}

/// How many bytes are the same in all records of `text`, and filled with characters.
pub(super) fn shared_prefix(form: Form, text: &[u8]) -> usize {
    let Some((_, first)) = records(form, text).next() else { return 0 };
    records(form, text).fold(first.whole_bytes(form), |shared, (_, record)| {
        let whole = shared.min(record.whole_bytes(form));
        let (a, b) = (&first.bytes()[..whole], &record.bytes()[..whole]);
        if a == b { whole } else { a.iter().zip(b).take_while(|(a, b)| a == b).count() }
    })
}
