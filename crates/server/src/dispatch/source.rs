//! Source: what a push's windows are made of, from one row on: rows that name devices, device ids, each of which is a row
//! and may be chosen, or the recipients of a push that is taken back, each of whom is one.

use std::ops::Range;
use std::path::Path;

use pigeonloft_model::{Audience, DeviceId, Platform, Push, PushId};
use pigeonloft_store::{Choice, Reader, Resolved, Started};

use super::plan::Error;
use super::rows::{Naming, Rows};

const DAY_MS: i64 = 86_400_000;

/// When a device was seen at least that is in an audience without rows, unix milliseconds, by `push.target_days` and when
/// the push started: so a push that is resumed is for the same devices.
pub(crate) fn seen_since(target_days: u32, started_at: i64) -> i64 {
    match target_days {
        0 => i64::MIN,
        days => started_at - i64::from(days) * DAY_MS,
    }
}

/// Where the devices of a push come from.
pub(super) enum Source {
    /// Rows, and how they name devices.
    Rows(Rows, Naming),
    /// Ids that remain, and which of them are chosen.
    Devices(Choice, Range<i64>),
    /// Recipients of a push that is taken back by another one: those after a device, so many.
    Recipients { of: PushId, by: PushId, after: Option<DeviceId>, left: u64 },
}

impl Source {
    /// What remains of a push's audience from a row on. `seen_since`: when a device was seen at least that no row names,
    /// unix milliseconds.
    ///
    /// # Errors
    /// The package or the database cannot be read.
    pub(super) fn of(
        (started, push): (&Started, &Push),
        platform: Platform,
        package: Option<&Path>,
        store: &Reader,
        row: u64,
        seen_since: i64,
    ) -> Result<Self, Error> {
        if let Some(of) = started.takes_back {
            let (by, rows) = (started.push.push_id, started.push.counts.audience_rows);
            let (after, left) = (store.nth_recipient(of, row)?, rows.saturating_sub(row));
            return Ok(Self::Recipients { of, by, after, left });
        }
        let access_id = started.push.access_id;
        let expression = match &push.audience {
            Audience::All {} => None,
            Audience::Tag(rules) => Some(rules.expression()),
            _ => return Ok(Self::Rows(Rows::of(push, package, row)?, Naming::of(push, access_id, platform))),
        };
        let environment = platform.is_apple().then_some(push.environment);
        let choice = store.choice(access_id, expression.as_ref(), environment, seen_since)?;
        let first = started.first_device.map_or(0, |device| device.0);
        let id = |row: u64| first.saturating_add_unsigned(row);
        Ok(Self::Devices(choice, id(row)..id(started.push.counts.audience_rows)))
    }

    /// Whether nothing remains.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Rows(rows, _) => rows.is_empty(),
            Self::Devices(_, left) => left.is_empty(),
            Self::Recipients { left, .. } => *left == 0,
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
            Self::Devices(choice, left) => {
                let end = left.end.min(left.start.saturating_add_unsigned(want as u64));
                let next = left.start..end;
                left.start = end;
                let count = usize::try_from(next.end.abs_diff(next.start)).unwrap_or(want);
                Ok((count, Resolved { devices: store.choose(choice, next)?, no_device: 0 }))
            }
            Self::Recipients { of, by, after, left } => {
                let want = usize::try_from(*left).map_or(want, |left| want.min(left));
                let holders = store.holders(*of, *by, *after, want)?;
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
