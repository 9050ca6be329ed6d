//! Limits: what an upload may cost, each with its default; and the policy for bad rows.

/// The length of a device token in characters, fixed by the contract ("one token (36 characters) per row").
pub const TOKEN_CHARS: usize = 36;

/// The bounds of one intake. Every figure is a default that configuration may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the uploaded file itself, at most. The contract says "within 100 MB"; 104,857,600.
    pub file_bytes: u64,
    /// Bytes the entry of a zip may expand to, counted as they come out, at most. 4 GiB.
    pub expanded_bytes: u64,
    /// Characters of a row, at least. 2.
    pub row_chars_min: u16,
    /// Characters of a row, at most. 100.
    pub row_chars_max: u16,
    /// Bytes of rows held before some are spilled to disk. 40 MiB, of the 52 that 100 MiB of tokens take; raised to 64 KiB (or
    /// 128 of the longest rows) when smaller, lowered to 1 GiB when larger. Some 6 MiB come to it for sorting.
    pub sort_memory: usize,
    /// Bytes of the file of rejected rows ([`BadRows::Skip`]), at most; bad rows beyond it are counted only. 64 MiB.
    pub rejected_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes: 100 << 20,
            expanded_bytes: 4 << 30,
            row_chars_min: 2,
            row_chars_max: 100,
            sort_memory: 40 << 20,
            rejected_bytes: 64 << 20,
        }
    }
}

/// What a bad row does to the file it stands in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BadRows {
    /// One bad row refuses the whole file; the refusal names how many there are and the first ten.
    #[default]
    Refuse,
    /// The good rows are kept, and the bad ones are listed in a CSV file beside the package.
    Skip,
}
