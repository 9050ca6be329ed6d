//! The packages folder: one file for each package, under a random name that its row knows.

use std::io;
use std::path::PathBuf;

use pigeonloft_store::Store;

use crate::config::Config;

/// Ending of package files.
pub(crate) const ENDING: &str = ".package";

/// Where package files are.
#[derive(Debug, Clone)]
pub struct PackageFolder(PathBuf);

impl PackageFolder {
    /// The folder of this server.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self(config.packages_dir())
    }

    /// Creates the folder where it is missing, and clears it of what an upload that was cut off by a crash left
    /// behind: files of uploads under way, and whole ones that no row names. Answers how many those were.
    ///
    /// # Errors
    /// The folder cannot be read or written, or the database fails.
    pub async fn prepare(&self, store: &Store) -> io::Result<u64> {
        crate::folder::create(&self.0)?;
        let mut orphans = pigeonloft_package::sweep(&self.0)? as u64;
        for entry in std::fs::read_dir(&self.0)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                // No upload leaves folders behind: whose it is knows only who made it.
                continue;
            }
            let name = entry.file_name();
            // A list of bad rows goes by the name of its package.
            let Some((base, _)) = name.to_str().and_then(|name| name.split_once('.')) else { continue };
            if !base.is_empty() && !store.is_stored(format!("{base}{ENDING}")).await.map_err(io::Error::other)? {
                std::fs::remove_file(entry.path())?;
                orphans += 1;
            }
        }
        Ok(orphans)
    }

    /// A new name, which nobody can guess and nothing of the upload goes into.
    ///
    /// # Errors
    /// The system has no random numbers to give.
    pub fn new_name() -> io::Result<String> {
        Ok(crate::password::random_hex::<16>().map_err(io::Error::other)? + ENDING)
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        &self.0
    }

    /// Bytes that may still be written to its disk.
    ///
    /// # Errors
    /// The system's.
    pub fn room(&self) -> io::Result<u64> {
        Ok(crate::folder::Disk::of(&self.0)?.free)
    }

    /// Where the file of this name is.
    #[must_use]
    pub fn file(&self, stored_as: &str) -> PathBuf {
        self.0.join(stored_as)
    }

    /// Removes a package's file and the list of its bad rows, as far as they are there.
    ///
    /// # Errors
    /// They are there and cannot be removed.
    pub fn remove(&self, stored_as: &str) -> io::Result<()> {
        let file = self.file(stored_as);
        for path in [pigeonloft_package::rejected_path(&file), file] {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}
