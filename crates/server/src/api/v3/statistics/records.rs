//! Records: what pushes were to send and to whom.

use std::sync::Arc;

use bytes::Bytes;
use pigeonloft_model::{Audience, Expire, Fault, PushRecordQuery, Zone};
use pigeonloft_store::{App, Push as StoredPush, PushFilter};
use serde_json::{Value, json};

use super::super::super::answer::Answer;
use super::super::request_of;
use super::{stored, today};
use crate::auth::internal;
use crate::loft::Loft;

/// `POST /v3/statistics/get_push_record`: what one push, or the pushes of some days, were to send and to whom.
pub(super) async fn push_record(loft: Arc<Loft>, app: Arc<App>, body: Bytes) -> Result<Answer, Fault> {
    let zone = loft.config.push.utc_offset;
    let (pushes, count) = match PushRecordQuery::parse(&body, today(&loft))? {
        PushRecordQuery::One(push_id) => (vec![stored(&loft, app.access_id, push_id).await?], 1),
        PushRecordQuery::Days(query) => {
            let filter = PushFilter { days: query.days, message_type: query.message_type, audience: query.audience };
            let found = loft.store.pushes(app.access_id, filter, query.offset, query.limit).await;
            found.map_err(|error| internal(&error))?
        }
    };
    let records = pushes.iter().map(|push| record(push, zone)).collect::<Result<Value, Fault>>()?;
    Ok(Answer::with(json!({ "pushRecordData": records, "count": count })))
}

fn record(stored: &StoredPush, zone: Zone) -> Result<Value, Fault> {
    let push = request_of(stored)?;
    let kind = push.audience.kind();
    let targets = match push.audience.tokens() {
        [] => push.audience.accounts(),
        tokens => tokens,
    };
    Ok(json!({
        "date": zone.text(stored.start_at),
        "pushId": stored.push_id.to_string(),
        "title": push.message.title,
        "content": push.message.content,
        "status": stored.state.as_str(),
        "pushType": kind.as_str(),
        "messageType": push.message_type.as_str(),
        "environment": push.environment.as_str(),
        "expireTime": match push.expire {
            Expire::Seconds(seconds) => seconds,
            Expire::OnlineOnly => 0,
        },
        "xgMediaResources": push.message.rest.get("xg_media_resources").unwrap_or(&json!("")),
        "multiPkg": push.multi_pkg,
        "targetList": Some(targets).filter(|targets| !targets.is_empty()),
        // The id a later push gives to take this one's place: that of the first in the line.
        "collapseID": if kind.is_bulk() { push.collapse_id.unwrap_or(stored.push_id).0 } else { 0 },
        "tagSet": tag_set(&push.audience),
        "uploadId": stored.upload_id.map_or(0, |upload_id| upload_id.0),
        "pushConfig": { "android": push.message.android, "ios": push.message.ios },
        "source": "api",
    }))
}

/// The tags of a push by tags: as `tag_list` says it where that can, else as `tag_rules` does.
fn tag_set(audience: &Audience) -> Value {
    let Audience::Tag(rules) = audience else { return Value::Null };
    match rules.as_list() {
        Some((tags, op)) => json!({ "tags": tags, "op": op }),
        None => json!({ "tag_rules": rules }),
    }
}

#[cfg(test)]
mod tests {
    use pigeonloft_model::{AccessId, Platform, Push, PushId, PushState, UploadId};
    use pigeonloft_store::Counts;

    use super::*;

    fn stored_push(body: &Value, upload_id: Option<UploadId>) -> StoredPush {
        let push = Push::parse(body.to_string().as_bytes(), Platform::Android, 1_700_000_000, Zone::CHINA).unwrap();
        StoredPush {
            push_id: PushId(7),
            access_id: AccessId(1_500_000_001),
            state: PushState::Started,
            request: push.to_stored(),
            template: String::new(),
            upload_id,
            created_at: 1_700_000_000_000,
            start_at: 1_700_000_000,
            expire_at: 1_700_086_400,
            started_at: None,
            finished_at: None,
            stopped_at: None,
            line: None,
            failure: None,
            counts: Counts::default(),
        }
    }

    #[test]
    fn the_record_of_a_package_push_has_every_published_member() {
        let body = json!({"audience_type": "package_account_push", "upload_id": 12, "message_type": "notify",
            "expire_time": 0, "multi_pkg": true, "message": {"title": "a", "content": "b",
            "xg_media_resources": "https://example.com/a.png", "android": {"ring": 1}}});
        let record = record(&stored_push(&body, Some(UploadId(12))), Zone::CHINA).unwrap();
        assert_eq!(
            record,
            json!({
                "date": "2023-11-15 06:13:20", "pushId": "7", "title": "a", "content": "b", "status": "PUSH_STARTED",
                "pushType": "package_account_push", "messageType": "notify", "environment": "product",
                "expireTime": 0, "xgMediaResources": "https://example.com/a.png", "multiPkg": true,
                "targetList": null, "collapseID": 7, "tagSet": null, "uploadId": 12,
                "pushConfig": {"android": {"ring": 1}, "ios": null}, "source": "api",
            })
        );
    }

    #[test]
    fn the_record_of_a_list_push_names_its_targets_and_nothing_to_collapse() {
        let body = json!({"audience_type": "account_list", "account_list": ["ab", "cd"], "message_type": "notify",
            "message": {"title": "a"}});
        let record = record(&stored_push(&body, None), Zone::CHINA).unwrap();
        assert_eq!(record["targetList"], json!(["ab", "cd"]));
        assert_eq!((&record["collapseID"], &record["uploadId"]), (&json!(0), &json!(0)));
        assert_eq!(record["expireTime"], json!(86_400));
        assert_eq!(record["xgMediaResources"], json!(""));
    }
}
