//! Csv: records of one value, with the quotes of RFC 4180.
//!
//! Own code, for the `csv` crates hand over records after the fact: here a second column ends the file at once, the line
//! of an unclosed quote is told, a value of a gigabyte takes no memory, and a line without quotes is read as fast as in
//! a txt file. Where RFC 4180 leaves room: blanks (space, tab) around quotes are trimmed like those around any row, a quote
//! inside an unquoted value stands for itself, and LF and CRLF both end a record.

use std::io;

use super::carry::Carry;
use super::checker::Checker;
use crate::limits::Limits;
use crate::{IntakeError, Refusal};

pub(super) struct Csv {
    /// The current line, and the line where the current record began.
    line: u64,
    record_line: u64,
    quote_line: u64,
    state: State,
    carry: Carry,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing yet.
    Start,
    /// Nothing but blanks so far; they are not carried.
    Blank,
    Unquoted,
    Quoted,
    /// Right after a quote inside quotes: the end of the value, or half of a doubled quote.
    Quote,
    /// Blanks after the closing quote.
    Closed,
    /// Text after the closing quote: the record is bad.
    Spoiled,
}

impl Csv {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { line: 1, record_line: 1, quote_line: 1, state: State::Start, carry: Carry::new(limits) }
    }

    pub(super) fn write(&mut self, mut bytes: &[u8], checker: &mut Checker) -> Result<(), IntakeError> {
        while let Some(first) = bytes.first() {
            let used = match self.state {
                State::Start => match self.plain_lines(bytes, checker)? {
                    0 => self.start(*first),
                    used => used,
                },
                State::Blank => self.start(*first),
                State::Unquoted | State::Spoiled => self.until(bytes, memchr::memchr2(b',', b'\n', bytes)),
                State::Quoted => self.quoted(bytes),
                State::Quote if *first == b'"' => {
                    self.carry.push(b"\"");
                    self.state = State::Quoted;
                    1
                }
                State::Quote | State::Closed => self.closed(*first),
            };
            if used == 0 {
                // What stands here ends the value, in every state.
                self.end_value(*first, checker)?;
                bytes = &bytes[1..];
            } else {
                bytes = &bytes[used..];
            }
        }
        Ok(())
    }

    /// Takes whole lines that need no second look: without a quote or a comma, or with quotes around and none inside.
    /// Answers how many bytes that are.
    fn plain_lines(&mut self, bytes: &[u8], checker: &mut Checker) -> Result<usize, IntakeError> {
        let mut start = 0;
        loop {
            let before = start;
            let rest = &bytes[before..];
            if let Some((value, used)) = quoted_line(rest) {
                self.plain_line(value, checker)?;
                start += used;
                continue;
            }
            for end in memchr::memchr3_iter(b'\n', b'"', b',', rest).take_while(|at| rest[*at] == b'\n') {
                self.plain_line(&rest[start - before..end], checker)?;
                start = before + end + 1;
            }
            if start == before {
                return Ok(start);
            }
        }
    }

    fn plain_line(&mut self, value: &[u8], checker: &mut Checker) -> Result<(), IntakeError> {
        checker.row(self.line, value).map_err(IntakeError::io("write sorted rows"))?;
        self.next_line();
        Ok(())
    }

    fn next_line(&mut self) {
        self.line += 1;
        self.record_line = self.line;
    }

    fn start(&mut self, byte: u8) -> usize {
        match byte {
            b',' | b'\n' => return 0,
            b'"' => (self.state, self.quote_line) = (State::Quoted, self.line),
            b' ' | b'\t' => self.state = State::Blank,
            _ => {
                self.carry.push(&[byte]);
                self.state = State::Unquoted;
            }
        }
        1
    }

    fn until(&mut self, bytes: &[u8], end: Option<usize>) -> usize {
        let end = end.unwrap_or(bytes.len());
        self.carry.push(&bytes[..end]);
        end
    }

    fn quoted(&mut self, bytes: &[u8]) -> usize {
        let end = memchr::memchr(b'"', bytes);
        let used = self.until(bytes, end);
        self.line += memchr::memchr_iter(b'\n', &bytes[..used]).count() as u64;
        if end.is_some() {
            self.state = State::Quote;
        }
        used + usize::from(end.is_some())
    }

    fn closed(&mut self, byte: u8) -> usize {
        match byte {
            b',' | b'\n' => return 0,
            b' ' | b'\t' | b'\r' => self.state = State::Closed,
            _ => {
                self.carry.push(&[byte]);
                self.state = State::Spoiled;
            }
        }
        1
    }

    /// `byte` is a comma or a line end outside of quotes.
    fn end_value(&mut self, byte: u8, checker: &mut Checker) -> Result<(), IntakeError> {
        if byte == b',' {
            return Err(Refusal::SecondColumn { line: self.record_line }.into());
        }
        self.record(checker).map_err(IntakeError::io("write sorted rows"))?;
        self.next_line();
        Ok(())
    }

    fn record(&mut self, checker: &mut Checker) -> io::Result<()> {
        if self.state == State::Spoiled {
            checker.after_quote(self.record_line, &mut self.carry)?;
        } else {
            checker.carried(self.record_line, &mut self.carry)?;
        }
        self.carry.clear();
        self.state = State::Start;
        Ok(())
    }

    /// The last record may lack its line end.
    pub(super) fn finish(mut self, checker: &mut Checker) -> Result<(), IntakeError> {
        match self.state {
            State::Quoted => Err(Refusal::UnclosedQuote { line: self.quote_line }.into()),
            State::Start => Ok(()),
            _ => self.record(checker).map_err(IntakeError::io("write sorted rows")),
        }
    }
}

/// The value of the line that `bytes` begins with, and the bytes of the line, when it is all in quotes and has no others.
fn quoted_line(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let (b'"', rest) = bytes.split_first()? else { return None };
    let end = memchr::memchr2(b'"', b'\n', rest)?;
    match rest[end..] {
        [b'"', b'\n', ..] => Some((&rest[..end], end + 3)),
        [b'"', b'\r', b'\n', ..] => Some((&rest[..end], end + 4)),
        _ => None,
    }
}
