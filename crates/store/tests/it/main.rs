//! The store, over a real SQLite file in a folder of its own: what it promises its callers, as stories.

mod apart;
mod devices;
mod import;
mod outcomes;
mod packages;
mod sums;
mod support;
mod writer;
