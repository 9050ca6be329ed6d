//! `pigeonloft package`: looks at audience files, and uploads them.

mod check;
mod upload;

use clap::Subcommand;

use super::failure::Failure;

/// Check and upload packages: audience files of accounts or tokens, one per row (.txt, .csv, or one of them in a .zip)
#[derive(Debug, Subcommand)]
pub(super) enum PackageCommand {
    Check(check::Check),
    Upload(upload::Upload),
}

impl PackageCommand {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Check(check) => check.run(),
            Self::Upload(upload) => upload.run(),
        }
    }
}
