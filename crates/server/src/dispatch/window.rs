//! Window: some rows of a push's audience, resolved to devices that are sorted by their ids, each once.
//!
//! In this order the rows of tables that are kept by device lie beside each other, so that a page is written once for
//! many of them. The ids are kept as their gaps: a window of a million devices, half of an app's, takes a megabyte.

use pigeonloft_model::DeviceId;
use pigeonloft_store::{Cursor, LeftOut, Within};

/// A window; its devices are taken from the front, a batch at a time.
#[derive(Debug)]
pub(super) struct Window {
    /// Where the push stands: first at the window's begin.
    at: Cursor,
    /// The row after its last.
    end: u64,
    /// Rows of the push that are dealt with.
    rows_done: u64,
    /// Rows that name no device, not reported yet.
    no_device: u64,
    /// Devices that its rows name and that are left out, not reported yet.
    left_out: LeftOut,
    devices: Ascending,
    /// Whether the audience ends with it.
    is_last: bool,
}

/// The next devices of a window, and where the push stands once they are dealt with.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) devices: Vec<DeviceId>,
    pub(super) from: Cursor,
    pub(super) to: Cursor,
    pub(super) rows_done: u64,
    pub(super) no_device: u64,
    pub(super) left_out: LeftOut,
    /// Whether the audience ends with it.
    pub(super) is_last: bool,
}

impl Window {
    /// The window that the push stands before, or in: rows up to `end`, of which `devices` remain and so many name no
    /// device. `rows_done` of the push are dealt with.
    pub(super) fn new(
        at: Cursor,
        end: u64,
        rows_done: u64,
        devices: Vec<DeviceId>,
        no_device: u64,
        left_out: LeftOut,
        is_last: bool,
    ) -> Self {
        Self { at, end, rows_done, no_device, left_out, devices: Ascending::new(devices), is_last }
    }

    /// The next `most` devices. A window without any is one empty piece all the same: its rows are dealt with. Answers
    /// what remains of the window with it, if anything does.
    pub(super) fn take(mut self, most: usize) -> (Piece, Option<Self>) {
        let before = self.devices.left as u64;
        let devices: Vec<DeviceId> = self.devices.by_ref().take(most).collect();
        let (from, left) = (self.at, self.devices.left as u64);
        let Some(&device) = devices.last().filter(|_| left > 0) else {
            let Self { end, no_device, left_out, is_last, .. } = self;
            let to = Cursor { row: end, within: None };
            return (Piece { devices, from, to, rows_done: end, no_device, left_out, is_last }, None);
        };
        let rows = self.end.saturating_sub(self.rows_done);
        // In proportion, and at no time back, also where the window was resolved anew and has other devices now.
        self.rows_done += (u128::from(rows) * u128::from(before - left) / u128::from(before)) as u64;
        self.at.within = Some(Within { end: self.end, device });
        let piece = Piece {
            devices,
            from,
            to: self.at,
            rows_done: self.rows_done,
            no_device: 0,
            left_out: LeftOut::default(),
            is_last: false,
        };
        (piece, Some(self))
    }
}

/// Ascending ids, each once, as gaps of seven bits a byte.
#[derive(Debug)]
struct Ascending {
    gaps: Vec<u8>,
    read: usize,
    last: i64,
    left: usize,
}

impl Ascending {
    fn new(mut devices: Vec<DeviceId>) -> Self {
        devices.sort_unstable();
        devices.dedup();
        let mut gaps = Vec::with_capacity(devices.len() + devices.len() / 4);
        let mut last = 0;
        for DeviceId(device) in &devices {
            // Of the whole range of an i64: the first gap may be below zero, and is then a very large one.
            let mut gap = device.wrapping_sub(last) as u64;
            while gap > 0x7f {
                gaps.push(gap as u8 | 0x80);
                gap >>= 7;
            }
            gaps.push(gap as u8);
            last = *device;
        }
        gaps.shrink_to_fit();
        Self { gaps, read: 0, last: 0, left: devices.len() }
    }
}

impl Iterator for Ascending {
    type Item = DeviceId;

    fn next(&mut self) -> Option<DeviceId> {
        let (mut gap, mut shift) = (0_u64, 0);
        loop {
            let byte = *self.gaps.get(self.read)?;
            self.read += 1;
            gap |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
            shift += 7;
        }
        self.left -= 1;
        self.last = self.last.wrapping_add(gap as i64);
        Some(DeviceId(self.last))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pieces(window: Window, most: usize) -> Vec<Piece> {
        let (mut pieces, mut window) = (Vec::new(), Some(window));
        while let Some(rest) = window {
            let (piece, left) = rest.take(most);
            pieces.push(piece);
            window = left;
        }
        pieces
    }

    proptest! {
        #[test]
        fn a_window_deals_with_each_device_once_in_ascending_order_and_with_all_its_rows(
            ids in prop_oneof![
                proptest::collection::vec(0_i64..100, 0..200),
                proptest::collection::vec(any::<i64>(), 0..200),
            ],
            most in 1_usize..50,
            row in 0_u64..1_000,
            rows in 0_u64..1_000,
            done in 0_u64..1_000,
        ) {
            let mut expected: Vec<DeviceId> = ids.iter().copied().map(DeviceId).collect();
            let begin = Cursor { row, within: None };
            let rows_done = row + done.min(rows);
            let pieces = pieces(Window::new(begin, row + rows, rows_done, expected.clone(), 7, LeftOut { excluded: 5, sampled_out: 3 }, true), most);
            expected.sort();
            expected.dedup();
            prop_assert_eq!(pieces.iter().flat_map(|piece| piece.devices.clone()).collect::<Vec<_>>(), expected);
            prop_assert!(pieces.iter().all(|piece| piece.devices.len() <= most));
            prop_assert_eq!(pieces[0].from, begin);
            for (piece, next) in pieces.iter().zip(&pieces[1..]) {
                prop_assert_eq!(piece.to, next.from);
                prop_assert_eq!(piece.to.row, row);
                prop_assert_eq!(piece.to.within.map(|within| within.device), piece.devices.last().copied());
                prop_assert!((rows_done..=next.rows_done).contains(&piece.rows_done));
                prop_assert!(!piece.is_last && piece.no_device == 0 && piece.left_out == LeftOut::default());
            }
            let last = &pieces[pieces.len() - 1];
            prop_assert_eq!(last.to, Cursor { row: row + rows, within: None });
            prop_assert!((last.rows_done, last.no_device, last.is_last) == (row + rows, 7, true));
            prop_assert_eq!(last.left_out, LeftOut { excluded: 5, sampled_out: 3 });
        }
    }

    #[test]
    fn a_million_devices_beside_each_other_take_a_byte_each() {
        let devices = Ascending::new((0..1_000_000).rev().map(|n| DeviceId(5_000_000 + 3 * n)).collect());
        assert!(devices.gaps.capacity() < 1_000_010, "{}", devices.gaps.capacity());
    }
}
