//! Account: a name the app's operator knows a user by, together with its type; devices are bound to it.

use serde::{Deserialize, Serialize};

/// Type of an account: 0 (default), 1–16 (custom) or 991–1015 (named ones such as phone number or e-mail).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct AccountType(u32);

/// A number that is no [`AccountType`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no account type, those are 0-16 and 991-1015")]
pub struct NotAnAccountType(pub u32);

impl AccountType {
    /// The number on the wire and in the database.
    #[must_use]
    pub const fn code(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for AccountType {
    type Error = NotAnAccountType;

    fn try_from(code: u32) -> Result<Self, NotAnAccountType> {
        match code {
            0..=16 | 991..=1015 => Ok(Self(code)),
            other => Err(NotAnAccountType(other)),
        }
    }
}

impl From<AccountType> for u32 {
    fn from(kind: AccountType) -> Self {
        kind.0
    }
}
