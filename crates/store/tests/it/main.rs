//! The store, over a real SQLite file in a folder of its own: what it promises its callers, as stories.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod accept;
mod answers;
mod apart;
mod attributes;
mod deleted;
mod devices;
mod import;
mod log;
mod outcomes;
mod packages;
mod parked;
mod revocations;
mod schema;
mod stops;
mod sums;
mod support;
mod writer;
