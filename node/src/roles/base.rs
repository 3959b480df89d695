//! What every role stands on: a slot in the data directory, its key, its place in the mesh.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use bookmesh_rpc::mesh::{MeshConfig, MeshError, MeshKey};
use bookmesh_rpc::{Mesh, NodeKey};
use bookmesh_storage::{OpenError, Store, StoreConfig, StoreKey};

use crate::consensus::GroupError;

/// What a node of any role is told.
#[derive(Clone, Debug)]
pub struct BaseConfig {
    /// Where it keeps what it has.
    pub data_dir: PathBuf,
    /// What encrypts it; `None` takes the key in the data directory, or makes one.
    pub store_key: Option<StoreKey>,
    /// What admits it to the mesh.
    pub mesh_key: Option<MeshKey>,
    /// Where it listens for the mesh.
    pub p2p_host: IpAddr,
    /// TCP and UDP; 0 takes any.
    pub p2p_port: u16,
    /// Nodes to meet first.
    pub bootstrap: Vec<String>,
    /// How long that may take before it is reported.
    pub bootstrap_timeout: Duration,
    /// Look for nodes on the LAN.
    pub mdns: bool,
    /// Mesh connections at most.
    pub max_connections: u32,
}

/// Why a node can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No place in the data directory.
    #[error(transparent)]
    Slot(#[from] bookmesh_storage::SlotError),
    /// A key or the disk.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The log on it.
    #[error(transparent)]
    Store(#[from] bookmesh_storage::StoreError),
    /// The mesh.
    #[error(transparent)]
    Mesh(#[from] MeshError),
    /// Consensus.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// The HTTP port.
    #[error("can't listen on {address}: {source}; choose another port with --port")]
    Http {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Anything else that the operating system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The process was told to stop before it was up; no fault.
    #[error("stopped before it was up")]
    Stopped,
    /// What had to be there within a time was not.
    #[error("{0}")]
    Late(String),
}

impl BaseConfig {
    /// Whether it looks for nodes on the LAN; never on loopback.
    pub const fn looks_on_lan(&self) -> bool {
        self.mdns && !self.p2p_host.is_loopback()
    }

    /// Joins the mesh.
    ///
    /// # Errors
    /// [`StartError::Mesh`].
    pub async fn join(&self, key: NodeKey) -> Result<Mesh, StartError> {
        let config = MeshConfig {
            key,
            mesh_key: self.mesh_key.clone(),
            host: self.p2p_host,
            port: self.p2p_port,
            bootstrap: self.bootstrap.clone(),
            mdns: self.looks_on_lan(),
            bootstrap_timeout: self.bootstrap_timeout,
            max_connections: self.max_connections,
        };
        Ok(Mesh::start(config).await?)
    }

    /// Opens the store in `dir`, on a thread that may wait for the disk.
    ///
    /// # Errors
    /// [`StartError::Open`].
    pub async fn open_store(&self, dir: PathBuf) -> Result<Store, StartError> {
        let (given, data_dir) = (self.store_key.clone(), self.data_dir.clone());
        blocking(move || {
            let key = match given {
                Some(key) => key,
                None => StoreKey::load_or_make(&data_dir.join("store.key"))?,
            };
            // What is damaged as a whole is set aside, and said so in the log: its racks' other
            // members have it.
            Ok(Store::open_or_set_aside(StoreConfig::new(dir, key))?.0)
        })
        .await
    }
}

/// Runs what may wait for a disk on a thread that may.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StartError> + Send + 'static,
) -> Result<T, StartError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(StartError::Late(format!("starting was cut short: {error}"))),
    }
}

/// Binds an HTTP port.
///
/// # Errors
/// [`StartError::Http`].
pub async fn bind(address: SocketAddr) -> Result<tokio::net::TcpListener, StartError> {
    let bound = tokio::net::TcpListener::bind(address).await;
    bound.map_err(|source| StartError::Http { address, source })
}
