//! Message: what is shown to the user, or handed to the app, on each device of a push. Only what is meant for the
//! app's platform is kept. How a device gets it is [`Payload`](crate::Payload)'s, how a vendor does the channel's.

pub(crate) mod wire;

pub use wire::{Kind, Table};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::names::{named, numbered};

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

    /// The `custom_content` of the platform's object, a text as it came.
    #[must_use]
    pub fn custom_content(&self) -> Option<&str> {
        self.android.as_ref().or(self.ios.as_ref())?.get("custom_content")?.as_str()
    }
}
