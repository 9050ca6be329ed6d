//! Tags: the calls that give them to devices and take them away.
//!
//! Each call is a batch, and answers a code for each element in the order they came, as the calls of accounts do.

use std::sync::Arc;

use bytes::Bytes;
use pigeonloft_model::tag::deleted_tags;
use pigeonloft_model::{Fault, RetCode, TagOperation};
use pigeonloft_store::{App, Tagged};
use serde_json::Map;

use super::super::answer::Answer;
use super::verdicts::{UNKNOWN_TOKEN, Verdicts};
use crate::auth::internal;
use crate::loft::Loft;

/// `POST /v3/device/tag`: gives and takes.
pub(super) async fn operate(loft: Arc<Loft>, app: Arc<App>, body: Bytes) -> Result<Answer, Fault> {
    let (store, id) = (&loft.store, app.access_id);
    let operation = TagOperation::parse(&body)?;
    let (mut verdicts, tagged) = match operation {
        TagOperation::Add(elements) => {
            let (verdicts, pairs) = Verdicts::of("element", elements);
            (verdicts, store.add_tags(id, pairs).await)
        }
        TagOperation::Remove(elements) => {
            let (verdicts, pairs) = Verdicts::of("element", elements);
            (verdicts, store.remove_tags(id, pairs).await)
        }
        TagOperation::RemoveAll(elements) => {
            let (verdicts, tokens) = Verdicts::of("token_list", elements);
            let tagged = match tokens.into_iter().next() {
                Some(token) => store.remove_all_tags(id, token).await.map(|tagged| vec![tagged]),
                None => Ok(Vec::new()),
            };
            (verdicts, tagged)
        }
        TagOperation::Replace(elements) => {
            let (verdicts, pairs) = Verdicts::of("tag_list", elements);
            let tagged = match pairs.first().map(|pair| pair.token) {
                Some(token) => store.replace_tags(id, token, pairs.into_iter().map(|pair| pair.tag).collect()).await,
                None => Ok(Vec::new()),
            };
            (verdicts, tagged)
        }
    };
    verdicts.judge(tagged.map_err(|error| internal(&error))?.into_iter().map(judgement));
    Ok(verdicts.answer(Map::new()))
}

/// `POST /v3/device/tag/delete_all_device`: takes tags off all devices. One that no device has is what the caller asks for.
pub(super) async fn delete(loft: Arc<Loft>, app: Arc<App>, body: Bytes) -> Result<Answer, Fault> {
    let (verdicts, names) = Verdicts::of("tag_list", deleted_tags(&body)?);
    loft.store.delete_tags(app.access_id, names).await.map_err(|error| internal(&error))?;
    Ok(verdicts.answer(Map::new()))
}

fn judgement(tagged: Tagged) -> Option<(RetCode, &'static str)> {
    match tagged {
        Tagged::Done => None,
        Tagged::UnknownToken => Some(UNKNOWN_TOKEN),
        Tagged::DeviceFull => {
            Some((RetCode::Invalid, "the device has 100 custom tags, which is the most; take others away first"))
        }
        Tagged::AppFull => {
            Some((RetCode::Invalid, "the app has 10,000 different custom tags, which is the most; delete others first"))
        }
    }
}
