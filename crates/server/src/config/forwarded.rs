//! Forwarded: by which header proxies say whom they speak for.

use serde::Deserialize;

/// Which header the proxies add to. One alone is looked at: of the other each client can send what it likes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`: addresses, some proxies add the port.
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl ForwardedHeader {
    /// Its name, in lower case.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
        }
    }
}

impl TryFrom<String> for ForwardedHeader {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let known = [Self::XForwardedFor, Self::Forwarded];
        let found = known.into_iter().find(|known| name.eq_ignore_ascii_case(known.name()));
        found.ok_or_else(|| format!("{name:?} is neither \"x-forwarded-for\" nor \"forwarded\""))
    }
}
