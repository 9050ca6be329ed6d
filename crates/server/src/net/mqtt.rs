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
        let hub = Arc::clone(&hub);
        tokio::spawn(async move {
            hub.serve(stream, peer).await;
            drop(admission);
        });
    }
}

/// Serves connections that begin with a TLS handshake.
pub(super) fn secure<D: Desk>(hub: Arc<Hub<D>>, shake: Handshake) -> impl FnMut(TcpStream, SocketAddr, Admission) {
    move |stream, peer, admission| {
        let (hub, shake) = (Arc::clone(&hub), shake.clone());
        tokio::spawn(async move {
            // Boxed: what is needed once is not part of every connection's memory.
            let stream = Box::pin(shake.hands(stream, peer)).await;
            if let Some(stream) = stream {
                hub.serve(stream, peer).await;
            }
            drop(admission);
        });
    }
}
