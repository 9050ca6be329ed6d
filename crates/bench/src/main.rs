//! Bench: the programs that put load on a server, and on its peers, for the scripts in `bench/`.
//!
//! One subcommand each, one module each. They measure nothing but moments of the system's monotonic clock, the same one
//! Python's `time.monotonic()` reads: what is compared with what is the scripts' business.

mod choose;
mod clock;
mod devices;
mod dialogue;
mod publish;
mod resolve;

use clap::Parser;

/// Load for the benches in `bench/`
#[derive(Debug, Parser)]
#[command(name = "pigeonloft-bench", version)]
enum Command {
    Choose(choose::Choose),
    Devices(devices::Devices),
    Publish(publish::Publish),
    Resolve(resolve::Resolve),
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Choose(choose) => choose.run(),
        Command::Devices(devices) => devices.run(),
        Command::Publish(publish) => publish.run(),
        Command::Resolve(resolve) => resolve.run(),
    }
}
