//! Ret codes and faults: what an answer of the v3 API says when a call is refused.
//!
//! A fault is a code of the published table and a text for the person who reads it. Which member of the answer they go
//! into (`retCode` or `ret_code`) is the API's business.

use std::fmt;

/// Defines the codes with what they mean, and the table of these.
macro_rules! codes {
    ($(#[doc = $says:literal] $name:ident = $code:literal,)+) => {
        /// A code of the published table. The table has more (certificates, billing), which this server has no use for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(i32)]
        pub enum RetCode {
            $(
                #[doc = $says]
                $name = $code,
            )+
        }

        impl RetCode {
            /// What each code means, a line such as `1008002: a member that is needed is not there.`
            pub const TABLE: &'static [&'static str] = &[$($says.trim_ascii()),+];
        }
    };
}

codes! {
    /// 0: done.
    Success = 0,
    /// 1008001: not JSON, or a member of another type.
    Unparsable = 1_008_001,
    /// 1008002: a member that is needed is not there.
    Missing = 1_008_002,
    /// 1008003: wrong secret, wrong signature, stale timestamp.
    Unauthenticated = 1_008_003,
    /// 1008004: the server's own trouble; the call may be repeated.
    Internal = 1_008_004,
    /// 1008006: a token that is none, in an element of a tag or account operation.
    InvalidToken = 1_008_006,
    /// 1008007: out of range or wrong format.
    Invalid = 1_008_007,
    /// 1008011: the uploaded file cannot be read.
    UploadFailed = 1_008_011,
    /// 1008012: the uploaded file is empty.
    EmptyFile = 1_008_012,
    /// 1008015: there is no such push.
    NoSuchPush = 1_008_015,
    /// 1008016: wrong format of a date or time in a query.
    WrongDate = 1_008_016,
    /// 1008026: some elements of a batch failed.
    PartlyFailed = 1_008_026,
    /// 1008027: every element of a batch failed.
    WhollyFailed = 1_008_027,
    /// 1008028: more calls than the frequency limit allows.
    TooFast = 1_008_028,
    /// 1008029: a token nobody has, in a push or a bind.
    UnknownToken = 1_008_029,
    /// 1008035: an AccessId this server does not know.
    UnknownApp = 1_008_035,
    /// 10010005: the push has no target.
    NoTarget = 10_010_005,
    /// 10010012: a push time that is malformed or out of range.
    WrongPushTime = 10_010_012,
    /// 10010018: the same push again.
    RepeatedPush = 10_010_018,
    /// 10110008: the queried token or account does not exist.
    NotFound = 10_110_008,
}

impl RetCode {
    /// The number on the wire.
    #[must_use]
    pub fn code(self) -> i32 {
        self as i32
    }
}

impl fmt::Display for RetCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.code().fmt(f)
    }
}

/// Why a call is refused. The text names the thing, the place and the remedy, and quotes at most
/// [`Fault::EXCERPT`] characters of what the caller sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Fault {
    /// The code of the answer.
    pub code: RetCode,
    /// The text of the answer.
    pub text: String,
}

impl Fault {
    /// Characters of a caller's value which a text quotes.
    pub const EXCERPT: usize = 40;

    /// A fault of any code.
    #[must_use]
    pub fn new(code: RetCode, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// 1008002: `member` is not there; `remedy` says what to give.
    #[must_use]
    pub fn missing(member: impl fmt::Display, remedy: impl fmt::Display) -> Self {
        Self::new(RetCode::Missing, format!("{member} is missing: {remedy}"))
    }

    /// 1008007: what stands in `member` is not allowed; `remedy` says what is wrong and what is allowed.
    #[must_use]
    pub fn invalid(member: impl fmt::Display, remedy: impl fmt::Display) -> Self {
        Self::new(RetCode::Invalid, format!("{member} is invalid: {remedy}"))
    }

    /// 1008001: what stands in `member` cannot be read; `remedy` says what is wrong and what can be.
    #[must_use]
    pub fn unparsable(member: impl fmt::Display, remedy: impl fmt::Display) -> Self {
        Self::new(RetCode::Unparsable, format!("{member} cannot be read: {remedy}"))
    }
}

/// A caller's text as a fault quotes it: in quotes, control characters escaped, cut after [`Fault::EXCERPT`] characters.
pub(crate) fn excerpt(text: &str) -> String {
    let mut quoted: String = text.chars().take(Fault::EXCERPT).flat_map(char::escape_debug).collect();
    if text.chars().nth(Fault::EXCERPT).is_some() {
        quoted.push('…');
    }
    format!("\"{quoted}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_says_its_text_and_carries_the_code_of_the_table() {
        let fault = Fault::missing("upload_id", "give the uploadId that the upload answered");
        assert_eq!(fault.code.code(), 1_008_002);
        assert_eq!(fault.to_string(), "upload_id is missing: give the uploadId that the upload answered");
        assert_eq!(Fault::invalid("x", "y").code.to_string(), "1008007");
        assert_eq!(Fault::unparsable("x", "y").code.code(), 1_008_001);
    }

    #[test]
    fn an_excerpt_is_bounded_and_has_no_control_characters() {
        assert_eq!(excerpt("a\u{0}b\n"), r#""a\0b\n""#);
        assert_eq!(excerpt(&"信".repeat(40)), format!("\"{}\"", "信".repeat(40)));
        assert_eq!(excerpt(&"信".repeat(41)), format!("\"{}…\"", "信".repeat(40)));
    }
}
