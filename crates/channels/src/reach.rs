//! Reach: a connection to whichever of a name's addresses answers.
//!
//! An address that swallows what is sent to it, as those of IPv6 are where a network has no way for them, costs a turn and not
//! the time that a connection may take: the next is tried beside it, of the other family first (RFC 8305).

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, sleep_until, timeout};

/// How long a name may take to be looked up, and then each of its addresses to answer.
const WITHIN: Duration = Duration::from_secs(5);

/// How long an address is alone. More than a round trip takes, so that mostly one connection is opened.
const TURN: Duration = Duration::from_secs(1);

/// Addresses of a name that are tried.
const ADDRESSES: usize = 8;

/// The addresses of a name.
///
/// # Errors
/// It is not known, or nobody says so in time.
pub(crate) async fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    timeout(WITHIN, lookup_host((host, port))).await.map_err(|_| too_slow())?.map(Iterator::collect)
}

/// A connection to the first of these that answers.
///
/// # Errors
/// That of the last that failed.
pub(crate) async fn connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut left = in_turns(addresses).into_iter().take(ADDRESSES).peekable();
    let mut tried = FuturesUnordered::new();
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    let mut turn = Instant::now();
    loop {
        tokio::select! {
            Some(answered) = tried.next(), if !tried.is_empty() => {
                match answered {
                    Ok(Ok(stream)) => return Ok(stream),
                    Ok(Err(error)) => failure = error,
                    Err(_) => failure = too_slow(),
                }
                turn = Instant::now();
            }
            () = sleep_until(turn), if left.peek().is_some() => {
                tried.extend(left.next().map(|address| timeout(WITHIN, TcpStream::connect(address))));
                turn = Instant::now() + TURN;
            }
            else => return Err(failure),
        }
    }
}

/// In their order, but the families by turns.
fn in_turns(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let is_first = |address: &&SocketAddr| addresses[0].is_ipv6() == address.is_ipv6();
    let (first, second): (Vec<_>, Vec<_>) = addresses.iter().partition(is_first);
    (0..addresses.len()).flat_map(|n| [first.get(n), second.get(n)]).flatten().copied().copied().collect()
}

/// Nobody answered in time.
pub(crate) fn too_slow() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "it did not answer in time")
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    /// An address that swallows what is sent to it, as long as what is answered here is kept.
    async fn swallows() -> (SocketAddr, TcpListener, Vec<TcpStream>) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        // Nobody accepts them: when the queue is full, the system answers no more.
        let mut queue = Vec::new();
        while let Ok(stream) = timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
            queue.push(stream.unwrap());
            assert!(queue.len() < 100, "the queue has no end");
        }
        (address, listener, queue)
    }

    #[tokio::test]
    async fn an_address_that_answers_nothing_costs_a_turn_and_one_that_refuses_costs_none() {
        let (silent, _listener, _queue) = swallows().await;
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let good = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = good.local_addr().unwrap();
        let timed = async |addresses: &[SocketAddr]| {
            let begun = Instant::now();
            let peer = connect(addresses).await.map(|stream| stream.peer_addr().unwrap());
            (peer.map_err(|error| error.kind()), begun.elapsed())
        };
        let (peer, took) = timed(&[silent, gone, address]).await;
        assert_eq!(peer, Ok(address));
        assert!((TURN..WITHIN).contains(&took), "{took:?}");
        let (peer, took) = timed(&[gone, gone, address]).await;
        assert_eq!(peer, Ok(address));
        assert!(took < TURN, "{took:?}");
        assert_eq!(timed(&[gone]).await.0, Err(io::ErrorKind::ConnectionRefused));
        assert_eq!(timed(&[silent]).await.0, Err(io::ErrorKind::TimedOut));
        assert_eq!(timed(&[]).await.0, Err(io::ErrorKind::AddrNotAvailable));
    }

    #[test]
    fn families_take_turns() {
        let of = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let given = of(&["[::1]:1", "[::2]:1", "[::3]:1", "10.0.0.1:1"]);
        assert_eq!(in_turns(&given), of(&["[::1]:1", "10.0.0.1:1", "[::2]:1", "[::3]:1"]));
        assert_eq!(in_turns(&given[3..]), given[3..]);
        assert_eq!(in_turns(&[]), []);
    }
}
