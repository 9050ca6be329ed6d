//! Accounts: the calls that bind them to tokens, take them off, and ask for them both ways.
//!
//! Each call is a batch, and answers a code for each element in the order they came. A bad element never touches its
//! neighbours: the good ones are done together, in one transaction.

use std::sync::Arc;

use bytes::Bytes;
use pigeonloft_model::{Account, AccountOperation, AccountQuery, AccountType, Fault, RetCode, Token, TokenAccounts};
use pigeonloft_store::{AccountKey, App, Bound};
use serde_json::{Map, Value, json};

use super::super::answer::Answer;
use super::verdicts::{UNKNOWN_TOKEN, Verdicts};
use crate::auth::internal;
use crate::loft::Loft;

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

fn unknown_token(bound: Bound) -> Option<(RetCode, &'static str)> {
    match bound {
        Bound::Done => None,
        Bound::UnknownToken => Some(UNKNOWN_TOKEN),
    }
}
