//! Ids: what names an app, a device, a package, a push and one message of a push.
//!
//! Each is its own type, so that one cannot be passed where another is meant. How they are issued is the store's
//! business; what they look like on the wire is decided here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = std::num::ParseIntError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

number_id! {
    /// One app: a decimal `uint32`, as it stands in the `AccessId` header and before the colon of Basic authentication.
    AccessId(u32)
}
number_id! {
    /// One device inside this server. Never shown outside except as a part of a [`MessageId`]; outside, a device is
    /// its [`Token`].
    DeviceId(i64)
}
number_id! {
    /// One uploaded package: a positive `int32`, as the upload answers it.
    UploadId(i32)
}
number_id! {
    /// One plan that was made here. A push may name any text as its plan.
    PlanId(i64)
}
number_id! {
    /// One push task. A decimal string in every answer of the API. Later pushes have larger ids.
    PushId(i64)
}

/// One message: one push to one device. A repeat of the message carries the same id, whoever sends it again and
/// whenever, because the id is made of nothing but the push and the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessageId {
    /// The push the message is of.
    pub push: PushId,
    /// The device it is for.
    pub device: DeviceId,
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.push, self.device)
    }
}

/// The name of a device outside: 36 lowercase hexadecimal characters, issued by this server or imported.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token([u8; Token::LENGTH]);

impl Token {
    /// Characters of a token.
    pub const LENGTH: usize = 36;
    /// Bytes that it writes.
    pub const BYTES: usize = Self::LENGTH / 2;

    /// The token that writes these bytes, two characters for each; random bytes make a new one.
    #[must_use]
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; Self::LENGTH];
        for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 15)];
        }
        Self(text)
    }

    /// The bytes that it writes. They order as tokens do.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        // Digits have the value of their low half, letters are nine short of theirs; no other character is admitted.
        let value = |character: u8| (character & 15) + if character >= b'a' { 9 } else { 0 };
        std::array::from_fn(|place| value(self.0[2 * place]) << 4 | value(self.0[2 * place + 1]))
    }

    /// The token as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Every constructor admits ASCII only, so the fallback is never taken.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text is not a [`Token`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAToken {
    /// It has another number of characters.
    #[error("a token has 36 characters, this has {0}")]
    Length(usize),
    /// It has a character outside `0-9a-f`.
    #[error("a token is written in 0-9 and a-f, character {0} is not")]
    Character(usize),
}

impl FromStr for Token {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<Self, NotAToken> {
        if let Some(place) = text.chars().position(|c| !matches!(c, '0'..='9' | 'a'..='f')) {
            return match text.chars().count() {
                Self::LENGTH => Err(NotAToken::Character(place + 1)),
                other => Err(NotAToken::Length(other)),
            };
        }
        let bytes = text.as_bytes().try_into().map_err(|_| NotAToken::Length(text.len()))?;
        Ok(Self(bytes))
    }
}

impl Serialize for Token {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_36_lowercase_hexadecimal_characters() {
        let issued = Token::from_bytes([0xa7; 18]);
        assert_eq!(issued.as_str(), "a7".repeat(18));
        assert_eq!(issued.to_string().parse(), Ok(issued));
        assert_eq!(issued.to_bytes(), [0xa7; 18]);
        let every: [u8; 18] = std::array::from_fn(|place| (place * 15) as u8);
        assert_eq!(Token::from_bytes(every).to_bytes(), every);
        assert_eq!("a7".parse::<Token>(), Err(NotAToken::Length(2)));
        assert_eq!("A7".repeat(18).parse::<Token>(), Err(NotAToken::Character(1)));
        assert_eq!("信".repeat(12).parse::<Token>(), Err(NotAToken::Length(12)));
        assert_eq!("信".repeat(36).parse::<Token>(), Err(NotAToken::Character(1)));
    }

    #[test]
    fn a_repeat_of_a_message_has_the_same_id() {
        let id = MessageId { push: PushId(7), device: DeviceId(12) };
        assert_eq!(id.to_string(), "7-12");
    }
}
