//! Checker: judges each row, keeps the good, lists the bad.

use std::io;
use std::path::Path;

use super::carry::Carry;
use super::encoding::Evidence;
use crate::disk::Sorter;
use crate::excerpt::{EXCERPT_CHARS, excerpt};
use crate::limits::{BadRows, Limits, TOKEN_CHARS};
use crate::notes::{self, SharedNotes};
use crate::rejected::Rejected;
use crate::{BadRow, NotToken, Reason, Refusal};

/// So many bad rows are told in a refusal or a summary.
const BAD_FIRST: usize = 10;

/// Called with every bad row, in the order of the file.
pub(crate) type Observer = Box<dyn FnMut(&BadRow) + Send>;

/// The bad rows of a file.
pub(crate) struct Bad {
    pub(crate) count: u64,
    pub(crate) first: Vec<BadRow>,
    pub(crate) rejected: Option<Rejected>,
    observer: Option<Observer>,
}

impl Bad {
    pub(crate) fn new(dir: &Path, limits: &Limits, policy: BadRows, observer: Option<Observer>) -> io::Result<Self> {
        let rejected = match policy {
            BadRows::Refuse => None,
            BadRows::Skip => Some(Rejected::create(dir, limits.rejected_bytes)?),
        };
        Ok(Self { count: 0, first: Vec::new(), rejected, observer })
    }

    pub(crate) fn refusal(&self) -> Refusal {
        Refusal::BadRows { count: self.count, first: self.first.clone() }
    }

    fn push(&mut self, line: u64, reason: Reason, raw: &[u8]) -> io::Result<()> {
        self.count += 1;
        let listed = self.first.len() < BAD_FIRST;
        if !listed && self.rejected.is_none() && self.observer.is_none() {
            return Ok(());
        }
        let bad = BadRow { line, reason, excerpt: excerpt(raw, EXCERPT_CHARS) };
        if let Some(rejected) = &mut self.rejected {
            rejected.push(&bad, raw)?;
        }
        if let Some(observer) = &mut self.observer {
            observer(&bad);
        }
        if listed {
            self.first.push(bad);
        }
        Ok(())
    }
}

/// Takes rows one by one. A row here is what stands between two line ends (or, in csv, a value without its quotes).
pub(crate) struct Checker {
    pub(crate) sorter: Sorter,
    pub(crate) bad: Bad,
    pub(crate) good: u64,
    pub(crate) blanks: u64,
    pub(crate) first_not_token: Option<NotToken>,
    pub(super) evidence: Evidence,
    /// Gathered where somebody asks for them.
    notes: Option<SharedNotes>,
    min: u16,
    max: u16,
}

impl Checker {
    pub(crate) fn new(limits: &Limits, sorter: Sorter, bad: Bad, notes: Option<SharedNotes>) -> Self {
        Self {
            sorter,
            bad,
            good: 0,
            blanks: 0,
            first_not_token: None,
            evidence: Evidence::default(),
            notes,
            min: limits.row_chars_min,
            max: limits.row_chars_max,
        }
    }

    /// Judges a row that is all in memory.
    pub(super) fn row(&mut self, line: u64, raw: &[u8]) -> io::Result<()> {
        if self.hex_row(line, raw)? {
            return Ok(());
        }
        let raw = raw.strip_suffix(b"\r").unwrap_or(raw);
        // Nearly every row is of visible ASCII, where bytes are characters and there is nothing to trim.
        if raw.iter().fold(true, |plain, byte| plain & byte.is_ascii_graphic()) && !raw.is_empty() {
            return self.measured(line, raw, raw.len() as u64);
        }
        let Ok(text) = std::str::from_utf8(raw) else { return self.not_utf8(line, raw) };
        let row = text.trim();
        if row.is_empty() {
            self.blanks += 1;
            return Ok(());
        }
        self.evidence.utf8_rows += u64::from(!row.is_ascii());
        if let Some(char) = row.chars().find(|c| c.is_control()) {
            return self.bad.push(line, Reason::Control { char }, row.as_bytes());
        }
        self.measured(line, row.as_bytes(), row.chars().count() as u64)
    }

    /// Takes a row if it is good and nothing but hexadecimal digits, as far as they can be told from others; else nothing is
    /// said of it.
    pub(super) fn hex_row(&mut self, line: u64, raw: &[u8]) -> io::Result<bool> {
        let raw = raw.strip_suffix(b"\r").unwrap_or(raw);
        let taken = raw.len() >= self.min.into() && raw.len() <= self.max.into() && self.sorter.push_hex(raw)?;
        if taken {
            self.kept(line, raw, raw.len() as u64);
        }
        Ok(taken)
    }

    /// Judges a row that came in pieces.
    pub(super) fn carried(&mut self, line: u64, carry: &mut Carry) -> io::Result<()> {
        let (head, tally) = carry.row();
        let Some(tally) = tally else { return self.row(line, head) };
        if tally.not_utf8 {
            return self.not_utf8(line, head.strip_suffix(b"\r").unwrap_or(head));
        }
        if tally.chars > u64::from(self.max) {
            let reason = match tally.control {
                Some(char) => Reason::Control { char },
                None => Reason::TooLong { chars: tally.chars, max: self.max },
            };
            self.evidence.utf8_rows += u64::from(tally.beyond_ascii);
            // Blanks at the end of a cut head stand inside the row.
            let whole = std::str::from_utf8(head).ok().filter(|_| !tally.full);
            return self.bad.push(line, reason, whole.map_or(head, |row| row.trim_end().as_bytes()));
        }
        // Blanks are all that was not kept, so the head is the row.
        self.row(line, head)
    }

    /// A csv value that goes on after its closing quote.
    pub(super) fn after_quote(&mut self, line: u64, carry: &mut Carry) -> io::Result<()> {
        self.bad.push(line, Reason::AfterQuote, carry.row().0)
    }

    /// A row, without its line end, that is not UTF-8.
    fn not_utf8(&mut self, line: u64, raw: &[u8]) -> io::Result<()> {
        let before = raw.utf8_chunks().next().map_or(0, |chunk| chunk.valid().len() - chunk.valid().trim_start().len());
        let row = &raw[before..];
        self.evidence.not_utf8(line, row);
        self.bad.push(line, Reason::NotUtf8, row)
    }

    fn measured(&mut self, line: u64, row: &[u8], chars: u64) -> io::Result<()> {
        if chars < u64::from(self.min) {
            return self.bad.push(line, Reason::TooShort { chars, min: self.min }, row);
        }
        if chars > u64::from(self.max) {
            return self.bad.push(line, Reason::TooLong { chars, max: self.max }, row);
        }
        self.kept(line, row, chars);
        self.sorter.push(row)
    }

    fn kept(&mut self, line: u64, row: &[u8], chars: u64) {
        if chars != TOKEN_CHARS as u64 && self.first_not_token.is_none() {
            self.first_not_token = Some(NotToken { line, chars, excerpt: excerpt(row, EXCERPT_CHARS) });
        }
        if let Some(notes) = &self.notes {
            notes::look(notes, line, row);
        }
        self.good += 1;
    }
}
