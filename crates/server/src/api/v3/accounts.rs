//! Accounts: the calls that bind them to tokens, take them off, and ask for them both ways.
//!
//! Each call is a batch, and answers a code for each element in the order they came. A bad element never touches its
//! neighbours: the good ones are done together, in one transaction.

use std::sync::Arc;

use bytes::Bytes;
use pigeonloft_model::account::Elements;
use pigeonloft_model::{Account, AccountOperation, AccountQuery, AccountType, Fault, RetCode, Token, TokenAccounts};
use pigeonloft_store::{AccountKey, App, Bound};
use serde_json::{Map, Value, json};

use super::super::answer::Answer;
use crate::auth::internal;
use crate::loft::Loft;

/// Failed elements an answer's text names; it counts the rest.
const NAMED: usize = 10;

/// `POST /v3/device/account/batchoperate`: binds and unbinds.
pub(super) async fn operate(loft: Arc<Loft>, app: Arc<App>, body: Bytes) -> Result<Answer, Fault> {
    let (store, id) = (&loft.store, app.access_id);
    let verdicts = match AccountOperation::parse(&body)? {
        AccountOperation::Bind(elements) => {
            let (mut verdicts, pairs) = Verdicts::of("token_accounts", elements);
            let bound = store.bind_accounts(id, pairs.into_iter().map(pair).collect()).await;
            verdicts.judge(bound.map_err(|error| internal(&error))?.into_iter().map(unknown_token));
            verdicts
        }
        AccountOperation::Unbind(elements) => {
            let (mut verdicts, pairs) = Verdicts::of("token_accounts", elements);
            let unbound = store.unbind_accounts(id, pairs.into_iter().map(pair).collect()).await;
            verdicts.judge(unbound.map_err(|error| internal(&error))?.into_iter().map(unknown_token));
            verdicts
        }
        AccountOperation::UnbindTokens(elements) => {
            let (mut verdicts, tokens) = Verdicts::of("token_list", elements);
            let unbound = store.unbind_tokens(id, texts(&tokens)).await;
            verdicts.judge(unbound.map_err(|error| internal(&error))?.into_iter().map(unknown_token));
            verdicts
        }
        // An account that is bound to nothing is what the caller asks for: no element of this can fail any more.
        AccountOperation::UnbindAccounts(elements) => {
            let (verdicts, accounts) = Verdicts::of("account_list", elements);
            let unbound = store.unbind_everywhere(id, accounts.into_iter().map(key).collect()).await;
            unbound.map_err(|error| internal(&error))?;
            verdicts
        }
    };
    Ok(verdicts.answer(Map::new()))
}

/// `POST /v3/device/account/query`: the tokens of accounts, or the accounts of tokens. What is not found has its code in
/// `result` and no element in the list.
pub(super) async fn query(loft: Arc<Loft>, app: Arc<App>, body: Bytes) -> Result<Answer, Fault> {
    let (store, id) = (&loft.store, app.access_id);
    let mut members = Map::new();
    let verdicts = match AccountQuery::parse(&body)? {
        AccountQuery::Tokens(elements) => {
            let (mut verdicts, accounts) = Verdicts::of("account_list", elements);
            let found = store.tokens_of_accounts(id, accounts.into_iter().map(key).collect()).await;
            let found = found.map_err(|error| internal(&error))?;
            verdicts.judge(found.iter().map(|(_, tokens)| {
                tokens.is_empty().then_some((RetCode::NotFound, "no device is bound to this account"))
            }));
            let found = found.into_iter().filter(|(_, tokens)| !tokens.is_empty());
            let found = found.map(|(account, tokens)| {
                json!({ "account": account.name, "account_type": account.account_type, "token_list": tokens })
            });
            members.insert("account_tokens".into(), found.collect());
            verdicts
        }
        AccountQuery::Accounts(elements) => {
            let (mut verdicts, tokens) = Verdicts::of("token_list", elements);
            let found = store.accounts_of_tokens(id, texts(&tokens)).await.map_err(|error| internal(&error))?;
            verdicts.judge(found.iter().map(|(_, accounts)| {
                accounts.is_none().then_some((RetCode::NotFound, "no device of this app has this token"))
            }));
            let found = found.into_iter().filter_map(|(token, accounts)| {
                let accounts: Value = accounts?.into_iter().map(account).collect();
                Some(json!({ "token": token, "account_list": accounts }))
            });
            members.insert("token_accounts".into(), found.collect());
            verdicts
        }
    };
    Ok(verdicts.answer(members))
}

fn pair(pair: TokenAccounts) -> (String, Vec<AccountKey>) {
    (pair.token.to_string(), pair.accounts.into_iter().map(key).collect())
}

fn key(account: Account) -> AccountKey {
    AccountKey { account_type: AccountType::code(account.kind), name: account.name }
}

fn texts(tokens: &[Token]) -> Vec<String> {
    tokens.iter().map(ToString::to_string).collect()
}

fn account(account: AccountKey) -> Value {
    json!({ "account": account.name, "account_type": account.account_type })
}

/// The published answers have 1008006 for every token that cannot be used, malformed and unknown alike.
fn unknown_token(bound: Bound) -> Option<(RetCode, &'static str)> {
    match bound {
        Bound::Done => None,
        Bound::UnknownToken => {
            Some((RetCode::InvalidToken, "no device of this app has this token; register or import it first"))
        }
    }
}

/// What is to be said of each element of a batch.
struct Verdicts {
    /// The member the elements came in.
    list: &'static str,
    faults: Vec<Option<Fault>>,
}

impl Verdicts {
    /// Parts the good elements of a batch from the bad ones.
    fn of<T>(list: &'static str, elements: Elements<T>) -> (Self, Vec<T>) {
        let mut good = Vec::with_capacity(elements.len());
        let faults = elements.into_iter().map(|element| element.map(|element| good.push(element)).err()).collect();
        (Self { list, faults }, good)
    }

    /// Takes in what became of the good elements, in their order: `None` is well.
    fn judge(&mut self, good: impl Iterator<Item = Option<(RetCode, &'static str)>>) {
        let list = self.list;
        let places = self.faults.iter_mut().enumerate().filter(|(_, fault)| fault.is_none());
        for ((place, fault), verdict) in places.zip(good) {
            *fault = verdict.map(|(code, text)| Fault::new(code, format!("{list}[{place}]: {text}")));
        }
    }

    /// The answer: a code for each element, and one for the whole.
    fn answer(self, mut members: Map<String, Value>) -> Answer {
        let result = self.faults.iter().map(|fault| match fault {
            None => "0".into(),
            Some(fault) => Value::from(fault.code.to_string()),
        });
        members.insert("result".into(), result.collect());
        let answer = Answer::with(Value::Object(members));
        match self.failure() {
            None => answer,
            Some(fault) => answer.under(fault.code, fault.text),
        }
    }

    /// What is to be said of the whole batch, unless all is well.
    fn failure(&self) -> Option<Fault> {
        let of = self.faults.len();
        let failed: Vec<&Fault> = self.faults.iter().flatten().collect();
        if failed.is_empty() {
            return None;
        }
        let code = if failed.len() == of { RetCode::WhollyFailed } else { RetCode::PartlyFailed };
        let named: Vec<&str> = failed.iter().take(NAMED).map(|fault| fault.text.as_str()).collect();
        let more = match failed.len() - named.len() {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        Some(Fault::new(code, format!("{} of {of} failed: {}{more}", failed.len(), named.join("; "))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNKNOWN: Option<(RetCode, &str)> = Some((RetCode::InvalidToken, "unknown"));

    #[test]
    fn what_becomes_of_the_good_elements_finds_its_place_between_the_bad_ones() {
        let bad = || Err(Fault::new(RetCode::Invalid, "bad"));
        let (mut verdicts, good) = Verdicts::of("token_list", vec![bad(), Ok(1), bad(), Ok(2), Ok(3)]);
        assert_eq!(good, [1, 2, 3]);
        verdicts.judge([None, UNKNOWN, None].into_iter());
        let codes: Vec<_> = verdicts.faults.iter().map(|fault| fault.as_ref().map(|fault| fault.code)).collect();
        let (invalid, unknown) = (Some(RetCode::Invalid), Some(RetCode::InvalidToken));
        assert_eq!(codes, [invalid, None, invalid, unknown, None]);
        assert_eq!(verdicts.faults[3].as_ref().unwrap().text, "token_list[3]: unknown");
    }

    #[test]
    fn a_batch_goes_well_or_fails_in_part_or_wholly() {
        for (judged, code) in [
            (vec![None, None], None),
            (vec![None, UNKNOWN], Some(RetCode::PartlyFailed)),
            (vec![UNKNOWN, UNKNOWN], Some(RetCode::WhollyFailed)),
        ] {
            let (mut verdicts, _) = Verdicts::of("token_list", judged.iter().map(|_| Ok(())).collect());
            verdicts.judge(judged.into_iter());
            assert_eq!(verdicts.failure().map(|fault| fault.code), code);
        }
    }

    #[test]
    fn the_first_ten_failed_elements_are_named_and_the_rest_counted() {
        let (mut verdicts, good) = Verdicts::of("token_list", (0..12).map(Ok).collect());
        verdicts.judge(good.iter().map(|_| UNKNOWN));
        let text = verdicts.failure().unwrap().text;
        assert!(text.starts_with("12 of 12 failed: token_list[0]: unknown; "), "{text}");
        assert!(text.ends_with("token_list[9]: unknown; and 2 more"), "{text}");
    }
}
