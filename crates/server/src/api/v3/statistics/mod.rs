//! Statistics: what pushes were, and what became of them, from the sums the store keeps while a push runs and after. No
//! call reads recipients, but the one that asks for those of one device.

mod devices;
mod records;
mod sums;
mod tokens;

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use pigeonloft_model::{AccessId, Day, Fault, PushId, RetCode};
use pigeonloft_store::{App, Push as StoredPush};

use super::super::answer::{Answer, Style};
use super::super::openapi::{Operation, Route, Routes};
use super::{call, described};
use crate::auth::internal;
use crate::clock::unix_seconds;
use crate::loft::Loft;

pub(super) fn routes() -> Routes {
    let paths = [
        ("/v3/statistics/get_push_record", hourly("get_push_record", records::push_record, described::push_record())),
        (
            "/v3/statistics/get_push_task_stat_channel",
            hourly("get_push_task_stat_channel", sums::push_task_stat_channel, described::push_task_stat_channel()),
        ),
        (
            "/v3/statistics/get_push_group_stat_channel",
            hourly("get_push_group_stat_channel", sums::push_group_stat_channel, described::push_group_stat_channel()),
        ),
        (
            "/v3/statistics/get_push_channel_stat_overview",
            hourly(
                "get_push_channel_stat_overview",
                sums::push_channel_stat_overview,
                described::push_channel_stat_overview(),
            ),
        ),
        (
            "/v3/statistics/get_device_stat_overview",
            hourly("get_device_stat_overview", devices::device_stat_overview, described::device_stat_overview()),
        ),
        (
            "/v3/toolbox/getPushListByToken",
            hourly("getPushListByToken", tokens::push_list_by_token, described::push_list_by_token()),
        ),
    ];
    paths.into_iter().fold(Routes::default(), |routes, (path, route)| routes.route(path, route))
}

/// A call that an app may make only so often in an hour, whatever it is answered.
fn hourly<F, Fut>(name: &'static str, handler: F, operation: Operation) -> Route
where
    F: Fn(Arc<Loft>, Arc<App>, Bytes) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Answer, Fault>> + Send,
{
    let counted = move |loft: Arc<Loft>, app: Arc<App>, body: Bytes| {
        let handler = handler.clone();
        async move {
            loft.hourly.take(app.access_id, name, Instant::now()).map_err(|wait| {
                let text = format!(
                    "{name} was called {} times in this hour, as often as an app may: call it again in {} s",
                    loft.hourly.limit(),
                    wait.as_secs() + 1
                );
                Fault::new(RetCode::TooFast, text)
            })?;
            handler(loft, app, body).await
        }
    };
    call(Style::Camel, counted, operation)
}

/// The day it is, in the zone that is configured.
fn today(loft: &Loft) -> Day {
    Day::of(unix_seconds(), loft.config.push.utc_offset)
}

async fn stored(loft: &Loft, access_id: AccessId, push_id: PushId) -> Result<StoredPush, Fault> {
    let found = loft.store.push(access_id, push_id).await.map_err(|error| internal(&error))?;
    found.ok_or_else(|| super::no_push(push_id))
}
