//! `POST /v3/push/package/upload`: a file becomes a package.
//!
//! ```text
//! body ─ hashed (signature) ─ multipart ─ queue ─ intake on a thread of its own ─ durable file ─ row ─ answer
//! ```
//!
//! The body streams: what is in memory is a few pieces of it. The package is visible once its row is, and its row is
//! written once its file is durable. Dropping this before the body is whole, as a cut connection does, drops the intake,
//! which removes its files; from there on it is brought to its end, whether somebody waits for the answer or not.

mod fingerprint;
mod form;
mod intake;
mod unkept;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use pigeonloft_model::{Fault, RetCode, UploadId};
use pigeonloft_package::FileName;
use pigeonloft_store::{AnswerKey, App, Asked, KeptAnswer, NewPackage, Once, Repeatable};
use serde_json::{Value, json};

use super::once;
use crate::api::answer::{self, Answer, Style};
use crate::api::body;
use crate::auth::{self, Caller, internal};
use crate::loft::Loft;
use crate::multipart::Reader;
use crate::packages::PackageFolder;
use crate::turns::Turn;
use form::{Form, Sent};
use intake::Kept;
use unkept::Unkept;

/// What a body may have beside the file: boundaries, headers, other fields.
const FORM_BYTES: u64 = 1 << 20;

/// How long an upload waits for its turn.
const TURN: Duration = Duration::from_secs(60);

pub(super) async fn upload(State(loft): State<Arc<Loft>>, request: Request) -> Response {
    let begun = Instant::now();
    let (head, mut body) = request.into_parts();
    let (result, unsent) = match admit(&loft, &head).await {
        Ok(admitted) => (receive(&loft, admitted, &mut body).await, false),
        Err(unkept) => (Err(unkept), waits_for_continue(&head.headers)),
    };
    if result.is_err() && !unsent {
        let idle = Duration::from_secs(loft.config.http.body_idle_timeout_s);
        body::discard(body, loft.config.package.file_bytes + FORM_BYTES, idle).await;
    }
    let answer = match result {
        Ok(Received::Added(upload_id, package)) => {
            loft.metrics.upload_finished("accepted", package.rows, package.bytes, begun.elapsed());
            Answer::with(answered(upload_id))
        }
        Ok(Received::Repeated(answer)) => {
            loft.metrics.upload_finished("replayed", 0, 0, begun.elapsed());
            answer
        }
        Err(unkept) => {
            loft.metrics.upload_finished(unkept.result(), 0, 0, begun.elapsed());
            tracing::info!(code = unkept.fault.code.code(), "upload {}", unkept.result());
            Answer::with(json!({ "uploadId": 0 })).under(unkept.fault.code, unkept.fault.text)
        }
    };
    answer::v3(Style::Camel, Ok(answer))
}

fn answered(upload_id: UploadId) -> Value {
    json!({ "uploadId": upload_id })
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
    repeat: Repeat,
}

/// Whether an upload may be one that was made before.
enum Repeat {
    /// It has no key, or none that an upload is known by.
    No(Option<AnswerKey>, Turn),
    /// One with its key was answered: nothing is kept of this one, so that it needs no turn.
    Of(KeptAnswer),
}

async fn admit(loft: &Loft, head: &Parts) -> Result<Admitted, Unkept> {
    let headers = &head.headers;
    let caller = auth::caller(loft, head).await?;
    let content_type = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let form = Reader::new(content_type).map_err(|error| form::unreadable(&error))?;
    let limit = loft.config.package.file_bytes + FORM_BYTES;
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > limit) {
        return Err(form::too_large(loft));
    }
    let key = once::key(loft, &caller.app, Repeatable::Upload, headers)?;
    if let Some(key) = &key
        && let Some(kept) = loft.store.kept_answer(key.clone()).await.map_err(|error| internal(&error))?
    {
        return Ok(Admitted { caller, form, repeat: Repeat::Of(kept) });
    }
    match tokio::time::timeout(TURN, loft.uploads.take(caller.app.access_id)).await {
        Ok(Ok(turn)) => Ok(Admitted { caller, form, repeat: Repeat::No(key, turn) }),
        _ => Err(Fault::new(
            RetCode::TooFast,
            format!(
                "{} uploads are being worked on already, or half as many of this app: try again",
                loft.config.package.uploads_at_once
            ),
        )
        .into()),
    }
}

/// What became of an upload.
enum Received {
    Added(UploadId, NewPackage),
    Repeated(Answer),
}

async fn receive(loft: &Arc<Loft>, admitted: Admitted, body: &mut Body) -> Result<Received, Unkept> {
    let Admitted { caller, form, repeat } = admitted;
    let form = Form::new(loft, caller, form, loft.uploads.taken() > 1);
    let (key, turn) = match repeat {
        Repeat::No(key, turn) => (key, turn),
        Repeat::Of(kept) => {
            let what = form.compare(body).await?;
            return Ok(Received::Repeated(once::again(&kept, what)?));
        }
    };
    let Sent { app, file, what } = form.keep(body, key.is_some()).await?;
    let asked = key.zip(what).map(|(key, what)| Asked { key, what });
    // In a task of its own: a file that is published must get its row, or be removed, also when the client is gone.
    let loft = loft.clone();
    let kept = tokio::spawn(async move {
        let _turn = turn;
        let name = file.name.clone();
        add_row(&loft, &app, &name, file.keep().await?, asked).await
    });
    kept.await.map_err(|_| Unkept::failed("the program failed while it kept the package"))?
}

async fn add_row(
    loft: &Loft,
    app: &App,
    name: &FileName,
    kept: Kept,
    asked: Option<Asked>,
) -> Result<Received, Unkept> {
    let Kept { stored_as, published } = kept;
    let summary = published.summary;
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
    let received = insert(loft, new.clone(), asked).await;
    if let Ok(Received::Added(upload_id, _)) = &received {
        tracing::info!(%upload_id, access_id = %app.access_id, rows = new.rows, bytes = new.bytes, "package uploaded");
    } else {
        intake::remove(&PackageFolder::of(&loft.config), &new.stored_as);
    }
    Ok(received?)
}

/// Adds the row, unless this is the second of two at once with one key.
async fn insert(loft: &Loft, new: NewPackage, asked: Option<Asked>) -> Result<Received, Fault> {
    let failed = |error| internal(&error);
    let Some(asked) = asked else {
        return Ok(Received::Added(loft.store.add_package(new.clone()).await.map_err(failed)?, new));
    };
    let what = asked.what;
    let added = loft.store.add_package_once(new.clone(), asked, |upload_id| answered(upload_id).to_string()).await;
    match added.map_err(failed)? {
        Once::Now(upload_id) => Ok(Received::Added(upload_id, new)),
        Once::Before(kept) => once::again(&kept, what).map(Received::Repeated),
    }
}
