//! Any bytes as the body of a push, account, attribute or statistics call.
//!
//! The first byte picks the platform, the rest is the body. Reading it never panics; a push that is taken survives
//! being stored, keeps within its limits, and has a payload that is JSON; a refusal is a short text on one line.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pigeonloft_model::{
    AccountOperation, AccountQuery, AttributeCall, Audience, Day, DeviceId, Expire, Fault, Occurrences, Payload, Piece,
    Platform, Push, PushId, PushRecordQuery, Zone, statistics, text,
};

const NOW: i64 = 1_700_000_000;

fuzz_target!(|input: &[u8]| {
    let Some((&pick, body)) = input.split_first() else { return };
    let platform = Platform::ALL[usize::from(pick) % Platform::ALL.len()];
    match Push::parse(body, platform, NOW, Zone::CHINA) {
        Ok(mut push) => match push.occurrences.take() {
            None => {
                assert!(push.send_at.is_none_or(|at| at > NOW));
                taken(&push);
            }
            Some(Occurrences { times, .. }) => {
                assert!((1..=Occurrences::MAX).contains(&times.len()) && times[0] >= NOW && times.is_sorted());
                // What is stored of a repeated push: each occurrence by itself.
                push.send_at = times.last().copied();
                taken(&push);
            }
        },
        Err(fault) => refused(&fault),
    }
    match AccountOperation::parse(body) {
        Ok(AccountOperation::Bind(pairs) | AccountOperation::Unbind(pairs)) => {
            assert!((1..=AccountOperation::PAIRS_MAX).contains(&pairs.len()));
            for pair in pairs {
                match pair {
                    Ok(pair) => assert!(!pair.accounts.is_empty()),
                    Err(fault) => refused(&fault),
                }
            }
        }
        Ok(AccountOperation::UnbindTokens(list)) => {
            assert!((1..=AccountOperation::LIST_MAX).contains(&list.len()));
            list.iter().filter_map(|element| element.as_ref().err()).for_each(refused);
        }
        Ok(AccountOperation::UnbindAccounts(list)) => {
            assert!((1..=AccountOperation::LIST_MAX).contains(&list.len()));
            list.iter().filter_map(|element| element.as_ref().err()).for_each(refused);
        }
        Err(fault) => refused(&fault),
    }
    if let Err(fault) = AccountQuery::parse(body) {
        refused(&fault);
    }
    if let Err(fault) = AttributeCall::parse(body) {
        refused(&fault);
    }
    match PushRecordQuery::parse(body, Day(19_676)) {
        Ok(PushRecordQuery::One(push)) => assert!(push.0 > 0),
        Ok(PushRecordQuery::Days(days)) => assert!(days.days.first <= days.days.last && (1..=200).contains(&days.limit)),
        Err(fault) => refused(&fault),
    }
    match statistics::one_push(body) {
        Ok(push) => assert!(push.0 > 0),
        Err(fault) => refused(&fault),
    }
});

fn taken(push: &Push) {
    let stored = push.to_stored();
    let back = Push::from_stored(&stored).expect("what was stored is read");
    assert_eq!(&back, push);
    assert_eq!(back.to_stored(), stored);
    assert!(push.audience.tokens().len().max(push.audience.accounts().len()) <= Audience::LIST_MAX);
    let deadline = push.expire.deadline(NOW);
    assert!((NOW + i64::from(Expire::MIN)..=NOW + i64::from(Expire::MAX)).contains(&deadline));

    let payload = Payload::new(PushId(7), push, NOW, deadline);
    let json: serde_json::Value = serde_json::from_slice(&payload.for_device(DeviceId(12))).expect("a payload is JSON");
    assert_eq!(json["msg_id"], "7-12");
    assert_eq!(json["push_id"], "7");
    assert_eq!(json["title"], with_defaults(&push.message.title));
    let _ = push.message.check_attributes(&["name".to_owned()]).map_err(|fault| refused(&fault));
    assert_eq!(Payload::from_stored(payload.as_stored()), Ok(payload));
}

/// A text as a device without attributes gets it.
fn with_defaults(text: &str) -> String {
    let plain = |piece| match piece {
        Piece::Plain(plain) => plain,
        Piece::Attribute { default, .. } => default,
    };
    text::pieces(text).map(plain).collect()
}

fn refused(fault: &Fault) {
    assert_ne!(fault.code.code(), 0);
    assert!(!fault.text.is_empty() && fault.text.len() < 1_024, "{}", fault.text);
    assert!(!fault.text.chars().any(char::is_control), "{:?}", fault.text);
}
