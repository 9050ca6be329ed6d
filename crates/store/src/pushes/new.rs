//! New pushes: accepted with their packages and the hours of their messages in one transaction, or not at all.

use pigeonloft_model::{
    AcceptMinutes, AccessId, AudienceKind, Day, DeviceId, MessageType, PushId, PushState, UploadId,
};
use rusqlite::{Connection, OptionalExtension, params};

use crate::accept;
use crate::answers::{Asked, Once};
use crate::error::Result;
use crate::writer::Tx;
use crate::{Store, now_ms};

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
    /// Whether it is kept off our own channel: no session is shown what waits of it.
    pub vendors_only: bool,
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
            audience_rows, day, message_type, audience, plan_id, group_id, exclude_upload_id, first_device, digest, line,
            vendors_only)
         VALUES (?1, ?2, ?3, '', ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
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
        new.line.map(|first| first.0),
        new.vendors_only,
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
