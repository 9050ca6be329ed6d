//! Networks: a few address ranges, as an operator writes them: `203.0.113.7, 10.0.0.0/8, 2001:db8::/32`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};

use crate::ret::excerpt;

/// Address ranges without doubles, in the order they were given. An IPv4 address that comes over a socket of IPv6
/// (`::ffff:203.0.113.7`) is that IPv4 address, here and in whatever is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

/// Why a text is no list of networks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotNetworks {
    /// An element is none.
    #[error("{0} is no address and no network such as 203.0.113.0/24 or 2001:db8::/32")]
    Unreadable(String),
    /// There are more than [`Networks::MAX`].
    #[error("there are {0} networks, give at most {max}: join neighbours into larger ones", max = Networks::MAX)]
    TooMany(usize),
}

impl Networks {
    /// Networks of one list; every call of an app is held against each. Our choice.
    pub const MAX: usize = 100;

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the address lies in one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Adds those of another list.
    ///
    /// # Errors
    /// [`NotNetworks::TooMany`]; nothing is added then.
    pub fn add(&mut self, others: &Self) -> Result<(), NotNetworks> {
        let new: Vec<_> = others.0.iter().filter(|network| !self.0.contains(network)).collect();
        let count = self.0.len() + new.len();
        if count > Self::MAX {
            return Err(NotNetworks::TooMany(count));
        }
        self.0.extend(new);
        Ok(())
    }

    /// Takes those of another list out, each of which has to be there as it was given. Answers the first that is not;
    /// then nothing is taken out.
    pub fn remove(&mut self, others: &Self) -> Option<IpNet> {
        let missing = others.0.iter().find(|network| !self.0.contains(network)).copied();
        if missing.is_none() {
            self.0.retain(|network| !others.0.contains(network));
        }
        missing
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = IpNet> + '_ {
        self.0.iter().copied()
    }
}

/// Reads networks and single addresses, parted by commas or blanks. Bits behind the prefix are cut off.
impl FromStr for Networks {
    type Err = NotNetworks;

    fn from_str(text: &str) -> Result<Self, NotNetworks> {
        let mut networks = Self::default();
        for one in text.split([',', ' ', '\t', '\n']).filter(|one| !one.is_empty()) {
            let network = network(one).ok_or_else(|| NotNetworks::Unreadable(excerpt(one)))?;
            networks.add(&Self(vec![network]))?;
        }
        Ok(networks)
    }
}

fn network(text: &str) -> Option<IpNet> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse::<IpNet>().ok()?.trunc(),
    };
    match (network.network().to_canonical(), network.prefix_len().checked_sub(96)) {
        // Within ::ffff:0:0/96.
        (IpAddr::V4(address), Some(prefix)) if network.addr().is_ipv6() => {
            Ipv4Net::new(address, prefix).ok().map(|network| IpNet::V4(network.trunc()))
        }
        _ => Some(network),
    }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(place, network)| {
            let between = if place == 0 { "" } else { ", " };
            write!(f, "{between}{network}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(text: &str) -> Networks {
        text.parse().unwrap()
    }

    fn has(of: &Networks, address: &str) -> bool {
        of.contains(address.parse().unwrap())
    }

    #[test]
    fn addresses_and_networks_are_read_as_people_write_them_and_shown_in_one_form() {
        let read = networks("203.0.113.7,10.1.2.3/8  2001:db8::1/32, 10.0.0.0/8");
        assert_eq!(read.to_string(), "203.0.113.7/32, 10.0.0.0/8, 2001:db8::/32");
        assert_eq!(networks(&read.to_string()), read);
        assert!(networks("").is_empty());
        for none in ["10.0.0.0/33", "10.0.0", "a.example", "10.0.0.0/", "::/129"] {
            assert_eq!(none.parse::<Networks>(), Err(NotNetworks::Unreadable(format!("{none:?}"))));
        }
    }

    #[test]
    fn an_address_is_in_a_network_whatever_socket_it_comes_over() {
        let some = networks("203.0.113.0/24 2001:db8::/32 ::ffff:192.0.2.0/120");
        assert_eq!(some.to_string(), "203.0.113.0/24, 2001:db8::/32, 192.0.2.0/24");
        for inside in ["203.0.113.255", "::ffff:203.0.113.1", "2001:db8:ffff::1", "192.0.2.9"] {
            assert!(has(&some, inside), "{inside}");
        }
        for outside in ["203.0.114.0", "::ffff:203.0.114.1", "2001:db9::1", "::1", "::203.0.113.1"] {
            assert!(!has(&some, outside), "{outside}");
        }
        let all = networks("0.0.0.0/0");
        assert!(has(&all, "::ffff:1.2.3.4") && !has(&all, "::1"));
    }

    #[test]
    fn a_list_grows_to_its_bound_and_what_is_not_in_it_cannot_be_taken_out() {
        let text = |count: u32| (0..count).map(|n| format!("10.0.{n}.0/24")).collect::<Vec<_>>().join(",");
        let mut full = networks(&text(100));
        assert_eq!(text(101).parse::<Networks>(), Err(NotNetworks::TooMany(101)));
        assert_eq!(full.add(&networks("10.0.0.0/24")), Ok(()), "it is there already");
        assert_eq!(full.add(&networks("::1")), Err(NotNetworks::TooMany(101)));
        assert_eq!(full.remove(&networks("10.0.1.0/24, ::1")).map(|it| it.to_string()), Some("::1/128".into()));
        assert!(has(&full, "10.0.1.1"), "nothing was taken out");
        assert_eq!(full.remove(&networks("10.0.1.0/24")), None);
        assert!(!has(&full, "10.0.1.1") && has(&full, "10.0.2.1"));
    }
}
