//! Disk: one so small that it can be filled up.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::program::require;

/// A disk of a few megabytes, in memory. Mounting needs root.
#[derive(Debug)]
pub struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// Mounts one.
    ///
    /// # Panics
    /// It cannot be mounted.
    #[must_use]
    pub fn mount(megabytes: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let options = format!("size={megabytes}m,mode=700");
        let mount = require("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path()).output();
        let mount = mount.expect("mount can be run");
        let why = String::from_utf8_lossy(&mount.stderr);
        assert!(mount.status.success(), "this test mounts a tmpfs, which needs root: run it as root. {why}");
        Self { folder }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Fills it up but for so many bytes.
    ///
    /// # Panics
    /// It cannot be.
    pub fn fill_but(&self, left: usize) {
        let mut file = fs::File::create(self.filler()).expect("a file can be made");
        let piece = [7; 4096];
        while file.write(&piece).is_ok_and(|written| written > 0) {}
        let length = file.metadata().expect("it is there").len();
        file.set_len(length.saturating_sub(left as u64)).expect("it can be cut");
    }

    /// Takes away what filled it up.
    ///
    /// # Panics
    /// It was not filled up.
    pub fn make_room(&self) {
        fs::remove_file(self.filler()).expect("it is there");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the server may still be ending.
        let _ = require("umount").arg("-l").arg(self.path()).status();
    }
}
