//! Whom a request comes from: the TCP peer, unless that is a proxy that is trusted to say better.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use super::proxy_names::ProxyNames;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Addresses, networks and names together.
const MAX_PROXIES: usize = 64;
/// The longest name, in bytes, and the longest part of one between dots (RFC 1035, 2.3.4).
const MAX_NAME_BYTES: usize = 253;
const MAX_LABEL_BYTES: usize = 63;
/// Proxies one behind the other that are looked past; the chain is text from outside.
const MAX_HOPS: usize = 16;

/// The proxies whose `X-Forwarded-For` is believed: none by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
    names: Vec<String>,
}

/// The same while a server runs: names lead to addresses.
#[derive(Debug, Default)]
pub(crate) struct Proxies {
    networks: Vec<IpNet>,
    names: ProxyNames,
}

impl Proxies {
    pub(super) fn new(trusted: &TrustedProxies) -> Self {
        let names = ProxyNames::new(&trusted.names);
        Self { networks: trusted.networks.clone(), names }
    }

    pub(crate) fn contain(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
            || self.names.contain(address)
    }

    /// Keeps up with where their names lead to; never ends.
    pub(crate) async fn follow(&self) {
        self.names.follow().await;
    }

    /// The client's address. Each proxy appends whom it was called by, so the chain is believed
    /// from its right end for as long as trusted proxies wrote it: what stands further left may be
    /// the client's own invention.
    pub(super) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer;
        if !self.contain(peer) {
            return client;
        }
        let values = headers.get_all(X_FORWARDED_FOR).iter();
        let values: Vec<_> = values.map(HeaderValue::as_bytes).collect();
        let hops = values.iter().rev().flat_map(|value| value.rsplit(|byte| *byte == b','));
        for hop in hops.take(MAX_HOPS) {
            // What can't be read ends what is known.
            let hop = std::str::from_utf8(hop).ok().map(str::trim);
            let Some(address) = hop.and_then(address) else { break };
            client = address;
            if !self.contain(address) {
                break;
            }
        }
        client
    }
}

/// An address as proxies write them, some with a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let plain = bare.parse().ok();
    let address = plain.or_else(|| text.parse().ok().map(|at: SocketAddr| at.ip()))?;
    Some(address.to_canonical())
}

impl FromStr for TrustedProxies {
    type Err = ();

    /// Addresses (`10.0.0.7`), networks (`10.0.0.0/8`, `fd00::/8`) and names of hosts (`proxy`)
    /// separated by commas.
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut proxies = Self::default();
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let network = item.parse::<IpAddr>().map(IpNet::from).or_else(|_| item.parse());
            match network {
                Ok(network) => proxies.networks.push(network),
                Err(_) if is_name(item) => proxies.names.push(item.to_owned()),
                Err(_) => return Err(()),
            }
        }
        let within = proxies.networks.len() + proxies.names.len() <= MAX_PROXIES;
        within.then_some(proxies).ok_or(())
    }
}

/// Whether this can be the name of a host. What ends in a number is an address that is none.
fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label =
        |label: &str| (1..=MAX_LABEL_BYTES).contains(&label.len()) && label.bytes().all(allowed);
    let text = text.strip_suffix('.').unwrap_or(text);
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= MAX_NAME_BYTES
        && text.split('.').all(is_label)
        && !last.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trusted: &str, peer: &str, chains: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for chain in chains {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_str(chain).unwrap());
        }
        let trusted: TrustedProxies = trusted.parse().unwrap();
        let proxies = Proxies::new(&trusted);
        proxies.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn nobody_is_believed_by_default() {
        assert_eq!(client("", "10.0.0.1", &["1.1.1.1"]), "10.0.0.1");
        assert_eq!(client("10.0.0.2", "10.0.0.1", &["1.1.1.1"]), "10.0.0.1");
    }

    #[test]
    fn the_right_most_address_that_is_no_proxy_counts() {
        let by_proxy = |chains: &[&str]| client("10.0.0.0/8, fd00::1", "10.0.0.1", chains);
        assert_eq!(by_proxy(&["9.9.9.9, 1.1.1.1"]), "1.1.1.1", "what is left of it is invented");
        assert_eq!(by_proxy(&["9.9.9.9", "1.1.1.1, 10.0.0.3,fd00::1"]), "1.1.1.1");
        assert_eq!(by_proxy(&["1.1.1.1:4711"]), "1.1.1.1");
        assert_eq!(by_proxy(&["[2001:db8::1]:4711"]), "2001:db8::1");
        assert_eq!(by_proxy(&["::ffff:1.1.1.1"]), "1.1.1.1");
        assert_eq!(by_proxy(&["10.0.0.4, 10.0.0.3"]), "10.0.0.4", "all of them are proxies");
        assert_eq!(by_proxy(&["1.1.1.1, unknown, 10.0.0.3"]), "10.0.0.3");
        assert_eq!(by_proxy(&[]), "10.0.0.1");
        let long = "1.1.1.1, ".to_owned() + &"10.0.0.3, ".repeat(MAX_HOPS) + "10.0.0.5";
        assert_eq!(by_proxy(&[&long]), "10.0.0.3", "a chain is followed so far only");
    }

    #[test]
    fn networks_and_names_are_checked() {
        let many = "::1,".repeat(MAX_PROXIES) + "edge";
        for bad in ["10.0.0.0/33", "10.0.0.1/", "10.0.0.256", "a..b", "a b", "http://a", &many] {
            assert_eq!(bad.parse::<TrustedProxies>(), Err(()), "{bad}");
        }
        let good: TrustedProxies = "edge, fd00::/8,proxy-1.books.example.".parse().unwrap();
        assert_eq!((good.networks.len(), good.names.len()), (1, 2));
    }
}
