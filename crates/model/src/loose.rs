//! Loose: reading JSON of the published clients, which are in many languages and few of them strict.
//!
//! They send zero, empty or null for what they do not set, numbers as text, `[]` for `{}`, 0 and 1 for booleans, and
//! members nobody knows. All of that is read here as what it means, and what cannot be read is a [`Fault`] that
//! names the member by its path. Which members there are, and their ranges, is their owners' business.
//!
//! Nesting is bounded by `serde_json` (128 levels), the size of a body by the server.

use std::num::IntErrorKind;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use crate::ret::{Fault, RetCode, excerpt};

/// Reads a body as the one object every call is.
pub(crate) fn body(bytes: &[u8]) -> Result<Map<String, Value>, Fault> {
    const REMEDY: &str = "send one JSON object in UTF-8";
    // As a value first: asked for an object outright, `serde_json` would quote at full length what it found instead.
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(other) => Err(Fault::unparsable("the body", format_args!("it is {}, {REMEDY}", kind(&other)))),
        Err(error) => Err(Fault::unparsable("the body", format_args!("{error}; {REMEDY}"))),
    }
}

/// The members of one object, and where it stands.
#[derive(Clone)]
pub(crate) struct Members<'a> {
    map: &'a Map<String, Value>,
    path: String,
}

impl<'a> Members<'a> {
    /// The members of a body.
    pub(crate) fn top(map: &'a Map<String, Value>) -> Self {
        Self { map, path: String::new() }
    }

    /// The members of an object at `path`.
    pub(crate) fn at(map: &'a Map<String, Value>, path: impl Into<String>) -> Self {
        Self { map, path: path.into() }
    }

    /// Where a member stands, as texts name it: `message.android.ring`.
    pub(crate) fn place(&self, member: &str) -> String {
        if self.path.is_empty() { member.to_owned() } else { format!("{}.{member}", self.path) }
    }

    /// The members as they came, in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
        self.map.iter()
    }

    /// A text; `None` if it is not set.
    pub(crate) fn text(&self, member: &str) -> Result<Option<String>, Fault> {
        self.read(member, text)
    }

    /// A whole number; `None` if nothing stands there. Zero is a number: where it means "not set", use
    /// [`Members::positive`] and its like.
    pub(crate) fn number(&self, member: &str) -> Result<Option<i64>, Fault> {
        self.read(member, number)
    }

    /// A number that need not be whole; `None` if nothing stands there.
    pub(crate) fn real(&self, member: &str) -> Result<Option<f64>, Fault> {
        self.read(member, real)
    }

    /// A whole number from 1 on, within `range`; zero is "not set".
    pub(crate) fn positive<T: TryFrom<i64>>(
        &self,
        member: &str,
        range: RangeInclusive<i64>,
    ) -> Result<Option<T>, Fault> {
        match self.number(member)? {
            None | Some(0) => Ok(None),
            Some(number) => within(number, range, || self.place(member)).map(Some),
        }
    }

    /// A boolean, also as 0, 1 or text; not set = false.
    pub(crate) fn switch(&self, member: &str) -> Result<bool, Fault> {
        Ok(self.read(member, switch)?.unwrap_or(false))
    }

    /// A name out of a set; `None` if it is not set.
    pub(crate) fn name<N>(&self, member: &str) -> Result<Option<N>, Fault>
    where
        N: std::str::FromStr<Err = crate::Unknown>,
    {
        self.text(member)?
            .map(|text| text.trim().parse().map_err(|unknown| Fault::invalid(self.place(member), unknown)))
            .transpose()
    }

    /// A list; not set = empty.
    pub(crate) fn list(&self, member: &str) -> Result<&'a [Value], Fault> {
        match self.map.get(member) {
            None => Ok(&[]),
            Some(Value::Array(list)) => Ok(list),
            Some(other) if is_unset(other) => Ok(&[]),
            Some(other) => {
                Err(Fault::unparsable(self.place(member), format_args!("it is {}, give a list", kind(other))))
            }
        }
    }

    /// An object; `None` if it is not set.
    pub(crate) fn object(&self, member: &str) -> Result<Option<Members<'a>>, Fault> {
        match self.map.get(member) {
            None => Ok(None),
            Some(value) => object(value, || self.place(member)),
        }
    }

    fn read<T>(
        &self,
        member: &str,
        reader: impl Fn(&'a Value, &dyn Fn() -> String) -> Result<Option<T>, Fault>,
    ) -> Result<Option<T>, Fault> {
        match self.map.get(member) {
            None => Ok(None),
            Some(value) => reader(value, &|| self.place(member)),
        }
    }
}

/// Whether a value says nothing: zero, false, empty, null, or made of nothing but such.
pub(crate) fn is_unset(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => matches!(text.trim(), "" | "0"),
        Value::Array(list) => list.iter().all(is_unset),
        Value::Object(map) => map.values().all(is_unset),
    }
}

/// A value as a text; numbers are one, too. `place` is asked only when there is something to say.
pub(crate) fn text(value: &Value, place: &dyn Fn() -> String) -> Result<Option<String>, Fault> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text.is_empty() => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        Value::Number(number) => Ok(Some(number.to_string())),
        other => Err(Fault::unparsable(place(), format_args!("it is {}, give a text", kind(other)))),
    }
}

/// A value as a whole number; so are `"7"`, `" 7 "` and `7.0`.
pub(crate) fn number(value: &Value, place: &dyn Fn() -> String) -> Result<Option<i64>, Fault> {
    // Up to here every whole number is one `f64`, so the cast below is exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let too_large = || Fault::invalid(place(), "the number is too large");
    match value {
        Value::Null => Ok(None),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Ok(Some(whole)),
            #[expect(clippy::cast_possible_truncation, reason = "whole and within EXACT")]
            (None, Some(real)) if real.fract() == 0.0 && real.abs() <= EXACT => Ok(Some(real as i64)),
            (None, Some(real)) if real.fract() != 0.0 => {
                Err(Fault::unparsable(place(), format_args!("it is {number}, give a whole number")))
            }
            _ => Err(too_large()),
        },
        Value::String(text) if text.trim().is_empty() => Ok(None),
        Value::String(text) => match text.trim().parse() {
            Ok(whole) => Ok(Some(whole)),
            Err(error) => match error.kind() {
                IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => Err(too_large()),
                _ => Err(Fault::unparsable(place(), format_args!("it is {}, give a whole number", excerpt(text)))),
            },
        },
        other => Err(Fault::unparsable(place(), format_args!("it is {}, give a whole number", kind(other)))),
    }
}

/// A value as a number that need not be whole; a text with one is one, too.
pub(crate) fn real(value: &Value, place: &dyn Fn() -> String) -> Result<Option<f64>, Fault> {
    let unreadable = || Fault::unparsable(place(), "give a number, such as 0.5");
    match value {
        Value::Null => Ok(None),
        Value::Number(number) => number.as_f64().map(Some).ok_or_else(unreadable),
        Value::String(text) if text.trim().is_empty() => Ok(None),
        Value::String(text) => text.trim().parse().map(Some).map_err(|_| unreadable()),
        _ => Err(unreadable()),
    }
}

/// A value as a boolean; so are 0, 1, `"0"`, `"1"`, `"true"` and `"false"`.
pub(crate) fn switch(value: &Value, place: &dyn Fn() -> String) -> Result<Option<bool>, Fault> {
    match value {
        Value::Bool(given) => Ok(Some(*given)),
        Value::String(text) if text.trim().eq_ignore_ascii_case("true") => Ok(Some(true)),
        Value::String(text) if text.trim().eq_ignore_ascii_case("false") => Ok(Some(false)),
        other => match number(other, place).map_err(|fault| match fault.code {
            RetCode::Unparsable => {
                Fault::unparsable(place(), format_args!("it is {}, give true or false, or 1 or 0", kind(other)))
            }
            _ => fault,
        })? {
            None => Ok(None),
            Some(0) => Ok(Some(false)),
            Some(1) => Ok(Some(true)),
            Some(number) => Err(Fault::invalid(place(), format_args!("it is {number}, give 0 or 1"))),
        },
    }
}

/// A value as an object; `None` if it is not set.
pub(crate) fn object(value: &Value, place: impl Fn() -> String) -> Result<Option<Members<'_>>, Fault> {
    match value {
        Value::Object(map) if map.is_empty() => Ok(None),
        Value::Object(map) => Ok(Some(Members::at(map, place()))),
        other if is_unset(other) => Ok(None),
        other => Err(Fault::unparsable(place(), format_args!("it is {}, give an object", kind(other)))),
    }
}

/// The number, if it lies in the range; the range lies in the type.
pub(crate) fn within<T: TryFrom<i64>>(
    number: i64,
    range: RangeInclusive<i64>,
    place: impl Fn() -> String,
) -> Result<T, Fault> {
    let fitting = Some(number).filter(|number| range.contains(number)).and_then(|number| T::try_from(number).ok());
    fitting.ok_or_else(|| {
        let (first, last) = (range.start(), range.end());
        Fault::invalid(place(), format_args!("it is {number}, give a number from {first} to {last}"))
    })
}

/// What a value is, for texts; never the value itself, which may be a secret in the wrong place.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn code<T>(result: Result<T, Fault>) -> Option<RetCode> {
        result.err().map(|fault| fault.code)
    }

    #[test]
    fn zero_empty_and_null_say_nothing() {
        for value in [
            json!(null),
            json!(0),
            json!(0.0),
            json!(false),
            json!(""),
            json!("0"),
            json!([]),
            json!({}),
            json!({"a": [0, ""]}),
        ] {
            assert!(is_unset(&value), "{value}");
        }
        for value in [json!(1), json!(-1), json!(true), json!("a"), json!([1]), json!({"a": {"b": "1"}})] {
            assert!(!is_unset(&value), "{value}");
        }
    }

    #[test]
    fn a_number_may_be_a_text_and_a_text_a_number() {
        let members = json!({"a": " 991 ", "b": 86400.0, "c": "", "d": 12, "e": "-3", "f": null});
        let members = Members::top(members.as_object().unwrap());
        assert_eq!(members.number("a"), Ok(Some(991)));
        assert_eq!(members.number("b"), Ok(Some(86_400)));
        assert_eq!(members.number("c"), Ok(None));
        assert_eq!(members.number("e"), Ok(Some(-3)));
        assert_eq!(members.number("f"), Ok(None));
        assert_eq!(members.number("absent"), Ok(None));
        assert_eq!(members.text("d"), Ok(Some("12".to_owned())));
    }

    #[test]
    fn what_is_no_number_cannot_be_read_and_what_is_too_large_is_invalid() {
        let members =
            json!({"a": "x", "b": 1.5, "c": [], "d": u64::MAX, "e": "99999999999999999999", "f": 1e300, "g": true});
        let members = Members::at(members.as_object().unwrap(), "message");
        for member in ["a", "b", "c", "g"] {
            assert_eq!(code(members.number(member)), Some(RetCode::Unparsable), "{member}");
        }
        for member in ["d", "e", "f"] {
            assert_eq!(code(members.number(member)), Some(RetCode::Invalid), "{member}");
        }
        assert_eq!(
            members.number("a").unwrap_err().text,
            r#"message.a cannot be read: it is "x", give a whole number"#
        );
    }

    #[test]
    fn a_boolean_may_be_zero_one_or_a_text() {
        let members = json!({"a": 1, "b": "1", "c": true, "d": "True", "e": 0, "f": "false", "g": "", "h": null, "i": 2, "j": "yes"});
        let members = Members::top(members.as_object().unwrap());
        for member in ["a", "b", "c", "d"] {
            assert_eq!(members.switch(member), Ok(true), "{member}");
        }
        for member in ["e", "f", "g", "h", "absent"] {
            assert_eq!(members.switch(member), Ok(false), "{member}");
        }
        assert_eq!(code(members.switch("i")), Some(RetCode::Invalid));
        assert_eq!(code(members.switch("j")), Some(RetCode::Unparsable));
    }

    #[test]
    fn an_empty_list_stands_for_an_empty_object_and_the_other_way_round() {
        let members = json!({"a": [], "b": {}, "c": "", "d": 0, "e": "x"});
        let members = Members::top(members.as_object().unwrap());
        for member in ["a", "b", "c", "d"] {
            assert!(members.object(member).unwrap().is_none(), "{member}");
            assert_eq!(members.list(member), Ok(&[][..]), "{member}");
        }
        assert_eq!(code(members.object("e")), Some(RetCode::Unparsable));
        assert_eq!(code(members.list("e")), Some(RetCode::Unparsable));
    }

    #[test]
    fn a_body_that_is_not_one_object_cannot_be_read() {
        for bytes in ["", "[]", "7", "{", "{}{}", "{\"a\":\"\\ud800\"}"] {
            assert_eq!(code(body(bytes.as_bytes())), Some(RetCode::Unparsable), "{bytes}");
        }
        assert_eq!(code(body(b"{\"a\":\"\xff\"}")), Some(RetCode::Unparsable));
        let deep = format!("{}{}", "{\"a\":".repeat(200), "1".to_owned() + &"}".repeat(200));
        assert_eq!(code(body(deep.as_bytes())), Some(RetCode::Unparsable));
        assert!(body(b" {\"a\": 1} ").is_ok());
        let quoted = json!("a secret").to_string();
        assert_eq!(
            body(quoted.as_bytes()).unwrap_err().text,
            "the body cannot be read: it is a text, send one JSON object in UTF-8"
        );
    }
}
