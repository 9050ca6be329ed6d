//! Pushes: the task, its cursor through the audience, and the sums of what became of its recipients.

use std::ops::RangeInclusive;

use pigeonloft_model::{
    AcceptMinutes, AccessId, AudienceKind, Day, DeviceId, MessageType, PushId, PushState, UploadId,
};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::accept;
use crate::answers::{Asked, Once};
use crate::batches::{Cursor, LeftOut, Within};
use crate::early;
use crate::error::{Error, Result};
use crate::readers::push_array;
use crate::stops::MAY_RUN;
use crate::writer::Tx;
use crate::{Store, now_ms, revocations};

/// A push about to be accepted.
#[derive(Debug, Clone)]
pub struct NewPush {
    /// Its app.
    pub access_id: AccessId,
    /// The validated push, as JSON.
    pub request: String,
    /// Its package, if it has one.
    pub upload_id: Option<UploadId>,
    /// The package whose devices it leaves out, if there is one.
    pub exclude_upload_id: Option<UploadId>,
    /// Rows of its audience.
    pub audience_rows: u64,
    /// Shown, or handed to the app.
    pub message_type: MessageType,
    /// What kind of audience that is.
    pub audience: AudienceKind,
    /// The plan it counts in beside its app.
    pub plan_id: Option<String>,
    /// The group it counts in beside its app.
    pub group_id: Option<String>,
    /// The first device of an audience without rows, each of whose rows is a device id, from this one on.
    pub first_device: Option<DeviceId>,
    /// What tells whether another push is this one once more, where that is not to be; at most one starts in
    /// [`REPEATED_WITHIN_S`] seconds.
    pub digest: Option<[u8; 32]>,
    /// The first push of the line in which it takes the place of those before it.
    pub line: Option<PushId>,
    /// When it starts, unix seconds.
    pub start_at: i64,
    /// The day of that, on which all that becomes of it is counted.
    pub day: Day,
    /// When what was not delivered expires, unix seconds.
    pub expire_at: i64,
    /// When of the day its messages may go out; `None` = at any time.
    pub accept: Option<AcceptMinutes>,
}

/// What became of a push that is to be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// It is: the ids of its occurrences, in their order.
    Pushes(Vec<PushId>),
    /// Its package is gone.
    NoPackage,
    /// This push has the same digest, and starts at about the same time.
    Repeats(PushId),
}

/// How far apart two pushes of the same digest start at least, seconds.
pub const REPEATED_WITHIN_S: i64 = 3_600;

/// The sums of one push. `targets` is the sum of the nine that follow it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows of the audience.
    pub audience_rows: u64,
    /// Rows dealt with so far. Between two windows of the audience it is exact; inside one it is the share of the
    /// window's devices that are.
    pub rows_done: u64,
    /// Rows that name no device.
    pub no_device: u64,
    /// Devices that the rows name and that are no recipients.
    pub left_out: LeftOut,
    /// Recipients so far.
    pub targets: u64,
    /// In the inbox: not sent yet, or sent and not acknowledged.
    pub waiting: u64,
    /// Acknowledged by the device.
    pub arrived: u64,
    /// Not delivered in time.
    pub expired: u64,
    /// Offline, and the push was not to be kept.
    pub not_kept: u64,
    /// No channel was left that may carry it.
    pub no_channel: u64,
    /// The device was deleted while its message waited.
    pub gone: u64,
    /// The push was stopped, revoked or replaced while its message waited.
    pub stopped: u64,
    /// A vendor's channel took it.
    pub accepted: u64,
    /// A vendor's channel may have taken it or not.
    pub unknown: u64,
    /// Accepted by a channel, whatever came of it.
    pub sent: u64,
    /// Receipts: shown.
    pub shown: u64,
    /// Receipts: clicked.
    pub clicked: u64,
    /// Receipts: cleared.
    pub cleared: u64,
}

/// One push.
#[derive(Debug, Clone)]
pub struct Push {
    /// Its id.
    pub push_id: PushId,
    /// Its app.
    pub access_id: AccessId,
    /// Where it stands.
    pub state: PushState,
    /// The validated push, as JSON.
    pub request: String,
    /// The payload of its messages, as the model crate stores it.
    pub template: String,
    /// Its package, if it has one.
    pub upload_id: Option<UploadId>,
    /// Unix milliseconds.
    pub created_at: i64,
    /// Unix seconds.
    pub start_at: i64,
    /// Unix seconds.
    pub expire_at: i64,
    /// Unix milliseconds.
    pub started_at: Option<i64>,
    /// Unix milliseconds.
    pub finished_at: Option<i64>,
    /// The first push of the line in which each takes the place of those before it, if it is in one.
    pub line: Option<PushId>,
    /// Unix milliseconds. Since then nobody more is to get it; its state says why.
    pub stopped_at: Option<i64>,
    /// Why it failed, if it did.
    pub failure: Option<String>,
    /// The sums.
    pub counts: Counts,
}

/// A push, with where it stands and the file of its package.
#[derive(Debug, Clone)]
pub struct Started {
    /// The push.
    pub push: Push,
    /// Where it stands.
    pub cursor: Cursor,
    /// Name of the package's file, if it has a package.
    pub stored_as: Option<String>,
    /// Name of the file of the package whose devices are left out, if there is one.
    pub exclude_stored_as: Option<String>,
    /// The device that is the first row, if each row is a device id.
    pub first_device: Option<DeviceId>,
    /// Of a revocation: the push that it takes back.
    pub takes_back: Option<PushId>,
}

pub(crate) const COLUMNS: &str =
    "push_id, access_id, state, request, template, upload_id, created_at, start_at_s, expire_at_s,
    started_at, finished_at, failure, audience_rows, rows_done, no_device, targets, waiting, arrived, expired,
    not_kept, no_channel, gone, stopped, sent, shown, clicked, cleared, stopped_at, excluded,
    sampled_out, line, accepted, unknown";

pub(crate) fn from_row(row: &Row<'_>) -> rusqlite::Result<Result<Push>> {
    let state: i64 = row.get(2)?;
    let Ok(state) = PushState::try_from(state) else {
        return Ok(Err(Error::Corrupt { what: "push state", value: state.to_string() }));
    };
    Ok(Ok(Push {
        push_id: PushId(row.get(0)?),
        access_id: AccessId(row.get(1)?),
        state,
        request: row.get(3)?,
        template: row.get(4)?,
        upload_id: row.get::<_, Option<i32>>(5)?.map(UploadId),
        created_at: row.get(6)?,
        start_at: row.get(7)?,
        expire_at: row.get(8)?,
        started_at: row.get(9)?,
        finished_at: row.get(10)?,
        stopped_at: row.get(27)?,
        line: row.get::<_, Option<i64>>(30)?.map(PushId),
        failure: row.get(11)?,
        counts: Counts {
            audience_rows: row.get(12)?,
            rows_done: row.get(13)?,
            no_device: row.get(14)?,
            targets: row.get(15)?,
            waiting: row.get(16)?,
            arrived: row.get(17)?,
            expired: row.get(18)?,
            not_kept: row.get(19)?,
            no_channel: row.get(20)?,
            gone: row.get(21)?,
            stopped: row.get(22)?,
            accepted: row.get(31)?,
            unknown: row.get(32)?,
            sent: row.get(23)?,
            shown: row.get(24)?,
            clicked: row.get(25)?,
            cleared: row.get(26)?,
            left_out: LeftOut { excluded: row.get(28)?, sampled_out: row.get(29)? },
        },
    }))
}

const WITH_CURSOR: &str = ", window_row, window_end, window_device,
    (SELECT p.stored_as FROM package p WHERE p.upload_id = push.upload_id),
    (SELECT p.stored_as FROM package p WHERE p.upload_id = push.exclude_upload_id), first_device, takes_back";

fn started(row: &Row<'_>) -> rusqlite::Result<Result<Started>> {
    let push = match from_row(row)? {
        Ok(push) => push,
        Err(corrupt) => return Ok(Err(corrupt)),
    };
    let within = match (row.get(34)?, row.get(35)?) {
        (Some(end), Some(device)) => Some(Within { end, device: DeviceId(device) }),
        _ => None,
    };
    Ok(Ok(Started {
        push,
        cursor: Cursor { row: row.get(33)?, within },
        stored_as: row.get(36)?,
        exclude_stored_as: row.get(37)?,
        first_device: row.get::<_, Option<i64>>(38)?.map(DeviceId),
        takes_back: row.get::<_, Option<i64>>(39)?.map(PushId),
    }))
}

/// The push that a new one repeats.
fn repeated(tx: &Connection, new: &NewPush) -> Result<Option<PushId>> {
    let Some(digest) = new.digest else { return Ok(None) };
    Ok(tx
        .prepare_cached(
            "SELECT push_id FROM push WHERE access_id = ?1 AND digest = ?2
                AND start_at_s > ?3 - ?4 AND start_at_s < ?3 + ?4 AND state NOT IN (?5, ?6) LIMIT 1",
        )?
        .query_row(
            params![
                new.access_id.0,
                digest,
                new.start_at,
                REPEATED_WITHIN_S,
                PushState::Failed.code(),
                PushState::Canceled.code()
            ],
            |row| row.get(0).map(PushId),
        )
        .optional()?)
}

/// Notes that the packages of a push are used. `false`: one is gone.
fn use_packages(tx: &Connection, new: &NewPush, now: i64) -> Result<bool> {
    for upload_id in [new.upload_id, new.exclude_upload_id].into_iter().flatten() {
        let used = tx
            .prepare_cached("UPDATE package SET last_used_at = ?3 WHERE access_id = ?1 AND upload_id = ?2")?
            .execute(params![new.access_id.0, upload_id.0, now])?;
        if used == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

fn insert(tx: &Connection, new: &NewPush, now: i64, template: &impl Fn(PushId, &NewPush) -> String) -> Result<PushId> {
    let state = if new.start_at * 1000 > now { PushState::Wait } else { PushState::Init };
    tx.prepare_cached(
        "INSERT INTO push (access_id, state, request, template, upload_id, created_at, start_at_s, expire_at_s,
            audience_rows, day, message_type, audience, plan_id, group_id, exclude_upload_id, first_device, digest, line)
         VALUES (?1, ?2, ?3, '', ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
    )?
    .execute(params![
        new.access_id.0,
        state.code(),
        new.request,
        new.upload_id.map(|id| id.0),
        now,
        new.start_at,
        new.expire_at,
        new.audience_rows,
        new.day.0,
        new.message_type.code(),
        new.audience.code(),
        new.plan_id,
        new.group_id,
        new.exclude_upload_id.map(|id| id.0),
        new.first_device.map(|device| device.0),
        new.digest,
        new.line.map(|first| first.0)
    ])?;
    let push_id = PushId(tx.last_insert_rowid());
    tx.prepare_cached("UPDATE push SET template = ?2 WHERE push_id = ?1")?
        .execute(params![push_id.0, template(push_id, new)])?;
    if let Some(accept) = &new.accept {
        accept::keep(tx, push_id, accept)?;
    }
    Ok(push_id)
}

fn accept_all(tx: &Connection, pushes: &[NewPush], template: &impl Fn(PushId, &NewPush) -> String) -> Result<Accepted> {
    let now = now_ms();
    for new in pushes {
        if let Some(earlier) = repeated(tx, new)? {
            return Ok(Accepted::Repeats(earlier));
        }
    }
    // All are of one call, and so of the same packages.
    if let Some(new) = pushes.first()
        && !use_packages(tx, new, now)?
    {
        return Ok(Accepted::NoPackage);
    }
    if let Some(first) = pushes.first().and_then(|new| new.line) {
        tx.prepare_cached("UPDATE push SET line = push_id WHERE push_id = ?1 AND line IS NULL")?.execute([first.0])?;
    }
    let ids = pushes.iter().map(|new| insert(tx, new, now, template)).collect::<Result<_>>()?;
    Ok(Accepted::Pushes(ids))
}

/// From when on a push that is not finished is due: one that does not wait for its time (any more) always is, also when
/// the clock is set back behind it. As the index `push_unfinished` has it.
pub(crate) const DUE_FROM: &str = "CASE WHEN state = 1 THEN start_at_s ELSE 0 END";

impl Store {
    /// Accepts a push, unless something speaks against it; a repeated one as its occurrences, all of them or none.
    /// `template` makes the payload of each once its id is known.
    ///
    /// # Errors
    /// The database's; none of the pushes exists then.
    pub async fn add_pushes(
        &self,
        pushes: Vec<NewPush>,
        template: impl Fn(PushId, &NewPush) -> String + Send + 'static,
    ) -> Result<Accepted> {
        self.write(move |tx| accept_all(tx, &pushes, &template)).await
    }

    /// The same, unless what was asked was answered before; else `answer` is what is kept of the ids it answers.
    ///
    /// # Errors
    /// As [`Store::add_pushes`].
    pub async fn add_pushes_once(
        &self,
        pushes: Vec<NewPush>,
        template: impl Fn(PushId, &NewPush) -> String + Send + 'static,
        asked: Asked,
        answer: impl FnOnce(&[PushId]) -> String + Send + 'static,
    ) -> Result<Once<Accepted>> {
        let work = move |tx: Tx<'_>| accept_all(tx, &pushes, &template);
        let kept = |accepted: &Accepted| match accepted {
            Accepted::Pushes(push_ids) => Some(answer(push_ids)),
            Accepted::NoPackage | Accepted::Repeats(_) => None,
        };
        self.once(asked, work, kept).await
    }

    /// The app's push of this id.
    ///
    /// # Errors
    /// The database's.
    pub async fn push(&self, access_id: AccessId, push_id: PushId) -> Result<Option<Push>> {
        self.read(move |connection| {
            let sql =
                format!("SELECT {COLUMNS} FROM push WHERE push_id = ?1 AND access_id = ?2 AND takes_back IS NULL");
            connection
                .prepare_cached(&sql)?
                .query_row(params![push_id.0, access_id.0], from_row)
                .optional()?
                .transpose()
        })
        .await
    }

    /// The app's push of this id, with where it stands and the file of its package.
    ///
    /// # Errors
    /// The database's.
    pub async fn push_with_cursor(&self, access_id: AccessId, push_id: PushId) -> Result<Option<Started>> {
        self.read(move |connection| {
            let sql = format!(
                "SELECT {COLUMNS} {WITH_CURSOR} FROM push
                 WHERE push_id = ?1 AND access_id = ?2 AND takes_back IS NULL"
            );
            connection.prepare_cached(&sql)?.query_row(params![push_id.0, access_id.0], started).optional()?.transpose()
        })
        .await
    }

    /// Pushes to so many rows that are due and not finished, oldest first, without those in `running`, and without those
    /// that [take the place](Store::replace) of one, or [take it back](Store::revoke_push), which is not over.
    ///
    /// # Errors
    /// The database's.
    pub async fn due_pushes(
        &self,
        now: i64,
        rows: RangeInclusive<u64>,
        running: Vec<PushId>,
        limit: u32,
    ) -> Result<Vec<PushId>> {
        // SQLite has no unsigned numbers; no audience comes near the end of the signed ones.
        let [least, most] = [*rows.start(), *rows.end()].map(|rows| i64::try_from(rows).unwrap_or(i64::MAX));
        self.read(move |connection| {
            let running = push_array(&running);
            let mut statement = connection.prepare_cached(&format!(
                "SELECT push_id FROM push WHERE finished_at IS NULL AND {DUE_FROM} <= ?1
                 AND audience_rows BETWEEN ?2 AND ?3
                 AND push_id NOT IN (SELECT value FROM rarray(?4)) AND {MAY_RUN} ORDER BY push_id LIMIT ?5",
            ))?;
            let due = statement.query_map(params![now, least, most, running, limit], |row| row.get(0).map(PushId))?;
            Ok(due.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// How many pushes are not finished, those that are not due yet among them.
    ///
    /// # Errors
    /// The database's.
    pub async fn unfinished(&self) -> Result<u64> {
        self.read(|connection| {
            let sql = "SELECT count(*) FROM push WHERE finished_at IS NULL";
            Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
        })
        .await
    }

    /// Since when the oldest push that is due and not finished has been due, unix seconds.
    ///
    /// # Errors
    /// The database's.
    pub async fn oldest_due(&self, now: i64) -> Result<Option<i64>> {
        self.read(move |connection| {
            let sql = format!("SELECT min(start_at_s) FROM push WHERE finished_at IS NULL AND {DUE_FROM} <= ?1");
            Ok(connection.prepare_cached(&sql)?.query_row([now], |row| row.get(0))?)
        })
        .await
    }

    /// A push that is to be run, without noting that it starts: its first batch does. `None` if it is finished already.
    ///
    /// # Errors
    /// The database's.
    pub async fn unfinished_push(&self, push_id: PushId) -> Result<Option<Started>> {
        self.read(move |connection| {
            let sql = format!("SELECT {COLUMNS} {WITH_CURSOR} FROM push WHERE push_id = ?1 AND finished_at IS NULL");
            connection.prepare_cached(&sql)?.query_row([push_id.0], started).optional()?.transpose()
        })
        .await
    }

    /// Notes that a push starts, unless it did before. `None` if it is finished already. One that waited for its time,
    /// and whose audience has no rows, is for the devices that there are now.
    ///
    /// # Errors
    /// The database's.
    pub async fn start_push(&self, push_id: PushId) -> Result<Option<Started>> {
        self.write(move |tx| {
            tx.prepare_cached(
                "UPDATE push SET first_device = span.first, audience_rows = span.last - span.first + 1
                 FROM (SELECT
                    (SELECT min(device_id) FROM device INDEXED BY device_of_app
                     WHERE access_id = (SELECT access_id FROM push WHERE push_id = ?1)) AS first,
                    (SELECT max(device_id) FROM device INDEXED BY device_of_app
                     WHERE access_id = (SELECT access_id FROM push WHERE push_id = ?1)) AS last) AS span
                 WHERE push_id = ?1 AND state = ?2 AND first_device IS NOT NULL AND span.first IS NOT NULL",
            )?
            .execute(params![push_id.0, PushState::Wait.code()])?;
            let sql = format!(
                "UPDATE push SET state = CASE WHEN stopped_at IS NULL THEN ?2 ELSE state END,
                    started_at = coalesce(started_at, ?3)
                 WHERE push_id = ?1 AND finished_at IS NULL RETURNING {COLUMNS} {WITH_CURSOR}"
            );
            tx.prepare_cached(&sql)?
                .query_row(params![push_id.0, PushState::Started.code(), now_ms()], started)
                .optional()?
                .transpose()
        })
        .await
    }

    /// Ends a push by itself, without a last batch: its audience is dealt with, or it is stopped, or it cannot go on for
    /// this reason.
    ///
    /// # Errors
    /// The database's.
    pub async fn finish_push(&self, push_id: PushId, failure: Option<String>) -> Result<()> {
        self.write(move |tx| {
            let state = if failure.is_some() { PushState::Failed } else { PushState::Finished };
            tx.prepare_cached(
                "UPDATE push SET state = CASE WHEN stopped_at IS NULL THEN ?2 ELSE state END, finished_at = ?3, failure = ?4
                 WHERE push_id = ?1 AND finished_at IS NULL",
            )?
            .execute(params![push_id.0, state.code(), now_ms(), failure])?;
            early::forget(tx, push_id)?;
            revocations::has_ended(tx, push_id)
        })
        .await
    }
}
