//! Push: one call that sends one message to one audience, checked once when it comes in. Everything after works with
//! this type and checks nothing again. Who may call, and how often, is the server's business.

mod left_out;
mod wire;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::account::AccountType;
use crate::audience::Audience;
use crate::ids::PushId;
use crate::message::{Message, MessageType};
use crate::names::named;
use crate::outcome::Channel;
use crate::schedule::{Expire, Occurrences};

pub use left_out::{Exclude, PackageKind, Sample};

named! {
    /// Which of Apple's environments a device registered in. Always `product` elsewhere.
    Environment {
        /// Distribution.
        Product = "product",
        /// Development.
        Dev = "dev",
    }
}

named! {
    /// Which devices of an account a push is for.
    AccountPush {
        /// The one that bound the account last.
        Latest = "latest",
        /// All that are bound.
        All = "all",
    }
}

/// Whether a push may use a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelRule {
    /// The channel.
    pub channel: Channel,
    /// True: the push does not use it.
    pub disable: bool,
}

/// One push, checked. What a loose client left out, or sent as zero, empty or null, has its default here.
///
/// Serialized, it is what the store keeps: members are added to it with a default, never renamed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Push {
    /// Whom it is for.
    pub audience: Audience,
    /// Shown, or handed to the app.
    pub message_type: MessageType,
    /// Apple's environment.
    pub environment: Environment,
    /// What is sent.
    pub message: Message,
    /// How long it is kept for a device that is not online.
    pub expire: Expire,
    /// Unix seconds at which it starts; `None` = now. Packages only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_at: Option<i64>,
    /// The times at which it starts, if it is repeated; then `send_at` says nothing. Packages only. Not stored: each
    /// occurrence is a push of its own.
    #[serde(skip)]
    pub occurrences: Option<Occurrences>,
    /// Type of the accounts of the audience.
    #[serde(default)]
    pub account_type: AccountType,
    /// Which devices of an account.
    pub account_push: AccountPush,
    /// `token` and `token_list`: true = a token nobody has is left out and listed in the answer; false = it fails the
    /// call.
    #[serde(default)]
    pub ignore_invalid_token: bool,
    /// The number or text which the answer echoes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<Value>,
    /// The earlier push that this one takes the place of; once it is taken, the first of their line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collapse_id: Option<PushId>,
    /// Deliver also where the earlier message cannot be replaced.
    #[serde(default)]
    pub force_collapse: bool,
    /// Devices a second, 1,000–50,000; `None` = as fast as possible. Packages only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push_speed: Option<u32>,
    /// At most one for each channel: of two the later counts. No rule = the channel is on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channel_rules: Vec<ChannelRule>,
    /// `tpns_online_push_type` 1: a device online on the own channel is reached through its vendor's all the same.
    #[serde(default)]
    pub skip_own_channel_online: bool,
    /// For every package name of the app.
    #[serde(default)]
    pub multi_pkg: bool,
    /// The plan whose statistics it counts in; at most [`Push::PLAN_ID_MAX`] characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_id: Option<String>,
    /// The group whose statistics it counts in; at most [`Push::GROUP_ID_MAX`] characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    /// Whom it leaves out; our own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclude: Option<Exclude>,
    /// For how many of its devices it is; `None` = all. Our own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Sample>,
}

impl Push {
    /// Slowest `push_speed`, as documented.
    pub const SPEED_MIN: u32 = 1_000;
    /// Characters of a `seq` that is echoed; not documented, our choice.
    pub const SEQ_MAX: usize = 256;
    /// Fastest `push_speed`, as documented.
    pub const SPEED_MAX: u32 = 50_000;
    /// Characters of a `plan_id`; not documented, our choice.
    pub const PLAN_ID_MAX: usize = 64;
    /// Characters of a `group_id`; not documented, our choice.
    pub const GROUP_ID_MAX: usize = 64;

    /// The text the store keeps of it.
    #[must_use]
    pub fn to_stored(&self) -> String {
        // Text, numbers and maps with text keys, all of which JSON has: there is nothing that could fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads what the store kept.
    ///
    /// # Errors
    /// The text is not what [`Push::to_stored`] wrote.
    pub fn from_stored(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The push that takes this one back, by our own channel, whichever this one may use: no other takes anything back. And
    /// until when (unix seconds): it is kept for devices that are offline for as long as this one is, until `expire_at`;
    /// after that, devices online at `now` are told alone.
    #[must_use]
    pub fn revocation(&self, expire_at: i64, now: i64) -> (Self, i64) {
        let message = Message {
            title: String::new(),
            content: String::new(),
            accept_time: Vec::new(),
            android: None,
            ios: None,
            rest: Map::new(),
        };
        let expire = if expire_at > now { Expire::DEFAULT } else { Expire::OnlineOnly };
        let push = Self {
            message_type: MessageType::Message,
            message,
            expire,
            send_at: None,
            occurrences: None,
            seq: None,
            collapse_id: None,
            push_speed: None,
            channel_rules: Vec::new(),
            plan_id: None,
            group_id: None,
            exclude: None,
            sample: None,
            ..self.clone()
        };
        (push, if expire_at > now { expire_at } else { expire.deadline(now) })
    }

    /// Whether it may go through a channel.
    #[must_use]
    pub fn allows(&self, channel: Channel) -> bool {
        self.channel_rules.iter().find(|rule| rule.channel == channel).is_none_or(|rule| !rule.disable)
    }
}
