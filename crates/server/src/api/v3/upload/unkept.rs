//! Unkept: why an upload is no package, and whose doing that is. The answer to the client tells it what to change;
//! operators watch for what is this server's own.

use pigeonloft_model::{Fault, RetCode};
use pigeonloft_package::{IntakeError, RefusalKind};

use crate::chain::chain;

/// An upload of which nothing was kept.
#[derive(Debug)]
pub(super) struct Unkept {
    /// What the client is answered.
    pub(super) fault: Fault,
    /// Whether it is for the client to change something, or this server that could not do its work.
    failed: bool,
}

impl Unkept {
    /// This server could not do its work.
    pub(super) fn failed(what: impl std::fmt::Display) -> Self {
        Self { fault: nothing_kept(what), failed: true }
    }

    /// The client did not send the whole.
    pub(super) fn broken_off(what: impl std::fmt::Display) -> Self {
        Self { fault: nothing_kept(what), failed: false }
    }

    /// As metrics and log call it.
    pub(super) fn result(&self) -> &'static str {
        if self.failed { "failed" } else { "refused" }
    }
}

impl From<Fault> for Unkept {
    fn from(fault: Fault) -> Self {
        Self { failed: fault.code == RetCode::Internal, fault }
    }
}

impl From<IntakeError> for Unkept {
    fn from(error: IntakeError) -> Self {
        match error {
            IntakeError::Refused(refusal) => {
                let code = match refusal.kind() {
                    RefusalKind::Empty => RetCode::EmptyFile,
                    RefusalKind::Invalid => RetCode::Invalid,
                    RefusalKind::Unreadable => RetCode::UploadFailed,
                };
                Fault::new(code, refusal.to_string()).into()
            }
            IntakeError::Io { ref source, .. } => {
                tracing::error!(error = chain(&error), "an upload failed on this side");
                Self::failed(match source.kind() {
                    std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => "the server's disk is full",
                    _ => "the server could not keep the file",
                })
            }
        }
    }
}

fn nothing_kept(what: impl std::fmt::Display) -> Fault {
    Fault::new(RetCode::UploadFailed, format!("{what}: nothing was kept, upload the file again"))
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use pigeonloft_package::Refusal;

    use super::*;

    #[test]
    fn what_this_server_could_not_do_is_told_apart_from_what_the_client_sent() {
        let full = IntakeError::Io { doing: "write the package", source: Error::from(ErrorKind::StorageFull) };
        let full = Unkept::from(full);
        assert_eq!(full.result(), "failed");
        assert_eq!(full.fault.code, RetCode::UploadFailed);
        assert!(full.fault.text.starts_with("the server's disk is full"), "{}", full.fault.text);

        assert_eq!(Unkept::from(Fault::new(RetCode::Internal, "the database")).result(), "failed");
        assert_eq!(Unkept::from(IntakeError::from(Refusal::Empty)).result(), "refused");
        assert_eq!(Unkept::broken_off("the connection broke").result(), "refused");
        assert_eq!(Unkept::from(Fault::new(RetCode::TooFast, "try again")).result(), "refused");
    }
}
