//! Plans: what an app gave a name, to count pushes together. Which pushes are counted in one is said by the pushes.

use pigeonloft_model::plan::NewPlan;
use pigeonloft_model::{AccessId, PlanId};
use rusqlite::params;

use crate::error::Result;
use crate::{Store, now_ms};

/// A plan that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Its id, of which no other plan is, also of another app.
    pub plan_id: PlanId,
    /// Unix milliseconds.
    pub created_at: i64,
}

impl Store {
    /// Makes a plan, unless the app has `at_most` already.
    ///
    /// # Errors
    /// The database's.
    pub async fn add_plan(&self, access_id: AccessId, new: NewPlan, at_most: u32) -> Result<Option<Plan>> {
        self.write(move |tx| {
            let plans: u32 = tx
                .prepare_cached("SELECT count(*) FROM plan WHERE access_id = ?1")?
                .query_row([access_id.0], |row| row.get(0))?;
            if plans >= at_most {
                return Ok(None);
            }
            let created_at = now_ms();
            tx.prepare_cached("INSERT INTO plan (access_id, name, description, created_at) VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![access_id.0, new.name, new.description, created_at])?;
            Ok(Some(Plan { plan_id: PlanId(tx.last_insert_rowid()), created_at }))
        })
        .await
    }
}
