//! `POST /v3/push/cancel_timing_task`: takes a push back that waits for its time.

use std::sync::Arc;

use bytes::Bytes;
use pigeonloft_model::statistics::one_push;
use pigeonloft_model::{Fault, PushState, RetCode};
use pigeonloft_store::{App, Cancelled};

use super::no_push;
use crate::api::answer::Answer;
use crate::auth::internal;
use crate::loft::Loft;

/// Once this has answered 0, the push will not start. Of a repeated push it cancels the one occurrence it names.
pub(super) async fn cancel(loft: Arc<Loft>, app: Arc<App>, body: Bytes) -> Result<Answer, Fault> {
    let push_id = one_push(&body)?;
    match loft.store.cancel_push(app.access_id, push_id).await.map_err(|error| internal(&error))? {
        Cancelled::Done => {
            loft.metrics.push_finished(PushState::Canceled.as_str());
            tracing::info!(%push_id, access_id = %app.access_id, "push cancelled");
            Ok(Answer::default())
        }
        Cancelled::Already => Ok(Answer::default()),
        Cancelled::Unknown => Err(no_push(push_id)),
        Cancelled::Not(state) => {
            let what = match state {
                PushState::Init | PushState::Wait | PushState::Started => "has started",
                _ => "has ended",
            };
            let text = format!(
                "push {push_id} {what} ({}): only one that waits for its time can be cancelled",
                state.as_str()
            );
            Err(Fault::new(RetCode::Invalid, text))
        }
    }
}
