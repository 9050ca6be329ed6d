//! Uploading, pushing, and what can be done to a push afterwards.

use pigeonloft_model::plan::NewPlan;
use pigeonloft_model::{
    Audience, AudienceKind, Channel, Environment, Expire, Message, MessageType, PackageKind, Push, Sample,
};
use serde_json::{Map, Value, json};

use super::one_push;
use super::tags::{tag_list, tag_rules};
use crate::api::openapi::Operation;
use crate::api::openapi::schema::{
    account_type, answered, asked, bit, choice, list, list_of, members_of, of_table, switch, text, text_of, whole,
};

const TAG: &str = "v3 push";

/// `POST /v3/push/package/upload`
pub(in super::super) fn upload() -> Operation {
    Operation::v3_form(TAG, "uploadPackage", "Uploads a file of accounts or tokens")
        .says(
            "The file is taken whole, or refused with the first ten bad rows named. What it is for is decided by the \
             push. The answer comes once it is on disk for good.",
        )
        .repeatable()
        .takes_file(
            "file",
            "`.zip`, `.txt` or `.csv`, at most 100 MB (`package.file_bytes`): one account of 2-100 characters, or one token, \
             per row",
        )
        .members("Uploaded", [("uploadId", whole(0..=i64::from(i32::MAX), "the package; 0 where it is refused"))])
}

/// `POST /v3/push/app`
pub(in super::super) fn push() -> Operation {
    let example = json!({
        "audience_type": "package_account_push", "upload_id": 1, "account_push_type": 1, "message_type": "notify",
        "message": { "title": "Hello", "content": "from your own loft",
            "android": { "custom_content": "{\"page\":\"sale\"}" } },
    });
    let one_or_more = json!({
        "oneOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }],
        "description": "the push; of a loop those of its occurrences, in the order of their times",
    });
    Operation::v3(TAG, "push", "Sends a message to an audience", &push_request(), &example)
        .says("The push is durable once it is answered, and runs by itself from there on, across crashes and restarts.")
        .repeatable()
        .members(
            "Pushed",
            [
                ("seq", json!({ "type": ["string", "number", "null"], "description": "as it was given" })),
                ("push_id", one_or_more),
                ("environment", choice(Environment::ALL.iter().map(|name| name.as_str()), "the push's")),
                ("result", text("empty")),
                ("invalid_targe_list", list(text(""), "tokens that were left out; spelled so")),
                ("collapse_id", whole(1..=i64::MAX, "of a push that takes the place of others: the first of them")),
                ("skipped_days", list(text(""), "of a loop: days that a month does not have")),
            ],
        )
}

/// The body of a push.
pub(in crate::api) fn push_request() -> Value {
    let names = |all: &[AudienceKind]| choice(all.iter().map(|name| name.as_str()), "whom it is for");
    let texts = |description: &str| list_of(Audience::LIST_MAX, text(""), description);
    let package = whole(1..=i64::from(i32::MAX), "the package, of `package_account_push` and `package_token_push`");
    let collapse = "an earlier push, not to a list: what it has not delivered is stopped, what it has is replaced";
    asked(
        "PushRequest",
        &["audience_type", "message_type", "message"],
        [
            ("audience_type", names(AudienceKind::ALL)),
            ("message_type", choice(MessageType::ALL.iter().map(|name| name.as_str()), "shown, or handed to the app")),
            ("message", message()),
            ("upload_id", package),
            ("account_list", texts("the accounts, of `account_list`; of `account` the first counts")),
            ("token_list", texts("the tokens, of `token_list`; of `token` the first counts")),
            ("tag_rules", tag_rules()),
            ("tag_list", tag_list()),
            ("account_type", account_type()),
            ("account_push_type", bit("0: the device that bound the account last, 1: all its devices")),
            ("environment", choice(Environment::ALL.iter().map(|name| name.as_str()), "on iOS and macOS")),
            (
                "expire_time",
                whole(
                    0..=i64::from(Expire::MAX),
                    "seconds it waits for a device that is offline; 0: devices online only",
                ),
            ),
            ("send_time", text("`yyyy-MM-dd HH:MM:SS`, at most 90 days ahead; not for lists. Now where none is given")),
            ("loop_param", loop_param()),
            ("ignore_invalid_token", bit("1: a token that no device has is left out; 0: it refuses the push")),
            ("channel_rules", channel_rules()),
            (
                "push_speed",
                whole(i64::from(Push::SPEED_MIN)..=i64::from(Push::SPEED_MAX), "devices a second; not for lists"),
            ),
            ("collapse_id", whole(1..=i64::MAX, collapse)),
            ("force_collapse", switch("deliver also where replacing is impossible")),
            ("tpns_online_push_type", bit("1: also a device online on our own channel is reached by its vendor's")),
            ("multi_pkg", switch("every package name of the app")),
            (
                "exclude_upload_id",
                whole(1..=i64::from(i32::MAX), "a package whose devices are left out; ours, not of TPNS"),
            ),
            (
                "exclude_audience_type",
                choice(
                    PackageKind::ALL.iter().map(|kind| kind.as_str()),
                    "what its rows are; the push's kind where not given",
                ),
            ),
            ("sample", sample()),
            (
                "sample_seed",
                text_of(
                    0..=Sample::SEED_MAX,
                    "which devices a sample takes: the same for the same seed; the package where not given",
                ),
            ),
            ("plan_id", text_of(0..=Push::PLAN_ID_MAX, "the plan it counts in")),
            ("group_id", text_of(0..=Push::PLAN_ID_MAX, "the group it counts in")),
            (
                "seq",
                json!({ "type": ["string", "number", "null"], "description": format!("echoed; a text of at most {} characters", Push::SEQ_MAX) }),
            ),
        ],
    )
}

fn sample() -> Value {
    json!({
        "type": "number", "exclusiveMinimum": 0, "maximum": 1,
        "description": "a share of the devices, the same ones each time: 0.01 for one in a hundred; ours, not of TPNS",
    })
}

fn message() -> Value {
    let time = |description: &str| {
        let members = [("hour", whole(0..=23, "")), ("min", whole(0..=59, ""))];
        let mut schema = asked("TimeOfDay", &[], members);
        schema["description"] = description.into();
        schema
    };
    let window =
        asked("AcceptTime", &["start", "end"], [("start", time("a time of day")), ("end", time("a time of day"))]);
    let mut members = Map::new();
    let filled = "`{{name|default}}` in it is what the device has under that attribute";
    members.insert("title".into(), text(filled));
    members.insert("content".into(), text(filled));
    members.insert("accept_time".into(), list(window, "the parts of a day in which it goes out; none: always"));
    members.extend(members_of(Message::COMMON));
    members.insert("android".into(), of_table("Android", Message::ANDROID));
    members.insert("ios".into(), of_table("Ios", Message::IOS));
    json!({
        "title": "Message", "type": "object", "properties": members,
        "description": format!("at most {} bytes as sent; members not known here reach the device, too", Message::MAX_BYTES),
    })
}

fn loop_param() -> Value {
    let day = || whole(0..=31, "");
    asked(
        "Loop",
        &["startDate", "endDate", "loopType", "dayTimes"],
        [
            ("startDate", text("`YYYY-MM-DD`")),
            ("endDate", text("`YYYY-MM-DD`, included, at most 90 days ahead")),
            ("loopType", whole(1..=3, "1 daily, 2 weekly, 3 monthly")),
            ("loopDayIndexs", list(day(), "weekly: 0-6 from Sunday; monthly: 1-31; daily: not looked at")),
            ("dayTimes", list(text("`HH:MM:SS`"), "the times of each day; `DayTimes` is taken, too")),
        ],
    )
}

fn channel_rules() -> Value {
    let names = choice(Channel::ALL.iter().map(|name| name.as_str()), "a channel");
    let rule = asked("ChannelRule", &[], [("channel", names), ("disable", switch("it is not used"))]);
    list(rule, "which channels the push may use; all where nothing is said")
}

/// `POST /v3/push/cancel_timing_task`
pub(in super::super) fn cancel() -> Operation {
    Operation::v3(
        TAG,
        "cancelPush",
        "Takes a push back that waits for its time",
        &one_push(),
        &json!({ "pushId": "1" }),
    )
}

/// `POST /v3/push/stop_push_msg`
pub(in super::super) fn stop() -> Operation {
    Operation::v3(TAG, "stopPush", "Stops what a push has not delivered yet", &one_push(), &json!({ "pushId": "1" }))
}

/// `POST /v3/push/revoke_push_msg`
pub(in super::super) fn revoke() -> Operation {
    let what = "Stops a push, and has devices take back what they did not click";
    Operation::v3(TAG, "revokePush", what, &one_push(), &json!({ "pushId": "1" }))
}

/// `POST /v3/push/plan/add_plan_push`
pub(in super::super) fn add_plan() -> Operation {
    let description = || text_of(0..=NewPlan::DESCRIPTION_MAX, "what it is for");
    let name = || text_of(1..=NewPlan::NAME_MAX, "its name");
    let request = asked("NewPlan", &["planName"], [("planName", name()), ("planDescribe", description())]);
    let plan = answered(
        "Plan",
        [
            ("planId", text("what a push gives as `plan_id`")),
            ("planName", name()),
            ("planDescribe", description()),
            ("planPushSource", text("`api`")),
            ("createdAt", text("`YYYY-MM-DD hh:mm:ss`")),
            ("updateAt", text("the same")),
        ],
    );
    Operation::v3(
        TAG,
        "addPlan",
        "Makes a plan, in which pushes are counted",
        &request,
        &json!({ "planName": "spring" }),
    )
    .says("A push may also name a plan that was never made.")
    .members("PlanAdded", [("result", plan)])
}
