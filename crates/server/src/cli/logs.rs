//! Where log lines go: standard error, as text or JSON.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

use super::failure::Failure;
use crate::config::{Log, LogFormat};

/// Begins to log as configured. Called once in a process.
pub(super) fn start(log: &Log) -> Result<(), Failure> {
    let filter = filter(&log.level)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
    Ok(())
}

/// Reads `log.level`. A bare word must be a level: the library takes any other for the name of a module, and a server
/// with `level = "warning"` would log nothing at all.
fn filter(level: &str) -> Result<EnvFilter, Failure> {
    let wrong = |why: &dyn std::fmt::Display| {
        Failure::new(format!("configuration: log.level is {level:?}: {why}"))
            .hint("error, warn, info, debug or trace, or a filter such as info,pigeonloft_channels=debug")
    };
    let bare = level.split(',').filter(|part| !part.contains(['=', '[', ']', '{', '}']));
    for word in bare {
        if word.parse::<LevelFilter>().is_err() {
            return Err(wrong(&format_args!("{word:?} is no level")));
        }
    }
    EnvFilter::try_new(level).map_err(|error| wrong(&error))
}

#[cfg(test)]
mod tests {
    use super::filter;

    #[test]
    fn a_word_that_is_no_level_is_refused_instead_of_silencing_the_server() {
        for level in ["info", "WARN", "off", "info,pigeonloft_channels=debug", "warn,tower=off", "[request]=debug"] {
            assert!(filter(level).is_ok(), "{level}");
        }
        for level in ["warning", "verbose", "info,pigeonloft_channels", "info,x=chatty"] {
            assert!(filter(level).is_err(), "{level:?}");
        }
    }
}
