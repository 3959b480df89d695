//! An orchestrator, racks of one worker each, and a gateway, all on loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bookmesh_gateway::{Gateway, GatewayConfig, ServeConfig, serve};
use bookmesh_rpc::api::{DHT_ORKS, Kind, RackRoute};
use bookmesh_rpc::mesh::Service;
use bookmesh_rpc::{Mesh, MeshConfig, NodeKey};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::fake_ork::FakeOrk;
use super::fake_worker::FakeWorker;
use super::http::{Reply, Request};

/// No wait of a test is longer; none is expected to come near it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct World {
    pub(crate) at: SocketAddr,
    pub(crate) ork: Arc<FakeOrk>,
    ork_mesh: Mesh,
    pub(crate) workers: Vec<Arc<FakeWorker>>,
    worker_meshes: Vec<Mesh>,
    gateway: Mutex<Option<Gateway>>,
}

impl World {
    /// With racks `r0`, `r1`, … numbered alike, all of them known to the gateway.
    pub(crate) async fn start(racks: u32) -> Self {
        Self::start_with(racks, GatewayConfig { replicas: 1, ..GatewayConfig::default() }).await
    }

    pub(crate) async fn start_with(racks: u32, config: GatewayConfig) -> Self {
        Self::start_behind(racks, config, ServeConfig::default()).await
    }

    /// With a server of its own kind.
    pub(crate) async fn start_behind(
        racks: u32,
        config: GatewayConfig,
        serving: ServeConfig,
    ) -> Self {
        let ork = FakeOrk::new();
        let ork_mesh = mesh(NodeKey::generate(), &[], Some(ork.clone())).await;
        ork_mesh.provide(DHT_ORKS).await;
        let (mut workers, mut worker_meshes) = (Vec::new(), Vec::new());
        for number in 0..racks {
            let key = NodeKey::generate();
            let worker = FakeWorker::new(&format!("r{number}"), number, key.peer_id().unwrap());
            worker_meshes.push(mesh(key, &ork_mesh.addresses(), Some(worker.clone())).await);
            workers.push(worker);
        }
        ork.set(workers.iter().map(|worker| route(worker)).collect());
        let gateway_mesh = mesh(NodeKey::generate(), &ork_mesh.addresses(), None).await;
        let gateway = Gateway::start(gateway_mesh, config);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, gateway.router(), serving, std::future::pending()));
        let world =
            Self { at, ork, ork_mesh, workers, worker_meshes, gateway: Mutex::new(Some(gateway)) };
        world
            .until(|| async { world.get("/racks").await.status == 200 && world.sees(racks).await })
            .await;
        world
    }

    async fn sees(&self, racks: u32) -> bool {
        let shown = self.get("/racks").await.data();
        let led = shown.as_array().unwrap().iter().filter(|rack| rack["leader"].is_string());
        led.count() == racks as usize && self.get("/ready").await.status == 200
    }

    /// Waits for a condition, without a guess how long it takes.
    pub(crate) async fn until<F, Fut>(&self, condition: F)
    where
        F: Fn() -> Fut,
        Fut: Future<Output = bool>,
    {
        let waiting = async {
            while !condition().await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("the condition came to hold");
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        Request::new("GET", path).send(self.at).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        Request::new("POST", path).json(body).send(self.at).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Reply {
        Request::new("PUT", path).json(body).send(self.at).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        Request::new("DELETE", path).send(self.at).await
    }

    /// Registers a book in a rack; gives its id.
    pub(crate) async fn book(&self, rack: &str, name: &str) -> String {
        let reply = self.post("/books", book(rack, name)).await;
        assert_eq!(reply.status, 201, "{:?}", reply.json());
        reply.data()["id"].as_str().unwrap().to_owned()
    }

    /// Starts another member of a rack; gives its place among the workers. The routes name both
    /// from here on, the first as the leader.
    pub(crate) async fn twin(&mut self, of: usize) -> usize {
        let key = NodeKey::generate();
        let twin = self.workers[of].twin(key.peer_id().unwrap());
        let twin_mesh = mesh(key, &self.ork_mesh.addresses(), Some(twin.clone())).await;
        let id = twin.rack.clone();
        self.ork.routes.send_modify(|table| {
            let route = table.racks.iter_mut().find(|route| route.id == id);
            route.unwrap().members.push(twin.peer);
        });
        self.workers.push(twin);
        self.worker_meshes.push(twin_mesh);
        let path = format!("/racks/{id}");
        let members = || async { self.get(&path).await.data()["members"].as_array().cloned() };
        self.until(|| async { members().await.is_some_and(|members| members.len() == 2) }).await;
        self.workers.len() - 1
    }

    /// Sends a write under a client's key.
    pub(crate) async fn keyed(
        &self,
        method: &'static str,
        path: &str,
        key: &str,
        body: Option<Value>,
    ) -> Reply {
        let request = Request::new(method, path).header("idempotency-key", key);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        request.send(self.at).await
    }

    /// The orchestrator dies.
    pub(crate) async fn lose_ork(&self) {
        self.ork_mesh.close().await;
    }

    /// The gateway is closed; what serves it goes on.
    pub(crate) async fn close_gateway(&self) {
        let gateway = self.gateway.lock().unwrap().take();
        gateway.unwrap().close().await;
    }

    /// A rack's worker dies.
    pub(crate) async fn lose_worker(&self, number: usize) {
        self.worker_meshes[number].close().await;
    }
}

/// A book's body.
pub(crate) fn book(rack: &str, name: &str) -> Value {
    json!({"type": "book", "rack_id": rack, "info": {"name": name, "author": "Author"}})
}

pub(crate) fn route(worker: &FakeWorker) -> RackRoute {
    let number = worker.rack.as_str()[1..].parse().unwrap();
    RackRoute {
        id: worker.rack.clone(),
        kind: Kind::Book,
        number,
        confirmed: true,
        leader: Some(worker.peer),
        term: 1,
        members: vec![worker.peer],
        things: 0,
        writable: true,
        since_ms: 0,
    }
}

pub(crate) async fn mesh(
    key: NodeKey,
    bootstrap: &[String],
    service: Option<Arc<dyn Service>>,
) -> Mesh {
    let config = MeshConfig {
        key,
        mesh_key: None,
        host: Ipv4Addr::LOCALHOST.into(),
        port: 0,
        bootstrap: bootstrap.to_vec(),
        mdns: false,
        bootstrap_timeout: PATIENCE,
        max_connections: 64,
    };
    let mesh = Mesh::start(config).await.unwrap();
    if let Some(service) = service {
        mesh.serve(service);
    }
    mesh
}
