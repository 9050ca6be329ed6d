//! `pigeonloft sim`: the other side of a vendor's channel, for who has no account with the vendor.

mod apns;
mod fcm;
mod script;
mod webpush;

use clap::Subcommand;

use super::failure::Failure;

/// Play a vendor: takes messages as strictly as the vendor does, keeps them, and misbehaves when told to
#[derive(Debug, Subcommand)]
pub(super) enum SimCommand {
    Apns(apns::Apns),
    Webpush(webpush::Webpush),
    Fcm(fcm::Fcm),
}

impl SimCommand {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Apns(apns) => apns.run(),
            Self::Webpush(webpush) => webpush.run(),
            Self::Fcm(fcm) => fcm.run(),
        }
    }
}
