//! Plans: names under which an app counts pushes together.

use std::sync::Arc;

use bytes::Bytes;
use pigeonloft_model::Fault;
use pigeonloft_model::plan::NewPlan;
use pigeonloft_store::App;
use serde_json::json;

use super::super::answer::Answer;
use crate::auth::internal;
use crate::loft::Loft;

/// Plans of an app.
const PLANS: u32 = 10_000;

/// `POST /v3/push/plan/add_plan_push`: makes a plan.
pub(super) async fn add_plan_push(loft: Arc<Loft>, app: Arc<App>, body: Bytes) -> Result<Answer, Fault> {
    let new = NewPlan::parse(&body)?;
    let made = loft.store.add_plan(app.access_id, new.clone(), PLANS).await.map_err(|error| internal(&error))?;
    let plan = made.ok_or_else(|| {
        let remedy =
            format_args!("this app has {PLANS} plans, and no more are made: give a push one of those as plan_id");
        Fault::invalid("planName", remedy)
    })?;
    let created_at = loft.config.push.utc_offset.text(plan.created_at / 1000);
    Ok(Answer::with(json!({ "result": {
        "planId": plan.plan_id.to_string(),
        "planName": new.name,
        "planDescribe": new.description,
        "planPushSource": "api",
        "createdAt": created_at,
        "updateAt": created_at,
    }})))
}
