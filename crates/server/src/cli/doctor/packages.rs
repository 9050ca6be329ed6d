//! Packages: each row of the database has its file, whole, and each file its row.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use pigeonloft_model::UploadId;
use pigeonloft_package::{INCOMING_PREFIX, ReadError, rejected_path, verify};
use pigeonloft_store::Package;
use pigeonloft_store::doctor::Doctor as Examiner;

use super::Trouble;
use super::folder::{REMOVED_PREFIX, cannot_look};
use super::report::Report;
use crate::chain::chain;
use crate::folder::PACKAGES;
use crate::packages::ENDING;

const AREA: &str = "packages";

/// Rows of packages held at a time.
const PAGE: u32 = 500;

/// Reads the file of each package to its end.
pub(super) fn examine_rows(examiner: &Examiner, data_dir: &Path, report: &mut Report) -> Result<(), Trouble> {
    let mut after = UploadId(0);
    loop {
        let page = examiner.packages(after, PAGE)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.upload_id;
        for package in &page {
            report.looks_at(format_args!("package {} ({} rows)", package.upload_id, package.details.rows));
            examine_row(examiner, data_dir, package, report)?;
            report.examined.packages += 1;
            report.examined.package_rows += package.details.rows;
        }
    }
}

fn examine_row(examiner: &Examiner, data_dir: &Path, package: &Package, report: &mut Report) -> Result<(), Trouble> {
    let details = &package.details;
    let file = data_dir.join(PACKAGES).join(&details.stored_as);
    let name = format!("package {} ({:?} of app {})", package.upload_id, details.file_name, details.access_id);
    let trouble = match verify(&file) {
        Ok(rows) if rows == details.rows => None,
        Ok(rows) => Some(format!("its file holds {rows} rows, it was uploaded with {}", details.rows)),
        Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::NotFound => Some("its file is missing".to_owned()),
        Err(error) => Some(chain(&error)),
    };
    if let Some(trouble) = trouble {
        let pushes = examiner.unfinished_pushes_to(package.upload_id)?;
        let pushes: Vec<String> = pushes.iter().map(ToString::to_string).collect();
        let needed = match pushes.as_slice() {
            [] => String::new(),
            pushes => format!("; unfinished pushes need it and end PUSH_FAILED without it: {}", pushes.join(", ")),
        };
        report.remains(
            AREA,
            format_args!("{name}: {trouble}{needed}"),
            format_args!(
                "put {PACKAGES}/{} back from the backup, before the server starts; or upload the list again, push to \
                 its new uploadId and remove the old one: DELETE /v1/packages/{}",
                details.stored_as, package.upload_id
            ),
        )?;
    } else if details.bad_rows > 0 && !rejected_path(&file).exists() {
        report.note(AREA, format_args!("{name}: the list of its {} rejected rows is lost", details.bad_rows))?;
    }
    Ok(())
}

/// Looks for files of no package.
pub(super) fn examine_files(examiner: &Examiner, data_dir: &Path, report: &mut Report) -> Result<(), Trouble> {
    let folder = data_dir.join(PACKAGES);
    report.looks_at("files of packages");
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        // The server makes it when it starts; packages without it have been named one by one.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(cannot_look(&folder, &error).into()),
    };
    let removed = Removed::beside(data_dir);
    for entry in entries {
        let entry = entry.map_err(|error| cannot_look(&folder, &error))?;
        if entry.file_type().map_err(|error| cannot_look(&entry.path(), &error))?.is_dir() {
            // Nothing of the server's, and it leaves folders alone.
            continue;
        }
        let (name, path) = (entry.file_name().to_string_lossy().into_owned(), entry.path());
        let what = format!("{PACKAGES}/{name}");
        if name.starts_with(INCOMING_PREFIX) {
            report.repair(
                AREA,
                format_args!("{what} is of an upload that never ended"),
                "it was deleted",
                format_args!("delete {}", path.display()),
                || fs::remove_file(&path),
            )?;
        } else if !belongs(examiner, &name)? {
            report.repair(
                AREA,
                format_args!("{what} belongs to no package"),
                format_args!("it was moved to {}", removed.name),
                format_args!("move {} away: the server deletes it when it starts", path.display()),
                || removed.take(&path),
            )?;
        }
    }
    Ok(())
}

/// Whether a file is that of a package, or the list of rejected rows of one.
fn belongs(examiner: &Examiner, name: &str) -> Result<bool, Trouble> {
    match name.split_once('.') {
        // Hidden files and those without an ending are nothing of the server's, and it leaves them alone.
        None | Some(("", _)) => Ok(true),
        Some((base, ending)) if format!(".{ending}") == ENDING || ending == rejected_ending() => {
            Ok(examiner.is_stored(&format!("{base}{ENDING}"))?)
        }
        Some(_) => Ok(false),
    }
}

/// What the name of a list of rejected rows ends in, after the first dot.
fn rejected_ending() -> String {
    let path = rejected_path(Path::new("x.x"));
    path.to_string_lossy().split_once('.').map(|(_, ending)| ending.to_owned()).unwrap_or_default()
}

/// Where files go that may still matter to somebody.
struct Removed {
    name: String,
    path: PathBuf,
}

impl Removed {
    fn beside(data_dir: &Path) -> Self {
        let name = format!("{REMOVED_PREFIX}{}", Timestamp::now().strftime("%Y-%m-%dT%H-%M-%SZ"));
        Self { path: data_dir.join(&name), name }
    }

    fn take(&self, file: &Path) -> io::Result<()> {
        crate::folder::create(&self.path)?;
        fs::rename(file, self.path.join(file.file_name().unwrap_or_default()))
    }
}
