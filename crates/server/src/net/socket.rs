//! Sockets: an address in the settings made into a listening socket, how connections are set up, and how many files
//! the process may open.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener, ToSocketAddrs};
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};

use super::Error;

/// Connections the system holds ready while none is accepted: as many as Linux allows by default.
const BACKLOG: i32 = 4096;

/// Files the process needs beside its connections: database, packages, logs, and connections to vendors, of which those to browsers'
/// push services are up to 512.
const OTHER_FILES: u64 = 768;

/// How long a connection may say nothing before the system asks whether the other side is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Listens on the address that stands in the settings under this key.
pub(super) fn listen(key: &'static str, address: &str) -> Result<(TcpListener, SocketAddr), Error> {
    let unusable = |source| Error::Address { key, address: address.to_owned(), source };
    let candidates: Vec<_> = address.to_socket_addrs().map_err(unusable)?.collect();
    let mut last = unusable(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    for candidate in candidates {
        match bind(candidate).and_then(|listener| Ok((listener.local_addr()?, listener))) {
            Ok((local, listener)) => return Ok((listener, local)),
            Err(source) => last = Error::Bind { key, address: candidate, hint: hint(key, &source), source },
        }
    }
    Err(last)
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // [::] is every address of both kinds, whatever the system's default is.
        socket.set_only_v6(false)?;
    }
    // So that a server can start again while connections of the last one still fade away.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(StdListener::from(socket))
}

fn hint(key: &'static str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "another program listens there, perhaps another pigeonloft: stop it, or set {key} to another port \
             (0 takes any that is free)"
        ),
        io::ErrorKind::PermissionDenied => format!(
            "ports below 1024 need a permission: AmbientCapabilities=CAP_NET_BIND_SERVICE in the systemd unit, or set \
             {key} to a port above"
        ),
        io::ErrorKind::AddrNotAvailable => {
            format!("no interface of this machine has that address: set {key} to one it has, or to 0.0.0.0 for all")
        }
        _ => format!("set {key} to another address"),
    }
}

/// Sets up an accepted connection. What cannot be set is no reason to refuse it.
pub(super) fn set_up(stream: &TcpStream) {
    let keep_alive = TcpKeepalive::new().with_time(KEEP_ALIVE);
    let set = stream.set_nodelay(true).and_then(|()| SockRef::from(stream).set_tcp_keepalive(&keep_alive));
    if let Err(error) = set {
        tracing::debug!(%error, "a connection could not be set up");
    }
}

/// Lets the process open as many files as it may at most, and says so where that is too few for the connections the
/// settings allow.
pub(super) fn raise_open_files(connections: u64) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let mut raised = limit;
        raised.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, "the limit of open files could not be raised");
        }
    }
    let needed = connections.saturating_add(OTHER_FILES);
    if let Some(allowed) = getrlimit(Resource::Nofile).current
        && allowed < needed
    {
        tracing::warn!(
            allowed,
            needed,
            "fewer files may be open than http.connections and mqtt.connections allow: raise LimitNOFILE in the systemd \
             unit, or ulimit -Hn"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_an_error_that_names_key_address_and_remedy() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let error = listen("http.listen", &address).unwrap_err();
        let text = crate::chain::chain(&error);
        assert!(text.contains("http.listen"), "{text}");
        assert!(text.contains(&address), "{text}");
        assert!(text.contains("hint: another program listens there"), "{text}");
    }

    #[tokio::test]
    async fn an_address_that_is_none_is_an_error_that_names_key_and_text() {
        let text = listen("mqtt.listen", "127.0.0.1").unwrap_err().to_string();
        assert!(text.contains("mqtt.listen") && text.contains("\"127.0.0.1\""), "{text}");
    }

    #[tokio::test]
    async fn port_0_takes_a_free_port_and_tells_which() {
        let (_first, one) = listen("http.listen", "127.0.0.1:0").unwrap();
        let (_second, other) = listen("mqtt.listen", "127.0.0.1:0").unwrap();
        assert_ne!(one.port(), 0);
        assert_ne!(one, other);
    }

    #[test]
    fn the_process_may_open_all_files_it_is_allowed() {
        raise_open_files(0);
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
