//! A node of each role: what it consists of, how it starts, and the order in which it stops.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bookmesh_gateway::{Gateway, GatewayConfig};
use bookmesh_rpc::api::{DHT_ORKS, Kind, RackId};
use bookmesh_rpc::orks::Orks;
use bookmesh_rpc::{Mesh, NodeKey};
use bookmesh_storage::{Slot, Store, StoreError};
use tokio::task::JoinSet;

use super::announce;
use super::base::{BaseConfig, StartError};
use super::books::Books;
use super::client_only::ClientOnly;
use super::disk::{self, Disk};
use super::gauges::Observed;
use super::neighbours;
use super::ork::{Ork, OrkStage};
use super::ork_leave;
use super::ork_life::{OrkConfig, OrkLife};
use super::rack::{Place, Rack};
use super::scrub;
use super::standing::{self, Standing};
use super::worker::Worker;
use crate::consensus::membership::Aims;

/// Unless something else is set: how long a voter may be silent before another takes its place.
pub const REPLACE_AFTER: Duration = Duration::from_secs(60);
/// How long a clean stop may take to leave the groups: a container gets 30 s to stop.
const LEAVE_WITHIN: Duration = Duration::from_secs(20);

/// An orchestrator that runs.
pub struct OrkNode {
    /// Its handle on the mesh.
    pub mesh: Mesh,
    /// What it answers with.
    pub ork: Arc<Ork>,
    store: Store,
    dir: PathBuf,
    /// Its life, its announcements, its routes.
    tasks: JoinSet<()>,
    /// Holds the slot.
    standing: Standing,
}

impl OrkNode {
    /// Starts an orchestrator in `slot`; it finds the registry or begins it from here on.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(
        base: &BaseConfig,
        slot: Slot,
        config: OrkConfig,
    ) -> Result<Self, StartError> {
        let (key, dir) = (slot.node_key()?, slot.store_dir());
        let store = base.open_store(dir.clone()).await?;
        let mesh = base.join(key).await?;
        let ork = Ork::new(mesh.clone(), config.replicas);
        mesh.serve(ork.clone());
        // Those that wait for each other find each other by this.
        mesh.provide(DHT_ORKS).await;
        let mut tasks = JoinSet::new();
        tasks.spawn(OrkLife::new(ork.clone(), store.clone(), config).run());
        tasks.spawn(announce::ork(ork.clone()));
        tasks.spawn(ork.clone().publish());
        let standing = {
            let ork = ork.clone();
            Standing::keep(slot, move || standing::of_ork(&ork))
        };
        Ok(Self { mesh, ork, store, dir, tasks, standing })
    }

    /// This node, for `/metrics`.
    pub fn observed(&self) -> Observed {
        let (ork, store) = (self.ork.clone(), self.store.clone());
        Observed::ork(self.mesh.peer_id(), self.dir.clone(), ork, store)
    }

    /// Waits until it is a member of a registry that has a leader, and has caught up with it.
    ///
    /// # Errors
    /// [`StartError::Late`] with what it waits for.
    pub async fn ready(&self, within: Duration) -> Result<(), StartError> {
        let mut current = self.ork.current();
        let ready = current.wait_for(Option::is_some);
        if matches!(tokio::time::timeout(within, ready).await, Ok(Ok(_))) {
            return Ok(());
        }
        let why = match self.ork.stage() {
            OrkStage::Waiting(why) | OrkStage::Failed(why) => why,
            OrkStage::Seated | OrkStage::Left => "it has no leader".to_owned(),
        };
        Err(StartError::Late(format!("the registry: {why}")))
    }

    /// Leaves the registry unless it is the last, stops consensus, flushes, closes the swarm, and
    /// lets the slot go.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
        ork_leave::leave(&self.ork, &self.store, LEAVE_WITHIN).await;
        let slot = self.standing.finish().await;
        if let Ok(group) = self.ork.group() {
            group.stop().await;
        }
        close(self.mesh, move || self.store.close()).await;
        // Only now may another process take the slot.
        drop(slot);
    }
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
    /// Where a worker of orders asks for books.
    pub books: Option<Arc<Books>>,
    disk: Disk,
    dir: PathBuf,
    lives: JoinSet<()>,
    /// Announcing, the check of what is on disk, the disk's keeper, and following the routes to
    /// books: as long as it runs.
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
        let books = match config.kind {
            Kind::Order => Some(Books::new(mesh.clone(), orks.clone())),
            Kind::Book => None,
        };
        let place = |id: &RackId| Place {
            id: id.clone(),
            kind: config.kind,
            aims: aims.clone(),
            mesh: mesh.clone(),
            orks: orks.clone(),
            disk: disk.clone(),
            books: books.clone(),
        };
        let worker = Worker::new(config.racks.iter().map(place).collect(), aims.clone());
        mesh.serve(worker.clone());
        let lives = worker.live();
        let mut chores = JoinSet::new();
        chores.spawn(announce::worker(mesh.clone(), orks, worker.clone()));
        chores.spawn(neighbours::greet(mesh.clone(), worker.clone()));
        chores.spawn(scrub::run(worker.clone()));
        chores.extend(books.clone().map(Books::run));
        chores.spawn(disk::keep(disk.clone(), base.clone(), dir.clone(), worker.clone()));
        let standing = {
            let worker = worker.clone();
            Standing::keep(slot, move || standing::of_worker(&worker))
        };
        Ok(Self { mesh, worker, books, disk, dir, lives, chores, standing })
    }

    /// This node, for `/metrics`.
    pub fn observed(&self) -> Observed {
        let (worker, books) = (self.worker.clone(), self.books.clone());
        let (dir, disk) = (self.dir.clone(), self.disk.clone());
        Observed::worker(self.mesh.peer_id(), dir, worker, disk, books)
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
