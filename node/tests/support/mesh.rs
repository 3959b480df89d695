//! A mesh of separate processes on loopback: an orchestrator, workers, gateways.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use bookmesh_node::roles::client_only::ClientOnly;
use bookmesh_rpc::mesh::{MeshConfig, MeshKey};
use bookmesh_rpc::{Mesh, NodeKey};

use super::Process;

pub const RACK: &str = "book-rack-001";
pub const ORDER_RACK: &str = "order-rack-001";
pub const MESH_KEY: &str = "6d6573682d6b65792d6f662d6f75722d6f776e2d74657374732d6f6e6c792121";

/// What every process of a test's mesh is told.
pub fn env<'a>(extra: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut env = vec![
        ("HOST", "127.0.0.1"),
        ("PORT", "0"),
        ("P2P_HOST", "127.0.0.1"),
        ("P2P_PORT", "0"),
        ("MESH_KEY", MESH_KEY),
        ("MDNS", "off"),
    ];
    env.extend_from_slice(extra);
    env
}

pub fn ork(dir: &Path) -> Process {
    Process::start("ork", dir, &["ork"], &env(&[("DATA_DIR", "ork-data")]))
}

/// A worker of [`RACK`] with a data directory of its own.
pub fn worker(name: &str, dir: &Path, bootstrap: &str) -> Process {
    worker_of(("book", RACK), name, dir, bootstrap)
}

/// A worker of [`ORDER_RACK`], likewise.
pub fn order_worker(name: &str, dir: &Path, bootstrap: &str) -> Process {
    worker_of(("order", ORDER_RACK), name, dir, bootstrap)
}

/// A worker that is told to hold a rack of this type.
pub fn worker_of((kind, rack): (&str, &str), name: &str, dir: &Path, bootstrap: &str) -> Process {
    let data = format!("{name}-data");
    let extra = [("DATA_DIR", data.as_str()), ("BOOTSTRAP", bootstrap), ("RACK_ID", rack)];
    Process::start(name, dir, &["worker", "--type", kind], &env(&extra))
}

pub fn gateway(name: &str, dir: &Path, bootstrap: &str) -> Process {
    Process::start(name, dir, &["gateway"], &env(&[("BOOTSTRAP", bootstrap)]))
}

/// A node of the test's own, to make calls with.
pub async fn handle(bootstrap: &str) -> Mesh {
    let config = MeshConfig {
        key: NodeKey::generate(),
        mesh_key: Some(MeshKey::from_hex(MESH_KEY).unwrap()),
        host: IpAddr::V4(Ipv4Addr::LOCALHOST),
        port: 0,
        bootstrap: bootstrap.split(',').map(str::to_owned).collect(),
        mdns: false,
        bootstrap_timeout: Duration::from_secs(15),
        max_connections: 100,
    };
    let mesh = Mesh::start(config).await.unwrap();
    mesh.serve(std::sync::Arc::new(ClientOnly));
    mesh
}
