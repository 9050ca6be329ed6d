//! Estimate: whom a push to a package would reach if it ran now. Rows are resolved and left out as the plan of a push does
//! it, and nothing is sent or kept.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pigeonloft_model::{AccessId, Channel, Platform, Push};
use pigeonloft_store::LeftOut;
use tokio_util::sync::CancellationToken;

use super::filter::Filter;
use super::plan::Error;
use super::rows::{Naming, Rows};
use crate::loft::Loft;

/// Rows resolved at once.
const AT_ONCE: usize = 1 << 16;

/// How long rows are resolved, whom the push leaves out not counted in. Of a package that takes longer, what was found
/// until then is the estimate.
pub(crate) const LONGEST: Duration = Duration::from_secs(30);

/// Whom an estimate is asked of.
pub(crate) struct Estimate {
    pub(crate) loft: Arc<Loft>,
    pub(crate) access_id: AccessId,
    pub(crate) platform: Platform,
    /// To a package.
    pub(crate) push: Push,
    /// The file of that package.
    pub(crate) package: PathBuf,
    /// The file of the package whose devices are left out, if there is one.
    pub(crate) excluded: Option<PathBuf>,
    /// Nobody waits for it any more.
    pub(crate) given_up: CancellationToken,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Rows that were resolved.
    pub(crate) rows: u64,
    /// Those of them that name no device.
    pub(crate) no_device: u64,
    /// Devices left out.
    pub(crate) left_out: LeftOut,
    /// Devices that are recipients.
    pub(crate) devices: u64,
    /// Those of them that are connected.
    pub(crate) online: u64,
    /// How many of them have a token of a vendor's channel, by its name.
    pub(crate) vendors: BTreeMap<String, u64>,
}

impl Found {
    /// What the push may send through our own channel: devices that are connected, and others.
    pub(crate) fn on_own_channel(&self, push: &Push) -> (u64, u64) {
        if push.allows(Channel::Xg) { (self.online, self.devices - self.online) } else { (0, 0) }
    }
}

impl Estimate {
    /// Makes it. Blocks for as long as [`LONGEST`], and to find whom the push leaves out.
    ///
    /// # Errors
    /// The database or a package cannot be read; [`Error::Stopping`] where nobody waits any more.
    pub(crate) fn make(&self) -> Result<Found, Error> {
        let store = self.loft.store.reader()?;
        let naming = Naming::of(&self.push, self.access_id, self.platform);
        let mut rows = Rows::of(&self.push, Some(&self.package), 0)?;
        let is_over = || self.given_up.is_cancelled() || self.loft.is_draining();
        let filter = Filter::of(&self.push, self.access_id, self.excluded.as_deref(), &store, is_over)?;
        let filter = filter.ok_or(Error::Stopping)?;
        let mut found = Found::default();
        let begun = Instant::now();
        // At least once: an estimate of no rows is none.
        while !rows.is_empty() && (found.rows == 0 || begun.elapsed() < LONGEST) {
            if is_over() {
                return Err(Error::Stopping);
            }
            let taken = rows.take(AT_ONCE)?;
            let mut resolved = naming.resolve(&store, &taken)?;
            found.rows += taken.len() as u64;
            found.no_device += resolved.no_device;
            let left_out = filter.apply(&mut resolved.devices);
            found.left_out.excluded += left_out.excluded;
            found.left_out.sampled_out += left_out.sampled_out;
            let hub = &self.loft.hub;
            found.devices += resolved.devices.len() as u64;
            found.online += resolved.devices.iter().filter(|device| hub.is_online(**device)).count() as u64;
            for (channel, devices) in store.count_vendor_tokens(&resolved.devices)? {
                *found.vendors.entry(channel).or_default() += devices;
            }
        }
        Ok(found)
    }
}
