//! Disk: the package file. Sorted distinct rows in checksummed blocks, with an index to seek by row number.
//!
//! All numbers are little-endian.
//!
//! ```text
//! header   16  "PLPACKAG", version u32 = 2, zero u32
//! block     n  24 of header (kind u32; rows u32; raw bytes u32; stored bytes u32; xxh3-64 u64 of the 16 bytes before and
//!              of what follows), then the rows, which are raw bytes with '\n' after each, about 64 KiB, stored by kind:
//!              0 as they are; 1 as one lz4 block; 2 hexadecimal, where all are 0–9 and a–f: the length of all rows u8,
//!              or 0 and the length of each u8, then the rows one after another at half a byte a character, the first
//!              in the upper half of its byte, an odd last one with a lower half of 0
//! index  16×n  of each block: offset u64, number of its first row u64
//! footer   48  offset of the index u64, blocks u64, rows u64, xxh3-64 of the index u64, xxh3-64 of the header and of the
//!              32 bytes before u64, "PLFOOTER"
//! ```

mod block;
mod hex;
mod leaf;
mod partition;
mod pool;
mod reader;
mod record;
mod sort;
mod writer;

use std::io;
use std::path::Path;

use tempfile::NamedTempFile;

pub use reader::{Batch, ReadError, Reader, Rows, verify};
pub(crate) use sort::Sorter;
pub(crate) use writer::write_package;

const HEADER: [u8; 16] = *b"PLPACKAG\x02\0\0\0\0\0\0\0";
const FOOTER_MAGIC: [u8; 8] = *b"PLFOOTER";
const FOOTER_BYTES: usize = 48;
const INDEX_ENTRY_BYTES: usize = 16;

/// How the names of files begin that are still being written; what a crash leaves of them is nobody's.
pub const INCOMING_PREFIX: &str = ".incoming-";

/// A temporary file in `dir` that can be renamed into place there; dropping it removes it.
pub(crate) fn incoming(dir: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new().prefix(INCOMING_PREFIX).tempfile_in(dir)
}
