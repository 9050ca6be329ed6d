//! Source: what a push's windows are made of, from one row on: rows that name devices, or the recipients of a push that it
//! takes back, each of whom is a row.

use std::path::Path;

use pigeonloft_model::{DeviceId, Platform, Push, PushId};
use pigeonloft_store::{Reader, Resolved, Started};

use super::plan::Error;
use super::rows::{Naming, Rows};

/// Where the devices of a push come from.
pub(super) enum Source {
    /// Rows, and how they name devices.
    Rows(Rows, Naming),
    /// So many recipients of this push, those after a device.
    Recipients(PushId, Option<DeviceId>, u64),
}

impl Source {
    /// What remains of a push's audience from a row on; `package` is the file of its package, if it has one.
    ///
    /// # Errors
    /// The package or the database cannot be read.
    pub(super) fn of(
        (started, push): (&Started, &Push),
        platform: Platform,
        package: Option<&Path>,
        store: &Reader,
        row: u64,
    ) -> Result<Self, Error> {
        if let Some(taken_back) = started.takes_back {
            let left = started.push.counts.audience_rows.saturating_sub(row);
            return Ok(Self::Recipients(taken_back, store.nth_recipient(taken_back, row)?, left));
        }
        let naming = Naming::of(push, started.push.access_id, platform);
        Ok(Self::Rows(Rows::of(push, package, row)?, naming))
    }

    /// Whether nothing remains.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Rows(rows, _) => rows.is_empty(),
            Self::Recipients(_, _, left) => *left == 0,
        }
    }

    /// Takes the next rows, at most `want`. Answers how many there were, and whom they are.
    ///
    /// # Errors
    /// The package or the database cannot be read.
    pub(super) fn next(&mut self, store: &Reader, want: usize) -> Result<(usize, Resolved), Error> {
        match self {
            Self::Rows(rows, naming) => {
                let taken = rows.take(want)?;
                Ok((taken.len(), naming.resolve(store, &taken)?))
            }
            Self::Recipients(of, after, left) => {
                let want = usize::try_from(*left).map_or(want, |left| want.min(left));
                let holders = store.holders(*of, *after, want)?;
                // Those that are missing were forgotten since: what remains of the rows is dealt with.
                let is_end = holders.read < want;
                let taken = if is_end { *left } else { want as u64 };
                (*after, *left) = (holders.last, *left - taken);
                let resolved = Resolved { devices: holders.devices, no_device: 0 };
                Ok((usize::try_from(taken).unwrap_or(want), resolved))
            }
        }
    }
}
