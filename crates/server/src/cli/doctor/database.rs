//! The database: its pages, its schema, rows without parents; pushes, recipients and inboxes.

use std::fmt::Display;

use pigeonloft_model::PushId;
use pigeonloft_store::doctor::{
    Dangling, Doctor as Examiner, Integrity, PushTrouble, Schema, StrayInbox, StrayReceipts, WrongDays, WrongTags,
};

use super::Trouble;
use super::report::Report;
use crate::cli::failure::Failure;

const DATABASE: &str = "database";
const PUSHES: &str = "pushes";
const INBOXES: &str = "inboxes";
const STATISTICS: &str = "statistics";
const TAGS: &str = "tags";

/// Pushes between two looks at the clock.
const SHOW_EVERY: u64 = 1000;

const RESTORE: &str = "restore the backup (docs/OPERATIONS.md); without one, `sqlite3 pigeonloft.db .recover` saves what \
                       can be read. Nothing else was looked at or changed";

const BEGINS_AGAIN: &str =
    "it begins again at the first row; a device that has its message may get it once more, under the same msg_id";

/// Reads all of it. Answers whether its tables can be trusted.
pub(super) fn examine_pages(examiner: &mut Examiner, report: &mut Report) -> Result<bool, Trouble> {
    report.looks_at("the database, page by page");
    match examiner.integrity()? {
        Integrity::Whole => {}
        Integrity::IndexesMended(damages) | Integrity::IndexesDamaged(damages) => {
            let what = format!("indexes are damaged, their tables are whole: {}", damages.join("; "));
            report.repaired(DATABASE, what, "they were made anew")?;
        }
        Integrity::Damaged(damages) => {
            damaged(damages.join("; "), report)?;
            return Ok(false);
        }
    }
    match examiner.schema()? {
        Schema::Current(_) => {}
        Schema::Migrated(from) => {
            report.repaired(DATABASE, format_args!("it has schema version {from}"), "it was brought up to date")?;
        }
        Schema::Older(found) => {
            let what = format!("it has schema version {found}, so packages and pushes cannot be looked at");
            report.repaired(DATABASE, what, "")?;
            return Ok(false);
        }
        Schema::Empty => {
            report.remains(DATABASE, "the database is empty: it has no tables", RESTORE)?;
            return Ok(false);
        }
    }
    report.looks_at("rows whose parents are gone");
    for Dangling { table, parent, rows, may_go } in examiner.dangling()? {
        let what = format!("rows of the table {table} that name a missing {parent}: {rows}");
        if may_go {
            report.repaired(DATABASE, what, "they were deleted, as they would have been together with it")?;
        } else {
            report.remains(
                DATABASE,
                what,
                format_args!(
                    "restore the backup if that {parent} is still needed; otherwise these rows do no harm, for nobody \
                     can name them"
                ),
            )?;
        }
    }
    Ok(true)
}

/// The database is damaged.
pub(super) fn damaged(how: impl Display, report: &mut Report) -> Result<(), Failure> {
    report.remains(DATABASE, format_args!("the database is damaged: {how}"), RESTORE)
}

/// Compares inboxes with recipients.
pub(super) fn examine_inboxes(examiner: &Examiner, report: &mut Report) -> Result<(), Trouble> {
    let mut looked_at = 0;
    let found = examiner.inboxes(|step| {
        looked_at += step;
        report.looks_at(format_args!("messages in inboxes: {looked_at}"));
    })?;
    report.examined.inbox = looked_at;
    Ok(tell_strays(&found, report)?)
}

/// Compares pushes with their recipients.
pub(super) fn examine_pushes(examiner: &Examiner, report: &mut Report) -> Result<(), Trouble> {
    let mut after = PushId(0);
    while let Some((push_id, targets)) = examiner.push_after(after)? {
        if report.examined.pushes.is_multiple_of(SHOW_EVERY) || targets > SHOW_EVERY {
            report.looks_at(format_args!("push {push_id} ({targets} recipients)"));
        }
        for trouble in examiner.push(push_id)? {
            tell(push_id, &trouble, report)?;
        }
        report.examined.pushes += 1;
        report.examined.recipients += targets;
        after = push_id;
    }
    Ok(())
}

/// Looks for receipts that wait for a push which counts nothing any more.
pub(super) fn examine_early_receipts(examiner: &Examiner, report: &mut Report) -> Result<(), Trouble> {
    report.looks_at("receipts that came before their batch");
    let StrayReceipts { no_push, ended } = examiner.early_receipts()?;
    for (count, of) in [(no_push, "are not there"), (ended, "have finished")] {
        if count > 0 {
            let what = format_args!("receipts kept for the next batches of pushes that {of}: {count}");
            report.repaired(PUSHES, what, "they were deleted")?;
        }
    }
    Ok(())
}

/// Compares what is counted by day with the pushes and devices.
pub(super) fn examine_days(examiner: &Examiner, report: &mut Report) -> Result<(), Trouble> {
    report.looks_at("what is counted by day");
    let WrongDays { sums, pushes, devices } = examiner.days()?;
    let again = "they were counted again";
    for (count, what, did) in [
        (sums, "days of an app, a plan or a group with sums that their pushes do not come to", again),
        (pushes, "days with a number of pushes that is not theirs", again),
        (devices, "apps with more or fewer devices than their days say", "the last day of each makes up for it"),
    ] {
        if count > 0 {
            report.repaired(STATISTICS, format_args!("{what}: {count}"), did)?;
        }
    }
    Ok(())
}

/// Compares the tables of tags.
pub(super) fn examine_tags(examiner: &Examiner, report: &mut Report) -> Result<(), Trouble> {
    report.looks_at("tags of devices");
    let WrongTags { one_sided, nameless, unused } = examiner.tags()?;
    for (count, what, did) in [
        (
            one_sided,
            "tags of devices that pushes by tags would not find, or find at devices that do not have them",
            "pushes find what the devices have",
        ),
        (nameless, "tags without a name that devices have", "the server takes them off when it runs"),
        (unused, "tags that no device has", "they were deleted"),
    ] {
        if count > 0 {
            report.repaired(TAGS, format_args!("{what}: {count}"), did)?;
        }
    }
    Ok(())
}

fn tell(push_id: PushId, trouble: &PushTrouble, report: &mut Report) -> Result<(), Failure> {
    let push = format!("push {push_id}");
    match trouble {
        PushTrouble::NoPush { recipients } => {
            let what = match recipients {
                0 => format!("{push} is not there, and has sums of vendors' channels"),
                _ => format!("{push} is not there, and has recipients: {recipients}"),
            };
            report.repaired(PUSHES, what, "they were deleted")
        }
        PushTrouble::CursorBeyond { rows_done, audience_rows } => {
            report.repaired(PUSHES, format_args!("{push} is at row {rows_done} of {audience_rows}"), BEGINS_AGAIN)
        }
        PushTrouble::CursorTorn => {
            report.repaired(PUSHES, format_args!("{push} is at no place: its cursor contradicts itself"), BEGINS_AGAIN)
        }
        PushTrouble::CountsBeyond { rows_done, audience_rows } => {
            let what = format!("{push} ended at row {rows_done} of {audience_rows}");
            report.repaired(PUSHES, what, format_args!("it counts {audience_rows} rows now"))
        }
        PushTrouble::EndedEarly { rows_done, audience_rows } => {
            let what = format!("{push} is marked as finished at row {rows_done} of {audience_rows}");
            let did = "it is PUSH_FAILED now, with this as its reason: who is to have the message still must be pushed \
                       to again";
            report.repaired(PUSHES, what, did)
        }
        PushTrouble::NotEnded(_) => {
            let what = format!("{push} has ended by its state, and would be sent on by its times");
            report.repaired(PUSHES, what, "it has ended")
        }
        PushTrouble::StateRuns(_) => {
            let what = format!("{push} has ended by its times, and not by its state");
            report.repaired(PUSHES, what, "its state says so now")
        }
        PushTrouble::PackageGone(upload_id) => {
            let what = format!("{push} is not finished, and its package {upload_id} is gone");
            report.remains(PUSHES, what, "nothing, it ends PUSH_FAILED by itself; upload the list again to push to it")
        }
        PushTrouble::UnknownOutcome { recipients } => {
            let what = format!("{push} has recipients with an outcome nobody knows: {recipients}");
            report.remains(PUSHES, what, "restore the backup, or run the newer program that wrote this")
        }
        PushTrouble::DeviceGone { recipients } => {
            let what = format!("{push} waits for devices that are not there: {recipients}");
            report.repaired(PUSHES, what, "these recipients are gone now")
        }
        PushTrouble::NotInInbox { recipients } => {
            let what = format!("{push} waits for devices in whose inboxes it is not: {recipients}");
            report.repaired(PUSHES, what, "it was put there")
        }
        PushTrouble::Sums { targets, recipients } => {
            let what =
                format!("{push} has sums that its recipients do not come to ({targets} targets, {recipients} found)");
            report.repaired(PUSHES, what, "they were counted again")
        }
        PushTrouble::ChannelSums => {
            let what = format!("{push} has sums of vendors' channels that its recipients do not come to");
            report.repaired(PUSHES, what, "they were counted again")
        }
    }
}

fn tell_strays(found: &StrayInbox, report: &mut Report) -> Result<(), Failure> {
    let removed = "they were removed";
    let added = "the devices were made recipients, so that these messages are delivered and counted";
    for (count, what, did) in [
        (found.no_push, "messages of pushes that are not there", removed),
        (found.no_device, "messages for devices that are not there", removed),
        (found.ended, "messages that have ended for their device", removed),
        (found.no_recipient, "messages for devices that are no recipients of their push", added),
    ] {
        if count > 0 {
            report.repaired(INBOXES, format_args!("{what}: {count}"), did)?;
        }
    }
    Ok(())
}
