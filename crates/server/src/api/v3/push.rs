//! `POST /v3/push/app`: a push is checked, made durable, and answered; dispatch does the rest.

use std::sync::Arc;

use bytes::Bytes;
use pigeonloft_model::payload::Payload;
use pigeonloft_model::{
    AcceptMinutes, Audience, Channel, Day, DeviceId, Exclude, Fault, Occurrences, PackageKind, Push, PushId, RetCode,
    UploadId,
};
use pigeonloft_store::{Accepted, App, Asked, NewPush, Once, Package, REPEATED_WITHIN_S};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{once, request_of};
use crate::api::answer::Answer;
use crate::auth::internal;
use crate::clock::unix_seconds;
use crate::loft::Loft;

/// `asked`: kept with its answer, so that a repeat is answered alike.
pub(super) async fn push(loft: Arc<Loft>, app: Arc<App>, body: Bytes, asked: Option<Asked>) -> Result<Answer, Fault> {
    let now = unix_seconds();
    let refused = |seq, fault: Fault| Answer::with(json!({ "seq": seq })).under(fault.code, fault.text);
    let mut push = match Push::parse(&body, app.platform, now, loft.config.push.utc_offset) {
        Ok(push) => push,
        Err(fault) => return Ok(refused(Push::seq_of(&body), fault)),
    };
    let taken = take(&loft, &app, &mut push, now, asked).await;
    Ok(taken.unwrap_or_else(|fault| refused(push.seq, fault)))
}

/// The answer to a push that was taken, in the making.
#[derive(Debug, Clone)]
struct Told {
    members: Value,
    is_repeated: bool,
}

impl Told {
    fn of(push: &Push, unknown: &[String]) -> Self {
        let mut members = json!({
            "seq": push.seq,
            "push_id": null,
            "environment": push.environment,
            "result": "",
            "invalid_targe_list": unknown,
        });
        if let Some(first) = push.collapse_id {
            members["collapse_id"] = json!(first.0);
        }
        if let Some(Occurrences { skipped, .. }) = &push.occurrences {
            members["skipped_days"] = json!(skipped);
        }
        Self { members, is_repeated: push.occurrences.is_some() }
    }

    /// With its id, or those of its occurrences.
    fn with(mut self, push_ids: &[PushId]) -> Value {
        let push_ids: Vec<_> = push_ids.iter().map(PushId::to_string).collect();
        self.members["push_id"] = if self.is_repeated { json!(push_ids) } else { json!(push_ids.first()) };
        self.members
    }
}

/// Takes a push that is right in itself, if its audience and its app's turn allow it.
async fn take(loft: &Loft, app: &App, push: &mut Push, now: i64, asked: Option<Asked>) -> Result<Answer, Fault> {
    if push.message.is_filled() {
        let declared = loft.store.declared_attributes(app.access_id).await.map_err(|error| internal(&error))?;
        push.message.check_attributes(&declared)?;
    }
    let unknown = leave_unknown_tokens_out(loft, app, push).await?;
    push.collapse_id = first_of_line(loft, app, push.collapse_id).await?;
    let rows = check_audience(loft, app, push).await?;
    if let Some(exclude) = push.exclude {
        check_excluded(loft, app, exclude).await?;
    }
    let is_bulk = push.audience.kind().is_bulk();
    if is_bulk && !loft.take_bulk_push_turn(app.access_id) {
        return Err(Fault::new(
            RetCode::TooFast,
            "this app pushed to all, by tag or to a package less than a second ago: one such push a second is taken, \
             repeat this one",
        ));
    }
    let told = Told::of(push, &unknown);
    let accepted = accept(loft, app, push, now, rows, asked.map(|asked| (asked, told.clone()))).await;
    if !matches!(accepted, Ok(Taken::Pushes(_))) && is_bulk {
        loft.give_back_bulk_push_turn(app.access_id);
    }
    let push_ids = match accepted? {
        Taken::Pushes(push_ids) => push_ids,
        Taken::Before(answer) => return Ok(answer),
    };
    let kind = push.audience.kind();
    for push_id in &push_ids {
        loft.metrics.push_accepted(kind.as_str());
        tracing::info!(%push_id, access_id = %app.access_id, %kind, audience_rows = rows.count, "push accepted");
    }
    Ok(Answer::with(told.with(&push_ids)))
}

/// What became of a push that may be accepted.
enum Taken {
    Pushes(Vec<PushId>),
    /// It was made while this call was checked.
    Before(Answer),
}

/// Makes a push durable, or each of its occurrences, and with it what is to be kept of its answer.
async fn accept(
    loft: &Loft,
    app: &App,
    push: &Push,
    now: i64,
    rows: Rows,
    keep: Option<(Asked, Told)>,
) -> Result<Taken, Fault> {
    let digest = digest(push);
    let new = |request: String, start_at: i64| NewPush {
        access_id: app.access_id,
        request,
        upload_id: push.audience.package(),
        exclude_upload_id: push.exclude.map(|exclude| exclude.upload_id),
        message_type: push.message_type,
        audience: push.audience.kind(),
        plan_id: push.plan_id.clone(),
        group_id: push.group_id.clone(),
        audience_rows: rows.count,
        first_device: rows.first_device,
        digest,
        line: push.collapse_id,
        start_at,
        day: Day::of(start_at, loft.config.push.utc_offset),
        expire_at: push.expire.deadline(start_at),
        accept: AcceptMinutes::of(&push.message.accept_time),
        vendors_only: !push.allows(Channel::Xg),
    };
    let template = {
        let push = push.clone();
        move |push_id, new: &NewPush| Payload::new(push_id, &push, new.start_at, new.expire_at).as_stored().to_owned()
    };
    let new = match &push.occurrences {
        None => vec![new(push.to_stored(), push.send_at.unwrap_or(now))],
        Some(Occurrences { times, .. }) => {
            let mut push = push.clone();
            let at = |&time| {
                push.send_at = Some(time);
                new(push.to_stored(), time)
            };
            times.iter().map(at).collect()
        }
    };
    let failed = |error| internal(&error);
    let accepted = match keep {
        None => loft.store.add_pushes(new, template).await.map_err(failed)?,
        Some((asked, told)) => {
            let what = asked.what;
            let answer = move |push_ids: &[PushId]| told.with(push_ids).to_string();
            match loft.store.add_pushes_once(new, template, asked, answer).await.map_err(failed)? {
                Once::Now(accepted) => accepted,
                Once::Before(kept) => return once::again(&kept, what).map(Taken::Before),
            }
        }
    };
    loft.due.notify_one();
    match accepted {
        Accepted::Pushes(push_ids) => Ok(Taken::Pushes(push_ids)),
        Accepted::NoPackage => Err(no_package(push.audience.package())),
        Accepted::Repeats(earlier) => Err(Fault::new(
            RetCode::RepeatedPush,
            format!(
                "push {earlier} has the same message for the same audience, at about the same time: one is taken in \
                 {REPEATED_WITHIN_S} seconds; change the message, or push later"
            ),
        )),
    }
}

/// What tells whether a push to all, or by tag, was made before: its message and whom it is for.
fn digest(push: &Push) -> Option<[u8; 32]> {
    if !push.audience.is_chosen() {
        return None;
    }
    let whom = json!([push.audience, push.environment, push.exclude, push.sample]);
    let what = json!([whom, push.message_type, push.message]);
    Some(Sha256::digest(what.to_string()).into())
}

/// The rows of an audience.
#[derive(Debug, Clone, Copy)]
pub(in crate::api) struct Rows {
    count: u64,
    /// Where the audience has none: the first device id, each id from there on being one.
    first_device: Option<DeviceId>,
}

impl Rows {
    fn of(count: u64) -> Self {
        Self { count, first_device: None }
    }
}

/// The first of the line of pushes that the one with this `collapse_id` is in.
async fn first_of_line(loft: &Loft, app: &App, earlier: Option<PushId>) -> Result<Option<PushId>, Fault> {
    let Some(earlier) = earlier else { return Ok(None) };
    let found = loft.store.push(app.access_id, earlier).await.map_err(|error| internal(&error))?;
    let found = found.ok_or_else(|| {
        let text = format!("this app has no push {earlier}: give the collapseID of an earlier one as collapse_id");
        Fault::new(RetCode::NoSuchPush, text)
    })?;
    let kind = request_of(&found)?.audience.kind();
    if !kind.is_bulk() {
        let remedy = format!("push {earlier} is to {kind}: only one to all, by tag or to a package can be replaced");
        return Err(Fault::invalid("collapse_id", remedy));
    }
    Ok(Some(found.line.unwrap_or(earlier)))
}

/// Tokens no device has: refused, or with `ignore_invalid_token` left out and answered.
async fn leave_unknown_tokens_out(loft: &Loft, app: &App, push: &mut Push) -> Result<Vec<String>, Fault> {
    if push.audience.tokens().is_empty() {
        return Ok(Vec::new());
    }
    let tokens = push.audience.tokens().to_vec();
    let unknown = loft.store.unknown_tokens(app.access_id, tokens).await.map_err(|error| internal(&error))?;
    if unknown.is_empty() {
        return Ok(unknown);
    }
    if !push.ignore_invalid_token {
        let first: Vec<String> = unknown
            .iter()
            .take(10)
            .map(|token| token.chars().take(40).collect::<String>().escape_debug().to_string())
            .collect();
        return Err(Fault::new(
            RetCode::UnknownToken,
            format!(
                "{} of the {} tokens are no device of this app, the first: {}; register them, take them out, or send \
                 ignore_invalid_token 1",
                unknown.len(),
                push.audience.tokens().len(),
                first.join(", ")
            ),
        ));
    }
    if let Audience::TokenList(tokens) = &mut push.audience {
        tokens.retain(|token| !unknown.contains(token));
    }
    Ok(unknown)
}

/// Whether the audience can be pushed to, and which rows it has.
pub(in crate::api) async fn check_audience(loft: &Loft, app: &App, push: &Push) -> Result<Rows, Fault> {
    match &push.audience {
        Audience::All {} | Audience::Tag(_) => {
            let span = loft.store.device_span(app.access_id).await.map_err(|error| internal(&error))?;
            let span = span.ok_or_else(|| {
                Fault::new(RetCode::NoTarget, "this app has no devices: register or import some first")
            })?;
            Ok(Rows { count: span.ids, first_device: Some(span.first) })
        }
        Audience::Account(_) | Audience::AccountList(_) => {
            let accounts = push.audience.accounts();
            let keys = accounts.iter().map(|name| pigeonloft_store::AccountKey {
                account_type: push.account_type.code(),
                name: name.clone(),
            });
            let bound = loft.store.tokens_of_accounts(app.access_id, keys.collect()).await;
            let bound = bound.map_err(|error| internal(&error))?;
            if bound.iter().all(|(_, tokens)| tokens.is_empty()) {
                return Err(Fault::new(
                    RetCode::NoTarget,
                    format!(
                        "no device of this app is bound to {} with account_type {}: bind it first, or check the type",
                        if accounts.len() == 1 { "the account" } else { "any of the accounts" },
                        push.account_type.code()
                    ),
                ));
            }
            Ok(Rows::of(accounts.len() as u64))
        }
        Audience::Token(_) | Audience::TokenList(_) => Ok(Rows::of(push.audience.tokens().len() as u64)),
        Audience::AccountPackage(upload_id) => Ok(Rows::of(package(loft, app, *upload_id).await?.details.rows)),
        Audience::TokenPackage(upload_id) => {
            let package = package(loft, app, *upload_id).await?.details;
            match package.first_not_token {
                None => Ok(Rows::of(package.rows)),
                Some(first) => Err(Fault::invalid(
                    "upload_id",
                    format!(
                        "package {upload_id} (\"{}\") is no package of tokens: {} of its rows do not have 36 \
                         characters, the first: {first}; push it with audience_type package_account_push, or upload \
                         a file of tokens",
                        package.file_name.escape_debug(),
                        package.not_tokens
                    ),
                )),
            }
        }
    }
}

/// The package that is excluded, if it can be as what it is said to be.
pub(in crate::api) async fn check_excluded(loft: &Loft, app: &App, exclude: Exclude) -> Result<Package, Fault> {
    let found = package(loft, app, exclude.upload_id).await?;
    let package = &found.details;
    match package.first_not_token.as_ref().filter(|_| exclude.kind == PackageKind::Tokens) {
        None => Ok(found),
        Some(first) => Err(Fault::invalid(
            "exclude_upload_id",
            format!(
                "package {} (\"{}\") is no package of tokens: {} of its rows do not have 36 characters, the first: \
                 {first}; if its rows are accounts, send exclude_audience_type package_account_push",
                exclude.upload_id,
                package.file_name.escape_debug(),
                package.not_tokens
            ),
        )),
    }
}

async fn package(loft: &Loft, app: &App, upload_id: UploadId) -> Result<Package, Fault> {
    let found = loft.store.package(app.access_id, upload_id).await.map_err(|error| internal(&error))?;
    found.ok_or_else(|| no_package(Some(upload_id)))
}

fn no_package(upload_id: Option<UploadId>) -> Fault {
    let upload_id = upload_id.map(|id| id.to_string()).unwrap_or_default();
    Fault::new(
        RetCode::NoTarget,
        format!("this app has no package with upload_id {upload_id}: upload the file, and use the uploadId answered"),
    )
}
