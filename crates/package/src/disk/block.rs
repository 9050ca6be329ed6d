//! Block: some rows, one after another, packed and checksummed. Package files are made of blocks.

use std::io::Read;

use lz4_flex::block::{compress_into, decompress_into, get_maximum_output_size};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::record::{Form, Record};
use super::{ReadError, hex};

pub(super) const BLOCK_HEADER_BYTES: usize = 24;

/// A block is written out once its rows take this many bytes.
const BLOCK_BYTES: usize = 64 << 10;
/// No block can be larger: one row of the longest kind may follow a block that is nearly full.
const BLOCK_BYTES_MAX: usize = BLOCK_BYTES + 4 * u16::MAX as usize + 1;
/// Random tokens do not shrink. After a block that did not, so many are stored without trying.
const STORED_AFTER_FAILURE: u32 = 15;

const KIND_STORED: u32 = 0;
const KIND_LZ4: u32 = 1;
const KIND_HEX: u32 = 2;

/// Packs rows into blocks.
pub(super) struct BlockEncoder {
    form: Form,
    /// Of the block that is being filled: its rows, as they will be stored, or before they are compressed.
    body: Vec<u8>,
    /// Of its rows: how many, their lengths if they are hex, and the bytes of their text.
    rows_in_block: u32,
    lengths: Vec<u8>,
    raw_len: usize,
    store_next: u32,
    blocks: Blocks,
}

/// Blocks that are complete.
#[derive(Default)]
pub(super) struct Blocks {
    pub(super) bytes: Vec<u8>,
    pub(super) rows: u64,
    /// Rows that do not have the length of a token.
    pub(super) not_tokens: u64,
    /// Of each block: where it starts in `bytes`, and how many rows are before it.
    pub(super) index: Vec<(u64, u64)>,
}

impl BlockEncoder {
    pub(super) fn new(form: Form) -> Self {
        Self {
            form,
            body: Vec::with_capacity(BLOCK_BYTES + 1024),
            rows_in_block: 0,
            lengths: Vec::new(),
            raw_len: 0,
            store_next: 0,
            blocks: Blocks::default(),
        }
    }

    /// Appends a row of the encoder's form, which holds no `'\n'`.
    pub(super) fn push(&mut self, record: &Record<'_>) {
        if self.raw_len + record.len() >= BLOCK_BYTES {
            self.end_block();
        }
        self.body.extend_from_slice(record.bytes());
        match self.form {
            // A packed row has at most 126 characters.
            Form::Hex => self.lengths.push(record.len() as u8),
            Form::Raw => self.body.push(b'\n'),
        }
        self.blocks.not_tokens += u64::from(!record.is_token_long(self.form));
        self.rows_in_block += 1;
        self.raw_len += record.len() + 1;
    }

    /// Ends the last block. What is answered is complete in itself, and can be cleared.
    pub(super) fn finish(&mut self) -> &mut Blocks {
        self.end_block();
        // What did not shrink here tells nothing of other rows, which may be encoded anywhere.
        self.store_next = 0;
        &mut self.blocks
    }

    fn end_block(&mut self) {
        if self.rows_in_block == 0 {
            return;
        }
        let start = self.blocks.bytes.len();
        self.blocks.bytes.resize(start + BLOCK_HEADER_BYTES, 0);
        let kind = match self.form {
            Form::Hex => self.hex_body(),
            Form::Raw => self.raw_body(),
        };
        let (head, stored) = self.blocks.bytes[start..].split_at_mut(BLOCK_HEADER_BYTES);
        // A block is bounded by BLOCK_BYTES_MAX, so its lengths fit.
        let numbers = [kind, self.rows_in_block, self.raw_len as u32, stored.len() as u32];
        for (at, number) in numbers.into_iter().enumerate() {
            head[at * 4..][..4].copy_from_slice(&number.to_le_bytes());
        }
        let hash = xxh3_64_with_seed(stored, xxh3_64(&head[..16]));
        head[16..].copy_from_slice(&hash.to_le_bytes());

        self.blocks.index.push((start as u64, self.blocks.rows));
        self.blocks.rows += u64::from(std::mem::take(&mut self.rows_in_block));
        self.raw_len = 0;
        self.body.clear();
        self.lengths.clear();
    }

    fn hex_body(&mut self) -> u32 {
        let out = &mut self.blocks.bytes;
        let length = self.lengths[0];
        if self.lengths.iter().all(|other| *other == length) {
            out.push(length);
        } else {
            out.push(0);
            out.extend_from_slice(&self.lengths);
        }
        out.extend_from_slice(&self.body);
        KIND_HEX
    }

    fn raw_body(&mut self) -> u32 {
        let out = &mut self.blocks.bytes;
        if self.store_next > 0 {
            self.store_next -= 1;
        } else {
            let start = out.len();
            out.resize(start + get_maximum_output_size(self.raw_len), 0);
            // The output has room for the worst case, so this cannot fail.
            let packed = compress_into(&self.body, &mut out[start..]).unwrap_or(usize::MAX);
            if packed < self.raw_len - self.raw_len / 8 {
                out.truncate(start + packed);
                return KIND_LZ4;
            }
            out.truncate(start);
            self.store_next = STORED_AFTER_FAILURE;
        }
        out.extend_from_slice(&self.body);
        KIND_STORED
    }
}

impl Blocks {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.index.clear();
        (self.rows, self.not_tokens) = (0, 0);
    }
}

/// Reads blocks one after another.
pub(super) struct BlockReader<R> {
    source: R,
    stored: Vec<u8>,
}

impl<R: Read> BlockReader<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, stored: Vec::new() }
    }

    pub(super) fn source(&mut self) -> &mut R {
        &mut self.source
    }

    /// Reads the block that starts at `offset`, where the source stands, into `raw`: rows of UTF-8 with `'\n'` after each.
    /// Returns the number of rows and the bytes the block takes in the file.
    pub(super) fn next(&mut self, offset: u64, raw: &mut Vec<u8>) -> Result<(u32, u64), ReadError> {
        let damaged = |what| ReadError::Damaged { what, offset };
        let mut head = [0; BLOCK_HEADER_BYTES];
        self.source.read_exact(&mut head).map_err(|e| ReadError::reading(e, offset))?;
        let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (kind, rows, raw_len, stored_len) = (number(0), number(4), number(8) as usize, number(12) as usize);
        if raw_len > BLOCK_BYTES_MAX || stored_len > raw_len {
            return Err(damaged("a block has an impossible size"));
        }
        self.stored.resize(stored_len, 0);
        self.source.read_exact(&mut self.stored).map_err(|e| ReadError::reading(e, offset))?;
        if xxh3_64_with_seed(&self.stored, xxh3_64(&head[..16])).to_le_bytes() != head[16..] {
            return Err(damaged("the checksum of a block does not match"));
        }
        match kind {
            KIND_STORED if raw_len == stored_len => std::mem::swap(raw, &mut self.stored),
            KIND_LZ4 => {
                raw.resize(raw_len, 0);
                if decompress_into(&self.stored, raw).ok() != Some(raw_len) {
                    return Err(damaged("a block does not expand"));
                }
            }
            KIND_HEX => {
                raw.clear();
                raw.resize(raw_len, b'\n');
                if unpack_block(&self.stored, rows as usize, raw).is_none() {
                    return Err(damaged("a block does not hold the rows it says"));
                }
                // Nothing but digits, letters and line ends comes out of it.
                return Ok((rows, (BLOCK_HEADER_BYTES + stored_len) as u64));
            }
            _ => return Err(damaged("a block is of an unknown kind")),
        }
        let ends = memchr::memchr_iter(b'\n', raw).count();
        if rows == 0 || ends != rows as usize || raw.last() != Some(&b'\n') || std::str::from_utf8(raw).is_err() {
            return Err(damaged("a block does not hold the rows it says"));
        }
        Ok((rows, (BLOCK_HEADER_BYTES + stored_len) as u64))
    }
}

/// Writes `rows` packed rows into `raw`, which is all line ends; `None` when they do not fill it exactly.
fn unpack_block(stored: &[u8], rows: usize, raw: &mut [u8]) -> Option<()> {
    let (length, body) = stored.split_first()?;
    if *length > 0 {
        let length = usize::from(*length);
        let bytes = length.div_ceil(2);
        if rows == 0 || raw.len() != rows * (length + 1) || body.len() != rows * bytes {
            return None;
        }
        for (row, packed) in raw.chunks_exact_mut(length + 1).zip(body.chunks_exact(bytes)) {
            hex::unpack(packed, &mut row[..length]);
        }
        return Some(());
    }
    let (lengths, mut body) = body.split_at_checked(rows)?;
    let mut raw = raw;
    for length in lengths {
        let (packed, more) = body.split_at_checked(usize::from(*length).div_ceil(2))?;
        let (row, rest) = raw.split_at_mut_checked(usize::from(*length) + 1)?;
        hex::unpack(packed, &mut row[..usize::from(*length)]);
        (body, raw) = (more, rest);
    }
    (rows > 0 && body.is_empty() && raw.is_empty()).then_some(())
}
