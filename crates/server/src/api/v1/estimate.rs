//! Estimate: whom a push to a package would reach, sent to nobody.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use pigeonloft_model::{Fault, Push, RetCode};
use pigeonloft_store::{App, Package};
use serde_json::json;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Members, Problem, packages, whole};
use crate::api::v3::push::{check_audience, check_excluded};
use crate::auth;
use crate::chain::chain;
use crate::clock::unix_seconds;
use crate::dispatch::estimate::{Estimate, Found, LONGEST};
use crate::dispatch::plan;
use crate::loft::Loft;
use crate::packages::PackageFolder;

/// How long an estimate waits for its turn.
const PATIENCE: Duration = Duration::from_secs(60);

/// `POST /v1/packages/{id}/estimate`, with the members of the push call that say whom it is for, and when to which of
/// their devices; others are as good as not there.
pub(super) async fn estimate(
    State(loft): State<Arc<Loft>>,
    Path(id): Path<String>,
    head: Parts,
    body: Body,
) -> Result<Response, Problem> {
    let (mut caller, body) = whole(&loft, auth::caller(&loft, &head).await, body).await?;
    caller.hash(&body);
    let app = caller.verify()?;
    let package = packages::find(&loft, &app, &id).await?;
    let push = asked(Members::of(&body)?, &loft, &app, &package)?;
    check_audience(&loft, &app, &push).await?;
    let folder = PackageFolder::of(&loft.config);
    let excluded = match push.exclude {
        None => None,
        Some(exclude) => {
            let package = check_excluded(&loft, &app, exclude).await?;
            Some(folder.file(&package.details.stored_as))
        }
    };
    let Ok(turn) = timeout(PATIENCE, loft.estimates.take(app.access_id)).await else {
        let text = "the server makes as many estimates as it can: try again after the seconds of Retry-After";
        return Err(Problem::TooFast(Fault::new(RetCode::TooFast, text), LONGEST));
    };
    let given_up = CancellationToken::new();
    // Who asks may break off: then it need not be made to its end.
    let _guard = given_up.clone().drop_guard();
    let file = folder.file(&package.details.stored_as);
    let (access_id, platform) = (app.access_id, app.platform);
    let work =
        Estimate { loft: loft.clone(), access_id, platform, push: push.clone(), package: file, excluded, given_up };
    let made = spawn_blocking(move || {
        let _turn = turn;
        work.make()
    });
    let found = match made.await {
        Ok(Ok(found)) => found,
        Ok(Err(plan::Error::Store(error))) => return Err(error.into()),
        Ok(Err(error @ plan::Error::Package(_))) => {
            tracing::error!(error = chain(&error), upload_id = id, "a package cannot be read for an estimate");
            return Err(not_now("the server cannot read the package now, try again later"));
        }
        Ok(Err(plan::Error::Stopping)) | Err(_) => return Err(not_now("the estimate broke off, try again")),
    };
    Ok(Json(shown(&package, &app, &push, &found)).into_response())
}

fn not_now(text: &str) -> Problem {
    Problem::Status(StatusCode::SERVICE_UNAVAILABLE, text.into())
}

/// The push that is asked about: the call's members, completed to one that is checked as any other.
fn asked(Members(mut given): Members, loft: &Loft, app: &App, package: &Package) -> Result<Push, Problem> {
    let kinds = ["package_account_push", "package_token_push"];
    // Who sends every member of the push call leaves those empty that are not set.
    given.retain(|name, value| name != "audience_type" || !(value.is_null() || value == ""));
    let kind =
        given.entry("audience_type").or_insert_with(|| kinds[usize::from(package.details.not_tokens == 0)].into());
    if !kinds.iter().any(|name| kind == name) {
        return Err(Problem::member(
            "audience_type",
            format_args!("give {} or {}, or leave it out", kinds[0], kinds[1]),
        ));
    }
    given.insert("upload_id".into(), json!(package.upload_id));
    given.insert("message_type".into(), "notify".into());
    given.insert("message".into(), json!({ "title": "estimate" }));
    let zone = loft.config.push.utc_offset;
    Ok(Push::parse(json!(given).to_string().as_bytes(), app.platform, unix_seconds(), zone)?)
}

fn shown(package: &Package, app: &App, push: &Push, found: &Found) -> serde_json::Value {
    let rows = package.details.rows;
    let (online, offline) = found.on_own_channel(push);
    json!({
        "upload_id": package.upload_id,
        "audience_type": push.audience.kind(),
        "platform": app.platform,
        "rows": rows,
        "rows_done": found.rows,
        "is_whole": found.rows == rows,
        "no_device": found.no_device,
        "excluded": found.left_out.excluded,
        "sampled_out": found.left_out.sampled_out,
        "devices": found.devices,
        "xg": { "online": online, "offline": offline },
        "vendor_tokens": found.vendors,
    })
}
