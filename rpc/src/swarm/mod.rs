//! The one task that owns the swarm: connections, the DHT, the LAN.
//!
//! Everything that waits here has a bound and an end: commands in a bounded channel, dials and
//! questions in tables with deadlines that a tick checks.

mod behaviour;
mod book;
mod command;
mod dials;
mod events;
mod knocks;
mod provided;
mod questions;
mod refusals;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::StreamExt;
use libp2p::core::transport::ListenerId;
use libp2p::kad::{QueryId, RecordKey};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, SwarmEvent};
use libp2p::{Multiaddr, PeerId as Libp2pId, Swarm};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

pub(crate) use behaviour::Behaviour;
pub(crate) use command::{Command, WAITING_COMMANDS};

use crate::config::MeshConfig;
use crate::discovery::{Bootstrap, ContactWatcher, Dialed};
use crate::error::MeshError;
use crate::lock;
use crate::metrics::Metrics;
use crate::peer::PeerId;
use crate::transport::Transport;
use book::AddressBook;
use dials::{Dials, Step};
use provided::Provided;
use questions::{Question, Questions};
use refusals::LogLimit;

/// How often deadlines and due dials are looked at.
const TICK: Duration = Duration::from_millis(100);
/// How long binding may take.
const BIND_TIME: Duration = Duration::from_secs(5);
/// How long connections may take to close when the node stops.
const CLOSE_TIME: Duration = Duration::from_secs(2);
/// A connection that nothing uses is kept so long: the DHT and the next call may want it.
const IDLE_TIME: Duration = Duration::from_secs(600);
/// A candidate of the LAN that was dialed is left alone for so long.
const LAN_AGAIN: Duration = Duration::from_secs(15);
/// Candidates of the LAN.
const LAN_CANDIDATES: usize = 1024;
/// Bytes of a key that others may store here: `rack/` and a rack's name.
const MAX_KEY_BYTES: usize = 128;

/// What the task shares with the handle.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Where this node listens.
    pub(crate) addresses: Mutex<Vec<Multiaddr>>,
    /// Peers with a connection.
    pub(crate) connected: AtomicUsize,
}

/// Owns the swarm.
pub(crate) struct SwarmTask {
    swarm: Swarm<Behaviour>,
    me: Libp2pId,
    commands: mpsc::Receiver<Command>,
    shared: Arc<Shared>,
    metrics: Arc<Metrics>,
    listeners: Vec<ListenerId>,
    bootstrap: Bootstrap,
    contact: ContactWatcher,
    book: AddressBook,
    dials: Dials,
    /// Candidates that mDNS named, and when each is dialed next.
    lan: HashMap<Libp2pId, Instant>,
    provided: Provided,
    questions: Questions,
    refusals: LogLimit,
}

impl SwarmTask {
    /// Binds the listeners.
    ///
    /// # Errors
    /// [`MeshError`] when an address can't be used.
    pub(crate) async fn bind(
        config: &MeshConfig,
        transport: Transport,
        behaviour: Behaviour,
        me: Libp2pId,
        commands: mpsc::Receiver<Command>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, MeshError> {
        let now = Instant::now();
        let bootstrap = Bootstrap::new(&config.bootstrap, now)?;
        let swarm_config =
            libp2p::swarm::Config::with_tokio_executor().with_idle_connection_timeout(IDLE_TIME);
        let mut task = Self {
            swarm: Swarm::new(transport, behaviour, me, swarm_config),
            me,
            commands,
            shared: Arc::default(),
            metrics,
            listeners: Vec::new(),
            bootstrap,
            contact: ContactWatcher::new(config.bootstrap_timeout, now),
            book: AddressBook::default(),
            dials: Dials::default(),
            lan: HashMap::new(),
            provided: Provided::default(),
            questions: Questions::default(),
            refusals: LogLimit::new(now),
        };
        let ip = Multiaddr::from(config.host);
        let tcp = ip.clone().with(Protocol::Tcp(config.port));
        let quic = ip.with(Protocol::Udp(config.port)).with(Protocol::QuicV1);
        for address in [tcp, quic] {
            task.listen(address).await?;
        }
        Ok(task)
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    pub(crate) fn contact(&self) -> tokio::sync::watch::Receiver<crate::discovery::Contact> {
        self.contact.subscribe()
    }

    async fn listen(&mut self, address: Multiaddr) -> Result<(), MeshError> {
        let failed = |why: String| MeshError::Listen { address: address.to_string(), why };
        let listener = self
            .swarm
            .listen_on(address.clone())
            .map_err(|error| failed(refusals::with_causes(&error)))?;
        self.listeners.push(listener);
        let bound = async {
            loop {
                match self.swarm.select_next_some().await {
                    SwarmEvent::NewListenAddr { listener_id, address } => {
                        self.listening(address);
                        if listener_id == listener {
                            return Ok(());
                        }
                    }
                    SwarmEvent::ListenerClosed { listener_id, reason, .. }
                        if listener_id == listener =>
                    {
                        return Err(reason.err().map_or("closed".to_owned(), |e| e.to_string()));
                    }
                    other => self.event(other),
                }
            }
        };
        let bound = timeout(BIND_TIME, bound).await;
        bound.unwrap_or_else(|_| Err("no interface to listen on".to_owned())).map_err(failed)
    }

    /// Runs until the node stops, then closes everything in order.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                event = self.swarm.select_next_some() => self.event(event),
                command = self.commands.recv() => match command {
                    Some(command) => self.command(command),
                    None => break,
                },
                _ = ticks.tick() => self.tick(),
            }
        }
        self.close().await;
    }

    async fn close(mut self) {
        for listener in std::mem::take(&mut self.listeners) {
            self.swarm.remove_listener(listener);
        }
        let peers: Vec<_> = self.swarm.connected_peers().copied().collect();
        for peer in peers {
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        let closing = async {
            while self.swarm.network_info().num_peers() > 0 {
                let event = self.swarm.select_next_some().await;
                self.event(event);
            }
        };
        if timeout(CLOSE_TIME, closing).await.is_err() {
            tracing::debug!("some connections did not close in time and are dropped");
        }
        let bound: Vec<_> = lock(&self.shared.addresses).iter().filter_map(udp_socket).collect();
        drop(self);
        if timeout(CLOSE_TIME, released(&bound)).await.is_err() {
            tracing::debug!("a UDP port is not released yet");
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Connect { peer, done } => self.connect(peer, done),
            Command::Disconnect { peer } => {
                if let Ok(peer) = peer.to_libp2p() {
                    let _ = self.swarm.disconnect_peer_id(peer);
                }
            }
            Command::Learn { peer, addresses } => {
                if let Ok(peer) = peer.to_libp2p() {
                    self.learn(peer, addresses);
                }
            }
            Command::Provide { key } => {
                if !self.provided.add(key.clone(), Instant::now()) {
                    tracing::warn!(%key, "provides as many keys as it may; this one is not told");
                }
            }
            Command::StopProviding { key } => {
                self.provided.remove(&key);
                self.swarm.behaviour_mut().kad.stop_providing(&RecordKey::new(&key));
            }
            Command::Providers { key, until, found } => {
                if self.questions.has_room() {
                    let key = RecordKey::new(&key);
                    let query = self.swarm.behaviour_mut().kad.get_providers(key);
                    let question = Question::Who { found: Vec::new(), tell: found, until };
                    self.questions.ask(query, question);
                }
            }
        }
    }

    fn connect(&mut self, peer: PeerId, done: tokio::sync::oneshot::Sender<Result<(), String>>) {
        let Ok(peer) = peer.to_libp2p() else {
            let _ = done.send(Err("its id is no Ed25519 key".to_owned()));
            return;
        };
        if self.swarm.is_connected(&peer) {
            let _ = done.send(Ok(()));
            return;
        }
        let turns = self.book.turns(&peer);
        let step = self.dials.add(peer, done, turns, Instant::now());
        self.step(peer, step);
    }

    /// Carries a wanted connection on until it is under way.
    fn step(&mut self, peer: Libp2pId, mut step: Step) {
        loop {
            match step {
                Step::Nothing => return,
                Step::Ask => {
                    let query = self.swarm.behaviour_mut().kad.get_closest_peers(peer);
                    self.questions.ask(query, Question::Where(peer));
                    return;
                }
                Step::Dial(addresses) => match self.dial(peer, addresses) {
                    Ok(connection) => return self.dials.dialing(peer, connection),
                    Err(error) => {
                        self.dials.not_dialed(peer, error);
                        step = self.dials.next(peer);
                    }
                },
            }
        }
    }

    fn dial(&mut self, peer: Libp2pId, to: Vec<Multiaddr>) -> Result<ConnectionId, String> {
        let options =
            DialOpts::peer_id(peer).condition(PeerCondition::Always).addresses(to).build();
        let connection = options.connection_id();
        match self.swarm.dial(options) {
            Ok(()) => Ok(connection),
            Err(error) => Err(refusals::why_not_reached(&error)),
        }
    }

    /// Remembers addresses, for calls and for the DHT.
    fn learn(&mut self, peer: Libp2pId, addresses: Vec<Multiaddr>) {
        if peer != self.me {
            self.book.heard(peer, addresses);
            self.feed_dht(peer);
        }
    }

    /// The DHT dials by itself, so it gets the addresses that are dialed first.
    fn feed_dht(&mut self, peer: Libp2pId) {
        let turns = self.book.turns(&peer);
        for address in turns.into_iter().next().unwrap_or_default() {
            self.swarm.behaviour_mut().kad.add_address(&peer, address);
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        self.dial_bootstrap(now);
        self.dial_lan(now);
        self.dials.give_up(now);
        for query in self.questions.answer_due(now) {
            self.end_query(query);
        }
        for key in self.provided.due(now) {
            match self.swarm.behaviour_mut().kad.start_providing(RecordKey::new(&key)) {
                Ok(query) => self.questions.ask(query, Question::Told(key)),
                Err(error) => {
                    tracing::warn!(%key, %error, "the DHT does not take a key");
                    self.provided.failed(&key, now);
                }
            }
        }
        let mdns = self.swarm.behaviour().asks_lan();
        self.contact.check(&self.bootstrap, mdns, now);
    }

    fn end_query(&mut self, query: QueryId) {
        if let Some(mut query) = self.swarm.behaviour_mut().kad.query_mut(&query) {
            query.finish();
        }
    }

    fn dial_bootstrap(&mut self, now: Instant) {
        let swarm = &mut self.swarm;
        self.bootstrap.dial_due(now, |address| {
            let named = address.iter().find_map(|part| match part {
                Protocol::P2p(peer) => Some(peer),
                _ => None,
            });
            let options = match named {
                Some(peer) if swarm.is_connected(&peer) => return Ok(Dialed::Already(peer)),
                Some(peer) => DialOpts::peer_id(peer)
                    .condition(PeerCondition::Always)
                    .addresses(vec![address.clone()])
                    .build(),
                None => DialOpts::unknown_peer_id().address(address.clone()).build(),
            };
            let connection = options.connection_id();
            let dialed = swarm.dial(options).map(|()| Dialed::Now(connection));
            dialed.map_err(|error| refusals::why_not_reached(&error))
        });
    }

    /// Dials what the LAN named and is not connected. Another mesh's nodes refuse, and are left
    /// alone for a while.
    fn dial_lan(&mut self, now: Instant) {
        let due: Vec<_> =
            self.lan.iter().filter(|(_, at)| **at <= now).map(|(peer, _)| *peer).collect();
        for peer in due {
            self.lan.insert(peer, now + LAN_AGAIN);
            if self.swarm.is_connected(&peer) {
                continue;
            }
            let addresses = self.book.turns(&peer).concat();
            if let Err(error) = self.dial(peer, addresses) {
                tracing::debug!(%error, "a node of the LAN was not dialed");
            }
        }
    }
}

fn udp_socket(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => IpAddr::V4(ip),
        Protocol::Ip6(ip) => IpAddr::V6(ip),
        _ => return None,
    };
    match parts.next()? {
        Protocol::Udp(port) => Some(SocketAddr::new(ip, port)),
        _ => None,
    }
}

/// QUIC keeps its socket, in tasks of its own, until its closed connections have drained. Who
/// waits for the close wants to use the port again.
async fn released(sockets: &[SocketAddr]) {
    for socket in sockets {
        while tokio::net::UdpSocket::bind(socket).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
