//! Bits: a set of device ids of one range.

use std::ops::Range;

use pigeonloft_model::DeviceId;

/// A bit for each id of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bits {
    first: i64,
    words: Vec<u64>,
}

impl Bits {
    /// The empty set of this range.
    pub(super) fn none(range: Range<i64>) -> Self {
        let ids = if range.is_empty() { 0 } else { range.end.abs_diff(range.start) };
        Self { first: range.start, words: vec![0; usize::try_from(ids.div_ceil(64)).unwrap_or(0)] }
    }

    /// Takes an id of the range in; one outside is none of its.
    pub(super) fn insert(&mut self, id: i64) {
        let Ok(place) = usize::try_from(id.wrapping_sub(self.first)) else { return };
        if let Some(word) = self.words.get_mut(place / 64) {
            *word |= 1 << (place % 64);
        }
    }

    pub(super) fn or(&mut self, other: &Self) {
        self.each(other, |word, other| word | other);
    }

    pub(super) fn and(&mut self, other: &Self) {
        self.each(other, |word, other| word & other);
    }

    pub(super) fn and_not(&mut self, other: &Self) {
        self.each(other, |word, other| word & !other);
    }

    fn each(&mut self, other: &Self, joined: impl Fn(u64, u64) -> u64) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word = joined(*word, *other);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    pub(super) fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The ids, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = i64> + '_ {
        self.words.iter().zip((self.first..).step_by(64)).flat_map(|(word, first)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let place = left.trailing_zeros();
                left &= left.wrapping_sub(1);
                (place < 64).then(|| first + i64::from(place))
            })
        })
    }

    pub(super) fn devices(&self) -> Vec<DeviceId> {
        let mut devices = Vec::with_capacity(self.count());
        devices.extend(self.iter().map(DeviceId));
        devices
    }
}
