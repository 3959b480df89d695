//! Nodes, services and conditions that the scenarios share.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bookmesh_rpc::api::{
    ApiError, Hash, LogRecord, Ping, RackId, RecordKind, Reply, Request, StreamRequest,
};
use bookmesh_rpc::mesh::{
    BoxFuture, Contact, Context, ItemSink, Mesh, MeshConfig, MeshKey, Service,
};
use bookmesh_rpc::{NodeKey, PeerId};
use bytes::Bytes;

/// Longer than anything takes; only a test that fails waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn config(mesh_key: Option<&MeshKey>, bootstrap: &[String]) -> MeshConfig {
    MeshConfig {
        key: NodeKey::generate(),
        mesh_key: mesh_key.cloned(),
        host: IpAddr::V4(Ipv4Addr::LOCALHOST),
        port: 0,
        bootstrap: bootstrap.to_vec(),
        mdns: false,
        bootstrap_timeout: PATIENCE,
        max_connections: 100,
    }
}

pub(crate) async fn node(mesh_key: Option<&MeshKey>, bootstrap: &[String]) -> Mesh {
    Mesh::start(config(mesh_key, bootstrap)).await.unwrap()
}

/// A node that answers as [`Example`] does.
pub(crate) async fn serving(mesh_key: Option<&MeshKey>, bootstrap: &[String]) -> Mesh {
    let mesh = node(mesh_key, bootstrap).await;
    mesh.serve(Arc::new(Example::default()));
    mesh
}

/// Where a node listens with one transport: `tcp` or `quic`.
pub(crate) fn address(mesh: &Mesh, transport: &str) -> String {
    mesh.addresses().into_iter().find(|address| address.contains(transport)).unwrap()
}

/// Two nodes of which the first knows where the second listens with that transport.
pub(crate) async fn pair(transport: &str) -> (Mesh, Mesh) {
    let key = MeshKey::generate();
    let (one, two) = (node(Some(&key), &[]).await, serving(Some(&key), &[]).await);
    one.learn(two.peer_id(), &[address(&two, transport)]).await;
    (one, two)
}

pub(crate) fn soon() -> Context {
    Context::within(PATIENCE)
}

pub(crate) fn ping(text: &str) -> Ping {
    Ping { payload: Bytes::copy_from_slice(text.as_bytes()) }
}

pub(crate) fn rack(name: &str) -> RackId {
    name.parse().unwrap()
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let over = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(over.is_ok(), "never happened: {what}");
}

/// Waits until a node is connected to so many.
pub(crate) async fn connected(mesh: &Mesh, peers: usize) {
    let mut contact = mesh.contact();
    let enough = |contact: &Contact| matches!(contact, Contact::Connected(n) if *n >= peers);
    tokio::time::timeout(PATIENCE, contact.wait_for(enough)).await.unwrap().unwrap();
}

/// `ping` comes back; `getRack` names a rack that is not there; `listRacks` and
/// `watchRoutes` never end; `tailLog` has records without end; `readLog` answers with a megabyte.
#[derive(Default)]
pub(crate) struct Example {
    pub(crate) running: Arc<AtomicUsize>,
    pub(crate) items: Arc<AtomicUsize>,
}

/// Counts what is under way.
pub(crate) struct Counted(Arc<AtomicUsize>);

impl Counted {
    pub(crate) fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(crate) fn record(index: u64, bytes: usize) -> LogRecord {
    LogRecord {
        index,
        term: 1,
        kind: RecordKind::Commands,
        hash: Hash::ZERO,
        commands: Bytes::from(vec![7; bytes]),
    }
}

impl Service for Example {
    fn call(
        self: Arc<Self>,
        _from: PeerId,
        _context: Context,
        request: Request,
    ) -> BoxFuture<'static, Result<Reply, ApiError>> {
        Box::pin(async move {
            match request {
                Request::Ping(ping) => Ok(Reply::Ping(ping.payload)),
                Request::GetRack(get) => Err(ApiError::RackNotFound { rack: get.rack }),
                Request::ListRacks(_) => {
                    let _running = Counted::new(&self.running);
                    std::future::pending().await
                }
                Request::ReadLog(_) => Ok(Reply::ReadLog(bookmesh_rpc::api::LogPage {
                    records: vec![record(0, 1 << 20)],
                    previous: Hash::ZERO,
                    committed_index: 0,
                })),
                Request::ListNodes(_) => panic!("a fault of the service"),
                other => Err(ApiError::NotServed { method: other.method().to_owned() }),
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
            let StreamRequest::TailLog(tail) = request else {
                return Err(ApiError::NotServed { method: request.method().to_owned() });
            };
            if tail.rack == rack("short") {
                for index in 0..3 {
                    items.send(&record(index, 10)).await.map_err(ApiError::internal)?;
                }
                return Ok(());
            }
            if tail.rack == rack("faulty") {
                items.send(&record(0, 10)).await.map_err(ApiError::internal)?;
                return Err(ApiError::NotMember { rack: tail.rack });
            }
            if tail.rack == rack("unknown") {
                return Err(ApiError::RackNotFound { rack: tail.rack });
            }
            let _running = Counted::new(&self.running);
            for index in tail.from.. {
                if items.send(&record(index, 1000)).await.is_err() {
                    break;
                }
                self.items.fetch_add(1, Ordering::SeqCst);
            }
            Ok(())
        })
    }
}
