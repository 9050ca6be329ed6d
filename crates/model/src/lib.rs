//! What a push *is*: ids, message, audience, outcome and ret codes. Pure: no I/O, no clock, no async.

pub mod ids;

pub use ids::{AccessId, DeviceId, MessageId, PushId, Token, UploadId};
