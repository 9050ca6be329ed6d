//! Check: the verdict of an upload on a file that lies here, without a server.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::notes::{self, SharedNotes};
use crate::rows::Observer;
use crate::{BadRow, BadRows, FileName, Intake, IntakeError, Limits, Note, Refusal, Summary};

/// What an upload of the file would meet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a file with bad rows is refused although its rows were counted"]
pub struct Checked {
    /// What was found.
    pub summary: Summary,
    /// Why an app that does not skip bad rows would be refused; `None`: any app may upload the file.
    pub refusal: Option<Refusal>,
    /// Traces that a spreadsheet may have left on good rows: none of them refuses the file.
    pub notes: Vec<Note>,
}

/// Takes the file at `path` in as an upload of its name would be, counts, and keeps nothing. `each_bad` is called with
/// every bad row in the order of the file. Temporary files go to the system's folder for them.
///
/// # Errors
/// The refusal, when there is nothing to count (wrong name or format, no good row); [`IntakeError::Io`].
pub fn check(
    path: &Path,
    limits: Limits,
    each_bad: impl FnMut(&BadRow) + Send + 'static,
) -> Result<Checked, IntakeError> {
    let name = FileName::parse(&path.to_string_lossy())?;
    let mut file = File::open(path).map_err(IntakeError::io("open the file"))?;
    let dir = tempfile::tempdir().map_err(IntakeError::io("create a temporary folder"))?;
    let notes = SharedNotes::default();
    let observer: Observer = Box::new(each_bad);
    let mut intake =
        Intake::observed(dir.path(), name, limits, BadRows::Skip, Some(observer), Some(SharedNotes::clone(&notes)))?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer).map_err(IntakeError::io("read the file"))? {
            0 => break,
            read => intake.write(&buffer[..read])?,
        }
    }
    let summary = intake.finish()?.summary().clone();
    let refusal = summary.refusal();
    Ok(Checked { summary, refusal, notes: notes::take(&notes) })
}
