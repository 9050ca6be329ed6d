//! Record: a row as the sorter holds it, its length before its bytes, and the key that it is sorted by first.

use std::cmp::Ordering;

use super::hex::{self, Packed};
use crate::limits::TOKEN_CHARS;

/// How rows are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Half a byte a character: as long as all rows are [`hex`].
    Hex,
    /// As they are.
    Raw,
}

/// Stands for a length that takes four more bytes.
const LONG: u8 = u8::MAX;
/// A record no larger is copied as so many bytes, which takes no call.
const SHORT: usize = 32;

/// A row on its way into a bucket.
pub(super) trait Row {
    /// Bytes of its record.
    fn size(&self) -> usize;

    /// Bytes that [`write`](Self::write) may touch.
    fn room(&self) -> usize {
        self.size()
    }

    /// The characters after the first `skip` bytes as a number that orders as they do. Rows of one key either are the same
    /// ([`is_whole`]) or all go on behind what it holds of them, seven bytes at least. No more bytes are skipped than
    /// are filled with characters.
    fn key(&self, form: Form, skip: usize) -> u64;

    /// Whether the row lies before all rows that begin with `prefix`, behind them, or is one of them.
    fn order(&self, form: Form, prefix: &[u8]) -> Ordering;

    /// Writes its record.
    fn write(&self, out: &mut [u8]);
}

impl Row for Packed {
    fn size(&self) -> usize {
        1 + self.chars().div_ceil(2)
    }

    fn room(&self) -> usize {
        1 + 8 * self.chars().div_ceil(16)
    }

    fn key(&self, _: Form, skip: usize) -> u64 {
        hex_key(self.word(skip), self.chars() - 2 * skip)
    }

    fn order(&self, form: Form, prefix: &[u8]) -> Ordering {
        let mut record = [0; 1 + 64];
        self.write(&mut record);
        Record::read(form, &record).order(form, prefix)
    }

    fn write(&self, out: &mut [u8]) {
        // Packed rows are shorter than LONG.
        out[0] = self.chars() as u8;
        let words = out[1..self.room()].as_chunks_mut::<8>().0;
        for (out, word) in words.iter_mut().zip(self.words()) {
            *out = word.to_be_bytes();
        }
    }
}

/// A raw row, which has no more than 2³² bytes.
impl Row for &[u8] {
    fn size(&self) -> usize {
        self.len() + if self.len() < usize::from(LONG) { 1 } else { 5 }
    }

    fn key(&self, _: Form, skip: usize) -> u64 {
        raw_key(word(self, skip), self.len() - skip)
    }

    fn order(&self, _: Form, prefix: &[u8]) -> Ordering {
        self[..self.len().min(prefix.len())].cmp(prefix)
    }

    fn write(&self, out: &mut [u8]) {
        let (head, out) = out.split_at_mut(self.size() - self.len());
        match head {
            [len] => *len = self.len() as u8,
            _ => {
                head[0] = LONG;
                head[1..].copy_from_slice(&(self.len() as u32).to_le_bytes());
            }
        }
        out[..self.len()].copy_from_slice(self);
    }
}

/// A row with its length before it: characters of the form hex, bytes of a raw one. No row is empty.
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    /// From its first byte on; it may end before this does.
    text: &'a [u8],
    start: usize,
    len: usize,
    end: usize,
}

impl<'a> Record<'a> {
    /// The record that `text` begins with.
    pub(super) fn read(form: Form, text: &'a [u8]) -> Self {
        let (start, len) = match text[0] {
            LONG => (5, u32::from_le_bytes([text[1], text[2], text[3], text[4]]) as usize),
            len => (1, usize::from(len)),
        };
        let bytes = if form == Form::Hex { len.div_ceil(2) } else { len };
        Self { text, start, len, end: start + bytes }
    }

    /// The row's bytes in its form.
    pub(super) fn bytes(&self) -> &'a [u8] {
        &self.text[self.start..self.end]
    }

    /// Characters of the form hex, bytes of a raw one.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether the row has as many characters as a device token.
    pub(super) fn is_token_long(&self, form: Form) -> bool {
        match (form, self.len) {
            (Form::Hex, len) => len == TOKEN_CHARS,
            (Form::Raw, ..TOKEN_CHARS) => false,
            (Form::Raw, TOKEN_CHARS) => self.bytes().is_ascii(),
            // Every byte but those that continue a character begins one.
            (Form::Raw, _) => self.bytes().iter().filter(|byte| **byte & 0xc0 != 0x80).count() == TOKEN_CHARS,
        }
    }

    /// How many of its bytes are filled with characters.
    pub(super) fn whole_bytes(&self, form: Form) -> usize {
        if form == Form::Hex { self.len / 2 } else { self.len }
    }

    pub(super) fn compare(&self, other: &Self) -> Ordering {
        (self.bytes(), self.len).cmp(&(other.bytes(), other.len))
    }
}

impl Row for Record<'_> {
    fn size(&self) -> usize {
        self.end
    }

    fn room(&self) -> usize {
        self.end.max(SHORT)
    }

    fn key(&self, form: Form, skip: usize) -> u64 {
        let word = word(self.text, self.start + skip);
        match form {
            Form::Hex => hex_key(word, self.len - 2 * skip),
            Form::Raw => raw_key(word, self.len - skip),
        }
    }

    fn order(&self, form: Form, prefix: &[u8]) -> Ordering {
        let bytes = self.bytes();
        match bytes[..bytes.len().min(prefix.len())].cmp(prefix) {
            // It only looks as if it began so, for what fills up its last byte.
            Ordering::Equal if self.whole_bytes(form) < prefix.len() => Ordering::Less,
            order => order,
        }
    }

    fn write(&self, out: &mut [u8]) {
        match (out.first_chunk_mut::<SHORT>(), self.text.first_chunk::<SHORT>()) {
            (Some(out), Some(text)) if self.end <= SHORT => *out = *text,
            _ => out[..self.end].copy_from_slice(&self.text[..self.end]),
        }
    }
}

/// The eight bytes from `from` on as a number, with zeros for those that are not there.
fn word(text: &[u8], from: usize) -> u64 {
    let text = &text[from..];
    match text.first_chunk() {
        Some(word) => u64::from_be_bytes(*word),
        None => text.iter().zip([56, 48, 40, 32, 24, 16, 8]).map(|(byte, at)| u64::from(*byte) << at).sum(),
    }
}

/// The key of a row that has `left` characters from the beginning of `word` on. Zeros that fill up and zeros of the row
/// look alike, so the count of characters comes last.
fn hex_key(word: u64, left: usize) -> u64 {
    word & (!0xff << (56 - 4 * left.min(14))) | left.min(15) as u64
}

/// The key of a row that has `left` bytes from the beginning of `word` on. No row holds a NUL, so zeros tell the end.
fn raw_key(word: u64, left: usize) -> u64 {
    word & u64::MAX.checked_shl(64 - 8 * left.min(8) as u32).unwrap_or(0)
}

/// Whether rows of this key have nothing behind it, and so are the same.
pub(super) fn is_whole(form: Form, key: u64) -> bool {
    match form {
        Form::Hex => key & 0xff < 15,
        Form::Raw => key & 0xff == 0,
    }
}

/// The records of `text`, each with where it starts.
pub(super) fn records(form: Form, text: &[u8]) -> impl Iterator<Item = (usize, Record<'_>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let record = Record::read(form, text.get(at..).filter(|rest| !rest.is_empty())?);
        let start = at;
        at += record.size();
        Some((start, record))
    })
}

/// Appends to `raw` what the hex records of `text` are in the form raw.
pub(super) fn unpack(text: &[u8], raw: &mut Vec<u8>) {
    for (_, record) in records(Form::Hex, text) {
        // At most 126 characters: their number takes one byte in both forms.
        raw.push(record.len as u8);
        let start = raw.len();
        raw.resize(start + record.len, 0);
        hex::unpack(record.bytes(), &mut raw[start..]);
    }
}
