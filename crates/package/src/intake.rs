//! Intake: one upload on its way in, from the first byte to a package that is durable but not yet visible.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::disk::{INCOMING_PREFIX, Sorter, write_package};
use crate::limits::{BadRows, Limits};
use crate::name::{FileName, Format};
use crate::notes::SharedNotes;
use crate::rows::{Bad, Checker, Layout, Observer, Text};
use crate::summary::Summary;
use crate::{IntakeError, Refusal, zip};

/// An upload that is being taken in. Blocks while it writes to disk.
///
/// Every file it makes lies in the folder given to [`begin`](Self::begin), is named `.incoming-…` or not at all, and is
/// removed when the intake is dropped; after a crash [`sweep`] removes what was left.
pub struct Intake {
    dir: PathBuf,
    limits: Limits,
    bytes: u64,
    format: Format,
    stage: Stage,
}

enum Stage {
    /// The name has no extension, and too few bytes came to tell the format.
    Undecided(Vec<u8>, Checker),
    Text(Box<Text>),
    Zip(File, Checker),
    /// An error was returned; nothing can be expected of the rest.
    Failed(Refusal),
    Broken,
}

impl Intake {
    /// Starts an intake whose files go to `dir`, which must exist and be on the file system of the final path.
    ///
    /// # Errors
    /// [`IntakeError::Io`], when a temporary file cannot be made.
    pub fn begin(dir: &Path, name: FileName, limits: Limits, bad_rows: BadRows) -> Result<Self, IntakeError> {
        Self::observed(dir, name, limits, bad_rows, None, None)
    }

    pub(crate) fn observed(
        dir: &Path,
        name: FileName,
        limits: Limits,
        bad_rows: BadRows,
        observer: Option<Observer>,
        notes: Option<SharedNotes>,
    ) -> Result<Self, IntakeError> {
        let bad = Bad::new(dir, &limits, bad_rows, observer).map_err(IntakeError::io("create a temporary file"))?;
        let sorter = Sorter::new(dir, limits.sort_memory, 4 * usize::from(limits.row_chars_max));
        let checker = Checker::new(&limits, sorter, bad, notes);
        let mut intake = Self { dir: dir.to_owned(), limits, bytes: 0, format: Format::Txt, stage: Stage::Broken };
        intake.stage = match name.format() {
            None => Stage::Undecided(Vec::new(), checker),
            Some(format) => intake.decide(format, checker)?,
        };
        Ok(intake)
    }

    fn decide(&mut self, format: Format, checker: Checker) -> Result<Stage, IntakeError> {
        self.format = format;
        Ok(match format {
            Format::Zip => {
                let spool = tempfile::tempfile_in(&self.dir).map_err(IntakeError::io("create a temporary file"))?;
                Stage::Zip(spool, checker)
            }
            Format::Txt => Stage::Text(Box::new(Text::new(Layout::Lines, &self.limits, checker))),
            Format::Csv => Stage::Text(Box::new(Text::new(Layout::Csv, &self.limits, checker))),
        })
    }

    /// Takes the next bytes of the file, in chunks of any size.
    ///
    /// # Errors
    /// A refusal as soon as no later byte could change it (size, a second column, UTF-16); bad rows are counted to the end
    /// instead. After an error every further call returns one, and the file is as good as dropped.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), IntakeError> {
        let result = self.take(bytes);
        if let Err(error) = &result {
            self.stage = match error {
                IntakeError::Refused(refusal) => Stage::Failed(refusal.clone()),
                IntakeError::Io { .. } => Stage::Broken,
            };
        }
        result
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), IntakeError> {
        self.bytes += bytes.len() as u64;
        if self.bytes > self.limits.file_bytes {
            self.usable()?;
            return Err(Refusal::TooLarge { limit: self.limits.file_bytes }.into());
        }
        match &mut self.stage {
            Stage::Undecided(head, _) => {
                head.extend_from_slice(bytes);
                if head.len() < 4 { Ok(()) } else { self.decide_by_content() }
            }
            Stage::Text(text) => text.write(bytes),
            Stage::Zip(spool, _) => spool.write_all(bytes).map_err(IntakeError::io("spool the archive")),
            Stage::Failed(_) | Stage::Broken => self.usable(),
        }
    }

    fn usable(&self) -> Result<(), IntakeError> {
        match &self.stage {
            Stage::Failed(refusal) => Err(refusal.clone().into()),
            Stage::Broken => {
                Err(IntakeError::io("continue an upload that has failed")(io::Error::other("failed earlier")))
            }
            _ => Ok(()),
        }
    }

    /// A name without an extension: an archive begins as one, everything else is text.
    fn decide_by_content(&mut self) -> Result<(), IntakeError> {
        let (head, checker) = match std::mem::replace(&mut self.stage, Stage::Broken) {
            Stage::Undecided(head, checker) => (head, checker),
            decided => {
                self.stage = decided;
                return Ok(());
            }
        };
        let is_zip = head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06");
        self.stage = self.decide(if is_zip { Format::Zip } else { Format::Txt }, checker)?;
        match &mut self.stage {
            Stage::Text(text) => text.write(&head),
            Stage::Zip(spool, _) => spool.write_all(&head).map_err(IntakeError::io("spool the archive")),
            _ => Ok(()),
        }
    }

    /// The end of the file: checks what only the whole can tell, and writes the package durably.
    ///
    /// # Errors
    /// A refusal, or what the system says; nothing is left behind then.
    pub fn finish(mut self) -> Result<Ready, IntakeError> {
        self.usable()?;
        if self.bytes == 0 {
            return Err(Refusal::Empty.into());
        }
        self.decide_by_content()?;
        let checker = match self.stage {
            Stage::Text(text) => text.finish()?,
            Stage::Zip(mut spool, checker) => {
                spool.seek(SeekFrom::Start(0)).map_err(IntakeError::io("read the spooled archive"))?;
                let open = |format| {
                    let layout = if format == Format::Csv { Layout::Csv } else { Layout::Lines };
                    Text::new(layout, &self.limits, checker)
                };
                zip::expand(spool, self.limits.expanded_bytes, open, Text::write)?.finish()?
            }
            // Neither is possible after the two checks above.
            Stage::Undecided(..) | Stage::Failed(_) | Stage::Broken => return Err(Refusal::Empty.into()),
        };
        Ready::write(&self.dir, self.format, self.bytes, checker)
    }
}

/// A package that is checked, complete and synced, but under a temporary name. Dropping it removes it.
#[derive(Debug)]
pub struct Ready {
    package: NamedTempFile,
    rejected: Option<NamedTempFile>,
    summary: Summary,
}

impl Ready {
    fn write(dir: &Path, format: Format, file_bytes: u64, checker: Checker) -> Result<Self, IntakeError> {
        let Checker { sorter, bad, good, blanks, first_not_token, .. } = checker;
        // With the policy "skip" a file without a single good row is refused as well.
        if bad.count > 0 && (bad.rejected.is_none() || good == 0) {
            return Err(bad.refusal().into());
        }
        let written = write_package(dir, sorter.finish()).map_err(IntakeError::io("write the package"))?;
        let rejected = match bad.rejected {
            Some(rejected) if bad.count > 0 => {
                Some(rejected.finish().map_err(IntakeError::io("write the rejected rows"))?)
            }
            _ => None,
        };
        let summary = Summary {
            format,
            rows: written.rows,
            duplicates: good - written.rows,
            blanks,
            bad_rows: bad.count,
            bad_first: bad.first,
            not_tokens: written.not_tokens,
            first_not_token,
            file_bytes,
            package_bytes: written.bytes,
        };
        Ok(Self { package: written.file, rejected, summary })
    }

    /// What was found.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Makes the package visible as `path`, and the rejected rows, if there are any, as [`rejected_path`] of it. Both
    /// survive power loss once this returns. A file of that name is replaced.
    ///
    /// # Errors
    /// [`IntakeError::Io`]; neither file is there then.
    pub fn publish(self, path: &Path) -> Result<Published, IntakeError> {
        let failed = |source| IntakeError::Io { doing: "publish the package", source };
        let rejected = match self.rejected {
            Some(file) => {
                let path = rejected_path(path);
                file.persist(&path).map_err(|error| failed(error.error))?;
                Some(path)
            }
            None => None,
        };
        let placed = self.package.persist(path).map_err(|error| error.error).and_then(|_| sync_folder_of(path));
        if let Err(source) = placed {
            // Best effort: what is already wrong is what gets reported.
            let _ = fs::remove_file(path);
            let _ = rejected.map(fs::remove_file);
            return Err(failed(source));
        }
        Ok(Published { summary: self.summary, path: path.to_owned(), rejected })
    }
}

/// A package in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// What was found.
    pub summary: Summary,
    /// The package file.
    pub path: PathBuf,
    /// The CSV file of rejected rows, when there were any.
    pub rejected: Option<PathBuf>,
}

/// Where the rejected rows of the package at `path` lie: beside it, ending in `.rejected.csv`.
pub fn rejected_path(path: &Path) -> PathBuf {
    path.with_extension("rejected.csv")
}

/// Removes from `dir` what intakes left there that ended with the process; to be called before the first intake begins.
/// Returns how many files were removed.
///
/// # Errors
/// What the system says about the folder or a file.
pub fn sweep(dir: &Path) -> io::Result<usize> {
    let mut removed = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(INCOMING_PREFIX.as_bytes()) && entry.file_type()?.is_file()
        {
            fs::remove_file(entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// A rename is durable once the folder is synced.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
