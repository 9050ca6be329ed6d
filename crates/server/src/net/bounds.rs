//! Bounds: how many connections may be open, in all and from one address. A connection holds a [`Place`] while it is
//! open; who gets none is closed at once, so that many connections of one cost the others nothing.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex};

use pigeonloft_model::Networks;

use crate::lock::lock;

/// How many connections may be open at once, and how many are.
#[derive(Debug)]
pub(crate) struct Bounds {
    in_all: usize,
    from_address: usize,
    /// Who speaks for many, and is held to the bound of all alone.
    proxies: Networks,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    in_all: usize,
    from: HashMap<Origin, usize>,
}

/// Whom a connection or a registration is counted for: an IPv4 address, or the first 64 bits of an IPv6 address, within which a host
/// may take any address it likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    V4(u32),
    V6(u64),
}

impl Origin {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6(network(address)),
        }
    }
}

fn network(address: Ipv6Addr) -> u64 {
    (address.to_bits() >> 64) as u64
}

/// Which bound a connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// That of all.
    InAll,
    /// That of its address.
    FromAddress,
}

/// An open connection's place; dropping it makes room for another.
#[derive(Debug)]
pub(crate) struct Place {
    bounds: Arc<Bounds>,
    origin: Origin,
}

impl Bounds {
    /// At most so many connections in all, and from one address.
    pub(crate) fn new(in_all: usize, from_address: usize) -> Arc<Self> {
        Self::beside(in_all, from_address, Networks::default())
    }

    /// The same, where these proxies may have as many as there are.
    pub(crate) fn beside(in_all: usize, from_address: usize, proxies: Networks) -> Arc<Self> {
        Arc::new(Self { in_all, from_address, proxies, open: Mutex::default() })
    }

    /// A place for a connection from this address.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Result<Place, Over> {
        let origin = Origin::of(address);
        let mut open = lock(&self.open);
        if open.in_all >= self.in_all {
            return Err(Over::InAll);
        }
        let from = open.from.entry(origin).or_insert(0);
        if *from >= self.from_address && !self.proxies.contains(address) {
            return Err(Over::FromAddress);
        }
        *from += 1;
        open.in_all += 1;
        Ok(Place { bounds: Arc::clone(self), origin })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = lock(&self.bounds.open);
        open.in_all -= 1;
        if let Entry::Occupied(mut entry) = open.from.entry(self.origin) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_gets_its_places_and_no_more_until_one_is_free_again() {
        let bounds = Bounds::new(10, 2);
        let first = bounds.enter(address("192.0.2.1")).unwrap();
        let _second = bounds.enter(address("192.0.2.1")).unwrap();
        assert_eq!(bounds.enter(address("192.0.2.1")).unwrap_err(), Over::FromAddress);
        let _other = bounds.enter(address("192.0.2.2")).unwrap();
        drop(first);
        let _again = bounds.enter(address("192.0.2.1")).unwrap();
        assert_eq!(bounds.enter(address("192.0.2.1")).unwrap_err(), Over::FromAddress);
    }

    #[test]
    fn a_proxy_speaks_for_many_and_is_held_to_the_bound_of_all() {
        let bounds = Bounds::beside(3, 1, "192.0.2.1".parse().unwrap());
        let _two = [(); 2].map(|()| bounds.enter(address("192.0.2.1")).unwrap());
        let _other = bounds.enter(address("192.0.2.2")).unwrap();
        assert_eq!(bounds.enter(address("192.0.2.1")).unwrap_err(), Over::InAll);
    }

    #[test]
    fn the_bound_of_all_holds_for_every_address() {
        let bounds = Bounds::new(2, 2);
        let _first = bounds.enter(address("192.0.2.1")).unwrap();
        let second = bounds.enter(address("192.0.2.2")).unwrap();
        assert_eq!(bounds.enter(address("192.0.2.3")).unwrap_err(), Over::InAll);
        drop(second);
        assert!(bounds.enter(address("192.0.2.3")).is_ok());
    }

    #[test]
    fn addresses_of_one_ipv6_network_of_64_bits_count_as_one() {
        let bounds = Bounds::new(10, 1);
        let _first = bounds.enter(address("2001:db8:0:1::1")).unwrap();
        assert_eq!(bounds.enter(address("2001:db8:0:1:ffff::2")).unwrap_err(), Over::FromAddress);
        assert!(bounds.enter(address("2001:db8:0:2::1")).is_ok());
    }

    #[test]
    fn an_ipv4_address_is_the_same_on_a_socket_of_both_kinds() {
        let bounds = Bounds::new(10, 1);
        let _first = bounds.enter(address("192.0.2.1")).unwrap();
        assert_eq!(bounds.enter(address("::ffff:192.0.2.1")).unwrap_err(), Over::FromAddress);
        assert!(bounds.enter(address("::ffff:192.0.2.2")).is_ok(), "mapped addresses are not one network");
    }

    #[test]
    fn nothing_is_remembered_of_addresses_without_connections() {
        let bounds = Bounds::new(10, 1);
        for last in 0..=255 {
            drop(bounds.enter(IpAddr::from([192, 0, 2, last])).unwrap());
        }
        assert_eq!(bounds.enter(address("192.0.2.1")).map(|_| ()), Ok(()));
        assert!(lock(&bounds.open).from.is_empty());
    }
}
