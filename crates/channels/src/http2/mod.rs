//! HTTP/2: what the channels of vendors that speak it have in common: where the other side is, a few connections that stay
//! open, and batches sent over them. What a message is and what an answer means, the channel says.

mod batch;
mod client;
mod coalesced;
pub(crate) mod connection;
mod lane;
mod speaks;

pub(crate) use client::Client;
pub use connection::NotAnEndpoint;
pub(crate) use connection::{Answer, Endpoint, Trust, ask};
pub(crate) use speaks::{Authorized, Concerns, Speaks};
