//! Account: a name the app's operator knows a user by, together with its type; devices are bound to it. The
//! calls that bind, unbind and ask are read here; doing it is the store's work.

pub(crate) mod wire;

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::ids::Token;
use crate::ret::Fault;

pub(crate) use wire::account_type;

/// Type of an account: 0 (default), 1–16 (custom) or 991–1015 (named ones such as phone number or e-mail).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct AccountType(u32);

/// A number that is no [`AccountType`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no account type, those are 0-16 and 991-1015")]
pub struct NotAnAccountType(pub u32);

impl AccountType {
    /// The numbers there are: the default and the custom ones, and the named ones.
    pub const RANGES: [RangeInclusive<u32>; 2] = [0..=16, 991..=1015];

    /// The number on the wire and in the database.
    #[must_use]
    pub const fn code(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for AccountType {
    type Error = NotAnAccountType;

    fn try_from(code: u32) -> Result<Self, NotAnAccountType> {
        if Self::RANGES.iter().any(|range| range.contains(&code)) {
            Ok(Self(code))
        } else {
            Err(NotAnAccountType(code))
        }
    }
}

impl From<AccountType> for u32 {
    fn from(kind: AccountType) -> Self {
        kind.0
    }
}

/// An account: a name of a type. Two names of different types are different accounts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Account {
    /// The name, as [`Account::name`] reads it.
    pub name: String,
    /// The type.
    pub kind: AccountType,
}

/// A text that cannot be the name of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAName {
    /// Too short or too long.
    #[error("an account has 2 to 100 characters, this has {0}")]
    Length(usize),
    /// It has a character nobody can type.
    #[error("an account has no control characters, character {0} is one")]
    Control(usize),
}

impl Account {
    /// Characters of the shortest name.
    pub const NAME_MIN: usize = 2;
    /// Characters of the longest name.
    pub const NAME_MAX: usize = 100;

    /// Reads a name: blanks around it are dropped; 2–100 characters, none of them a control character.
    ///
    /// The published pages give the length for uploads only. It is the same for binding, our choice: what could be
    /// bound otherwise could never be reached by a package.
    ///
    /// # Errors
    /// Why it is no name.
    pub fn name(text: &str) -> Result<&str, NotAName> {
        let name = text.trim();
        let length = name.chars().count();
        if !(Self::NAME_MIN..=Self::NAME_MAX).contains(&length) {
            return Err(NotAName::Length(length));
        }
        match name.chars().position(char::is_control) {
            Some(place) => Err(NotAName::Control(place + 1)),
            None => Ok(name),
        }
    }
}

/// A token and accounts of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenAccounts {
    /// The token.
    pub token: Token,
    /// At least one account, none twice.
    pub accounts: Vec<Account>,
}

/// The elements of a batch, in the caller's order: a bad one has its fault and does not touch its neighbours.
pub type Elements<T> = Vec<Result<T, Fault>>;

/// A call of `POST /v3/device/account/batchoperate`; one element of the answer's `result` for each of its own.
///
/// An element's fault is 1008006 for a token that is none, 1008002 or 1008007 for its accounts, 1008001 if it cannot
/// be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountOperation {
    /// 1 and 2: bind each token to its accounts. A token holds one account of a type, and a later one takes the place
    /// of an earlier; so no two accounts of an element are of the same type.
    Bind(Elements<TokenAccounts>),
    /// 3: take these accounts off each token.
    Unbind(Elements<TokenAccounts>),
    /// 4: take every account off each token.
    UnbindTokens(Elements<Token>),
    /// 5: take each account off every token.
    UnbindAccounts(Elements<Account>),
}

impl AccountOperation {
    /// Elements of `token_accounts`, as documented.
    pub const PAIRS_MAX: usize = 20;
    /// Elements of `token_list` and `account_list`, and accounts of one token; not documented, our choice.
    pub const LIST_MAX: usize = 500;
}

/// A call of `POST /v3/device/account/query`; its elements as in [`AccountOperation`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountQuery {
    /// 1: the tokens of each account.
    Tokens(Elements<Account>),
    /// 2: the accounts of each token.
    Accounts(Elements<Token>),
}
