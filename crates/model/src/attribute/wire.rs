//! Wire: the body of `POST /v3/device/set_custom_attribute`.

use super::{AttributeCall, AttributeOperation, NAME_BYTES_MAX, NAMES_MAX, VALUE_BYTES_MAX};
use crate::loose::{self, Members};
use crate::ret::{Fault, RetCode, excerpt};

impl AttributeCall {
    /// Reads a call. A value that is empty or null takes the attribute off, a number is a text; 0 is a value.
    ///
    /// # Errors
    /// Not JSON (1008001), no `cmd`, `token` or, of `cmd` 1 to 3, `attributeInfo.attributeMap` (1008002), a text that is
    /// no token (1008006), another `cmd`, more names than an app may declare, or a longer name or value than allowed
    /// (1008007).
    pub fn parse(body: &[u8]) -> Result<Self, Fault> {
        let whole = loose::body(body)?;
        let given = Members::top(&whole);
        let command = given.positive("cmd", 1..=5)?;
        let command: i64 = command.ok_or_else(|| Fault::missing("cmd", "say what to do, a number from 1 to 5"))?;
        let token = given.text("token")?.ok_or_else(|| Fault::missing("token", "give the device's token"))?;
        let token = token
            .trim()
            .parse()
            .map_err(|error| Fault::new(RetCode::InvalidToken, format!("token is {}: {error}", excerpt(&token))))?;
        let operation = match command {
            1 | 2 => AttributeOperation::Set(attributes(&given, true)?),
            3 => AttributeOperation::Set(attributes(&given, false)?),
            4 => AttributeOperation::Clear,
            _ => AttributeOperation::Query,
        };
        Ok(Self { token, operation })
    }
}

/// What stands in `attributeInfo.attributeMap`; without values, if they are not to be looked at.
fn attributes(given: &Members<'_>, with_values: bool) -> Result<Vec<(String, Option<String>)>, Fault> {
    let map = given.object("attributeInfo")?.map(|info| info.object("attributeMap")).transpose()?.flatten();
    let map = map.ok_or_else(|| {
        Fault::missing(
            "attributeInfo.attributeMap",
            r#"this cmd needs at least one attribute in it, {"name": "value"}"#,
        )
    })?;
    let place = "attributeInfo.attributeMap";
    let count = map.iter().count();
    if count > NAMES_MAX {
        return Err(Fault::invalid(place, format_args!("it has {count} attributes, an app has at most {NAMES_MAX}")));
    }
    let mut attributes = Vec::with_capacity(count);
    for (name, value) in map.iter() {
        let quoted = excerpt(name);
        if name.len() > NAME_BYTES_MAX {
            let remedy = format!("the name {quoted} has {} bytes, of at most {NAME_BYTES_MAX}", name.len());
            return Err(Fault::invalid(place, remedy));
        }
        let value = if with_values { loose::text(value, &|| format!("{place}.{quoted}"))? } else { None };
        if let Some(bytes) = value.as_ref().map(String::len).filter(|bytes| *bytes > VALUE_BYTES_MAX) {
            let remedy = format!("the value has {bytes} bytes, of at most {VALUE_BYTES_MAX}");
            return Err(Fault::invalid(format_args!("{place}.{quoted}"), remedy));
        }
        attributes.push((name.clone(), value));
    }
    Ok(attributes)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef0123";

    fn call(command: i64, map: Value) -> Result<AttributeOperation, Fault> {
        let body = json!({"cmd": command, "token": TOKEN, "attributeInfo": {"attributeMap": map}});
        AttributeCall::parse(body.to_string().as_bytes()).map(|call| call.operation)
    }

    fn code(result: Result<AttributeOperation, Fault>) -> i32 {
        result.err().map_or(0, |fault| fault.code.code())
    }

    #[test]
    fn adding_and_updating_set_what_is_given_and_deleting_takes_it_off() {
        let set = |value: Option<&str>| Ok(AttributeOperation::Set(vec![("a".into(), value.map(str::to_owned))]));
        assert_eq!(call(1, json!({"a": "x"})), set(Some("x")));
        assert_eq!(call(2, json!({"a": 0})), set(Some("0")));
        assert_eq!(call(2, json!({"a": ""})), set(None));
        assert_eq!(call(3, json!({"a": ["whatever"]})), set(None));
        assert_eq!(call(4, json!(null)), Ok(AttributeOperation::Clear));
        assert_eq!(call(5, json!(null)), Ok(AttributeOperation::Query));
    }

    #[test]
    fn names_and_values_have_so_many_bytes_and_not_one_more() {
        for (name, value, expected) in [
            ("信".repeat(16) + "ab", "信".repeat(16) + "ab", 0),
            ("信".repeat(17), "x".into(), 1_008_007),
            ("a".into(), "信".repeat(17), 1_008_007),
        ] {
            assert_eq!(code(call(1, json!({ name: value }))), expected);
        }
        let many = |count: usize| (0..count).map(|n| (n.to_string(), json!("x"))).collect::<Value>();
        assert_eq!((code(call(1, many(50))), code(call(1, many(51)))), (0, 1_008_007));
    }

    #[test]
    fn what_is_missing_or_cannot_be_meant_is_refused() {
        for (body, expected) in [
            (json!({"token": TOKEN}), 1_008_002),
            (json!({"cmd": 6, "token": TOKEN}), 1_008_007),
            (json!({"cmd": 4}), 1_008_002),
            (json!({"cmd": 4, "token": "x"}), 1_008_006),
            (json!({"cmd": 1, "token": TOKEN}), 1_008_002),
            (json!({"cmd": 1, "token": TOKEN, "attributeInfo": {"attributeMap": {}}}), 1_008_002),
            (json!({"cmd": 1, "token": TOKEN, "attributeInfo": "x"}), 1_008_001),
            (json!({"cmd": 1, "token": TOKEN, "attributeInfo": {"attributeMap": {"a": {}}}}), 1_008_001),
        ] {
            let read = AttributeCall::parse(body.to_string().as_bytes()).map(|call| call.operation);
            assert_eq!(code(read), expected, "{body}");
        }
    }

    #[test]
    fn a_name_can_be_written_in_a_text() {
        assert_eq!(super::super::name(" nick name "), Ok("nick name"));
        for unfit in ["", " ", "a|b", "{a", "a}", "a\nb", &"a".repeat(51)] {
            assert!(super::super::name(unfit).is_err(), "{unfit}");
        }
    }
}
