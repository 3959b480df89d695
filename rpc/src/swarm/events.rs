//! What the swarm tells its owner.

use std::sync::atomic::Ordering;
use std::time::Instant;

use libp2p::core::ConnectedPoint;
use libp2p::kad::store::RecordStore;
use libp2p::kad::{self, GetProvidersOk, InboundRequest, ProviderRecord, QueryResult};
use libp2p::swarm::{ConnectionId, DialError, ListenError, SwarmEvent};
use libp2p::{Multiaddr, PeerId as Libp2pId, identify, mdns};

use super::behaviour::BehaviourEvent;
use super::book::is_loopback;
use super::questions::Question;
use super::refusals::{is_gone, is_myself_alone, why_not_reached, why_refused};
use super::{LAN_CANDIDATES, MAX_KEY_BYTES, SwarmTask};
use crate::lock;
use crate::peer::PeerId;
use crate::transport::{MYSELF, REFUSED};

impl SwarmTask {
    pub(super) fn event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::NewListenAddr { address, .. } => self.listening(address),
            SwarmEvent::ExpiredListenAddr { address, .. } => self.expired(&address),
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                num_established,
                ..
            } => self.established(peer_id, connection_id, &endpoint, num_established.get() == 1),
            SwarmEvent::ConnectionClosed { peer_id, num_established: 0, .. } => self.lost(peer_id),
            SwarmEvent::IncomingConnectionError { send_back_addr, error, .. } => {
                self.refused(&send_back_addr, &error);
            }
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                self.not_reached(connection_id, &error);
            }
            SwarmEvent::ListenerError { error, .. } => {
                tracing::warn!(%error, "a listener failed to take a connection");
            }
            SwarmEvent::Behaviour(BehaviourEvent::Identify(event)) => self.identified(event),
            SwarmEvent::Behaviour(BehaviourEvent::Kad(event)) => self.dht(event),
            SwarmEvent::Behaviour(BehaviourEvent::Mdns(event)) => self.lan(event),
            _ => {}
        }
    }

    /// Nodes of a mesh reach each other directly, so what is listened on is where it is reached.
    pub(super) fn listening(&mut self, address: Multiaddr) {
        tracing::info!(%address, "listening");
        self.swarm.add_external_address(address.clone());
        self.book.listening(&address);
        let mut addresses = lock(&self.shared.addresses);
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }

    fn expired(&mut self, address: &Multiaddr) {
        tracing::info!(%address, "no more listening");
        self.swarm.remove_external_address(address);
        let alone = {
            let mut addresses = lock(&self.shared.addresses);
            addresses.retain(|known| known != address);
            addresses.iter().all(is_loopback)
        };
        // The node was taken out of its network, and may be put back at another address. Its
        // connections would not notice for minutes: what they send has no address to come from.
        if alone && !is_loopback(address) {
            let peers: Vec<_> = self.swarm.connected_peers().copied().collect();
            for peer in peers {
                let _ = self.swarm.disconnect_peer_id(peer);
            }
        }
    }

    fn established(
        &mut self,
        peer: Libp2pId,
        connection: ConnectionId,
        endpoint: &ConnectedPoint,
        first: bool,
    ) {
        if let ConnectedPoint::Dialer { address, .. } = endpoint {
            self.book.add(peer, [address.clone()]);
        }
        let looked = self.bootstrap.established(connection, peer, Instant::now());
        if looked && !first {
            // It was connected already: this is one more connection to the same node.
            self.swarm.close_connection(connection);
        }
        self.dials.connected(peer);
        if first {
            let address = endpoint.get_remote_address();
            tracing::debug!(peer = %short(&peer), %address, "connected");
            self.contact.joined();
            self.publish_connected();
        }
    }

    fn lost(&mut self, peer: Libp2pId) {
        tracing::debug!(peer = %short(&peer), "disconnected");
        let now = Instant::now();
        self.bootstrap.lost(peer, now);
        self.contact.left(now);
        self.publish_connected();
    }

    fn publish_connected(&self) {
        let connected = self.contact.connected();
        let before = self.shared.connected.swap(connected, Ordering::Relaxed);
        // Not set: nodes that share a process share the gauge, which counts for all of them.
        self.metrics.connections.increment(connected as f64 - before as f64);
    }

    fn refused(&mut self, from: &Multiaddr, error: &ListenError) {
        let why = why_refused(error);
        if why.contains(MYSELF) {
            return;
        }
        if is_gone(&why) {
            // Nobody was refused: of two connections to one node, the other end closes one.
            tracing::debug!(%from, %why, "a connection ended before it was made");
            return;
        }
        self.metrics.refused();
        if self.refusals.allows(Instant::now()) {
            tracing::warn!(%from, %why, "refused a connection");
        }
    }

    fn not_reached(&mut self, connection: ConnectionId, error: &DialError) {
        let why = why_not_reached(error);
        if is_myself_alone(error) {
            self.bootstrap.is_myself(connection, Instant::now());
        } else if self.refusals.allows(Instant::now()) {
            if why.contains(REFUSED) {
                tracing::warn!(%why, "was not admitted, or did not admit");
            } else {
                tracing::info!(%why, "could not connect");
            }
        }
        self.bootstrap.failed(connection, &why, Instant::now());
        if let Some(peer) = self.dials.failed(connection, &why) {
            let step = self.dials.next(peer);
            self.step(peer, step);
        }
    }

    fn identified(&mut self, event: identify::Event) {
        let identify::Event::Received { peer_id, info, .. } = event else { return };
        if self.book.replace(peer_id, info.listen_addrs) {
            self.feed_dht(peer_id);
        }
    }

    fn dht(&mut self, event: kad::Event) {
        match event {
            kad::Event::RoutingUpdated { is_new_peer: true, .. } => {
                self.provided.newcomer(Instant::now());
            }
            kad::Event::InboundRequest {
                request: InboundRequest::AddProvider { record: Some(record) },
            } => self.provider(record),
            kad::Event::OutboundQueryProgressed { id, result, step, .. } => {
                self.progress(id, &result);
                if step.last {
                    self.answered(id, result);
                }
            }
            _ => {}
        }
    }

    /// Others tell what they provide; what is no key of a mesh is not kept.
    fn provider(&mut self, record: ProviderRecord) {
        if record.key.as_ref().len() > MAX_KEY_BYTES {
            return;
        }
        if let Err(error) = self.swarm.behaviour_mut().kad.store_mut().add_provider(record) {
            tracing::debug!(%error, "a provider record was not kept");
        }
    }

    fn progress(&mut self, query: kad::QueryId, result: &QueryResult) {
        let QueryResult::GetProviders(Ok(GetProvidersOk::FoundProviders { providers, .. })) =
            result
        else {
            return;
        };
        let others = providers.iter().filter(|peer| **peer != self.me);
        let peers: Vec<_> = others.filter_map(|peer| PeerId::from_libp2p(peer).ok()).collect();
        self.questions.found(query, peers, Instant::now());
    }

    fn answered(&mut self, query: kad::QueryId, result: QueryResult) {
        let Some(question) = self.questions.finish(query) else { return };
        match (question, result) {
            (Question::Where(peer), QueryResult::GetClosestPeers(closest)) => {
                let peers = match closest {
                    Ok(found) => found.peers,
                    Err(kad::GetClosestPeersError::Timeout { peers, .. }) => peers,
                };
                if let Some(found) = peers.into_iter().find(|found| found.peer_id == peer) {
                    self.book.heard(peer, found.addrs);
                }
                let step = self.dials.answered(peer, self.book.turns(&peer));
                self.step(peer, step);
            }
            (Question::Told(key), QueryResult::StartProviding(told)) => match told {
                Ok(_) => self.provided.told(&key),
                Err(_) => self.provided.failed(&key, Instant::now()),
            },
            (question, _) => question.answer(),
        }
    }

    fn lan(&mut self, event: mdns::Event) {
        let now = Instant::now();
        match event {
            mdns::Event::Discovered(found) => {
                for (peer, address) in found {
                    self.book.add(peer, [address]);
                    if self.lan.len() < LAN_CANDIDATES {
                        self.lan.entry(peer).or_insert(now);
                    }
                }
            }
            mdns::Event::Expired(gone) => {
                for (peer, _) in gone {
                    self.lan.remove(&peer);
                }
            }
        }
    }
}

fn short(peer: &Libp2pId) -> String {
    PeerId::from_libp2p(peer).map_or_else(|_| peer.to_string(), |peer| peer.short())
}
