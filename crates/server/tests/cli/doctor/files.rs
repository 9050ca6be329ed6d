//! The files: packages, strays, and who may read them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::story::Folder;
use crate::support::{pigeonloft, pigeonloft_with};

#[test]
fn a_package_that_is_not_what_was_uploaded_is_named_with_what_to_do() {
    let cut = |folder: &Folder| {
        let bytes = fs::read(folder.package()).unwrap();
        fs::write(folder.package(), &bytes[..bytes.len() - 1]).unwrap();
    };
    let flip = |folder: &Folder| {
        let mut bytes = fs::read(folder.package()).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(folder.package(), bytes).unwrap();
    };
    let gone = |folder: &Folder| fs::remove_file(folder.package()).unwrap();
    let other_rows = |folder: &Folder| folder.sql("UPDATE package SET rows = rows + 1");
    for (broken, says) in [
        (&cut as &dyn Fn(&Folder), "damaged"),
        (&flip, "damaged"),
        (&gone, "its file is missing"),
        (&other_rows, "its file holds 7 rows, it was uploaded with 8"),
    ] {
        let folder = Folder::copy();
        broken(&folder);
        let needed = "unfinished pushes need it and end PUSH_FAILED without it: 2";
        folder.remains_among(&[says, needed, "upload the list again", "DELETE /v1/packages/1", "from the backup"]);
    }
}

#[test]
fn what_belongs_to_no_package_is_taken_away_and_not_lost() {
    let folder = Folder::copy();
    let strays = ["00ff.package", "00ff.rejected.csv", "notes.txt"];
    for stray in strays {
        fs::write(folder.packages().join(stray), stray).unwrap();
    }
    fs::create_dir(folder.packages().join("old.d")).unwrap();
    fs::write(folder.packages().join("old.d/file"), "kept").unwrap();
    fs::write(folder.packages().join(".incoming-x"), "half").unwrap();
    fs::write(folder.packages().join(".hidden"), "not ours").unwrap();
    let kept = [folder.package(), folder.package().with_extension("rejected.csv")];
    folder.repaired(&[
        "packages/00ff.package belongs to no package",
        "packages/.incoming-x is of an upload that never ended",
    ]);
    let removed = fs::read_dir(&folder.path).unwrap().map(|entry| entry.unwrap().path());
    let removed = removed.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("doctor-removed-"));
    let removed: Vec<PathBuf> = removed.collect();
    assert_eq!(removed.len(), 1);
    for stray in strays {
        assert_eq!(fs::read_to_string(removed[0].join(stray)).unwrap(), stray);
    }
    assert_eq!(fs::read_to_string(folder.packages().join("old.d/file")).unwrap(), "kept", "a folder is left alone");
    assert!(kept.iter().all(|path| path.exists()), "a package and its rejected rows stay");
    assert!(folder.packages().join(".hidden").exists());
    assert!(!folder.packages().join(".incoming-x").exists());
}

#[test]
fn a_lost_list_of_rejected_rows_is_only_a_note() {
    let folder = Folder::copy();
    fs::remove_file(folder.package().with_extension("rejected.csv")).unwrap();
    let (found, done) = folder.findings(&[]);
    assert_eq!((found.len(), &found[0]["status"], &done["remain"]), (1, &json!("note"), &json!(0)), "{found:?}");
    assert!(found[0]["what"].as_str().unwrap().contains("the list of its 1 rejected rows is lost"), "{found:?}");
}

#[test]
fn what_others_may_read_is_made_private() {
    let folder = Folder::copy();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    fs::set_permissions(&folder.path, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(folder.database(), fs::Permissions::from_mode(0o664)).unwrap();
    folder.repaired(&["data has mode 755", "pigeonloft.db has mode 664", "it has mode 600 now"]);
    assert_eq!((mode(&folder.path), mode(&folder.database())), (0o750, 0o600), "a group may be let into the folder");
}

#[test]
fn credentials_that_their_key_does_not_open_are_named() {
    let folder = Folder::copy();
    let data_dir = folder.path.to_str().unwrap();
    let connection = rusqlite::Connection::open(folder.database()).unwrap();
    let app: u32 = connection.query_row("SELECT access_id FROM app", [], |row| row.get(0)).unwrap();
    drop(connection);
    let subject = ["--subject", "mailto:push@example.com"];
    let _ =
        pigeonloft(["app", "webpush-keys", "--app", &app.to_string(), "--data-dir", data_dir].iter().chain(&subject))
            .ok();
    assert_eq!(folder.findings(&[]).0, Vec::<Value>::new());
    let key = folder.path.join("credentials.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    folder.repaired(&["credentials.key has mode 644", "it has mode 600 now"]);
    let of = format!("credentials with vendors that cannot be opened: 1, such as webpush of app {app}: ");
    let own = fs::read_to_string(&key).unwrap();
    fs::write(&key, "ab".repeat(32)).unwrap();
    folder.remains(&[&format!("{of}the credentials were sealed with another key"), "bring the key back"]);
    // Given as the server is given it.
    let ran = pigeonloft_with("PIGEONLOFT_CREDENTIALS__KEY", own.trim(), ["doctor", "--data-dir", data_dir]);
    assert!(ran.ok().ends_with("nothing is wrong\n"));
    // The settings may name another place for it.
    fs::remove_file(&key).unwrap();
    let (found, done) = folder.findings(&[]);
    assert_eq!((found.len(), &found[0]["status"], &done["remain"]), (1, &json!("note"), &json!(0)), "{found:?}");
    assert!(found[0]["what"].as_str().unwrap().starts_with(&of), "{found:?}");
}

#[test]
fn a_file_of_another_user_is_given_to_the_databases_owner() {
    let folder = Folder::copy();
    let file = folder.package();
    // Of nobody; only root may give files away, and so this test runs as root, like that of the full disk.
    chown(&file, Some(65_534), None).unwrap();
    folder.repaired(&["files that do not belong to the database's owner (user id 0)", "they were given to user id 0"]);
}
