//! Statistics: what a caller asks about pushes that were, and about devices. Counting is the store's work, the shape of
//! an answer the API's.

use crate::audience::AudienceKind;
use crate::day::{Day, DayFormat, Days, Window};
use crate::ids::PushId;
use crate::loose::{self, Members};
use crate::message::MessageType;
use crate::ret::Fault;

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
    /// The days on which they start.
    pub days: Days,
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

/// How far back pushes are listed: the last month, as documented, whichever month it was.
pub const RECORD_DAYS: i64 = 31;

/// How far back days are shown, as documented.
pub const OVERVIEW_DAYS: i64 = 30;

/// How far back a plan or group is summed, as documented.
pub const GROUP_DAYS: i64 = 7;

const RECORD: Window = Window { formats: &[DayFormat::Dashed], days: RECORD_DAYS };
const GROUP: Window = Window { formats: &[DayFormat::Compact], days: GROUP_DAYS };
const OVERVIEW: Window = Window { formats: &[DayFormat::Compact], days: OVERVIEW_DAYS };
/// The format of this one is not documented.
const DEVICES: Window = Window { formats: &[DayFormat::Compact, DayFormat::Dashed], days: OVERVIEW_DAYS };

const GIVE_DAYS: &str = "give startDate and endDate";

impl PushRecordQuery {
    /// Reads a call made on the day `today`. `pushId` counts where both it and days are given.
    ///
    /// # Errors
    /// Not JSON (1008001); neither a push nor both dates (1008002); a date that is none, the end before the start, or
    /// more than [`RECORD_DAYS`] ago (1008016); anything else out of its range (1008007).
    pub fn parse(body: &[u8], today: Day) -> Result<Self, Fault> {
        let whole = loose::body(body)?;
        let given = Members::top(&whole);
        if let Some(push) = push_id(&given)? {
            return Ok(Self::One(push));
        }
        let Some(days) = Days::read(&given, RECORD, today)? else {
            return Err(Fault::missing("pushId", "give it, or startDate and endDate"));
        };
        let limit = given.positive("limit", 1..=i64::from(PushRecordDays::LIMIT_MAX))?;
        Ok(Self::Days(PushRecordDays {
            days,
            message_type: given.name("msgType")?,
            audience: given.name("pushType")?,
            offset: given.positive("offset", 0..=i64::from(u32::MAX))?.unwrap_or(0),
            limit: limit.unwrap_or(PushRecordDays::LIMIT_MAX),
        }))
    }
}

/// What pushes are counted in beside their app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tally {
    /// All of the app.
    App,
    /// Those with this `plan_id`.
    Plan(String),
    /// Those with this `group_id`.
    Group(String),
}

/// A call of `POST /v3/statistics/get_push_group_stat_channel`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupQuery {
    /// The plan or the group; the plan where both are given.
    pub tally: Tally,
    /// The days on which its pushes start.
    pub days: Days,
}

impl GroupQuery {
    /// Reads a call made on the day `today`.
    ///
    /// # Errors
    /// Not JSON (1008001); neither plan nor group, or not both dates (1008002); a date that is none, the end before the
    /// start, or more than [`GROUP_DAYS`] ago (1008016).
    pub fn parse(body: &[u8], today: Day) -> Result<Self, Fault> {
        let whole = loose::body(body)?;
        let given = Members::top(&whole);
        let id = |member| Ok::<_, Fault>(given.text(member)?.filter(|id| id != "0"));
        let tally = match (id("planId")?, id("groupId")?) {
            (Some(plan), _) => Tally::Plan(plan),
            (None, Some(group)) => Tally::Group(group),
            (None, None) => return Err(Fault::missing("planId", "give it, or groupId")),
        };
        let days = Days::read(&given, GROUP, today)?.ok_or_else(|| Fault::missing("startDate", GIVE_DAYS))?;
        Ok(Self { tally, days })
    }
}

/// Reads a call of `POST /v3/statistics/get_push_channel_stat_overview` made on the day `today`.
///
/// # Errors
/// Not JSON (1008001); not both dates (1008002); a date that is none, the end before the start, or more than
/// [`OVERVIEW_DAYS`] ago (1008016).
pub fn overview_days(body: &[u8], today: Day) -> Result<Days, Fault> {
    days(body, OVERVIEW, today)
}

/// Reads a call of `POST /v3/statistics/get_device_stat_overview` made on the day `today`.
///
/// # Errors
/// As [`overview_days`].
pub fn device_days(body: &[u8], today: Day) -> Result<Days, Fault> {
    days(body, DEVICES, today)
}

fn days(body: &[u8], window: Window, today: Day) -> Result<Days, Fault> {
    let whole = loose::body(body)?;
    let days = Days::read(&Members::top(&whole), window, today)?;
    days.ok_or_else(|| Fault::missing("startDate", GIVE_DAYS))
}

/// Reads a call that is about one token, as it came: `POST /v3/toolbox/getPushListByToken`.
///
/// # Errors
/// Not JSON (1008001), no token (1008002).
pub fn one_token(body: &[u8]) -> Result<String, Fault> {
    let whole = loose::body(body)?;
    let token = Members::top(&whole).text("token")?;
    token.ok_or_else(|| Fault::missing("token", "give the token of a device of this app"))
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::ret::RetCode;

    /// 2023-11-16
    const TODAY: Day = Day(19_677);

    fn query(body: &Value) -> Result<PushRecordQuery, Fault> {
        PushRecordQuery::parse(body.to_string().as_bytes(), TODAY)
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
    fn days_are_named_by_their_dates_and_narrowed() {
        let body = json!({"pushId": "", "startDate": "2023-11-14", "endDate": "2023-11-15", "msgType": "notify",
            "pushType": "package_account_push", "offset": "10", "limit": 50});
        let days = PushRecordDays {
            days: Days { first: Day(19_675), last: Day(19_676), format: DayFormat::Dashed },
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
        assert_eq!(days.days.until(TODAY).collect::<Vec<_>>(), [Day(19_675)]);
    }

    #[test]
    fn each_call_looks_back_as_far_as_documented_and_in_its_own_format() {
        let code = |fault: Fault| fault.code.code();
        let record = |body: &Value| query(body).map(|_| ()).map_err(code);
        let group = |body: &Value| {
            let mut body = body.clone();
            body["planId"] = json!(7);
            GroupQuery::parse(body.to_string().as_bytes(), TODAY).map(|_| ()).map_err(code)
        };
        let overview = |body: &Value| overview_days(body.to_string().as_bytes(), TODAY).map(|_| ()).map_err(code);
        let devices = |body: &Value| device_days(body.to_string().as_bytes(), TODAY).map(|_| ()).map_err(code);
        type Call<'a> = &'a dyn Fn(&Value) -> Result<(), i32>;
        let calls: [(Call<'_>, i64, DayFormat); 5] = [
            (&record, 31, DayFormat::Dashed),
            (&group, 7, DayFormat::Compact),
            (&overview, 30, DayFormat::Compact),
            (&devices, 30, DayFormat::Compact),
            (&devices, 30, DayFormat::Dashed),
        ];
        for (call, window, format) in calls {
            let asked = |first: i64, last: i64| {
                let text = |day: i64| Day(TODAY.0 + day).text(format);
                call(&json!({"startDate": text(first), "endDate": text(last)}))
            };
            assert_eq!(asked(-window, 0), Ok(()));
            assert_eq!(asked(0, 1), Ok(()), "a day to come is none yet, and no fault");
            assert_eq!(asked(-window - 1, 0), Err(1_008_016));
            assert_eq!(asked(0, -1), Err(1_008_016));
            assert_eq!(call(&json!({"startDate": Day(TODAY.0).text(format)})), Err(1_008_002));
            assert_eq!(call(&json!({"startDate": "yesterday", "endDate": "today"})), Err(1_008_016));
        }
        assert_eq!(overview(&json!({"startDate": "2023-11-16", "endDate": "2023-11-16"})), Err(1_008_016));
        assert_eq!(overview(&json!({})), Err(1_008_002));
    }

    #[test]
    fn a_plan_or_a_group_is_asked_for_and_the_plan_counts() {
        let tally = |mut body: Value| {
            body["startDate"] = json!(20231116);
            body["endDate"] = json!("20231116");
            GroupQuery::parse(body.to_string().as_bytes(), TODAY).map(|query| query.tally).map_err(|fault| fault.code)
        };
        assert_eq!(tally(json!({"planId": "a", "groupId": "b"})), Ok(Tally::Plan("a".into())));
        assert_eq!(tally(json!({"planId": 0, "groupId": 12})), Ok(Tally::Group("12".into())));
        assert_eq!(tally(json!({"planId": "", "groupId": null})), Err(RetCode::Missing));
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
