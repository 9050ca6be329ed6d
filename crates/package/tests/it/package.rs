//! The package file: seeking, and what damage to it does.

use std::fs;
use std::path::Path;

use pigeonloft_package::{BadRows, Limits, ReadError, Reader, verify};
use proptest::prelude::*;

use crate::support::{rows, take};

/// A package of `count` rows in several blocks, some of which shrink and some do not.
fn package(dir: &Path, count: u64) -> (std::path::PathBuf, Vec<String>) {
    let mut expected: Vec<String> = (0..count)
        .map(|n| {
            let noise = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            if n % 2 == 0 { format!("user{n:012}名") } else { format!("{noise:016x}{:016x}", noise.rotate_left(23)) }
        })
        .collect();
    let file = expected.join("\n");
    expected.sort();
    let published = take(dir, "list.txt", file.as_bytes(), &[], Limits::default(), BadRows::Refuse).unwrap();
    assert_eq!(published.summary.rows, count);
    (published.path, expected)
}

#[test]
fn a_package_of_many_blocks_reads_back_in_batches_of_any_size() {
    let dir = tempfile::tempdir().unwrap();
    let (path, expected) = package(dir.path(), 20_000);
    for batch in [1, 999, 5000, 1_000_000] {
        assert_eq!(rows(&path, batch), expected);
    }
    assert_eq!(verify(&path).unwrap(), 20_000);
}

#[test]
fn a_batch_of_none_is_a_batch_of_one() {
    let dir = tempfile::tempdir().unwrap();
    let (path, expected) = package(dir.path(), 3);
    assert_eq!(rows(&path, 0), expected);
}

#[test]
fn a_row_is_found_by_its_text_and_what_is_no_row_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (path, expected) = package(dir.path(), 20_000);
    let mut reader = Reader::open(&path).unwrap();
    for (number, row) in expected.iter().enumerate().step_by(97).chain([(19_999, &expected[19_999])]) {
        assert_eq!(reader.find(row).unwrap(), Some(number as u64), "{row}");
        // Just before it and just behind it.
        for other in [&row[..row.len() - 3], &format!("{row}0")] {
            assert_eq!(reader.find(other).unwrap(), None, "{other}");
        }
    }
    for none in ["", "!", "\u{10ffff}"] {
        assert_eq!(reader.find(none).unwrap(), None);
    }
    let row = reader.find(&expected[7]).unwrap().unwrap();
    reader.seek(row).unwrap();
    assert_eq!(reader.next_batch(1).unwrap().unwrap().iter().next(), Some(expected[7].as_str()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn after_a_seek_reading_goes_on_from_that_row(
        seeks in prop::collection::vec((0u64..21_000, 1usize..3000), 1..60),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (path, expected) = package(dir.path(), 20_000);
        let mut reader = Reader::open(&path).unwrap();
        for (row, batch) in seeks {
            reader.seek(row).unwrap();
            let from = (row as usize).min(expected.len());
            prop_assert_eq!(reader.position(), from as u64);
            for _ in 0..2 {
                let from = reader.position() as usize;
                let to = (from + batch).min(expected.len());
                let read: Vec<String> = reader.next_batch(batch).unwrap()
                    .map_or(Vec::new(), |batch| batch.iter().map(str::to_owned).collect());
                prop_assert_eq!(&read, &expected[from..to]);
                prop_assert_eq!(reader.position(), to as u64);
            }
        }
    }
}

/// Reads all that can be read, as a server would; must not panic.
fn read_all(path: &Path) -> Result<u64, ReadError> {
    let mut reader = Reader::open(path)?;
    reader.seek(reader.rows() / 2)?;
    reader.seek(0)?;
    let mut read = 0;
    while let Some(batch) = reader.next_batch(1000)? {
        read += batch.iter().count() as u64;
    }
    Ok(read)
}

#[test]
fn one_changed_byte_anywhere_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let (path, _) = package(dir.path(), 4000);
    let whole = fs::read(&path).unwrap();
    // All of header, first block header and footer with the index; every 97th byte between.
    let ends = (0..64).chain(whole.len() - 200..whole.len());
    for at in ends.chain((64..whole.len()).step_by(97)) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 8);
        fs::write(&path, &damaged).unwrap();
        assert!(verify(&path).is_err(), "byte {at}");
        assert!(read_all(&path).is_err(), "byte {at}");
    }
}

#[test]
fn a_package_cut_short_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let (path, _) = package(dir.path(), 4000);
    let whole = fs::read(&path).unwrap();
    for len in (0..whole.len()).step_by(311).chain([whole.len() - 1]) {
        fs::write(&path, &whole[..len]).unwrap();
        assert!(matches!(read_all(&path), Err(ReadError::NotAPackage | ReadError::Damaged { .. })), "{len} bytes");
    }
}

#[test]
fn after_a_damaged_block_others_can_still_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let (path, expected) = package(dir.path(), 20_000);
    let mut bytes = fs::read(&path).unwrap();
    bytes[50] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let mut reader = Reader::open(&path).unwrap();
    for _ in 0..2 {
        assert!(matches!(reader.next_batch(10), Err(ReadError::Damaged { offset: 16, .. })));
    }
    reader.seek(19_000).unwrap();
    assert_eq!(reader.next_batch(1).unwrap().unwrap().iter().next(), Some(&expected[19_000][..]));
}

#[test]
fn another_file_is_not_taken_for_a_package() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("list.txt");
    fs::write(&path, "user1\n".repeat(100)).unwrap();
    assert!(matches!(Reader::open(&path), Err(ReadError::NotAPackage)));
    assert!(matches!(Reader::open(&dir.path().join("none")), Err(ReadError::Io(_))));
}
