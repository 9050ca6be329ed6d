//! Resolve: the accounts of a file to their devices, as a push to a package does, and nothing else.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use pigeonloft_model::{AccessId, AccountPush};
use pigeonloft_store::Store;
use serde_json::json;

use crate::clock::{now, processor_time};
use crate::dialogue::say;

/// Resolve the accounts of a file to their devices
///
/// Opens the data folder as a server would, which must not run meanwhile. The rows are read and sorted before the time
/// begins; then each window of them is resolved. Says {"rows": …, "devices": …, "no_device": …, "begun": …, "done": …,
/// "processor_s": …}; the moments are those of the monotonic clock.
#[derive(Debug, Args)]
pub(crate) struct Resolve {
    /// The folder with the database
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// AccessId of the app
    #[arg(long, value_name = "ID")]
    app: u32,
    /// Account names of type 0, one a line
    #[arg(long, value_name = "FILE")]
    accounts: PathBuf,
    /// Rows resolved at once
    #[arg(long, default_value_t = 65_536)]
    window: usize,
}

impl Resolve {
    pub(crate) fn run(self) -> Result<()> {
        let text = std::fs::read_to_string(&self.accounts)
            .with_context(|| format!("cannot read {}", self.accounts.display()))?;
        let mut names: Vec<&str> = text.lines().collect();
        names.sort_unstable();
        // One after another in memory, too, as a package's reader has them.
        let text = names.join("\n");
        let names: Vec<&str> = text.lines().collect();
        let reader = Store::open(&self.data_dir)?.reader()?;
        let (begun, busy) = (now(), processor_time());
        let (mut devices, mut no_device) = (0, 0);
        for window in names.chunks(self.window.max(1)) {
            let found =
                reader.resolve_accounts(AccessId(self.app), 0, window.iter().copied(), AccountPush::Latest, None)?;
            devices += found.devices.len();
            no_device += found.no_device;
        }
        say(&json!({
            "rows": names.len(), "devices": devices, "no_device": no_device,
            "begun": begun, "done": now(), "processor_s": processor_time() - busy,
        }))
    }
}
