//! Disk: the package file. Sorted distinct rows in checksummed blocks, with an index to seek by row number.
//!
//! All numbers are little-endian.
//!
//! ```text
//! header   16  "PLPACKAG", version u32 = 1, zero u32
//! block     n  24 of header (kind u32: 0 as is, 1 lz4; rows u32; raw bytes u32; stored bytes u32; xxh3-64 u64 of the
//!              16 bytes before and of what follows), then the rows, each with '\n' after it, about 64 KiB
//! index  16×n  of each block: offset u64, number of its first row u64
//! footer   48  offset of the index u64, blocks u64, rows u64, xxh3-64 of the index u64, xxh3-64 of the header and of the
//!              32 bytes before u64, "PLFOOTER"
//! ```

mod block;
mod merge;
mod reader;
mod sort;
mod writer;

use std::io;
use std::path::Path;

use tempfile::NamedTempFile;

pub use reader::{Batch, ReadError, Reader, Rows, verify};
pub(crate) use sort::Sorter;
pub(crate) use writer::PackageWriter;

const HEADER: [u8; 16] = *b"PLPACKAG\x01\0\0\0\0\0\0\0";
const FOOTER_MAGIC: [u8; 8] = *b"PLFOOTER";
const FOOTER_BYTES: usize = 48;
const INDEX_ENTRY_BYTES: usize = 16;

/// How the names of files begin that are still being written; what a crash leaves of them is nobody's.
pub const INCOMING_PREFIX: &str = ".incoming-";

/// A temporary file in `dir` that can be renamed into place there; dropping it removes it.
pub(crate) fn incoming(dir: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new().prefix(INCOMING_PREFIX).tempfile_in(dir)
}
