//! Connections that read beside the writer. Each sees the last commit at the time its statement begins.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Mutex;

use pigeonloft_model::{PushId, Zone};
use rusqlite::Connection;
use rusqlite::types::Value;
use tokio::sync::Semaphore;

use crate::error::{Error, Result};
use crate::{Store, connect_to_read};

/// Reads at once; more wait for their turn. Reading is bound by the two or so cores, not by the number of readers.
const READERS: usize = 4;

#[derive(Debug)]
pub(crate) struct Readers {
    path: PathBuf,
    turns: Semaphore,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, turns: Semaphore::new(READERS), idle: Mutex::new(Vec::new()) }
    }

    fn take(&self) -> Result<Connection> {
        let idle = self.idle.lock().map_err(|_| Error::Closed)?.pop();
        idle.map_or_else(|| connect_to_read(&self.path), Ok)
    }

    fn give_back(&self, connection: Connection) {
        if let Ok(mut idle) = self.idle.lock() {
            idle.push(connection);
        }
    }
}

/// A reading connection of one's own, for a thread that reads at length.
#[derive(Debug)]
pub struct Reader {
    pub(crate) connection: Connection,
    /// Where days begin at midnight.
    pub(crate) zone: Zone,
}

impl Store {
    /// Opens a reading connection of one's own.
    ///
    /// # Errors
    /// The database cannot be opened.
    pub fn reader(&self) -> Result<Reader> {
        Ok(Reader { connection: connect_to_read(&self.path)?, zone: self.zone })
    }

    /// Runs `work` on a reading connection, on a thread that may block.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let readers = self.readers.clone();
        let _turn = readers.turns.acquire().await.map_err(|_| Error::Closed)?;
        let shared = readers.clone();
        let result = tokio::task::spawn_blocking(move || {
            let connection = shared.take()?;
            let result = work(&connection);
            shared.give_back(connection);
            result
        });
        result.await.unwrap_or(Err(Error::Closed))
    }
}

/// Push ids for `rarray(?)`.
pub(crate) fn push_array(pushes: &[PushId]) -> Rc<Vec<Value>> {
    Rc::new(pushes.iter().map(|push| Value::Integer(push.0)).collect())
}
