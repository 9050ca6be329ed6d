//! `pigeonloft sim`: the other side of a vendor's channel, for who has no account with the vendor.

mod apns;
mod fcm;

use std::net::SocketAddr;

use clap::{Args, Subcommand};
use pigeonloft_channels::webpush::sim::Sim;
use tokio::net::TcpListener;

use super::failure::{Failure, say};
use super::serve::runtime;

/// Play a vendor: takes messages as strictly as the vendor does, keeps them, and misbehaves when told to
#[derive(Debug, Subcommand)]
pub(super) enum SimCommand {
    Apns(apns::Apns),
    Webpush(Webpush),
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

/// A push service of browsers: gives subscriptions, decrypts what is sent to them, and shows it
///
/// The server has to be allowed to reach it: webpush.allow_http and webpush.allow_private_addresses.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
        pigeonloft sim webpush &\n  \
        curl -X POST http://127.0.0.1:9093/subscriptions                        # a browser, for channels.webpush of a device\n  \
        curl http://127.0.0.1:9093/subscriptions/00000000                       # what it got\n  \
        curl -X PUT http://127.0.0.1:9093/behaviour -d '{\"status\": 503, \"times\": 3}'\n  \
        curl http://127.0.0.1:9093/log                                          # what was wrong with requests")]
pub(super) struct Webpush {
    /// Where it listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9093")]
    listen: SocketAddr,
}

impl Webpush {
    fn run(self) -> Result<(), Failure> {
        let ended = runtime()?.block_on(async {
            let listener = TcpListener::bind(self.listen).await?;
            let origin = format!("http://{}", listener.local_addr()?);
            // It serves, whoever reads this.
            let _ = say(format_args!("a push service is at {origin}"));
            Sim::serve(listener, &origin, None).await
        });
        let Err(error) = ended;
        Err(Failure::of(format_args!("cannot serve at {}", self.listen), &error))
    }
}
