//! Alert: what a push shows on Apple's devices. It is all of a payload that attributes are filled into, so that the rest is
//! made once.

use pigeonloft_model::Push;
use pigeonloft_model::message::ALERT_TEXTS;
use serde_json::{Map, Value};

/// What is shown, before its texts are filled.
#[derive(Debug)]
pub(super) struct Alert {
    /// As it was given.
    given: Map<String, Value>,
    title: String,
    content: String,
    summary: Option<Value>,
}

impl Alert {
    /// Of a push; `given`: what it says in `aps.alert`.
    pub(super) fn of(push: &Push, given: Option<Value>) -> Self {
        Self {
            given: match given {
                Some(Value::Object(given)) => given,
                _ => Map::new(),
            },
            title: push.message.title.clone(),
            content: push.message.content.clone(),
            summary: push.message.rest.get("thread_sumtext").cloned(),
        }
    }

    /// With each text as `fill` makes it. Title and content take the place of what was given, unless they come out empty.
    pub(super) fn filled(&self, fill: impl Fn(&str) -> String) -> Map<String, Value> {
        let mut alert = self.given.clone();
        for name in ALERT_TEXTS {
            if let Some(Value::String(text)) = alert.get_mut(name) {
                *text = fill(text);
            }
        }
        for (name, text) in [("title", &self.title), ("body", &self.content)] {
            let text = fill(text);
            if !text.is_empty() {
                alert.insert(name.into(), Value::String(text));
            }
        }
        if let Some(text) = &self.summary {
            alert.insert("summary-arg".into(), text.clone());
        }
        alert
    }
}
