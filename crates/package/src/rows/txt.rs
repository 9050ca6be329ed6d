//! Txt: rows that end with LF; the CR of a CRLF is a blank like others, and trimmed with them.

use std::io;

use super::carry::Carry;
use super::checker::Checker;
use crate::limits::Limits;

pub(super) struct Txt {
    line: u64,
    carry: Carry,
}

impl Txt {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { line: 1, carry: Carry::new(limits) }
    }

    pub(super) fn write(&mut self, bytes: &[u8], checker: &mut Checker) -> io::Result<()> {
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', bytes) {
            let row = &bytes[start..end];
            if self.carry.is_empty() {
                checker.row(self.line, row)?;
            } else {
                self.carry.push(row);
                checker.carried(self.line, &mut self.carry)?;
                self.carry.clear();
            }
            self.line += 1;
            start = end + 1;
        }
        self.carry.push(&bytes[start..]);
        Ok(())
    }

    /// The last row may lack its line end.
    pub(super) fn finish(mut self, checker: &mut Checker) -> io::Result<()> {
        if self.carry.is_empty() { Ok(()) } else { checker.carried(self.line, &mut self.carry) }
    }
}
