//! Folders of the server's own: nobody but their owner may look in, for credentials and audiences are in them; and the
//! data folder has one user at a time. And how much room their disk has.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

/// Held by who uses the data folder alone: the server, or the doctor.
pub const LOCK_FILE: &str = "server.lock";

/// The folder of package files in the data folder.
pub const PACKAGES: &str = "packages";

/// The file system that a folder is on.
#[derive(Debug, Clone, Copy)]
pub struct Disk {
    /// Bytes the server may still write.
    pub free: u64,
    /// Bytes in all.
    pub size: u64,
}

impl Disk {
    /// That of this folder or file.
    ///
    /// # Errors
    /// The system's.
    pub fn of(path: &Path) -> io::Result<Self> {
        let found = rustix::fs::statvfs(path)?;
        // What is kept for the superuser is not the server's to write.
        Ok(Self { free: found.f_bavail * found.f_frsize, size: found.f_blocks * found.f_frsize })
    }
}

/// Creates a folder, and what is missing above it. One that is there stays as it is.
///
/// # Errors
/// The system's.
pub fn create(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Takes the lock of a data folder, which ends with the process, however it ends. `None`: somebody else holds it.
///
/// # Errors
/// The system's.
pub fn lock(data_dir: &Path) -> io::Result<Option<File>> {
    let file = File::create(data_dir.join(LOCK_FILE))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_its_owner_may_look_into_a_new_folder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("loft").join("packages");
        super::create(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        super::create(&path).unwrap();
    }
}
