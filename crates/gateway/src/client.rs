//! Who a request comes from, as far as a server can know.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use axum::http::HeaderMap;
use thiserror::Error;

/// The most proxies that are looked back through.
const MAX_HOPS: usize = 16;

/// Networks whose word on where a request came from is taken, and in which header it stands.
///
/// A header that no proxy of one's own writes is the client's own invention: only one is read.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    networks: Vec<IpNetwork>,
    header: ForwardedHeader,
}

/// The header in which a proxy says where a request came from.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ForwardedHeader {
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// `X-Forwarded-For`.
    #[default]
    XForwardedFor,
}

/// A range of addresses, as `10.0.0.0/8`; one address without `/`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct IpNetwork {
    address: IpAddr,
    prefix: u32,
}

/// A text that is no range of addresses.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("expected an address or a range of them, as 10.0.0.0/8, got `{0}`")]
pub struct IpNetworkError(String);

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// What requests are counted by: an IPv4 address, or the network of an IPv6 address, as whoever has
/// one of its addresses has all.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Client {
    V4(u32),
    V6(u64),
}

impl TrustedProxies {
    /// Trusts the word of these networks, in this header.
    #[must_use]
    pub const fn new(networks: Vec<IpNetwork>, header: ForwardedHeader) -> Self {
        Self { networks, header }
    }

    /// Says whether the word of an address is taken.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(address))
    }

    /// Returns the address a request comes from: the last one on its way that is not a trusted proxy.
    /// Where a proxy does not say it in a form that can be read, the proxy counts.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.trusts(client) {
            return client;
        }
        for hop in self.hops(headers) {
            let Some(address) = hop else { break };
            client = address.to_canonical();
            if !self.trusts(client) {
                break;
            }
        }
        client
    }

    /// Returns who the proxies say they were asked by, the last one first; `None` for what is no
    /// address.
    fn hops(&self, headers: &HeaderMap) -> Vec<Option<IpAddr>> {
        let name = match self.header {
            ForwardedHeader::Forwarded => "forwarded",
            ForwardedHeader::XForwardedFor => "x-forwarded-for",
        };
        let mut hops = Vec::new();
        for line in headers.get_all(name).iter().rev() {
            let Ok(line) = line.to_str() else {
                hops.push(None);
                break;
            };
            for element in line.rsplit(',') {
                if hops.len() == MAX_HOPS {
                    return hops;
                }
                hops.push(match self.header {
                    ForwardedHeader::Forwarded => forwarded_for(element).and_then(node),
                    ForwardedHeader::XForwardedFor => node(element.trim()),
                });
            }
        }
        hops
    }
}

/// Returns the node of an element's `for` parameter, without quotes.
fn forwarded_for(element: &str) -> Option<&str> {
    let parameters = element.split(';').filter_map(|pair| pair.split_once('='));
    let mut nodes = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
    let node = nodes.next()?.1.trim();
    Some(node.strip_prefix('"').and_then(|node| node.strip_suffix('"')).unwrap_or(node))
}

/// Reads an address with or without a port, an IPv6 address with or without brackets.
fn node(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address);
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip());
    }
    text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6)
}

impl IpNetwork {
    fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differs = network.to_bits() ^ address.to_bits();
                differs.checked_shr(32 - self.prefix).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differs = network.to_bits() ^ address.to_bits();
                differs.checked_shr(128 - self.prefix).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for IpNetwork {
    type Err = IpNetworkError;

    fn from_str(text: &str) -> Result<Self, IpNetworkError> {
        let wrong = || IpNetworkError(text.chars().take(64).collect());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.parse().ok().filter(|bits| *bits <= most).ok_or_else(wrong)?,
            None => most,
        };
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for IpNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl From<IpAddr> for Client {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                let network =
                    [a, b, c, d].iter().fold(0, |bits, part| bits << 16 | u64::from(*part));
                Self::V6(network)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (name.parse().unwrap(), line.parse().unwrap())).collect()
    }

    fn client(header: ForwardedHeader, peer: &str, lines: &[&str]) -> String {
        let networks = ["10.0.0.0/8", "fd00::/8", "192.0.2.1"];
        let networks = networks.map(|network| network.parse().unwrap()).to_vec();
        let name = match header {
            ForwardedHeader::Forwarded => "forwarded",
            ForwardedHeader::XForwardedFor => "x-forwarded-for",
        };
        let proxies = TrustedProxies::new(networks, header);
        proxies.client(peer.parse().unwrap(), &headers(name, lines)).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let client = |peer, lines: &[&str]| client(ForwardedHeader::XForwardedFor, peer, lines);
        assert_eq!(client("203.0.113.7", &["198.51.100.1"]), "203.0.113.7");
        assert_eq!(client("10.1.2.3", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("::ffff:10.1.2.3", &["::ffff:198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("192.0.2.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("192.0.2.2", &["198.51.100.1"]), "192.0.2.2");
        // What a client writes itself stands before what the proxies add.
        assert_eq!(client("10.1.2.3", &["1.2.3.4, 198.51.100.1, 10.9.9.9"]), "198.51.100.1");
        assert_eq!(client("10.1.2.3", &["1.2.3.4", "198.51.100.1,10.9.9.9"]), "198.51.100.1");
        // A proxy that does not say, or not so that it can be read, counts itself.
        assert_eq!(client("10.1.2.3", &[]), "10.1.2.3");
        assert_eq!(client("10.1.2.3", &["1.2.3.4, unknown, 10.9.9.9"]), "10.9.9.9");
        assert_eq!(client("10.1.2.3", &["1.2.3.4, "]), "10.1.2.3");
        assert_eq!(client("10.1.2.3", &[&"10.0.0.1,".repeat(40)]), "10.1.2.3");
        assert_eq!(client("10.1.2.3", &[&["10.0.0.1"; 40].join(",")]), "10.0.0.1");
        assert_eq!(client("10.1.2.3", &["198.51.100.1:4711"]), "198.51.100.1");
        assert_eq!(client("fd00::1", &["[2001:db8::1]:4711"]), "2001:db8::1");
    }

    #[test]
    fn forwarded_is_read_as_its_specification_has_it() {
        let client = |lines: &[&str]| client(ForwardedHeader::Forwarded, "10.1.2.3", lines);
        assert_eq!(client(&["for=198.51.100.1"]), "198.51.100.1");
        assert_eq!(client(&["by=10.1.2.3;For=\"[2001:db8::1]:80\";proto=https"]), "2001:db8::1");
        assert_eq!(client(&["for=1.2.3.4, for=198.51.100.1;by=x, for=10.9.9.9"]), "198.51.100.1");
        assert_eq!(client(&["for=1.2.3.4, for=_hidden"]), "10.1.2.3");
        assert_eq!(client(&["for=1.2.3.4, proto=https"]), "10.1.2.3");
        assert_eq!(client(&["198.51.100.1"]), "10.1.2.3");
    }

    #[test]
    fn ranges_are_read_and_hold_what_they_say() {
        let holds = |network: &str, address: &str| {
            network.parse::<IpNetwork>().unwrap().contains(address.parse().unwrap())
        };
        assert!(holds("0.0.0.0/0", "255.255.255.255") && !holds("0.0.0.0/0", "::1"));
        assert!(holds("::/0", "ffff::1") && holds("10.1.2.3/31", "10.1.2.2"));
        assert!(!holds("10.1.2.3/31", "10.1.2.4") && !holds("10.1.2.3", "10.1.2.2"));
        assert!(holds("2001:db8::/33", "2001:db8:7fff::") && !holds("::1", "::2"));
        for wrong in ["", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "10.0.0/8", "a", "1.2.3.4/"] {
            assert!(wrong.parse::<IpNetwork>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_network_of_version_six_is_one_client() {
        let client = |text: &str| Client::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(client("2001:db8:1:2::1"), client("2001:db8:1:2:ffff::2"));
        assert_ne!(client("2001:db8:1:2::1"), client("2001:db8:1:3::1"));
        assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1"));
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
    }
}
