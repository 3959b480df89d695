//! The whole mesh in one process: an orchestrator, a rack of books and one of orders, a gateway.
//! All of it on loopback, each node with its own key, port and directory, as they would be apart.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bookmesh_gateway::{Gateway, GatewayConfig};
use bookmesh_rpc::PeerId;
use bookmesh_rpc::api::{Kind, RackId};
use bookmesh_rpc::mesh::MeshKey;
use bookmesh_storage::{Slot, StoreKey};
use futures::future::{join_all, try_join_all};
use futures::try_join;

use crate::cli::DEFAULT_URL;
use crate::roles::base::{BaseConfig, StartError};
use crate::roles::gauges::Observed;
use crate::roles::mesh_key;
use crate::roles::nodes::{GatewayNode, OrkNode, REPLACE_AFTER, WorkerConfig, WorkerNode};
use crate::roles::ork_life::OrkConfig;

/// The rack of books that `up` starts.
pub const RACK: &str = "book-rack-001";
/// The rack of orders.
pub const ORDER_RACK: &str = "order-rack-001";
/// A rack of `up` aims for its workers as voters, but for no more than this: a write waits for a
/// majority, and more than three on one disk make nothing safer.
const MAX_VOTERS: usize = 3;
/// How long a rack may take to be ready: a large log is read and applied first.
const READY_WITHIN: Duration = Duration::from_secs(600);
/// How long a registry of one may take to lead itself.
const REGISTRY_WITHIN: Duration = Duration::from_secs(30);

/// What `up` is told.
#[derive(Clone, Debug)]
pub struct UpConfig {
    /// Workers of each rack.
    pub workers: usize,
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// The orchestrator's mesh port; the others take free ones.
    pub p2p_port: u16,
    /// What admits a node; `None` takes the key in the data directory, or makes one.
    pub mesh_key: Option<MeshKey>,
    /// What encrypts the data, likewise.
    pub store_key: Option<StoreKey>,
    /// Mesh connections at most, of each node.
    pub max_connections: u32,
    /// How long the first contact may take before it is reported.
    pub bootstrap_timeout: Duration,
}

impl UpConfig {
    /// A mesh of so many workers a rack in `data_dir`, all else as it is by default; its ports are
    /// free ones.
    pub fn new(data_dir: impl Into<PathBuf>, workers: usize) -> Self {
        Self {
            workers,
            data_dir: data_dir.into(),
            p2p_port: 0,
            mesh_key: None,
            store_key: None,
            max_connections: 1_000,
            bootstrap_timeout: Duration::from_secs(15),
        }
    }
}

/// A mesh that runs in this process.
pub struct Up {
    ork: OrkNode,
    books: Vec<WorkerNode>,
    orders: Vec<WorkerNode>,
    /// Its way in.
    pub gateway: GatewayNode,
}

impl Up {
    /// Starts all of it; returns once books and orders can be read and written, with the HTTP
    /// side for whoever owns a listener.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(
        config: &UpConfig,
        http: GatewayConfig,
    ) -> Result<(Self, Gateway), StartError> {
        let base = base(config)?;
        let slot = |name: &str| Slot::take_named(&config.data_dir, name);
        let ork_base = BaseConfig { p2p_port: config.p2p_port, ..base.clone() };
        // Every node of this mesh is in this process, so there is no rack to hear of first.
        let registry = OrkConfig {
            replicas: 1,
            replace_after: REPLACE_AFTER,
            adopt_for: Duration::ZERO,
            first: true,
        };
        let ork = OrkNode::start(&ork_base, slot("ork")?, registry).await?;
        ork.ready(REGISTRY_WITHIN).await?;
        let base = BaseConfig { bootstrap: ork.mesh.addresses(), ..base };

        let name = |name: &str| -> Result<RackId, StartError> {
            name.parse().map_err(|_| StartError::Late("no rack name".into()))
        };
        let (book_rack, order_rack) = (name(RACK)?, name(ORDER_RACK)?);
        let (books, orders) = try_join!(
            workers(&base, config.workers, "worker", Kind::Book, &book_rack),
            workers(&base, config.workers, "order-worker", Kind::Order, &order_rack),
        )?;
        let (gateway, http) = GatewayNode::start(&base, http).await?;
        let all = books.iter().chain(&orders);
        try_join_all(all.map(|worker| worker.ready(READY_WITHIN))).await?;
        for rack in [book_rack, order_rack] {
            if !http.reaches(&rack, READY_WITHIN).await {
                return Err(StartError::Late(format!("the gateway finds no way to {rack}")));
            }
        }
        Ok((Self { ork, books, orders, gateway }, http))
    }

    /// How many workers each rack has.
    pub fn workers(&self) -> usize {
        self.books.len()
    }

    /// The worker that leads the rack of books, as its members know it.
    pub fn leader(&self) -> Option<PeerId> {
        let racks = self.books.iter().flat_map(|worker| worker.worker.racks());
        racks.filter_map(|rack| rack.status().ok()?.leader).next()
    }

    /// Its nodes, for `/metrics`; the gateway tells of itself.
    pub fn observed(&self) -> impl Iterator<Item = Observed> {
        let workers = self.books.iter().chain(&self.orders).map(WorkerNode::observed);
        std::iter::once(self.ork.observed()).chain(workers)
    }

    /// Stops all of it, the gateway's HTTP side having been drained: whoever asks goes first,
    /// then the workers, all at once so that each rack comes back as a whole, then the registry.
    pub async fn stop(self) {
        self.gateway.stop().await;
        let workers = self.orders.into_iter().chain(self.books);
        join_all(workers.map(WorkerNode::stop)).await;
        self.ork.stop().await;
    }
}

/// Starts the workers of one rack, all at once.
async fn workers(
    base: &BaseConfig,
    count: usize,
    slots: &str,
    kind: Kind,
    rack: &RackId,
) -> Result<Vec<WorkerNode>, StartError> {
    let config = &WorkerConfig {
        kind,
        racks: vec![rack.clone()],
        replicas: voters(count),
        replace_after: REPLACE_AFTER,
    };
    let starting = (0..count).map(|_| async move {
        // The last voter's first, if there were more workers the last time.
        let slot = Slot::take_numbered(&base.data_dir, slots)?;
        WorkerNode::start(base, slot, config).await
    });
    try_join_all(starting).await
}

/// An odd number of voters: an even one can lose no more than the odd one below it.
pub const fn voters(workers: usize) -> usize {
    if workers < MAX_VOTERS { 1 } else { MAX_VOTERS }
}

fn base(config: &UpConfig) -> Result<BaseConfig, StartError> {
    let mesh_key = match &config.mesh_key {
        Some(key) => key.clone(),
        // The data directory's own, so that two meshes on one machine never mix.
        None => mesh_key::load_or_make(&config.data_dir.join("mesh.key"))?,
    };
    Ok(BaseConfig {
        data_dir: config.data_dir.clone(),
        store_key: config.store_key.clone(),
        mesh_key: Some(mesh_key),
        p2p_host: IpAddr::V4(Ipv4Addr::LOCALHOST),
        p2p_port: 0,
        bootstrap: Vec::new(),
        bootstrap_timeout: config.bootstrap_timeout,
        mdns: false,
        max_connections: config.max_connections,
    })
}

/// What is printed when it is up, for people.
pub fn banner(up: &Up, http: SocketAddr, data_dir: &Path, took: Duration) -> String {
    let url = format!("http://{http}");
    let elsewhere = if url == DEFAULT_URL {
        String::new()
    } else {
        format!("export BOOKMESH_URL={url}\n            ")
    };
    format!(
        "\n  bookmesh {version} is up in {took:.1?}\n\n\
         \x20 books     {url}/books\n\
         \x20 health    {url}/health\n\
         \x20 metrics   {url}/metrics\n\n\
         \x20 mesh      1 orchestrator, {workers} workers each of {RACK} and\n\
         \x20           {ORDER_RACK}, 1 gateway\n\
         \x20 data      {data}\n\n\
         \x20 try       {elsewhere}bookmesh import examples/data/books.csv\n\
         \x20           bookmesh book ls\n\
         \x20           bookmesh status --watch\n\n\
         \x20 Ctrl-C stops it; started again it has everything it had.\n",
        version = env!("CARGO_PKG_VERSION"),
        workers = up.workers(),
        data = data_dir.display(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_workers_aim_for_one_voter_since_two_can_lose_none() {
        assert_eq!([1, 2, 3, 5].map(voters), [1, 1, 3, 3]);
    }
}
