//! HTTP/2: what the channels of vendors that speak it have in common: where the other side is, a few connections that stay
//! open, and batches sent over them. What a message is and what an answer means, the channel says.

mod client;
mod coalesced;
pub(crate) mod connection;

pub(crate) use client::{Authorized, Client, Speaks};
pub use connection::NotAnEndpoint;
pub(crate) use connection::{Answer, Endpoint, ask};
