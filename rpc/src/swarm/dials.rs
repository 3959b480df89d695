//! Connections that callers wait for.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId};
use tokio::sync::oneshot;

/// The longest that anybody waits for one connection.
const CONNECT_TIME: Duration = Duration::from_secs(15);
/// Callers that may wait for one peer: one for each lane, and some that gave up.
const WAITERS: usize = 16;

type Waiter = oneshot::Sender<Result<(), String>>;

/// The peers that are being dialed because somebody wants to call them.
#[derive(Debug, Default)]
pub(crate) struct Dials {
    peers: HashMap<PeerId, Dial>,
}

#[derive(Debug)]
struct Dial {
    waiters: Vec<Waiter>,
    turns: VecDeque<Vec<Multiaddr>>,
    dialing: Option<ConnectionId>,
    /// Some of its addresses were dialed.
    tried: bool,
    /// The DHT was asked where the peer listens.
    asked: bool,
    errors: Vec<String>,
    until: Instant,
}

/// What to do next for a peer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Dial these addresses.
    Dial(Vec<Multiaddr>),
    /// Ask the DHT where it listens.
    Ask,
    /// Nothing: it is under way, or over.
    Nothing,
}

impl Dials {
    /// Somebody waits for a peer; `turns` are the known addresses.
    pub(crate) fn add(
        &mut self,
        peer: PeerId,
        waiter: Waiter,
        turns: Vec<Vec<Multiaddr>>,
        now: Instant,
    ) -> Step {
        if let Some(dial) = self.peers.get_mut(&peer) {
            if dial.waiters.len() < WAITERS {
                dial.waiters.push(waiter);
            } else {
                let _ = waiter.send(Err("too many wait for a connection to it".to_owned()));
            }
            return Step::Nothing;
        }
        let dial = Dial {
            waiters: vec![waiter],
            turns: turns.into(),
            dialing: None,
            tried: false,
            asked: false,
            errors: Vec::new(),
            until: now + CONNECT_TIME,
        };
        self.peers.insert(peer, dial);
        self.next(peer)
    }

    /// What to do for a peer that is not being dialed now.
    pub(crate) fn next(&mut self, peer: PeerId) -> Step {
        let Some(dial) = self.peers.get_mut(&peer) else { return Step::Nothing };
        dial.dialing = None;
        // A node that was started anew listens elsewhere, which the DHT knows in a moment; an old
        // port refuses at once over TCP, and over QUIC not before its handshake has timed out.
        let ask_first = dial.tried && !dial.asked;
        if !ask_first && let Some(addresses) = dial.turns.pop_front() {
            dial.tried = true;
            return Step::Dial(addresses);
        }
        if !dial.asked {
            dial.asked = true;
            return Step::Ask;
        }
        let why = match dial.errors.as_slice() {
            [] => "no address of it is known".to_owned(),
            errors => errors.join("; "),
        };
        self.finish(peer, &Err(why));
        Step::Nothing
    }

    /// The DHT's answer.
    pub(crate) fn answered(&mut self, peer: PeerId, turns: Vec<Vec<Multiaddr>>) -> Step {
        if let Some(dial) = self.peers.get_mut(&peer) {
            dial.turns = turns.into();
        }
        self.next(peer)
    }

    /// The swarm took up a dial.
    pub(crate) fn dialing(&mut self, peer: PeerId, connection: ConnectionId) {
        if let Some(dial) = self.peers.get_mut(&peer) {
            dial.dialing = Some(connection);
        }
    }

    /// Notes why a dial failed; the peer, when it was one of these.
    pub(crate) fn failed(&mut self, connection: ConnectionId, error: &str) -> Option<PeerId> {
        let mut dials = self.peers.iter_mut();
        let (peer, dial) = dials.find(|(_, dial)| dial.dialing == Some(connection))?;
        dial.errors.push(error.to_owned());
        Some(*peer)
    }

    /// Notes why a dial was not taken up.
    pub(crate) fn not_dialed(&mut self, peer: PeerId, error: String) {
        if let Some(dial) = self.peers.get_mut(&peer) {
            dial.errors.push(error);
        }
    }

    /// There is a connection, however it came.
    pub(crate) fn connected(&mut self, peer: PeerId) {
        self.finish(peer, &Ok(()));
    }

    /// Gives up what takes too long.
    pub(crate) fn give_up(&mut self, now: Instant) {
        let late = self.peers.iter().filter(|(_, dial)| dial.until <= now);
        let late: Vec<_> = late.map(|(peer, _)| *peer).collect();
        for peer in late {
            self.finish(peer, &Err(format!("no connection within {CONNECT_TIME:?}")));
        }
    }

    fn finish(&mut self, peer: PeerId, outcome: &Result<(), String>) {
        if let Some(dial) = self.peers.remove(&peer) {
            for waiter in dial.waiters {
                let _ = waiter.send(outcome.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> Multiaddr {
        "/ip4/10.0.0.1/tcp/1".parse().unwrap()
    }

    #[tokio::test]
    async fn known_addresses_come_first_then_the_dht_then_an_error_that_names_them_all() {
        let (peer, now) = (PeerId::random(), Instant::now());
        let mut dials = Dials::default();
        let (waiter, outcome) = oneshot::channel();
        assert_eq!(
            dials.add(peer, waiter, vec![vec![address()]], now),
            Step::Dial(vec![address()])
        );
        let connection = ConnectionId::new_unchecked(7);
        dials.dialing(peer, connection);
        assert_eq!(dials.failed(connection, "refused"), Some(peer));
        assert_eq!(dials.next(peer), Step::Ask);
        assert_eq!(dials.answered(peer, vec![vec![address()]]), Step::Dial(vec![address()]));
        dials.not_dialed(peer, "limit".to_owned());
        assert_eq!(dials.next(peer), Step::Nothing);
        assert_eq!(outcome.await.unwrap(), Err("refused; limit".to_owned()));
    }

    #[test]
    fn the_dht_is_asked_before_an_old_address_is_waited_for() {
        let (peer, now) = (PeerId::random(), Instant::now());
        let quic: Multiaddr = "/ip4/10.0.0.1/udp/1/quic-v1".parse().unwrap();
        let mut dials = Dials::default();
        let turns = vec![vec![address()], vec![quic.clone()]];
        let (waiter, _outcome) = oneshot::channel();
        assert_eq!(dials.add(peer, waiter, turns.clone(), now), Step::Dial(vec![address()]));
        assert_eq!(dials.next(peer), Step::Ask);
        assert_eq!(dials.answered(peer, turns), Step::Dial(vec![address()]));
        assert_eq!(dials.next(peer), Step::Dial(vec![quic]));
    }

    #[tokio::test]
    async fn everybody_who_waits_hears_of_the_connection() {
        let (peer, now) = (PeerId::random(), Instant::now());
        let mut dials = Dials::default();
        let (one, first) = oneshot::channel();
        let (two, second) = oneshot::channel();
        assert_eq!(dials.add(peer, one, vec![], now), Step::Ask);
        assert_eq!(dials.add(peer, two, vec![], now), Step::Nothing);
        dials.connected(peer);
        assert_eq!((first.await.unwrap(), second.await.unwrap()), (Ok(()), Ok(())));
    }

    #[tokio::test]
    async fn nobody_waits_forever() {
        let (peer, now) = (PeerId::random(), Instant::now());
        let mut dials = Dials::default();
        let (waiter, outcome) = oneshot::channel();
        dials.add(peer, waiter, vec![], now);
        dials.give_up(now + CONNECT_TIME);
        assert!(outcome.await.unwrap().is_err());
    }
}
