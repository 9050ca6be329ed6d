//! Rejected rows: the CSV file (`line,reason,row`) of what was left out of a package, for the user to correct.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use tempfile::NamedTempFile;

use crate::BadRow;
use crate::disk::incoming;
use crate::excerpt::excerpt;

/// Characters kept of a rejected row; more than twice the longest good row under the default limits.
pub(crate) const ROW_CHARS: usize = 256;

/// A bounded file of bad rows that is still being written; dropping it removes it.
pub(crate) struct Rejected {
    out: BufWriter<NamedTempFile>,
    room: u64,
    left_out: u64,
}

impl Rejected {
    pub(crate) fn create(dir: &Path, room: u64) -> io::Result<Self> {
        let mut out = BufWriter::new(incoming(dir)?);
        out.write_all(b"line,reason,row\r\n")?;
        Ok(Self { out, room, left_out: 0 })
    }

    /// Appends one row, or counts it when the file has no room left.
    pub(crate) fn push(&mut self, bad: &BadRow, raw: &[u8]) -> io::Result<()> {
        let record =
            format!("{},{},{}\r\n", bad.line, quoted(&bad.reason.to_string()), quoted(&excerpt(raw, ROW_CHARS)));
        // Once one row is left out, all later ones are, so that the file is a prefix of the list.
        if self.left_out > 0 || record.len() as u64 > self.room {
            self.left_out += 1;
            return Ok(());
        }
        self.room -= record.len() as u64;
        self.out.write_all(record.as_bytes())
    }

    /// Ends the file durably; its last record tells how many bad rows it leaves out, if any.
    pub(crate) fn finish(mut self) -> io::Result<NamedTempFile> {
        if self.left_out > 0 {
            write!(self.out, ",{} more bad rows are not listed,\r\n", self.left_out)?;
        }
        let file = self.out.into_inner().map_err(io::IntoInnerError::into_error)?;
        File::sync_all(file.as_file())?;
        Ok(file)
    }
}

/// RFC 4180: quotes around a value that needs them, quotes inside doubled. Line ends cannot occur: an excerpt escapes them.
fn quoted(value: &str) -> String {
    let plain = !value.contains([',', '"']) && value.trim().len() == value.len();
    if plain { value.to_owned() } else { format!("\"{}\"", value.replace('"', "\"\"")) }
}
