//! Script: the file that says how a sim is to behave, read again whenever it changes.

use std::marker::PhantomData;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde::de::DeserializeOwned;

use crate::cli::failure::Failure;

/// How often a sim looks at the file.
pub(super) const LOOKS_EVERY: Duration = Duration::from_millis(200);

/// A file, JSON, or none.
pub(super) struct Script<T> {
    file: Option<PathBuf>,
    read: Option<SystemTime>,
    says: PhantomData<T>,
}

impl<T: DeserializeOwned> Script<T> {
    /// In this file; none says nothing.
    pub(super) fn new(file: Option<PathBuf>) -> Self {
        Self { file, read: None, says: PhantomData }
    }

    /// How to behave, if the file was changed since it was read.
    ///
    /// # Errors
    /// It cannot be read, or is wrong; said once for each change.
    pub(super) fn changed(&mut self) -> Result<Option<T>, Failure> {
        let Some(file) = &self.file else { return Ok(None) };
        let cannot = |error: &dyn std::error::Error| {
            Failure::of(format_args!("cannot read the behaviour in {}", file.display()), error)
        };
        let written = file.metadata().and_then(|metadata| metadata.modified()).map_err(|error| cannot(&error))?;
        if self.read.replace(written) == Some(written) {
            return Ok(None);
        }
        let text = std::fs::read(file).map_err(|error| cannot(&error))?;
        serde_json::from_slice(&text).map(Some).map_err(|error| cannot(&error))
    }

    /// How to behave, if the file was changed and is right. Where it is being written, or wrong, that is told, and what was
    /// read last holds.
    pub(super) fn looked_at(&mut self) -> Option<T> {
        self.changed().unwrap_or_else(|failure| {
            failure.exit();
            None
        })
    }
}
