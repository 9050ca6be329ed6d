//! Package writer: sorted rows in, a complete and durable file out.

use std::io::{self, Write};
use std::path::Path;

use tempfile::NamedTempFile;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::block::BlockWriter;
use super::{FOOTER_MAGIC, HEADER, INDEX_ENTRY_BYTES, incoming};

/// Writes a package into a temporary file; dropping it before the end removes the file.
pub(crate) struct PackageWriter {
    blocks: BlockWriter<NamedTempFile>,
}

impl PackageWriter {
    pub(crate) fn create(dir: &Path) -> io::Result<Self> {
        let mut file = incoming(dir)?;
        file.write_all(&HEADER)?;
        Ok(Self { blocks: BlockWriter::new(file, HEADER.len() as u64) })
    }

    /// Appends a row; rows must come in ascending order of their bytes, each once.
    pub(crate) fn push(&mut self, row: &[u8]) -> io::Result<()> {
        self.blocks.push(row)
    }

    /// Writes index and footer, and syncs the file. Returns it with its size in bytes.
    pub(crate) fn finish(self) -> io::Result<(NamedTempFile, u64)> {
        let mut blocks = self.blocks.finish()?;
        let mut tail = Vec::with_capacity(blocks.index.len() * INDEX_ENTRY_BYTES + super::FOOTER_BYTES);
        for (offset, first_row) in &blocks.index {
            tail.extend_from_slice(&offset.to_le_bytes());
            tail.extend_from_slice(&first_row.to_le_bytes());
        }
        let index_hash = xxh3_64(&tail);
        let footer = tail.len();
        for number in [blocks.end, blocks.index.len() as u64, blocks.rows, index_hash] {
            tail.extend_from_slice(&number.to_le_bytes());
        }
        let footer_hash = xxh3_64_with_seed(&tail[footer..], xxh3_64(&HEADER));
        tail.extend_from_slice(&footer_hash.to_le_bytes());
        tail.extend_from_slice(&FOOTER_MAGIC);
        blocks.out.write_all(&tail)?;
        blocks.out.as_file().sync_all()?;
        Ok((blocks.out, blocks.end + tail.len() as u64))
    }
}
