//! `pigeonloft config`: the reference of the settings.

use clap::Args;

use super::failure::{Failure, say};

/// Print every setting with its meaning and default, as a file to start from
///
/// Give your own file to `pigeonloft serve --config FILE`; it only needs the keys it changes. Every key can be set by
/// an environment variable, too: PIGEONLOFT_ + table + __ + key, such as PIGEONLOFT_HTTP__LISTEN=0.0.0.0:8080. The
/// command line wins over the environment, the environment over the file.
#[derive(Debug, Args)]
pub(super) struct PrintConfig {}

impl PrintConfig {
    pub(super) fn run(self) -> Result<(), Failure> {
        say(crate::config::DEFAULT.trim_end())
    }
}
