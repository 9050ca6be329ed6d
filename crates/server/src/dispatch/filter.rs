//! Filter: devices that an audience names and that its push leaves out, because another package names them, too, or
//! because they are not in its sample.
//!
//! The devices of the other package are found once, when a run begins, and kept as a bitmap: its rows have an order of
//! their own, and may be tokens where the audience's are accounts, so that only devices can be compared. It is the one
//! thing of a push that grows with its audience: by a bit, or two bytes at worst, for each device that is excluded.

use std::path::Path;

use pigeonloft_model::{AccessId, AccountPush, DeviceId, PackageKind, Push, Sample};
use pigeonloft_package::Reader as PackageReader;
use pigeonloft_store::{LeftOut, Reader};
use roaring::RoaringTreemap;

use super::plan::Error;
use super::rows::{By, Naming, Rows};

/// Rows resolved at once.
const AT_ONCE: usize = 1 << 16;

/// Whom a push leaves out.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    excluded: Option<RoaringTreemap>,
    sample: Option<Sample>,
}

impl Filter {
    /// That of a push; `excluded` is the file of the package that it excludes, if it excludes one. Answers nothing once
    /// it `is_over`, which is asked now and then.
    ///
    /// # Errors
    /// The package or the database cannot be read.
    pub(crate) fn of(
        push: &Push,
        access_id: AccessId,
        excluded: Option<&Path>,
        store: &Reader,
        is_over: impl Fn() -> bool,
    ) -> Result<Option<Self>, Error> {
        let mut filter = Self { excluded: None, sample: push.sample.clone() };
        if let (Some(exclude), Some(path)) = (push.exclude, excluded) {
            let by = match exclude.kind {
                PackageKind::Tokens => By::Token,
                PackageKind::Accounts => By::Account(push.account_type.code(), AccountPush::All),
            };
            let naming = Naming { access_id, environment: None, by };
            let mut rows = Rows::Package(PackageReader::open(path)?);
            let mut devices = RoaringTreemap::new();
            while !rows.is_empty() {
                if is_over() {
                    return Ok(None);
                }
                let found = naming.resolve(store, &rows.take(AT_ONCE)?)?;
                devices.extend(found.devices.into_iter().map(bit));
            }
            filter.excluded = Some(devices);
        }
        Ok(Some(filter))
    }

    /// Takes out of `devices` those that are left out, and counts them.
    pub(crate) fn apply(&self, devices: &mut Vec<DeviceId>) -> LeftOut {
        let mut left_out = LeftOut::default();
        if let Some(excluded) = &self.excluded {
            let before = devices.len();
            devices.retain(|device| !excluded.contains(bit(*device)));
            left_out.excluded = (before - devices.len()) as u64;
        }
        if let Some(sample) = &self.sample {
            let before = devices.len();
            devices.retain(|device| sample.takes(*device));
            left_out.sampled_out = (before - devices.len()) as u64;
        }
        left_out
    }
}

fn bit(device: DeviceId) -> u64 {
    device.0.cast_unsigned()
}
