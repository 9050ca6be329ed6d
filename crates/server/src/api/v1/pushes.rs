//! Pushes: how far one is, how fast, and what became of its recipients so far.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use pigeonloft_store::Push;
use serde_json::{Value, json};

use super::{Problem, app};
use crate::clock::unix_millis;
use crate::loft::Loft;

/// `GET /v1/pushes/{id}`
pub(super) async fn one(
    State(loft): State<Arc<Loft>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let app = app(&loft, &headers).await?;
    let unknown = || Problem::not_found(format!("this app has no push {id}: give the push_id that the push answered"));
    let push_id = id.parse().map_err(|_| unknown())?;
    let push = loft.store.push(app.access_id, push_id).await?.ok_or_else(unknown)?;
    Ok(Json(shown(&push, unix_millis())).into_response())
}

fn shown(push: &Push, now_ms: i64) -> Value {
    let counts = &push.counts;
    let pace = Pace::of(push, now_ms);
    json!({
        "push_id": push.push_id.to_string(),
        "state": push.state.as_str(),
        "upload_id": push.upload_id,
        "audience_rows": counts.audience_rows,
        "rows_done": counts.rows_done,
        "share_done": pace.share_done,
        "rows_per_second": pace.rows_per_second,
        "remaining_seconds": pace.remaining_seconds,
        "no_device": counts.no_device,
        "targets": counts.targets,
        "outcomes": {
            "waiting": counts.waiting,
            "arrived": counts.arrived,
            "expired": counts.expired,
            "not_kept": counts.not_kept,
            "no_channel": counts.no_channel,
            "gone": counts.gone,
        },
        "sent": counts.sent,
        "receipts": { "shown": counts.shown, "clicked": counts.clicked, "cleared": counts.cleared },
        "created_at": push.created_at / 1000,
        "start_at": push.start_at,
        "started_at": push.started_at.map(|ms| ms / 1000),
        "finished_at": push.finished_at.map(|ms| ms / 1000),
        "expire_at": push.expire_at,
        "failure": push.failure,
    })
}

/// How a push gets on, on average since its start: a server that was down meanwhile counts as slow.
#[derive(Debug, PartialEq)]
struct Pace {
    /// 0 to 1.
    share_done: f64,
    /// `None` until there is something to measure.
    rows_per_second: Option<f64>,
    /// `None` where it cannot be told, and once nothing remains.
    remaining_seconds: Option<u64>,
}

impl Pace {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rows and milliseconds are far below 2^52, and an estimate is not exact anyway"
    )]
    fn of(push: &Push, now_ms: i64) -> Self {
        let (rows, done) = (push.counts.audience_rows, push.counts.rows_done);
        let share_done = match rows {
            0 => f64::from(u8::from(push.finished_at.is_some())),
            rows => done as f64 / rows as f64,
        };
        let ran_ms = push.started_at.map(|started| push.finished_at.unwrap_or(now_ms) - started);
        let rows_per_second =
            ran_ms.filter(|ms| *ms > 0 && done > 0).map(|ms| (done as f64 * 1e5 / ms as f64).round() / 100.0);
        let remaining = rows.saturating_sub(done);
        let remaining_seconds = rows_per_second
            .filter(|rate| push.finished_at.is_none() && remaining > 0 && *rate > 0.0)
            .map(|rate| (remaining as f64 / rate).ceil() as u64);
        Self { share_done, rows_per_second, remaining_seconds }
    }
}

#[cfg(test)]
mod tests {
    use pigeonloft_model::{AccessId, PushId, PushState};
    use pigeonloft_store::Counts;

    use super::*;

    fn push(rows: u64, done: u64, started_at: Option<i64>, finished_at: Option<i64>) -> Push {
        Push {
            push_id: PushId(7),
            access_id: AccessId(1_500_000_001),
            state: PushState::Started,
            request: String::new(),
            template: String::new(),
            upload_id: None,
            created_at: 900,
            start_at: 0,
            expire_at: 86_400,
            started_at,
            finished_at,
            failure: None,
            counts: Counts { audience_rows: rows, rows_done: done, ..Counts::default() },
        }
    }

    #[test]
    fn a_push_under_way_tells_its_pace_and_what_remains() {
        let pace = Pace::of(&push(10_000, 2_500, Some(1_000), None), 3_000);
        assert_eq!(pace, Pace { share_done: 0.25, rows_per_second: Some(1_250.0), remaining_seconds: Some(6) });
    }

    #[test]
    fn a_push_that_has_done_nothing_yet_tells_no_pace() {
        let nothing = Pace { share_done: 0.0, rows_per_second: None, remaining_seconds: None };
        assert_eq!(Pace::of(&push(10, 0, None, None), 3_000), nothing);
        assert_eq!(Pace::of(&push(10, 0, Some(3_000), None), 3_000), nothing);
    }

    #[test]
    fn a_finished_push_keeps_the_pace_it_had() {
        let pace = Pace::of(&push(10_000, 10_000, Some(1_000), Some(3_000)), 900_000);
        assert_eq!(pace, Pace { share_done: 1.0, rows_per_second: Some(5_000.0), remaining_seconds: None });
        assert_eq!(Pace::of(&push(0, 0, Some(1_000), Some(1_000)), 900_000).share_done, 1.0);
    }
}
