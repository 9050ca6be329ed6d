//! Accept times: the parts of the day in which the messages of a push may go to devices. The inbox shows what is outside of
//! them to nobody; here is who is to look again when one begins.

use std::ops::RangeInclusive;

use pigeonloft_model::{AcceptMinutes, PushId};
use rusqlite::{Connection, params};

use crate::Store;
use crate::error::Result;

/// Whether the messages of the push `p` may go out in the minute of the day `:minute`, in SQL.
pub(crate) const ACCEPTED: &str = "(NOT EXISTS (SELECT 1 FROM accept_time a WHERE a.push_id = p.push_id)
    OR EXISTS (SELECT 1 FROM accept_time a WHERE a.push_id = p.push_id
        AND (:minute >= a.start_min AND :minute < a.end_min OR :minute + 1440 < a.end_min)))";

/// Notes the accept times of a push that is new.
pub(crate) fn keep(tx: &Connection, push_id: PushId, accept: &AcceptMinutes) -> Result<()> {
    let mut add = tx.prepare_cached("INSERT INTO accept_time (push_id, start_min, end_min) VALUES (?1, ?2, ?3)")?;
    for (start, end) in accept.spans() {
        add.execute(params![push_id.0, start, end])?;
    }
    Ok(())
}

impl Store {
    /// Pushes of which messages wait and may go out from one of these minutes of the day on, in the order of their ids: at
    /// most `limit` after `after`.
    ///
    /// # Errors
    /// The database's.
    pub async fn opening_pushes(
        &self,
        minutes: RangeInclusive<u16>,
        now: i64,
        after: PushId,
        limit: u32,
    ) -> Result<Vec<PushId>> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT DISTINCT a.push_id FROM accept_time a CROSS JOIN push p USING (push_id)
                 WHERE a.start_min BETWEEN ?1 AND ?2 AND a.push_id > ?3 AND p.waiting > 0 AND p.expire_at_s > ?4
                 ORDER BY a.push_id LIMIT ?5",
            )?;
            let (first, last) = minutes.into_inner();
            let found = statement.query_map(params![first, last, after.0, now, limit], |row| row.get(0).map(PushId))?;
            Ok(found.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Forgets the accept times of pushes that have ended and of which nothing waits. Looks at up to `limit` pushes after
    /// `after`; answers the last of them, `None` where there are no more.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_accept_times(&self, after: PushId, limit: u32) -> Result<Option<PushId>> {
        let looked_at = self
            .read(move |connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT DISTINCT a.push_id, p.finished_at IS NOT NULL AND p.waiting = 0
                     FROM accept_time a CROSS JOIN push p USING (push_id)
                     WHERE a.push_id > ?1 ORDER BY a.push_id LIMIT ?2",
                )?;
                let found = statement
                    .query_map(params![after.0, limit], |row| Ok((row.get(0).map(PushId)?, row.get::<_, bool>(1)?)))?;
                Ok(found.collect::<rusqlite::Result<Vec<_>>>()?)
            })
            .await?;
        let last = looked_at.last().map(|(push_id, _)| *push_id);
        let over: Vec<PushId> = looked_at.into_iter().filter(|(_, is_over)| *is_over).map(|(id, _)| id).collect();
        if !over.is_empty() {
            self.write_in_bulk(move |tx| {
                let mut forget = tx.prepare_cached("DELETE FROM accept_time WHERE push_id = ?1")?;
                for push_id in over {
                    forget.execute([push_id.0])?;
                }
                Ok(())
            })
            .await?;
        }
        Ok(last)
    }
}
