//! Packages.

use pigeonloft_model::{PackageKind, Platform};
use serde_json::{Value, json};

use super::super::packages::{PAGE, PAGE_MAX};
use crate::api::openapi::schema::{answered, choice, count, list, moment, nullable, part_of, switch, text, whole};
use crate::api::openapi::{Caller, Operation};
use crate::api::v3::described::push_request;

const TAG: &str = "v1 packages";

fn id() -> Value {
    whole(1..=i64::from(i32::MAX), "the `uploadId` that the upload answered")
}

fn asked(id: &str, summary: &str) -> Operation {
    Operation::new(TAG, id, Caller::Server, summary).problems(&[400, 401, 503])
}

fn shown() -> Value {
    answered(
        "Package",
        [
            ("upload_id", id()),
            ("file_name", text("of the uploaded file")),
            ("format", choice(["zip", "txt", "csv"], "of the uploaded file")),
            ("bytes", count("of the uploaded file")),
            ("rows", count("rows kept")),
            ("duplicates", count("equal rows left out")),
            ("blanks", count("blank rows skipped")),
            ("bad_rows", count("bad rows left out")),
            ("not_tokens", count("rows that are not 36 characters long")),
            ("first_not_token", nullable(text("where the first of them is"))),
            ("created_at", moment("when it was uploaded")),
            ("last_used_at", moment("when a push last needed it")),
            ("kept_until", nullable(moment("when it is deleted if nothing needs it; null: never"))),
        ],
    )
}

/// `GET /v1/packages`
pub(in super::super) fn packages() -> Operation {
    let next = nullable(whole(1..=i64::from(i32::MAX), "the `before` of the page after it; null on the last"));
    let page = answered("Packages", [("packages", list(shown(), "latest first")), ("next", next)]);
    let mut limit = whole(1..=i64::from(PAGE_MAX), "at most so many");
    limit["default"] = json!(PAGE);
    asked("listPackages", "The app's packages, a page of them")
        .query("limit", &limit)
        .query("before", &whole(i64::from(i32::MIN)..=i64::from(i32::MAX), "only those uploaded before this one"))
        .json(200, "The page", &page)
}

/// `GET /v1/packages/{id}`
pub(in super::super) fn package() -> Operation {
    asked("getPackage", "One package").path("id", &id(), 1).json(200, "The package", &shown()).problems(&[404])
}

/// `DELETE /v1/packages/{id}`
pub(in super::super) fn remove_package() -> Operation {
    asked("deletePackage", "Deletes a package").path("id", &id(), i32::MAX).empty(204, "Deleted").problems(&[404, 409])
}

/// `GET /v1/packages/{id}/rejected.csv`
pub(in super::super) fn rejected() -> Operation {
    asked("getRejectedRows", "The bad rows that were left out, with line and reason")
        .path("id", &id(), 1)
        .answers(200, "Columns line, reason, row", "text/csv", &json!({ "type": "string" }))
        .problems(&[404])
}

/// `POST /v1/packages/{id}/estimate`
pub(in super::super) fn estimate() -> Operation {
    let members = [
        "audience_type",
        "account_type",
        "account_push_type",
        "environment",
        "exclude_upload_id",
        "exclude_audience_type",
        "sample",
        "sample_seed",
        "channel_rules",
    ];
    let request = part_of(&push_request(), "EstimateRequest", &members);
    let own = answered("OwnChannel", [("online", count("reached now")), ("offline", count("find it in their inbox"))]);
    let vendors = json!({ "type": "object", "additionalProperties": count(""), "description": "devices with a token of each vendor's channel" });
    let estimate = answered(
        "Estimate",
        [
            ("upload_id", id()),
            ("audience_type", choice(PackageKind::ALL.iter().map(|kind| kind.as_str()), "as which it was resolved")),
            ("platform", choice(Platform::ALL.iter().map(|platform| platform.as_str()), "the app's")),
            ("rows", count("rows of the package")),
            ("rows_done", count("rows resolved")),
            ("is_whole", switch("whether all of them were, within 30 s")),
            ("no_device", count("rows that name no device")),
            ("excluded", count("devices left out because of the other package")),
            ("sampled_out", count("devices that are not in the sample")),
            ("devices", count("devices it would go to")),
            ("xg", own),
            ("vendor_tokens", vendors),
        ],
    );
    asked("estimatePush", "Whom a push to the package would reach, sent to nobody")
        .says("Takes the members of the push call that decide whom it is for; the body may be left out.")
        .path("id", &id(), 1)
        .takes(false, &request, &json!({ "account_push_type": 1 }))
        .json(200, "What was found", &estimate)
        .problems(&[404, 408, 413, 429])
}
