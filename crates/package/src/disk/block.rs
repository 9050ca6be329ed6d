//! Block: some rows, one after another, packed and checksummed. Package files and the runs of a sort are made of blocks.

use std::io::{self, Read, Write};

use lz4_flex::block::{compress_into, decompress_into, get_maximum_output_size};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::ReadError;

pub(super) const BLOCK_HEADER_BYTES: usize = 24;

/// A block is written out once its rows take this many bytes.
const BLOCK_BYTES: usize = 64 << 10;
/// No block can be larger: one row of the longest kind may follow a block that is nearly full.
const BLOCK_BYTES_MAX: usize = BLOCK_BYTES + 4 * u16::MAX as usize + 1;
/// Random tokens do not shrink. After a block that did not, so many are stored without trying.
const STORED_AFTER_FAILURE: u32 = 15;

const KIND_STORED: u32 = 0;
const KIND_LZ4: u32 = 1;

/// Packs rows into blocks and writes them to `out`.
pub(super) struct BlockWriter<W> {
    out: W,
    raw: Vec<u8>,
    rows_in_block: u32,
    packed: Vec<u8>,
    store_next: u32,
    rows: u64,
    written: u64,
    index: Vec<(u64, u64)>,
}

impl<W: Write> BlockWriter<W> {
    /// `start` is the offset of the first block in its file.
    pub(super) fn new(out: W, start: u64) -> Self {
        Self {
            out,
            raw: Vec::with_capacity(BLOCK_BYTES + 1024),
            rows_in_block: 0,
            packed: Vec::new(),
            store_next: 0,
            rows: 0,
            written: start,
            index: Vec::new(),
        }
    }

    /// Appends a row, which holds no `'\n'`.
    pub(super) fn push(&mut self, row: &[u8]) -> io::Result<()> {
        if self.raw.len() + row.len() >= BLOCK_BYTES {
            self.flush_block()?;
        }
        self.raw.extend_from_slice(row);
        self.raw.push(b'\n');
        self.rows_in_block += 1;
        Ok(())
    }

    fn flush_block(&mut self) -> io::Result<()> {
        if self.rows_in_block == 0 {
            return Ok(());
        }
        let raw_len = self.raw.len();
        let mut kind = KIND_STORED;
        let mut stored_len = raw_len;
        self.packed.resize(BLOCK_HEADER_BYTES + get_maximum_output_size(raw_len), 0);
        if self.store_next > 0 {
            self.store_next -= 1;
        } else {
            let packed = compress_into(&self.raw, &mut self.packed[BLOCK_HEADER_BYTES..]).map_err(io::Error::other)?;
            if packed < raw_len - raw_len / 8 {
                (kind, stored_len) = (KIND_LZ4, packed);
            } else {
                self.store_next = STORED_AFTER_FAILURE;
            }
        }
        if kind == KIND_STORED {
            self.packed[BLOCK_HEADER_BYTES..][..raw_len].copy_from_slice(&self.raw);
        }
        let (head, stored) = self.packed[..BLOCK_HEADER_BYTES + stored_len].split_at_mut(BLOCK_HEADER_BYTES);
        // A block is bounded by BLOCK_BYTES_MAX, so its lengths fit.
        for (at, number) in [kind, self.rows_in_block, raw_len as u32, stored_len as u32].into_iter().enumerate() {
            head[at * 4..][..4].copy_from_slice(&number.to_le_bytes());
        }
        let hash = xxh3_64_with_seed(stored, xxh3_64(&head[..16]));
        head[16..].copy_from_slice(&hash.to_le_bytes());
        self.out.write_all(&self.packed[..BLOCK_HEADER_BYTES + stored_len])?;

        self.index.push((self.written, self.rows));
        self.written += (BLOCK_HEADER_BYTES + stored_len) as u64;
        self.rows += u64::from(self.rows_in_block);
        self.rows_in_block = 0;
        self.raw.clear();
        Ok(())
    }

    /// Writes the last block.
    pub(super) fn finish(mut self) -> io::Result<Blocks<W>> {
        self.flush_block()?;
        Ok(Blocks { out: self.out, rows: self.rows, end: self.written, index: self.index })
    }
}

/// Blocks that are written.
pub(super) struct Blocks<W> {
    pub(super) out: W,
    pub(super) rows: u64,
    /// Offset after the last block.
    pub(super) end: u64,
    /// Of each block: its offset and the number of its first row.
    pub(super) index: Vec<(u64, u64)>,
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
            _ => return Err(damaged("a block is of an unknown kind")),
        }
        let ends = memchr::memchr_iter(b'\n', raw).count();
        if rows == 0 || ends != rows as usize || raw.last() != Some(&b'\n') || std::str::from_utf8(raw).is_err() {
            return Err(damaged("a block does not hold the rows it says"));
        }
        Ok((rows, (BLOCK_HEADER_BYTES + stored_len) as u64))
    }
}
