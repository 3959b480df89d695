//! A node of the test's own, that asks others over the mesh.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bookmesh_rpc::api::{GetRegistry, Method, RegistryMember};
use bookmesh_rpc::mesh::{CallError, Context, MeshConfig, MeshKey};
use bookmesh_rpc::orks::Orks;
use bookmesh_rpc::{Mesh, NodeKey, PeerId};

use super::{PATIENCE, Process, mesh};

/// How long one question may take.
const ATTEMPT: Duration = Duration::from_secs(10);

pub struct Asker {
    mesh: Mesh,
    orks: Orks,
}

impl Asker {
    /// Joins the mesh of these processes.
    pub async fn join(known: &[&Process]) -> Self {
        let bootstrap = known.iter().flat_map(|process| addresses(process)).collect();
        let config = MeshConfig {
            key: NodeKey::generate(),
            mesh_key: Some(MeshKey::from_hex(mesh::MESH_KEY).unwrap()),
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            bootstrap,
            mdns: false,
            bootstrap_timeout: PATIENCE,
            max_connections: 100,
        };
        let mesh = Mesh::start(config).await.unwrap();
        Self { orks: Orks::new(mesh.clone()), mesh }
    }

    /// Asks the registry.
    pub async fn ask<M: Method + Clone>(&self, request: M) -> Result<M::Reply, CallError> {
        self.orks.call(&Context::within(ATTEMPT), request).await
    }

    /// How an orchestrator stands with the registry; `None` while it is a member of none, or
    /// can't be reached.
    pub async fn registry(&self, ork: &Process) -> Option<RegistryMember> {
        self.mesh.learn(peer(ork), &addresses(ork)).await;
        let answer = self.mesh.call(peer(ork), &Context::within(ATTEMPT), GetRegistry).await;
        answer.ok()?.member
    }
}

fn addresses(process: &Process) -> Vec<String> {
    process.p2p().split(',').map(str::to_owned).collect()
}

/// Which node a process is.
pub fn peer(process: &Process) -> PeerId {
    process.ready["peer"].parse().unwrap()
}
