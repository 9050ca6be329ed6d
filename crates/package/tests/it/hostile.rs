//! Archives damaged in every place there is: never rows that are not the file's, never a fault of ours.

use std::collections::BTreeMap;

use crate::support::{files, folder, rows, take};
use pigeonloft_package::corpus::{Expect, cases, limits};
use pigeonloft_package::{BadRows, IntakeError, RefusalKind};

/// What becomes of an archive of two rows: its rows, or a refusal.
fn outcome(bytes: &[u8]) -> Option<RefusalKind> {
    let dir = folder();
    match take(dir.path(), "list.zip", bytes, &[], limits(), BadRows::Refuse) {
        Ok(published) => {
            assert_eq!(rows(&published.path, 10), ["user1", "user2"]);
            None
        }
        Err(IntakeError::Refused(refusal)) => {
            assert_eq!(files(dir.path()), [""; 0]);
            Some(refusal.kind())
        }
        Err(error) => panic!("a damaged archive is the user's matter, not ours: {error:?}"),
    }
}

/// Small archives that are taken, one of each make.
fn archives() -> BTreeMap<String, Vec<u8>> {
    let makes = [
        "a zipped txt",
        "an entry that is stored",
        "an entry whose sizes follow it",
        "a zip64 archive",
        "a comment in the archive",
        "the extras of macOS",
    ];
    let archives: BTreeMap<_, _> = cases()
        .into_iter()
        .filter(|case| makes.contains(&case.name.as_str()))
        .inspect(|case| assert_eq!(case.expect, Expect::Taken { rows: 2, duplicates: 1, blanks: 0 }))
        .map(|case| (case.name, case.bytes))
        .collect();
    assert_eq!(archives.len(), makes.len());
    archives
}

#[test]
fn an_archive_cut_off_anywhere_is_refused_as_broken() {
    for (name, bytes) in archives() {
        assert_eq!(outcome(&bytes), None, "{name}");
        for end in 1..bytes.len() {
            assert_eq!(outcome(&bytes[..end]), Some(RefusalKind::Unreadable), "{name} cut at {end}");
        }
        assert_eq!(outcome(b""), Some(RefusalKind::Empty));
    }
}

#[test]
fn an_archive_that_lacks_its_beginning_is_refused_as_broken() {
    for (name, bytes) in archives() {
        for begin in 1..bytes.len() {
            assert_eq!(outcome(&bytes[begin..]), Some(RefusalKind::Unreadable), "{name} without {begin} bytes");
        }
    }
}

#[test]
fn an_archive_with_any_byte_changed_gives_its_own_rows_or_none() {
    for (name, bytes) in archives() {
        let mut refused = 0;
        for at in 0..bytes.len() {
            for change in [0x01, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= change;
                refused += usize::from(outcome(&changed).is_some());
            }
        }
        // Many bytes are of no consequence: times, versions, the extras of macOS.
        assert!(refused > 100, "{name}: {refused} of {} changes were noticed", bytes.len() * 3);
    }
}
