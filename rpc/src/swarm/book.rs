//! Where peers listen.

use std::collections::HashMap;

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

/// Peers that are remembered.
const PEERS: usize = 4096;
/// Addresses of one peer.
const ADDRESSES: usize = 16;

/// The addresses of the peers that were heard of, latest knowledge last to be forgotten.
#[derive(Debug, Default)]
pub(crate) struct AddressBook {
    peers: HashMap<PeerId, Entry>,
    clock: u64,
    /// This node has listened elsewhere than on loopback. One that is cut off from its network and
    /// has nothing but loopback left stays such a node: another's loopback address is its own.
    far: bool,
}

#[derive(Debug, Default)]
struct Entry {
    addresses: Vec<Multiaddr>,
    touched: u64,
}

impl AddressBook {
    /// This node listens there.
    pub(crate) fn listening(&mut self, address: &Multiaddr) {
        self.far |= !is_loopback(address);
    }

    /// Adds what was heard of a peer.
    pub(crate) fn heard(&mut self, peer: PeerId, addresses: impl IntoIterator<Item = Multiaddr>) {
        let usable = self.usable(addresses);
        if !usable.is_empty() {
            self.add(peer, usable);
        }
    }

    /// A loopback address means this machine only to a peer that is on it.
    fn usable(&self, addresses: impl IntoIterator<Item = Multiaddr>) -> Vec<Multiaddr> {
        addresses.into_iter().filter(|address| !self.far || !is_loopback(address)).collect()
    }

    /// Adds where a peer was reached, most trusted first.
    pub(crate) fn add(&mut self, peer: PeerId, addresses: impl IntoIterator<Item = Multiaddr>) {
        let entry = self.touch(peer);
        let old = std::mem::take(&mut entry.addresses);
        entry.addresses = distinct(addresses.into_iter().chain(old));
    }

    /// Replaces what is known of a peer by what it said itself; false when nothing of that is of
    /// use.
    pub(crate) fn replace(&mut self, peer: PeerId, addresses: Vec<Multiaddr>) -> bool {
        let usable = self.usable(addresses);
        if usable.is_empty() {
            return false;
        }
        self.touch(peer).addresses = distinct(usable);
        true
    }

    /// What to dial for a peer, in turns: TCP, which carries more calls, then the rest.
    pub(crate) fn turns(&self, peer: &PeerId) -> Vec<Vec<Multiaddr>> {
        let known = self.peers.get(peer).map_or(&[][..], |entry| &entry.addresses);
        let (tcp, rest): (Vec<_>, Vec<_>) = known.iter().cloned().partition(is_tcp);
        [tcp, rest].into_iter().filter(|turn| !turn.is_empty()).collect()
    }

    fn touch(&mut self, peer: PeerId) -> &mut Entry {
        self.clock += 1;
        if self.peers.len() >= PEERS && !self.peers.contains_key(&peer) {
            let oldest = self.peers.iter().min_by_key(|(_, entry)| entry.touched);
            if let Some(oldest) = oldest.map(|(peer, _)| *peer) {
                self.peers.remove(&oldest);
            }
        }
        let entry = self.peers.entry(peer).or_default();
        entry.touched = self.clock;
        entry
    }
}

/// Whether an address is reached over TCP.
pub(crate) fn is_tcp(address: &Multiaddr) -> bool {
    address.iter().any(|part| matches!(part, Protocol::Tcp(_)))
}

/// Whether an address means the machine that it is used on.
pub(crate) fn is_loopback(address: &Multiaddr) -> bool {
    address.iter().any(|part| match part {
        Protocol::Ip4(ip) => ip.is_loopback(),
        Protocol::Ip6(ip) => ip.is_loopback(),
        _ => false,
    })
}

fn is_unspecified(address: &Multiaddr) -> bool {
    address.iter().any(|part| match part {
        Protocol::Ip4(ip) => ip.is_unspecified(),
        Protocol::Ip6(ip) => ip.is_unspecified(),
        _ => false,
    })
}

fn distinct(addresses: impl IntoIterator<Item = Multiaddr>) -> Vec<Multiaddr> {
    let mut kept: Vec<Multiaddr> = Vec::new();
    for address in addresses {
        let bare: Multiaddr =
            address.iter().filter(|part| !matches!(part, Protocol::P2p(_))).collect();
        if !is_unspecified(&bare) && !kept.contains(&bare) {
            kept.push(bare);
        }
        if kept.len() == ADDRESSES {
            break;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    #[test]
    fn tcp_is_dialed_before_quic_and_nothing_twice() {
        let peer = PeerId::random();
        let mut book = AddressBook::default();
        let quic = address("/ip4/10.0.0.1/udp/1/quic-v1");
        let tcp = address("/ip4/10.0.0.1/tcp/1");
        let named = tcp.clone().with(Protocol::P2p(peer));
        book.add(peer, [quic.clone(), tcp.clone(), named, address("/ip4/0.0.0.0/tcp/1")]);
        assert_eq!(book.turns(&peer), [vec![tcp], vec![quic]]);
        assert!(book.turns(&PeerId::random()).is_empty());
    }

    #[test]
    fn what_a_peer_says_itself_replaces_what_was_heard() {
        let peer = PeerId::random();
        let mut book = AddressBook::default();
        book.add(peer, [address("/ip4/10.0.0.1/tcp/1")]);
        book.replace(peer, vec![address("/ip4/10.0.0.2/tcp/1")]);
        assert_eq!(book.turns(&peer), [[address("/ip4/10.0.0.2/tcp/1")]]);
    }

    #[test]
    fn anothers_loopback_is_of_use_to_nodes_that_have_nothing_else() {
        let peer = PeerId::random();
        let [near, far] = ["/ip4/127.0.0.1/tcp/1", "/ip4/10.0.0.1/tcp/1"].map(address);
        let mut book = AddressBook::default();
        book.listening(&near);
        assert!(book.replace(peer, vec![near.clone()]));
        assert_eq!(book.turns(&peer), [vec![near.clone()]]);

        // It listens on its network, and is cut off from it later.
        book.listening(&far);
        book.listening(&near);
        assert!(!book.replace(peer, vec![near.clone()]));
        assert!(book.replace(peer, vec![near.clone(), far.clone()]));
        book.heard(peer, [near]);
        assert_eq!(book.turns(&peer), [vec![far]]);
    }

    #[test]
    fn it_stays_within_its_bounds_whatever_is_heard() {
        let mut book = AddressBook::default();
        for port in 1..=2 * PEERS {
            let many = (0..2 * ADDRESSES).map(|host| address(&format!("/ip4/1.0.0.{host}/tcp/1")));
            let peer = PeerId::random();
            if port % 1024 == 0 {
                book.add(peer, many);
            } else {
                book.add(peer, [address("/ip4/1.0.0.1/tcp/1")]);
            }
        }
        assert_eq!(book.peers.len(), PEERS);
        assert!(book.peers.values().all(|entry| entry.addresses.len() <= ADDRESSES));
    }
}
