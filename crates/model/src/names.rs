//! Names on the wire: an enum whose every value has one text, and for some one small number in the database.
//!
//! The texts and numbers are part of the API and of stored data: they are added to, never changed.

/// Why a text or number is none of the values it may be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given} is none of: {known}")]
pub struct Unknown {
    /// What was given.
    pub(crate) given: String,
    /// What can be given.
    pub(crate) known: String,
}

/// Defines an enum by its texts: `ALL`, `as_str`, `Display`, `FromStr`, and serde as the text.
macro_rules! named {
    (
        $(#[$doc:meta])*
        $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }
    ) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
        )]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// Every value, in the order of their definition.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The text on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::names::Unknown;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    other => Err($crate::names::Unknown {
                        given: $crate::ret::excerpt(other),
                        known: [$($text),+].join(", "),
                    }),
                }
            }
        }
    };
}

/// Gives a [`named!`] enum its numbers in the database: `as i64` by `code()`, back by `TryFrom<i64>`.
macro_rules! numbered {
    ($name:ident { $($variant:ident = $number:literal,)+ }) => {
        impl $name {
            /// The number in the database.
            #[must_use]
            pub const fn code(self) -> i64 {
                match self {
                    $(Self::$variant => $number,)+
                }
            }
        }

        impl TryFrom<i64> for $name {
            type Error = $crate::names::Unknown;

            fn try_from(number: i64) -> Result<Self, Self::Error> {
                match number {
                    $($number => Ok(Self::$variant),)+
                    other => Err($crate::names::Unknown {
                        given: other.to_string(),
                        known: [$(stringify!($number)),+].join(", "),
                    }),
                }
            }
        }
    };
}

pub(crate) use {named, numbered};
