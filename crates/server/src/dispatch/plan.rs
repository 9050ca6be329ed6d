//! Plan: walks the audience of a push from its cursor on, and resolves it to devices a batch at a time.
//!
//! It runs on a thread that may block, one batch ahead of the sender: memory is a few batches, whatever the audience.

use std::path::Path;
use std::sync::Arc;

use pigeonloft_model::{Audience, Environment, Platform, Push};
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

/// Sends the batches of a push's audience to `batches`, from its cursor to its end, or until nobody takes them.
///
/// # Errors
/// The package or the database cannot be read.
pub(super) fn plan(
    push: &Push,
    started: &Started,
    platform: Platform,
    package: Option<&Path>,
    store: &Reader,
    batch_rows: usize,
    turns: &Arc<Semaphore>,
    batches: &mpsc::Sender<Planned>,
) -> Result<(), Error> {
    let mut first_row = started.push.counts.rows_done;
    let mut rows = match package {
        Some(path) => {
            let mut reader = PackageReader::open(path)?;
            reader.seek(first_row)?;
            Rows::Package(reader)
        }
        None if push.audience.tokens().is_empty() => Rows::List(push.audience.accounts()),
        None => Rows::List(push.audience.tokens()),
    };
    loop {
        // A turn for reading and resolving one batch, not for as long as the sender takes to take it.
        let turn = Handle::current().block_on(turns.acquire()).map_err(|_| Error::Stopping)?;
        let begun = Instant::now();
        let batch;
        let (count, texts): (usize, &mut dyn Iterator<Item = &str>) = match &mut rows {
            Rows::Package(reader) => match reader.next_batch(batch_rows)? {
                None => return Ok(()),
                Some(read) => {
                    batch = read;
                    (batch.rows(), &mut batch.iter())
                }
            },
            Rows::List(list) => {
                let from = usize::try_from(first_row).unwrap_or(usize::MAX).min(list.len());
                let chunk = &list[from..list.len().min(from + batch_rows)];
                if chunk.is_empty() {
                    return Ok(());
                }
                (chunk.len(), &mut chunk.iter().map(String::as_str))
            }
        };
        let resolved = resolve(push, started, platform, store, texts)?;
        drop(turn);
        let planned = Planned { first_row, rows: count as u64, resolved, took: begun.elapsed() };
        first_row += count as u64;
        if batches.blocking_send(planned).is_err() {
            return Ok(());
        }
    }
}

fn resolve(
    push: &Push,
    started: &Started,
    platform: Platform,
    store: &Reader,
    rows: &mut dyn Iterator<Item = &str>,
) -> Result<Resolved, pigeonloft_store::Error> {
    let access_id = started.push.access_id;
    let environment: Option<Environment> = platform.is_apple().then_some(push.environment);
    match &push.audience {
        Audience::Token(_) | Audience::TokenList(_) | Audience::TokenPackage(_) => {
            store.resolve_tokens(access_id, rows, environment)
        }
        Audience::Account(_) | Audience::AccountList(_) | Audience::AccountPackage(_) => {
            store.resolve_accounts(access_id, push.account_type.code(), rows, push.account_push, environment)
        }
    }
}
