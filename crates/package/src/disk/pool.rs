//! Pool: the memory of a sorter in chunks of one size, and the file for what it cannot hold.
//!
//! The file is anonymous, and vanishes with its last handle. What is read back from it leaves a gap: rows come back once,
//! and the file lives no longer than the sorter.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use memmap2::MmapMut;

/// Set in the number of a chunk that is in the file.
const SPILLED: u32 = 1 << 31;

/// Chunks are written to the file so many bytes at a time: what a call to the system costs is shared.
const WRITE_BYTES: usize = 64 << 10;

/// Chunks that hold records.
#[derive(Default)]
pub(super) struct Chain {
    pieces: Vec<Piece>,
    in_memory: usize,
    bytes: u64,
}

#[derive(Clone, Copy)]
struct Piece {
    chunk: u32,
    used: u32,
}

impl Piece {
    /// The chunk's number in memory.
    fn in_memory(&self) -> Option<usize> {
        (self.chunk & SPILLED == 0).then_some(self.chunk as usize)
    }
}

impl Chain {
    /// Bytes of its records.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn chunks(&self) -> usize {
        self.pieces.len()
    }

    /// How many of its chunks are in memory.
    pub(super) fn in_memory(&self) -> usize {
        self.in_memory
    }

    /// Adds a chunk that is in memory, `used` bytes of which hold records.
    pub(super) fn push(&mut self, chunk: u32, used: usize) {
        self.pieces.push(Piece { chunk, used: used as u32 });
        self.in_memory += 1;
        self.bytes += used as u64;
    }

    pub(super) fn append(&mut self, mut other: Self) {
        self.pieces.append(&mut other.pieces);
        self.in_memory += other.in_memory;
        self.bytes += other.bytes;
    }
}

/// Memory of its own, which the system has back as soon as it is dropped; an allocator might keep it. Pages that stay
/// untouched cost nothing. They are large ones where the system has such: rows go to hundreds of places in turn, more than a
/// processor knows addresses of small pages, and to fault 10,000 of those in takes a tenth of the time of all rows.
fn mapped(bytes: usize) -> io::Result<MmapMut> {
    let memory = MmapMut::map_anon(bytes)?;
    #[cfg(target_os = "linux")]
    // A kernel without large pages says so, and small ones do as well.
    let _ = memory.advise(memmap2::Advice::HugePage);
    Ok(memory)
}

/// What is mapped, if anything is.
fn held(memory: &Option<MmapMut>) -> &[u8] {
    memory.as_deref().unwrap_or_default()
}

/// Chunks in memory, and in a file.
pub(super) struct Pool {
    dir: PathBuf,
    chunk_bytes: usize,
    chunks: usize,
    memory: Option<MmapMut>,
    /// Chunks that were given back, and from where on none was ever taken.
    free: Vec<u32>,
    untouched: usize,
    file: Option<File>,
    write_buffer: Vec<u8>,
    /// Chunks in the file.
    spilled: u32,
}

impl Pool {
    /// `chunks` of `chunk_bytes` each, no more than 4 GiB together; files go to `dir`.
    pub(super) fn new(dir: PathBuf, chunk_bytes: usize, chunks: usize) -> Self {
        let (free, write_buffer) = (Vec::new(), Vec::new());
        Self { dir, chunk_bytes, chunks, memory: None, free, untouched: 0, file: None, write_buffer, spilled: 0 }
    }

    pub(super) fn chunk_bytes(&self) -> usize {
        self.chunk_bytes
    }

    /// All chunks in memory, free or not.
    pub(super) fn chunks(&self) -> usize {
        self.chunks
    }

    /// Chunks that can be taken.
    pub(super) fn free(&self) -> usize {
        self.free.len() + self.chunks - self.untouched
    }

    #[cfg(test)]
    pub(super) fn has_spilled(&self) -> bool {
        self.spilled > 0
    }

    /// A chunk in memory; `None` when all are taken.
    pub(super) fn take(&mut self) -> io::Result<Option<u32>> {
        if let Some(chunk) = self.free.pop() {
            return Ok(Some(chunk));
        }
        if self.untouched == self.chunks {
            return Ok(None);
        }
        if self.memory.is_none() {
            self.memory = Some(mapped(self.chunks * self.chunk_bytes)?);
        }
        self.untouched += 1;
        Ok(Some(self.untouched as u32 - 1))
    }

    /// The memory of all chunks, one after another; empty until the first is taken.
    pub(super) fn memory(&mut self) -> &mut [u8] {
        self.memory.as_deref_mut().unwrap_or_default()
    }

    /// Writes a chain's chunks to the file, and frees their memory.
    pub(super) fn spill(&mut self, chain: &mut Chain) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(tempfile::tempfile_in(&self.dir)?),
        };
        file.seek(SeekFrom::Start(u64::from(self.spilled) * self.chunk_bytes as u64))?;
        for piece in &mut chain.pieces {
            let Some(chunk) = piece.in_memory() else { continue };
            if self.spilled == SPILLED - 1 {
                return Err(io::Error::other("too many rows to sort"));
            }
            if self.write_buffer.len() >= WRITE_BYTES {
                file.write_all(&self.write_buffer)?;
                self.write_buffer.clear();
            }
            self.write_buffer.extend_from_slice(&held(&self.memory)[chunk * self.chunk_bytes..][..self.chunk_bytes]);
            self.free.push(piece.chunk);
            piece.chunk = SPILLED | self.spilled;
            self.spilled += 1;
        }
        chain.in_memory = 0;
        file.write_all(&self.write_buffer)?;
        self.write_buffer.clear();
        Ok(())
    }

    /// Appends the records of a chain to `text`, and frees its memory.
    pub(super) fn read(&mut self, chain: Chain, text: &mut Vec<u8>) -> io::Result<()> {
        self.read_pieces(&chain.pieces, text)
    }

    /// The same in steps of so many chunks: `each` gets the records of a step, and what it leaves of them is dropped.
    pub(super) fn read_in_steps(
        &mut self,
        chain: Chain,
        chunks: usize,
        mut each: impl FnMut(&mut Self, &mut Vec<u8>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut text = Vec::new();
        for pieces in chain.pieces.chunks(chunks) {
            text.clear();
            self.read_pieces(pieces, &mut text)?;
            each(self, &mut text)?;
        }
        Ok(())
    }

    fn read_pieces(&mut self, mut pieces: &[Piece], text: &mut Vec<u8>) -> io::Result<()> {
        while let Some(first) = pieces.first() {
            if let Some(chunk) = first.in_memory() {
                text.extend_from_slice(&held(&self.memory)[chunk * self.chunk_bytes..][..first.used as usize]);
                self.free.push(first.chunk);
                pieces = &pieces[1..];
            } else {
                let run = pieces.iter().zip(first.chunk..).take_while(|(piece, chunk)| piece.chunk == *chunk).count();
                self.read_back(&pieces[..run], text)?;
                pieces = &pieces[run..];
            }
        }
        Ok(())
    }

    /// Appends the records of chunks that lie in the file one after another.
    fn read_back(&mut self, run: &[Piece], text: &mut Vec<u8>) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Err(io::Error::other("no row was spilled")) };
        file.seek(SeekFrom::Start(u64::from(run[0].chunk & !SPILLED) * self.chunk_bytes as u64))?;
        let mut end = text.len();
        text.resize(end + run.len() * self.chunk_bytes, 0);
        file.read_exact(&mut text[end..])?;
        let mut from = end;
        for piece in run {
            text.copy_within(from..from + piece.used as usize, end);
            from += self.chunk_bytes;
            end += piece.used as usize;
        }
        text.truncate(end);
        Ok(())
    }

    /// Appends the records of some chunks of a chain to `text`, at most `chunks` of them and spread evenly; the chain stays.
    pub(super) fn sample(&mut self, chain: &Chain, chunks: usize, text: &mut Vec<u8>) -> io::Result<()> {
        let step = chain.pieces.len().div_ceil(chunks.max(1)).max(1);
        for piece in chain.pieces.iter().step_by(step) {
            if let Some(chunk) = piece.in_memory() {
                text.extend_from_slice(&held(&self.memory)[chunk * self.chunk_bytes..][..piece.used as usize]);
            } else {
                self.read_back(&[*piece], text)?;
            }
        }
        Ok(())
    }
}
