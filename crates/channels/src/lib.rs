//! Channels: the ways a message takes to a device.
//!
//! One folder for each. A channel knows what a push is (`pigeonloft-model`) and nothing of the store: what it needs
//! from the server, it asks for through a trait of its own. Those of vendors have one shape, [`vendor`].

pub mod apns;
mod budget;
pub mod fcm;
mod http2;
mod reach;
mod retry_after;
mod sim_tls;
pub mod vendor;
pub mod webpush;
pub mod xg;

pub use sim_tls::sim_tls;
