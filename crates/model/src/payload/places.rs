//! Places: where in a payload attributes are filled in. The texts are cut there once, when the push comes in; a device's
//! payload is the pieces with what the device has between them.

use serde_json::{Map, Value, json};

use super::NotAPayload;
use crate::message::ALERT_TEXTS;
use crate::text::{Piece, pieces};

/// Where an attribute is filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// In bytes of the payload's object, inside of a JSON text.
    pub(super) at: usize,
    pub(super) name: String,
    /// What is filled in where a device has none.
    pub(super) default: String,
}

/// All places of a payload, in their order. None takes no memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Places(Vec<Place>);

impl Places {
    /// The places of an object, and the object as JSON without them.
    pub(super) fn cut_out(object: &Map<String, Value>) -> (Self, String) {
        let mut writer = Writer::default();
        writer.object(object, |writer, name, value| match (name, value) {
            ("title" | "content", Value::String(text)) => writer.text(text),
            ("ios", Value::Object(ios)) => writer.ios(ios),
            (_, value) => writer.json.push_str(&value.to_string()),
        });
        (Self(writer.places), writer.json)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Place> {
        self.0.iter()
    }

    /// The names in them, each once.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.iter().map(|place| place.name.clone()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// What stands before a stored object: nothing where there are none.
    pub(super) fn to_stored(&self) -> String {
        if self.is_empty() {
            return String::new();
        }
        let places = self.iter().map(|Place { at, name, default }| json!([at, name, default]));
        places.collect::<Value>().to_string()
    }

    /// Reads what stands before a stored object. Answers where the object begins, too.
    pub(super) fn from_stored(stored: &str) -> Result<(Self, usize), NotAPayload> {
        if !stored.starts_with('[') {
            return Ok((Self::default(), 0));
        }
        let mut list = serde_json::Deserializer::from_str(stored).into_iter::<Vec<(usize, String, String)>>();
        let places = list.next().and_then(Result::ok).ok_or(NotAPayload)?;
        let begin = list.byte_offset();
        let mut least = 1;
        for (at, _, _) in &places {
            if *at < least || !stored[begin..].is_char_boundary(*at) {
                return Err(NotAPayload);
            }
            least = *at;
        }
        let places = places.into_iter().map(|(at, name, default)| Place { at, name, default });
        Ok((Self(places.collect()), begin))
    }
}

/// What goes into a JSON text between its quotes.
pub(super) fn escaped(text: &str) -> String {
    let mut quoted = Value::from(text).to_string();
    quoted.pop();
    quoted.remove(0);
    quoted
}

/// An object being written, and the places that were cut out of it.
#[derive(Default)]
struct Writer {
    json: String,
    places: Vec<Place>,
}

impl Writer {
    fn object(&mut self, object: &Map<String, Value>, mut member: impl FnMut(&mut Self, &str, &Value)) {
        self.json.push('{');
        for (nth, (name, value)) in object.iter().enumerate() {
            let comma = if nth == 0 { "" } else { "," };
            self.json.push_str(&format!("{comma}\"{}\":", escaped(name)));
            member(self, name, value);
        }
        self.json.push('}');
    }

    fn ios(&mut self, ios: &Map<String, Value>) {
        self.object(ios, |writer, name, value| match (name, value) {
            ("aps", Value::Object(aps)) => writer.object(aps, |writer, name, value| match (name, value) {
                ("alert", Value::String(text)) => writer.text(text),
                ("alert", Value::Object(alert)) => writer.alert(alert),
                (_, value) => writer.json.push_str(&value.to_string()),
            }),
            (_, value) => writer.json.push_str(&value.to_string()),
        });
    }

    fn alert(&mut self, alert: &Map<String, Value>) {
        self.object(alert, |writer, name, value| match value {
            Value::String(text) if ALERT_TEXTS.contains(&name) => writer.text(text),
            value => writer.json.push_str(&value.to_string()),
        });
    }

    fn text(&mut self, text: &str) {
        self.json.push('"');
        for piece in pieces(text) {
            match piece {
                Piece::Plain(plain) => self.json.push_str(&escaped(plain)),
                Piece::Attribute { name, default } => {
                    self.places.push(Place { at: self.json.len(), name: name.into(), default: default.into() });
                }
            }
        }
        self.json.push('"');
    }
}
