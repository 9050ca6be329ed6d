//! What must hold of any bytes that are taken in as an audience file; shared by the targets `package_rows` and
//! `package_zip`.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use pigeonloft_package::{BadRows, FileName, Intake, IntakeError, Limits, Published, Reader, rejected_path, verify};

/// Takes `file` in under `name`, in one piece and in pieces of `step` bytes: both must come to the same, and to a package
/// that keeps every promise or to a refusal that leaves nothing behind.
pub fn hold(name: &str, bad_rows: BadRows, step: usize, file: &[u8]) {
    let dir = folder();
    let whole = take(dir, name, bad_rows, file.len().max(1), file);
    let torn = take(dir, name, bad_rows, step.max(1), file);
    assert_eq!(whole, torn, "where a file is torn decides");
}

/// In memory where the system has such a folder; one for the process, and empty after each file.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder")).path()
}

/// Everything is small, so that small inputs reach every limit.
fn limits() -> Limits {
    Limits { file_bytes: 12_000, expanded_bytes: 20_000, sort_memory: 0, rejected_bytes: 300, ..Limits::default() }
}

/// The figures and the rows, or the text of the refusal.
fn take(dir: &Path, name: &str, bad_rows: BadRows, step: usize, file: &[u8]) -> Result<(String, Vec<String>), String> {
    let outcome = attempt(dir, name, bad_rows, step, file);
    let result = match &outcome {
        Ok(published) => Ok(taken(published, bad_rows, file)),
        Err(IntakeError::Refused(refusal)) => Err(refused(&refusal.to_string())),
        Err(IntakeError::Io { doing, source }) => panic!("could not {doing}: {source}"),
    };
    if let Ok(published) = outcome {
        fs::remove_file(&published.path).expect("the package is there");
        published.rejected.iter().for_each(|path| fs::remove_file(path).expect("the rejected rows are there"));
    }
    let left: Vec<_> = fs::read_dir(dir).expect("the folder is there").collect();
    assert!(left.is_empty(), "left behind: {left:?}");
    result
}

fn attempt(dir: &Path, name: &str, bad_rows: BadRows, step: usize, file: &[u8]) -> Result<Published, IntakeError> {
    let name = FileName::parse(name).expect("the names of the targets are good");
    let mut intake = Intake::begin(dir, name, limits(), bad_rows)?;
    for piece in file.chunks(step) {
        if let Err(error) = intake.write(piece) {
            assert_eq!(intake.write(b"x").map_err(|again| again.to_string()), Err(error.to_string()));
            return Err(error);
        }
    }
    intake.finish()?.publish(&dir.join("1.package"))
}

fn taken(published: &Published, bad_rows: BadRows, file: &[u8]) -> (String, Vec<String>) {
    let summary = &published.summary;
    assert_eq!(summary.file_bytes, file.len() as u64);
    assert_eq!(summary.package_bytes, fs::metadata(&published.path).expect("the package is there").len());
    assert!(summary.bad_rows == 0 || bad_rows == BadRows::Skip);
    assert_eq!(summary.bad_first.len() as u64, summary.bad_rows.min(10));
    assert!(summary.bad_first.is_sorted_by(|a, b| a.line < b.line));
    assert!(summary.bad_first.iter().all(|bad| bad.excerpt.chars().count() <= 40));
    let rejected = (summary.bad_rows > 0).then(|| rejected_path(&published.path));
    assert_eq!(published.rejected, rejected);

    assert_eq!(verify(&published.path).expect("what was written is whole"), summary.rows);
    let mut reader = Reader::open(&published.path).expect("what was written opens");
    let mut rows = Vec::new();
    while let Some(batch) = reader.next_batch(100).expect("what was written is read") {
        rows.extend(batch.iter().map(str::to_owned));
    }
    assert!(!rows.is_empty() && rows.len() as u64 == summary.rows);
    assert!(rows.is_sorted_by(|a, b| a < b));
    for row in &rows {
        assert!((2..=100).contains(&row.chars().count()) && row.trim() == row && !row.contains(char::is_control));
    }
    let not_tokens = rows.iter().filter(|row| row.chars().count() != 36).count() as u64;
    assert_eq!((summary.not_tokens, summary.first_not_token.is_some()), (not_tokens, not_tokens > 0));
    (format!("{summary:?}"), rows)
}

fn refused(text: &str) -> String {
    assert!(text.chars().count() < 1200, "{text}");
    assert!(!text.contains(char::is_control), "{text:?}");
    text.to_owned()
}
