//! Tokens: which pushes of today were for a device.

use std::sync::Arc;

use bytes::Bytes;
use pigeonloft_model::statistics::one_token;
use pigeonloft_model::{Fault, RetCode, Token};
use pigeonloft_store::App;
use serde_json::{Value, json};

use super::super::super::answer::Answer;
use super::today;
use crate::auth::internal;
use crate::loft::Loft;

/// Pushes listed at most.
const PUSHES: u32 = 1_000;

/// `POST /v3/toolbox/getPushListByToken`: the pushes of today to a device, latest first.
pub(super) async fn push_list_by_token(loft: Arc<Loft>, app: Arc<App>, body: Bytes) -> Result<Answer, Fault> {
    let token = one_token(&body)?;
    let device = match token.trim().parse::<Token>() {
        Ok(token) => loft.store.device(app.access_id, token).await.map_err(|error| internal(&error))?,
        Err(_) => None,
    };
    let device = device.ok_or_else(|| {
        Fault::new(RetCode::NotFound, "no device of this app has this token: give one that the registration answered")
    })?;
    let found = loft.store.pushes_to_device(app.access_id, today(&loft), device.device, PUSHES).await;
    let pushes = found.map_err(|error| internal(&error))?.into_iter().map(|push| {
        json!({
            "pushId": push.push_id.to_string(),
            "pushTime": loft.config.push.utc_offset.text(push.start_at),
            "pushTargetType": push.audience.as_str(),
        })
    });
    Ok(Answer::with(json!({ "pushTaskList": pushes.collect::<Value>() })))
}
