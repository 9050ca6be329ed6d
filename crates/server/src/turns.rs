//! Turns: how many of something long, such as uploads, are worked on at once, and how many of them one app may have.
//!
//! The signature of an upload is judged at the end of the body, so whoever knows an AccessId, which every copy of an app holds, can
//! have one worked on until then. No app therefore has more than half of the turns: the others' go on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use pigeonloft_model::AccessId;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use crate::lock::lock;

/// The turns there are.
#[derive(Debug)]
pub struct Turns {
    all: Arc<Semaphore>,
    at_once: usize,
    each: usize,
    /// Of apps that exist and took a turn since the start: as many as there are apps, at most.
    of_apps: Mutex<HashMap<AccessId, Arc<Semaphore>>>,
}

/// One's turn; dropping it lets another have its own.
#[derive(Debug)]
pub struct Turn {
    _of_app: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Turns {
    /// As many as that, half of them (and one at least) for one app.
    #[must_use]
    pub fn new(at_once: usize) -> Self {
        let all = Arc::new(Semaphore::new(at_once));
        Self { all, at_once, each: at_once.div_ceil(2), of_apps: Mutex::default() }
    }

    /// Waits for a turn of this app. First come, first served among those of an app, and among those of all apps that are
    /// within their half.
    ///
    /// # Errors
    /// None: nothing closes the turns.
    pub async fn take(&self, app: AccessId) -> Result<Turn, AcquireError> {
        let of_app = Arc::clone(lock(&self.of_apps).entry(app).or_insert_with(|| Arc::new(Semaphore::new(self.each))));
        // In this order: who waits for its app's keeps nobody else waiting.
        let of_app = of_app.acquire_owned().await?;
        Ok(Turn { _of_app: of_app, _of_all: Arc::clone(&self.all).acquire_owned().await? })
    }

    /// How many turns are taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.at_once - self.all.available_permits()
    }
}
