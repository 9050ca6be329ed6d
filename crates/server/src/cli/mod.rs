//! The command line: one file for each command; how each fails and exits is decided here and in [`failure`].
//!
//! What a command answers goes to standard output, everything else (progress, logs, errors) to standard error, so that
//! a command can stand in a pipe. Exit status: 0 done, 1 failed or refused, 2 wrong usage.

mod app;
mod client;
mod config;
mod credentials;
mod data_dir;
mod demo;
mod device;
mod doctor;
mod failure;
mod files;
mod logs;
mod package;
mod progress;
mod random;
mod serve;
mod signals;
mod sim;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A push server that speaks the TPNS v3 API.
///
/// Servers upload an audience (a file of accounts or tokens), push a message to it and read what became of it; devices
/// hold an MQTT connection and get their messages, at once or when they are back.
#[derive(Debug, Parser)]
#[command(
    name = "pigeonloft",
    version,
    arg_required_else_help = true,
    after_help = "See it work:  pigeonloft demo\n\
                  Run it:       pigeonloft app create --platform android --name Shop && pigeonloft serve\n\
                  Configure it: pigeonloft config > pigeonloft.toml && pigeonloft serve --config pigeonloft.toml"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    #[command(subcommand)]
    App(app::AppCommand),
    Config(config::PrintConfig),
    #[command(subcommand)]
    Package(package::PackageCommand),
    #[command(subcommand)]
    Device(device::DeviceCommand),
    Doctor(doctor::Doctor),
    #[command(subcommand)]
    Sim(sim::SimCommand),
    Demo(demo::Demo),
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(serve) => serve.run(),
        Command::App(command) => command.run(),
        Command::Config(print) => print.run(),
        Command::Package(command) => command.run(),
        Command::Device(command) => command.run(),
        Command::Doctor(doctor) => doctor.run(),
        Command::Sim(command) => command.run(),
        Command::Demo(demo) => demo.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.exit(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_commands_are_well_formed() {
        Cli::command().debug_assert();
    }
}
