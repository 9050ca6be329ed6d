//! `POST /v3/push/stop_push_msg`: whom a push has not reached, it will not reach any more.

use std::sync::Arc;

use bytes::Bytes;
use pigeonloft_model::Fault;
use pigeonloft_model::statistics::one_push;
use pigeonloft_store::App;
use serde_json::json;

use super::no_push;
use crate::api::answer::Answer;
use crate::auth::internal;
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
