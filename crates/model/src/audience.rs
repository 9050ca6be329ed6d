//! Audience: whom a push is for. Accounts and tokens stand here as the caller wrote them; which devices they lead to
//! is decided when the push runs.

use serde::{Deserialize, Serialize};

use crate::ids::UploadId;
use crate::names::{named, numbered};
use crate::tag::TagRules;

named! {
    /// The `audience_type` of a call.
    AudienceKind {
        /// All devices of the app.
        All = "all",
        /// Devices by their tags.
        Tag = "tag",
        /// One token.
        Token = "token",
        /// Some tokens.
        TokenList = "token_list",
        /// One account.
        Account = "account",
        /// Some accounts.
        AccountList = "account_list",
        /// An uploaded package of accounts.
        AccountPackage = "package_account_push",
        /// An uploaded package of tokens.
        TokenPackage = "package_token_push",
    }
}

numbered! {
    AudienceKind {
        All = 1, Tag = 2, Token = 3, TokenList = 4, Account = 5, AccountList = 6, AccountPackage = 7, TokenPackage = 8,
    }
}

impl AudienceKind {
    /// Whether it may reach any number of devices: only such a push can be timed, paced and collapsed, and only one
    /// a second is taken from an app.
    #[must_use]
    pub const fn is_bulk(self) -> bool {
        matches!(self, Self::All | Self::Tag | Self::AccountPackage | Self::TokenPackage)
    }
}

/// Whom a push is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Audience {
    /// Every device of the app. An object, as every other audience is stored under its name.
    #[serde(rename = "all")]
    All {},
    /// Those that the rules mean.
    #[serde(rename = "tag")]
    Tag(TagRules),
    /// One token, in whatever form it was given.
    #[serde(rename = "token")]
    Token(String),
    /// 1 to [`Audience::LIST_MAX`] different texts given as tokens, in the caller's order. Some may be no
    /// [`Token`](crate::Token) at all: `ignore_invalid_token` decides what that means.
    #[serde(rename = "token_list")]
    TokenList(Vec<String>),
    /// One account.
    #[serde(rename = "account")]
    Account(String),
    /// 1 to [`Audience::LIST_MAX`] different accounts, in the caller's order.
    #[serde(rename = "account_list")]
    AccountList(Vec<String>),
    /// A package whose rows are accounts.
    #[serde(rename = "package_account_push")]
    AccountPackage(UploadId),
    /// A package whose rows are tokens.
    #[serde(rename = "package_token_push")]
    TokenPackage(UploadId),
}

impl Audience {
    /// Elements of `token_list` and `account_list`, as documented.
    pub const LIST_MAX: usize = 1_000;

    /// The `audience_type` it came with.
    #[must_use]
    pub const fn kind(&self) -> AudienceKind {
        match self {
            Self::All {} => AudienceKind::All,
            Self::Tag(_) => AudienceKind::Tag,
            Self::Token(_) => AudienceKind::Token,
            Self::TokenList(_) => AudienceKind::TokenList,
            Self::Account(_) => AudienceKind::Account,
            Self::AccountList(_) => AudienceKind::AccountList,
            Self::AccountPackage(_) => AudienceKind::AccountPackage,
            Self::TokenPackage(_) => AudienceKind::TokenPackage,
        }
    }

    /// Whether it has no rows that name devices, but is chosen among all of them.
    #[must_use]
    pub const fn is_chosen(&self) -> bool {
        matches!(self, Self::All {} | Self::Tag(_))
    }

    /// The package, if it is one.
    #[must_use]
    pub const fn package(&self) -> Option<UploadId> {
        match self {
            Self::AccountPackage(id) | Self::TokenPackage(id) => Some(*id),
            _ => None,
        }
    }

    /// The tokens named in the call itself; empty for every other kind.
    #[must_use]
    pub fn tokens(&self) -> &[String] {
        match self {
            Self::Token(token) => std::slice::from_ref(token),
            Self::TokenList(tokens) => tokens,
            _ => &[],
        }
    }

    /// The accounts named in the call itself; empty for every other kind.
    #[must_use]
    pub fn accounts(&self) -> &[String] {
        match self {
            Self::Account(account) => std::slice::from_ref(account),
            Self::AccountList(accounts) => accounts,
            _ => &[],
        }
    }
}
