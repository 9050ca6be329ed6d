//! `pigeonloft sim`: the other side of a vendor's channel, for who has no account with the vendor.

mod apns;
mod fcm;
mod script;
mod webpush;

use std::path::Path;
use std::sync::Arc;

use clap::Subcommand;
use pigeonloft_channels::sim_tls;
use rustls::ServerConfig;

use super::failure::Failure;
use super::files::text_of;

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

/// TLS with this certificate and its key, and with clients that show theirs if there is one to judge them by, in files of
/// PEM; inside it these protocols.
fn tls(
    certificate: &Path,
    key: &Path,
    clients: Option<&Path>,
    protocols: &[&str],
) -> Result<Arc<ServerConfig>, Failure> {
    let clients = clients.map(text_of).transpose()?;
    sim_tls(&text_of(certificate)?, &text_of(key)?, clients.as_deref(), protocols)
        .map_err(|error| Failure::of("the certificates cannot be used", &error))
}
