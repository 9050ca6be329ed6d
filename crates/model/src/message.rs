//! Message: what is shown to the user, or handed to the app, on each device of a push. Only what is meant for the
//! app's platform is kept. How a device gets it is [`Payload`](crate::Payload)'s, how a vendor does the channel's.

pub(crate) mod wire;

pub use wire::{Kind, Table};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::names::{named, numbered};
use crate::ret::{Fault, excerpt};
use crate::text::{Piece, is_filled, pieces};

named! {
    /// What a device does with a message.
    MessageType {
        /// Shows it in the notification bar.
        Notify = "notify",
        /// Hands it to the app and shows nothing.
        Message = "message",
    }
}

numbered! {
    MessageType { Notify = 1, Message = 2, }
}

/// Members of an alert of Apple's that are texts.
pub const ALERT_TEXTS: [&str; 3] = ["title", "subtitle", "body"];

/// A time of day, in the zone the operator configured: a device's own is not known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeOfDay {
    /// 0–23.
    pub hour: u8,
    /// 0–59.
    pub min: u8,
}

/// A part of the day in which a message may go to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptTime {
    /// From here on.
    pub start: TimeOfDay,
    /// To here, itself no longer. Before `start`: past midnight. The same as `start`: the whole day.
    pub end: TimeOfDay,
}

/// A message, in the form of the published API, known members checked and in their own type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Title; empty where none was given. For Apple platforms the title of `ios.aps.alert` stands in.
    #[serde(default)]
    pub title: String,
    /// Text; empty where none was given. For Apple platforms the body of `ios.aps.alert` stands in.
    #[serde(default)]
    pub content: String,
    /// When it may be shown; empty = at any time. Own channel only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accept_time: Vec<AcceptTime>,
    /// The `android` object; only for apps on Android and Web.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub android: Option<Map<String, Value>>,
    /// The `ios` object; only for apps on iOS and macOS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ios: Option<Map<String, Value>>,
    /// Everything else of the message, `thread_id` and the like. A member this server does not know goes to the
    /// device as it came.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Message {
    /// Bytes of the `message` member as it came, documented as "at most 4 KB".
    pub const MAX_BYTES: usize = 4_096;

    /// Places of attributes in one text; not documented, our choice. It bounds how much longer a filled text is.
    pub const PLACES_MAX: usize = 20;

    /// The `custom_content` of the platform's object, a text as it came.
    #[must_use]
    pub fn custom_content(&self) -> Option<&str> {
        self.android.as_ref().or(self.ios.as_ref())?.get("custom_content")?.as_str()
    }

    /// The texts that may have places of attributes in them, each with where it stands in the call.
    fn texts(&self) -> impl Iterator<Item = (String, &str)> {
        let alert = self.ios.as_ref().and_then(|ios| ios.get("aps")?.get("alert"));
        let of_alert = ALERT_TEXTS
            .iter()
            .filter_map(move |name| Some((format!("message.ios.aps.alert.{name}"), alert?.get(name)?.as_str()?)));
        let alert = alert.and_then(Value::as_str).map(|text| ("message.ios.aps.alert".to_owned(), text));
        let own = [("message.title", &self.title), ("message.content", &self.content)];
        // The alert first: where it stands in for a title, it is what the caller knows.
        alert.into_iter().chain(of_alert).chain(own.map(|(place, text)| (place.to_owned(), text.as_str())))
    }

    /// Whether its texts are other than they came: attributes are filled into them, or places without a name.
    #[must_use]
    pub fn is_filled(&self) -> bool {
        self.texts().any(|(_, text)| is_filled(text))
    }

    /// Whether its texts can be filled in an app that has declared these attributes.
    ///
    /// # Errors
    /// A text names another, or has too many places (1008007).
    pub fn check_attributes(&self, declared: &[String]) -> Result<(), Fault> {
        for (place, text) in self.texts() {
            let names = pieces(text).filter_map(|piece| match piece {
                Piece::Attribute { name, .. } => Some(name),
                Piece::Plain(_) => None,
            });
            for (count, name) in names.enumerate() {
                if count == Self::PLACES_MAX {
                    let remedy = format!("it names more than {} attributes, leave some out", Self::PLACES_MAX);
                    return Err(Fault::invalid(place, remedy));
                }
                if !declared.iter().any(|known| known == name) {
                    let name = excerpt(name);
                    let remedy = format!(
                        "the app has no attribute {name}; declare it with `pigeonloft app attribute add`, or write \
                         {{{{|{{{{}}}} where two braces are meant"
                    );
                    return Err(Fault::invalid(place, remedy));
                }
            }
        }
        Ok(())
    }
}
