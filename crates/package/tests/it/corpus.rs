//! The table of upload cases against the intake, and against the offline check.

use std::collections::HashSet;

use crate::support::{files, folder, rows, take};
use pigeonloft_package::corpus::{Case, Expect, cases, limits, size_cases};
use pigeonloft_package::{BadRows, IntakeError, Summary, check};

fn judge(case: &Case, outcome: Result<&Summary, &IntakeError>) {
    match (&case.expect, outcome) {
        (Expect::Taken { rows, duplicates, blanks }, Ok(summary)) => {
            let found = (&summary.rows, &summary.duplicates, &summary.blanks, summary.bad_rows);
            assert_eq!(found, (rows, duplicates, blanks, 0), "{}", case.name);
            assert_eq!(summary.file_bytes, case.bytes.len() as u64, "{}", case.name);
        }
        (Expect::Refused { kind, says }, Err(IntakeError::Refused(refusal))) => {
            assert_eq!(refusal.kind(), *kind, "{}: {refusal}", case.name);
            let text = refusal.to_string();
            for say in says {
                assert!(text.contains(say), "{}: {text:?} lacks {say:?}", case.name);
            }
            assert!(!text.contains('\n') && text.chars().count() < 1200, "{}: {text:?}", case.name);
        }
        (_, outcome) => panic!("{}: {outcome:?}", case.name),
    }
}

/// Cuts every `step` bytes.
fn cuts(len: usize, step: usize) -> Vec<usize> {
    (0..len).step_by(step).collect()
}

#[test]
fn every_case_meets_its_verdict_in_one_piece_and_in_small_ones() {
    for case in cases() {
        let steps = match case.bytes.len() {
            ..10_000 => [usize::MAX, 61, 1],
            10_000..1_000_000 => [usize::MAX, 61, 997],
            _ => [usize::MAX, 4099, 65_521],
        };
        for step in steps {
            let dir = folder();
            let cuts = cuts(case.bytes.len(), step);
            let outcome = take(dir.path(), &case.file_name, &case.bytes, &cuts, limits(), BadRows::Refuse);
            judge(&case, outcome.as_ref().map(|published| &published.summary));
            match outcome {
                Ok(published) => {
                    assert_eq!(rows(&published.path, 1000).len() as u64, published.summary.rows);
                    assert_eq!(files(dir.path()), ["1.package"], "{}", case.name);
                }
                Err(_) => assert_eq!(files(dir.path()), [""; 0], "{}", case.name),
            }
        }
    }
}

#[test]
fn a_file_of_the_limit_is_taken_and_one_byte_more_is_refused() {
    let limits = pigeonloft_package::Limits { file_bytes: 1 << 20, ..limits() };
    for case in size_cases(1 << 20) {
        let dir = tempfile::tempdir().unwrap();
        let outcome = take(dir.path(), &case.file_name, &case.bytes, &[5, 70_000], limits, BadRows::Refuse);
        judge(&case, outcome.as_ref().map(|published| &published.summary));
    }
}

#[test]
fn the_offline_check_gives_the_verdict_of_an_upload() {
    for case in cases().into_iter().filter(|case| !case.file_name.contains('\\')) {
        // A name can be too long for a file system; such a case is of the name alone.
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(&case.file_name);
        if std::fs::write(&path, &case.bytes).is_err() {
            continue;
        }
        match check(&path, limits(), |_| ()) {
            Ok(checked) => {
                let refusal = checked.refusal.map(IntakeError::from);
                judge(&case, refusal.as_ref().map_or(Ok(&checked.summary), Err));
            }
            Err(error) => judge(&case, Err(&error)),
        }
    }
}

#[test]
fn the_names_of_cases_are_unique() {
    let mut seen = HashSet::new();
    for case in cases() {
        assert!(seen.insert(case.name.clone()), "{}", case.name);
    }
}
