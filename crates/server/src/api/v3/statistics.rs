//! Statistics: what pushes were, and what became of them, from the sums the store keeps while a push runs and after.

use std::sync::Arc;

use bytes::Bytes;
use pigeonloft_model::statistics::one_push;
use pigeonloft_model::{AccessId, Expire, Fault, Push, PushId, PushRecordQuery, RetCode, Zone};
use pigeonloft_store::{App, Counts, Push as StoredPush, PushFilter};
use serde_json::{Value, json};

use super::super::answer::Answer;
use crate::auth::internal;
use crate::chain::chain;
use crate::loft::Loft;

/// `POST /v3/statistics/get_push_record`: what one push, or the pushes of some days, were to send and to whom.
pub(super) async fn push_record(loft: Arc<Loft>, app: Arc<App>, body: Bytes) -> Result<Answer, Fault> {
    let zone = loft.config.push.utc_offset;
    let (pushes, count) = match PushRecordQuery::parse(&body, zone)? {
        PushRecordQuery::One(push_id) => (vec![stored(&loft, app.access_id, push_id).await?], 1),
        PushRecordQuery::Days(days) => {
            let filter = PushFilter {
                from: days.from.saturating_mul(1000),
                until: days.until.saturating_mul(1000),
                message_type: days.message_type,
                audience: days.audience,
            };
            let found = loft.store.pushes(app.access_id, filter, days.offset, days.limit).await;
            found.map_err(|error| internal(&error))?
        }
    };
    let records = pushes.iter().map(|push| record(push, zone)).collect::<Result<Value, Fault>>()?;
    Ok(Answer::with(json!({ "pushRecordData": records, "count": count })))
}

/// `POST /v3/statistics/get_push_task_stat_channel`: the sums of one push, for each channel it used and for all together.
pub(super) async fn push_task_stat_channel(loft: Arc<Loft>, app: Arc<App>, body: Bytes) -> Result<Answer, Fault> {
    let counts = stored(&loft, app.access_id, one_push(&body)?).await?.counts;
    // As published: the vendors' receipts, which our own channel has none of; but their sum over all channels takes
    // the arrivals of our own in.
    Ok(Answer::with(json!({ "pushStatDataAll": [
        { "channel": "xg", "pushState": sums(&counts, 0) },
        { "channel": "all", "pushState": sums(&counts, counts.arrived) },
    ]})))
}

async fn stored(loft: &Loft, access_id: AccessId, push_id: PushId) -> Result<StoredPush, Fault> {
    let found = loft.store.push(access_id, push_id).await.map_err(|error| internal(&error))?;
    found.ok_or_else(|| super::no_push(push_id))
}

fn sums(counts: &Counts, vendor_receipts: u64) -> Value {
    json!({
        "pushActiveUv": counts.targets,
        "pushOnlineUv": counts.sent,
        "arrivalUv": counts.arrived,
        "verifySvcUv": counts.arrived,
        "callbackVerifySvcUv": vendor_receipts,
        "verifyUv": counts.shown,
        "clickUv": counts.clicked,
        "cleanupUv": counts.cleared,
    })
}

fn record(stored: &StoredPush, zone: Zone) -> Result<Value, Fault> {
    let push = Push::from_stored(&stored.request).map_err(|error| {
        tracing::error!(push_id = %stored.push_id, error = chain(&error), "a stored push cannot be read");
        Fault::new(RetCode::Internal, format!("the record of push {} is damaged", stored.push_id))
    })?;
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
        // No push by tag is taken yet.
        "tagSet": null,
        "uploadId": stored.upload_id.map_or(0, |upload_id| upload_id.0),
        "pushConfig": { "android": push.message.android, "ios": push.message.ios },
        "source": "api",
    }))
}

#[cfg(test)]
mod tests {
    use pigeonloft_model::{Platform, PushState, UploadId};

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

    #[test]
    fn the_sums_of_a_push_go_under_their_published_names() {
        let counts = Counts {
            targets: 9,
            sent: 8,
            arrived: 7,
            shown: 6,
            clicked: 5,
            cleared: 4,
            waiting: 2,
            ..Counts::default()
        };
        let expected = json!({"pushActiveUv": 9, "pushOnlineUv": 8, "arrivalUv": 7, "verifySvcUv": 7,
            "callbackVerifySvcUv": 0, "verifyUv": 6, "clickUv": 5, "cleanupUv": 4});
        assert_eq!(sums(&counts, 0), expected);
    }
}
