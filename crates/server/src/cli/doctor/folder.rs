//! The folder itself: who may look into it, whose its files are, and how much room there is.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use indicatif::HumanBytes;
use pigeonloft_store::DATABASE_FILE;

use super::report::Report;
use crate::cli::failure::Failure;
use crate::folder::{Disk, PACKAGES};
use crate::vault::KEY_FILE;

const AREA: &str = "folder";

/// Room on the disk that is worth a word; docs/OPERATIONS.md has an alarm at the same.
const LITTLE_ROOM: u64 = 2 << 30;

/// How the name of a folder begins into which a doctor moves what belongs to nothing.
pub(super) const REMOVED_PREFIX: &str = "doctor-removed-";

/// Bits of a mode: who is neither the owner nor of the owner's group; and these two together.
const OTHERS: u32 = 0o007;
const NOT_THE_OWNER: u32 = 0o077;

pub(super) fn examine(data_dir: &Path, report: &mut Report) -> Result<(), Failure> {
    report.looks_at("the folder");
    let packages = data_dir.join(PACKAGES);
    for folder in [data_dir, &packages] {
        // A group may be let in on purpose, for backups; all the world is not.
        restrict(folder, OTHERS, report)?;
    }
    let database = data_dir.join(DATABASE_FILE);
    let log = ["db-wal", "db-shm"].map(|extension| database.with_extension(extension));
    for file in log.iter().chain([&database, &data_dir.join(KEY_FILE)]) {
        restrict(file, NOT_THE_OWNER, report)?;
    }
    // Whom the database belongs to is whom the server runs as.
    let owner = fs::metadata(&database).map_err(|error| cannot_look(&database, &error))?;
    report.examined.database_bytes = owner.len();
    let mut foreign = Foreign { owner: (owner.uid(), owner.gid()), first: None, count: 0 };
    for folder in [data_dir, &packages] {
        for entry in entries(folder)? {
            foreign.look(&entry.map_err(|error| cannot_look(folder, &error))?, report)?;
        }
    }
    foreign.tell(data_dir, report)?;
    room(data_dir, report)
}

/// Takes these bits off the mode of what is there.
fn restrict(path: &Path, bits: u32, report: &mut Report) -> Result<(), Failure> {
    let mode = match fs::metadata(path) {
        Ok(metadata) => metadata.permissions().mode() & 0o7777,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(cannot_look(path, &error)),
    };
    if mode & bits == 0 {
        return Ok(());
    }
    let private = mode & !bits;
    report.repair(
        AREA,
        format_args!("{} has mode {mode:o}: secrets and audiences in it can be read by others", path.display()),
        format_args!("it has mode {private:o} now"),
        format_args!("as its owner: chmod {private:o} {}", path.display()),
        || fs::set_permissions(path, Permissions::from_mode(private)),
    )
}

/// Files that belong to somebody else than the database does: the server may not be able to open them.
struct Foreign {
    owner: (u32, u32),
    first: Option<PathBuf>,
    count: u64,
}

impl Foreign {
    fn look(&mut self, entry: &fs::DirEntry, report: &Report) -> Result<(), Failure> {
        let path = entry.path();
        let metadata = entry.metadata().map_err(|error| cannot_look(&path, &error))?;
        let of_database =
            metadata.uid() == self.owner.0 || entry.file_name().to_string_lossy().starts_with(REMOVED_PREFIX);
        let given = !of_database && report.mends() && chown(&path, Some(self.owner.0), Some(self.owner.1)).is_ok();
        if !of_database {
            self.count += 1;
            // Of those that stay as they are, if any do.
            if !given || self.first.is_none() {
                self.first = Some(path);
            }
        }
        Ok(())
    }

    fn tell(self, data_dir: &Path, report: &mut Report) -> Result<(), Failure> {
        let Some(example) = self.first else { return Ok(()) };
        let (uid, gid) = self.owner;
        let stays = fs::metadata(&example).map_or(true, |metadata| metadata.uid() != uid);
        report.repair(
            AREA,
            format_args!(
                "files that do not belong to the database's owner (user id {uid}), which the server may not be able \
                 to use: {}, such as {}",
                self.count,
                example.display()
            ),
            format_args!("they were given to user id {uid}"),
            format_args!("as root: chown -R {uid}:{gid} {}", data_dir.display()),
            || if stays { Err(io::ErrorKind::PermissionDenied.into()) } else { Ok(()) },
        )
    }
}

fn room(data_dir: &Path, report: &mut Report) -> Result<(), Failure> {
    let free = Disk::of(data_dir).map_err(|error| cannot_look(data_dir, &error))?.free;
    if free < LITTLE_ROOM {
        report
            .note(AREA, format_args!("the disk has {} left: a full one stops uploads and pushes", HumanBytes(free)))?;
    }
    for entry in entries(data_dir)? {
        let name = entry.map_err(|error| cannot_look(data_dir, &error))?.file_name();
        if let Some(name) = name.to_str().filter(|name| name.starts_with(REMOVED_PREFIX)) {
            report.note(
                AREA,
                format_args!("{name} holds what an earlier doctor took away: delete it when all is well"),
            )?;
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> Result<Box<dyn Iterator<Item = io::Result<fs::DirEntry>>>, Failure> {
    match fs::read_dir(folder) {
        Ok(entries) => Ok(Box::new(entries)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Box::new(std::iter::empty())),
        Err(error) => Err(cannot_look(folder, &error)),
    }
}

pub(super) fn cannot_look(at: &Path, error: &io::Error) -> Failure {
    Failure::of(format_args!("cannot look at {}", at.display()), error)
}
