//! Files: keys, certificates and passwords that a command is told of.

use std::io::Read;
use std::path::Path;

use super::failure::Failure;

/// Bytes of a key or certificate file at most: they have a few thousand.
const FILE_BYTES: u64 = 1 << 16;

/// A small file.
pub(super) fn bytes_of(file: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    std::fs::File::open(file)
        .and_then(|file| file.take(FILE_BYTES).read_to_end(&mut bytes))
        .map_err(|error| cannot_read(file, &error))?;
    Ok(bytes)
}

/// A small file of text.
pub(super) fn text_of(file: &Path) -> Result<String, Failure> {
    String::from_utf8(bytes_of(file)?).map_err(|error| cannot_read(file, &error))
}

fn cannot_read(file: &Path, error: &dyn std::error::Error) -> Failure {
    Failure::of(format_args!("cannot read {}", file.display()), error)
}
