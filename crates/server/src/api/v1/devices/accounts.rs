//! Accounts: those that a device says it holds.

use pigeonloft_model::{Account, AccountOperation, AccountType};
use pigeonloft_store::AccountKey;
use serde_json::Value;

use crate::api::v1::{Members, Problem};

/// The accounts of a body: a device has one of each type.
pub(super) fn accounts(given: &Members) -> Result<Vec<AccountKey>, Problem> {
    let list = given.list("accounts")?;
    if list.len() > AccountOperation::LIST_MAX {
        let remedy = format!("it has {} elements, give at most {}", list.len(), AccountOperation::LIST_MAX);
        return Err(Problem::member("accounts", remedy));
    }
    let mut accounts: Vec<AccountKey> = Vec::with_capacity(list.len());
    for (place, value) in list.iter().enumerate() {
        let account = account(value, &format!("accounts[{place}]"))?;
        if accounts.iter().any(|earlier| earlier.account_type == account.account_type) {
            let remedy = format!("a device has one account of type {}, this is the second", account.account_type);
            return Err(Problem::member(&format!("accounts[{place}]"), remedy));
        }
        accounts.push(account);
    }
    Ok(accounts)
}

fn account(value: &Value, place: &str) -> Result<AccountKey, Problem> {
    let member = |name: &str| format!("{place}.{name}");
    let object = value.as_object().ok_or_else(|| Problem::member(place, "give an object with account"))?;
    let name = object.get("account").and_then(Value::as_str);
    let name = name.ok_or_else(|| Problem::member(&member("account"), "give the account's name, a text"))?;
    let name = Account::name(name).map_err(|error| Problem::member(&member("account"), error))?;
    let kind = match object.get("account_type").filter(|kind| !kind.is_null()) {
        None => AccountType::default(),
        Some(kind) => {
            let number = kind.as_u64().ok_or_else(|| Problem::member(&member("account_type"), "give a number"))?;
            AccountType::try_from(u32::try_from(number).unwrap_or(u32::MAX))
                .map_err(|error| Problem::member(&member("account_type"), error))?
        }
    };
    Ok(AccountKey { account_type: kind.code(), name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{detail, given};
    use super::*;

    #[test]
    fn accounts_are_read_or_refused_by_their_place() {
        let of = |list: Value| accounts(&given(&json!({ "accounts": list })));
        let read = of(json!([{"account": " ab "}, {"account": "+8613800000000", "account_type": 1002}])).unwrap();
        let key = |name: &str, account_type| AccountKey { account_type, name: name.to_owned() };
        assert_eq!(read, [key("ab", 0), key("+8613800000000", 1002)]);
        assert_eq!(of(json!([])).unwrap(), []);
        for (list, place) in [
            (json!({}), "accounts: "),
            (json!(["ab"]), "accounts[0]: "),
            (json!([{"account": "ab"}, {"account": "cd"}]), "accounts[1]: a device has one account of type 0"),
            (json!([{"account": "a"}]), "accounts[0].account: "),
            (json!([{"account": 12}]), "accounts[0].account: "),
            (json!([{"account": "ab", "account_type": "0"}]), "accounts[0].account_type: give a number"),
            (json!([{"account": "ab", "account_type": 17}]), "accounts[0].account_type: 17"),
            (json!(vec![json!({"account": "ab"}); 501]), "accounts: it has 501 elements"),
        ] {
            assert!(detail(of(list.clone())).starts_with(place), "{list}");
        }
    }
}
