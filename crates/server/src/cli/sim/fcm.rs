//! `pigeonloft sim fcm`: Google's side of FCM.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use pigeonloft_channels::fcm::sim::Sim;

use super::script::{LOOKS_EVERY, Script};
use crate::cli::failure::{Failure, say};
use crate::cli::files::text_of;
use crate::cli::serve::runtime;
use crate::cli::signals::Signals;

/// Google's side of FCM (HTTP v1): hands out access tokens, checks messages and prints those it takes, a JSON object a line
///
/// It listens without TLS.
///
/// The file given as --behaviour is a JSON object of any of: latency_ms; rules, a list of {"token": how it begins, "answer":
/// UNREGISTERED, INVALID_ARGUMENT, SENDER_ID_MISMATCH, QUOTA_EXCEEDED, UNAVAILABLE, INTERNAL, THIRD_PARTY_AUTH_ERROR,
/// REFUSED_STREAM, RESET or SILENCE, "times": how often, "retry_after": seconds}; streams, at once on a connection;
/// goes_away_after, messages; bearer_seconds; bearer_latency_ms; gives_no_bearer. It is read again whenever it changes.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
        openssl genpkey -algorithm RSA -out sim.key\n  \
        pigeonloft sim fcm --key sim.key --service-account sim.json\n  \
        pigeonloft app channel set --app 1500001048 fcm --service-account sim.json --url http://127.0.0.1:9099")]
pub(in crate::cli) struct Fcm {
    /// Where to listen
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9099")]
    listen: SocketAddr,
    /// The key of its service account: RSA, PKCS #8, PEM
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Where to write the service account's file, as Google would hand it out
    #[arg(long, value_name = "FILE")]
    service_account: PathBuf,
    /// How it behaves, JSON
    #[arg(long, value_name = "FILE")]
    behaviour: Option<PathBuf>,
}

impl Fcm {
    pub(super) fn run(self) -> Result<(), Failure> {
        runtime()?.block_on(self.play())
    }

    async fn play(self) -> Result<(), Failure> {
        let signals = Signals::listen().map_err(|error| Failure::of("cannot listen for signals", &error))?;
        let key = text_of(&self.key)?;
        let mut script = Script::new(self.behaviour);
        let begins = script.changed()?;
        let sim = Sim::start(self.listen, &key)
            .await
            .map_err(|error| Failure::of(format_args!("cannot play FCM on {}", self.listen), &error))?;
        sim.behave(begins.unwrap_or_default());
        std::fs::write(&self.service_account, sim.service_account())
            .map_err(|error| Failure::of(format_args!("cannot write {}", self.service_account.display()), &error))?;
        eprintln!("FCM is played on {}; its service account is in {}", sim.url(), self.service_account.display());
        let mut asked_to_stop = std::pin::pin!(signals.asked_to_stop());
        let mut looks = tokio::time::interval(LOOKS_EVERY);
        loop {
            let stops = tokio::select! {
                _ = looks.tick() => false,
                () = &mut asked_to_stop => true,
            };
            for seen in sim.take_seen() {
                let line = serde_json::to_string(&seen).map_err(|error| Failure::of("cannot write JSON", &error))?;
                say(line)?;
            }
            if stops {
                return Ok(());
            }
            if let Some(behaviour) = script.looked_at() {
                sim.behave(behaviour);
            }
        }
    }
}
