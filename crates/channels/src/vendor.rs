//! Vendor: what the channels of vendors have in common, whatever they speak.
//!
//! A channel is opened for a push, which builds everything that its messages share, and is then given its devices a batch
//! at a time. It answers a [`Verdict`] for each, in their order, and knows nothing of what follows from it.

use std::fmt::Debug;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use pigeonloft_model::attribute::Values;
use pigeonloft_model::{DeviceId, Push, PushId, Verdict};

/// A device, as a vendor's channel knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The device.
    pub device: DeviceId,
    /// The vendor's token of it.
    pub token: String,
    /// What the channel needs beside the token, in its own terms.
    pub detail: Option<String>,
}

/// A push, as a channel sends it.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// Its id.
    pub push_id: PushId,
    /// The push.
    pub push: &'a Push,
    /// When it expires, unix seconds.
    pub expire_at: i64,
}

/// A vendor's channel of one app.
pub trait Vendor: Debug + Send + Sync {
    /// Builds what all messages of a push share.
    ///
    /// # Errors
    /// The vendor would take none of them, and this is why.
    fn open(self: Arc<Self>, push: &Outgoing<'_>) -> Result<Box<dyn Opened>, Verdict>;
}

/// A vendor's channel, opened for a push.
pub trait Opened: Debug + Send + Sync {
    /// The service that the message to this device goes to, where a channel's devices name different ones: its scheme, host and
    /// port, as whoever registered the device wrote them. Empty: the channel's one service, or none that could be asked.
    fn origin(&self, _target: &Target) -> String {
        String::new()
    }

    /// Sends the message to each of these; the verdicts stand in their order. What the vendor does not take now is sent again
    /// for a while, what it may have taken is not. Dropping the future leaves open which are sent.
    /// `values`: what is filled into its texts.
    fn send<'a>(&'a self, targets: &'a [Target], values: &'a Values) -> BoxFuture<'a, Vec<Verdict>>;
}
