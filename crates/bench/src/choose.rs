//! Choose: the devices of a push to all or by tags, as its dispatch does, and nothing else.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use pigeonloft_model::{AccessId, DeviceId, TagExpression, TagRules};
use pigeonloft_store::{Span, Store};
use serde_json::json;

use crate::clock::{now, processor_time};
use crate::dialogue::say;

/// Choose the devices of a push to all or by tags
///
/// Opens the data folder as a server would, which must not run meanwhile. Says {"ids": …, "devices": …, "sum": …, "begun": …,
/// "done": …, "processor_s": …}; `sum` is that of the devices' ids, the moments are those of the monotonic clock.
#[derive(Debug, Args)]
pub(crate) struct Choose {
    /// The folder with the database
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// AccessId of the app
    #[arg(long, value_name = "ID")]
    app: u32,
    /// `tag_rules` of a push; without, all devices are chosen
    #[arg(long, value_name = "JSON")]
    rules: Option<String>,
    /// Ids looked at together
    #[arg(long, default_value_t = 65_536)]
    range: u64,
}

impl Choose {
    pub(crate) fn run(self) -> Result<()> {
        let expression: Option<TagExpression> = match &self.rules {
            Some(rules) => {
                Some(serde_json::from_str::<TagRules>(rules).context("--rules are no tag_rules")?.expression())
            }
            None => None,
        };
        let app = AccessId(self.app);
        let reader = Store::open(&self.data_dir)?.reader()?;
        let Span { first: DeviceId(first), ids } = reader.device_span(app)?.context("the app has no devices")?;
        let (begun, busy) = (now(), processor_time());
        let choice = reader.choice(app, expression.as_ref(), None, 0)?;
        let end = first.saturating_add_unsigned(ids);
        let (mut at, mut devices, mut sum) = (first, 0, 0);
        while at < end {
            let next = end.min(at.saturating_add_unsigned(self.range.max(1)));
            let chosen = reader.choose(&choice, at..next)?;
            devices += chosen.len();
            sum += chosen.iter().map(|device| device.0).sum::<i64>();
            at = next;
        }
        say(&json!({
            "ids": ids, "devices": devices, "sum": sum,
            "begun": begun, "done": now(), "processor_s": processor_time() - busy,
        }))
    }
}
