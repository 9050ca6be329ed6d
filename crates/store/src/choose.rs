//! Choose: an audience that has no rows, all devices of an app or those that an expression of tags means, a range of device
//! ids at a time.
//!
//! Each tag of the expression fills a set by one scan of its rows in the range; AND, OR and NOT are of whole words of bits.
//! So memory is a set for each level of the expression, whatever it names and however many devices there are. A device
//! counts while it was seen not too long ago; NOT means the others of those.

use std::ops::Range;
use std::rc::Rc;

use pigeonloft_model::{AccessId, DeviceId, Environment, TagExpression};
use rusqlite::types::Value;
use rusqlite::{Connection, ToSql, params};

use crate::Reader;
use crate::Store;
use crate::devices::environment_code;
use crate::error::Result;
use crate::tags::find_tag;

mod bits;

use bits::Bits;

/// Devices of a range that are looked up one by one; of more, the app's devices in the range are walked.
const FEW: usize = 2_048;

/// Which devices, with the tags found by their names.
#[derive(Debug, Clone)]
pub struct Choice {
    access_id: AccessId,
    /// `None`: all of them.
    sets: Option<Sets>,
    environment: Option<i64>,
    seen_since: i64,
}

/// A [`TagExpression`] of rows.
#[derive(Debug, Clone)]
enum Sets {
    /// Nobody has a tag that is not there.
    Tag(Option<i64>),
    Active(i64),
    Not(Box<Self>),
    All(Vec<Self>),
    Any(Vec<Self>),
}

/// The device ids of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first.
    pub first: DeviceId,
    /// So many there are up to the last, those of other apps and of devices that are gone among them.
    pub ids: u64,
}

/// The ids of an app's devices; `None` if it has none.
fn span(connection: &Connection, access_id: AccessId) -> Result<Option<Span>> {
    let end = |order: &str| {
        format!(
            "SELECT device_id FROM device INDEXED BY device_of_app WHERE access_id = ?1 ORDER BY device_id {order} LIMIT 1"
        )
    };
    let sql = format!("SELECT ({}), ({})", end("ASC"), end("DESC"));
    let ends: (Option<i64>, Option<i64>) =
        connection.prepare_cached(&sql)?.query_row([access_id.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (Some(first), Some(last)) = ends else { return Ok(None) };
    Ok(Some(Span { first: DeviceId(first), ids: last.abs_diff(first) + 1 }))
}

impl Store {
    /// The ids of the app's devices as of now; `None` if it has none.
    ///
    /// # Errors
    /// The database's.
    pub async fn device_span(&self, access_id: AccessId) -> Result<Option<Span>> {
        self.read(move |connection| span(connection, access_id)).await
    }
}

impl Reader {
    /// The same as [`Store::device_span`].
    ///
    /// # Errors
    /// The database's.
    pub fn device_span(&self, access_id: AccessId) -> Result<Option<Span>> {
        span(&self.connection, access_id)
    }

    /// Prepares a choice among the app's devices: by an expression, or all. `environment` leaves out devices of the
    /// other one; so are those that were not seen since `seen_since`, unix milliseconds.
    ///
    /// # Errors
    /// The database's.
    pub fn choice(
        &self,
        access_id: AccessId,
        expression: Option<&TagExpression>,
        environment: Option<Environment>,
        seen_since: i64,
    ) -> Result<Choice> {
        let sets = expression.map(|expression| self.sets(access_id, expression)).transpose()?;
        Ok(Choice { access_id, sets, environment: environment.map(environment_code), seen_since })
    }

    fn sets(&self, access_id: AccessId, expression: &TagExpression) -> Result<Sets> {
        let each = |terms: &[TagExpression]| -> Result<Vec<Sets>> {
            terms.iter().map(|term| self.sets(access_id, term)).collect()
        };
        Ok(match expression {
            TagExpression::Tag(tag) => Sets::Tag(find_tag(&self.connection, access_id, tag.kind, &tag.name)?),
            TagExpression::Active(day) => Sets::Active(*day),
            TagExpression::Not(term) => Sets::Not(Box::new(self.sets(access_id, term)?)),
            TagExpression::All(terms) => {
                let mut terms = each(terms)?;
                // What is not is taken away from what is: so nobody has to be asked who there is.
                terms.sort_by_key(|term| matches!(term, Sets::Not(_)));
                Sets::All(terms)
            }
            TagExpression::Any(terms) => Sets::Any(each(terms)?),
        })
    }

    /// The chosen devices of a range of ids, in their order. Memory grows with the range, not with the choice.
    ///
    /// # Errors
    /// The database's.
    pub fn choose(&self, choice: &Choice, range: Range<i64>) -> Result<Vec<DeviceId>> {
        let mut search = Search { reader: self, choice, range, everyone: None };
        let Some(sets) = &choice.sets else { return Ok(search.everyone()?.devices()) };
        let mut chosen = search.set(sets)?;
        if search.everyone.is_none() && chosen.count() <= FEW {
            return search.look_up(&chosen);
        }
        chosen.and(search.everyone()?);
        Ok(chosen.devices())
    }
}

/// The search for one range.
struct Search<'a> {
    reader: &'a Reader,
    choice: &'a Choice,
    range: Range<i64>,
    /// The app's devices, once somebody has asked for them.
    everyone: Option<Bits>,
}

impl Search<'_> {
    fn none(&self) -> Bits {
        Bits::none(self.range.clone())
    }

    fn set(&mut self, sets: &Sets) -> Result<Bits> {
        match sets {
            Sets::Tag(_) | Sets::Active(_) | Sets::Any(_) => {
                let mut set = self.none();
                self.add(sets, &mut set)?;
                Ok(set)
            }
            Sets::Not(term) => {
                let mut set = self.everyone()?.clone();
                set.and_not(&self.set(term)?);
                Ok(set)
            }
            Sets::All(terms) => {
                let Some((first, rest)) = terms.split_first() else { return Ok(self.none()) };
                let mut set = self.set(first)?;
                for term in rest {
                    if set.is_empty() {
                        break;
                    }
                    match term {
                        Sets::Not(term) => set.and_not(&self.set(term)?),
                        term => set.and(&self.set(term)?),
                    }
                }
                Ok(set)
            }
        }
    }

    fn add(&mut self, sets: &Sets, into: &mut Bits) -> Result<()> {
        let Range { start, end } = self.range;
        match sets {
            Sets::Tag(None) => Ok(()),
            Sets::Tag(Some(tag)) => {
                let sql =
                    "SELECT device_id FROM device_of_tag WHERE tag_id = ?1 AND device_id >= ?2 AND device_id < ?3";
                self.fill(sql, &[tag, &start, &end], into)
            }
            Sets::Active(day) => {
                // The same numbers as those of the days when a device was seen: see the module on activity.
                let sql = "SELECT device_id FROM device INDEXED BY device_of_app
                    WHERE access_id = ?1 AND device_id >= ?2 AND device_id < ?3
                        AND (seen_at + ?4) / 86400000 >= ?5 AND active_days >> ((seen_at + ?4) / 86400000 - ?5) & 1";
                let (app, ahead) = (self.choice.access_id.0, self.reader.zone.offset_ms());
                self.fill(sql, &[&app, &start, &end, &ahead, day], into)
            }
            Sets::Any(terms) => terms.iter().try_for_each(|term| self.add(term, into)),
            Sets::Not(_) | Sets::All(_) => {
                into.or(&self.set(sets)?);
                Ok(())
            }
        }
    }

    /// All devices that may be chosen.
    fn everyone(&mut self) -> Result<&Bits> {
        if self.everyone.is_none() {
            let mut everyone = self.none();
            let Choice { access_id, environment, seen_since, .. } = self.choice;
            // Ids rise, and those of a large app lie beside each other: a step from one row to the next, mostly.
            let sql = "SELECT device_id FROM device INDEXED BY device_of_app
                WHERE access_id = ?1 AND device_id >= ?2 AND device_id < ?3 AND seen_at >= ?4
                    AND (?5 IS NULL OR environment = ?5)";
            let Range { start, end } = self.range;
            self.fill(sql, &[&access_id.0, &start, &end, seen_since, environment], &mut everyone)?;
            self.everyone = Some(everyone);
        }
        Ok(self.everyone.get_or_insert_with(|| Bits::none(0..0)))
    }

    /// Takes in the devices that a statement finds.
    fn fill(&self, sql: &str, given: &[&dyn ToSql], into: &mut Bits) -> Result<()> {
        let mut statement = self.reader.connection.prepare_cached(sql)?;
        let mut rows = statement.query(given)?;
        while let Some(row) = rows.next()? {
            into.insert(row.get(0)?);
        }
        Ok(())
    }

    /// Those of a set that may be chosen, one by one.
    fn look_up(&self, set: &Bits) -> Result<Vec<DeviceId>> {
        let Choice { access_id, environment, seen_since, .. } = self.choice;
        let devices = Rc::new(set.iter().map(Value::Integer).collect::<Vec<_>>());
        let mut statement = self.reader.connection.prepare_cached(
            "SELECT d.device_id FROM rarray(?1) r CROSS JOIN device d ON d.device_id = r.value
             WHERE d.access_id = ?2 AND d.seen_at >= ?3 AND (?4 IS NULL OR d.environment = ?4)",
        )?;
        let found = statement
            .query_map(params![devices, access_id.0, seen_since, environment], |row| row.get(0).map(DeviceId))?;
        Ok(found.collect::<rusqlite::Result<_>>()?)
    }
}

#[cfg(test)]
mod tests;
