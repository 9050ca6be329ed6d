//! The form of an upload, read as it streams: the file's pieces go to its intake, every other field is passed over.
//! Whether its sender may upload is judged at its end.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use pigeonloft_model::{Fault, RetCode};
use pigeonloft_package::{BadRows, FileName, IntakeError, Limits, Refusal};
use pigeonloft_store::App;

use super::FORM_BYTES;
use super::intake::{FileIntake, Reserve};
use super::unkept::Unkept;
use crate::api::body;
use crate::auth::Caller;
use crate::loft::Loft;
use crate::multipart::{self, Event, Reader};
use crate::packages::PackageFolder;

/// The form field the file comes in.
const FIELD: &str = "file";

/// A form being read.
pub(super) struct Form<'a> {
    loft: &'a Loft,
    caller: Caller,
    reader: Reader,
    /// Whether other uploads are being worked on.
    in_company: bool,
    /// Bytes of the body, as far as its head tells.
    announced: u64,
    file: Option<FileIntake>,
    /// Names of fields that are not the file's.
    others: Vec<String>,
}

impl<'a> Form<'a> {
    pub(super) fn new(loft: &'a Loft, caller: Caller, reader: Reader, in_company: bool) -> Self {
        Self { loft, caller, reader, in_company, announced: 0, file: None, others: Vec::new() }
    }

    /// Reads the form to its end. Answers who sent it, and the file.
    pub(super) async fn read(mut self, body: &mut Body) -> Result<(Arc<App>, FileIntake), Unkept> {
        let limits = &self.loft.config;
        let idle = Duration::from_secs(limits.http.body_idle_timeout_s);
        let mut left = limits.package.file_bytes + FORM_BYTES;
        self.announced = body.size_hint().lower();
        while let Some(piece) = body::next_piece(body, idle).await.map_err(Unkept::broken_off)? {
            left = left.checked_sub(piece.len() as u64).ok_or_else(|| too_large(self.loft))?;
            self.caller.hash(&piece);
            self.reader.feed(piece);
            while let Some(event) = self.reader.next_event().map_err(|error| unreadable(&error))? {
                self.take(event).await?;
            }
        }
        self.reader.finish().map_err(|error| unreadable(&error))?;
        let Self { caller, file, others, .. } = self;
        let app = caller.verify()?;
        let file = file.ok_or_else(|| no_file(&others))?;
        Ok((app, file))
    }

    async fn take(&mut self, event: Event) -> Result<(), Unkept> {
        match event {
            Event::PartBegin(part) if part.name == FIELD => self.begin_file(part.file_name.unwrap_or_default())?,
            Event::PartBegin(part) => self.others.push(part.name),
            Event::Data(data) => {
                if let Some(file) = &mut self.file
                    && !file.write(data).await
                {
                    return self.refusal().await;
                }
            }
            Event::PartEnd => {
                if let Some(file) = &mut self.file {
                    file.end();
                }
            }
            Event::End => {}
        }
        Ok(())
    }

    /// Why the intake ended before the file did.
    async fn refusal(&mut self) -> Result<(), Unkept> {
        match self.file.take() {
            Some(file) => file.keep().await.and(Err(Unkept::failed("the program failed while it read the file"))),
            None => Ok(()),
        }
    }

    fn begin_file(&mut self, raw_name: String) -> Result<(), Unkept> {
        if self.file.is_some() {
            return Err(Fault::invalid(
                FIELD,
                "the form has two fields of this name: upload one file a call, as its only such field",
            )
            .into());
        }
        let name = FileName::parse(&raw_name).map_err(|refusal| Unkept::from(IntakeError::from(refusal)))?;
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
        self.file = Some(FileIntake::begin(folder, name, limits, bad_rows, reserve, self.in_company)?);
        Ok(())
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
