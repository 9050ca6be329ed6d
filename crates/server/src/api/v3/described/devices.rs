//! Accounts and attributes of devices.

use pigeonloft_model::AccountOperation;
use pigeonloft_model::attribute::{NAME_BYTES_MAX, NAMES_MAX, VALUE_BYTES_MAX};
use serde_json::{Value, json};

use crate::api::openapi::Operation;
use crate::api::openapi::schema::{account_name, account_type, answered, asked, list, list_of, text, token, whole};

pub(super) const TAG: &str = "v3 devices";
pub(super) const TOKEN: &str = "0123456789abcdef0123456789abcdef0123";

fn account() -> Value {
    asked("Account", &["account"], [("account", account_name()), ("account_type", account_type())])
}

fn accounts(max: usize, description: &str) -> Value {
    list_of(max, account(), description)
}

fn tokens(description: &str) -> Value {
    list_of(AccountOperation::LIST_MAX, token(), description)
}

/// A code for each element of a batch.
pub(super) fn result() -> (&'static str, Value) {
    ("result", list(text(""), "for each element in its order: \"0\", or the code of what is wrong with it"))
}

/// `POST /v3/device/account/batchoperate`
pub(in super::super) fn operate_accounts() -> Operation {
    let pair = asked(
        "TokenAccounts",
        &["token", "account_list"],
        [("token", token()), ("account_list", accounts(AccountOperation::LIST_MAX, "its accounts"))],
    );
    let request = asked(
        "AccountOperation",
        &["operator_type"],
        [
            (
                "operator_type",
                whole(
                    1..=5,
                    "1, 2: bind `token_accounts`; 3: unbind `token_accounts`; 4: unbind all of `token_list`; 5: unbind \
                     `account_list` everywhere",
                ),
            ),
            ("token_accounts", list_of(AccountOperation::PAIRS_MAX, pair, "tokens, each with accounts")),
            ("token_list", tokens("tokens")),
            ("account_list", accounts(AccountOperation::LIST_MAX, "accounts")),
        ],
    );
    let example = json!({ "operator_type": 2, "token_accounts": [
        { "token": TOKEN, "account_list": [{ "account": "ann" }, { "account": "+8613800000000", "account_type": 1002 }] },
    ] });
    Operation::v3(TAG, "operateAccounts", "Binds accounts to devices, or takes them off", &request, &example)
        .says("A device has one account of each type. It is done when it is answered; one bad element does not touch the others.")
        .members("AccountsOperated", [result()])
}

/// `POST /v3/device/account/query`
pub(in super::super) fn query_accounts() -> Operation {
    let request = asked(
        "AccountQuery",
        &["operator_type"],
        [
            ("operator_type", whole(1..=2, "1: the tokens of `account_list`, 2: the accounts of `token_list`")),
            ("account_list", accounts(AccountOperation::LIST_MAX, "accounts")),
            ("token_list", tokens("tokens")),
        ],
    );
    let bound = || [("account", text("its name")), ("account_type", account_type())];
    let [name, kind] = bound();
    let tokens = ("token_list", list(token(), "latest bound first"));
    let of_account = answered("TokensOfAccount", [name, kind, tokens]);
    let of_token = answered(
        "AccountsOfToken",
        [("token", token()), ("account_list", list(answered("BoundAccount", bound()), "its accounts"))],
    );
    let example = json!({ "operator_type": 1, "account_list": [{ "account": "ann" }] });
    Operation::v3(
        TAG,
        "queryAccounts",
        "Asks which devices accounts are bound to, and the other way round",
        &request,
        &example,
    )
    .members(
        "AccountsFound",
        [
            ("account_tokens", list(of_account, "what is not found is not in it")),
            ("token_accounts", list(of_token, "what is not found is not in it")),
            result(),
        ],
    )
}

fn attribute_info() -> Value {
    let map = json!({
        "type": "object", "additionalProperties": { "type": "string" }, "maxProperties": NAMES_MAX,
        "description": format!("names of at most {NAME_BYTES_MAX} bytes, values of at most {VALUE_BYTES_MAX}"),
    });
    asked("AttributeInfo", &["attributeMap"], [("attributeMap", map)])
}

/// `POST /v3/device/set_custom_attribute`
pub(in super::super) fn set_custom_attribute() -> Operation {
    let commands = "1, 2: set these, an empty value takes one off; 3: take these off; 4: take all off; 5: ask for all";
    let request = asked(
        "AttributeCall",
        &["cmd", "token"],
        [("cmd", whole(1..=5, commands)), ("token", token()), ("attributeInfo", attribute_info())],
    );
    let example = json!({ "cmd": 1, "token": TOKEN, "attributeInfo": { "attributeMap": { "nickname": "Ming" } } });
    Operation::v3(TAG, "setAttributes", "Sets what an app keeps of a device, or asks for it", &request, &example)
        .says(
            "Names are declared with `pigeonloft app attribute add`; others are answered, and do not touch those that are \
             declared.",
        )
        .members(
            "Attributes",
            [
                ("attributeInfo", attribute_info()),
                ("invalidAttribute", list(text(""), "names that are not declared; only where there are some")),
            ],
        )
}
