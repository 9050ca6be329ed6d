//! Schemas, written shortly. A schema is a JSON value; one with a title becomes a component of the document.

use std::ops::RangeInclusive;

use pigeonloft_model::message::{Kind, Table};
use pigeonloft_model::{Account, AccountType, Token};
use serde_json::{Map, Value, json};

/// A text.
pub(in crate::api) fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

/// A text of at most so many characters.
pub(in crate::api) fn text_of(characters: RangeInclusive<usize>, description: &str) -> Value {
    json!({ "type": "string", "minLength": characters.start(), "maxLength": characters.end(), "description": description })
}

/// A text of at most so many characters, none of which is a control character.
pub(in crate::api) fn name_of(characters: RangeInclusive<usize>, description: &str) -> Value {
    let mut schema = text_of(characters, description);
    schema["pattern"] = r"^[^\u0000-\u001f\u007f-\u009f]*$".into();
    schema
}

/// One of these texts.
pub(in crate::api) fn choice<'a>(known: impl IntoIterator<Item = &'a str>, description: &str) -> Value {
    json!({ "type": "string", "enum": known.into_iter().collect::<Vec<_>>(), "description": description })
}

/// A whole number within the range.
pub(in crate::api) fn whole(range: RangeInclusive<i64>, description: &str) -> Value {
    json!({ "type": "integer", "format": "int64", "minimum": range.start(), "maximum": range.end(), "description": description })
}

/// How many there are of something.
pub(in crate::api) fn count(description: &str) -> Value {
    json!({ "type": "integer", "format": "int64", "minimum": 0, "description": description })
}

/// A moment, unix seconds.
pub(in crate::api) fn moment(description: &str) -> Value {
    json!({ "type": "integer", "format": "int64", "description": format!("{description}, unix seconds") })
}

/// A number that may be a fraction.
pub(in crate::api) fn fraction(description: &str) -> Value {
    json!({ "type": "number", "format": "double", "minimum": 0, "description": description })
}

/// True or false.
pub(in crate::api) fn switch(description: &str) -> Value {
    json!({ "type": "boolean", "description": description })
}

/// 0 or 1, as v3 has its switches.
pub(in crate::api) fn bit(description: &str) -> Value {
    whole(0..=1, description)
}

/// A list of at most so many.
pub(in crate::api) fn list_of(max: usize, of: Value, description: &str) -> Value {
    json!({ "type": "array", "items": of, "maxItems": max, "description": description })
}

/// A list.
pub(in crate::api) fn list(of: Value, description: &str) -> Value {
    json!({ "type": "array", "items": of, "description": description })
}

/// An object of a request: members beside these are ignored.
pub(in crate::api) fn asked<const N: usize>(title: &str, required: &[&str], members: [(&str, Value); N]) -> Value {
    json!({ "title": title, "type": "object", "properties": named(members), "required": required })
}

/// An object of a request that takes some members of another, all of them optional.
pub(in crate::api) fn part_of(whole: &Value, title: &str, members: &[&str]) -> Value {
    let properties: Map<String, Value> =
        members.iter().map(|name| ((*name).to_owned(), whole["properties"][*name].clone())).collect();
    json!({ "title": title, "type": "object", "properties": properties })
}

/// An object of an answer: these members, and all of them.
pub(in crate::api) fn answered<const N: usize>(title: &str, members: [(&str, Value); N]) -> Value {
    let required: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
    json!({ "title": title, "type": "object", "required": required, "properties": named(members), "additionalProperties": false })
}

/// Any object.
pub(in crate::api) fn any_object(description: &str) -> Value {
    json!({ "type": "object", "additionalProperties": true, "description": description })
}

fn named<const N: usize>(members: [(&str, Value); N]) -> Map<String, Value> {
    members.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

/// The same, or null.
pub(in crate::api) fn nullable(mut schema: Value) -> Value {
    if schema.get("title").or(schema.get("enum")).is_some() {
        return json!({ "oneOf": [schema, { "type": "null" }] });
    }
    schema["type"] = json!([schema["type"], "null"]);
    schema
}

/// The same, with an example.
pub(in crate::api) fn such_as(mut schema: Value, example: impl Into<Value>) -> Value {
    schema["examples"] = json!([example.into()]);
    schema
}

/// The id of a push, which is a text.
pub(in crate::api) fn push_id(description: &str) -> Value {
    json!({ "type": "string", "pattern": "^[1-9][0-9]{0,17}$", "description": description })
}

/// A device's token.
pub(in crate::api) fn token() -> Value {
    json!({
        "type": "string", "pattern": format!("^[0-9a-f]{{{}}}$", Token::LENGTH),
        "description": "a device's token, lowercase hexadecimal",
    })
}

/// The name of an account.
pub(in crate::api) fn account_name() -> Value {
    name_of(Account::NAME_MIN..=Account::NAME_MAX, "the account's name, without control characters")
}

/// The type of an account.
pub(in crate::api) fn account_type() -> Value {
    let [first, last] = AccountType::RANGES;
    let description =
        format!("{}-{} or {}-{}; 0 where none is given", first.start(), first.end(), last.start(), last.end());
    whole(i64::from(*first.start())..=i64::from(*last.end()), &description)
}

/// An object of `message`, from the table it is read by.
pub(in crate::api) fn of_table(title: &str, table: Table) -> Value {
    let members: Map<String, Value> = members_of(table).collect();
    json!({ "title": title, "type": "object", "properties": members })
}

/// The members of a table.
pub(in crate::api) fn members_of(table: Table) -> impl Iterator<Item = (String, Value)> {
    table.iter().map(|(name, kind)| ((*name).to_owned(), of_kind(kind)))
}

fn of_kind(kind: &Kind) -> Value {
    match kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::Number(min, max) => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Nonzero(min, max) => {
            json!({ "type": "integer", "minimum": min, "maximum": max, "description": "0: not set" })
        }
        Kind::Choice(known) => json!({ "type": "string", "enum": known }),
        Kind::Object(table) => json!({ "type": "object", "properties": members_of(table).collect::<Map<_, _>>() }),
        Kind::TextOrObject => json!({ "oneOf": [{ "type": "string" }, any_object("")] }),
        Kind::JsonText => {
            json!({ "type": "string", "contentMediaType": "application/json", "description": "JSON in a text" })
        }
    }
}

/// Moves every schema that has a title to `schemas`, and puts a reference in its place.
pub(super) fn hoist(value: &mut Value, schemas: &mut Map<String, Value>) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(|value| hoist(value, schemas)),
        Value::Object(map) => {
            // Examples are values, whatever their members are called.
            let parts = map.iter_mut().filter(|(name, _)| !matches!(name.as_str(), "example" | "examples"));
            parts.for_each(|(_, value)| hoist(value, schemas));
            let title = map.get("title").and_then(Value::as_str).filter(|_| map.contains_key("type"));
            if let Some(title) = title.map(str::to_owned) {
                map.remove("title");
                let schema = std::mem::replace(value, json!({ "$ref": format!("#/components/schemas/{title}") }));
                schemas.insert(title, schema);
            }
        }
        _ => {}
    }
}
