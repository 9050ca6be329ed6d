//! Text: a whole txt or csv file on its way in; its head is judged first, then its rows, then the file as a whole.

use super::checker::Checker;
use super::csv::Csv;
use super::encoding::{judge_head, judge_mark};
use super::txt::Txt;
use crate::limits::Limits;
use crate::{IntakeError, Refusal};

/// So much of the beginning is looked at as a whole.
pub(super) const HEAD_BYTES: usize = 1 << 10;

/// How a file parts its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    Lines,
    Csv,
}

/// A text file whose bytes come in chunks.
pub(crate) struct Text {
    /// Gathers the head; `None` once it is judged.
    head: Option<Vec<u8>>,
    splitter: Splitter,
    checker: Checker,
}

enum Splitter {
    Txt(Txt),
    Csv(Csv),
}

impl Text {
    pub(crate) fn new(layout: Layout, limits: &Limits, checker: Checker) -> Self {
        let splitter = match layout {
            Layout::Lines => Splitter::Txt(Txt::new(limits)),
            Layout::Csv => Splitter::Csv(Csv::new(limits)),
        };
        Self { head: Some(Vec::new()), splitter, checker }
    }

    /// Takes the next bytes. Refuses as soon as no later byte could save the file; bad rows alone never end it here.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> Result<(), IntakeError> {
        if let Some(head) = &mut self.head {
            let (more, rest) = bytes.split_at(bytes.len().min(HEAD_BYTES - head.len()));
            head.extend_from_slice(more);
            judge_mark(head)?;
            if head.len() < HEAD_BYTES {
                return Ok(());
            }
            self.end_head()?;
            bytes = rest;
        }
        self.split(bytes)
    }

    fn end_head(&mut self) -> Result<(), IntakeError> {
        let Some(head) = self.head.take() else { return Ok(()) };
        judge_head(&head)?;
        self.split(head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head))
    }

    fn split(&mut self, bytes: &[u8]) -> Result<(), IntakeError> {
        match &mut self.splitter {
            Splitter::Txt(txt) => txt.write(bytes, &mut self.checker).map_err(IntakeError::io("write sorted rows")),
            Splitter::Csv(csv) => csv.write(bytes, &mut self.checker),
        }
    }

    /// The end of the file. Returns what was found, unless the file as a whole is refused.
    pub(crate) fn finish(mut self) -> Result<Checker, IntakeError> {
        self.end_head()?;
        match self.splitter {
            Splitter::Txt(txt) => txt.finish(&mut self.checker).map_err(IntakeError::io("write sorted rows"))?,
            Splitter::Csv(csv) => csv.finish(&mut self.checker)?,
        }
        let mut checker = self.checker;
        std::mem::take(&mut checker.evidence).judge(checker.good + checker.bad.count)?;
        if checker.good == 0 && checker.bad.count == 0 {
            return Err(Refusal::NoRows { blanks: checker.blanks }.into());
        }
        Ok(checker)
    }
}
