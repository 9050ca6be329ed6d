//! Intake error: why an upload did not become a package, parted by whose matter it is.

use std::io;

use crate::Refusal;

/// Why an intake ended without a package. Nothing it wrote is left behind.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The user's file is not what the contract takes; the text tells the user what to change.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Our side failed (disk full, folder gone); the same file may pass later.
    #[error("could not {doing}")]
    Io {
        /// What was being done, as a verb phrase.
        doing: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl IntakeError {
    /// Names what was being done when the system failed; for `map_err`.
    pub(crate) fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }
}
