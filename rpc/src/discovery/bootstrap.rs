//! The configured addresses: each is dialed until its node is connected, and again when it is lost.
//! A name is dialed now and then all the same: it may lead to several nodes, and of many that start
//! together some could know each other alone, and the rest likewise.

use std::time::{Duration, Instant};

use libp2p::multiaddr::Protocol;
use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId};

use super::address::candidates;
use crate::error::MeshError;
use crate::reliability::Backoff;

/// The first wait after a failure: nodes that start together find each other soon.
const SHORTEST: Duration = Duration::from_millis(200);
/// The longest, so that a node that comes back is found within seconds.
const LONGEST: Duration = Duration::from_secs(10);
/// How often a name is dialed whose node is connected: at first, and when it has been so for long.
const ANOTHER: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(640));

/// What dialing an address came to.
#[derive(Debug)]
pub(crate) enum Dialed {
    /// It is under way.
    Now(ConnectionId),
    /// The peer that the address names is connected.
    Already(PeerId),
}

/// All configured addresses and how far each has come.
#[derive(Debug)]
pub(crate) struct Bootstrap {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    text: String,
    addresses: Vec<Multiaddr>,
    /// Which of the addresses is next.
    at: usize,
    state: State,
    backoff: Backoff,
    last_error: Option<String>,
    /// For a name that was reached: the dial that may find another node behind it.
    another: Another,
    looks: Backoff,
    /// It led to this node when it was dialed last.
    met_myself: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Waiting(Instant),
    Dialing(ConnectionId),
    Reached(PeerId),
    /// It is this node's own address.
    Myself,
}

#[derive(Debug, PartialEq, Eq)]
enum Another {
    After(Instant),
    Dialing(ConnectionId),
}

impl Bootstrap {
    /// # Errors
    /// [`MeshError::Address`] for what is no address.
    pub(crate) fn new(addresses: &[String], now: Instant) -> Result<Self, MeshError> {
        let entry = |text: &String| {
            Ok(Entry {
                text: text.clone(),
                addresses: candidates(text)?,
                at: 0,
                state: State::Waiting(now),
                backoff: Backoff::new(SHORTEST, LONGEST),
                last_error: None,
                another: Another::After(now),
                looks: Backoff::new(ANOTHER.0, ANOTHER.1),
                met_myself: false,
            })
        };
        Ok(Self { entries: addresses.iter().map(entry).collect::<Result<_, _>>()? })
    }

    /// Dials, with `dial`, every address whose time has come.
    pub(crate) fn dial_due<F>(&mut self, now: Instant, mut dial: F)
    where
        F: FnMut(&Multiaddr) -> Result<Dialed, String>,
    {
        for entry in &mut self.entries {
            if entry.may_find_another(now) {
                entry.another = match dial(&entry.addresses[entry.at]) {
                    Ok(Dialed::Now(connection)) => Another::Dialing(connection),
                    Ok(Dialed::Already(_)) | Err(_) => Another::After(now + entry.looks.wait()),
                };
                continue;
            }
            if !matches!(entry.state, State::Waiting(at) if at <= now) {
                continue;
            }
            match dial(&entry.addresses[entry.at]) {
                Ok(Dialed::Now(connection)) => entry.state = State::Dialing(connection),
                Ok(Dialed::Already(peer)) => entry.state = State::Reached(peer),
                Err(error) => entry.failed(error, now),
            }
        }
    }

    /// A connection was made, perhaps one of these. Answers whether it was made to find another
    /// node, and so is needed only if its peer was not connected.
    pub(crate) fn established(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        now: Instant,
    ) -> bool {
        if self.found_another(connection, now) {
            return true;
        }
        if let Some(entry) = self.dialed_as(connection) {
            entry.state = State::Reached(peer);
            entry.looks.reset();
            entry.another = Another::After(now + entry.looks.wait());
            entry.met_myself = false;
            entry.backoff.reset();
            entry.last_error = None;
        }
        false
    }

    /// Whether a dial that has ended was one that may find another node behind a name.
    fn found_another(&mut self, connection: ConnectionId, now: Instant) -> bool {
        let dialed = Another::Dialing(connection);
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.another == dialed) else {
            return false;
        };
        entry.another = Another::After(now + entry.looks.wait());
        true
    }

    /// A dial failed, perhaps one of these.
    pub(crate) fn failed(&mut self, connection: ConnectionId, error: &str, now: Instant) {
        self.found_another(connection, now);
        if let Some(entry) = self.dialed_as(connection) {
            entry.failed(error.to_owned(), now);
        }
    }

    /// An address turned out to be this node's own. A name may lead to others as well, or will one
    /// day: of several nodes that share it, the first alone finds itself.
    pub(crate) fn is_myself(&mut self, connection: ConnectionId, now: Instant) {
        if let Some(entry) = self.dialed_as(connection) {
            entry.last_error = None;
            entry.met_myself = true;
            entry.state = if is_named(&entry.addresses[entry.at]) {
                State::Waiting(now + entry.backoff.wait())
            } else {
                State::Myself
            };
        }
    }

    /// The last connection to a peer is gone.
    pub(crate) fn lost(&mut self, peer: PeerId, now: Instant) {
        for entry in &mut self.entries {
            if entry.state == State::Reached(peer) {
                let wait = entry.backoff.wait();
                entry.state = State::Waiting(now + wait);
            }
        }
    }

    /// What was tried, each with its last error.
    pub(crate) fn tried(&self) -> Vec<String> {
        let line = |entry: &Entry| {
            let error = entry.last_error.as_deref().unwrap_or("no answer yet");
            format!("{}: {error}", entry.text)
        };
        let others = self.entries.iter().filter(|entry| !entry.met_myself);
        others.map(line).collect()
    }

    fn dialed_as(&mut self, connection: ConnectionId) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.state == State::Dialing(connection))
    }
}

impl Entry {
    fn may_find_another(&self, now: Instant) -> bool {
        let address = &self.addresses[self.at];
        matches!(self.state, State::Reached(_))
            && matches!(self.another, Another::After(at) if at <= now)
            && is_named(address)
            && !address.iter().any(|part| matches!(part, Protocol::P2p(_)))
    }

    fn failed(&mut self, error: String, now: Instant) {
        self.last_error = Some(error);
        self.met_myself = false;
        self.at = (self.at + 1) % self.addresses.len();
        // All ways to reach it are tried before it is left alone for a while.
        let wait = if self.at == 0 { self.backoff.wait() } else { Duration::ZERO };
        self.state = State::Waiting(now + wait);
    }
}

/// Whether an address has to be looked up.
fn is_named(address: &Multiaddr) -> bool {
    use Protocol::{Dns, Dns4, Dns6, Dnsaddr};
    address.iter().any(|part| matches!(part, Dns(_) | Dns4(_) | Dns6(_) | Dnsaddr(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialed(bootstrap: &mut Bootstrap, now: Instant) -> Vec<(ConnectionId, String)> {
        let mut dials = Vec::new();
        bootstrap.dial_due(now, |address| {
            let connection = ConnectionId::new_unchecked(rand::random_range(1..usize::MAX));
            dials.push((connection, address.to_string()));
            Ok(Dialed::Now(connection))
        });
        dials
    }

    fn one() -> (Bootstrap, Instant) {
        let now = Instant::now();
        (Bootstrap::new(&["10.0.0.1:1".to_owned()], now).unwrap(), now)
    }

    #[test]
    fn a_failure_tries_the_other_transport_at_once_and_then_waits() {
        let (mut bootstrap, now) = one();
        let first = dialed(&mut bootstrap, now);
        assert!(first[0].1.contains("/tcp/"));
        assert!(dialed(&mut bootstrap, now).is_empty(), "it is being dialed");
        bootstrap.failed(first[0].0, "refused", now);
        let second = dialed(&mut bootstrap, now);
        assert!(second[0].1.contains("/udp/"));
        bootstrap.failed(second[0].0, "timeout", now);
        assert!(dialed(&mut bootstrap, now).is_empty());
        assert_eq!(dialed(&mut bootstrap, now + SHORTEST).len(), 1);
        assert_eq!(bootstrap.tried(), ["10.0.0.1:1: timeout"]);
    }

    #[test]
    fn a_node_that_was_lost_is_dialed_again() {
        let (mut bootstrap, now) = one();
        let peer = PeerId::random();
        let dial = dialed(&mut bootstrap, now);
        bootstrap.established(dial[0].0, peer, now);
        assert!(dialed(&mut bootstrap, now + LONGEST).is_empty());
        bootstrap.lost(PeerId::random(), now);
        assert!(dialed(&mut bootstrap, now + LONGEST).is_empty());
        bootstrap.lost(peer, now);
        assert_eq!(dialed(&mut bootstrap, now + LONGEST).len(), 1);
    }

    #[test]
    fn this_nodes_own_address_is_dialed_once() {
        let (mut bootstrap, now) = one();
        let dial = dialed(&mut bootstrap, now);
        bootstrap.is_myself(dial[0].0, now);
        assert!(dialed(&mut bootstrap, now + LONGEST).is_empty());
        assert!(bootstrap.tried().is_empty());
    }

    #[test]
    fn a_name_that_led_to_this_node_is_dialed_again_since_others_may_share_it() {
        let now = Instant::now();
        let mut bootstrap = Bootstrap::new(&["ork:1".to_owned()], now).unwrap();
        let dial = dialed(&mut bootstrap, now);
        bootstrap.is_myself(dial[0].0, now);
        assert!(bootstrap.tried().is_empty(), "nobody is missing");
        let dial = dialed(&mut bootstrap, now + LONGEST);
        bootstrap.failed(dial[0].0, "refused", now);
        assert_eq!(bootstrap.tried(), ["ork:1: refused"]);
        let dial = dialed(&mut bootstrap, now + LONGEST);
        assert!(!bootstrap.established(dial[0].0, PeerId::random(), now));
        assert!(dialed(&mut bootstrap, now + LONGEST).is_empty());
    }

    #[test]
    fn a_name_is_dialed_now_and_then_although_one_of_its_nodes_is_connected() {
        let mut now = Instant::now();
        let peer = libp2p::identity::Keypair::generate_ed25519().public().to_peer_id();
        let text =
            ["ork:1".to_owned(), "10.0.0.1:1".to_owned(), format!("/dns/o/tcp/1/p2p/{peer}")];
        let mut bootstrap = Bootstrap::new(&text, now).unwrap();
        for (connection, _) in dialed(&mut bootstrap, now) {
            assert!(!bootstrap.established(connection, peer, now));
        }
        let again = |bootstrap: &mut Bootstrap, now| {
            let mut dials = dialed(bootstrap, now);
            assert_eq!(dials.len(), 1, "others lead to one node: {dials:?}");
            assert!(dials[0].1.contains("ork"));
            assert!(dialed(bootstrap, now + ANOTHER.1).is_empty(), "it is being dialed");
            dials.remove(0).0
        };
        assert!(dialed(&mut bootstrap, now).is_empty());
        for ending in 0..3 {
            now += ANOTHER.1;
            let dial = again(&mut bootstrap, now);
            match ending {
                0 => assert!(bootstrap.established(dial, PeerId::random(), now)),
                1 => bootstrap.failed(dial, "refused", now),
                _ => {
                    bootstrap.is_myself(dial, now);
                    bootstrap.failed(dial, "it is this node", now);
                }
            }
        }
        assert!(bootstrap.tried().iter().all(|line| line.ends_with("no answer yet")));
        bootstrap.lost(peer, now);
        assert_eq!(dialed(&mut bootstrap, now + LONGEST).len(), 3, "what was reached is lost");
    }
}
