//! Zip: the one txt or csv file in an archive, found by the central directory and expanded with everything checked.
//!
//! Nothing that the archive says about itself is trusted: sizes are counted, the checksum is computed, and memory does not
//! grow with the number of entries or the length of their names.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::sync::mpsc::{self, Receiver, SyncSender};

use rawzip::{
    CompressionMethod, ErrorKind, FileReader, MAX_CENTRAL_DIRECTORY_RECORD_SIZE, ZipArchive, ZipArchiveEntryWayfinder,
    ZipLocator,
};

use crate::excerpt::{EXCERPT_CHARS, excerpt};
use crate::name::Format;
use crate::{IntakeError, Refusal, ZipTrouble};

/// Bytes read, and expanded, at a time.
const STEP_BYTES: usize = 64 << 10;
/// Steps that may be expanded and not yet taken.
const STEPS_AHEAD: usize = 4;
/// Junk after the archive may look like an end-of-archive record; so many of them are tried from the back.
const END_RECORDS_TRIED: usize = 16;
/// Entries that every file of Microsoft's office programs since 2007 has, and of LibreOffice's: which of them comes
/// first is up to the program.
const OFFICE_ENTRIES: [&[u8]; 3] = [b"[Content_Types].xml", b"_rels/.rels", b"mimetype"];

type Archive = ZipArchive<FileReader>;

/// The entry that holds the rows.
struct Entry {
    /// An excerpt of its name.
    name: String,
    format: Format,
    method: CompressionMethod,
    encrypted: bool,
    way: ZipArchiveEntryWayfinder,
}

/// Expands the one entry of the archive in `file` and hands its bytes over in pieces; `open` is told its format first.
///
/// # Errors
/// [`ZipTrouble`] as a refusal; [`IntakeError::Io`] when `file` cannot be read; what `open` and `write` return.
pub(crate) fn expand<T>(
    file: File,
    expanded_max: u64,
    open: impl FnOnce(Format) -> T,
    write: impl FnMut(&mut T, &[u8]) -> Result<(), IntakeError>,
) -> Result<T, IntakeError> {
    let mut buffer = vec![0; MAX_CENTRAL_DIRECTORY_RECORD_SIZE];
    let archive = locate(file, &mut buffer)?;
    let entry = only_entry(&archive, &mut buffer)?;
    drop(buffer);
    if entry.encrypted {
        return Err(refused(ZipTrouble::Encrypted { entry: entry.name }));
    }
    let found = archive.get_entry(entry.way).map_err(|error| trouble(error.into_kind()))?;
    let packed = BufReader::with_capacity(STEP_BYTES, found.reader());
    let target = open(entry.format);
    match entry.method {
        CompressionMethod::STORE => pump(found.verifying_reader(packed), &entry, expanded_max, target, write),
        CompressionMethod::DEFLATE => {
            let expanded = flate2::bufread::DeflateDecoder::new(packed);
            pump(found.verifying_reader(expanded), &entry, expanded_max, target, write)
        }
        method => Err(refused(ZipTrouble::Method { entry: entry.name, method: method.as_u16() })),
    }
}

fn locate(file: File, buffer: &mut [u8]) -> Result<Archive, IntakeError> {
    let mut end = file.metadata().map_err(IntakeError::io("read the spooled archive"))?.len();
    let mut reader = FileReader::from(file);
    let mut first = None;
    for _ in 0..END_RECORDS_TRIED {
        let error = match ZipLocator::new().locate_in_reader(reader, buffer, end) {
            Ok(archive) => return Ok(archive),
            Err((back, error)) => {
                reader = back;
                error
            }
        };
        let before = error.eocd_offset();
        // The error of the last record tells the user more than that of what was tried instead.
        first.get_or_insert(match error.into_kind() {
            ErrorKind::MissingEndOfCentralDirectory => refused(ZipTrouble::NotAnArchive),
            kind => trouble(kind),
        });
        match before {
            Some(before) => end = before,
            None => break,
        }
    }
    Err(first.unwrap_or(refused(ZipTrouble::NotAnArchive)))
}

/// Goes through the whole central directory, so that a second file or a folder is found wherever it stands.
fn only_entry(archive: &Archive, buffer: &mut [u8]) -> Result<Entry, IntakeError> {
    let mut only: Option<Entry> = None;
    let mut count = 0u64;
    let mut entries = archive.entries(buffer);
    while let Some(record) = entries.next_entry().map_err(|error| trouble(error.into_kind()))? {
        count += 1;
        let path = record.file_path();
        let path = path.as_bytes();
        if is_extra(path) {
            continue;
        }
        if OFFICE_ENTRIES.contains(&path) {
            return Err(refused(ZipTrouble::Spreadsheet));
        }
        let name = excerpt(path, EXCERPT_CHARS);
        if path.iter().any(|byte| matches!(byte, b'/' | b'\\')) {
            return Err(refused(ZipTrouble::Folder { entry: name }));
        }
        if let Some(first) = only {
            return Err(refused(ZipTrouble::TwoFiles { first: first.name, second: name }));
        }
        let extension = path.rsplit(|byte| *byte == b'.').next().filter(|extension| extension.len() < path.len());
        let format = match extension.and_then(Format::of_extension) {
            Some(Format::Zip) => return Err(refused(ZipTrouble::Nested { entry: name })),
            None => return Err(refused(ZipTrouble::EntryExtension { entry: name })),
            Some(format) => format,
        };
        only = Some(Entry {
            name,
            format,
            method: record.compression_method(),
            encrypted: record.flags().is_encrypted(),
            way: record.wayfinder(),
        });
    }
    // The record has 16 bits for the count unless it is a zip64 one.
    if count != archive.entries_hint() && count & 0xffff != archive.entries_hint() {
        return Err(refused(ZipTrouble::Damaged { what: "its list of files is incomplete" }));
    }
    only.ok_or(refused(ZipTrouble::NoFile))
}

/// What macOS adds to every archive it makes; its users do not see it, and cannot leave it out.
fn is_extra(path: &[u8]) -> bool {
    let base = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    path.starts_with(b"__MACOSX/") || base.starts_with(b"._") || base == b".DS_Store"
}

/// Expands on a thread of its own, while this one takes what is there: each is about as much work as the other.
fn pump<T>(
    source: impl Read + Send,
    entry: &Entry,
    expanded_max: u64,
    mut target: T,
    mut write: impl FnMut(&mut T, &[u8]) -> Result<(), IntakeError>,
) -> Result<T, IntakeError> {
    let (full, steps) = mpsc::sync_channel(STEPS_AHEAD);
    let (back, empty) = mpsc::channel();
    std::thread::scope(|scope| {
        let inflate = std::thread::Builder::new()
            .name("inflate".to_owned())
            .spawn_scoped(scope, || inflate(source, entry, expanded_max, full, empty))
            .map_err(IntakeError::io("start a thread"))?;
        // Takes the receiver with it when it ends, which ends the other thread.
        let taken = steps.into_iter().try_for_each(|(buffer, step)| {
            write(&mut target, &buffer[..step])?;
            // It may have ended already.
            let _ = back.send(buffer);
            Ok(())
        });
        let inflated = inflate.join().map_err(|_| io::Error::other("the thread failed"));
        taken.map_err(|error| match error {
            IntakeError::Refused(Refusal::ArchiveAsText) => refused(ZipTrouble::Nested { entry: entry.name.clone() }),
            other => other,
        })?;
        inflated.map_err(IntakeError::io("expand the archive"))??;
        Ok(target)
    })
}

/// Sends the expanded bytes in `full` until they end or nobody takes them; what `empty` gives back is used again.
fn inflate(
    mut source: impl Read,
    entry: &Entry,
    expanded_max: u64,
    full: SyncSender<(Vec<u8>, usize)>,
    empty: Receiver<Vec<u8>>,
) -> Result<(), IntakeError> {
    let mut expanded = 0;
    loop {
        let mut buffer = empty.try_recv().unwrap_or_else(|_| vec![0; STEP_BYTES]);
        let step = loop {
            match source.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read.map_err(reading)?,
            }
        };
        expanded += step as u64;
        if expanded > expanded_max {
            return Err(refused(ZipTrouble::TooLarge { entry: entry.name.clone(), limit: expanded_max }));
        }
        if step == 0 || full.send((buffer, step)).is_err() {
            return Ok(());
        }
    }
}

fn refused(trouble: ZipTrouble) -> IntakeError {
    Refusal::Zip(trouble).into()
}

/// An error of the archive's structure is the user's, one of the system is ours.
fn trouble(kind: ErrorKind) -> IntakeError {
    let what = match kind {
        ErrorKind::IO(error) => return reading(error),
        ErrorKind::InvalidChecksum { .. } => "the checksum does not match",
        ErrorKind::InvalidSize { .. } => "a size does not match",
        ErrorKind::Eof => "it ends too early",
        _ => "its structure is broken",
    };
    refused(ZipTrouble::Damaged { what })
}

fn reading(error: io::Error) -> IntakeError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => trouble(ErrorKind::Eof),
        // Both the verifier and the decoder use these kinds for bytes that do not fit, the system for none.
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            match error.downcast::<rawzip::Error>().map(rawzip::Error::into_kind) {
                Ok(kind) => trouble(kind),
                Err(_) => refused(ZipTrouble::Damaged { what: "the compressed data are broken" }),
            }
        }
        _ => IntakeError::io("read the spooled archive")(error),
    }
}
