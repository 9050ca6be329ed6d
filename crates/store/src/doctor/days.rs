//! Days under examination: the sums of days are those of their pushes, and an app's devices are as many as its days say.

use rusqlite::Connection;

use super::Doctor;
use crate::error::Result;

/// What days keep that is not so. It is counted again where the doctor mends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WrongDays {
    /// Days of an app, a plan or a group that do not have the sums of their pushes, on whatever channel.
    pub sums: u64,
    /// Days that have another number of pushes of some kind.
    pub pushes: u64,
    /// Apps that have more or fewer devices than came and went by their days. The difference is put on the last day that
    /// something is known of: on which it came about is not.
    pub devices: u64,
}

/// By how much the sums of days fall short, on each channel: what is not of a vendor's is of our own. Revocations count on
/// none. One pass through the pushes, whatever they count in.
const SUMS: &str = "
    SELECT access_id, tally, day, channel, sum(targets) AS targets, sum(sent) AS sent, sum(arrived) AS arrived,
        sum(shown) AS shown, sum(clicked) AS clicked, sum(cleared) AS cleared
    FROM (
        SELECT access_id, CASE counts_in WHEN '' THEN '' WHEN 'p' THEN 'p' || plan_id ELSE 'g' || group_id END AS tally,
            day, channel, targets, sent, arrived, shown, clicked, cleared
        FROM (
            SELECT access_id, plan_id, group_id, day, takes_back, 0 AS channel, targets, sent, arrived, shown, clicked,
                cleared FROM push
            UNION ALL
            SELECT p.access_id, p.plan_id, p.group_id, p.day, p.takes_back, iif(sign > 0, c.channel, 0),
                sign * c.targets, sign * c.sent, 0, sign * c.shown, sign * c.clicked, sign * c.cleared
            FROM push_channel c CROSS JOIN push p USING (push_id)
            CROSS JOIN (SELECT 1 AS sign UNION ALL SELECT -1))
        CROSS JOIN (SELECT '' AS counts_in UNION ALL SELECT 'p' UNION ALL SELECT 'g')
        WHERE tally IS NOT NULL AND takes_back IS NULL
        UNION ALL
        SELECT access_id, tally, day, channel, -targets, -sent, -arrived, -shown, -clicked, -cleared FROM push_day)
    GROUP BY 1, 2, 3, 4
    HAVING sum(targets) OR sum(sent) OR sum(arrived) OR sum(shown) OR sum(clicked) OR sum(cleared)";

const ADD_SUMS: &str = "
    ON CONFLICT DO UPDATE SET targets = targets + excluded.targets, sent = sent + excluded.sent,
        arrived = arrived + excluded.arrived, shown = shown + excluded.shown, clicked = clicked + excluded.clicked,
        cleared = cleared + excluded.cleared";

/// By how much the numbers of pushes fall short.
const PUSHES: &str = "
    SELECT access_id, day, message_type, audience, sum(pushes) AS pushes
    FROM (
        SELECT access_id, day, message_type, audience, 1 AS pushes FROM push WHERE takes_back IS NULL
        UNION ALL SELECT access_id, day, message_type, audience, -pushes FROM push_count)
    GROUP BY 1, 2, 3, 4 HAVING sum(pushes)";

/// By how much the devices of apps fall short, and the last day there is of each.
const DEVICES: &str = "
    SELECT access_id, coalesce(max(day), (SELECT max(day) FROM device_day), 0) AS day, sum(devices) AS devices
    FROM (
        SELECT access_id, NULL AS day, count(*) AS devices FROM device GROUP BY access_id
        UNION ALL SELECT access_id, max(day), -sum(devices) FROM device_day GROUP BY access_id)
    GROUP BY access_id HAVING sum(devices)";

impl Doctor {
    /// Compares what is kept by day with what it is of. Comes after the pushes, whose sums it goes by.
    ///
    /// # Errors
    /// The database's; nothing is mended then.
    pub fn days(&self) -> Result<WrongDays> {
        self.transaction(|tx| {
            let days = format!("SELECT DISTINCT access_id, tally, day FROM ({SUMS})");
            let found = WrongDays { sums: count(tx, &days)?, pushes: count(tx, PUSHES)?, devices: count(tx, DEVICES)? };
            if self.mend && found.sums > 0 {
                tx.execute(&format!("INSERT INTO push_day SELECT * FROM ({SUMS}) WHERE true {ADD_SUMS}"), [])?;
            }
            if self.mend && found.pushes > 0 {
                let sql = format!(
                    "INSERT INTO push_count SELECT * FROM ({PUSHES}) WHERE true
                     ON CONFLICT DO UPDATE SET pushes = pushes + excluded.pushes"
                );
                tx.execute(&sql, [])?;
            }
            if self.mend && found.devices > 0 {
                let sql = format!(
                    "INSERT INTO device_day SELECT access_id, day, 0, 0, devices FROM ({DEVICES}) WHERE true
                     ON CONFLICT DO UPDATE SET devices = devices + excluded.devices"
                );
                tx.execute(&sql, [])?;
            }
            Ok(found)
        })
    }
}

fn count(tx: &Connection, rows: &str) -> Result<u64> {
    Ok(tx.query_row(&format!("SELECT count(*) FROM ({rows})"), [], |row| row.get(0))?)
}
