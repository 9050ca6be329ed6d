//! The intake: policies, bounds, and what it leaves behind.

use std::fs;
use std::sync::{Arc, Mutex};

use pigeonloft_package::{
    BadRows, FileName, Intake, IntakeError, Limits, NotToken, Reason, Refusal, check, rejected_path, sweep,
};

use crate::support::{files, rows, take};

fn begin(dir: &tempfile::TempDir, name: &str, limits: Limits, bad_rows: BadRows) -> Intake {
    Intake::begin(dir.path(), FileName::parse(name).unwrap(), limits, bad_rows).unwrap()
}

const MIXED: &[u8] = b"user1\na\n\"x,y\xff\nuser2\n\0\0\nuser1\n";

#[test]
fn skipped_rows_are_listed_in_a_file_beside_the_package() {
    let dir = tempfile::tempdir().unwrap();
    let published = take(dir.path(), "list.txt", MIXED, &[], Limits::default(), BadRows::Skip).unwrap();
    assert_eq!(rows(&published.path, 10), ["user1", "user2"]);
    assert_eq!(files(dir.path()), ["1.package", "1.rejected.csv"]);
    let rejected = rejected_path(&published.path);
    assert_eq!(published.rejected.as_ref(), Some(&rejected));
    assert_eq!(
        fs::read_to_string(rejected).unwrap(),
        "line,reason,row\r\n\
         2,1 character of at least 2,a\r\n\
         3,not UTF-8,\"\"\"x,y\u{fffd}\"\r\n\
         5,control character U+0000,\\0\\0\r\n"
    );
    let summary = published.summary;
    assert_eq!((summary.bad_rows, summary.duplicates), (3, 1));
    assert_eq!(summary.bad_first[0].reason, Reason::TooShort { chars: 1, min: 2 });
}

#[test]
fn skipping_leaves_no_list_when_no_row_is_bad() {
    let dir = tempfile::tempdir().unwrap();
    let published = take(dir.path(), "list.txt", b"user1\n", &[], Limits::default(), BadRows::Skip).unwrap();
    assert_eq!((published.rejected, files(dir.path())), (None, vec!["1.package".to_owned()]));
}

#[test]
fn a_file_without_a_good_row_is_refused_even_when_bad_ones_are_skipped() {
    let dir = tempfile::tempdir().unwrap();
    let outcome = take(dir.path(), "list.txt", b"a\nb\n", &[], Limits::default(), BadRows::Skip);
    assert!(matches!(outcome, Err(IntakeError::Refused(Refusal::BadRows { count: 2, .. }))));
    assert_eq!(files(dir.path()), [""; 0]);
}

#[test]
fn the_list_of_rejected_rows_is_bounded_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { rejected_bytes: 100, ..Limits::default() };
    let file = format!("user1\n{}", "b\n".repeat(1000));
    let published = take(dir.path(), "list.txt", file.as_bytes(), &[], limits, BadRows::Skip).unwrap();
    let list = fs::read_to_string(published.rejected.unwrap()).unwrap();
    assert_eq!(list.lines().count(), 5);
    assert!(list.ends_with("\r\n,997 more bad rows are not listed,\r\n"), "{list}");
    assert_eq!(published.summary.bad_rows, 1000);
}

#[test]
fn rows_that_cannot_be_tokens_are_counted_once_each_and_the_first_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let token = "0".repeat(36);
    let file = format!("{token}\n\nuser2\nuser1\nuser2\n{}\n", "名".repeat(36));
    let published = take(dir.path(), "list.txt", file.as_bytes(), &[], Limits::default(), BadRows::Refuse).unwrap();
    assert_eq!((published.summary.rows, published.summary.not_tokens), (4, 2));
    let first = NotToken { line: 3, chars: 5, excerpt: "user2".to_owned() };
    assert_eq!(published.summary.first_not_token, Some(first));
}

#[test]
fn a_refusal_that_is_certain_comes_before_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { file_bytes: 3000, ..Limits::default() };
    for (name, first, then) in [
        ("list.csv", "user1\n".repeat(200), "user,2\n"),
        ("list.txt", "user1\n".repeat(500), "u"),
        ("list.zip", "PK\u{3}\u{4}".repeat(750), "u"),
        ("list.txt", String::new(), "PK\u{3}\u{4}"),
    ] {
        let mut intake = begin(&dir, name, limits, BadRows::Refuse);
        intake.write(first.as_bytes()).unwrap();
        let Err(IntakeError::Refused(refusal)) = intake.write(then.as_bytes()) else { panic!("{name} was taken") };
        // And it stays refused, whatever follows.
        for outcome in [intake.write(b"x"), intake.finish().map(|_| ())] {
            assert!(matches!(outcome, Err(IntakeError::Refused(again)) if again == refusal), "{name}");
        }
    }
    assert_eq!(files(dir.path()), [""; 0]);
}

#[test]
fn bad_rows_are_counted_to_the_end_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut intake = begin(&dir, "list.txt", Limits::default(), BadRows::Refuse);
    for _ in 0..5000 {
        intake.write(b"a\nuser1\n").unwrap();
    }
    assert!(matches!(intake.finish(), Err(IntakeError::Refused(Refusal::BadRows { count: 5000, .. }))));
}

#[test]
fn what_is_dropped_before_it_is_published_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { sort_memory: 0, ..Limits::default() };
    for name in ["list.txt", "list.csv", "list.zip", "list"] {
        let mut intake = begin(&dir, name, limits, BadRows::Skip);
        for row in 0..20_000 {
            intake.write(format!("user{row}\n").as_bytes()).unwrap();
        }
        drop(intake);
        assert_eq!(files(dir.path()), [""; 0]);
    }
    let mut intake = begin(&dir, "list.txt", limits, BadRows::Skip);
    intake.write(MIXED).unwrap();
    let ready = intake.finish().unwrap();
    assert!(files(dir.path()).iter().all(|name| name.starts_with(".incoming-")));
    drop(ready);
    assert_eq!(files(dir.path()), [""; 0]);
}

#[test]
fn a_package_that_cannot_be_published_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut intake = begin(&dir, "list.txt", Limits::default(), BadRows::Skip);
    intake.write(MIXED).unwrap();
    // A folder stands where the package should go.
    let path = dir.path().join("1.package");
    fs::create_dir(&path).unwrap();
    let outcome = intake.finish().unwrap().publish(&path);
    assert!(matches!(outcome, Err(IntakeError::Io { .. })));
    assert_eq!(files(dir.path()), ["1.package"]);
}

#[test]
fn a_folder_that_is_gone_is_our_fault_and_not_the_users() {
    let dir = tempfile::tempdir().unwrap();
    let gone = dir.path().join("gone");
    let outcome = Intake::begin(&gone, FileName::parse("a.zip").unwrap(), Limits::default(), BadRows::Refuse);
    assert!(matches!(outcome, Err(IntakeError::Io { .. })));
}

#[test]
fn a_sweep_removes_what_a_crash_left_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let mut intake = begin(&dir, "list.txt", Limits::default(), BadRows::Skip);
    intake.write(MIXED).unwrap();
    // As a process that is killed would: no destructor runs.
    std::mem::forget(intake.finish().unwrap());
    fs::write(dir.path().join("2.package"), "").unwrap();
    assert_eq!(sweep(dir.path()).unwrap(), 2);
    assert_eq!(files(dir.path()), ["2.package"]);
}

#[test]
fn the_offline_check_names_every_bad_row() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("list.txt");
    fs::write(&path, format!("user1\n{}", "b\n".repeat(25))).unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = seen.clone();
    let checked = check(&path, Limits::default(), move |bad| sink.lock().unwrap().push(bad.line)).unwrap();
    assert_eq!(*seen.lock().unwrap(), (2..=26).collect::<Vec<u64>>());
    assert_eq!((checked.summary.rows, checked.summary.bad_rows), (1, 25));
    assert!(matches!(checked.refusal, Some(Refusal::BadRows { count: 25, .. })));
    assert_eq!(files(dir.path()), ["list.txt"]);
}
