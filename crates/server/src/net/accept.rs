//! Accept: takes connections from a listening socket for as long as the server runs, whatever happens.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::bounds::{Bounds, Over, Place};
use super::socket;
use crate::backoff::Backoff;
use crate::metrics::Listener;

/// How long to wait when the system has no connection to give.
const PAUSE: Backoff = Backoff::new(Duration::from_millis(5), Duration::from_secs(1));

/// A connection's permission to be open, and its part in the count of open ones. Held as long as it is open.
#[derive(Debug)]
pub(crate) struct Admission {
    _place: Place,
    open: Gauge,
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.open.dec();
    }
}

/// What stands between a socket and whoever connects to it.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    /// `http`, `https`, `mqtt` or `mqtts`.
    pub(super) name: &'static str,
    pub(super) bounds: Arc<Bounds>,
    pub(super) counters: Listener,
}

impl Gate {
    pub(super) fn admit(&self, peer: SocketAddr) -> Option<Admission> {
        match self.bounds.enter(peer.ip()) {
            Ok(place) => {
                self.counters.accepted.inc();
                self.counters.open.inc();
                Some(Admission { _place: place, open: self.counters.open.clone() })
            }
            Err(over) => {
                match over {
                    Over::InAll => self.counters.refused_in_all.inc(),
                    Over::FromAddress => self.counters.refused_from_address.inc(),
                };
                tracing::debug!(listener = self.name, %peer, ?over, "too many connections: closed at once");
                None
            }
        }
    }
}

/// Takes connections until `shutdown` and hands them to `serve`, which must return at once.
pub(super) async fn run<S>(listener: TcpListener, gate: Gate, shutdown: CancellationToken, mut serve: S)
where
    S: FnMut(TcpStream, SocketAddr, Admission),
{
    let mut pause = PAUSE;
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                pause.reset();
                // An IPv4 client of a socket of both kinds is shown as what it is.
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                if let Some(admission) = gate.admit(peer) {
                    socket::set_up(&stream);
                    serve(stream, peer, admission);
                }
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                gate.counters.accept_failures.inc();
                tracing::error!(listener = gate.name, %error, "no connection can be accepted now; trying again");
                // Without a pause this would take a whole core while files are out.
                let waited = shutdown.run_until_cancelled(tokio::time::sleep(pause.wait())).await;
                if waited.is_none() {
                    return;
                }
            }
        }
    }
}

/// The connection broke between its coming and its being accepted: the next one is another matter.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted, TimedOut};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted | TimedOut)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::sync::mpsc;

    use super::*;
    use crate::metrics::Metrics;

    #[tokio::test]
    async fn a_connection_over_the_bound_is_closed_at_once_and_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let gate = Gate { name: "http", bounds: Bounds::new(10, 1), counters: Metrics::new().listener("http") };
        let shutdown = CancellationToken::new();
        let (admitted, mut open) = mpsc::unbounded_channel();
        let serve = move |stream: TcpStream, peer: SocketAddr, admission| {
            admitted.send((stream, peer, admission)).unwrap();
        };
        let accepting = tokio::spawn(run(listener, gate.clone(), shutdown.clone(), serve));

        let first = TcpStream::connect(address).await.unwrap();
        let (stream, peer, admission) = open.recv().await.unwrap();
        assert_eq!(peer, first.local_addr().unwrap());
        let mut second = TcpStream::connect(address).await.unwrap();
        let read = tokio::time::timeout(Duration::from_secs(5), second.read(&mut [0])).await.unwrap();
        assert!(matches!(read, Ok(0) | Err(_)), "closed");
        assert_eq!(gate.counters.refused_from_address.get(), 1);
        assert_eq!(gate.counters.open.get(), 1);

        drop((stream, admission));
        assert_eq!(gate.counters.open.get(), 0);
        let _third = TcpStream::connect(address).await.unwrap();
        assert!(open.recv().await.is_some(), "there is room again");
        shutdown.cancel();
        accepting.await.unwrap();
        assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
    }
}
