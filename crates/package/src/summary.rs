//! Summary: what an intake found, in figures; kept by the store beside the package.

use serde::{Deserialize, Serialize};

use crate::{BadRow, Format, Refusal};

/// What a file held. Counts are of rows, sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The format of the uploaded file (`zip` also when a csv stood in it).
    pub format: Format,
    /// Distinct good rows: the rows of the package.
    pub rows: u64,
    /// Good rows beyond the first of their kind, not kept.
    pub duplicates: u64,
    /// Rows with nothing but blanks, skipped.
    pub blanks: u64,
    /// Rows that are not what the contract takes.
    pub bad_rows: u64,
    /// The first ten of them, in the order of the file.
    pub bad_first: Vec<BadRow>,
    /// Rows of the package that do not have exactly 36 characters; a push to tokens needs this to be 0.
    pub not_tokens: u64,
    /// The first such row of the file.
    pub first_not_token: Option<NotToken>,
    /// Bytes of the uploaded file.
    pub file_bytes: u64,
    /// Bytes of the package on disk.
    pub package_bytes: u64,
}

/// A good row that cannot be a device token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotToken {
    /// Line of the file where the row starts, from 1.
    pub line: u64,
    /// Characters of the row.
    pub chars: u64,
    /// At most 40 printable characters of the row.
    pub excerpt: String,
}

impl Summary {
    /// The refusal that [`BadRows::Refuse`](crate::BadRows::Refuse) gives to such a file.
    pub fn refusal(&self) -> Option<Refusal> {
        (self.bad_rows > 0).then(|| Refusal::BadRows { count: self.bad_rows, first: self.bad_first.clone() })
    }
}
