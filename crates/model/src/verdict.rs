//! Verdict: what the answer of a vendor's channel says about one message. What follows from it for the recipient and its
//! token is the dispatcher's to decide.

use std::borrow::Cow;
use std::time::Duration;

/// Why, in the vendor's own word (`Unregistered`) or, where the vendor said nothing, in one of ours (`timeout`).
pub type Code = Cow<'static, str>;

/// The longest [`Code`] that is kept, in bytes: a vendor's word is shorter.
pub const CODE_BYTES: usize = 64;

/// What became of one message that was given to a vendor's channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The vendor took it.
    Accepted,
    /// The token leads to no device any more, and is to be forgotten unless the device registered it again later.
    Dead {
        /// The vendor's word.
        code: Code,
        /// Since when the vendor knows, unix milliseconds; `None`: it does not say.
        since: Option<i64>,
    },
    /// The vendor does not take this message for this token. That may be the fault of either, or of the environment:
    /// the token stays.
    Refused(Code),
    /// The credentials, or what they are for: every message of the app would be refused so.
    Configuration(Code),
    /// The vendor does not take it now; the same may be taken later.
    Later {
        /// The vendor's word.
        code: Code,
        /// How long it asks to wait; `None`: it does not say.
        after: Option<Duration>,
    },
    /// No answer came: the vendor may have taken it or not.
    Unknown(Code),
}

impl Verdict {
    /// Why; `None` where there is nothing to explain.
    #[must_use]
    pub fn code(&self) -> Option<&Code> {
        match self {
            Self::Accepted => None,
            Self::Dead { code, .. }
            | Self::Refused(code)
            | Self::Configuration(code)
            | Self::Later { code, .. }
            | Self::Unknown(code) => Some(code),
        }
    }
}

/// A vendor's word, cut to the length that is kept, without what does not print.
#[must_use]
pub fn code(word: &str) -> Code {
    let mut kept: String = word.chars().filter(|letter| letter.is_ascii_graphic() || *letter == ' ').collect();
    kept.truncate(CODE_BYTES);
    Cow::Owned(kept)
}
