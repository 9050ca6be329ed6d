//! Plan: walks the audience of a push from its cursor on, and resolves it to devices a batch at a time.
//!
//! It runs on a thread that may block, one batch ahead of the sender: memory is a few batches, whatever the audience.

use std::path::PathBuf;

use pigeonloft_model::{Audience, Platform, Push};
use pigeonloft_package::Reader as PackageReader;
use pigeonloft_store::{Reader, Resolved, Started};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

/// A batch of the audience, resolved.
#[derive(Debug)]
pub(super) struct Planned {
    /// Its first row.
    pub first_row: u64,
    /// How many rows it has.
    pub rows: u64,
    /// Its devices.
    pub resolved: Resolved,
    /// How long resolving took.
    pub took: std::time::Duration,
}

/// Why an audience cannot be walked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// Its package cannot be read: the push cannot go on.
    #[error("the package of the push cannot be read")]
    Package(#[from] pigeonloft_package::ReadError),
    /// The database failed: the push can go on later.
    #[error(transparent)]
    Store(#[from] pigeonloft_store::Error),
    /// The server stops.
    #[error("the server stops")]
    Stopping,
}

enum Rows<'a> {
    List(&'a [String]),
    Package(PackageReader),
}

/// Whose audience is walked, and what with.
pub(super) struct Plan {
    /// The push, from whose cursor on it is walked.
    pub(super) started: Started,
    /// The same push, read.
    pub(super) push: Push,
    /// Of its app.
    pub(super) platform: Platform,
    /// The file of its package, if it has one.
    pub(super) package: Option<PathBuf>,
    /// A reading connection of its own.
    pub(super) store: Reader,
    /// Rows of a batch, at most.
    pub(super) batch_rows: usize,
}

impl Plan {
    /// Sends the batches of the audience to `batches`, to its end or until nobody takes them. Each batch is read and
    /// resolved in a turn of `turns`.
    ///
    /// # Errors
    /// The package or the database cannot be read.
    pub(super) fn walk(&self, turns: &Semaphore, batches: &mpsc::Sender<Planned>) -> Result<(), Error> {
        let mut first_row = self.started.push.counts.rows_done;
        let mut rows = self.rows_from(first_row)?;
        loop {
            // A turn for reading and resolving one batch, not for as long as the sender takes to take it.
            let turn = Handle::current().block_on(turns.acquire()).map_err(|_| Error::Stopping)?;
            let begun = Instant::now();
            let batch;
            let (count, texts): (usize, &mut dyn Iterator<Item = &str>) = match &mut rows {
                Rows::Package(reader) => match reader.next_batch(self.batch_rows)? {
                    None => return Ok(()),
                    Some(read) => {
                        batch = read;
                        (batch.rows(), &mut batch.iter())
                    }
                },
                Rows::List(list) => {
                    let chunk;
                    (chunk, *list) = list.split_at(list.len().min(self.batch_rows));
                    if chunk.is_empty() {
                        return Ok(());
                    }
                    (chunk.len(), &mut chunk.iter().map(String::as_str))
                }
            };
            let resolved = self.resolve(texts)?;
            drop(turn);
            let planned = Planned { first_row, rows: count as u64, resolved, took: begun.elapsed() };
            first_row += count as u64;
            if batches.blocking_send(planned).is_err() {
                return Ok(());
            }
        }
    }

    fn rows_from(&self, row: u64) -> Result<Rows<'_>, Error> {
        if let Some(path) = &self.package {
            let mut reader = PackageReader::open(path)?;
            reader.seek(row)?;
            return Ok(Rows::Package(reader));
        }
        let list = match self.push.audience.tokens() {
            [] => self.push.audience.accounts(),
            tokens => tokens,
        };
        let done = usize::try_from(row).map_or(list.len(), |row| row.min(list.len()));
        Ok(Rows::List(&list[done..]))
    }

    fn resolve(&self, rows: &mut dyn Iterator<Item = &str>) -> Result<Resolved, pigeonloft_store::Error> {
        let Self { push, store, .. } = self;
        let access_id = self.started.push.access_id;
        let environment = self.platform.is_apple().then_some(push.environment);
        match &push.audience {
            Audience::Token(_) | Audience::TokenList(_) | Audience::TokenPackage(_) => {
                store.resolve_tokens(access_id, rows, environment)
            }
            Audience::Account(_) | Audience::AccountList(_) | Audience::AccountPackage(_) => {
                store.resolve_accounts(access_id, push.account_type.code(), rows, push.account_push, environment)
            }
        }
    }
}
