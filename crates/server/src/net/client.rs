//! Client: the address a request comes from. That is the other end of its connection, unless a proxy of ours is there:
//! then it is whom the proxy speaks for.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use pigeonloft_model::Networks;

use crate::config::ForwardedHeader;

/// The address a request comes from, an IPv4 address being shown as what it is on every socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Client(pub(crate) IpAddr);

impl ForwardedHeader {
    fn header(&self) -> HeaderName {
        HeaderName::from_static(self.name())
    }

    /// Whom an element of the header names; `None`: nobody by an address, as a socket of the machine or "unknown".
    fn address(&self, element: &str) -> Option<IpAddr> {
        let node = match self {
            Self::XForwardedFor => element,
            Self::Forwarded => {
                let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
                pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?.1.trim().trim_matches('"')
            }
        };
        let bare = node.strip_prefix('[').and_then(|node| node.strip_suffix(']')).unwrap_or(node);
        bare.parse().or_else(|_| node.parse().map(|with_port: SocketAddr| with_port.ip())).ok()
    }

    /// Whom the requests were handed on from, the nearest first.
    ///
    /// Taken apart from the end, and at every comma: what a client sent stands before what the proxies added, and must not
    /// change how that is read, as an open quotation mark would.
    fn hops(&self, headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> {
        let texts = headers.get_all(self.header()).iter().rev().map(HeaderValue::to_str);
        let elements = texts.flat_map(|text| text.unwrap_or("unreadable").rsplit(',').map(str::trim));
        elements.filter(|element| !element.is_empty()).map(|element| self.address(element))
    }
}

/// The proxies in front of the server, and how they say whom they speak for.
#[derive(Debug, Clone)]
pub(super) struct Proxies {
    pub(super) trusted: Networks,
    pub(super) header: ForwardedHeader,
}

impl Proxies {
    /// The client of a request: from its connection backwards, the first that is no trusted proxy. One whom a proxy names by
    /// no address is taken for the proxy itself.
    pub(super) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Client {
        let mut address = peer.to_canonical();
        if self.trusted.contains(address) {
            for hop in self.header.hops(headers) {
                let Some(hop) = hop else { break };
                address = hop.to_canonical();
                if !self.trusted.contains(address) {
                    break;
                }
            }
        }
        Client(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(header: ForwardedHeader, peer: &str, lines: &[(&'static str, &'static str)]) -> String {
        let proxies = Proxies { trusted: "10.0.0.0/8 fd00::/8".parse().unwrap(), header };
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        proxies.client(peer.parse().unwrap(), &headers).0.to_string()
    }

    #[test]
    fn the_last_that_is_no_proxy_of_ours_is_the_client() {
        let of = |value| client(ForwardedHeader::XForwardedFor, "10.0.0.1", &[("x-forwarded-for", value)]);
        for (value, found) in [
            ("192.0.2.7", "192.0.2.7"),
            ("203.0.113.9, 192.0.2.7", "192.0.2.7"),
            ("203.0.113.9, 192.0.2.7, 10.3.3.3, fd00::5", "192.0.2.7"),
            ("192.0.2.7:51234", "192.0.2.7"),
            ("[2001:db8::7]:51234", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("2001:db8::7", "2001:db8::7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("192.0.2.7, ,", "192.0.2.7"),
            // A proxy that calls by itself, and a caller within the network of the proxies.
            ("", "10.0.0.1"),
            ("10.9.9.9", "10.9.9.9"),
            // Whom the nearest cannot name: what stands before it was not vouched for.
            ("192.0.2.7, unknown", "10.0.0.1"),
            ("192.0.2.7, unix:", "10.0.0.1"),
            ("192.0.2.7, junk, 10.3.3.3", "10.3.3.3"),
        ] {
            assert_eq!(of(value), found, "{value}");
        }
    }

    #[test]
    fn lines_of_a_header_count_as_one_list() {
        let lines = [("x-forwarded-for", "203.0.113.9"), ("x-forwarded-for", "192.0.2.7, 10.3.3.3")];
        assert_eq!(client(ForwardedHeader::XForwardedFor, "10.0.0.1", &lines), "192.0.2.7");
    }

    #[test]
    fn the_header_of_the_standard_is_read_whatever_a_client_put_before() {
        let of = |value| client(ForwardedHeader::Forwarded, "10.0.0.1", &[("forwarded", value)]);
        for (value, found) in [
            ("for=192.0.2.7", "192.0.2.7"),
            ("proto=https; For=\"192.0.2.7:80\";by=10.0.0.1", "192.0.2.7"),
            ("for=203.0.113.9, for=\"[2001:db8::7]:4711\", for=10.3.3.3", "2001:db8::7"),
            ("for=\"203.0.113.9, for=192.0.2.7", "192.0.2.7"),
            ("for=192.0.2.7, for=_hidden", "10.0.0.1"),
            ("for=192.0.2.7, proto=https", "10.0.0.1"),
        ] {
            assert_eq!(of(value), found, "{value}");
        }
    }

    #[test]
    fn who_is_no_proxy_of_ours_speaks_for_itself_and_the_other_header_says_nothing() {
        let lines = [("x-forwarded-for", "10.0.0.5"), ("forwarded", "for=192.0.2.7")];
        assert_eq!(client(ForwardedHeader::XForwardedFor, "203.0.113.1", &lines), "203.0.113.1");
        assert_eq!(client(ForwardedHeader::Forwarded, "::ffff:10.0.0.1", &lines), "192.0.2.7");
        assert_eq!(client(ForwardedHeader::XForwardedFor, "10.0.0.1", &lines), "10.0.0.5");
    }
}
