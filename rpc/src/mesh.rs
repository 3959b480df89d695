//! The handle that the rest of the program holds.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admission::Admission;
use crate::api::{ApiError, Method, Reply, Request, StreamMethod};
use crate::codec;
use crate::flow::Lane;
use crate::links::Links;
use crate::metrics::Metrics;
use crate::multiplex::{LaneError, ServiceCell, guarded, local_stream, settle};
use crate::peer::PeerId;
use crate::swarm::{Behaviour, Command, Shared, SwarmTask, WAITING_COMMANDS};
use crate::timing::{self, Spent};
use crate::transport;

pub use crate::config::{MeshConfig, MeshKey};
pub use crate::context::Context;
pub use crate::discovery::Contact;
pub use crate::error::{CallError, MeshError};
pub use crate::multiplex::{ItemSink, Items, SinkClosed};
pub use crate::service::{BoxFuture, Service};

/// A lane that ended between being found and being used is opened anew, so often.
const LANE_TRIES: u32 = 2;
/// How long the tasks may take to end when the mesh closes.
const CLOSE_TIME: Duration = Duration::from_secs(5);
/// Addresses that are learned of one peer at a time.
const LEARNED: usize = 16;

/// A node's handle on the mesh: cheap to clone, all channels behind it bounded.
#[derive(Clone)]
pub struct Mesh(Arc<Inner>);

struct Inner {
    me: PeerId,
    links: Arc<Links>,
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
    contact: watch::Receiver<Contact>,
    metrics: Arc<Metrics>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl std::fmt::Debug for Mesh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Mesh").field(&self.0.me).finish()
    }
}

impl Mesh {
    /// Starts listening and looking for others; returns once the listeners are bound. Calls of
    /// others are answered once [`Mesh::serve`] was called, and as busy before.
    ///
    /// Metrics go to the recorder that is installed by now.
    ///
    /// # Errors
    /// [`MeshError`] when an address can't be used.
    pub async fn start(config: MeshConfig) -> Result<Self, MeshError> {
        if config.mesh_key.is_none() && !config.host.is_loopback() {
            return Err(MeshError::Listen {
                address: config.host.to_string(),
                why: "without a mesh key a node listens on loopback only: set MESH_KEY".to_owned(),
            });
        }
        let no_id = |error: crate::peer::IdError| MeshError::Start(error.to_string());
        let keypair = config.key.to_libp2p().map_err(no_id)?;
        let me = config.key.peer_id().map_err(no_id)?;
        let admission = Admission::new(me, config.mesh_key.as_ref());
        let transport = transport::build(&keypair, &admission)?;
        let lan = config.mdns && !config.host.is_loopback();
        let behaviour = Behaviour::new(&keypair, config.max_connections, lan);
        let control = behaviour.lanes();
        let metrics = Arc::new(Metrics::new());
        let (commands, received) = mpsc::channel(WAITING_COMMANDS);
        let id = keypair.public().to_peer_id();
        let task =
            SwarmTask::bind(&config, transport, behaviour, id, received, Arc::clone(&metrics))
                .await?;
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let links = Links::new(
            commands.clone(),
            control,
            Arc::clone(&metrics),
            tasks.clone(),
            stop.clone(),
        );
        links.accept()?;
        let (shared, contact) = (task.shared(), task.contact());
        tasks.spawn(task.run(stop.clone()));
        Ok(Self(Arc::new(Inner { me, links, commands, shared, contact, metrics, tasks, stop })))
    }

    /// Answers calls with this service from now on. The first service stays.
    pub fn serve(&self, service: Arc<dyn Service>) {
        self.0.links.service().set(service);
    }

    /// Who this node is.
    pub fn peer_id(&self) -> PeerId {
        self.0.me
    }

    /// Where it listens, as multiaddresses that end in `/p2p/<id>`.
    pub fn addresses(&self) -> Vec<String> {
        let Ok(me) = self.0.me.to_libp2p() else { return Vec::new() };
        let addresses = crate::lock(&self.0.shared.addresses);
        let named = |address: &Multiaddr| address.clone().with(Protocol::P2p(me)).to_string();
        addresses.iter().map(named).collect()
    }

    /// Calls a peer and waits for its reply, until the context's deadline. A call to this node
    /// itself goes straight to its service. Not retried. Dropping the future cancels the call.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn call<M: Method>(
        &self,
        to: PeerId,
        context: &Context,
        request: M,
    ) -> Result<M::Reply, CallError> {
        let began = Instant::now();
        let request = request.into();
        let result = if self.0.stop.is_cancelled() {
            Err(CallError::Closed)
        } else if to == self.0.me {
            self.0.call_myself(context, request).await
        } else {
            let mut spent = Spent::default();
            let result = self.0.call_peer(to, context, &request, &mut spent).await;
            timing::note_call(began.elapsed(), spent);
            result
        };
        let result = result.and_then(|reply| {
            let what = || format!("another method's reply to {}", M::NAME);
            M::reply(reply).ok_or_else(|| CallError::Protocol { peer: to, what: what() })
        });
        self.0.metrics.called(M::NAME, result.as_ref().err(), began.elapsed());
        result
    }

    /// Opens a stream of a peer's items. The context's deadline is for the opening alone.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn stream<M: StreamMethod>(
        &self,
        to: PeerId,
        context: &Context,
        request: M,
    ) -> Result<Items<M::Item>, CallError> {
        let began = Instant::now();
        let result = if self.0.stop.is_cancelled() {
            Err(CallError::Closed)
        } else if to == self.0.me {
            self.0.stream_myself::<M>(context, request)
        } else {
            self.0.stream_peer::<M>(to, context, request).await
        };
        self.0.metrics.called(M::NAME, result.as_ref().err(), began.elapsed());
        result
    }

    /// Tells the DHT that this node provides `key` (`ork`, `rack/<id>`), and keeps telling it.
    pub async fn provide(&self, key: &str) {
        self.send(Command::Provide { key: key.to_owned() }).await;
    }

    /// Stops telling it. What others stored fades within half an hour.
    pub async fn stop_providing(&self, key: &str) {
        self.send(Command::StopProviding { key: key.to_owned() }).await;
    }

    /// Who provides `key`, by the DHT; hints, not membership. This node itself is left out. Comes
    /// back a moment after the first was found, or with what there is at the deadline.
    pub async fn providers(&self, key: &str, context: &Context) -> Vec<PeerId> {
        let (found, answer) = oneshot::channel();
        let until = context.deadline;
        self.send(Command::Providers { key: key.to_owned(), until, found }).await;
        answer.await.unwrap_or_default()
    }

    /// Remembers where a peer listens, so that a call can dial it. What is no multiaddress is
    /// passed over.
    pub async fn learn(&self, peer: PeerId, addresses: &[String]) {
        let readable = addresses.iter().take(LEARNED).filter_map(|text| text.parse().ok());
        let addresses: Vec<Multiaddr> = readable.collect();
        self.send(Command::Learn { peer, addresses }).await;
    }

    /// Whether others were found.
    pub fn contact(&self) -> watch::Receiver<Contact> {
        self.0.contact.clone()
    }

    /// How many peers are connected.
    pub fn connected(&self) -> usize {
        self.0.shared.connected.load(Ordering::Relaxed)
    }

    /// Ends all calls and connections; returns when the listeners are closed.
    pub async fn close(&self) {
        self.0.stop.cancel();
        self.0.tasks.close();
        if tokio::time::timeout(CLOSE_TIME, self.0.tasks.wait()).await.is_err() {
            tracing::warn!("some tasks of the mesh did not end in time");
        }
        self.0.links.service().clear();
    }

    /// Whether the task that takes it is still there shows in what it answers.
    async fn send(&self, command: Command) {
        let _ = self.0.commands.send(command).await;
    }
}

impl Inner {
    fn service(&self) -> &ServiceCell {
        self.links.service()
    }

    async fn call_myself(&self, context: &Context, request: Request) -> Result<Reply, CallError> {
        let peer = self.me;
        let service = self.service().get().ok_or(CallError::Busy { peer })?;
        let work = guarded(service.call(peer, context.clone(), request));
        match timeout_at(context.deadline.into(), work).await {
            Ok(caught) => Ok(settle(caught)?),
            Err(_) => Err(CallError::Timeout { peer }),
        }
    }

    async fn call_peer(
        &self,
        to: PeerId,
        context: &Context,
        request: &Request,
        spent: &mut Spent,
    ) -> Result<Reply, CallError> {
        let lane = Lane::of(request);
        let link = self.links.link(to);
        let _slot = link.enter(lane).ok_or(CallError::Busy { peer: to })?;
        if !link.breaker.allows(Instant::now()) {
            return Err(CallError::Open { peer: to });
        }
        let body = codec::encode(request).map_err(ApiError::internal)?;
        let mut answer = Err(LaneError::Gone);
        for _ in 0..LANE_TRIES {
            let open = self.links.lane(&link, lane, context).await?;
            answer = open.call(context, &body).await;
            if answer != Err(LaneError::Gone) {
                break;
            }
        }
        let (bytes, took) = link.judge(answer)?;
        *spent = took;
        let reply = codec::decode::<Result<Reply, ApiError>>(&bytes).map_err(|error| {
            CallError::Protocol { peer: to, what: format!("a reply that is {error}") }
        })?;
        Ok(reply?)
    }

    fn stream_myself<M: StreamMethod>(
        &self,
        context: &Context,
        request: M,
    ) -> Result<Items<M::Item>, CallError> {
        let service = self.service().get().ok_or(CallError::Busy { peer: self.me })?;
        let (sink, items, failure) = local_stream(self.me);
        let work = service.stream(self.me, context.clone(), request.into(), sink);
        let stop = self.stop.clone();
        // Ends with its reader: the next item finds nobody.
        self.tasks.spawn(async move {
            tokio::select! {
                caught = guarded(work) => if let Err(error) = settle(caught) {
                    let _ = failure.set(CallError::Api(error));
                },
                () = stop.cancelled() => {
                    let _ = failure.set(CallError::Closed);
                }
            }
        });
        Ok(items)
    }

    async fn stream_peer<M: StreamMethod>(
        &self,
        to: PeerId,
        context: &Context,
        request: M,
    ) -> Result<Items<M::Item>, CallError> {
        let link = self.links.link(to);
        let slot = link.enter(Lane::Bulk).ok_or(CallError::Busy { peer: to })?;
        if !link.breaker.allows(Instant::now()) {
            return Err(CallError::Open { peer: to });
        }
        let body = codec::encode(&request.into()).map_err(ApiError::internal)?;
        let mut answer = Err(LaneError::Gone);
        for _ in 0..LANE_TRIES {
            let open = self.links.lane(&link, Lane::Bulk, context).await?;
            answer = open.open(context, &body).await;
            if !matches!(answer, Err(LaneError::Gone)) {
                break;
            }
        }
        Ok(Items::remote(link.judge(answer)?, slot))
    }
}
