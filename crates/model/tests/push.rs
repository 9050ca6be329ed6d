//! The calls of `POST /v3/push/app`, rule by rule: at its limit and one over.

use pigeonloft_model::account::AccountType;
use pigeonloft_model::push::ChannelRule;
use pigeonloft_model::{
    AccountPush, Audience, Channel, Environment, Expire, Fault, MessageType, Platform, Push, PushId, UploadId, Zone,
};
use serde_json::{Value, json};

/// 2023-11-15 06:13:20 in UTC+8.
const NOW: i64 = 1_700_000_000;
const ANDROID: Platform = Platform::Android;

/// A call with these members set over the least that is needed.
fn call(members: Value) -> Value {
    let mut body = json!({
        "audience_type": "package_account_push",
        "upload_id": 7,
        "message_type": "notify",
        "message": {"title": "t", "content": "c"},
    });
    for (name, value) in members.as_object().expect("members are an object") {
        body[name] = value.clone();
    }
    body
}

fn parse_on(platform: Platform, body: &Value) -> Result<Push, Fault> {
    Push::parse(body.to_string().as_bytes(), platform, NOW, Zone::CHINA)
}

fn push(members: Value) -> Push {
    parse_on(ANDROID, &call(members)).expect("the call is right")
}

fn code(members: Value) -> i32 {
    parse_on(ANDROID, &call(members)).err().map_or(0, |fault| fault.code.code())
}

fn tokens(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{n:036x}")).collect()
}

#[test]
fn what_is_not_said_has_the_documented_default() {
    let push = push(json!({}));
    assert_eq!(push.audience, Audience::AccountPackage(UploadId(7)));
    assert_eq!(push.message_type, MessageType::Notify);
    assert_eq!(push.environment, Environment::Product);
    assert_eq!(push.expire, Expire::Seconds(86_400));
    assert_eq!(push.send_at, None);
    assert_eq!(push.account_type, AccountType::default());
    assert_eq!(push.account_push, AccountPush::Latest);
    assert!(Channel::ALL.iter().all(|&channel| push.allows(channel)));
    assert_eq!((push.seq, push.collapse_id, push.push_speed, push.plan_id), (None, None, None, None));
}

#[test]
fn zeros_empties_and_nulls_of_a_loose_client_change_nothing() {
    let loose = json!({
        "platform": "", "environment": "", "push_speed": 0, "collapse_id": 0, "token_list": null, "account_list": [],
        "tag_list": null, "send_time": "", "account_type": 0, "account_push_type": 0, "force_collapse": false,
        "channel_rules": null, "tpns_online_push_type": 0, "multi_pkg": false, "plan_id": "", "group_id": "",
        "ignore_invalid_token": 0, "expire_time": null, "trace_id": "x", "seq": null,
        "loop_param": {"startDate": "", "endDate": "", "loopType": 0, "loopDayIndexs": [0], "dayTimes": null},
    });
    assert_eq!(push(loose), push(json!({})));
}

#[test]
fn numbers_may_be_texts() {
    let texts = json!({"upload_id": "7", "account_type": "991", "account_push_type": "1", "expire_time": "900",
        "push_speed": "1000", "collapse_id": "12"});
    let numbers = json!({"upload_id": 7, "account_type": 991, "account_push_type": 1, "expire_time": 900,
        "push_speed": 1000, "collapse_id": 12});
    assert_eq!(push(texts), push(numbers));
}

#[test]
fn what_every_push_needs_has_to_be_there() {
    for member in ["audience_type", "message_type", "message", "upload_id"] {
        let mut body = call(json!({}));
        body.as_object_mut().unwrap().remove(member);
        let fault = parse_on(ANDROID, &body).unwrap_err();
        assert_eq!(fault.code.code(), 1_008_002, "{member}");
        assert!(fault.text.starts_with(member), "{fault}");
        assert_eq!(code(json!({member: null})), 1_008_002, "{member}");
        assert_eq!(code(json!({member: ""})), 1_008_002, "{member}");
    }
    assert_eq!(code(json!({"audience_type": "everyone"})), 1_008_007);
    assert_eq!(code(json!({"message_type": "sms"})), 1_008_007);
    assert_eq!(code(json!({"message_type": 1})), 1_008_007);
    assert_eq!(code(json!({"message": "text"})), 1_008_001);
}

#[test]
fn an_upload_id_is_a_positive_int32() {
    for (id, expected) in [
        (json!(1), 0),
        (json!(i32::MAX), 0),
        (json!(0), 1_008_002),
        (json!(-1), 1_008_007),
        (json!(2_147_483_648_i64), 1_008_007),
        (json!("x"), 1_008_001),
    ] {
        assert_eq!(code(json!({"upload_id": id})), expected, "{id}");
    }
    assert_eq!(push(json!({"audience_type": "package_token_push"})).audience, Audience::TokenPackage(UploadId(7)));
}

#[test]
fn expire_time_follows_the_table() {
    for (given, expected) in [
        (json!(0), Some(Expire::OnlineOnly)),
        (json!("0"), Some(Expire::OnlineOnly)),
        (json!(1), Some(Expire::Seconds(800))),
        (json!(799), Some(Expire::Seconds(800))),
        (json!(800), Some(Expire::Seconds(800))),
        (json!(801), Some(Expire::Seconds(801))),
        (json!(259_200), Some(Expire::Seconds(259_200))),
        (json!(""), Some(Expire::Seconds(86_400))),
        (json!(259_201), None),
        (json!(-1), None),
    ] {
        match expected {
            Some(expire) => assert_eq!(push(json!({"expire_time": given})).expire, expire, "{given}"),
            None => assert_eq!(code(json!({"expire_time": given})), 1_008_007, "{given}"),
        }
    }
    assert_eq!(code(json!({"expire_time": "soon"})), 1_008_001);
}

#[test]
fn a_push_starts_at_its_send_time_or_now() {
    for (text, expected) in [
        ("2023-11-15 06:13:20", Ok(None)),
        ("2023-11-15 06:13:21", Ok(Some(NOW + 1))),
        ("1999-01-01 00:00:00", Ok(None)),
        ("2024-02-13 06:13:20", Ok(Some(NOW + 90 * 86_400))),
        ("2024-02-13 06:13:21", Err(10_010_012)),
        ("2024-02-30 00:00:00", Err(10_010_012)),
        ("2024-02-13", Err(10_010_012)),
        ("2024-02-13T06:13:20", Err(10_010_012)),
        ("2024-2-13 6:13:20", Err(10_010_012)),
        ("2024-02-13 24:00:00", Err(10_010_012)),
        ("tomorrow", Err(10_010_012)),
    ] {
        let given = parse_on(ANDROID, &call(json!({"send_time": text})));
        assert_eq!(given.map(|push| push.send_at).map_err(|fault| fault.code.code()), expected, "{text}");
    }
    let utc = Push::parse(
        call(json!({"send_time": "2023-11-15 06:13:21"})).to_string().as_bytes(),
        ANDROID,
        NOW,
        "Z".parse().unwrap(),
    );
    assert_eq!(utc.unwrap().send_at, Some(NOW + 8 * 3_600 + 1));
}

#[test]
fn only_a_package_can_be_sent_later_paced_or_collapsed() {
    let with = |members: Value| {
        let mut members = members;
        members["audience_type"] = json!("token_list");
        members["token_list"] = json!(tokens(1));
        members
    };
    assert_eq!(code(with(json!({"send_time": "2023-11-16 00:00:00"}))), 10_010_012);
    assert_eq!(code(with(json!({"send_time": "2023-11-15 00:00:00"}))), 0, "past is now");
    let push = push(with(json!({"push_speed": 2_000, "collapse_id": 5})));
    assert_eq!((push.push_speed, push.collapse_id), (None, None));
    assert_eq!(code(with(json!({"push_speed": 999}))), 1_008_007);
}

#[test]
fn push_speed_and_collapse_id_stay_in_their_ranges() {
    for (speed, expected) in [(1_000, 0), (50_000, 0), (999, 1_008_007), (50_001, 1_008_007), (-1, 1_008_007)] {
        assert_eq!(code(json!({"push_speed": speed})), expected, "{speed}");
    }
    assert_eq!(push(json!({"collapse_id": 12})).collapse_id, Some(PushId(12)));
    assert_eq!(code(json!({"collapse_id": -1})), 1_008_007);
}

#[test]
fn a_list_has_1_to_1000_different_elements_in_their_order() {
    let list = |kind: &str, list: Value| code(json!({"audience_type": kind, kind: list}));
    for kind in ["token_list", "account_list"] {
        assert_eq!(list(kind, json!(tokens(1_000))), 0);
        assert_eq!(list(kind, json!(tokens(1_001))), 1_008_007);
        assert_eq!(list(kind, json!([])), 1_008_002);
        assert_eq!(list(kind, json!([""])), 1_008_002);
        assert_eq!(list(kind, json!("x")), 1_008_001);
        assert_eq!(list(kind, json!(["x", {}])), 1_008_001);
    }
    let push = push(json!({"audience_type": "account_list", "account_list": ["b", " a ", "b", 12, "", "a"]}));
    assert_eq!(push.audience, Audience::AccountList(vec!["b".into(), "a".into(), "12".into()]));
}

#[test]
fn a_text_that_is_no_token_stays_in_the_list() {
    let push = push(json!({"audience_type": "token_list", "token_list": ["nonsense", "A"], "ignore_invalid_token": 1}));
    assert_eq!(push.audience.tokens(), ["nonsense", "A"]);
    assert!(push.ignore_invalid_token);
    assert_eq!(code(json!({"ignore_invalid_token": 2})), 1_008_007);
}

#[test]
fn a_single_push_takes_the_first_of_the_list_only() {
    let one = push(json!({"audience_type": "token", "token_list": tokens(1_500)}));
    assert_eq!(one.audience, Audience::Token(tokens(1).remove(0)));
    let one = push(json!({"audience_type": "account", "account_list": ["ab", {"not": "looked at"}]}));
    assert_eq!(one.audience, Audience::Account("ab".into()));
    assert_eq!(code(json!({"audience_type": "account", "account_list": [null, "ab"]})), 1_008_002);
}

#[test]
fn a_push_to_all_or_by_tag_is_stored_under_its_name() {
    for (members, stored) in [
        (json!({"audience_type": "all", "tag_rules": [{"tag_items": [{"tags": ["a"]}]}]}), json!({"all": {}})),
        (
            json!({"audience_type": "tag", "tag_list": {"tags": ["a"], "op": ""}}),
            json!({"tag": [{"tag_items": [{"tags": ["a"], "tags_operator": "OR", "items_operator": "OR",
                "is_not": false, "tag_type": "xg_user_define"}], "operator": "OR", "is_not": false}]}),
        ),
    ] {
        let push = push(members);
        let text: Value = serde_json::from_str(&push.to_stored()).unwrap();
        assert_eq!(text["audience"], stored);
        assert_eq!(Push::from_stored(&push.to_stored()).unwrap(), push);
    }
    assert_eq!(code(json!({"audience_type": "tag", "tag_rules": []})), 1_008_002);
}

#[test]
fn account_type_and_account_push_type_are_those_of_the_table() {
    for (kind, expected) in [
        (json!(16), 0),
        (json!(17), 1_008_007),
        (json!(990), 1_008_007),
        (json!("1015"), 0),
        (json!(1016), 1_008_007),
        (json!(-1), 1_008_007),
    ] {
        assert_eq!(code(json!({"account_type": kind})), expected, "{kind}");
    }
    assert_eq!(push(json!({"account_push_type": 1})).account_push, AccountPush::All);
    assert_eq!(code(json!({"account_push_type": 2})), 1_008_007);
}

#[test]
fn a_channel_is_on_unless_a_rule_disables_it() {
    let push = push(json!({"channel_rules": [
        {"channel": "xg", "disable": "1"}, {"channel": "fcm", "disable": true}, {"channel": "fcm", "disable": false}, {"channel": ""}, {},
    ]}));
    let rule = |channel, disable| ChannelRule { channel, disable };
    assert_eq!(push.channel_rules, [rule(Channel::Xg, true), rule(Channel::Fcm, false)], "one for a channel");
    assert!(!push.allows(Channel::Xg));
    assert!(push.allows(Channel::Fcm), "the later rule counts");
    assert!(push.allows(Channel::Apns));
    assert_eq!(code(json!({"channel_rules": [{"channel": "sms", "disable": true}]})), 1_008_007);
    assert_eq!(code(json!({"channel_rules": ["xg"]})), 1_008_001);
}

#[test]
fn environment_counts_on_apples_platforms_only() {
    let body = call(json!({"environment": "dev"}));
    assert_eq!(parse_on(Platform::Ios, &body).unwrap().environment, Environment::Dev);
    assert_eq!(parse_on(ANDROID, &body).unwrap().environment, Environment::Product);
    assert_eq!(parse_on(Platform::Macos, &call(json!({"environment": "test"}))).unwrap_err().code.code(), 1_008_007);
}

#[test]
fn a_seq_is_echoed_if_it_is_a_number_or_a_short_text() {
    for (given, echoed) in [
        (json!(5), true),
        (json!(0), true),
        (json!("a"), true),
        (json!("a".repeat(257)), false),
        (json!({"a": 1}), false),
    ] {
        assert_eq!(push(json!({"seq": given})).seq, Some(given.clone()).filter(|_| echoed), "{given}");
    }
}

#[test]
fn a_plan_id_and_a_group_id_have_at_most_64_characters() {
    assert_eq!(push(json!({"plan_id": 12})).plan_id.as_deref(), Some("12"));
    assert_eq!(code(json!({"plan_id": "a".repeat(64)})), 0);
    assert_eq!(code(json!({"plan_id": "a".repeat(65)})), 1_008_007);
    assert_eq!(push(json!({"group_id": "g"})).group_id.as_deref(), Some("g"));
    assert_eq!(code(json!({"group_id": "a".repeat(64)})), 0);
    assert_eq!(code(json!({"group_id": "a".repeat(65)})), 1_008_007);
}

#[test]
fn a_body_that_is_not_one_json_object_is_unparsable() {
    for body in ["", "[]", "{", "null", r#"{"audience_type":"token""#] {
        let fault = Push::parse(body.as_bytes(), ANDROID, NOW, Zone::CHINA).unwrap_err();
        assert_eq!(fault.code.code(), 1_008_001, "{body}");
    }
}
