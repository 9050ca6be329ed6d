//! Ledger: what a customer asked of the server, what it was answered, and what must have become of it.

use std::time::Instant;

use crate::halts::Halt;

/// What became of something the server was asked to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The server answered with this id.
    Answered(String),
    /// No answer came, and the server was found to have kept it under this id.
    Found(String),
    /// No answer came: it may have been kept or not.
    Unanswered,
    /// The server refused it, or was found not to have kept it.
    Absent,
}

impl Fate {
    /// Its id, where it was kept.
    pub(crate) fn id(&self) -> Option<&str> {
        match self {
            Self::Answered(id) | Self::Found(id) => Some(id),
            Self::Unanswered | Self::Absent => None,
        }
    }
}

/// What the rows of a package are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Accounts,
    Tokens,
}

/// An upload.
#[derive(Debug)]
pub(crate) struct Upload {
    /// Name of its file, which no other upload of the customer has.
    pub(crate) file_name: String,
    pub(crate) kind: Kind,
    pub(crate) fate: Fate,
    /// Distinct rows.
    pub(crate) rows: u64,
    pub(crate) duplicates: u64,
    pub(crate) blanks: u64,
    pub(crate) bad_rows: u64,
    /// Size of the file.
    pub(crate) bytes: u64,
    /// Rows that name no device.
    pub(crate) no_device: u64,
    /// Places of the phones it names.
    pub(crate) phones: Vec<usize>,
    /// Whether a push read it.
    pub(crate) pushed: bool,
}

/// A push.
#[derive(Debug)]
pub(crate) struct Push {
    /// Which no other push of the customer has.
    pub(crate) title: String,
    /// Before which the server knew nothing of it.
    pub(crate) since: Instant,
    pub(crate) fate: Fate,
    /// Rows of its audience.
    pub(crate) rows: u64,
    /// Those that name no device.
    pub(crate) no_device: u64,
    /// Places of the phones it is for.
    pub(crate) phones: Vec<usize>,
    /// Rows done when it was last looked at.
    pub(crate) rows_done: u64,
    /// Whether it was to be stopped or revoked.
    pub(crate) halt: Option<Halt>,
}

/// A device that was registered and bound to an account of its own.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) token: String,
    pub(crate) account: String,
}

/// All a customer asked for since the last round.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) uploads: Vec<Upload>,
    pub(crate) pushes: Vec<Push>,
    /// Those that were answered.
    pub(crate) registrations: Vec<Registration>,
    /// Uploads and pushes ever named: each has a number of its own.
    pub(crate) named: u64,
    /// Pushes that ended in earlier rounds, and at how many devices they arrived.
    pub(crate) ended: Vec<(String, u64)>,
}

impl Ledger {
    /// A name nothing else of the customer has.
    pub(crate) fn name(&mut self, of: &str) -> String {
        self.named += 1;
        format!("{of}-{}", self.named)
    }
}
