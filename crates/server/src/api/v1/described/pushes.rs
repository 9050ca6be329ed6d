//! Pushes.

use pigeonloft_model::{Outcome, PushState};
use serde_json::{Value, json};

use super::super::device_pushes::{Because, PAGE, PAGE_MAX};
use super::super::report::lines::NO_DEVICE;
use crate::api::openapi::schema::{
    answered, choice, count, fraction, list, moment, nullable, push_id, switch, text, token, whole,
};
use crate::api::openapi::{Caller, Operation};
use crate::dispatch::progress::Part;
use crate::vendors::circuit::Reason;

const TAG: &str = "v1 pushes";

fn asked(id: &str, summary: &str) -> Operation {
    let push_id = push_id("the `push_id` that the push answered");
    Operation::new(TAG, id, Caller::Server, summary).path("id", &push_id, "1").problems(&[400, 401, 404, 503])
}

/// `GET /v1/pushes/{id}`
pub(in super::super) fn push() -> Operation {
    asked("getPush", "How far a push is, how fast, and what became of its recipients so far").json(
        200,
        "The push",
        &shown(),
    )
}

fn shown() -> Value {
    let outcomes = || {
        answered(
            "Outcomes",
            [
                ("waiting", count("in the inbox, sent or not, and not acknowledged")),
                ("arrived", count("acknowledged")),
                ("expired", count("not delivered in time")),
                ("not_kept", count("offline, and `expire_time` was 0")),
                ("no_channel", count("the push may use no channel that leads there")),
                ("gone", count("deleted while it waited")),
                ("stopped", count("the push was stopped, revoked or replaced while it waited")),
                ("accepted", count("taken by a vendor, which does not say whether it arrived")),
                ("unknown", count("a vendor may have taken it or not: the connection broke off")),
            ],
        )
    };
    let receipts = answered("Receipts", [("shown", count("")), ("clicked", count("")), ("cleared", count(""))]);
    let trouble = answered(
        "Trouble",
        [
            ("error", text("why the last try failed")),
            ("failures", count("so many in a row")),
            ("next_try_in_seconds", count("when it is tried again")),
        ],
    );
    let paused = answered(
        "PausedChannel",
        [
            ("channel", text("the vendor's channel")),
            ("origin", nullable(text("of this push service alone, as browsers named it; null: of the whole channel"))),
            ("reason", choice(Reason::ALL.iter().map(|reason| reason.as_str()), "why it is paused")),
            ("code", text("the vendor's word")),
            ("since", moment("when the pause began")),
            ("next_try_in_seconds", count("when it is tried again; 0: with the next message")),
        ],
    );
    let revocation = answered(
        "Revocation",
        [
            ("push_id", text("what the messages carry that tell devices so")),
            ("targets", count("devices that are told, so far")),
            ("outcomes", outcomes()),
            ("finished_at", nullable(moment("when each of them was tried"))),
            ("expire_at", moment("until when they are told")),
        ],
    );
    let parts = choice(Part::ALL.iter().map(|part| part.as_str()), "what took most of the last ten seconds");
    answered(
        "Push",
        [
            ("push_id", push_id("the push")),
            ("state", choice(PushState::ALL.iter().map(|state| state.as_str()), "as v3 has it")),
            ("upload_id", nullable(whole(1..=i64::from(i32::MAX), "its package"))),
            ("audience_rows", count("rows of the audience")),
            ("rows_done", count("those dealt with")),
            ("share_done", fraction("their share, 0 to 1")),
            ("rows_per_second", nullable(fraction("over the last ten seconds; on average once it has ended"))),
            ("remaining_seconds", nullable(count("at this pace"))),
            ("slowest_part", nullable(parts)),
            ("no_device", count("rows that name no device")),
            ("excluded", count("devices left out because of another package")),
            ("sampled_out", count("devices that are not in the sample")),
            ("targets", count("devices so far: the sum of the outcomes")),
            ("outcomes", outcomes()),
            ("sent", count("handed to the device at least once")),
            ("receipts", receipts),
            ("created_at", moment("when it was taken")),
            ("start_at", moment("when it is to start")),
            ("started_at", nullable(moment("when it started"))),
            ("finished_at", nullable(moment("when every recipient was tried"))),
            ("expire_at", moment("when nothing waits any more")),
            ("stopped_at", nullable(moment("since when nobody more is to get it"))),
            ("revocation", nullable(revocation)),
            ("failure", nullable(text("why it failed"))),
            ("trouble", nullable(trouble)),
            (
                "paused_channels",
                list(paused, "vendors' channels of the app that are paused, where it concerns the push"),
            ),
        ],
    )
}

fn report(id: &str, summary: &str) -> Operation {
    let names = Outcome::ALL.iter().map(|name| name.as_str()).chain([NO_DEVICE]).collect::<Vec<_>>().join("|");
    let only = json!({
        "type": "string", "pattern": format!("^({names})(,({names}))*$"),
        "description": "only these, with commas between them",
    });
    asked(id, summary).query("outcome", &only).problems(&[410, 500])
}

/// `GET /v1/pushes/{id}/recipients.csv`
pub(in super::super) fn recipients_csv() -> Operation {
    report("getRecipientsCsv", "Who got what: a line for each device, and for each row that named none")
        .query(
            "text",
            &choice(
                ["safe", "verbatim"],
                "safe: what a spreadsheet would run as a formula has an apostrophe before it",
            ),
        )
        .answers(200, "RFC 4180, with a header", "text/csv", &json!({ "type": "string" }))
}

/// `GET /v1/pushes/{id}/recipients.parquet`
pub(in super::super) fn recipients_parquet() -> Operation {
    let bytes = json!({ "type": "string", "format": "binary" });
    report("getRecipientsParquet", "The same, as Parquet").answers(
        200,
        "A Parquet file",
        "application/vnd.apache.parquet",
        &bytes,
    )
}

/// What became of a push at a device.
fn at_device() -> [(&'static str, Value); 10] {
    let outcomes = choice(Outcome::ALL.iter().map(|name| name.as_str()), "null: the device is no recipient");
    [
        ("push_id", push_id("the push")),
        ("channel", nullable(text("null: none was used"))),
        (
            "outcome",
            json!({ "oneOf": [outcomes, { "type": "null" }], "description": "null: the device is no recipient" }),
        ),
        ("reason", text("what the outcome means, in words")),
        ("code", nullable(text("channel and word with which a vendor did not take it, if one was asked"))),
        ("sent_at", nullable(moment("when it was handed to the device"))),
        ("arrived_at", nullable(moment("when the device acknowledged it"))),
        ("shown", switch("it was shown")),
        ("clicked", switch("it was clicked")),
        ("cleared", switch("it was cleared")),
    ]
}

/// `GET /v1/devices/{token}/pushes`
pub(in super::super) fn pushes_of_device() -> Operation {
    let next = nullable(text("the `before` of the page after it; null on the last"));
    let page = answered(
        "PushesOfDevice",
        [("pushes", list(answered("PushAtDevice", at_device()), "latest first")), ("next", next)],
    );
    let because = choice(Because::ALL.iter().map(|because| because.as_str()), "why the device is no recipient");
    let [id, channel, outcome, reason, code, sent_at, arrived_at, shown, clicked, cleared] = at_device();
    let explained = answered(
        "ExplainedPush",
        [
            id,
            channel,
            outcome,
            reason,
            code,
            sent_at,
            arrived_at,
            shown,
            clicked,
            cleared,
            ("because", nullable(because)),
            ("explanation", text("what became of it at the device, in words")),
        ],
    );
    let mut limit = whole(1..=PAGE_MAX as i64, "at most so many");
    limit["default"] = json!(PAGE);
    Operation::new(
        "v1 pushes",
        "listPushesOfDevice",
        Caller::Server,
        "The pushes a device was a recipient of, or why it got one or not",
    )
    .says("With `push_id` it explains what became of that push at the device.")
    .path("token", &token(), "0123456789abcdef0123456789abcdef0123")
    .query("push_id", &push_id("only this push, explained"))
    .query("before", &whole(1..=i64::MAX, "only pushes earlier than this one"))
    .query("limit", &limit)
    .json(200, "The page; with `push_id`, the one push", &json!({ "oneOf": [page, explained] }))
    .problems(&[400, 401, 404, 500, 503])
}
