//! `pigeonloft serve`: the server.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use tokio::runtime::Runtime;

use super::failure::Failure;
use super::logs;
use super::signals::Signals;
use crate::config::{Config, Overrides};
use crate::net::Addresses;

/// Run the server
///
/// Prints where it listens once it does; logs go to standard error. On SIGTERM or Ctrl-C it takes no more work, ends
/// what runs or breaks it off, to go on at the next start, and exits with 0; a second signal exits at once, and loses
/// nothing that was answered either.
#[derive(Debug, Args)]
#[command(after_help = "Every setting, with its meaning: `pigeonloft config`. The command line wins over environment \
                        variables (PIGEONLOFT_HTTP__LISTEN=…), which win over the file.")]
pub(super) struct Serve {
    #[command(flatten)]
    place: Place,
    /// Configuration file; it only needs the keys it changes
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Where a server keeps its data and listens.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// Folder of everything that must last [default: ./pigeonloft-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Address and port of the HTTP API; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<String>,
    /// Address and port of MQTT, for devices; port 0 takes a free one [default: 127.0.0.1:1883]
    #[arg(long, value_name = "ADDR:PORT")]
    mqtt_listen: Option<String>,
}

impl Place {
    /// As what the configuration takes it: it wins over file and environment.
    pub(super) fn overrides(self) -> Overrides {
        Overrides { data_dir: self.data_dir, listen: self.listen, mqtt_listen: self.mqtt_listen }
    }
}

impl Serve {
    pub(super) fn run(self) -> Result<(), Failure> {
        let config = Config::load(self.config, &self.place.overrides())?;
        logs::start(&config.log)?;
        runtime()?.block_on(async {
            let signals = Signals::listen().map_err(|error| Failure::of("cannot listen for signals", &error))?;
            crate::serve::run(config, announce, signals.asked_to_stop())
                .await
                .map_err(|error| Failure::of("cannot serve", &error))
        })
    }
}

/// The runtime of a server.
pub(super) fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::of("cannot start", &error))
}

/// Says where the server listens: the one line it prints on standard output. A server whose standard output is closed
/// serves all the same.
fn announce(addresses: &Addresses) {
    let _ = writeln!(std::io::stdout().lock(), "pigeonloft listens on {}", urls(addresses).join(" and "));
}

/// The URLs of what the server listens on.
pub(super) fn urls(addresses: &Addresses) -> Vec<String> {
    let plain = [("http", Some(addresses.http)), ("mqtt", Some(addresses.mqtt))];
    let secure = [("https", addresses.https), ("mqtts", addresses.mqtts)];
    let all = plain.into_iter().chain(secure);
    all.filter_map(|(scheme, address)| Some(format!("{scheme}://{}", address?))).collect()
}
