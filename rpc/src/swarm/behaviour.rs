//! What runs on every connection.

use std::time::Duration;

use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::identity::Keypair;
use libp2p::kad::store::{MemoryStore, MemoryStoreConfig};
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::{NetworkBehaviour, StreamProtocol};
use libp2p::{identify, kad, mdns};

use super::knocks::Knocks;
use crate::admission::WireVersion;

const KAD_PROTOCOL: StreamProtocol = StreamProtocol::new("/bookmesh/1/kad");
const IDENTIFY_VERSION: &str = "/bookmesh/1";
/// Strangers and friends that are in the middle of a handshake, each way.
const PENDING_CONNECTIONS: u32 = 256;
/// Two nodes that dial each other at once have two; a node that restarts leaves some behind.
const CONNECTIONS_PER_PEER: u32 = 8;
/// A DHT question is answered within this, or not at all.
const QUERY_TIME: Duration = Duration::from_secs(10);
/// How long a provider record is believed; it is told anew far more often.
const PROVIDER_TTL: Duration = Duration::from_secs(30 * 60);
/// Keys that others may have stored here: one for each rack, and `ork`.
const STORED_KEYS: usize = 20_000;
/// How often the LAN is asked who is there.
const MDNS_INTERVAL: Duration = Duration::from_secs(30);

/// All that runs on a connection, limits first so that they decide first.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    limits: connection_limits::Behaviour,
    knocks: Knocks,
    pub(crate) kad: kad::Behaviour<MemoryStore>,
    identify: identify::Behaviour,
    mdns: Toggle<mdns::tokio::Behaviour>,
    lanes: libp2p_stream::Behaviour,
}

impl Behaviour {
    pub(crate) fn new(keypair: &Keypair, max_connections: u32, lan: bool) -> Self {
        let id = keypair.public().to_peer_id();
        let limits = ConnectionLimits::default()
            .with_max_pending_incoming(Some(PENDING_CONNECTIONS))
            .with_max_pending_outgoing(Some(PENDING_CONNECTIONS))
            .with_max_established(Some(max_connections))
            .with_max_established_per_peer(Some(CONNECTIONS_PER_PEER));
        let identify = identify::Config::new(IDENTIFY_VERSION.to_owned(), keypair.public())
            .with_agent_version(format!("bookmesh/{}", WireVersion::CURRENT))
            .with_push_listen_addr_updates(true)
            .with_cache_size(0);
        Self {
            limits: connection_limits::Behaviour::new(limits),
            knocks: Knocks::default(),
            kad: kad_behaviour(id),
            identify: identify::Behaviour::new(identify),
            mdns: mdns_behaviour(id, lan).into(),
            lanes: libp2p_stream::Behaviour::new(),
        }
    }

    /// Opens and accepts lanes.
    pub(crate) fn lanes(&self) -> libp2p_stream::Control {
        self.lanes.new_control()
    }

    /// Whether the LAN is asked.
    pub(crate) fn asks_lan(&self) -> bool {
        self.mdns.is_enabled()
    }
}

fn kad_behaviour(id: libp2p::PeerId) -> kad::Behaviour<MemoryStore> {
    let mut config = kad::Config::new(KAD_PROTOCOL);
    config
        .set_query_timeout(QUERY_TIME)
        .set_provider_record_ttl(Some(PROVIDER_TTL))
        // This crate tells provider records itself, and checks what others tell.
        .set_provider_publication_interval(None)
        .set_record_filtering(kad::StoreInserts::FilterBoth);
    let store = MemoryStore::with_config(
        id,
        MemoryStoreConfig {
            max_records: 0,
            max_value_bytes: 0,
            max_provided_keys: STORED_KEYS,
            ..MemoryStoreConfig::default()
        },
    );
    let mut kad = kad::Behaviour::with_config(id, store, config);
    // As a client it would publish nothing and answer nobody.
    kad.set_mode(Some(kad::Mode::Server));
    kad
}

fn mdns_behaviour(id: libp2p::PeerId, lan: bool) -> Option<mdns::tokio::Behaviour> {
    if !lan {
        return None;
    }
    let config = mdns::Config { query_interval: MDNS_INTERVAL, ..mdns::Config::default() };
    mdns::tokio::Behaviour::new(config, id)
        .inspect_err(|error| {
            tracing::warn!(%error, "can't look for nodes on the LAN: set BOOTSTRAP");
        })
        .ok()
}
