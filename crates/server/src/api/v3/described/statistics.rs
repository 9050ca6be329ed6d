//! Statistics.

use pigeonloft_model::statistics::{GROUP_DAYS, OVERVIEW_DAYS, PushRecordDays, RECORD_DAYS};
use pigeonloft_model::{AudienceKind, Environment, MessageType, PushState};
use serde_json::{Value, json};

use super::one_push;
use crate::api::openapi::Operation;
use crate::api::openapi::schema::{
    answered, any_object, asked, choice, count, list, nullable, push_id, switch, text, token, whole,
};

const TAG: &str = "v3 statistics";

/// What all of these have in common.
const HOURLY: &str = "An app may call it `statistics.calls_per_hour` (200) times an hour, else 1008028.";

fn kinds(description: &str) -> Value {
    choice(AudienceKind::ALL.iter().map(|name| name.as_str()), description)
}

fn types(description: &str) -> Value {
    choice(MessageType::ALL.iter().map(|name| name.as_str()), description)
}

/// First and last day of a call that looks at most so many days back.
fn days(format: &str, back: i64) -> [(&'static str, Value); 2] {
    let start = text(&format!("the first day, `{format}`, at most {back} days ago"));
    [("startDate", start), ("endDate", text(&format!("the last day, `{format}`, included")))]
}

/// The sums of pushes by channel.
fn channels() -> Value {
    let state = answered(
        "PushSums",
        [
            ("pushActiveUv", count("devices of the push, so far")),
            ("pushOnlineUv", count("those the message was handed to")),
            ("arrivalUv", count("those that acknowledged it")),
            ("verifySvcUv", count("the same")),
            ("callbackVerifySvcUv", count("receipts of vendors; of `all` the arrivals of our own channel, too")),
            ("verifyUv", count("those that showed it")),
            ("clickUv", count("those that clicked it")),
            ("cleanupUv", count("those that cleared it")),
        ],
    );
    let channel = answered("ChannelSums", [("channel", text("a channel, or `all`")), ("pushState", state)]);
    list(channel, "for each channel, and for `all`")
}

/// `POST /v3/statistics/get_push_record`
pub(in super::super) fn push_record() -> Operation {
    let [start, end] = days("YYYY-MM-DD", RECORD_DAYS);
    let request = asked(
        "PushRecordQuery",
        &[],
        [
            ("pushId", push_id("one push; or `startDate` and `endDate`")),
            start,
            end,
            ("msgType", types("only such")),
            ("pushType", kinds("only such")),
            ("offset", whole(0..=i64::from(u32::MAX), "so many are skipped")),
            ("limit", whole(1..=i64::from(PushRecordDays::LIMIT_MAX), "at most so many")),
        ],
    );
    let object = |description: &str| nullable(any_object(description));
    let config = answered("PushConfig", [("android", object("of the message")), ("ios", object("of the message"))]);
    let record = answered(
        "PushRecord",
        [
            ("date", text("when it starts or started, `YYYY-MM-DD hh:mm:ss`")),
            ("pushId", push_id("the push")),
            ("title", text("as pushed")),
            ("content", text("as pushed")),
            ("status", choice(PushState::ALL.iter().map(|name| name.as_str()), "its state")),
            ("pushType", kinds("its audience")),
            ("messageType", types("as pushed")),
            ("environment", choice(Environment::ALL.iter().map(|name| name.as_str()), "as pushed")),
            ("expireTime", count("seconds; 0: devices online only")),
            ("xgMediaResources", text("empty where not given")),
            ("multiPkg", switch("as pushed")),
            ("targetList", nullable(list(text(""), "the accounts or tokens of the call"))),
            ("collapseID", count("the push whose place it takes, else its own; 0 for lists")),
            ("tagSet", nullable(any_object("the tags, of a push by tag"))),
            ("uploadId", count("0 where there is no package")),
            ("pushConfig", config),
            ("source", text("`api`")),
        ],
    );
    let data = list(record, "latest first");
    let example = json!({ "pushId": "1" });
    Operation::v3(TAG, "getPushRecord", "What pushes were to send, and to whom", &request, &example)
        .says(HOURLY)
        .members("PushRecords", [("pushRecordData", data), ("count", count("on all pages"))])
}

/// `POST /v3/statistics/get_push_task_stat_channel`
pub(in super::super) fn push_task_stat_channel() -> Operation {
    let example = json!({ "pushId": "1" });
    Operation::v3(TAG, "getPushStatistics", "What became of a push, by channel", &one_push(), &example)
        .says(HOURLY)
        .members("PushStatistics", [("pushStatDataAll", channels())])
}

/// `POST /v3/statistics/get_push_group_stat_channel`
pub(in super::super) fn push_group_stat_channel() -> Operation {
    let [start, end] = days("YYYYMMDD", GROUP_DAYS);
    let ids = [("planId", text("the plan; or `groupId`")), ("groupId", text("the group"))];
    let [plan, group] = ids;
    let request = asked("GroupQuery", &["startDate", "endDate"], [plan, group, start, end]);
    let example = json!({ "planId": "1", "startDate": "20261120", "endDate": "20261121" });
    Operation::v3(TAG, "getGroupStatistics", "What became of the pushes of a plan or group", &request, &example)
        .says(HOURLY)
        .members("GroupStatistics", [("pushStatDataAll", channels())])
}

/// `POST /v3/statistics/get_push_channel_stat_overview`
pub(in super::super) fn push_channel_stat_overview() -> Operation {
    let request = asked("Days", &["startDate", "endDate"], days("YYYYMMDD", OVERVIEW_DAYS));
    let day = answered("DaySums", [("date", text("`YYYYMMDD`")), ("channelDatas", channels())]);
    let example = json!({ "startDate": "20261120", "endDate": "20261121" });
    Operation::v3(TAG, "getPushOverview", "What became of the pushes of each day", &request, &example)
        .says(HOURLY)
        .members("PushOverview", [("pushDateChannelStat", list(day, "each day, those without pushes included"))])
}

/// `POST /v3/statistics/get_device_stat_overview`
pub(in super::super) fn device_stat_overview() -> Operation {
    let request = asked("DeviceDays", &["startDate", "endDate"], days("YYYYMMDD` or `YYYY-MM-DD", OVERVIEW_DAYS));
    let day = answered(
        "DevicesOfDay",
        [
            ("date", text("as it was asked for")),
            ("accuUv", count("devices at the end of the day")),
            ("newUv", count("devices that came on it")),
            ("activeUv", count("devices that registered or connected on it")),
        ],
    );
    let example = json!({ "startDate": "20261120", "endDate": "20261121" });
    Operation::v3(TAG, "getDeviceStatistics", "How many devices the app has, gets and sees, by day", &request, &example)
        .says(HOURLY)
        .members("DeviceStatistics", [("getDeviceStatOverviewData", list(day, "each day"))])
}

/// `POST /v3/toolbox/getPushListByToken`
pub(in super::super) fn push_list_by_token() -> Operation {
    let request = asked("OneToken", &["token"], [("token", token())]);
    let push = answered(
        "PushOfToken",
        [
            ("pushId", push_id("the push")),
            ("pushTime", text("its start, `YYYY-MM-DD hh:mm:ss`")),
            ("pushTargetType", kinds("its audience")),
        ],
    );
    let example = json!({ "token": "0123456789abcdef0123456789abcdef0123" });
    Operation::v3(TAG, "getPushesOfToken", "The pushes of today that were for a device", &request, &example)
        .says(HOURLY)
        .members("PushesOfToken", [("pushTaskList", list(push, "latest first"))])
}
