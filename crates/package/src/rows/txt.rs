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
        if !self.carry.is_empty()
            && let Some(end) = memchr::memchr(b'\n', bytes)
        {
            self.carry.push(&bytes[..end]);
            checker.carried(self.line, &mut self.carry)?;
            self.carry.clear();
            self.line += 1;
            start = end + 1;
        }
        if self.carry.is_empty() {
            start += self.whole_rows(&bytes[start..], checker)?;
        }
        self.carry.push(&bytes[start..]);
        Ok(())
    }

    /// Takes the rows that end in `bytes`. Answers how many bytes that are.
    fn whole_rows(&mut self, bytes: &[u8], checker: &mut Checker) -> io::Result<usize> {
        let (mut start, mut len) = (0, 0);
        loop {
            // Rows are as long as the one before, as a rule, and one of hexadecimal digits holds no line end.
            while bytes.get(start + len) == Some(&b'\n') && checker.hex_row(self.line, &bytes[start..start + len])? {
                self.line += 1;
                start += len + 1;
            }
            let Some(end) = memchr::memchr(b'\n', &bytes[start..]) else { return Ok(start) };
            len = end;
            checker.row(self.line, &bytes[start..start + len])?;
            self.line += 1;
            start += len + 1;
        }
    }

    /// The last row may lack its line end.
    pub(super) fn finish(mut self, checker: &mut Checker) -> io::Result<()> {
        if self.carry.is_empty() { Ok(()) } else { checker.carried(self.line, &mut self.carry) }
    }
}
