//! Pigeonloft, the program: configuration, network, API, dispatch and command line.
//!
//! ```text
//! net ─ api ─┬─ upload ── package files ─┐
//!            ├─ push ─────────────────── store ── dispatch ── channels
//!            └─ devices, statistics ─────┘            desk ──┘
//! ```

pub mod api;
pub mod auth;
mod backoff;
pub mod chain;
pub mod cli;
pub mod clock;
pub mod config;
pub mod desk;
pub mod dispatch;
pub mod folder;
mod held;
pub mod hourly;
pub mod housekeeping;
pub mod lock;
pub mod loft;
pub mod metrics;
pub mod multipart;
pub mod net;
pub mod openings;
pub mod packages;
pub mod password;
pub mod recorder;
pub mod registrations;
pub mod serve;
pub mod stops;
pub mod turns;
pub mod vault;
pub mod vendors;
