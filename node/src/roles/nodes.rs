//! A node of each role: what it consists of, how it starts, and the order in which it stops.

use std::sync::Arc;
use std::time::Duration;

use bookmesh_gateway::{Gateway, GatewayConfig};
use bookmesh_rpc::api::{DHT_ORKS, GroupId, Incarnation, Kind, RackId};
use bookmesh_rpc::{Mesh, NodeKey};
use bookmesh_storage::{GroupName, MetaKey, Slot, Store, StoreError};
use tokio::task::JoinSet;

use super::announce;
use super::base::{BaseConfig, StartError, blocking};
use super::client_only::ClientOnly;
use super::disk::{self, Disk};
use super::ork::Ork;
use super::orks::Orks;
use super::rack::{Place, Rack};
use super::scrub;
use super::standing::Standing;
use super::worker::Worker;
use crate::consensus::membership::Aims;
use crate::consensus::types::Seat;
use crate::consensus::{Group, GroupConfig};

/// Unless something else is set: how long a voter may be silent before another takes its place.
pub const REPLACE_AFTER: Duration = Duration::from_secs(60);
/// The registry's first member; further orchestrators get their numbers from its log.
const FIRST_MEMBER: u64 = 1;
/// How long a registry of one may take to lead itself.
const LEAD_WITHIN: Duration = Duration::from_secs(10);

/// How long a clean stop may take to leave the racks: a container gets 30 s to stop.
const LEAVE_WITHIN: Duration = Duration::from_secs(20);

/// An orchestrator that runs.
pub struct OrkNode {
    /// Its handle on the mesh.
    pub mesh: Mesh,
    /// What it answers with.
    pub ork: Arc<Ork>,
    store: Store,
    _slot: Slot,
}

impl OrkNode {
    /// Starts an orchestrator in `slot`. `adopt_for`: see [`Ork::new`].
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(
        base: &BaseConfig,
        slot: Slot,
        adopt_for: Duration,
    ) -> Result<Self, StartError> {
        let (key, dir) = (slot.node_key()?, slot.store_dir());
        let store = base.open_store(dir).await?;
        let mesh = base.join(key).await?;
        let log = store.clone();
        let log = blocking(move || Ok(log.group(&GroupName::registry())?)).await?;
        let config = GroupConfig {
            mesh: mesh.clone(),
            name: GroupId::Registry,
            store: log.clone(),
            member: FIRST_MEMBER,
            aims: Arc::new(Aims::new(1, REPLACE_AFTER)),
        };
        let group = Group::open(config).await?;
        let incarnation = incarnation(log).await?;
        group.begin(Seat { peer: mesh.peer_id(), incarnation }).await?;
        let mut metrics = group.metrics();
        let led = metrics.wait_for(|metrics| metrics.current_leader.is_some());
        if !matches!(tokio::time::timeout(LEAD_WITHIN, led).await, Ok(Ok(_))) {
            return Err(StartError::Late("the registry has no leader after 10 s".into()));
        }
        // What is in the log is applied before anybody asks.
        group.confirm().await.map_err(|error| StartError::Late(error.to_string()))?;
        let ork = Ork::new(mesh.clone(), group, adopt_for);
        mesh.serve(ork.clone());
        mesh.provide(DHT_ORKS).await;
        Ok(Self { mesh, ork, store, _slot: slot })
    }

    /// Stops consensus, flushes, closes the swarm.
    pub async fn stop(self) {
        self.ork.group().stop().await;
        close(self.mesh, move || self.store.close()).await;
    }
}

/// The incarnation that stands beside the registry's log, made with it.
async fn incarnation(log: bookmesh_storage::Group) -> Result<Incarnation, StartError> {
    blocking(move || {
        if let Some(bytes) = log.get(MetaKey::Member)?
            && let Ok(incarnation) = bookmesh_rpc::codec::decode(&bytes)
        {
            return Ok(incarnation);
        }
        let incarnation = Incarnation::generate();
        let bytes = bookmesh_rpc::codec::encode(&incarnation)
            .map_err(|error| StartError::Late(error.to_string()))?;
        log.put_blocking(MetaKey::Member, bytes.into())?;
        Ok(incarnation)
    })
    .await
}

/// What a worker is told.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// What its racks hold.
    pub kind: Kind,
    /// Their names.
    pub racks: Vec<RackId>,
    /// Voters that each aims for.
    pub replicas: usize,
    /// How long a voter may be silent before another takes its place.
    pub replace_after: Duration,
}

/// A worker that runs.
pub struct WorkerNode {
    /// Its handle on the mesh.
    pub mesh: Mesh,
    /// What it answers with.
    pub worker: Arc<Worker>,
    disk: Disk,
    lives: JoinSet<()>,
    /// Announcing, the check of what is on disk, and the disk's keeper: as long as it runs.
    chores: JoinSet<()>,
    /// Holds the slot.
    standing: Standing,
}

impl WorkerNode {
    /// Starts a worker of these racks in `slot`; the racks found or join themselves from here on.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(
        base: &BaseConfig,
        slot: Slot,
        config: &WorkerConfig,
    ) -> Result<Self, StartError> {
        let (key, dir) = (slot.node_key()?, slot.store_dir());
        let disk = Disk::new(base.open_store(dir.clone()).await?);
        let mesh = base.join(key).await?;
        let orks = Arc::new(Orks::new(mesh.clone()));
        let aims = Arc::new(Aims::new(config.replicas, config.replace_after));
        let place = |id: &RackId| Place {
            id: id.clone(),
            kind: config.kind,
            aims: aims.clone(),
            mesh: mesh.clone(),
            orks: orks.clone(),
            disk: disk.clone(),
        };
        let worker = Worker::new(config.racks.iter().map(place).collect(), aims.clone());
        mesh.serve(worker.clone());
        let lives = worker.live();
        let mut chores = JoinSet::new();
        chores.spawn(announce::worker(mesh.clone(), orks, worker.clone()));
        chores.spawn(scrub::run(worker.clone()));
        chores.spawn(disk::keep(disk.clone(), base.clone(), dir, worker.clone()));
        let standing = Standing::keep(slot, worker.clone());
        Ok(Self { mesh, worker, disk, lives, chores, standing })
    }

    /// Waits until every rack has a leader that this worker knows.
    ///
    /// # Errors
    /// [`StartError::Late`] with the rack that has none.
    pub async fn ready(&self, within: Duration) -> Result<(), StartError> {
        for rack in self.worker.racks() {
            let late = |why| StartError::Late(format!("{}: {why}", rack.place.id));
            rack.ready(within).await.map_err(late)?;
        }
        Ok(())
    }

    /// The racks, for those who report on them.
    pub fn racks(&self) -> Vec<Arc<Rack>> {
        self.worker.racks().cloned().collect()
    }

    /// Leaves the racks, stops consensus of every one, flushes, closes the swarm, and lets the
    /// slot go.
    pub async fn stop(mut self) {
        self.lives.shutdown().await;
        self.worker.leave(LEAVE_WITHIN).await;
        self.chores.shutdown().await;
        let slot = self.standing.finish().await;
        self.worker.stop().await;
        let disk = self.disk;
        close(self.mesh, move || disk.close()).await;
        // Only now may another process take the slot.
        drop(slot);
    }
}

/// A gateway's place in the mesh. Its HTTP side is served, and closed, by whoever owns the
/// listener.
#[derive(Debug)]
pub struct GatewayNode {
    /// Its handle on the mesh.
    pub mesh: Mesh,
}

impl GatewayNode {
    /// Starts a gateway that is nobody in particular: its key is made anew each time, since
    /// nothing depends on it.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(
        base: &BaseConfig,
        config: GatewayConfig,
    ) -> Result<(Self, Gateway), StartError> {
        let mesh = base.join(NodeKey::generate()).await?;
        mesh.serve(Arc::new(ClientOnly));
        let gateway = Gateway::start(mesh.clone(), config);
        Ok((Self { mesh }, gateway))
    }

    /// Closes the swarm; the HTTP side was drained before.
    pub async fn stop(self) {
        self.mesh.close().await;
    }
}

async fn close(mesh: Mesh, store: impl FnOnce() -> Result<(), StoreError> + Send + 'static) {
    mesh.close().await;
    let closed = tokio::task::spawn_blocking(store).await;
    if let Ok(Err(error)) = closed {
        tracing::error!(%error, "the store did not close cleanly; the next start checks it");
    }
}
