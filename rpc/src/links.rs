//! The lanes to all peers: opened when they are needed, kept, opened anew after they broke.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::StreamExt;
use libp2p::swarm::StreamProtocol;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::context::Context;
use crate::error::{CallError, MeshError};
use crate::flow::{InFlight, Lane, Load, Slot};
use crate::lock;
use crate::metrics::Metrics;
use crate::multiplex::{ClientLane, Ended, LaneError, Served, ServiceCell};
use crate::peer::PeerId;
use crate::reliability::{Breaker, BreakerConfig};
use crate::swarm::Command;

/// How long opening a substream, and the peer's welcome on it, may each take.
const OPEN_TIME: Duration = Duration::from_secs(5);
/// How long one call waits for a lane that is being opened. A peer that has just died may take a
/// whole handshake's time to be known as gone, and whoever calls may have others to ask meanwhile;
/// the opening goes on without them, and the next call finds it done.
const LANE_WAIT: Duration = Duration::from_secs(1);
/// Substreams that are tried for one lane: a peer drops one that comes together with another.
const OPEN_TRIES: u32 = 3;
/// Peers whose state is kept; those without an open lane are forgotten above it.
const LINKS: usize = 4096;
/// Lanes of one kind that one peer may have open towards this node: a peer that lost its
/// connection opens a new one before this node has seen the old one end.
const SERVED_LANES: usize = 4;
/// A peer's. Never open for long, because a rack fails over within two seconds and must then be
/// reached.
const BREAKER: BreakerConfig = BreakerConfig {
    failures: 5,
    shortest: Duration::from_millis(100),
    longest: Duration::from_secs(1),
};

/// What lanes are made with.
pub(crate) struct Links {
    peers: Mutex<HashMap<PeerId, Arc<Link>>>,
    served: Mutex<HashMap<(PeerId, Lane), Vec<CancellationToken>>>,
    commands: mpsc::Sender<Command>,
    control: libp2p_stream::Control,
    service: Arc<ServiceCell>,
    load: Load,
    metrics: Arc<Metrics>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// One peer, as this node calls it.
pub(crate) struct Link {
    peer: PeerId,
    pub(crate) breaker: Breaker,
    lanes: [LaneSlot; Lane::ALL.len()],
}

struct LaneSlot {
    in_flight: InFlight,
    state: Mutex<SlotState>,
}

type Outcome = Option<Result<Arc<ClientLane>, String>>;

enum SlotState {
    Idle,
    Opening(watch::Receiver<Outcome>),
    Open(Arc<ClientLane>),
}

impl Link {
    fn new(peer: PeerId) -> Self {
        let slot = |lane: Lane| LaneSlot {
            in_flight: InFlight::new(lane.in_flight()),
            state: Mutex::new(SlotState::Idle),
        };
        Self { peer, breaker: Breaker::new(BREAKER), lanes: Lane::ALL.map(slot) }
    }

    /// A place among the calls in flight on a lane.
    pub(crate) fn enter(&self, lane: Lane) -> Option<Slot> {
        self.lanes[lane as usize].in_flight.enter()
    }

    fn is_idle(&self) -> bool {
        self.lanes.iter().all(|slot| match &*lock(&slot.state) {
            SlotState::Idle => true,
            SlotState::Opening(_) => false,
            SlotState::Open(lane) => !lane.is_open(),
        })
    }

    fn set(&self, lane: Lane, state: SlotState) {
        *lock(&self.lanes[lane as usize].state) = state;
    }

    /// Turns what a lane said into what a caller hears, and teaches the breaker.
    pub(crate) fn judge<T>(&self, result: Result<T, LaneError>) -> Result<T, CallError> {
        let peer = self.peer;
        match result {
            Ok(answer) => {
                self.breaker.succeeded();
                Ok(answer)
            }
            Err(LaneError::Api(error)) => {
                self.breaker.succeeded();
                Err(CallError::Api(error))
            }
            Err(LaneError::Busy) => Err(CallError::Busy { peer }),
            Err(LaneError::Gone) => {
                self.breaker.failed(Instant::now());
                Err(CallError::Unreachable { peer, why: "its connection just ended".to_owned() })
            }
            Err(LaneError::Broken) => {
                self.breaker.failed(Instant::now());
                Err(CallError::Broken { peer })
            }
            Err(LaneError::Timeout { silent }) => {
                // One slow call says nothing about a peer that answers others.
                if silent {
                    self.breaker.failed(Instant::now());
                }
                Err(CallError::Timeout { peer })
            }
        }
    }
}

impl Links {
    pub(crate) fn new(
        commands: mpsc::Sender<Command>,
        control: libp2p_stream::Control,
        metrics: Arc<Metrics>,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            peers: Mutex::default(),
            served: Mutex::default(),
            commands,
            control,
            service: Arc::default(),
            load: Load::default(),
            metrics,
            tasks,
            stop,
        })
    }

    pub(crate) fn service(&self) -> &ServiceCell {
        &self.service
    }

    /// The link to a peer.
    pub(crate) fn link(&self, peer: PeerId) -> Arc<Link> {
        let mut peers = lock(&self.peers);
        if let Some(link) = peers.get(&peer) {
            return Arc::clone(link);
        }
        if peers.len() >= LINKS {
            peers.retain(|_, link| !link.is_idle());
        }
        let link = Arc::new(Link::new(peer));
        peers.insert(peer, Arc::clone(&link));
        link
    }

    /// An open lane to a peer, within [`LANE_WAIT`] and before the context's deadline.
    pub(crate) async fn lane(
        self: &Arc<Self>,
        link: &Arc<Link>,
        lane: Lane,
        context: &Context,
    ) -> Result<Arc<ClientLane>, CallError> {
        let mut opening = match self.open_or_opening(link, lane) {
            Ok(open) => return Ok(open),
            Err(opening) => opening,
        };
        let opened = opening.wait_for(Option::is_some);
        let until = context.deadline.min(Instant::now() + LANE_WAIT);
        let why = match timeout_at(until.into(), opened).await {
            Ok(Ok(outcome)) => match &*outcome {
                Some(Ok(lane)) => return Ok(Arc::clone(lane)),
                Some(Err(why)) => why.clone(),
                None => "it was not tried".to_owned(),
            },
            Ok(Err(_)) => "this node is closing".to_owned(),
            Err(_) => "no connection in time".to_owned(),
        };
        if self.stop.is_cancelled() {
            return Err(CallError::Closed);
        }
        link.breaker.failed(Instant::now());
        Err(CallError::Unreachable { peer: link.peer, why })
    }

    /// The open lane, or where its opening, begun now if need be, will be told.
    fn open_or_opening(
        self: &Arc<Self>,
        link: &Arc<Link>,
        lane: Lane,
    ) -> Result<Arc<ClientLane>, watch::Receiver<Outcome>> {
        let mut state = lock(&link.lanes[lane as usize].state);
        match &*state {
            SlotState::Open(open) if open.is_open() => return Ok(Arc::clone(open)),
            SlotState::Opening(opening) => return Err(opening.clone()),
            _ => {}
        }
        let (tell, opening) = watch::channel(None);
        *state = SlotState::Opening(opening.clone());
        let (links, link) = (Arc::clone(self), Arc::clone(link));
        // A task of its own: a caller that gives up does not end what others wait for.
        self.tasks.spawn(async move {
            let opened = tokio::select! {
                opened = links.open(&link, lane) => opened,
                () = links.stop.cancelled() => Err("this node is closing".to_owned()),
            };
            link.set(
                lane,
                match &opened {
                    Ok(open) => SlotState::Open(Arc::clone(open)),
                    Err(_) => SlotState::Idle,
                },
            );
            tell.send_replace(Some(opened));
        });
        Err(opening)
    }

    async fn open(self: &Arc<Self>, link: &Link, lane: Lane) -> Result<Arc<ClientLane>, String> {
        let mut why = String::new();
        for _ in 0..OPEN_TRIES {
            self.connect(link.peer).await?;
            match self.open_once(link.peer, lane).await {
                Ok(open) => return Ok(open),
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    async fn connect(&self, peer: PeerId) -> Result<(), String> {
        let (done, connected) = oneshot::channel();
        let closing = || "this node is closing".to_owned();
        let command = Command::Connect { peer, done };
        self.commands.send(command).await.map_err(|_| closing())?;
        connected.await.map_err(|_| closing())?
    }

    async fn open_once(
        self: &Arc<Self>,
        peer: PeerId,
        lane: Lane,
    ) -> Result<Arc<ClientLane>, String> {
        let to = peer.to_libp2p().map_err(|error| error.to_string())?;
        let mut control = self.control.clone();
        let opening = control.open_stream(to, StreamProtocol::new(lane.protocol()));
        let stream = match timeout(OPEN_TIME, opening).await {
            Ok(opened) => opened.map_err(|error| error.to_string())?,
            Err(_) => return Err("it opened no stream in time".to_owned()),
        };
        let (open, welcome, running) = ClientLane::start(peer, stream, self.metrics.traffic());
        let (links, stop) = (Arc::clone(self), self.stop.clone());
        self.tasks.spawn(async move {
            let ended = running.run(stop).await;
            links.ended(peer, lane, "to", &ended).await;
        });
        match timeout(OPEN_TIME, welcome).await {
            Ok(Ok(in_flight)) => {
                tracing::debug!(?peer, lane = lane.name(), in_flight, "lane opened");
                Ok(open)
            }
            Ok(Err(_)) => Err("the stream ended at once".to_owned()),
            Err(_) => Err("it did not answer on a new stream".to_owned()),
        }
    }

    /// A lane has ended; a peer that is to blame loses its connection.
    async fn ended(&self, peer: PeerId, lane: Lane, way: &'static str, ended: &Ended) {
        let lane = lane.name();
        if !ended.is_fault() {
            tracing::debug!(?peer, lane, way, why = %ended, "lane ended");
            return;
        }
        tracing::warn!(?peer, lane, way, why = %ended, "cut a peer off");
        let _ = self.commands.send(Command::Disconnect { peer }).await;
    }

    /// Takes the lanes that others open.
    ///
    /// # Errors
    /// [`MeshError::Start`] when they are taken already.
    pub(crate) fn accept(self: &Arc<Self>) -> Result<(), MeshError> {
        for lane in Lane::ALL {
            let mut incoming = self
                .control
                .clone()
                .accept(StreamProtocol::new(lane.protocol()))
                .map_err(|error| MeshError::Start(error.to_string()))?;
            let links = Arc::clone(self);
            self.tasks.spawn(async move {
                loop {
                    tokio::select! {
                        next = incoming.next() => match next {
                            Some((peer, stream)) => links.serve(peer, lane, stream),
                            None => return,
                        },
                        () = links.stop.cancelled() => return,
                    }
                }
            });
        }
        Ok(())
    }

    fn serve(self: &Arc<Self>, peer: libp2p::PeerId, lane: Lane, stream: libp2p::Stream) {
        // Admission let only 32-byte ids in.
        let Ok(peer) = PeerId::from_libp2p(&peer) else { return };
        let stop = self.stop.child_token();
        self.keep_newest(peer, lane, stop.clone());
        let service = Arc::clone(&self.service);
        let served = Served { peer, lane, service, load: self.load.clone() };
        let links = Arc::clone(self);
        self.tasks.spawn(async move {
            let ended = served.run(stream, links.metrics.traffic(), stop.clone()).await;
            stop.cancel();
            links.forget_ended(peer, lane);
            links.ended(peer, lane, "from", &ended).await;
        });
    }

    fn keep_newest(&self, peer: PeerId, lane: Lane, stop: CancellationToken) {
        let mut served = lock(&self.served);
        let lanes = served.entry((peer, lane)).or_default();
        lanes.push(stop);
        if lanes.len() > SERVED_LANES {
            lanes.remove(0).cancel();
        }
    }

    fn forget_ended(&self, peer: PeerId, lane: Lane) {
        let mut served = lock(&self.served);
        if let Some(lanes) = served.get_mut(&(peer, lane)) {
            lanes.retain(|stop| !stop.is_cancelled());
            if lanes.is_empty() {
                served.remove(&(peer, lane));
            }
        }
    }
}
