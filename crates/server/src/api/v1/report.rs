//! Report: who got what of a push, a line for each device and for each row that named none, as csv or as Parquet.

mod csv;
pub(super) mod lines;
mod parquet;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use pigeonloft_model::{Outcome, Push as Request};
use pigeonloft_package::ReadError;
use pigeonloft_store::{App, Push, Started};
use serde::Deserialize;
use tokio::task::spawn_blocking;

use self::lines::{Error, Lines, NO_DEVICE, Wanted};
use super::{Problem, app};
use crate::chain::chain;
use crate::clock::unix_millis;
use crate::dispatch::rows::{Naming, Rows};
use crate::loft::Loft;
use crate::packages::PackageFolder;

const DAY_MS: i64 = 86_400_000;

/// What a call says beside the push.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    outcome: Option<String>,
    text: Option<String>,
}

/// `GET /v1/pushes/{id}/recipients.csv`
pub(super) async fn as_csv(
    State(loft): State<Arc<Loft>>,
    Path(id): Path<String>,
    head: Parts,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Problem> {
    let app = app(&loft, &head).await?;
    let Query(asked) = asked.map_err(|error| Problem::Status(StatusCode::BAD_REQUEST, error.body_text()))?;
    let text = match asked.text.as_deref() {
        None | Some("safe") => csv::Text::Safe,
        Some("verbatim") => csv::Text::Verbatim,
        Some(_) => return Err(Problem::member("text", "give \"safe\" or \"verbatim\", or leave it out")),
    };
    let lines = lines(&loft, &app, &id, asked.outcome.as_deref()).await?;
    Ok(streamed(lines, Format::Csv(text), &id, "text/csv; charset=utf-8", "csv"))
}

/// `GET /v1/pushes/{id}/recipients.parquet`
pub(super) async fn as_parquet(
    State(loft): State<Arc<Loft>>,
    Path(id): Path<String>,
    head: Parts,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Problem> {
    let app = app(&loft, &head).await?;
    let Query(asked) = asked.map_err(|error| Problem::Status(StatusCode::BAD_REQUEST, error.body_text()))?;
    let lines = lines(&loft, &app, &id, asked.outcome.as_deref()).await?;
    let writer = parquet::Writer::new().map_err(|error| {
        Problem::Status(StatusCode::INTERNAL_SERVER_ERROR, format!("a Parquet file cannot be begun: {error}"))
    })?;
    Ok(streamed(lines, Format::Parquet(Box::new(writer)), &id, "application/vnd.apache.parquet", "parquet"))
}

/// The lines of a push, if they are still kept.
async fn lines(loft: &Loft, app: &App, id: &str, outcome: Option<&str>) -> Result<Lines, Problem> {
    let unknown = || Problem::not_found(format!("this app has no push {id}: give the push_id that the push answered"));
    let push_id = id.parse().map_err(|_| unknown())?;
    let started = loft.store.push_with_cursor(app.access_id, push_id).await?.ok_or_else(unknown)?;
    let wanted = wanted(outcome)?;
    let Started { push, cursor, .. } = &started;
    if !wanted.outcomes.is_empty() && are_forgotten(loft, push).await? {
        let days = loft.config.push.recipients_days;
        return Err(Problem::Status(
            StatusCode::GONE,
            format!(
                "what became of the single devices of push {id} is forgotten, as push.recipients_days = {days} says; \
                 its sums stay, see GET /v1/pushes/{id}"
            ),
        ));
    }
    let request = Request::from_stored(&push.request).map_err(|error| {
        Problem::Status(StatusCode::INTERNAL_SERVER_ERROR, format!("the stored push is damaged: {error}"))
    })?;
    let rows = if wanted.no_device { rows(loft, &started, &request, id).await? } else { None };
    if rows.is_none() && wanted.no_device && wanted.outcomes.is_empty() {
        let text = format!("the package of push {id} was deleted, and with it the rows that named no device");
        return Err(Problem::Status(StatusCode::GONE, text));
    }
    let naming = Naming::of(&request, app.access_id, app.platform);
    Ok(Lines::new(loft.store.clone(), push, &request, naming, rows.map(|rows| (rows, cursor.row)), wanted))
}

/// All, unless outcomes are given.
fn wanted(outcome: Option<&str>) -> Result<Wanted, Problem> {
    let Some(given) = outcome else { return Ok(Wanted { outcomes: Outcome::ALL.to_vec(), no_device: true }) };
    let mut wanted = Wanted { outcomes: Vec::new(), no_device: false };
    for name in given.split(',') {
        match name.trim() {
            NO_DEVICE => wanted.no_device = true,
            name => wanted.outcomes.push(name.parse().map_err(|unknown| {
                Problem::member("outcome", format_args!("{unknown}, {NO_DEVICE}; several have commas between them"))
            })?),
        }
    }
    Ok(wanted)
}

/// Whether recipients are no longer kept, or are being forgotten now.
async fn are_forgotten(loft: &Loft, push: &Push) -> Result<bool, Problem> {
    if push.counts.targets == 0 {
        return Ok(false);
    }
    let days = i64::from(loft.config.push.recipients_days);
    let is_due = |ended: i64| days > 0 && push.counts.waiting == 0 && ended < unix_millis() - days * DAY_MS;
    if push.finished_at.is_some_and(is_due) {
        return Ok(true);
    }
    Ok(loft.store.report(push.push_id, 0, Vec::new(), None, 1).await?.read == 0)
}

/// The rows of the push's audience. `None`: its package is gone.
async fn rows(loft: &Loft, started: &Started, request: &Request, id: &str) -> Result<Option<Rows>, Problem> {
    let file = started.stored_as.as_ref().map(|name| PackageFolder::of(&loft.config).file(name));
    if file.is_none() && started.push.upload_id.is_some() {
        return Ok(None);
    }
    let request = request.clone();
    let opened = spawn_blocking(move || Rows::of(&request, file.as_deref(), 0)).await;
    match opened.unwrap_or_else(|error| Err(ReadError::Io(std::io::Error::other(error)))) {
        Ok(rows) => Ok(Some(rows)),
        Err(error) => {
            tracing::error!(error = chain(&error), push_id = id, "the package of a push cannot be read for its report");
            let text = "the server cannot read the package of the push; ask for outcomes other than no_device";
            Err(Problem::Status(StatusCode::SERVICE_UNAVAILABLE, text.into()))
        }
    }
}

/// What lines are written as.
enum Format {
    Csv(csv::Text),
    Parquet(Box<parquet::Writer>),
}

/// Where a report that is being sent stands.
enum At {
    Begin(Lines, Format),
    Among(Lines, Format),
    End,
}

impl At {
    /// The next bytes, and where it stands then.
    async fn next(self) -> Result<Option<(Bytes, Self)>, Error> {
        let (mut lines, format) = match self {
            Self::Begin(lines, format @ Format::Csv(_)) => {
                return Ok(Some((csv::header()?.into(), Self::Among(lines, format))));
            }
            Self::Begin(lines, format) | Self::Among(lines, format) => (lines, format),
            Self::End => return Ok(None),
        };
        let page = lines.next().await?;
        let written = spawn_blocking(move || {
            Ok::<_, Error>(match (page, format) {
                (Some(page), Format::Csv(text)) => (csv::page(&page, text)?, Some(Format::Csv(text))),
                (Some(page), Format::Parquet(mut writer)) => (writer.add(page)?, Some(Format::Parquet(writer))),
                (None, Format::Csv(_)) => (Vec::new(), None),
                (None, Format::Parquet(writer)) => (writer.finish()?, None),
            })
        });
        let (bytes, format) = written.await.map_err(|_| Error::BrokenOff)??;
        Ok(Some((bytes.into(), format.map_or(Self::End, |format| Self::Among(lines, format)))))
    }
}

/// The answer, made as it is taken: a page in memory at a time.
fn streamed(lines: Lines, format: Format, id: &str, content_type: &str, ending: &str) -> Response {
    let push_id = id.to_owned();
    let body = stream::try_unfold(At::Begin(lines, format), move |at| {
        let push_id = push_id.clone();
        async move {
            // The status is sent long ago: the connection breaks off, and the log says why.
            at.next().await.inspect_err(|error| {
                tracing::error!(error = chain(error), push_id, "a report of a push breaks off");
            })
        }
    });
    let headers = [
        (header::CONTENT_TYPE, content_type.to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"recipients-{id}.{ending}\"")),
    ];
    (headers, Body::from_stream(body)).into_response()
}
