//! `pigeonloft doctor`: examines a data folder, repairs what is safe to repair, and says plainly what is not.

mod credentials;
mod database;
mod folder;
mod packages;
mod report;

use std::path::{Path, PathBuf};

use clap::Args;
use pigeonloft_store::DATABASE_FILE;
use pigeonloft_store::doctor::Doctor as Examiner;

use super::failure::Failure;
use crate::folder::lock;
use crate::vault::Vault;
use report::Report;

/// Examine a data folder, repair what is safe, and say what was done
///
/// No server may run on the folder. Examined are: who may read the folder; the database, page by page; that each package
/// has its file, whole; that no file belongs to nothing; that the cursor, the state and the sums of each push agree
/// with its recipients, and these with the inboxes; that the statistics of days agree with the pushes and devices; that
/// credentials with vendors can be opened; the room on the disk.
///
/// Repaired is what can be without a guess, and nothing that may still matter is thrown away: files of no package are
/// moved into a folder doctor-removed-… of the data folder. What cannot be repaired is named, with what to do about it.
///
/// Exit status: 0 nothing is wrong, or all of it is repaired; 1 something remains.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  systemctl stop pigeonloft && pigeonloft doctor --data-dir /var/lib/pigeonloft")]
pub(super) struct Doctor {
    /// The data folder. No server may be running on it
    #[arg(long, value_name = "DIR", env = "PIGEONLOFT_DATA_DIR", default_value = "./pigeonloft-data")]
    data_dir: PathBuf,
    /// The key of credentials with vendors, as the server's credentials.key [default: that of the key file]
    #[arg(long, value_name = "HEX", env = "PIGEONLOFT_CREDENTIALS__KEY", hide_env_values = true)]
    credentials_key: Option<String>,
    /// The file of that key, as the server's credentials.key_file [default: credentials.key in the data folder]
    #[arg(long, value_name = "FILE", env = "PIGEONLOFT_CREDENTIALS__KEY_FILE")]
    credentials_key_file: Option<PathBuf>,
    /// Repair nothing, only look; the exit status is then 1 if there is anything to repair
    #[arg(long)]
    check_only: bool,
    /// Print JSON, one object a line: each finding, and at the end {"status":"done",…}
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(super) fn run(self) -> Result<(), Failure> {
        let data_dir = &self.data_dir;
        if !data_dir.join(DATABASE_FILE).exists() {
            return Err(Failure::new(format!("there is no server's data in {}", data_dir.display())).hint(format!(
                "name the server's data folder with --data-dir; if {DATABASE_FILE} was lost, restore the backup"
            )));
        }
        let locked = lock(data_dir)
            .map_err(|error| Failure::of(format_args!("cannot lock the folder {}", data_dir.display()), &error))?;
        let Some(_lock) = locked else {
            return Err(Failure::new(format!("a server runs on the data folder {}", data_dir.display()))
                .hint("stop it first, also to look only: what it writes meanwhile would be taken for damage"));
        };
        let mend = !self.check_only;
        let mut report = Report::begin(self.json, mend);
        folder::examine(data_dir, &mut report)?;
        let key = self.credentials_key.as_deref().unwrap_or_default();
        let vault = Vault::new(key, self.credentials_key_file.as_deref().unwrap_or(Path::new("")), data_dir);
        match examine(data_dir, &vault, &mut report) {
            Err(Trouble::Database(error)) if error.is_damage() => database::damaged(&error, &mut report)?,
            Err(Trouble::Database(error)) => return Err(error.into()),
            Err(Trouble::Told(failure)) => return Err(failure),
            Ok(()) => {}
        }
        report.end()
    }
}

/// Why an examination broke off.
enum Trouble {
    /// The database, which may be damaged.
    Database(pigeonloft_store::Error),
    Told(Failure),
}

impl From<pigeonloft_store::Error> for Trouble {
    fn from(error: pigeonloft_store::Error) -> Self {
        Self::Database(error)
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Told(failure)
    }
}

fn examine(data_dir: &Path, vault: &Vault, report: &mut Report) -> Result<(), Trouble> {
    let mut examiner = Examiner::open(data_dir, report.mends())?;
    // Where the tables cannot be trusted, nothing may be repaired by what they say.
    if database::examine_pages(&mut examiner, report)? {
        packages::examine_rows(&examiner, data_dir, report)?;
        packages::examine_files(&examiner, data_dir, report)?;
        database::examine_inboxes(&examiner, report)?;
        database::examine_pushes(&examiner, report)?;
        database::examine_early_receipts(&examiner, report)?;
        database::examine_days(&examiner, report)?;
        database::examine_tags(&examiner, report)?;
        credentials::examine(&examiner, vault, report)?;
    }
    Ok(())
}
