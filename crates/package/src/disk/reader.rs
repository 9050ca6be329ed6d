//! Package reader: batches of rows in order, from any row on.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::block::{BLOCK_HEADER_BYTES, BlockReader};
use super::{FOOTER_BYTES, FOOTER_MAGIC, HEADER, INDEX_ENTRY_BYTES};

/// Why a package file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system could not open or read it.
    #[error("could not read the package file")]
    Io(#[from] io::Error),
    /// The file does not begin as a package file of this version does.
    #[error("not a package file that this version reads")]
    NotAPackage,
    /// The file is not what was once written.
    #[error("the package file is damaged at byte {offset}: {what}; restore it from a backup or upload the list again")]
    Damaged {
        /// What does not fit.
        what: &'static str,
        /// Where, in bytes from the start of the file.
        offset: u64,
    },
}

impl ReadError {
    pub(super) fn reading(error: io::Error, offset: u64) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Damaged { what: "the file ends too early", offset },
            _ => Self::Io(error),
        }
    }
}

impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io(error) => error,
            other => Self::new(io::ErrorKind::InvalidData, other),
        }
    }
}

/// An open package. Rows are numbered from 0 in ascending order of their bytes.
///
/// Holds one block (about 64 KiB, twice) and the index (16 bytes a block) in memory.
pub struct Reader {
    blocks: BlockReader<File>,
    index: Vec<(u64, u64)>,
    index_offset: u64,
    rows: u64,
    /// The block that is read next; the one before it is in `raw`.
    next_block: usize,
    raw: Vec<u8>,
    at: usize,
    next_row: u64,
}

impl Reader {
    /// Opens a package and checks header, footer and index; each block is checked when it is read.
    ///
    /// # Errors
    /// [`ReadError`], never a panic, whatever the file holds.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let mut file = File::open(path)?;
        let size = file.metadata()?.len();
        let mut header = [0; HEADER.len()];
        file.read_exact(&mut header).map_err(|_| ReadError::NotAPackage)?;
        if header != HEADER {
            return Err(ReadError::NotAPackage);
        }
        let damaged = |what, offset| ReadError::Damaged { what, offset };
        let Some(footer_offset) = size.checked_sub(FOOTER_BYTES as u64).filter(|at| *at >= HEADER.len() as u64) else {
            return Err(damaged("the file ends too early", size));
        };
        let mut footer = [0; FOOTER_BYTES];
        file.seek(SeekFrom::Start(footer_offset))?;
        file.read_exact(&mut footer)?;
        let number = |at: usize| footer[at * 8..][..8].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        if footer[40..] != FOOTER_MAGIC || number(4) != xxh3_64_with_seed(&footer[..32], xxh3_64(&HEADER)) {
            return Err(damaged("its end is missing", footer_offset));
        }
        let (index_offset, count, rows) = (number(0), number(1), number(2));
        // The size of the file bounds what is allocated for the index.
        if index_offset > footer_offset
            || footer_offset - index_offset != count.saturating_mul(INDEX_ENTRY_BYTES as u64)
        {
            return Err(damaged("the index has an impossible size", footer_offset));
        }
        let mut bytes = vec![0; (footer_offset - index_offset) as usize];
        file.seek(SeekFrom::Start(index_offset))?;
        file.read_exact(&mut bytes)?;
        if xxh3_64(&bytes) != number(3) {
            return Err(damaged("the checksum of the index does not match", index_offset));
        }
        let index =
            parse_index(&bytes, index_offset, rows).ok_or(damaged("the index is out of order", index_offset))?;
        Ok(Self {
            blocks: BlockReader::new(file),
            index,
            index_offset,
            rows,
            next_block: 0,
            raw: Vec::new(),
            at: 0,
            next_row: 0,
        })
    }

    /// All rows of the package.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Number of the row that the next batch begins with; [`rows`](Self::rows) at the end.
    pub fn position(&self) -> u64 {
        self.next_row
    }

    /// Continues with row number `row`; beyond the last row there is nothing to read, and this is no error.
    ///
    /// # Errors
    /// [`ReadError`], when the block that holds the row is damaged; seek elsewhere before reading on.
    pub fn seek(&mut self, row: u64) -> Result<(), ReadError> {
        if row >= self.rows {
            (self.next_block, self.at, self.next_row) = (self.index.len(), self.raw.len(), self.rows);
            return Ok(());
        }
        let block = self.index.partition_point(|(_, first)| *first <= row) - 1;
        self.load(block)?;
        let skip = (row - self.index[block].1) as usize;
        self.at = skip.checked_sub(1).map_or(0, |nth| self.end_of_row(nth));
        self.next_row = row;
        Ok(())
    }

    /// The number of this row, if the package has it. Reads a few blocks, as a search in order does; reading goes on with
    /// the block that has the row, or would have it.
    ///
    /// # Errors
    /// [`ReadError`], when a block on the way is damaged; seek elsewhere before reading on.
    pub fn find(&mut self, row: &str) -> Result<Option<u64>, ReadError> {
        // Blocks before `low` begin with the row or one before it, those from `high` on with one behind it.
        let (mut low, mut high) = (0, self.index.len());
        while low < high {
            let middle = low + (high - low) / 2;
            self.load(middle)?;
            let begins_with = self.raw[..self.end_of_row(0)].strip_suffix(b"\n").unwrap_or_default();
            if begins_with <= row.as_bytes() {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let block = low.saturating_sub(1);
        let Some(&(_, first)) = self.index.get(block) else { return Ok(None) };
        self.load(block)?;
        self.next_row = first;
        let text = std::str::from_utf8(&self.raw).map_err(io::Error::other)?;
        Ok(Rows(text).position(|found| found == row).map(|nth| first + nth as u64))
    }

    /// The next `max_rows` rows (at least one is read when 0 is given), fewer only at the end; `None` after the last.
    ///
    /// # Errors
    /// [`ReadError`], when a block is damaged; seek past it before reading on.
    pub fn next_batch(&mut self, max_rows: usize) -> Result<Option<Batch>, ReadError> {
        let wanted = max_rows.max(1);
        let mut batch = Batch { first_row: self.next_row, rows: 0, text: String::new() };
        while batch.rows < wanted {
            if self.at == self.raw.len() {
                if self.next_block == self.index.len() {
                    break;
                }
                self.load(self.next_block)?;
            }
            let before = batch.rows;
            let end = memchr::memchr_iter(b'\n', &self.raw[self.at..])
                .take(wanted - batch.rows)
                .inspect(|_| batch.rows += 1)
                .last()
                .map_or(self.raw.len(), |last| self.at + last + 1);
            // A block is UTF-8 as a whole, and '\n' never is a part of another character.
            batch.text.push_str(std::str::from_utf8(&self.raw[self.at..end]).map_err(io::Error::other)?);
            self.at = end;
            self.next_row += (batch.rows - before) as u64;
        }
        Ok((batch.rows > 0).then_some(batch))
    }

    fn load(&mut self, block: usize) -> Result<(), ReadError> {
        let (offset, first_row) = self.index[block];
        let (end, end_row) = self.index.get(block + 1).copied().unwrap_or((self.index_offset, self.rows));
        self.blocks.source().seek(SeekFrom::Start(offset))?;
        // Left empty by an error, so that nothing of a damaged block is ever handed out.
        let mut raw = std::mem::take(&mut self.raw);
        self.at = 0;
        let found = self.blocks.next(offset, &mut raw)?;
        if (u64::from(found.0), found.1) != (end_row - first_row, end - offset) {
            return Err(ReadError::Damaged { what: "a block is not the one the index means", offset });
        }
        self.raw = raw;
        self.next_block = block + 1;
        Ok(())
    }

    /// Where row `nth` of the loaded block ends, its `'\n'` included.
    fn end_of_row(&self, nth: usize) -> usize {
        memchr::memchr_iter(b'\n', &self.raw).nth(nth).map_or(self.raw.len(), |at| at + 1)
    }
}

/// Offsets and row numbers must rise, from the first block right after the header to the last row, so that later arithmetic
/// cannot go wrong.
fn parse_index(bytes: &[u8], end: u64, rows: u64) -> Option<Vec<(u64, u64)>> {
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    let index: Vec<_> = bytes.chunks_exact(INDEX_ENTRY_BYTES).map(|e| (number(&e[..8]), number(&e[8..]))).collect();
    let starts = index.first().map_or((end, rows), |first| *first) == (HEADER.len() as u64, 0);
    let ends = [(end, rows)];
    let rises = index
        .iter()
        .zip(index.iter().skip(1).chain(&ends))
        .all(|(a, b)| b.0.checked_sub(a.0).is_some_and(|block| block > BLOCK_HEADER_BYTES as u64) && a.1 < b.1);
    (starts && rises).then_some(index)
}

/// Rows that were read together; they own their text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    first_row: u64,
    rows: usize,
    text: String,
}

impl Batch {
    /// Number of its first row in the package.
    pub fn first_row(&self) -> u64 {
        self.first_row
    }

    /// How many rows it holds; never 0.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The rows in order, without allocating.
    pub fn iter(&self) -> Rows<'_> {
        Rows(&self.text)
    }
}

impl<'a> IntoIterator for &'a Batch {
    type Item = &'a str;
    type IntoIter = Rows<'a>;

    fn into_iter(self) -> Rows<'a> {
        self.iter()
    }
}

/// Iterator over the rows of a [`Batch`].
#[derive(Debug, Clone)]
pub struct Rows<'a>(&'a str);

impl<'a> Iterator for Rows<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let end = memchr::memchr(b'\n', self.0.as_bytes())?;
        let row = &self.0[..end];
        self.0 = &self.0[end + 1..];
        Some(row)
    }
}

/// Reads a whole package, and checks every byte of it and the order of its rows. Returns how many rows there are.
///
/// # Errors
/// [`ReadError`] of the first damage.
pub fn verify(path: &Path) -> Result<u64, ReadError> {
    let mut reader = Reader::open(path)?;
    let mut last: Option<String> = None;
    for block in 0..reader.index.len() {
        reader.load(block)?;
        let offset = reader.index[block].0;
        let text = std::str::from_utf8(&reader.raw).map_err(io::Error::other)?;
        let mut before = last.as_deref();
        for row in Rows(text) {
            if before.is_some_and(|before| before >= row) {
                return Err(ReadError::Damaged { what: "rows are out of order", offset });
            }
            before = Some(row);
        }
        last = before.map(str::to_owned);
    }
    Ok(reader.rows)
}
