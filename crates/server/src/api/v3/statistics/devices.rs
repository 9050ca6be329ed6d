//! Devices: how many an app has, gets and sees, day by day.

use std::sync::Arc;

use bytes::Bytes;
use pigeonloft_model::Fault;
use pigeonloft_model::statistics::device_days;
use pigeonloft_store::App;
use serde_json::{Value, json};

use super::super::super::answer::Answer;
use super::today;
use crate::auth::internal;
use crate::loft::Loft;

/// `POST /v3/statistics/get_device_stat_overview`: the devices of each of some days.
pub(super) async fn device_stat_overview(loft: Arc<Loft>, app: Arc<App>, body: Bytes) -> Result<Answer, Fault> {
    let today = today(&loft);
    let days = device_days(&body, today)?;
    let found = loft.store.device_days(app.access_id, days, today).await.map_err(|error| internal(&error))?;
    let rows = found.into_iter().map(|of| {
        json!({ "date": of.day.text(days.format), "accuUv": of.devices, "newUv": of.added, "activeUv": of.active })
    });
    Ok(Answer::with(json!({ "getDeviceStatOverviewData": rows.collect::<Value>() })))
}
