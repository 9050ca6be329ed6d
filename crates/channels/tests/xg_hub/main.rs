//! The hub and its connections, over pipes: what a device sees, and what the server is told.

mod admission;
mod bad_devices;
#[path = "../common/mod.rs"]
mod common;
mod delivery;
mod endings;
mod receipts;

use common::LONG;
use mqtt_proto::Protocol;
use mqtt_proto::v5::{self, DisconnectReasonCode, Packet};
use pigeonloft_channels::xg::{AckSet, Tracker};
use tokio::time::Instant;

pub(crate) const VERSIONS: [Protocol; 2] = [Protocol::V311, Protocol::V500];

pub(crate) fn soon() -> Instant {
    Instant::now() + LONG
}

pub(crate) fn disconnected(reason: DisconnectReasonCode) -> Option<Packet> {
    Some(v5::Disconnect::new(reason).into())
}

pub(crate) fn acked(tracker: &Tracker) -> Vec<usize> {
    tracker.close_with(|set: &AckSet| set.iter().collect())
}
