//! Carry: a row whose end has not come yet. It holds what a good row could need, and only counts the rest.

use crate::limits::Limits;
use crate::rejected::ROW_CHARS;

/// The beginning of a row, and the count of what was beyond.
pub(super) struct Carry {
    head: Vec<u8>,
    head_max: usize,
    tally: Option<Tally>,
}

impl Carry {
    pub(super) fn new(limits: &Limits) -> Self {
        // The longest good row, or the longest piece of a bad one that is ever shown.
        let chars = usize::from(limits.row_chars_max).max(ROW_CHARS);
        Self { head: Vec::new(), head_max: 4 * chars + 4, tally: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.head.is_empty() && self.tally.is_none()
    }

    pub(super) fn clear(&mut self) {
        self.head.clear();
        self.tally = None;
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.tally.is_none() {
            if self.head.len() + bytes.len() <= self.head_max {
                self.head.extend_from_slice(bytes);
                return;
            }
            let held = std::mem::take(&mut self.head);
            self.tally = Some(Tally::default());
            self.count(&held);
        }
        self.count(bytes);
    }

    fn count(&mut self, bytes: &[u8]) {
        if let Some(tally) = &mut self.tally {
            tally.push(bytes, &mut self.head, self.head_max);
        }
    }

    /// The row: as it came when it is short; else without blanks before it, maybe cut at the end, and with its tally.
    pub(super) fn row(&mut self) -> (&[u8], Option<&Tally>) {
        if let Some(tally) = &mut self.tally {
            tally.end(&mut self.head, self.head_max);
        }
        (&self.head, self.tally.as_ref())
    }
}

/// What a row holds that is too long to keep.
#[derive(Default)]
pub(super) struct Tally {
    /// Characters from the first to the last that is not blank.
    pub(super) chars: u64,
    /// The first control character among them.
    pub(super) control: Option<char>,
    /// Some bytes are not UTF-8.
    pub(super) not_utf8: bool,
    /// Some characters are not ASCII.
    pub(super) beyond_ascii: bool,
    blanks_since: u64,
    beyond_since: bool,
    control_since: Option<char>,
    /// The head took all it can (later text would leave a gap in it), and is not the whole row.
    pub(super) full: bool,
    /// The beginning of a character whose end is in the next piece.
    torn: Vec<u8>,
}

impl Tally {
    fn push(&mut self, mut bytes: &[u8], head: &mut Vec<u8>, head_max: usize) {
        while !self.torn.is_empty()
            && let Some((byte, rest)) = bytes.split_first()
        {
            bytes = rest;
            self.torn.push(*byte);
            let torn = std::mem::take(&mut self.torn);
            self.piece(&torn, head, head_max);
        }
        self.piece(bytes, head, head_max);
    }

    fn piece(&mut self, bytes: &[u8], head: &mut Vec<u8>, head_max: usize) {
        if self.not_utf8 {
            head.extend_from_slice(&bytes[..bytes.len().min(head_max - head.len())]);
            return;
        }
        let good = match std::str::from_utf8(bytes) {
            Ok(text) => return self.text(text, head, head_max),
            Err(error) => {
                self.not_utf8 = error.error_len().is_some();
                error.valid_up_to()
            }
        };
        let (text, rest) = bytes.split_at(good);
        self.text(std::str::from_utf8(text).unwrap_or_default(), head, head_max);
        if self.not_utf8 {
            // Kept for the excerpt, and as a sample of the encoding.
            self.piece(rest, head, head_max);
        } else {
            self.torn = rest.to_vec();
        }
    }

    fn text(&mut self, text: &str, head: &mut Vec<u8>, head_max: usize) {
        // Blanks before the row do not belong to it.
        let text = if self.chars == 0 { text.trim_start() } else { text };
        let mut kept = if self.full { 0 } else { text.len().min(head_max - head.len()) };
        self.full |= kept < text.len();
        while !text.is_char_boundary(kept) {
            kept -= 1;
        }
        head.extend_from_slice(&text.as_bytes()[..kept]);
        for c in text.chars() {
            if c.is_control() {
                self.control_since = self.control_since.or(Some(c));
            }
            self.blanks_since += 1;
            self.beyond_since |= !c.is_ascii();
            if !c.is_whitespace() {
                self.chars += std::mem::take(&mut self.blanks_since);
                self.beyond_ascii |= std::mem::take(&mut self.beyond_since);
                self.control = self.control.or(self.control_since.take());
            }
        }
    }

    fn end(&mut self, head: &mut Vec<u8>, head_max: usize) {
        let torn = std::mem::take(&mut self.torn);
        self.not_utf8 |= !torn.is_empty();
        self.piece(&torn, head, head_max);
    }
}
