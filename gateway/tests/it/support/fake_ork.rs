//! An orchestrator that tells the routes it was given.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bookmesh_rpc::PeerId;
use bookmesh_rpc::api::{
    Announce, Announced, ApiError, NodeInfo, NodeRole, RackRoute, Reply, Request, RouteTable,
    StreamRequest,
};
use bookmesh_rpc::mesh::{BoxFuture, Context, ItemSink, Service};
use tokio::sync::watch;

#[derive(Debug)]
pub(crate) struct FakeOrk {
    pub(crate) routes: watch::Sender<RouteTable>,
    announced: Mutex<Vec<(PeerId, Announce)>>,
    /// It answers no announcement, and keeps its connections.
    pub(crate) frozen: AtomicBool,
}

impl FakeOrk {
    pub(crate) fn new() -> Arc<Self> {
        let announced = Mutex::new(Vec::new());
        let routes = watch::Sender::new(RouteTable::default());
        Arc::new(Self { routes, announced, frozen: AtomicBool::new(false) })
    }

    pub(crate) fn set(&self, racks: Vec<RackRoute>) {
        self.routes.send_modify(|routes| routes.racks = racks);
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
                    Ok(Reply::Announce(Announced::default()))
                }
                Request::ListNodes(_) => Ok(Reply::ListNodes(self.nodes())),
                other => Err(ApiError::NotServed { method: other.method().into() }),
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
