//! Statistics: what a caller asks about pushes that were. Counting is the store's work, the shape of an answer the
//! API's.

use crate::audience::AudienceKind;
use crate::ids::PushId;
use crate::loose::{self, Members};
use crate::message::MessageType;
use crate::ret::{Fault, RetCode, excerpt};
use crate::schedule::Zone;

/// A call of `POST /v3/statistics/get_push_record`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushRecordQuery {
    /// One push, by `pushId`.
    One(PushId),
    /// The pushes of some days, a page of them.
    Days(PushRecordDays),
}

/// Which pushes, and which page of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushRecordDays {
    /// Unix seconds of the beginning of `startDate`.
    pub from: i64,
    /// Unix seconds of the end of `endDate`, itself not included.
    pub until: i64,
    /// Only pushes of this `msgType`.
    pub message_type: Option<MessageType>,
    /// Only pushes of this `pushType`.
    pub audience: Option<AudienceKind>,
    /// So many are skipped.
    pub offset: u32,
    /// At most so many, 1–[`PushRecordDays::LIMIT_MAX`].
    pub limit: u32,
}

impl PushRecordDays {
    /// Largest page, as documented; also where no `limit` is given.
    pub const LIMIT_MAX: u32 = 200;
}

impl PushRecordQuery {
    /// Reads a call. `pushId` counts where both it and days are given; the dates are meant in `zone`.
    ///
    /// # Errors
    /// Not JSON (1008001); neither a push nor both dates (1008002); a date that is none, or the end before the start
    /// (1008016); anything else out of its range (1008007).
    pub fn parse(body: &[u8], zone: Zone) -> Result<Self, Fault> {
        let whole = loose::body(body)?;
        let given = Members::top(&whole);
        if let Some(push) = push_id(&given)? {
            return Ok(Self::One(push));
        }
        let (Some(start), Some(end)) = (given.text("startDate")?, given.text("endDate")?) else {
            return Err(Fault::missing("pushId", "give it, or startDate and endDate"));
        };
        let (from, _) = day("startDate", &start, zone)?;
        let (_, until) = day("endDate", &end, zone)?;
        if until <= from {
            return Err(Fault::new(RetCode::WrongDate, "endDate lies before startDate: swap them"));
        }
        let limit = given.positive("limit", 1..=i64::from(PushRecordDays::LIMIT_MAX))?;
        Ok(Self::Days(PushRecordDays {
            from,
            until,
            message_type: given.name("msgType")?,
            audience: given.name("pushType")?,
            offset: given.positive("offset", 1..=i64::from(u32::MAX))?.unwrap_or(0),
            limit: limit.unwrap_or(PushRecordDays::LIMIT_MAX),
        }))
    }
}

/// Reads a call that is about one push, `{"pushId": …}`, such as `POST /v3/statistics/get_push_task_stat_channel`.
///
/// # Errors
/// Not JSON (1008001), no push (1008002), a text or number that is no push id (1008001, 1008007).
pub fn one_push(body: &[u8]) -> Result<PushId, Fault> {
    let whole = loose::body(body)?;
    push_id(&Members::top(&whole))?.ok_or_else(|| Fault::missing("pushId", "give the push_id that the push answered"))
}

/// `pushId`, or `pushid` as a published sample spells it, or `push_id` as the push answers it; a text or a number.
fn push_id(given: &Members<'_>) -> Result<Option<PushId>, Fault> {
    for member in ["pushId", "pushid", "push_id"] {
        if let Some(id) = given.positive(member, 1..=i64::MAX)? {
            return Ok(Some(PushId(id)));
        }
    }
    Ok(None)
}

fn day(member: &str, text: &str, zone: Zone) -> Result<(i64, i64), Fault> {
    zone.day(text.trim())
        .ok_or_else(|| Fault::new(RetCode::WrongDate, format!("{member} is {}, write it as YYYY-MM-DD", excerpt(text))))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn query(body: &Value) -> Result<PushRecordQuery, Fault> {
        PushRecordQuery::parse(body.to_string().as_bytes(), Zone::CHINA)
    }

    #[test]
    fn a_push_is_named_by_a_text_or_a_number_and_in_either_spelling() {
        for body in [
            json!({"pushId": "12"}),
            json!({"pushId": 12}),
            json!({"pushid": "12"}),
            json!({"pushId": "", "pushid": 12}),
        ] {
            assert_eq!(query(&body), Ok(PushRecordQuery::One(PushId(12))), "{body}");
            assert_eq!(one_push(body.to_string().as_bytes()), Ok(PushId(12)), "{body}");
        }
    }

    #[test]
    fn days_begin_and_end_in_the_zone_that_is_configured() {
        let body = json!({"pushId": "", "startDate": "2023-11-14", "endDate": "2023-11-15", "msgType": "notify",
            "pushType": "package_account_push", "offset": "10", "limit": 50});
        let days = PushRecordDays {
            from: 1_699_891_200,
            until: 1_699_891_200 + 2 * 86_400,
            message_type: Some(MessageType::Notify),
            audience: Some(AudienceKind::AccountPackage),
            offset: 10,
            limit: 50,
        };
        assert_eq!(query(&body), Ok(PushRecordQuery::Days(days)));
    }

    #[test]
    fn what_is_not_said_does_not_narrow_the_days() {
        let body =
            json!({"startDate": "2023-11-14", "endDate": "2023-11-14", "msgType": "", "pushType": null, "limit": 0});
        let Ok(PushRecordQuery::Days(days)) = query(&body) else { panic!("not days") };
        assert_eq!((days.message_type, days.audience, days.offset, days.limit), (None, None, 0, 200));
        assert_eq!(days.until - days.from, 86_400);
    }

    #[test]
    fn a_query_that_is_wrong_is_refused_by_its_code() {
        let days = |member: &str, value: Value| {
            let mut body = json!({"startDate": "2023-11-14", "endDate": "2023-11-15"});
            body[member] = value;
            body
        };
        for (body, code) in [
            (json!({}), 1_008_002),
            (json!({"startDate": "2023-11-14"}), 1_008_002),
            (days("startDate", json!("20231114")), 1_008_016),
            (days("startDate", json!("2023-02-29")), 1_008_016),
            (days("endDate", json!("2023-11-13")), 1_008_016),
            (days("limit", json!(200)), 0),
            (days("limit", json!(201)), 1_008_007),
            (days("offset", json!(-1)), 1_008_007),
            (days("msgType", json!("sms")), 1_008_007),
            (days("pushType", json!("everyone")), 1_008_007),
            (json!({"pushId": "abc"}), 1_008_001),
            (json!({"pushId": -1}), 1_008_007),
        ] {
            assert_eq!(query(&body).err().map_or(0, |fault| fault.code.code()), code, "{body}");
        }
        assert_eq!(one_push(b"{}").unwrap_err().code, RetCode::Missing);
    }
}
