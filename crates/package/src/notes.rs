//! Notes: what a spreadsheet may have done to rows that are good as rows go. A check tells them; an upload takes the rows.

use std::sync::{Arc, Mutex, PoisonError};

use crate::excerpt::{EXCERPT_CHARS, excerpt};

/// What people call the column of accounts or tokens, in lower case.
const HEADERS: [&str; 29] = [
    "account",
    "accounts",
    "account_id",
    "account_list",
    "account_name",
    "accountid",
    "device",
    "device_token",
    "devicetoken",
    "email",
    "id",
    "mobile",
    "openid",
    "phone",
    "phone_number",
    "phonenumber",
    "token",
    "token_list",
    "tokens",
    "uid",
    "user",
    "user_id",
    "userid",
    "username",
    "手机",
    "手机号",
    "账号",
    "帐号",
    "用户名",
];

/// Whose trace a row bears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trace {
    /// The first row is the name of a column.
    Header,
    /// A long number was written as `1.39E+10`, its last digits are lost.
    Scientific,
    /// `;` or `|` stands inside: maybe columns that were meant to be parted.
    Separator,
    /// An apostrophe stands before it, by which spreadsheets mark text.
    Apostrophe,
}

/// Good rows that bear the same trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Which.
    pub trace: Trace,
    /// How many rows of the file, duplicates included.
    pub rows: u64,
    /// Line of the file where the first of them starts, from 1.
    pub line: u64,
    /// At most 40 printable characters of it.
    pub excerpt: String,
}

/// Gathers notes: one for each trace, whatever the file.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    found: Vec<Note>,
    has_first: bool,
}

/// Notes of an intake, which may be at work on another thread.
pub(crate) type SharedNotes = Arc<Mutex<Notes>>;

/// Looks at a good row, without blanks around it. Rows come in the order of the file.
pub(crate) fn look(notes: &SharedNotes, line: u64, row: &[u8]) {
    notes.lock().unwrap_or_else(PoisonError::into_inner).look(line, row);
}

/// What was found, in the order of the first rows.
pub(crate) fn take(notes: &SharedNotes) -> Vec<Note> {
    std::mem::take(&mut notes.lock().unwrap_or_else(PoisonError::into_inner).found)
}

impl Notes {
    fn look(&mut self, line: u64, row: &[u8]) {
        let is_first = !std::mem::replace(&mut self.has_first, true);
        for (trace, bears) in [
            (Trace::Header, is_first && is_header(row)),
            (Trace::Scientific, is_scientific(row)),
            (Trace::Separator, memchr::memchr2(b';', b'|', row).is_some()),
            (Trace::Apostrophe, row.first() == Some(&b'\'')),
        ] {
            if bears {
                self.add(trace, line, row);
            }
        }
    }

    fn add(&mut self, trace: Trace, line: u64, row: &[u8]) {
        match self.found.iter_mut().find(|note| note.trace == trace) {
            Some(note) => note.rows += 1,
            None => self.found.push(Note { trace, rows: 1, line, excerpt: excerpt(row, EXCERPT_CHARS) }),
        }
    }
}

fn is_header(row: &[u8]) -> bool {
    let Ok(row) = std::str::from_utf8(row) else { return false };
    let name = row.to_lowercase().replace([' ', '-'], "_");
    HEADERS.contains(&name.as_str())
}

/// Digits, maybe a point and digits, `E+` and digits: no spreadsheet leaves the sign out, and accounts such as `12E4` are.
fn is_scientific(row: &[u8]) -> bool {
    let Some(sign) = memchr::memchr(b'+', row) else { return false };
    let (before, exponent) = (&row[..sign], &row[sign + 1..]);
    let Some(mantissa) = before.strip_suffix(b"E").or_else(|| before.strip_suffix(b"e")) else { return false };
    let are_digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    let mut parts = mantissa.splitn(2, |byte| *byte == b'.');
    parts.all(are_digits) && are_digits(exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_in_scientific_notation_is_told_from_accounts_that_resemble_one() {
        for number in ["1.39E+10", "1E+11", "8.613800000001e+12"] {
            assert!(is_scientific(number.as_bytes()), "{number}");
        }
        for account in ["12E4", "+8613800000000", "E+10", "1.E+10", ".5E+1", "1.39E+", "a1E+10", "1E+1a", "ann+1", ""] {
            assert!(!is_scientific(account.as_bytes()), "{account}");
        }
    }

    #[test]
    fn the_name_of_a_column_is_one_in_the_first_row_alone() {
        for header in ["account", "Device Token", "PHONE", "手机号"] {
            assert!(is_header(header.as_bytes()), "{header}");
        }
        let mut notes = Notes::default();
        for (line, row) in [(3, "ann"), (4, "token"), (5, "'007"), (9, "a;b|c"), (10, "'008")] {
            notes.look(line, row.as_bytes());
        }
        let note = |trace, rows, line, excerpt: &str| Note { trace, rows, line, excerpt: excerpt.into() };
        assert_eq!(notes.found, [note(Trace::Apostrophe, 2, 5, "'007"), note(Trace::Separator, 1, 9, "a;b|c")]);
    }
}
