//! `POST /v3/push/package/upload`: a file becomes a package.
//!
//! ```text
//! body ─ hashed (signature) ─ multipart ─ queue ─ intake on a blocking thread ─ durable file ─ row ─ answer
//! ```
//!
//! The body streams: what is in memory is a few pieces of it. The package is visible once its row is, and its row is
//! written once its file is durable. Dropping this before the body is whole, as a cut connection does, drops the intake,
//! which removes its files; from there on it is brought to its end, whether somebody waits for the answer or not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use bytes::Bytes;
use pigeonloft_model::{Fault, RetCode, UploadId};
use pigeonloft_package::{BadRows, FileName, Intake, IntakeError, Limits, Published, RefusalKind};
use pigeonloft_store::{App, NewPackage};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::api::answer::{self, Answer, Style};
use crate::api::body;
use crate::auth::{self, Caller, internal};
use crate::chain::chain;
use crate::loft::Loft;
use crate::multipart::{self, Event, Reader};
use crate::packages::PackageFolder;
use crate::turns::Turn;

/// The form field the file comes in.
const FIELD: &str = "file";

/// What a body may have beside the file: boundaries, headers, other fields.
const FORM_BYTES: u64 = 1 << 20;

/// Pieces of the file between the network and the intake.
const QUEUE: usize = 16;

/// How long an upload waits for its turn.
const TURN: Duration = Duration::from_secs(60);

pub(super) async fn upload(State(loft): State<Arc<Loft>>, request: Request) -> Response {
    let begun = Instant::now();
    let (head, mut body) = request.into_parts();
    let (result, unsent) = match admit(&loft, &head.headers).await {
        Ok(admitted) => (receive(&loft, admitted, &mut body).await, false),
        Err(fault) => (Err(fault), waits_for_continue(&head.headers)),
    };
    if result.is_err() && !unsent {
        let idle = Duration::from_secs(loft.config.http.body_idle_timeout_s);
        body::discard(body, loft.config.package.file_bytes + FORM_BYTES, idle).await;
    }
    let answer = match result {
        Ok((upload_id, package)) => {
            loft.metrics.upload_finished("accepted", package.rows, package.bytes, begun.elapsed());
            Answer::with(json!({ "uploadId": upload_id }))
        }
        Err(fault) => {
            loft.metrics.upload_finished("refused", 0, 0, begun.elapsed());
            tracing::info!(code = fault.code.code(), "upload refused");
            Answer::with(json!({ "uploadId": 0 })).under(fault.code, fault.text)
        }
    };
    answer::v3(Style::Camel, Ok(answer))
}

/// A client that waits for `100 Continue` has sent nothing yet if it was refused by its head alone, and reads the
/// answer at once; after that it sends like any other.
fn waits_for_continue(headers: &HeaderMap) -> bool {
    headers.get(header::EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// An upload that may be read: its head is right, and it is its turn.
struct Admitted {
    caller: Caller,
    form: Reader,
    turn: Turn,
}

async fn admit(loft: &Loft, headers: &HeaderMap) -> Result<Admitted, Fault> {
    let caller = auth::caller(loft, headers).await?;
    let content_type = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let form = Reader::new(content_type).map_err(|error| unreadable_form(&error))?;
    check_length(loft, headers)?;
    match tokio::time::timeout(TURN, loft.uploads.take(caller.app.access_id)).await {
        Ok(Ok(turn)) => Ok(Admitted { caller, form, turn }),
        _ => Err(Fault::new(
            RetCode::TooFast,
            format!(
                "{} uploads are being worked on already, or half as many of this app: try again",
                loft.config.package.uploads_at_once
            ),
        )),
    }
}

async fn receive(loft: &Arc<Loft>, admitted: Admitted, body: &mut Body) -> Result<(UploadId, NewPackage), Fault> {
    let Admitted { caller, form, turn } = admitted;
    let (app, file) = Form { loft, caller, form, file: None, others: Vec::new() }.read(body).await?;
    // In a task of its own: a file that is published must get its row, or be removed, also when the client is gone.
    let loft = loft.clone();
    let kept = tokio::spawn(async move {
        let _turn = turn;
        let FileIntake { name, intake } = file;
        let intake = intake.await.map_err(|_| failed("the program failed while it read the file"))?;
        let (stored_as, published) = publish(&loft, intake?).await?;
        add_row(&loft, &app, &name, stored_as, &published).await
    });
    kept.await.map_err(|_| failed("the program failed while it kept the package"))?
}

fn check_length(loft: &Loft, headers: &HeaderMap) -> Result<(), Fault> {
    let limit = loft.config.package.file_bytes;
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > limit + FORM_BYTES) {
        return Err(refused(&IntakeError::Refused(pigeonloft_package::Refusal::TooLarge { limit })));
    }
    Ok(())
}

/// The file of a form, on its way through the intake.
struct FileIntake {
    name: FileName,
    intake: JoinHandle<Result<Intake, Fault>>,
}

/// A form being read.
struct Form<'a> {
    loft: &'a Loft,
    caller: Caller,
    form: Reader,
    file: Option<(FileIntake, Option<mpsc::Sender<Bytes>>)>,
    /// Names of fields that are not the file's.
    others: Vec<String>,
}

impl Form<'_> {
    /// Reads the form to its end. Answers who sent it, and the file.
    async fn read(mut self, body: &mut Body) -> Result<(Arc<App>, FileIntake), Fault> {
        let limits = &self.loft.config;
        let idle = Duration::from_secs(limits.http.body_idle_timeout_s);
        let mut left = limits.package.file_bytes + FORM_BYTES;
        while let Some(piece) = body::next_piece(body, idle).await.map_err(|error| failed(error.to_string()))? {
            left = left.checked_sub(piece.len() as u64).ok_or_else(|| {
                let limit = self.loft.config.package.file_bytes;
                refused(&IntakeError::Refused(pigeonloft_package::Refusal::TooLarge { limit }))
            })?;
            self.caller.hash(&piece);
            self.form.feed(piece);
            while let Some(event) = self.form.next_event().map_err(|error| unreadable_form(&error))? {
                self.take(event).await?;
            }
        }
        self.form.finish().map_err(|error| unreadable_form(&error))?;
        let Self { caller, file, others, .. } = self;
        let app = caller.verify()?;
        let (file, _) = file.ok_or_else(|| no_file(&others))?;
        Ok((app, file))
    }

    async fn take(&mut self, event: Event) -> Result<(), Fault> {
        match event {
            Event::PartBegin(part) if part.name == FIELD => self.begin_file(part.file_name.unwrap_or_default())?,
            Event::PartBegin(part) => self.others.push(part.name),
            Event::Data(data) => {
                if let Some((_, queue @ Some(_))) = &mut self.file
                    && let Some(sender) = queue
                    && sender.send(data).await.is_err()
                {
                    // The intake has ended: the file is refused, and its result says why.
                    *queue = None;
                    return self.refusal().await;
                }
            }
            // Data of later fields is none of the file's.
            Event::PartEnd => {
                if let Some((_, queue)) = &mut self.file {
                    *queue = None;
                }
            }
            Event::End => {}
        }
        Ok(())
    }

    async fn refusal(&mut self) -> Result<(), Fault> {
        let Some((file, _)) = self.file.take() else { return Ok(()) };
        match file.intake.await {
            Ok(Err(fault)) => Err(fault),
            Ok(Ok(_)) | Err(_) => Err(failed("the program failed while it read the file")),
        }
    }

    fn begin_file(&mut self, raw_name: String) -> Result<(), Fault> {
        if self.file.is_some() {
            return Err(Fault::invalid(
                FIELD,
                "the form has two fields of this name: upload one file a call, as its only such field",
            ));
        }
        let name = FileName::parse(&raw_name).map_err(|refusal| refused(&refusal.into()))?;
        let (sender, mut pieces) = mpsc::channel::<Bytes>(QUEUE);
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
        let intake_name = name.clone();
        let intake = tokio::task::spawn_blocking(move || {
            let mut intake = Intake::begin(folder.path(), intake_name, limits, bad_rows).map_err(|e| refused(&e))?;
            while let Some(piece) = pieces.blocking_recv() {
                intake.write(&piece).map_err(|error| refused(&error))?;
            }
            Ok(intake)
        });
        self.file = Some((FileIntake { name, intake }, Some(sender)));
        Ok(())
    }
}

/// Checks what only the whole file can tell, and makes the package durable under a name of its own.
async fn publish(loft: &Loft, intake: Intake) -> Result<(String, Published), Fault> {
    let folder = PackageFolder::of(&loft.config);
    let published = tokio::task::spawn_blocking(move || {
        let ready = intake.finish().map_err(|error| refused(&error))?;
        let stored_as = PackageFolder::new_name().map_err(|error| failed(error.to_string()))?;
        let published = ready.publish(&folder.file(&stored_as)).map_err(|error| refused(&error))?;
        Ok((stored_as, published))
    });
    published.await.map_err(|_| failed("the program failed while it wrote the package"))?
}

async fn add_row(
    loft: &Loft,
    app: &App,
    name: &FileName,
    stored_as: String,
    published: &Published,
) -> Result<(UploadId, NewPackage), Fault> {
    let summary = &published.summary;
    let first_not_token = summary.first_not_token.as_ref();
    let new = NewPackage {
        access_id: app.access_id,
        stored_as,
        file_name: name.as_str().to_owned(),
        format: summary.format.as_str().to_owned(),
        rows: summary.rows,
        duplicates: summary.duplicates,
        blanks: summary.blanks,
        bad_rows: summary.bad_rows,
        bytes: summary.file_bytes,
        not_tokens: summary.not_tokens,
        first_not_token: first_not_token
            .map(|row| format!("line {}, {} characters [{}]", row.line, row.chars, row.excerpt)),
    };
    match loft.store.add_package(new.clone()).await {
        Ok(upload_id) => {
            tracing::info!(%upload_id, access_id = %app.access_id, rows = new.rows, bytes = new.bytes, "package uploaded");
            Ok((upload_id, new))
        }
        Err(error) => {
            if let Err(error) = PackageFolder::of(&loft.config).remove(&new.stored_as) {
                tracing::warn!(%error, "the file of a package without a row stays until the next start");
            }
            Err(internal(&error))
        }
    }
}

fn refused(error: &IntakeError) -> Fault {
    match error {
        IntakeError::Refused(refusal) => {
            let code = match refusal.kind() {
                RefusalKind::Empty => RetCode::EmptyFile,
                RefusalKind::Invalid => RetCode::Invalid,
                RefusalKind::Unreadable => RetCode::UploadFailed,
            };
            Fault::new(code, refusal.to_string())
        }
        IntakeError::Io { source, .. } => {
            tracing::error!(error = chain(error), "an upload failed on this side");
            failed(match source.kind() {
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => "the server's disk is full",
                _ => "the server could not keep the file",
            })
        }
    }
}

fn failed(what: impl std::fmt::Display) -> Fault {
    Fault::new(RetCode::UploadFailed, format!("{what}: nothing was kept, upload the file again"))
}

fn unreadable_form(error: &multipart::Error) -> Fault {
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
