//! `POST /v3/push/stop_push_msg`: whom a push has not reached, it will not reach any more; `/v3/push/revoke_push_msg`: and
//! whom it has reached takes it back.

use std::sync::Arc;

use bytes::Bytes;
use pigeonloft_model::statistics::one_push;
use pigeonloft_model::{Fault, Payload};
use pigeonloft_store::{App, NewRevocation};
use serde_json::json;

use super::{no_push, request_of};
use crate::api::answer::Answer;
use crate::auth::internal;
use crate::clock::unix_seconds;
use crate::loft::Loft;

/// Once this has answered 0, no inbox lists the message. Messages on their way arrive, and count as arrived.
pub(super) async fn stop(loft: Arc<Loft>, app: Arc<App>, body: Bytes) -> Result<Answer, Fault> {
    let push_id = one_push(&body)?;
    if !loft.store.stop_push(app.access_id, push_id).await.map_err(|error| internal(&error))? {
        return Err(no_push(push_id));
    }
    tracing::info!(%push_id, access_id = %app.access_id, "push stopped");
    loft.push_is_stopped(push_id);
    Ok(Answer::with(json!({})))
}

/// Once this has answered 0, no inbox lists the message, and those who have it and did not click it will be told.
pub(super) async fn revoke(loft: Arc<Loft>, app: Arc<App>, body: Bytes) -> Result<Answer, Fault> {
    let push_id = one_push(&body)?;
    let found = loft.store.push(app.access_id, push_id).await.map_err(|error| internal(&error))?;
    let found = found.ok_or_else(|| no_push(push_id))?;
    let now = unix_seconds();
    let (revocation, expire_at) = request_of(&found)?.revocation(found.expire_at, now);
    let new = NewRevocation { request: revocation.to_stored(), start_at: now, expire_at };
    let template = move |id| Payload::revocation(id, push_id, now, expire_at).as_stored().to_owned();
    let revoked = loft.store.revoke_push(app.access_id, push_id, new, template).await;
    if !revoked.map_err(|error| internal(&error))? {
        return Err(no_push(push_id));
    }
    tracing::info!(%push_id, access_id = %app.access_id, "push revoked");
    loft.push_is_stopped(push_id);
    Ok(Answer::default())
}
