//! The file of an upload on its way to the disk: a thread of its own takes the pieces in, and keeps the package once it
//! is told to. Reading the form is the async side's; the row is added by the caller.

use std::thread;

use bytes::Bytes;
use pigeonloft_package::{BadRows, FileName, Intake, Limits, Published};
use tokio::sync::{mpsc, oneshot};

use super::unkept::Unkept;
use crate::packages::PackageFolder;

/// Pieces of the file between the network and the thread. It takes all that wait at once, so there are at most twice as
/// many, of 64 KiB at most.
const QUEUE: usize = 16;

/// By how much an upload beside others lowers its priority, as `nice` counts. Its thread and those that sort for it keep
/// the processors busy, and whoever waits for an answer must not queue behind eight of them.
const NICE: i32 = 10;

/// How many bytes of a file come before it is looked again whether the disk has room.
const LOOK_AT_DISK: usize = 4 << 20;

/// A file that is being taken in. Dropped, nothing of it stays.
#[derive(Debug)]
pub(super) struct FileIntake {
    pub(super) name: FileName,
    pieces: Option<mpsc::Sender<Bytes>>,
    keep: oneshot::Sender<()>,
    kept: oneshot::Receiver<Result<Kept, Unkept>>,
}

/// A package whose file is durable, without a row yet.
#[derive(Debug)]
pub(super) struct Kept {
    /// Its name in the package folder.
    pub(super) stored_as: String,
    pub(super) published: Published,
}

impl FileIntake {
    /// Starts to take a file in; `yields`: at a lower priority.
    pub(super) fn begin(
        folder: PackageFolder,
        name: FileName,
        limits: Limits,
        bad_rows: BadRows,
        reserve: Reserve,
        yields: bool,
    ) -> Result<Self, Unkept> {
        let (sender, pieces) = mpsc::channel::<Bytes>(QUEUE);
        let (keep, asked) = oneshot::channel();
        let (done, kept) = oneshot::channel();
        let file = name.clone();
        // No thread of the runtime's pool: a lowered priority cannot be raised again.
        let work = move || {
            if yields {
                lower_priority();
            }
            // Who no longer waits is gone, and the error with it; a package that was kept is removed below.
            if let Err(Ok(kept)) = done.send(take_in(&folder, file, limits, bad_rows, reserve, pieces, asked)) {
                remove(&folder, &kept.stored_as);
            }
        };
        thread::Builder::new()
            .name("intake".into())
            .spawn(work)
            .map_err(|error| Unkept::failed(format_args!("no thread for the file: {error}")))?;
        Ok(Self { name, pieces: Some(sender), keep, kept })
    }

    /// Hands a piece over; waits while the queue is full. False: the file is refused, and [`keep`](Self::keep) says why.
    pub(super) async fn write(&mut self, piece: Bytes) -> bool {
        match &self.pieces {
            Some(pieces) => pieces.send(piece).await.is_ok(),
            None => true,
        }
    }

    /// The file is complete: what is written from here on belongs to other fields, and is passed over.
    pub(super) fn end(&mut self) {
        self.pieces = None;
    }

    /// Checks what only the whole file can tell, and makes the package durable under a name of its own.
    pub(super) async fn keep(self) -> Result<Kept, Unkept> {
        let Self { pieces, keep, kept, .. } = self;
        drop(pieces);
        // A thread that has ended, because the file is refused, hears nothing.
        let _ = keep.send(());
        kept.await.unwrap_or_else(|_| Err(Unkept::failed("the program failed while it kept the file")))
    }
}

/// Room on the disk that is not for uploads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reserve {
    /// Bytes.
    pub(super) bytes: u64,
    /// What the upload will write at least, as far as its head tells.
    pub(super) announced: u64,
}

impl Reserve {
    /// Refuses the upload if it would leave less once it has written so much more.
    fn stays(self, folder: &PackageFolder, more: u64) -> Result<(), Unkept> {
        if self.bytes == 0 {
            return Ok(());
        }
        match folder.room() {
            Ok(room) if room < self.bytes.saturating_add(more) => {
                tracing::error!(room, reserve = self.bytes, more, "an upload is refused for want of room on the disk");
                Err(Unkept::failed("the server's disk is nearly full, and the rest is not for uploads"))
            }
            Ok(_) => Ok(()),
            Err(error) => {
                // Writing will tell.
                tracing::warn!(%error, "the room on the disk cannot be told");
                Ok(())
            }
        }
    }
}

/// The thread's work.
fn take_in(
    folder: &PackageFolder,
    name: FileName,
    limits: Limits,
    bad_rows: BadRows,
    reserve: Reserve,
    mut pieces: mpsc::Receiver<Bytes>,
    asked: oneshot::Receiver<()>,
) -> Result<Kept, Unkept> {
    reserve.stays(folder, reserve.announced)?;
    let mut intake = Intake::begin(folder.path(), name, limits, bad_rows)?;
    let mut unlooked = 0;
    let mut taken = Vec::with_capacity(QUEUE);
    // All that wait at once: one by one, each would wake the other side for a single piece.
    while pieces.blocking_recv_many(&mut taken, QUEUE) > 0 {
        for piece in taken.drain(..) {
            intake.write(&piece)?;
            unlooked += piece.len();
        }
        if unlooked >= LOOK_AT_DISK {
            reserve.stays(folder, 0)?;
            unlooked = 0;
        }
    }
    asked.blocking_recv().map_err(|_| Unkept::broken_off("the upload ended early"))?;
    let ready = intake.finish()?;
    let stored_as = PackageFolder::new_name().map_err(Unkept::failed)?;
    let published = ready.publish(&folder.file(&stored_as))?;
    Ok(Kept { stored_as, published })
}

/// Removes a package's file that gets no row.
pub(super) fn remove(folder: &PackageFolder, stored_as: &str) {
    if let Err(error) = folder.remove(stored_as) {
        tracing::warn!(%error, "the file of a package without a row stays until the next start");
    }
}

/// Lowers the priority of the calling thread, and of those it starts. Elsewhere than on Linux it would be the whole
/// program's, so that nothing is lowered there.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::debug!(%error, "an upload keeps its priority");
    }
}
