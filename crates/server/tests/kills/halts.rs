//! Halts: pushes that their customers stop or revoke, and what must have become of them.

use std::collections::BTreeSet;

use pigeonloft_testkit::{Phone, until};
use serde_json::{Value, json};

use crate::customer::Customer;
use crate::ledger::{Fate, Push};

/// What a customer does to a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Stop,
    Revoke,
}

/// A push that was to be halted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Halt {
    pub(crate) how: How,
    /// Whether the server said that it is; else it may be or not.
    pub(crate) answered: bool,
}

impl How {
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Stop => "/v3/push/stop_push_msg",
            Self::Revoke => "/v3/push/revoke_push_msg",
        }
    }

    fn state(self) -> &'static str {
        match self {
            Self::Stop => "PUSH_DELETED_PUSH_MSG",
            Self::Revoke => "PUSH_REVOKED",
        }
    }
}

impl Halt {
    /// Whether the push is halted, as it is shown. One of which that was answered is.
    pub(crate) fn is_kept(self, shown: &Value) -> bool {
        let is_kept = shown["state"] == self.how.state();
        assert!(is_kept || !self.answered, "{self:?} was answered: {shown}");
        is_kept
    }
}

/// Waits until a halted push has come to its end, its revocation too, and answers how it is shown then.
pub(crate) fn wait_for_the_end(customer: &Customer, push: &Push) -> Value {
    let id = push.fate.id().expect("every fate is decided");
    let has_ended = |shown: &Value| shown["finished_at"].is_number() && shown["outcomes"]["waiting"] == 0;
    let shown = until(&format!("push {id} comes to the end it was put to"), || {
        let shown = customer.app.progress(id);
        let by = &shown["revocation"];
        (has_ended(&shown) && (by.is_null() || has_ended(by))).then_some(shown)
    });
    let count = |name: &str| shown["outcomes"][name].as_u64().expect("a number");
    assert_eq!(Some(count("arrived") + count("stopped")), shown["targets"].as_u64(), "{shown}");
    assert!(shown["targets"].as_u64() <= Some(push.phones.len() as u64), "{shown}");
    assert!(shown["receipts"]["shown"].as_u64() <= shown["targets"].as_u64(), "{shown}");
    shown
}

/// Some phones of a halted push have it, each once, and nobody else; of a revoked one, those by whose word it has arrived
/// were told to take it back, once.
pub(crate) fn assert_at_most_once_each(phones: &[Phone], push: &Push, shown: &Value) {
    let id = push.fate.id().expect("every fate is decided");
    let holders = holders(phones, id);
    assert!(holders.iter().all(|place| push.phones.contains(place)), "push {id} reached {holders:?}: {shown}");
    assert!(shown["outcomes"]["arrived"].as_u64() <= Some(holders.len() as u64), "{holders:?} {shown}");
    let by = &shown["revocation"];
    let Some(by_id) = by["push_id"].as_str() else { return };
    let told = self::holders(phones, by_id);
    // Among them may be one that was sent the message and cut the connection before it came.
    assert!(told.iter().all(|place| push.phones.contains(place)), "of push {id} {told:?} are told: {shown}");
    let told = told.len() as u64;
    assert_eq!((&by["targets"], &by["outcomes"]["arrived"]), (&json!(told), &json!(told)), "{shown}");
    assert!(shown["outcomes"]["arrived"].as_u64() <= Some(told), "{shown}");
}

/// Places of the phones that have a message of a push, by one id each.
fn holders(phones: &[Phone], push_id: &str) -> BTreeSet<usize> {
    let mut ids = BTreeSet::new();
    let mut holders = BTreeSet::new();
    for (place, phone) in phones.iter().enumerate() {
        let (of_phone, _) = phone.of_push(push_id);
        assert!(of_phone.len() <= 1, "phone {place} has {of_phone:?} of push {push_id}");
        if !of_phone.is_empty() {
            holders.insert(place);
        }
        ids.extend(of_phone);
    }
    assert_eq!(ids.len(), holders.len(), "no id is that of two devices");
    holders
}

/// The push by which a revoked one is taken back.
pub(crate) fn revocation(push: &Push, shown: &Value) -> Option<Push> {
    let id = shown["revocation"]["push_id"].as_str()?;
    Some(Push {
        title: format!("revocation of {}", push.title),
        fate: Fate::Found(id.to_owned()),
        phones: push.phones.clone(),
        ..*push
    })
}
