//! Pushes: the task, and the sums of what became of its recipients. How it is accepted is in `new`, how it runs through its
//! audience in `running`.

mod new;
mod running;

use pigeonloft_model::{AccessId, PushId, PushState, UploadId};
use rusqlite::{OptionalExtension, Row, params};

pub use self::new::{Accepted, NewPush, REPEATED_WITHIN_S};
pub(crate) use self::running::DUE_FROM;
pub use self::running::Started;
use crate::Store;
use crate::batches::LeftOut;
use crate::error::{Error, Result};

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

impl Store {
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
}
