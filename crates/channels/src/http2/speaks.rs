//! Speaks: what a channel says of its messages and of their answers.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request};
use pigeonloft_model::{Code, Verdict};

use super::connection::Answer;
use crate::vendor::Target;

/// What an answer says.
pub(crate) enum Authorized {
    /// This, of the message.
    Yes(Verdict),
    /// That we are not, with a word for why; the message was not looked at.
    No(Code),
}

/// Of what a word is with which a message is to be sent later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Concerns {
    /// Of the vendor, who takes nothing now.
    Vendor,
    /// Of our pace: the vendor takes messages, but not so many.
    Pace,
    /// Of this device alone, which gets too many. That does not pass while its batch waits.
    Device,
}

/// What a channel says of the messages of a push, and of the answers.
pub(crate) trait Speaks: Sync {
    /// The authorization of the next messages; `None`: they need none, for the connection itself is authorized.
    ///
    /// # Errors
    /// There should be one and is not, and this is what becomes of them.
    fn authorization(&self) -> impl Future<Output = Result<Option<HeaderValue>, Verdict>> + Send;

    /// This authorization was refused. Another is to be had, or this is what becomes of the messages.
    fn refused(&self, authorization: &HeaderValue, code: Code) -> Result<(), Verdict>;

    /// The message to a device.
    ///
    /// # Errors
    /// There can be none.
    fn request(&self, authorization: Option<&HeaderValue>, target: &Target) -> Result<(Request<()>, Bytes), Verdict>;

    /// What an answer says.
    fn read(&self, answer: &Answer) -> Authorized;

    /// Of what this word is, with which a message is to be sent later.
    fn concerns(&self, code: &str) -> Concerns;

    /// Whether the vendor ends the connection with this word, over which nothing more is to be sent then.
    fn ends_connection(&self, _code: &str) -> bool {
        false
    }

    /// How long from now the next message is to wait, which has its place with this.
    fn pace(&self) -> Duration {
        Duration::ZERO
    }
}
