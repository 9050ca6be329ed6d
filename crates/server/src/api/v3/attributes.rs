//! `POST /v3/device/set_custom_attribute`: what an app says of a device, under names it has declared.

use std::sync::Arc;

use bytes::Bytes;
use pigeonloft_model::{AttributeCall, AttributeOperation, Fault, RetCode, Token};
use pigeonloft_store::App;
use serde_json::{Map, Value, json};

use crate::api::answer::Answer;
use crate::auth::internal;
use crate::loft::Loft;

/// Names that the app has not declared fail nothing: they are answered, and the others are done.
pub(super) async fn attributes(loft: Arc<Loft>, app: Arc<App>, body: Bytes) -> Result<Answer, Fault> {
    let AttributeCall { token, operation } = AttributeCall::parse(&body)?;
    let (store, id) = (&loft.store, app.access_id);
    match operation {
        AttributeOperation::Set(given) => {
            let unknown = store.set_attributes(id, token, given).await.map_err(|error| internal(&error))?;
            let unknown = unknown.ok_or_else(|| no_device(token))?;
            Ok(if unknown.is_empty() {
                Answer::default()
            } else {
                Answer::with(json!({ "invalidAttribute": unknown }))
            })
        }
        AttributeOperation::Clear => {
            let has_device = store.clear_attributes(id, token).await.map_err(|error| internal(&error))?;
            has_device.then(Answer::default).ok_or_else(|| no_device(token))
        }
        AttributeOperation::Query => {
            let held = store.attributes(id, token).await.map_err(|error| internal(&error))?;
            let held = held.ok_or_else(|| no_device(token))?;
            let map: Map<String, Value> = held.into_iter().map(|(name, value)| (name, value.into())).collect();
            Ok(Answer::with(json!({ "attributeInfo": { "attributeMap": map } })))
        }
    }
}

fn no_device(token: Token) -> Fault {
    let text = format!("no device of this app has the token {token}: register it, or check whose token it is");
    Fault::new(RetCode::InvalidToken, text)
}
