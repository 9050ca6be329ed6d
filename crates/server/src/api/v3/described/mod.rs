//! What the v3 calls take and answer, as the OpenAPI document tells it. Reading is `model`'s: limits here are its
//! constants.

mod devices;
mod push;
mod statistics;
mod tags;

pub(super) use self::devices::{operate_accounts, query_accounts, set_custom_attribute};
pub(in crate::api) use self::push::push_request;
pub(super) use self::push::{add_plan, cancel, push, revoke, stop, upload};
pub(super) use self::statistics::{
    device_stat_overview, push_channel_stat_overview, push_group_stat_channel, push_list_by_token, push_record,
    push_task_stat_channel,
};
pub(super) use self::tags::{delete_tags, operate_tags};

use serde_json::Value;

use crate::api::openapi::schema::{asked, push_id, such_as};

/// The body of a call about one push.
fn one_push() -> Value {
    let push_id = such_as(push_id("the push, a text or a number; `pushid` and `push_id` are taken, too"), "1");
    asked("OnePush", &["pushId"], [("pushId", push_id)])
}
