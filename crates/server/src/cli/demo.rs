//! `pigeonloft demo`: the whole product in one command, through its own ports.

mod cast;
mod device;
mod epilogue;
mod fleet;
mod ledger;
mod story;

use std::sync::Arc;

use clap::Args;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use self::cast::Cast;
use super::failure::{Failure, say};
use super::signals::Signals;
use super::{logs, serve};
use crate::config::Config;
use crate::net::Addresses;

/// Connections the demo's server takes on each port: its own devices, and some more to try.
const CONNECTIONS: usize = 2_000;

/// See it work: a server, 1,200 devices, three audiences uploaded, pushed to and received
///
/// Starts a server, creates an app, brings 1,000 devices online over MQTT and leaves 200 offline, uploads three files
/// through the HTTP API, pushes to each, brings the 200 online, and prints what became of every message. Then it goes
/// on serving, with lines to try next, until Ctrl-C.
///
/// A second run in the same folder uses the same app and devices again. Logs of the server are kept to warnings.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// End after the table; exit status 0 only if every device got each of its messages exactly once
    #[arg(long)]
    exit: bool,
    #[command(flatten)]
    place: serve::Place,
}

impl Demo {
    pub(super) fn run(self) -> Result<(), Failure> {
        let mut config = Config::load(None, &self.place.overrides())?;
        // Log lines would run through the progress bars.
        config.log.level = "warn".to_owned();
        // Fewer than by default, so that no limit of open files on a desk stands in the way.
        config.http.connections = CONNECTIONS;
        config.mqtt.connections = CONNECTIONS;
        logs::start(&config.log)?;
        serve::runtime()?.block_on(show(config, self.exit))
    }
}

async fn show(config: Config, exit: bool) -> Result<(), Failure> {
    let signals = Signals::listen().map_err(|error| Failure::of("cannot listen for signals", &error))?;
    let mut asked_to_stop = std::pin::pin!(signals.asked_to_stop());
    let data_dir = config.data_dir.clone();
    let server = Server::start(config).await?;
    say(format_args!("pigeonloft listens on {}", serve::urls(&server.addresses).join(" and ")))?;
    say(format_args!("its data are in {}", data_dir.display()))?;
    let told = async {
        let cast = Arc::new(Cast::prepare(&data_dir).await?);
        let (mut fleet, verdict) = story::tell(&server.addresses, &cast).await?;
        if !exit {
            epilogue::print(&server.addresses, &cast, &verdict)?;
            epilogue::go_on(&mut fleet).await;
        }
        verdict.into_result()
    };
    let told = tokio::select! {
        told = told => told,
        () = &mut asked_to_stop => match exit {
            true => Err(Failure::new("stopped before the end")),
            false => Ok(()),
        },
    };
    server.stop().await?;
    told
}

/// The server of the demo, in this process.
struct Server {
    addresses: Addresses,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), crate::serve::Error>>,
}

impl Server {
    async fn start(config: Config) -> Result<Self, Failure> {
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = oneshot::channel();
        let stopped = async {
            // A sender that is dropped asks to stop as well.
            let _ = stopped.await;
        };
        let started = move |addresses: &Addresses| {
            let _ = tell.send(*addresses);
        };
        let task = tokio::spawn(crate::serve::run(config, started, stopped));
        match told.await {
            Ok(addresses) => Ok(Self { addresses, stop, task }),
            // It ended before it began.
            Err(_) => Err(ended(task.await).err().unwrap_or_else(|| Failure::new("the server ended at once")).hint(
                "give the demo a place of its own: --data-dir DIR --listen 127.0.0.1:0 --mqtt-listen 127.0.0.1:0",
            )),
        }
    }

    async fn stop(self) -> Result<(), Failure> {
        // A server that ended by itself cannot be told any more; why it did is said below.
        let _ = self.stop.send(());
        ended(self.task.await)
    }
}

fn ended(task: Result<Result<(), crate::serve::Error>, tokio::task::JoinError>) -> Result<(), Failure> {
    task.map_err(|error| Failure::of("the server failed", &error))?.map_err(|error| Failure::of("cannot serve", &error))
}
