//! What a push *is*: ids, message, audience, outcome and ret codes. Pure: no I/O, no clock, no async.

pub mod account;
pub mod app;
pub mod attribute;
pub mod audience;
pub mod day;
pub mod ids;
mod loose;
pub mod message;
mod names;
pub mod networks;
pub mod outcome;
pub mod payload;
pub mod plan;
pub mod push;
pub mod ret;
pub mod schedule;
pub mod statistics;
pub mod tag;
pub mod text;

pub use account::{Account, AccountOperation, AccountQuery, AccountType, TokenAccounts};
pub use app::Platform;
pub use attribute::{AttributeCall, AttributeOperation, Values};
pub use audience::{Audience, AudienceKind};
pub use day::{Day, DayFormat, Days};
pub use ids::{AccessId, DeviceId, MessageId, PlanId, PushId, Token, UploadId};
pub use message::{Message, MessageType};
pub use names::Unknown;
pub use networks::{Networks, NotNetworks};
pub use outcome::{Channel, Outcome, PushState, ReceiptEvent};
pub use payload::Payload;
pub use push::{AccountPush, Environment, Exclude, PackageKind, Push, Sample};
pub use ret::{Fault, RetCode};
pub use schedule::{AcceptMinutes, Expire, Occurrences, Zone};
pub use statistics::{PushRecordQuery, Tally};
pub use tag::{Tag, TagExpression, TagOperation, TagRules, TagType, TokenTag};
pub use text::Piece;
