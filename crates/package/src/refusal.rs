//! Refusal: what is wrong with a user's file. Each text names the thing, the place and the remedy, on one line.
//!
//! Which code of the API a refusal becomes is the server's matter; it goes by [`RefusalKind`].

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::NAME_CHARS_MAX;

/// Why a file is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The part has no file name.
    #[error("the file has no name; give it a name of 1 to {NAME_CHARS_MAX} characters that ends in .zip, .txt or .csv")]
    NameEmpty,
    /// The name has too many characters.
    #[error("the file name has {chars} characters; shorten it to at most {NAME_CHARS_MAX}")]
    NameTooLong {
        /// Characters of the base name.
        chars: usize,
    },
    /// The name ends in something else than the three formats.
    #[error("the file name {name:?} does not end in .zip, .txt or .csv; save the list as one of these")]
    Extension {
        /// The base name.
        name: String,
    },
    /// The uploaded file is larger than the limit.
    #[error("the file is larger than {limit} bytes; zip it, or split it into several files")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The file has no byte at all.
    #[error("the file is empty; write one account or token per row")]
    Empty,
    /// There are blank rows and no others.
    #[error("the file holds no rows{}; write one account or token per row", blank(*.blanks))]
    NoRows {
        /// Rows with nothing but blanks.
        blanks: u64,
    },
    /// The file as a whole is written in another encoding.
    #[error(
        "the file is not UTF-8: it looks like {looks_like}, first on line {line}; save it as UTF-8 \
         (in Excel: \"CSV UTF-8\")"
    )]
    Encoding {
        /// Line of the first bytes that are not UTF-8, from 1.
        line: u64,
        /// The name of the encoding it seems to be.
        looks_like: &'static str,
    },
    /// A csv file has more than one column.
    #[error(
        "line {line} has a second column (an unquoted comma, even at the end of the row); keep one column, \
         or put quotes around a value with a comma"
    )]
    SecondColumn {
        /// Line where the row starts, from 1.
        line: u64,
    },
    /// A quote of a csv file is never closed.
    #[error("the quote opened on line {line} is never closed; close it, or double a quote that belongs to the value")]
    UnclosedQuote {
        /// Line of the opening quote, from 1.
        line: u64,
    },
    /// A file named txt or csv is a zip archive (a renamed one, or a spreadsheet).
    #[error("the file is a zip archive or a spreadsheet, not text; name an archive .zip, save a sheet as .csv")]
    ArchiveAsText,
    /// A file named txt or csv is of a kind that is known by its first bytes, and not text.
    #[error("the file is {what}, not text; {remedy}")]
    NotText {
        /// What it is.
        what: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// Some rows are bad, and the policy refuses the file for it; or no good one is left.
    #[error("{}", BadRowsText { count: *.count, first })]
    BadRows {
        /// How many.
        count: u64,
        /// The first ten in the order of the file.
        first: Vec<BadRow>,
    },
    /// Something about the archive.
    #[error(transparent)]
    Zip(#[from] ZipTrouble),
}

/// What is wrong with an archive, or with the one entry it may have. Entry names are excerpts of at most 40 characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ZipTrouble {
    /// The file named `.zip` has no end-of-archive record.
    #[error("the file is not a complete zip archive (its end is missing); zip it again, or upload the text itself")]
    NotAnArchive,
    /// No entry is left after the extras of macOS are skipped.
    #[error("the archive holds no file; put one .txt or .csv file into it")]
    NoFile,
    /// More than one entry.
    #[error("the archive holds more than one file ({first:?} and {second:?}); keep one .txt or .csv file in it")]
    TwoFiles {
        /// The first of them.
        first: String,
        /// The second.
        second: String,
    },
    /// A folder, or a file in one, or a path that leads elsewhere.
    #[error("{entry:?} in the archive is a folder or stands in one; put the file at the top of the archive")]
    Folder {
        /// The entry.
        entry: String,
    },
    /// The entry is not a txt or csv file.
    #[error("{entry:?} in the archive does not end in .txt or .csv; zip the list as one of these")]
    EntryExtension {
        /// The entry.
        entry: String,
    },
    /// The archive is a document of an office program under another name.
    #[error("the file is a spreadsheet (.xlsx or the like) that was named .zip; open it and save its sheet as .csv")]
    Spreadsheet,
    /// The entry is an archive itself.
    #[error("{entry:?} in the archive is a zip archive or a spreadsheet itself; zip the text file")]
    Nested {
        /// The entry.
        entry: String,
    },
    /// The entry needs a password.
    #[error("{entry:?} in the archive is encrypted; zip it without a password")]
    Encrypted {
        /// The entry.
        entry: String,
    },
    /// The entry is packed by another method than "stored" and "deflate".
    #[error("{entry:?} in the archive is packed by method {method}; zip it with the usual one, deflate")]
    Method {
        /// The entry.
        entry: String,
        /// The number of the method in the zip specification.
        method: u16,
    },
    /// The entry expands to more than the limit.
    #[error("{entry:?} in the archive expands to more than {limit} bytes; split the list into several files")]
    TooLarge {
        /// The entry.
        entry: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// Bytes are missing or wrong.
    #[error("the archive is damaged ({what}); zip the file again and repeat the upload")]
    Damaged {
        /// What does not fit.
        what: &'static str,
    },
}

/// The classes of refusals that the API tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// Nothing in it: "uploaded file is empty", 1008012.
    Empty,
    /// Name, size, format or rows: "parameter invalid", 1008007.
    Invalid,
    /// It broke on its way or on the user's disk: "file upload failed", 1008011.
    Unreadable,
}

impl Refusal {
    /// The class of this refusal.
    pub fn kind(&self) -> RefusalKind {
        match self {
            Self::Empty | Self::NoRows { .. } | Self::Zip(ZipTrouble::NoFile) => RefusalKind::Empty,
            Self::Zip(ZipTrouble::NotAnArchive | ZipTrouble::Damaged { .. }) => RefusalKind::Unreadable,
            _ => RefusalKind::Invalid,
        }
    }

    /// Whether there was nothing in the file.
    pub fn is_empty(&self) -> bool {
        self.kind() == RefusalKind::Empty
    }
}

/// A row that is not what the contract takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadRow {
    /// Line of the file where the row starts, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: Reason,
    /// At most 40 printable characters of the row.
    pub excerpt: String,
}

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {} [{}]", self.line, self.reason, self.excerpt)
    }
}

/// What is wrong with a row. Lengths are in characters, without the blanks around the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Too few characters.
    #[error("{} of at least {min}", plural(*.chars, "character"))]
    TooShort {
        /// How many.
        chars: u64,
        /// How many are needed.
        min: u16,
    },
    /// Too many characters.
    #[error("{} of at most {max}", plural(*.chars, "character"))]
    TooLong {
        /// How many.
        chars: u64,
        /// How many are allowed.
        max: u16,
    },
    /// Bytes that are not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// A control character inside the row, a NUL or a tab for instance.
    #[error("control character U+{:04X}{}", u32::from(*.char), remedy(*.char))]
    Control {
        /// The first such character.
        char: char,
    },
    /// A csv value goes on after its closing quote.
    #[error("text after the closing quote")]
    AfterQuote,
}

/// The two that come from spreadsheets rather than from damage.
fn remedy(control: char) -> &'static str {
    match control {
        '\t' => " (a tab: keep one column)",
        '\r' => " (a carriage return: end rows in LF or CRLF)",
        _ => "",
    }
}

fn blank(rows: u64) -> String {
    if rows == 0 { String::new() } else { format!(" ({rows} blank)") }
}

pub(crate) fn plural(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

struct BadRowsText<'a> {
    count: u64,
    first: &'a [BadRow],
}

impl fmt::Display for BadRowsText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", plural(self.count, "bad row"))?;
        for (nth, row) in self.first.iter().enumerate() {
            write!(f, "{}{row}", if nth == 0 { "" } else { ", " })?;
        }
        let more = self.count - self.first.len() as u64;
        if more > 0 {
            write!(f, ", and {more} more")?;
        }
        // Such a row is rarely wrong by itself: the program that saved the file wrote another encoding.
        let encoding = self.first.iter().any(|row| row.reason == Reason::NotUtf8);
        let save = if encoding { "save the file as UTF-8 (in Excel: \"CSV UTF-8\"), " } else { "" };
        write!(f, "; {save}correct or remove them, or have bad rows skipped (bad_rows = skip)")
    }
}
