//! This crate's side.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bookmesh_rpc::api::{ApiError, Ping, Reply, Request, StreamRequest};
use bookmesh_rpc::mesh::{BoxFuture, Context, ItemSink, Mesh, MeshConfig, MeshKey, Service};
use bookmesh_rpc::{NodeKey, PeerId};
use bytes::Bytes;

use super::PAYLOAD_BYTES;

pub(crate) struct Pair {
    caller: Mesh,
    called: Mesh,
}

impl Pair {
    pub(crate) async fn connected(transport: &str) -> Self {
        let key = MeshKey::generate();
        let (caller, called) = (node(&key).await, node(&key).await);
        called.serve(Arc::new(Echo));
        let address = called.addresses().into_iter().find(|at| at.contains(transport)).unwrap();
        caller.learn(called.peer_id(), &[address]).await;
        Self { caller, called }
    }

    pub(crate) async fn calls_per_second(&self, in_flight: usize, round: Duration) -> f64 {
        let began = Instant::now();
        let until = began + round;
        let callers: Vec<_> = (0..in_flight)
            .map(|_| tokio::spawn(calls(self.caller.clone(), self.called.peer_id(), until)))
            .collect();
        let mut calls = 0;
        for caller in callers {
            calls += caller.await.unwrap();
        }
        calls as f64 / began.elapsed().as_secs_f64()
    }
}

async fn calls(mesh: Mesh, to: PeerId, until: Instant) -> usize {
    let payload = Bytes::from(vec![7; PAYLOAD_BYTES]);
    let mut calls = 0;
    while Instant::now() < until {
        let context = Context::within(Duration::from_secs(10));
        let ping = Ping { payload: payload.clone() };
        assert_eq!(mesh.call(to, &context, ping).await.unwrap().len(), PAYLOAD_BYTES);
        calls += 1;
    }
    calls
}

async fn node(key: &MeshKey) -> Mesh {
    Mesh::start(MeshConfig {
        key: NodeKey::generate(),
        mesh_key: Some(key.clone()),
        host: IpAddr::V4(Ipv4Addr::LOCALHOST),
        port: 0,
        bootstrap: vec![],
        mdns: false,
        bootstrap_timeout: Duration::from_secs(15),
        max_connections: 10,
    })
    .await
    .unwrap()
}

struct Echo;

impl Service for Echo {
    fn call(
        self: Arc<Self>,
        _from: PeerId,
        _context: Context,
        request: Request,
    ) -> BoxFuture<'static, Result<Reply, ApiError>> {
        Box::pin(async move {
            match request {
                Request::Ping(ping) => Ok(Reply::Ping(ping.payload)),
                other => Err(ApiError::NotServed { method: other.method().to_owned() }),
            }
        })
    }

    fn stream(
        self: Arc<Self>,
        _from: PeerId,
        _context: Context,
        request: StreamRequest,
        _items: ItemSink,
    ) -> BoxFuture<'static, Result<(), ApiError>> {
        let method = request.method().to_owned();
        Box::pin(async { Err(ApiError::NotServed { method }) })
    }
}
