//! Once: calls that their caller may repeat under an `Idempotency-Key`, and that are done once. What the first one was
//! answered is answered again; refusals are not kept, so that a repeat may succeed.

use std::ops::RangeInclusive;

use axum::http::{HeaderMap, HeaderName};
use pigeonloft_model::{Fault, RetCode};
use pigeonloft_store::{AnswerKey, App, Asked, KeptAnswer, Repeatable};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::api::answer::Answer;
use crate::auth::internal;
use crate::clock::unix_millis;
use crate::loft::Loft;

const HEADER: HeaderName = HeaderName::from_static("idempotency-key");

/// Characters of a key, visible ASCII.
pub(in crate::api) const KEY_CHARS: RangeInclusive<usize> = 1..=255;

/// The key of a call, if it has one.
pub(super) fn key(loft: &Loft, app: &App, call: Repeatable, headers: &HeaderMap) -> Result<Option<AnswerKey>, Fault> {
    let given: Vec<_> = headers.get_all(HEADER).iter().collect();
    let [key] = given[..] else {
        return match given.len() {
            0 => Ok(None),
            count => Err(invalid(format_args!("it is there {count} times, a call has one key"))),
        };
    };
    let key =
        key.to_str().ok().filter(|key| KEY_CHARS.contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic()));
    let Some(key) = key else {
        let (min, max) = (KEY_CHARS.start(), KEY_CHARS.end());
        return Err(invalid(format_args!("it has {min} to {max} visible ASCII characters, no blanks among them")));
    };
    Ok(Some(AnswerKey { access_id: app.access_id, call, key: key.to_owned(), not_before: loft.answers_kept_since() }))
}

/// Whether a call was made before.
pub(super) enum Look {
    /// It was not, or has no key.
    First(Option<Asked>),
    /// It was, and this is its answer.
    Again(Answer),
}

/// Looks whether a call with this body was answered under its key.
pub(super) async fn look(
    loft: &Loft,
    app: &App,
    call: Repeatable,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Look, Fault> {
    let Some(key) = key(loft, app, call, headers)? else { return Ok(Look::First(None)) };
    let what = Sha256::digest(body).into();
    match loft.store.kept_answer(key.clone()).await.map_err(|error| internal(&error))? {
        Some(kept) => again(&kept, what).map(Look::Again),
        None => Ok(Look::First(Some(Asked { key, what }))),
    }
}

/// The first answer again, if this is what was asked then.
pub(super) fn again(kept: &KeptAnswer, what: [u8; 32]) -> Result<Answer, Fault> {
    if kept.what != what {
        let ago = unix_millis().saturating_sub(kept.given_at) / 1000;
        return Err(invalid(format_args!(
            "{ago} s ago a call with this key and another body was answered; repeat a call with the same body, and give \
             each new one a key of its own"
        )));
    }
    let members: Value = serde_json::from_str(&kept.answer).map_err(|error| {
        tracing::error!(%error, "a kept answer cannot be read");
        Fault::new(RetCode::Internal, "the answer that was kept cannot be read: use another Idempotency-Key")
    })?;
    Ok(Answer::with(members).replayed())
}

fn invalid(remedy: impl std::fmt::Display) -> Fault {
    Fault::invalid("the Idempotency-Key header", remedy)
}
