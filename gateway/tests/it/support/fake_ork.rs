//! An orchestrator that tells the routes it was given.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bookmesh_rpc::PeerId;
use bookmesh_rpc::api::{
    Announce, Announced, ApiError, Incarnation, NodeInfo, NodeRole, RackInfo, RackRoute, Reply,
    Request, RetireRack, RouteTable, Settings, StreamRequest,
};
use bookmesh_rpc::mesh::{BoxFuture, Context, ItemSink, Service};
use tokio::sync::watch;

#[derive(Debug)]
pub(crate) struct FakeOrk {
    pub(crate) routes: watch::Sender<RouteTable>,
    announced: Mutex<Vec<(PeerId, Announce)>>,
    settings: Mutex<Settings>,
    /// What is answered instead, once each.
    pub(crate) refusals: Mutex<VecDeque<ApiError>>,
    /// Racks it was told to retire, and whether by force.
    pub(crate) retired: Mutex<Vec<RetireRack>>,
    /// It answers no announcement, and keeps its connections.
    pub(crate) frozen: AtomicBool,
}

impl FakeOrk {
    pub(crate) fn new() -> Arc<Self> {
        let announced = Mutex::new(Vec::new());
        Arc::new(Self {
            routes: watch::Sender::new(RouteTable::default()),
            announced,
            settings: Mutex::default(),
            refusals: Mutex::default(),
            retired: Mutex::default(),
            frozen: AtomicBool::new(false),
        })
    }

    pub(crate) fn set(&self, racks: Vec<RackRoute>) {
        self.routes.send_replace(RouteTable { racks, retired: Vec::new() });
    }

    /// Names these as retired, and no others.
    pub(crate) fn set_retired(&self, racks: &[&str]) {
        let retired = racks.iter().map(|rack| rack.parse().unwrap()).collect();
        self.routes.send_modify(|routes| {
            routes.retired = retired;
            let retired = routes.retired.clone();
            routes.racks.retain(|route| !retired.contains(&route.id));
        });
    }

    pub(crate) fn refuses(&self, error: ApiError) {
        self.refusals.lock().unwrap().push_back(error);
    }

    fn retire(&self, request: RetireRack) -> Result<RackInfo, ApiError> {
        let routes = self.routes.borrow();
        let known = routes.racks.iter().find(|route| route.id == request.rack);
        let route = known.ok_or_else(|| ApiError::RackNotFound { rack: request.rack.clone() })?;
        let info = RackInfo {
            id: route.id.clone(),
            kind: route.kind,
            number: route.number,
            founder: PeerId::from_bytes([1; 32]),
            incarnation: Incarnation::default(),
            recoveries: 0,
            confirmed: true,
            since_ms: 0,
            retired: true,
        };
        self.retired.lock().unwrap().push(request);
        Ok(info)
    }

    /// What only the registry's leader answers.
    fn registry(&self, request: Request) -> Result<Reply, ApiError> {
        if let Some(error) = self.refusals.lock().unwrap().pop_front() {
            return Err(error);
        }
        match request {
            Request::RetireRack(request) => self.retire(request).map(Reply::RetireRack),
            Request::GetSettings(_) => Ok(Reply::GetSettings(*self.settings.lock().unwrap())),
            Request::SetSettings(set) => {
                *self.settings.lock().unwrap() = set.settings;
                Ok(Reply::SetSettings(set.settings))
            }
            other => Err(ApiError::NotServed { method: other.method().into() }),
        }
    }

    /// Whether anybody announced itself.
    pub(crate) fn is_told(&self) -> bool {
        !self.announced.lock().unwrap().is_empty()
    }

    fn nodes(&self) -> Vec<NodeInfo> {
        let mut nodes: Vec<NodeInfo> = Vec::new();
        for (peer, announce) in self.announced.lock().unwrap().iter() {
            if !nodes.iter().any(|node| node.peer == *peer) {
                nodes.push(NodeInfo {
                    peer: *peer,
                    role: NodeRole::Gateway,
                    version: announce.version.clone(),
                    addresses: announce.addresses.clone(),
                    racks: Vec::new(),
                    last_seen_ms: 1_000,
                });
            }
        }
        nodes
    }
}

impl Service for FakeOrk {
    fn call(
        self: Arc<Self>,
        from: PeerId,
        _context: Context,
        request: Request,
    ) -> BoxFuture<'static, Result<Reply, ApiError>> {
        Box::pin(async move {
            match request {
                Request::Announce(_) if self.frozen.load(Ordering::SeqCst) => {
                    std::future::pending().await
                }
                Request::Announce(announce) => {
                    self.announced.lock().unwrap().push((from, announce));
                    let settings = *self.settings.lock().unwrap();
                    let registry = Some(Incarnation::default());
                    let answer = Announced { registry, settings, ..Announced::default() };
                    Ok(Reply::Announce(answer))
                }
                Request::ListNodes(_) => Ok(Reply::ListNodes(self.nodes())),
                other => self.registry(other),
            }
        })
    }

    fn stream(
        self: Arc<Self>,
        _from: PeerId,
        _context: Context,
        request: StreamRequest,
        mut items: ItemSink,
    ) -> BoxFuture<'static, Result<(), ApiError>> {
        Box::pin(async move {
            let StreamRequest::WatchRoutes(_) = request else {
                return Err(ApiError::NotServed { method: request.method().into() });
            };
            let mut routes = self.routes.subscribe();
            loop {
                let table = routes.borrow_and_update().clone();
                if items.send(&table).await.is_err() || routes.changed().await.is_err() {
                    return Ok(());
                }
            }
        })
    }
}
