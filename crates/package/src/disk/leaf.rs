//! Leaf: records that are few enough to be sorted in memory at once.

use std::io;

use super::partition::shared_prefix;
use super::record::{Form, Record, Row, records};

/// Bits of an entry that tell where its record starts; the others are the first of its key.
const OFFSET_BITS: u32 = 22;
/// Bytes of records a leaf may have.
pub(super) const LEAF_BYTES_MAX: usize = 2 << 20;
const _: () = assert!(LEAF_BYTES_MAX < 1 << OFFSET_BITS);

/// A leaf; its buffers serve one after another.
#[derive(Default)]
pub(super) struct Leaf {
    /// Records, in any order.
    pub(super) text: Vec<u8>,
    entries: Vec<u64>,
}

impl Leaf {
    /// Sorts the records, and hands over the distinct rows in order.
    pub(super) fn distinct(
        &mut self,
        form: Form,
        mut each: impl FnMut(&Record<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let Self { text, entries } = self;
        let shared = shared_prefix(form, text);
        entries.clear();
        // Records of one length are the rule, and growing would hold twice what is needed.
        entries.reserve_exact(records(form, text).next().map_or(0, |(_, first)| text.len() / first.size()));
        let key = |record: Record<'_>| record.key(form, shared) >> OFFSET_BITS << OFFSET_BITS;
        entries.extend(records(form, text).map(|(at, record)| key(record) | at as u64));
        // Numbers first: that touches no record. Then each group of equal ones by the rows themselves.
        entries.sort_unstable();
        let record = |entry: &u64| Record::read(form, &text[(entry & ((1 << OFFSET_BITS) - 1)) as usize..]);
        for group in entries.chunk_by_mut(|a, b| a >> OFFSET_BITS == b >> OFFSET_BITS) {
            if let [only] = group {
                each(&record(only))?;
                continue;
            }
            group.sort_unstable_by(|a, b| record(a).compare(&record(b)));
            for same in group.chunk_by(|a, b| record(a).compare(&record(b)).is_eq()) {
                each(&record(&same[0]))?;
            }
        }
        Ok(())
    }
}
