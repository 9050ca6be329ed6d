//! Package writer: leaves in, a complete and durable file out.
//!
//! Two threads sort and encode leaves side by side. Each hands over its blocks when it is their turn, so that they stand in
//! the file in the order of their rows.

use std::fs::File;
use std::io::{self, Write};
#[cfg(target_os = "linux")]
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tempfile::NamedTempFile;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::block::{BlockEncoder, Blocks};
use super::leaf::Leaf;
use super::sort::Leaves;
use super::{FOOTER_BYTES, FOOTER_MAGIC, HEADER, INDEX_ENTRY_BYTES, incoming};

/// The system begins to write a file to the disk whenever so many bytes have come to it: the sync at the end then finds
/// little left to do, and others that sync meanwhile do not queue behind a whole file.
const WRITE_BEHIND: u64 = 4 << 20;

/// A package file that is complete and synced, under a temporary name; dropping it removes it.
pub(crate) struct Written {
    pub(crate) file: NamedTempFile,
    pub(crate) bytes: u64,
    pub(crate) rows: u64,
    /// Rows that do not have the length of a token.
    pub(crate) not_tokens: u64,
}

/// Sorts the rows of `leaves` into a file in `dir`.
pub(crate) fn write_package(dir: &Path, leaves: Leaves) -> io::Result<Written> {
    let alone = leaves.is_one();
    let writer = Writer {
        leaves: Mutex::new((0, leaves)),
        output: Mutex::new(Output { package: Package::create(dir)?, turn: 0, failed: false }),
        turned: Condvar::new(),
    };
    if alone {
        writer.work()?;
    } else {
        std::thread::scope(|scope| {
            let beside = std::thread::Builder::new().name("sort".to_owned()).spawn_scoped(scope, || writer.work())?;
            let here = writer.work();
            here.and(beside.join().map_err(|_| io::Error::other("sorting rows failed"))?)
        })?;
    }
    let Writer { leaves, output, .. } = writer;
    // What is left to do for the disk goes on meanwhile.
    drop(leaves);
    output.into_inner().unwrap_or_else(PoisonError::into_inner).package.finish()
}

/// What the threads share.
struct Writer {
    /// With the turn of the next leaf.
    leaves: Mutex<(u64, Leaves)>,
    output: Mutex<Output>,
    turned: Condvar,
}

struct Output {
    package: Package,
    /// Whose turn it is to write.
    turn: u64,
    /// One thread has ended before its time; the others have nothing to wait for.
    failed: bool,
}

/// Ends the others when a thread does not come to its end.
struct Watch<'a>(&'a Writer, bool);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if !self.1 {
            lock(&self.0.output).failed = true;
            self.0.turned.notify_all();
        }
    }
}

impl Writer {
    /// Sorts and writes leaves until there are no more, or another thread has failed.
    fn work(&self) -> io::Result<()> {
        let mut watch = Watch(self, false);
        let form = lock(&self.leaves).1.form();
        let (mut leaf, mut encoder) = (Leaf::default(), BlockEncoder::new(form));
        while let Some(turn) = self.take(&mut leaf)? {
            leaf.distinct(form, |record| {
                encoder.push(record);
                Ok(())
            })?;
            let blocks = encoder.finish();
            let waiting = self.turned.wait_while(lock(&self.output), |output| output.turn < turn && !output.failed);
            let mut output = waiting.unwrap_or_else(PoisonError::into_inner);
            if output.failed {
                break;
            }
            output.package.append(blocks)?;
            output.turn += 1;
            self.turned.notify_all();
            blocks.clear();
        }
        watch.1 = true;
        Ok(())
    }

    fn take(&self, leaf: &mut Leaf) -> io::Result<Option<u64>> {
        let (turn, leaves) = &mut *lock(&self.leaves);
        *turn += 1;
        Ok(leaves.next(&mut leaf.text)?.then_some(*turn - 1))
    }
}

/// What a thread leaves behind that panics is not used: its panic fails the whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The file, and what its end will tell.
struct Package {
    file: NamedTempFile,
    bytes: u64,
    /// As far as the system was told to write.
    begun: u64,
    rows: u64,
    not_tokens: u64,
    index: Vec<(u64, u64)>,
}

impl Package {
    fn create(dir: &Path) -> io::Result<Self> {
        let mut file = incoming(dir)?;
        file.write_all(&HEADER)?;
        Ok(Self { file, bytes: HEADER.len() as u64, begun: 0, rows: 0, not_tokens: 0, index: Vec::new() })
    }

    fn append(&mut self, blocks: &Blocks) -> io::Result<()> {
        self.file.write_all(&blocks.bytes)?;
        self.index.extend(blocks.index.iter().map(|(at, row)| (self.bytes + at, self.rows + row)));
        self.bytes += blocks.bytes.len() as u64;
        self.rows += blocks.rows;
        self.not_tokens += blocks.not_tokens;
        if self.bytes - self.begun >= WRITE_BEHIND {
            begin_to_write(self.file.as_file(), self.begun, self.bytes);
            self.begun = self.bytes;
        }
        Ok(())
    }

    /// Writes index and footer, and syncs the file.
    fn finish(mut self) -> io::Result<Written> {
        let mut tail = Vec::with_capacity(self.index.len() * INDEX_ENTRY_BYTES + FOOTER_BYTES);
        for (offset, first_row) in &self.index {
            tail.extend_from_slice(&offset.to_le_bytes());
            tail.extend_from_slice(&first_row.to_le_bytes());
        }
        let index_hash = xxh3_64(&tail);
        let footer = tail.len();
        for number in [self.bytes, self.index.len() as u64, self.rows, index_hash] {
            tail.extend_from_slice(&number.to_le_bytes());
        }
        let footer_hash = xxh3_64_with_seed(&tail[footer..], xxh3_64(&HEADER));
        tail.extend_from_slice(&footer_hash.to_le_bytes());
        tail.extend_from_slice(&FOOTER_MAGIC);
        self.file.write_all(&tail)?;
        self.file.as_file().sync_all()?;
        let bytes = self.bytes + tail.len() as u64;
        Ok(Written { file: self.file, bytes, rows: self.rows, not_tokens: self.not_tokens })
    }
}

/// Lets the system write these bytes to the disk, without waiting for it. What fails of that, the sync at the end tells.
fn begin_to_write(file: &File, from: u64, to: u64) {
    // On Linux the advice begins to write what is not on the disk yet; only what is there already is dropped from memory.
    #[cfg(target_os = "linux")]
    if let Some(bytes) = NonZeroU64::new(to - from) {
        let _ = rustix::fs::fadvise(file, from, Some(bytes), rustix::fs::Advice::DontNeed);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (file, from, to);
}
