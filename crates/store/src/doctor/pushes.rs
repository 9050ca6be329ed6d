//! Pushes under examination: the cursor is in its range, an end is an end, and sums, recipients and inbox agree.

use pigeonloft_model::{Outcome, PushId, PushState, UploadId};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::Doctor;
use super::channels;
use crate::error::Result;
use crate::now_ms;

/// What is wrong with one push. All but [`PushTrouble::PackageGone`] and [`PushTrouble::UnknownOutcome`] is mended where
/// the doctor mends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushTrouble {
    /// There are recipients of a push that is not there, or sums of its channels. They are deleted.
    NoPush {
        /// How many.
        recipients: u64,
    },
    /// It is not finished and its cursor is beyond the end of its audience: it begins again with the first row. Its
    /// recipients stay, so that none is counted twice.
    CursorBeyond {
        /// The cursor.
        rows_done: i64,
        /// Rows of the audience.
        audience_rows: i64,
    },
    /// It is not finished and the parts of its cursor contradict each other: it begins again, too.
    CursorTorn,
    /// It is marked as finished, but not all of its audience was dealt with: it is recorded as failed, with this reason.
    EndedEarly {
        /// The cursor.
        rows_done: i64,
        /// Rows of the audience.
        audience_rows: i64,
    },
    /// It ended and counts more rows than its audience has: it counts those it has.
    CountsBeyond {
        /// The cursor.
        rows_done: i64,
        /// Rows of the audience.
        audience_rows: i64,
    },
    /// Its state says that it ended, its times say it did not: it would be sent again. It is ended.
    NotEnded(i64),
    /// It ended and its state says that it runs: the state is made what the cursor says.
    StateRuns(i64),
    /// It is not finished and its package is gone.
    PackageGone(UploadId),
    /// Outcomes that this program does not know.
    UnknownOutcome {
        /// Recipients that have one.
        recipients: u64,
    },
    /// Recipients wait whose device is gone: they are, too.
    DeviceGone {
        /// How many.
        recipients: u64,
    },
    /// Recipients wait that are in no inbox, so that nothing would ever be sent to them: they are put there.
    NotInInbox {
        /// How many.
        recipients: u64,
    },
    /// The sums are not what its recipients say: they are counted again.
    Sums {
        /// Recipients by the sums.
        targets: i64,
        /// Recipients there are; fewer where those of finished pushes are forgotten already.
        recipients: i64,
    },
    /// What of the sums is of vendors' channels is not what its recipients say: it is counted again.
    ChannelSums,
}

/// The sums, and what they are of: `targets`, `waiting` to `unknown`, `sent`, `shown` to `cleared`.
type Sums = [i64; 14];

const SUMS: &str =
    "targets, waiting, arrived, expired, not_kept, no_channel, gone, stopped, accepted, unknown, sent, shown, clicked,
    cleared";

/// Sums of a push's recipients, in the order of [`SUMS`], and then: unknown outcomes, devices gone, not in an inbox.
fn tally_sql() -> String {
    let of = |outcome: Outcome| format!("count(*) FILTER (WHERE outcome = {})", outcome.code());
    let ended = Outcome::ALL.iter().copied().filter(|outcome| outcome.is_final()).map(of).collect::<Vec<_>>();
    let waits = waits();
    let device = "EXISTS (SELECT 1 FROM device d WHERE d.device_id = r.device_id)";
    let inbox = "EXISTS (SELECT 1 FROM inbox i WHERE i.device_id = r.device_id AND i.push_id = r.push_id)";
    // CASE: only those that wait are looked up.
    let that_wait = |and: &str| format!("coalesce(sum(CASE WHEN {waits} THEN {and} ELSE 0 END), 0)");
    format!(
        "SELECT count(*), count(*) FILTER (WHERE {waits}), {}, count(sent_at), count(*) FILTER (WHERE receipts & 1),
            count(*) FILTER (WHERE receipts & 2), count(*) FILTER (WHERE receipts & 4),
            count(*) FILTER (WHERE outcome NOT BETWEEN 0 AND {}), {}, {}
         FROM recipient r WHERE push_id = ?1",
        ended.join(", "),
        Outcome::ALL.len() - 1,
        that_wait(&format!("NOT {device}")),
        that_wait(&format!("{device} AND NOT {inbox}")),
    )
}

/// The condition that a recipient waits.
pub(super) fn waits() -> String {
    format!("outcome IN ({}, {})", Outcome::Waiting.code(), Outcome::Sent.code())
}

struct Tally {
    sums: Sums,
    unknown: u64,
    device_gone: u64,
    not_in_inbox: u64,
}

fn sums_from(row: &Row<'_>) -> rusqlite::Result<Sums> {
    let mut sums = [0; 14];
    for (place, sum) in sums.iter_mut().enumerate() {
        *sum = row.get(place)?;
    }
    Ok(sums)
}

fn tally(tx: &Connection, push_id: PushId) -> Result<Tally> {
    Ok(tx.prepare_cached(&tally_sql())?.query_row([push_id.0], |row| {
        Ok(Tally {
            sums: sums_from(row)?,
            unknown: row.get(14)?,
            device_gone: row.get(15)?,
            not_in_inbox: row.get(16)?,
        })
    })?)
}

struct Stored {
    state: i64,
    upload_id: Option<i32>,
    finished: bool,
    audience_rows: i64,
    rows_done: i64,
    /// The last row that its cursor names.
    cursor: i64,
    /// The parts of the cursor fit each other.
    cursor_fits: bool,
    /// It is stopped: the server ends it when it starts.
    stopped: bool,
    sums: Sums,
}

fn stored(tx: &Connection, push_id: PushId) -> Result<Option<Stored>> {
    let sql = format!(
        "SELECT {SUMS}, state, upload_id, finished_at IS NOT NULL, audience_rows, rows_done,
            max(rows_done, window_row, coalesce(window_end, 0)),
            rows_done BETWEEN window_row AND coalesce(window_end, audience_rows)
                AND (window_end IS NULL) = (window_device IS NULL), stopped_at IS NOT NULL FROM push WHERE push_id = ?1"
    );
    let push = tx.prepare_cached(&sql)?.query_row([push_id.0], |row| {
        Ok(Stored {
            sums: sums_from(row)?,
            state: row.get(14)?,
            upload_id: row.get(15)?,
            finished: row.get(16)?,
            audience_rows: row.get(17)?,
            rows_done: row.get(18)?,
            cursor: row.get(19)?,
            cursor_fits: row.get(20)?,
            stopped: row.get(21)?,
        })
    });
    Ok(push.optional()?)
}

impl Doctor {
    /// The push that follows `after`, by its row, by recipients that it has or by sums of its channels; and how many
    /// recipients it has by its sums.
    ///
    /// # Errors
    /// The database's.
    pub fn push_after(&self, after: PushId) -> Result<Option<(PushId, u64)>> {
        let sql = "SELECT id, (SELECT targets FROM push WHERE push_id = id) FROM (SELECT min(id) AS id FROM (
                SELECT min(push_id) AS id FROM push WHERE push_id > ?1
                UNION ALL SELECT min(push_id) FROM recipient WHERE push_id > ?1
                UNION ALL SELECT min(push_id) FROM push_channel WHERE push_id > ?1))";
        Ok(self.connection.prepare_cached(sql)?.query_row([after.0], |row| {
            let id: Option<i64> = row.get(0)?;
            let targets: Option<i64> = row.get(1)?;
            Ok(id.map(|id| (PushId(id), u64::try_from(targets.unwrap_or(0)).unwrap_or(0))))
        })?)
    }

    /// What is wrong with a push. It is mended in one transaction.
    ///
    /// # Errors
    /// The database's; nothing of the push is mended then.
    pub fn push(&self, push_id: PushId) -> Result<Vec<PushTrouble>> {
        self.transaction(|tx| {
            let mut troubles = Vec::new();
            let Some(push) = stored(tx, push_id)? else {
                let sql = "SELECT count(*) FROM recipient WHERE push_id = ?1";
                let recipients = tx.prepare_cached(sql)?.query_row([push_id.0], |row| row.get(0))?;
                troubles.push(PushTrouble::NoPush { recipients });
                if self.mend {
                    tx.execute("DELETE FROM recipient WHERE push_id = ?1", [push_id.0])?;
                    tx.execute("DELETE FROM push_channel WHERE push_id = ?1", [push_id.0])?;
                }
                return Ok(troubles);
            };
            self.course(tx, push_id, &push, &mut troubles)?;
            self.recipients(tx, push_id, &push, &mut troubles)?;
            Ok(troubles)
        })
    }

    /// How far it is, and whether it ended.
    fn course(&self, tx: &Connection, push_id: PushId, push: &Stored, troubles: &mut Vec<PushTrouble>) -> Result<()> {
        let &Stored { state, rows_done, audience_rows, finished, .. } = push;
        let id = push_id.0;
        let runs = [PushState::Init, PushState::Wait, PushState::Started].iter().any(|runs| runs.code() == state);
        if let (false, Some(upload_id)) = (finished, push.upload_id) {
            let there = tx.prepare_cached("SELECT 1 FROM package WHERE upload_id = ?1")?.exists([upload_id])?;
            if !there {
                troubles.push(PushTrouble::PackageGone(UploadId(upload_id)));
            }
        }
        if !runs && !finished && !push.stopped {
            troubles.push(PushTrouble::NotEnded(state));
            self.set(tx, "UPDATE push SET finished_at = ?2 WHERE push_id = ?1", params![id, now_ms()])?;
        }
        if runs && finished {
            troubles.push(PushTrouble::StateRuns(state));
            self.set(tx, "UPDATE push SET state = ?2 WHERE push_id = ?1", params![id, PushState::Finished.code()])?;
        }
        if rows_done > audience_rows && (finished || !runs) {
            troubles.push(PushTrouble::CountsBeyond { rows_done, audience_rows });
            self.set(tx, "UPDATE push SET rows_done = audience_rows WHERE push_id = ?1", [id])?;
        } else if runs && !finished && (push.cursor > audience_rows || !push.cursor_fits) {
            troubles.push(if push.cursor > audience_rows {
                PushTrouble::CursorBeyond { rows_done: push.cursor, audience_rows }
            } else {
                PushTrouble::CursorTorn
            });
            self.set(
                tx,
                "UPDATE push SET rows_done = 0, no_device = 0, excluded = 0, sampled_out = 0, window_row = 0, window_end = NULL,
                    window_device = NULL WHERE push_id = ?1",
                [id],
            )?;
        }
        let said_to_be_finished = finished && (runs || state == PushState::Finished.code());
        if said_to_be_finished && rows_done < audience_rows {
            troubles.push(PushTrouble::EndedEarly { rows_done, audience_rows });
            let reason = format!("only {rows_done} of the {audience_rows} rows were dealt with, as `doctor` found");
            self.set(
                tx,
                "UPDATE push SET state = ?2, failure = ?3 WHERE push_id = ?1",
                params![id, PushState::Failed.code(), reason],
            )?;
        }
        Ok(())
    }

    /// What became of its recipients.
    fn recipients(
        &self,
        tx: &Connection,
        push_id: PushId,
        push: &Stored,
        troubles: &mut Vec<PushTrouble>,
    ) -> Result<()> {
        let found = tally(tx, push_id)?;
        if found.unknown > 0 {
            // Nothing can be counted with them.
            troubles.push(PushTrouble::UnknownOutcome { recipients: found.unknown });
            return Ok(());
        }
        let expected = expected(push, &found.sums);
        if expected != push.sums {
            troubles.push(PushTrouble::Sums { targets: push.sums[0], recipients: found.sums[0] });
        }
        let waits = waits();
        if found.device_gone > 0 {
            troubles.push(PushTrouble::DeviceGone { recipients: found.device_gone });
            let sql = format!(
                "UPDATE recipient SET outcome = ?2 WHERE push_id = ?1 AND {waits}
                 AND NOT EXISTS (SELECT 1 FROM device d WHERE d.device_id = recipient.device_id)"
            );
            self.set(tx, &sql, params![push_id.0, Outcome::Gone.code()])?;
        }
        if found.not_in_inbox > 0 {
            troubles.push(PushTrouble::NotInInbox { recipients: found.not_in_inbox });
            let sql = format!(
                "INSERT INTO inbox (device_id, push_id) SELECT device_id, push_id FROM recipient
                 WHERE push_id = ?1 AND {waits} ON CONFLICT DO NOTHING"
            );
            self.set(tx, &sql, [push_id.0])?;
        }
        if self.mend && (expected != push.sums || found.device_gone > 0) {
            set_sums(tx, push_id, &self::expected(push, &tally(tx, push_id)?.sums))?;
        }
        // Whichever outcome they have by now: they are of the channels they were of.
        let all_there = !some_forgotten(push, &found.sums);
        if channels::count_again(tx, push_id, all_there, self.mend)? {
            troubles.push(PushTrouble::ChannelSums);
        }
        Ok(())
    }

    fn set(&self, tx: &Connection, sql: &str, params: impl rusqlite::Params) -> Result<()> {
        if self.mend {
            tx.execute(sql, params)?;
        }
        Ok(())
    }
}

/// Whether recipients may be missing, of which `counted` are there: those of a push that finished, and of which none waits,
/// are forgotten after a while. From then on the sums alone know.
fn some_forgotten(push: &Stored, counted: &Sums) -> bool {
    let [targets, waiting, ..] = push.sums;
    push.finished && waiting == 0 && counted[0] < targets
}

/// The sums that a push must have, whose recipients come to `counted`.
fn expected(push: &Stored, counted: &Sums) -> Sums {
    if !some_forgotten(push, counted) {
        return *counted;
    }
    let mut sums: Sums = std::array::from_fn(|place| push.sums[place].max(counted[place]));
    sums[1] = counted[1];
    sums[0] = sums[1..10].iter().sum();
    sums
}

fn set_sums(tx: &Connection, push_id: PushId, sums: &Sums) -> Result<()> {
    let values = ["?"; 14].join(", ");
    let sql = format!("UPDATE push SET ({SUMS}) = ({values}) WHERE push_id = ?");
    tx.execute(&sql, rusqlite::params_from_iter(sums.iter().chain([&push_id.0])))?;
    Ok(())
}
