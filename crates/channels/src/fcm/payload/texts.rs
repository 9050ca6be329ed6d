//! Texts: title and content of a push on FCM. They are all of a payload that attributes are filled into, so that the rest is
//! made once.

use pigeonloft_model::{Message, Push};
use serde_json::Value;

/// Title and content, as they are shown.
#[derive(Debug)]
pub(super) enum Texts {
    /// The same for every device: their JSON.
    Same(String),
    /// Attributes are filled into them, for each device anew.
    Filled(Box<Given>),
}

/// As they were given.
#[derive(Debug)]
pub(super) struct Given {
    title: String,
    content: String,
    image: Option<Value>,
}

impl Given {
    pub(super) fn of(push: &Push) -> Self {
        let Message { title, content, rest, .. } = &push.message;
        let image = rest.get("xg_media_resources").cloned();
        Self { title: title.clone(), content: content.clone(), image }
    }

    /// Their JSON, with each text as `fill` makes it.
    pub(super) fn filled(&self, fill: impl Fn(&str) -> String) -> String {
        let (title, content) = (fill(&self.title), fill(&self.content));
        let texts = [("title", title), ("body", content)].into_iter().filter(|(_, text)| !text.is_empty());
        let texts = texts.map(|(name, text)| (name.to_owned(), Value::String(text)));
        let image = self.image.iter().map(|image| ("image".to_owned(), image.clone()));
        Value::Object(texts.chain(image).collect()).to_string()
    }
}
