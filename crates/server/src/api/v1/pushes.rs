//! Pushes: how far one is, how fast, and what became of its recipients so far.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use pigeonloft_model::{Push as Request, PushState};
use pigeonloft_store::{App, Counts, Push};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Problem, app};
use crate::clock::unix_millis;
use crate::dispatch::progress::{self, Part};
use crate::loft::Loft;
use crate::vendors::circuit::Pause;
use crate::vendors::{Paused, may_carry};

/// `GET /v1/pushes/{id}`
pub(super) async fn one(
    State(loft): State<Arc<Loft>>,
    Path(id): Path<String>,
    head: Parts,
) -> Result<Response, Problem> {
    let app = app(&loft, &head).await?;
    let unknown = || Problem::not_found(format!("this app has no push {id}: give the push_id that the push answered"));
    let push_id = id.parse().map_err(|_| unknown())?;
    let push = loft.store.push(app.access_id, push_id).await?.ok_or_else(unknown)?;
    let under_way = loft.progress.pace(push_id).filter(|_| push.finished_at.is_none());
    let mut shown = shown(&push, under_way, unix_millis());
    if push.state == PushState::Revoked {
        shown["revocation"] = json!(loft.store.revocation(push_id).await?.map(|by| revocation(&by)));
    }
    shown["paused_channels"] = paused(&loft, &app, &push, unix_millis()).into();
    Ok(Json(shown).into_response())
}

/// The channels that are paused while the push is not finished, or were already when it was.
fn paused(loft: &Loft, app: &App, push: &Push, now_ms: i64) -> Vec<Value> {
    let paused = loft.vendors.paused(app.access_id);
    // Read only where there is something to tell.
    let Some(request) = (!paused.is_empty()).then(|| Request::from_stored(&push.request).ok()).flatten() else {
        return Vec::new();
    };
    let now = std::time::Instant::now();
    // Rounded to what is earlier: a push that finished in the same millisecond did so after it.
    let since_ms = |pause: &Pause| {
        let elapsed = i64::try_from(now.saturating_duration_since(pause.since).as_millis()).unwrap_or(i64::MAX);
        now_ms.saturating_sub(elapsed).saturating_sub(1)
    };
    let concern = paused.into_iter().filter(|Paused { channel, pause, .. }| {
        request.allows(*channel)
            && may_carry(&request, app.platform, *channel)
            && push.finished_at.is_none_or(|finished| finished >= since_ms(pause))
    });
    concern
        .map(|Paused { channel, origin, pause }| {
            json!({
                "channel": channel.as_str(),
                "origin": (!origin.is_empty()).then_some(origin),
                "reason": pause.reason.as_str(),
                "code": pause.code,
                "since": since_ms(&pause) / 1000,
                "next_try_in_seconds": pause.next_try.saturating_duration_since(now).as_secs(),
            })
        })
        .collect()
}

/// How far a push is taken back.
fn revocation(by: &Push) -> Value {
    json!({
        "push_id": by.push_id.to_string(),
        "targets": by.counts.targets,
        "outcomes": outcomes(&by.counts),
        "finished_at": by.finished_at.map(|ms| ms / 1000),
        "expire_at": by.expire_at,
    })
}

fn outcomes(counts: &Counts) -> Value {
    json!({
        "waiting": counts.waiting,
        "arrived": counts.arrived,
        "expired": counts.expired,
        "not_kept": counts.not_kept,
        "no_channel": counts.no_channel,
        "gone": counts.gone,
        "stopped": counts.stopped,
        "accepted": counts.accepted,
        "unknown": counts.unknown,
    })
}

/// `under_way`: how it gets on, if it runs or is to run again.
fn shown(push: &Push, under_way: Option<progress::Pace>, now_ms: i64) -> Value {
    let counts = &push.counts;
    let pace = Pace::of(push, under_way.as_ref(), now_ms);
    let trouble = under_way.and_then(|under_way| under_way.trouble);
    json!({
        "push_id": push.push_id.to_string(),
        "state": push.state.as_str(),
        "upload_id": push.upload_id,
        "audience_rows": counts.audience_rows,
        "rows_done": counts.rows_done,
        "share_done": pace.share_done,
        "rows_per_second": pace.rows_per_second,
        "remaining_seconds": pace.remaining_seconds,
        "slowest_part": pace.slowest_part,
        "no_device": counts.no_device,
        "excluded": counts.left_out.excluded,
        "sampled_out": counts.left_out.sampled_out,
        "targets": counts.targets,
        "outcomes": outcomes(counts),
        "sent": counts.sent,
        "receipts": { "shown": counts.shown, "clicked": counts.clicked, "cleared": counts.cleared },
        "created_at": push.created_at / 1000,
        "start_at": push.start_at,
        "started_at": push.started_at.map(|ms| ms / 1000),
        "finished_at": push.finished_at.map(|ms| ms / 1000),
        "stopped_at": push.stopped_at.map(|ms| ms / 1000),
        "expire_at": push.expire_at,
        "revocation": null,
        "failure": push.failure,
        "paused_channels": [],
        "trouble": trouble.map(|trouble| json!({
            "error": trouble.error,
            "failures": trouble.failures,
            "next_try_in_seconds": trouble.next_try.saturating_duration_since(Instant::now()).as_secs(),
        })),
    })
}

/// How a push gets on: over the last seconds while it runs, and on average from its start to its end once it has ended.
#[derive(Debug, PartialEq)]
struct Pace {
    /// 0 to 1.
    share_done: f64,
    /// `None` until there is something to measure.
    rows_per_second: Option<f64>,
    /// `None` where it cannot be told, and once nothing remains.
    remaining_seconds: Option<u64>,
    /// By its name; `None` for one that does not run.
    slowest_part: Option<&'static str>,
}

impl Pace {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rows and milliseconds are far below 2^52, and an estimate is not exact anyway"
    )]
    fn of(push: &Push, under_way: Option<&progress::Pace>, now_ms: i64) -> Self {
        let (rows, done) = (push.counts.audience_rows, push.counts.rows_done);
        let share_done = match rows {
            0 => f64::from(u8::from(push.finished_at.is_some())),
            rows => done as f64 / rows as f64,
        };
        let average = || {
            let ran_ms = push.finished_at? - push.started_at?;
            (ran_ms > 0 && done > 0).then(|| done as f64 * 1e3 / ran_ms as f64)
        };
        let rows_per_second = match under_way {
            Some(pace) => pace.rows_per_second,
            None => average(),
        };
        let remaining = rows.saturating_sub(done);
        let remaining_seconds = rows_per_second
            .filter(|rate| push.finished_at.is_none() && remaining > 0 && *rate > 0.0)
            .map(|rate| (remaining as f64 / rate).ceil() as u64);
        let slowest_part = match under_way {
            Some(pace) => pace.slowest_part,
            // Due, and neither run nor rested: other pushes have all the places.
            None => (push.finished_at.is_none() && push.start_at * 1000 <= now_ms).then_some(Part::Turn),
        };
        Self {
            share_done,
            rows_per_second: rows_per_second.map(|rate| (rate * 100.0).round() / 100.0),
            remaining_seconds,
            slowest_part: slowest_part.map(Part::as_str),
        }
    }
}

#[cfg(test)]
mod tests {
    use pigeonloft_model::{AccessId, PushId};

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
            stopped_at: None,
            line: None,
            failure: None,
            counts: Counts { audience_rows: rows, rows_done: done, ..Counts::default() },
        }
    }

    fn under_way(rows_per_second: Option<f64>, slowest_part: Option<Part>) -> progress::Pace {
        progress::Pace { rows_per_second, slowest_part, trouble: None }
    }

    #[test]
    fn a_push_under_way_tells_its_pace_what_remains_and_what_takes_the_time() {
        let pace = Pace::of(
            &push(10_000, 2_500, Some(1_000), None),
            Some(&under_way(Some(1_250.0), Some(Part::Record))),
            3_000,
        );
        let (rows_per_second, remaining_seconds) = (Some(1_250.0), Some(6));
        assert_eq!(pace, Pace { share_done: 0.25, rows_per_second, remaining_seconds, slowest_part: Some("record") });
    }

    #[test]
    fn a_push_that_has_done_nothing_yet_tells_no_pace() {
        let nothing = Pace { share_done: 0.0, rows_per_second: None, remaining_seconds: None, slowest_part: None };
        assert_eq!(Pace::of(&push(10, 0, Some(3_000), None), Some(&under_way(None, None)), 3_000), nothing);
        let scheduled = Push { start_at: 4, ..push(10, 0, None, None) };
        assert_eq!(Pace::of(&scheduled, None, 3_000), nothing);
        let due = Pace { slowest_part: Some("turn"), ..nothing };
        assert_eq!(Pace::of(&scheduled, None, 4_000), due, "all places are taken");
    }

    #[test]
    fn a_finished_push_keeps_the_pace_it_had() {
        let pace = Pace::of(&push(10_000, 10_000, Some(1_000), Some(3_000)), None, 900_000);
        let rows_per_second = Some(5_000.0);
        assert_eq!(pace, Pace { share_done: 1.0, rows_per_second, remaining_seconds: None, slowest_part: None });
        assert_eq!(Pace::of(&push(0, 0, Some(1_000), Some(1_000)), None, 900_000).share_done, 1.0);
    }

    #[test]
    fn a_push_that_fails_again_and_again_says_why_and_when_it_is_tried_again() {
        let trouble = progress::Trouble {
            error: "the disk is full".into(),
            failures: 3,
            next_try: Instant::now() + std::time::Duration::from_millis(12_900),
        };
        let resting = progress::Pace { trouble: Some(trouble), ..under_way(None, None) };
        let shown = shown(&push(10, 5, Some(1_000), None), Some(resting), 3_000)["trouble"].clone();
        assert_eq!(shown, json!({ "error": "the disk is full", "failures": 3, "next_try_in_seconds": 12 }));
    }
}
