//! MQTT connections: handed to the own channel as they are, or once TLS is unwrapped.
//!
//! They are ended by the hub alone, which has something to say to its devices first: nothing here waits for them.

use std::net::SocketAddr;
use std::sync::Arc;

use pigeonloft_channels::xg::{Desk, Hub};
use tokio::net::TcpStream;

use super::accept::Admission;
use super::tls::Handshake;

/// Serves connections that are MQTT from their first byte.
pub(super) fn plain<D: Desk>(hub: Arc<Hub<D>>) -> impl FnMut(TcpStream, SocketAddr, Admission) {
    move |stream, peer, admission| {
        tokio::spawn(Arc::clone(&hub).serve(stream, peer, admission));
    }
}

/// Serves connections that begin with a TLS handshake.
pub(super) fn secure<D: Desk>(hub: Arc<Hub<D>>, shake: Handshake) -> impl FnMut(TcpStream, SocketAddr, Admission) {
    move |stream, peer, admission| {
        let (hub, shake) = (Arc::clone(&hub), shake.clone());
        tokio::spawn(async move {
            if let Some(stream) = shake.hands(stream, peer).await {
                // A task of its own: what the handshake needed is not part of every connection's memory.
                tokio::spawn(hub.serve(stream, peer, admission));
            }
        });
    }
}
