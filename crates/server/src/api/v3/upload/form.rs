//! The form of an upload, read as it streams: the file's pieces go to its intake, every other field is passed over.
//! Whether its sender may upload is judged at its end. Of one that repeats an earlier upload nothing is kept: it is only
//! compared.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use pigeonloft_model::{Fault, RetCode};
use pigeonloft_package::{BadRows, FileName, IntakeError, Limits, Refusal};
use pigeonloft_store::App;

use super::FORM_BYTES;
use super::fingerprint::Fingerprint;
use super::intake::{FileIntake, Reserve};
use super::unkept::Unkept;
use crate::api::body;
use crate::auth::Caller;
use crate::loft::Loft;
use crate::multipart::{self, Event, Reader};
use crate::packages::PackageFolder;

/// The form field the file comes in.
const FIELD: &str = "file";

/// The file of a form.
enum File {
    /// None has come yet.
    None,
    /// It is taken in.
    TakenIn(FileIntake),
    /// Nothing of it is kept.
    Passed,
}

/// A form that was read to its end, from somebody who may send it.
pub(super) struct Sent {
    pub(super) app: Arc<App>,
    pub(super) file: FileIntake,
    /// The fingerprint of the file, if it was asked for.
    pub(super) what: Option<[u8; 32]>,
}

/// A form being read.
pub(super) struct Form<'a> {
    loft: &'a Loft,
    caller: Caller,
    reader: Reader,
    /// Whether other uploads are being worked on.
    in_company: bool,
    /// Bytes of the body, as far as its head tells.
    announced: u64,
    file: File,
    /// Of an upload with a key.
    fingerprint: Option<Fingerprint>,
    /// Names of fields that are not the file's.
    others: Vec<String>,
}

impl<'a> Form<'a> {
    pub(super) fn new(loft: &'a Loft, caller: Caller, reader: Reader, in_company: bool) -> Self {
        let (file, fingerprint, others) = (File::None, None, Vec::new());
        Self { loft, caller, reader, in_company, announced: 0, file, fingerprint, others }
    }

    /// Reads the form to its end, and takes its file in; `fingerprinted`: and tells what it is known by.
    pub(super) async fn keep(mut self, body: &mut Body, fingerprinted: bool) -> Result<Sent, Unkept> {
        self.fingerprint = fingerprinted.then(Fingerprint::default);
        self.read(body, true).await?;
        let app = self.caller.verify()?;
        let File::TakenIn(file) = self.file else { return Err(no_file(&self.others).into()) };
        Ok(Sent { app, file, what: self.fingerprint.map(Fingerprint::finish) })
    }

    /// Reads the form to its end, and answers what its file is known by. Nothing of it is kept.
    pub(super) async fn compare(mut self, body: &mut Body) -> Result<[u8; 32], Unkept> {
        self.fingerprint = Some(Fingerprint::default());
        self.read(body, false).await?;
        self.caller.verify()?;
        match (self.file, self.fingerprint) {
            (File::Passed, Some(fingerprint)) => Ok(fingerprint.finish()),
            _ => Err(no_file(&self.others).into()),
        }
    }

    async fn read(&mut self, body: &mut Body, keep: bool) -> Result<(), Unkept> {
        let limits = &self.loft.config;
        let idle = Duration::from_secs(limits.http.body_idle_timeout_s);
        let mut left = limits.package.file_bytes + FORM_BYTES;
        self.announced = body.size_hint().lower();
        while let Some(piece) = body::next_piece(body, idle).await.map_err(Unkept::broken_off)? {
            left = left.checked_sub(piece.len() as u64).ok_or_else(|| too_large(self.loft))?;
            self.caller.hash(&piece);
            self.reader.feed(piece);
            while let Some(event) = self.reader.next_event().map_err(|error| unreadable(&error))? {
                self.take(event, keep).await?;
            }
        }
        Ok(self.reader.finish().map_err(|error| unreadable(&error))?)
    }

    async fn take(&mut self, event: Event, keep: bool) -> Result<(), Unkept> {
        match event {
            Event::PartBegin(part) if part.name == FIELD => {
                self.begin_file(&part.file_name.unwrap_or_default(), keep)?;
            }
            Event::PartBegin(part) => self.others.push(part.name),
            Event::Data(data) => return self.write(data).await,
            Event::PartEnd => {
                if let Some(fingerprint) = &mut self.fingerprint {
                    fingerprint.end();
                }
                if let File::TakenIn(file) = &mut self.file {
                    file.end();
                }
            }
            Event::End => {}
        }
        Ok(())
    }

    async fn write(&mut self, data: Bytes) -> Result<(), Unkept> {
        if let Some(fingerprint) = &mut self.fingerprint {
            fingerprint.write(&data);
        }
        if let File::TakenIn(file) = &mut self.file
            && !file.write(data).await
            && let File::TakenIn(refused) = std::mem::replace(&mut self.file, File::Passed)
        {
            // It ended before the file did, and says why.
            refused.keep().await?;
            return Err(Unkept::failed("the program failed while it read the file"));
        }
        Ok(())
    }

    fn begin_file(&mut self, raw_name: &str, keep: bool) -> Result<(), Unkept> {
        if !matches!(self.file, File::None) {
            return Err(Fault::invalid(
                FIELD,
                "the form has two fields of this name: upload one file a call, as its only such field",
            )
            .into());
        }
        let name = FileName::parse(raw_name).map_err(|refusal| Unkept::from(IntakeError::from(refusal)))?;
        if let Some(fingerprint) = &mut self.fingerprint {
            fingerprint.begin(&name);
        }
        self.file = if keep { File::TakenIn(self.intake(name)?) } else { File::Passed };
        Ok(())
    }

    fn intake(&self, name: FileName) -> Result<FileIntake, Unkept> {
        let config = &self.loft.config.package;
        let limits = Limits {
            file_bytes: config.file_bytes,
            expanded_bytes: config.expanded_bytes,
            sort_memory: config.sort_memory_bytes,
            ..Limits::default()
        };
        let bad_rows = match self.caller.app.bad_rows {
            pigeonloft_store::BadRows::Refuse => BadRows::Refuse,
            pigeonloft_store::BadRows::Skip => BadRows::Skip,
        };
        let folder = PackageFolder::of(&self.loft.config);
        let reserve = Reserve { bytes: config.disk_reserve_bytes, announced: self.announced };
        FileIntake::begin(folder, name, limits, bad_rows, reserve, self.in_company)
    }
}

/// The file is larger than a package's may be.
pub(super) fn too_large(loft: &Loft) -> Unkept {
    IntakeError::Refused(Refusal::TooLarge { limit: loft.config.package.file_bytes }).into()
}

/// The form is none.
pub(super) fn unreadable(error: &multipart::Error) -> Fault {
    let code = match error {
        multipart::Error::Empty => RetCode::Missing,
        multipart::Error::Truncated { .. } => RetCode::UploadFailed,
        _ => RetCode::Unparsable,
    };
    Fault::new(code, error.to_string())
}

fn no_file(others: &[String]) -> Fault {
    let mut seen: Vec<String> = others
        .iter()
        .take(5)
        .map(|name| format!("\"{}\"", name.chars().take(40).collect::<String>().escape_debug()))
        .collect();
    if seen.is_empty() {
        seen.push("none".into());
    }
    Fault::missing(
        FIELD,
        format!("the form's fields are: {}; send the file in a field named \"{FIELD}\"", seen.join(", ")),
    )
}
