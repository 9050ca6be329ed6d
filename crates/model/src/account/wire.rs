//! Wire: the bodies of the account calls, read element by element.

use serde_json::Value;

use super::{Account, AccountOperation, AccountQuery, AccountType, Elements, TokenAccounts};
use crate::ids::Token;
use crate::loose::{self, Members};
use crate::ret::{Fault, RetCode, excerpt};

impl AccountOperation {
    /// Reads a call of `POST /v3/device/account/batchoperate`.
    ///
    /// # Errors
    /// The call as a whole is wrong: not JSON (1008001), no `operator_type` or none of the list it needs (1008002),
    /// another `operator_type` or more elements than allowed (1008007).
    pub fn parse(body: &[u8]) -> Result<Self, Fault> {
        let whole = loose::body(body)?;
        let given = Members::top(&whole);
        Ok(match operator(&given, 1..=5)? {
            // 1 was "add"; it is disused and acts as 2, as documented.
            1 | 2 => Self::Bind(elements(&given, "token_accounts", Self::PAIRS_MAX, |value, place| {
                token_accounts(value, place).map(last_of_each_type)
            })?),
            3 => Self::Unbind(elements(&given, "token_accounts", Self::PAIRS_MAX, token_accounts)?),
            4 => Self::UnbindTokens(tokens(&given)?),
            _ => Self::UnbindAccounts(accounts(&given)?),
        })
    }
}

impl AccountQuery {
    /// Reads a call of `POST /v3/device/account/query`.
    ///
    /// # Errors
    /// As [`AccountOperation::parse`].
    pub fn parse(body: &[u8]) -> Result<Self, Fault> {
        let whole = loose::body(body)?;
        let given = Members::top(&whole);
        Ok(match operator(&given, 1..=2)? {
            1 => Self::Tokens(accounts(&given)?),
            _ => Self::Accounts(tokens(&given)?),
        })
    }
}

/// Reads `operator_type`.
pub(crate) fn operator(given: &Members<'_>, known: std::ops::RangeInclusive<i64>) -> Result<i64, Fault> {
    let remedy = format!("say what to do, a number from {} to {}", known.start(), known.end());
    given.positive("operator_type", known)?.ok_or_else(|| Fault::missing("operator_type", remedy))
}

/// Reads a list element by element. `place` names the element.
pub(crate) fn elements<T>(
    given: &Members<'_>,
    member: &str,
    max: usize,
    read: impl Fn(&Value, &dyn Fn() -> String) -> Result<T, Fault>,
) -> Result<Elements<T>, Fault> {
    let list = given.list(member)?;
    if list.is_empty() {
        return Err(Fault::missing(given.place(member), "this operator_type needs at least one element in it"));
    }
    if list.len() > max {
        let remedy = format!("it has {} elements, give at most {max} in one call", list.len());
        return Err(Fault::invalid(given.place(member), remedy));
    }
    let read = |(index, value)| read(value, &|| format!("{}[{index}]", given.place(member)));
    Ok(list.iter().enumerate().map(read).collect())
}

fn tokens(given: &Members<'_>) -> Result<Elements<Token>, Fault> {
    elements(given, "token_list", AccountOperation::LIST_MAX, token)
}

fn accounts(given: &Members<'_>) -> Result<Elements<Account>, Fault> {
    let kind = account_type(given, AccountType::default())?;
    elements(given, "account_list", AccountOperation::LIST_MAX, |value, place| account(value, kind, place))
}

/// Reads the `account_type` of a call or an account; not set = `default`.
pub(crate) fn account_type(given: &Members<'_>, default: AccountType) -> Result<AccountType, Fault> {
    let Some(code) = given.number("account_type")? else { return Ok(default) };
    let code = u32::try_from(code).unwrap_or(u32::MAX);
    AccountType::try_from(code).map_err(|error| Fault::invalid(given.place("account_type"), error))
}

/// Reads a token.
pub(crate) fn token(value: &Value, place: &dyn Fn() -> String) -> Result<Token, Fault> {
    let text = loose::text(value, place)?.unwrap_or_default();
    text.trim()
        .parse()
        .map_err(|error| Fault::new(RetCode::InvalidToken, format!("{} is {}: {error}", place(), excerpt(&text))))
}

/// An account, as an object or, of type `kind`, as its name alone.
fn account(value: &Value, kind: AccountType, place: &dyn Fn() -> String) -> Result<Account, Fault> {
    let (name, kind) = match value {
        Value::Object(map) => {
            let members = Members::at(map, place());
            (members.text("account")?, account_type(&members, kind)?)
        }
        other => (loose::text(other, place)?, kind),
    };
    let name = name.ok_or_else(|| Fault::missing(place(), "give the name of the account in \"account\""))?;
    let name = Account::name(&name).map_err(|error| Fault::invalid(place(), error))?;
    Ok(Account { name: name.to_owned(), kind })
}

fn token_accounts(value: &Value, place: &dyn Fn() -> String) -> Result<TokenAccounts, Fault> {
    let remedy = "give {\"token\": …, \"account_list\": […]}";
    let pair = loose::object(value, place)?.ok_or_else(|| Fault::missing(place(), remedy))?;
    let token = token(&pair.text("token")?.unwrap_or_default().into(), &|| pair.place("token"))?;
    let mut accounts = Vec::new();
    let max = AccountOperation::LIST_MAX;
    let default = AccountType::default();
    for element in elements(&pair, "account_list", max, |value, place| account(value, default, place))? {
        let element = element?;
        if !accounts.contains(&element) {
            accounts.push(element);
        }
    }
    Ok(TokenAccounts { token, accounts })
}

fn last_of_each_type(mut pair: TokenAccounts) -> TokenAccounts {
    let mut kept: Vec<Account> = Vec::with_capacity(pair.accounts.len());
    for account in pair.accounts {
        match kept.iter_mut().find(|earlier| earlier.kind == account.kind) {
            Some(earlier) => *earlier = account,
            None => kept.push(account),
        }
    }
    pair.accounts = kept;
    pair
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef0123";

    fn operation(body: &Value) -> Result<AccountOperation, Fault> {
        AccountOperation::parse(body.to_string().as_bytes())
    }

    fn code<T>(result: Result<T, Fault>) -> i32 {
        result.err().map_or(0, |fault| fault.code.code())
    }

    fn an_account(name: &str, kind: u32) -> Account {
        Account { name: name.to_owned(), kind: kind.try_into().unwrap() }
    }

    #[test]
    fn a_token_is_bound_to_the_last_account_of_each_type() {
        let body = json!({"operator_type": "2", "token_accounts": [{"token": TOKEN, "account_list": [
            {"account": "first", "account_type": 0}, {"account": "+8613800000000", "account_type": "1002"}, {"account": "second"},
        ]}]});
        let pair = TokenAccounts {
            token: TOKEN.parse().unwrap(),
            accounts: vec![an_account("second", 0), an_account("+8613800000000", 1002)],
        };
        assert_eq!(operation(&body), Ok(AccountOperation::Bind(vec![Ok(pair)])));
    }

    #[test]
    fn the_disused_operator_1_binds_as_2_does() {
        let with = |operator: i64| json!({"operator_type": operator, "token_accounts": [{"token": TOKEN, "account_list": ["ab"]}]});
        assert_eq!(operation(&with(1)), operation(&with(2)));
    }

    #[test]
    fn unbinding_takes_every_account_that_is_named_off_once() {
        let body = json!({"operator_type": 3, "token_accounts": [{"token": TOKEN, "account_list": [
            {"account": "ab"}, {"account": "cd"}, {"account": "ab", "account_type": 0},
        ]}]});
        let Ok(AccountOperation::Unbind(pairs)) = operation(&body) else { panic!("not an unbind") };
        assert_eq!(pairs[0].as_ref().unwrap().accounts, [an_account("ab", 0), an_account("cd", 0)]);
    }

    #[test]
    fn a_bad_element_does_not_fail_its_neighbours() {
        let list = json!({"account": "ab"});
        let body = json!({"operator_type": 2, "token_accounts": [
            {"token": TOKEN, "account_list": [list]},
            {"token": "x", "account_list": [list]},
            {"token": TOKEN, "account_list": [{"account": "a"}]},
            {"token": TOKEN, "account_list": [{"account": "ab", "account_type": 17}]},
            {"token": TOKEN, "account_list": []},
            {"token": 7, "account_list": [list]},
            {"token": TOKEN, "account_list": [{"account": ["ab"]}]},
            "text", null,
            {"token": TOKEN.to_uppercase(), "account_list": [list]},
            {"token": TOKEN, "account_list": [{"account": "a\u{0}b"}]},
        ]});
        let Ok(AccountOperation::Bind(pairs)) = operation(&body) else { panic!("not a bind") };
        let codes: Vec<_> = pairs.into_iter().map(code).collect();
        let expected = [
            0, 1_008_006, 1_008_007, 1_008_007, 1_008_002, 1_008_006, 1_008_001, 1_008_001, 1_008_002, 1_008_006,
            1_008_007,
        ];
        assert_eq!(codes, expected);
    }

    #[test]
    fn a_fault_of_an_element_names_its_place() {
        let body = json!({"operator_type": 4, "token_list": [TOKEN, "abc"]});
        let Ok(AccountOperation::UnbindTokens(tokens)) = operation(&body) else { panic!("not tokens") };
        assert_eq!(tokens[0], Ok(TOKEN.parse().unwrap()));
        let text = tokens[1].as_ref().unwrap_err().to_string();
        assert_eq!(text, r#"token_list[1] is "abc": a token has 36 characters, this has 3"#);
    }

    #[test]
    fn an_account_may_be_its_name_alone() {
        let body = json!({"operator_type": 5, "account_type": 3, "account_list": ["ab", {"account": " cd ", "account_type": 4}, 12, {"account": "ef", "account_type": 0}]});
        let Ok(AccountOperation::UnbindAccounts(accounts)) = operation(&body) else { panic!("not accounts") };
        let accounts: Vec<_> = accounts.into_iter().map(Result::unwrap).collect();
        assert_eq!(accounts, [an_account("ab", 3), an_account("cd", 4), an_account("12", 3), an_account("ef", 0)]);
    }

    #[test]
    fn a_call_has_so_many_elements_and_not_one_more() {
        let pair = json!({"token": TOKEN, "account_list": ["ab"]});
        let pairs = |count| json!({"operator_type": 2, "token_accounts": vec![pair.clone(); count]});
        let tokens = |count| json!({"operator_type": 4, "token_list": vec![TOKEN; count]});
        let accounts = |count| json!({"operator_type": 5, "account_list": vec!["ab"; count]});
        for (taken, refused) in [(pairs(20), pairs(21)), (tokens(500), tokens(501)), (accounts(500), accounts(501))] {
            assert_eq!(code(operation(&taken)), 0);
            assert_eq!(code(operation(&refused)), 1_008_007);
        }
    }

    #[test]
    fn a_call_without_its_operator_or_its_list_is_refused() {
        for (body, expected) in [
            (json!({}), 1_008_002),
            (json!({"operator_type": 0, "token_list": [TOKEN]}), 1_008_002),
            (json!({"operator_type": 6, "token_list": [TOKEN]}), 1_008_007),
            (json!({"operator_type": 4, "token_list": null}), 1_008_002),
            (json!({"operator_type": 4, "account_list": ["ab"]}), 1_008_002),
            (json!({"operator_type": 5, "account_list": "ab"}), 1_008_001),
            (json!({"operator_type": "bind"}), 1_008_001),
        ] {
            assert_eq!(code(operation(&body)), expected, "{body}");
        }
    }

    #[test]
    fn a_query_asks_for_tokens_of_accounts_or_for_accounts_of_tokens() {
        let query = |body: Value| AccountQuery::parse(body.to_string().as_bytes());
        let by_account = query(
            json!({"operator_type": 1, "account_list": [{"account": "ab", "account_type": 1}, {"account": "a"}]}),
        );
        let Ok(AccountQuery::Tokens(accounts)) = by_account else { panic!("not by account") };
        assert_eq!(accounts[0], Ok(an_account("ab", 1)));
        assert_eq!(code(accounts[1].clone()), 1_008_007);
        let by_token = query(json!({"operator_type": 2, "token_list": [TOKEN]}));
        assert_eq!(by_token, Ok(AccountQuery::Accounts(vec![Ok(TOKEN.parse().unwrap())])));
        assert_eq!(code(query(json!({"operator_type": 3, "token_list": [TOKEN]}))), 1_008_007);
    }

    #[test]
    fn a_name_has_2_to_100_characters_whatever_their_bytes() {
        assert_eq!(Account::name("  信鸽\u{3000}"), Ok("信鸽"));
        for (length, taken) in [(1, false), (2, true), (100, true), (101, false)] {
            assert_eq!(Account::name(&"a".repeat(length)).is_ok(), taken, "{length}");
            assert_eq!(Account::name(&"信".repeat(length)).is_ok(), taken, "{length}");
        }
    }

    #[test]
    fn the_types_of_an_account_are_those_of_the_table() {
        for (code, known) in
            [(0, true), (16, true), (17, false), (990, false), (991, true), (1015, true), (1016, false)]
        {
            assert_eq!(AccountType::try_from(code).is_ok(), known, "{code}");
        }
    }
}
