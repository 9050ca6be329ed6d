//! A data folder that a real server has written, to be broken; and what a doctor says of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use pigeonloft_testkit::{App, Fleet, Habit, Phone, Server, until};
use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Ran, pigeonloft};

/// Devices, the last two of them offline.
pub(super) const DEVICES: usize = 6;
pub(super) const OFFLINE: usize = 2;

/// What a server has done: a push that four of six devices have, and one that waits for tomorrow.
pub(super) struct Story {
    pub(super) server: Server,
    pub(super) app: App,
    pub(super) fleet: Fleet,
    pub(super) phones: Vec<Phone>,
    pub(super) push_id: String,
}

impl Story {
    /// Tells it, up to the end of the server.
    pub(super) fn told() -> Self {
        let mut server = pigeonloft_testkit::pigeonloft!().start();
        let app = server.app("android");
        server.run(["app", "set", "--access-id", &app.access_id.to_string(), "--bad-rows", "skip"]);
        let accounts: Vec<String> = (0..DEVICES).map(|place| format!("account-{place}")).collect();
        let devices = app.import_devices(&server, &accounts);
        let phones: Vec<Phone> = devices.into_iter().map(Phone::new).collect();
        let fleet = Fleet::new(server.mqtt());
        fleet.online(&phones[..DEVICES - OFFLINE], Habit::Acknowledges);
        // With a rejected row; a running server follows within two seconds.
        let upload_id = until("bad rows are skipped", || {
            let answer = app.upload("list.txt", format!("{}\nnobody\nx\n", accounts.join("\n")));
            (answer["retCode"] == 0).then(|| answer["uploadId"].clone())
        });
        let to_package = json!({ "audience_type": "package_account_push", "upload_id": upload_id });
        let push_id = app.pushed(to_package.clone());
        let _ = app.finished(&push_id);
        until("the devices online are counted", || {
            (app.progress(&push_id)["outcomes"]["arrived"] == DEVICES - OFFLINE).then_some(())
        });
        let mut tomorrow = to_package;
        tomorrow["send_time"] = json!(jiff::Zoned::now().tomorrow().unwrap().strftime("%F %T").to_string());
        let _ = app.pushed_in_turn(&tomorrow);
        server.terminate();
        let story = Self { server, app, fleet, phones, push_id };
        checkpoint(&story.folder().database());
        story
    }

    pub(super) fn folder(&self) -> Folder {
        Folder::of(&self.server)
    }
}

/// A data folder without a server.
pub(super) struct Folder {
    pub(super) path: PathBuf,
    _temporary: Option<TempDir>,
}

impl Folder {
    /// That of a server.
    pub(super) fn of(server: &Server) -> Self {
        Self { path: server.data_dir().to_owned(), _temporary: None }
    }

    /// A copy of what [`Story`] leaves.
    pub(super) fn copy() -> Self {
        static STORY: OnceLock<PathBuf> = OnceLock::new();
        let of = STORY.get_or_init(|| {
            let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("doctor");
            if kept.exists() {
                fs::remove_dir_all(&kept).unwrap();
            }
            copy(&Story::told().folder().path, &kept);
            kept
        });
        let temporary = TempDir::new().unwrap();
        let path = temporary.path().join("data");
        copy(of, &path);
        Self { path, _temporary: Some(temporary) }
    }

    pub(super) fn database(&self) -> PathBuf {
        self.path.join("pigeonloft.db")
    }

    pub(super) fn sql(&self, sql: &str) {
        let connection = Connection::open(self.database()).unwrap();
        connection.execute_batch(&format!("PRAGMA foreign_keys = OFF; {sql}")).unwrap();
        drop(connection);
        checkpoint(&self.database());
    }

    pub(super) fn packages(&self) -> PathBuf {
        self.path.join("packages")
    }

    /// The one package, by the database.
    pub(super) fn package(&self) -> PathBuf {
        let connection = Connection::open(self.database()).unwrap();
        let name: String = connection.query_row("SELECT stored_as FROM package", [], |row| row.get(0)).unwrap();
        self.packages().join(name)
    }

    pub(super) fn doctor(&self, flags: &[&str]) -> Ran {
        pigeonloft(["doctor", "--data-dir", self.path.to_str().unwrap()].iter().chain(flags))
    }

    /// The findings, each as JSON, and the last line.
    pub(super) fn findings(&self, flags: &[&str]) -> (Vec<Value>, Value) {
        let ran = self.doctor(&[flags, &["--json"]].concat());
        assert_eq!(ran.stderr, "");
        let mut lines: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let done = lines.pop().unwrap();
        assert_eq!(done["status"], "done");
        assert_eq!(ran.code, Some(i32::from(done["remain"] != 0)));
        // The machine's own matter.
        lines.retain(|line| !line["what"].as_str().unwrap().starts_with("the disk has"));
        (lines, done)
    }

    /// Every file, with its content, to see that nothing was touched.
    pub(super) fn content(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        let mut folders = vec![self.path.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if !path.ends_with("pigeonloft.db-shm") && !path.ends_with("pigeonloft.db-wal") {
                    files.push((path.clone(), fs::read(path).unwrap()));
                }
            }
        }
        files.sort();
        files
    }

    /// Doctor says this and repairs it; looking only would have said it, too; and then nothing is wrong.
    #[track_caller]
    pub(super) fn repaired(&self, says: &[&str]) {
        let before = self.content();
        let (seen, done) = self.findings(&["--check-only"]);
        assert_eq!(self.content(), before, "looking changes nothing");
        assert!(seen.iter().all(|finding| finding["status"] == "repairable"), "{seen:?}");
        assert_eq!(done["remain"], seen.len());
        let (found, done) = self.findings(&[]);
        assert!(found.iter().all(|finding| finding["status"] == "repaired"), "{found:?}");
        assert_eq!((&done["repaired"], &done["remain"]), (&json!(found.len()), &json!(0)));
        for say in says {
            let said = |finding: &Value| finding.to_string().contains(say);
            assert!(found.iter().any(said), "nobody says {say:?}: {found:?}");
        }
        let (left, done) = self.findings(&[]);
        let is_new = |finding: &&Value| !finding["what"].as_str().unwrap().starts_with("doctor-removed-");
        assert_eq!((left.iter().find(is_new), &done["remain"]), (None, &json!(0)), "all was repaired");
    }

    /// Doctor says this and leaves it; other things it may repair.
    #[track_caller]
    pub(super) fn remains_among(&self, says: &[&str]) {
        let (found, done) = self.findings(&[]);
        assert_ne!(done["remain"], 0);
        for say in says {
            let said = |finding: &Value| finding["status"] == "remains" && finding.to_string().contains(say);
            assert!(found.iter().any(said), "nobody says {say:?}: {found:?}");
        }
    }

    /// Doctor says this and leaves it, whatever it is asked.
    #[track_caller]
    pub(super) fn remains(&self, says: &[&str]) {
        let before = self.content();
        for flags in [&["--check-only"][..], &[]] {
            let (found, done) = self.findings(flags);
            assert_ne!(done["remain"], 0);
            for say in says {
                let said = |finding: &Value| finding["status"] == "remains" && finding.to_string().contains(say);
                assert!(found.iter().any(said), "nobody says {say:?}: {found:?}");
            }
            assert_eq!(self.content(), before, "what cannot be repaired is not touched");
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(path, to).unwrap();
        }
    }
}

/// All of it in one file.
pub(super) fn checkpoint(database: &Path) {
    let connection = Connection::open(database).unwrap();
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
}
