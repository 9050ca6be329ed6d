//! When: the occurrences of a loop against a calendar that walks from day to day by itself, and the parts of a day in
//! which a message may go out against a clock that is looked at every minute.

use pigeonloft_model::message::{AcceptTime, TimeOfDay};
use pigeonloft_model::{AcceptMinutes, Fault, Occurrences, Platform, Push, Zone};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Wednesday, 2023-11-15 06:13:20 in UTC+8.
const NOW: i64 = 1_700_000_000;
const DAY: i64 = 86_400;

fn push(members: &Value, now: i64, zone: Zone) -> Result<Push, Fault> {
    let mut body = json!({
        "audience_type": "package_account_push", "upload_id": 7, "message_type": "notify",
        "message": {"title": "t", "content": "c"},
    });
    for (name, value) in members.as_object().expect("members are an object") {
        body[name] = value.clone();
    }
    Push::parse(body.to_string().as_bytes(), Platform::Android, now, zone)
}

fn repeated(rule: &Value) -> Result<Occurrences, Fault> {
    push(&json!({ "loop_param": rule }), NOW, Zone::CHINA).map(|push| push.occurrences.expect("it is a loop"))
}

fn times(rule: &Value) -> Vec<String> {
    let found = repeated(rule).unwrap_or_else(|fault| panic!("{rule}: {fault}"));
    found.times.into_iter().map(|time| Zone::CHINA.text(time)).collect()
}

fn refused(rule: &Value, code: i32, says: &str) {
    let fault = repeated(rule).expect_err("it is refused");
    assert_eq!(fault.code.code(), code, "{fault}");
    assert!(fault.text.contains(says), "{fault}");
}

fn with(rule: &Value, member: &str, value: Value) -> Value {
    let mut rule = rule.clone();
    rule[member] = value;
    rule
}

#[test]
fn a_daily_loop_starts_at_each_time_of_each_day_that_is_not_past() {
    let rule = json!({"startDate": "2023-11-14", "endDate": "2023-11-16", "loopType": 1, "loopDayIndexs": [0],
        "dayTimes": ["18:00:00", "06:13:19", "06:13:20", "18:00:00"]});
    assert_eq!(
        times(&rule),
        [
            "2023-11-15 06:13:20",
            "2023-11-15 18:00:00",
            "2023-11-16 06:13:19",
            "2023-11-16 06:13:20",
            "2023-11-16 18:00:00"
        ]
    );
    // As the published clients send it, in another spelling and with indexes it does not need.
    let mut loose = with(&rule, "loopType", json!("1"));
    loose["loopDayIndexs"] = json!([1, 2, 3, 4]);
    loose["DayTimes"] = loose["dayTimes"].take();
    assert_eq!(times(&loose), times(&rule));
}

#[test]
fn a_weekly_loop_counts_days_from_sunday() {
    let rule = json!({"startDate": "2023-11-15", "endDate": "2023-11-26", "loopType": 2, "loopDayIndexs": [0, "6"],
        "dayTimes": ["09:30:00"]});
    let weekends = ["2023-11-18 09:30:00", "2023-11-19 09:30:00", "2023-11-25 09:30:00", "2023-11-26 09:30:00"];
    assert_eq!(times(&rule), weekends);
    refused(&with(&rule, "loopDayIndexs", json!([7])), 1_008_007, "loop_param.loopDayIndexs[0]");
    refused(&with(&rule, "loopDayIndexs", json!([])), 1_008_002, "loop_param.loopDayIndexs");
}

#[test]
fn a_monthly_loop_skips_days_a_month_does_not_have_and_says_so() {
    let rule = json!({"startDate": "2023-11-15", "endDate": "2024-02-13", "loopType": 3, "loopDayIndexs": [31, 1],
        "dayTimes": ["09:00:00"]});
    let found = repeated(&rule).unwrap();
    let expected = ["2023-12-01", "2023-12-31", "2024-01-01", "2024-01-31", "2024-02-01"];
    assert_eq!(
        found.times.iter().map(|time| Zone::CHINA.text(*time)).collect::<Vec<_>>(),
        expected.map(|day| format!("{day} 09:00:00"))
    );
    assert_eq!(found.skipped, ["2023-11-31"], "February does not end before the loop does");
    refused(&with(&rule, "loopDayIndexs", json!([0])), 1_008_007, "1");
    refused(&with(&rule, "loopDayIndexs", json!([32])), 1_008_007, "31");
}

#[test]
fn a_loop_ends_within_90_days_and_starts_at_most_1000_times() {
    let rule = json!({"startDate": "2023-11-15", "endDate": "2024-02-13", "loopType": 1, "dayTimes": ["23:00:00"]});
    assert_eq!(times(&rule).len(), 91);
    refused(&with(&rule, "endDate", json!("2024-02-14")), 10_010_012, "the last possible is 2024-02-13");
    let many = |count: usize| {
        let times: Vec<_> = (0..count).map(|n| format!("23:{:02}:{:02}", n / 60, n % 60)).collect();
        with(&with(&rule, "endDate", json!("2023-11-15")), "dayTimes", json!(times))
    };
    assert_eq!(times(&many(1000)).len(), Occurrences::MAX);
    refused(&many(1001), 10_010_012, "more than 1000 times");
}

#[test]
fn a_loop_that_cannot_be_carried_out_is_refused_in_words() {
    let rule = json!({"startDate": "2023-11-15", "endDate": "2023-11-16", "loopType": 1, "dayTimes": ["06:00:00"]});
    refused(&with(&rule, "endDate", json!("2023-11-15")), 10_010_012, "at no time from now on");
    refused(&with(&rule, "startDate", json!("2023-11-17")), 10_010_012, "swap them");
    refused(&with(&rule, "startDate", json!("15.11.2023")), 10_010_012, "startDate is \"15.11.2023\"");
    refused(&with(&rule, "dayTimes", json!(["6:00"])), 10_010_012, "dayTimes[0] is \"6:00\"");
    refused(&with(&rule, "loopType", json!(4)), 1_008_007, "loop_param.loopType");
    for member in ["startDate", "endDate", "loopType", "dayTimes"] {
        refused(&with(&rule, member, Value::Null), 1_008_002, &format!("loop_param.{member}"));
    }
    let single = json!({"audience_type": "token", "token_list": ["0".repeat(36)], "loop_param": rule});
    assert_eq!(push(&single, NOW, Zone::CHINA).unwrap_err().code.code(), 10_010_012);
}

#[test]
fn a_loop_of_zeros_is_none_and_one_that_is_set_says_all_of_when() {
    let zeros = json!({"startDate": "", "endDate": "", "loopType": 0, "loopDayIndexs": null, "dayTimes": []});
    let push_of = |members: Value| push(&members, NOW, Zone::CHINA).unwrap();
    assert_eq!(push_of(json!({"loop_param": zeros})).occurrences, None);
    let rule = json!({"startDate": "2023-11-15", "endDate": "2023-11-15", "loopType": 1, "dayTimes": ["07:00:00"]});
    let push = push_of(json!({"loop_param": rule, "send_time": "2023-11-15 08:00:00"}));
    assert_eq!((push.send_at, push.occurrences.unwrap().times.len()), (None, 1));
}

/// A calendar that knows leap years and nothing else: year, month, day and day of the week from Sunday.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug)]
struct Naive(i64, i64, i64, i64);

impl Naive {
    const EPOCH: Self = Self(1970, 1, 1, 4);

    fn month_length(self) -> i64 {
        let is_leap = self.0 % 4 == 0 && (self.0 % 100 != 0 || self.0 % 400 == 0);
        [31, 28 + i64::from(is_leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][self.1 as usize - 1]
    }

    fn next(self) -> Self {
        let Self(year, month, day, weekday) = self;
        let weekday = (weekday + 1) % 7;
        match (month, day) {
            (12, 31) => Self(year + 1, 1, 1, weekday),
            _ if day == self.month_length() => Self(year, month + 1, 1, weekday),
            _ => Self(year, month, day + 1, weekday),
        }
    }

    fn after(days: i64) -> Self {
        (0..days).fold(Self::EPOCH, |date, _| date.next())
    }

    fn text(self) -> String {
        format!("{:04}-{:02}-{:02}", self.0, self.1, self.2)
    }
}

fn zone(minutes: i64) -> Zone {
    let sign = if minutes < 0 { '-' } else { '+' };
    format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60).parse().expect("a zone")
}

proptest! {
    /// Any day between 2000 and 2100, any time of it, in any zone.
    #[test]
    fn occurrences_are_those_of_a_naive_calendar(
        now in 946_684_800_i64..4_102_444_800,
        minutes in -23 * 60..23 * 60_i64,
        begins in -40..90_i64,
        lasts in 0..90_i64,
        kind in 1..=3_i64,
        indexes in proptest::collection::btree_set(1..=31_i64, 1..5),
        at in proptest::collection::btree_set(0..DAY, 1..4),
    ) {
        let indexes: Vec<i64> = if kind == 2 { indexes.into_iter().map(|day| day % 7).collect() } else { indexes.into_iter().collect() };
        let today = (now + minutes * 60).div_euclid(DAY);
        let (first, last) = (today + begins, (today + begins + lasts).min(today + 90));
        let rule = json!({
            "startDate": Naive::after(first).text(), "endDate": Naive::after(last).text(), "loopType": kind,
            "loopDayIndexs": indexes,
            "dayTimes": at.iter().map(|at| format!("{:02}:{:02}:{:02}", at / 3600, at / 60 % 60, at % 60)).collect::<Vec<_>>(),
        });
        let (mut expected, mut skipped) = (Vec::new(), Vec::new());
        let mut date = Naive::after(first);
        for day in first..=last {
            let takes = match kind {
                1 => true,
                2 => indexes.contains(&date.3),
                _ => indexes.contains(&date.2),
            };
            if takes {
                let moments = at.iter().map(|at| day * DAY + at - minutes * 60);
                expected.extend(moments.filter(|moment| *moment >= now));
            }
            if kind == 3 && date.2 == date.month_length() && day >= today {
                let missing = indexes.iter().filter(|index| **index > date.2);
                skipped.extend(missing.map(|index| Naive(date.0, date.1, *index, 0).text()));
            }
            date = date.next();
        }
        match push(&json!({ "loop_param": rule }), now, zone(minutes)) {
            Ok(push) => prop_assert_eq!(push.occurrences, Some(Occurrences { times: expected, skipped })),
            Err(fault) => {
                prop_assert!(expected.is_empty(), "{}", fault);
                prop_assert_eq!(fault.code.code(), 10_010_012);
            }
        }
    }

    #[test]
    fn accept_minutes_are_those_of_a_clock_looked_at_every_minute(
        parts in proptest::collection::vec((0..24_u8, 0..60_u8, 0..24_u8, 0..60_u8), 0..4),
        now in -4_102_444_800_i64..4_102_444_800,
        offset in -23 * 60..23 * 60_i64,
    ) {
        let time = |hour, min| TimeOfDay { hour, min };
        let parts: Vec<AcceptTime> =
            parts.into_iter().map(|(h, m, to_h, to_m)| AcceptTime { start: time(h, m), end: time(to_h, to_m) }).collect();
        let accept = AcceptMinutes::of(&parts);
        // Whether a clock that shows this is past the start of a part and not past its end.
        let is_open = |shown: (u8, u8)| parts.is_empty() || parts.iter().any(|part| {
            let (start, end) = ((part.start.hour, part.start.min), (part.end.hour, part.end.min));
            if start < end { start <= shown && shown < end } else { shown >= start || shown < end }
        });
        let starts: Vec<u16> = accept.iter().flat_map(|accept| accept.spans()).map(|span| span.0).collect();
        let mut opened = Vec::new();
        for n in 0..1440 {
            let moment = now + n * 60;
            let shown = Zone::text(zone(offset), moment);
            let shown = (shown[11..13].parse().unwrap(), shown[14..16].parse().unwrap());
            let minute = zone(offset).minute_of_day(moment);
            prop_assert_eq!(minute, u16::from(shown.0) * 60 + u16::from(shown.1));
            let before = if minute.is_multiple_of(60) { ((minute / 60 + 23) % 24, 59) } else { (minute / 60, minute % 60 - 1) };
            prop_assert_eq!(accept.as_ref().is_none_or(|accept| accept.contains(minute)), is_open(shown));
            if is_open(shown) && !is_open((before.0 as u8, before.1 as u8)) {
                opened.push(minute);
            }
        }
        opened.sort_unstable();
        prop_assert_eq!(starts, opened);
    }
}
