//! `pigeonloft device`: brings devices along from elsewhere, by the million.

mod columns;
mod import;
mod intake;
mod row;
mod sorted;

use clap::Subcommand;

use super::failure::Failure;

/// Import devices with their accounts
#[derive(Debug, Subcommand)]
pub(super) enum DeviceCommand {
    Import(import::Import),
}

impl DeviceCommand {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Import(import) => import.run(),
        }
    }
}
