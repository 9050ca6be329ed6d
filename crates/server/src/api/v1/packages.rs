//! Packages: what an app uploaded, its bad rows, and taking it away again.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use pigeonloft_model::UploadId;
use pigeonloft_store::{App, Package, Removed};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use super::{Problem, app};
use crate::loft::Loft;
use crate::packages::PackageFolder;

/// Packages on a page, where the call does not say, and at most.
pub(super) const PAGE: u32 = 100;
pub(super) const PAGE_MAX: u32 = 1000;

/// Bytes of a file read and sent at a time.
const PIECE: u64 = 64 << 10;

const DAY_S: i64 = 86_400;

#[derive(Debug, Deserialize)]
pub(super) struct Page {
    before: Option<i32>,
    limit: Option<u32>,
}

/// `GET /v1/packages`: a page of the app's packages, latest first; `next` is the `before` of the page after it.
pub(super) async fn list(
    State(loft): State<Arc<Loft>>,
    head: Parts,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Response, Problem> {
    let app = app(&loft, &head).await?;
    let Query(page) = page.map_err(|error| Problem::Status(StatusCode::BAD_REQUEST, error.body_text()))?;
    let limit = page.limit.unwrap_or(PAGE);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(Problem::member("limit", format_args!("it is {limit}, give a number from 1 to {PAGE_MAX}")));
    }
    let packages = loft.store.packages(app.access_id, page.before.map(UploadId), limit).await?;
    let full = packages.len() == limit as usize;
    let next = packages.last().filter(|_| full).map(|package| package.upload_id);
    let packages: Value = packages.iter().map(|package| shown(&loft, package)).collect();
    Ok(Json(json!({ "packages": packages, "next": next })).into_response())
}

/// `GET /v1/packages/{id}`
pub(super) async fn one(
    State(loft): State<Arc<Loft>>,
    Path(id): Path<String>,
    head: Parts,
) -> Result<Response, Problem> {
    let app = app(&loft, &head).await?;
    let package = find(&loft, &app, &id).await?;
    Ok(Json(shown(&loft, &package)).into_response())
}

/// `DELETE /v1/packages/{id}`
pub(super) async fn remove(
    State(loft): State<Arc<Loft>>,
    Path(id): Path<String>,
    head: Parts,
) -> Result<StatusCode, Problem> {
    let app = app(&loft, &head).await?;
    let upload_id = id.parse().map_err(|_| unknown(&id))?;
    match loft.store.remove_package(app.access_id, upload_id).await? {
        Removed::Unknown => return Err(unknown(&id)),
        Removed::InUse => {
            let text = format!("a push that is not finished reads package {id}: delete it once the push is");
            return Err(Problem::Status(StatusCode::CONFLICT, text));
        }
        Removed::Done(stored_as) => {
            let folder = PackageFolder::of(&loft.config);
            let removed = spawn_blocking(move || folder.remove(&stored_as)).await;
            if let Err(error) = removed.unwrap_or_else(|error| Err(io::Error::other(error))) {
                // The package is gone all the same: the next start sweeps files that no row names.
                tracing::warn!(%error, upload_id = id, "the file of a deleted package could not be removed");
            }
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /v1/packages/{id}/rejected.csv`: the bad rows that were left out, with line and reason.
pub(super) async fn rejected(
    State(loft): State<Arc<Loft>>,
    Path(id): Path<String>,
    head: Parts,
) -> Result<Response, Problem> {
    let app = app(&loft, &head).await?;
    let package = find(&loft, &app, &id).await?;
    let file = PackageFolder::of(&loft.config).file(&package.details.stored_as);
    let opened = spawn_blocking(move || {
        let file = File::open(pigeonloft_package::rejected_path(&file))?;
        let bytes = file.metadata()?.len();
        Ok::<_, io::Error>((file, bytes))
    });
    let (file, bytes) = match opened.await.unwrap_or_else(|error| Err(io::Error::other(error))) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Problem::not_found(format!("package {id} has no rejected rows")));
        }
        Err(error) => {
            tracing::error!(%error, upload_id = id, "the rejected rows of a package cannot be read");
            let text = "the server cannot read the rejected rows now, try again later";
            return Err(Problem::Status(StatusCode::SERVICE_UNAVAILABLE, text.into()));
        }
    };
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (header::CONTENT_LENGTH, bytes.to_string()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"rejected-{}.csv\"", package.upload_id)),
    ];
    Ok((headers, streamed(file)).into_response())
}

/// A file as a body, a piece in memory at a time.
fn streamed(file: File) -> Body {
    Body::from_stream(stream::try_unfold(file, |mut file| async move {
        let read = spawn_blocking(move || {
            let mut piece = Vec::new();
            (&mut file).take(PIECE).read_to_end(&mut piece)?;
            Ok((piece, file))
        });
        let (piece, file) = read.await.unwrap_or_else(|error| Err(io::Error::other(error)))?;
        Ok::<_, io::Error>((!piece.is_empty()).then(|| (Bytes::from(piece), file)))
    }))
}

/// The app's package of this id.
pub(super) async fn find(loft: &Loft, app: &App, id: &str) -> Result<Package, Problem> {
    let upload_id = id.parse().map_err(|_| unknown(id))?;
    loft.store.package(app.access_id, upload_id).await?.ok_or_else(|| unknown(id))
}

fn unknown(id: &str) -> Problem {
    Problem::not_found(format!("this app has no package {id}: it was never uploaded, or deleted since"))
}

fn shown(loft: &Loft, package: &Package) -> Value {
    let details = &package.details;
    let last_used_at = package.last_used_at / 1000;
    let unused_days = i64::from(loft.config.package.unused_days);
    json!({
        "upload_id": package.upload_id,
        "file_name": details.file_name,
        "format": details.format,
        "bytes": details.bytes,
        "rows": details.rows,
        "duplicates": details.duplicates,
        "blanks": details.blanks,
        "bad_rows": details.bad_rows,
        "not_tokens": details.not_tokens,
        "first_not_token": details.first_not_token,
        "created_at": package.created_at / 1000,
        "last_used_at": last_used_at,
        "kept_until": (unused_days > 0).then(|| last_used_at + unused_days * DAY_S),
    })
}
