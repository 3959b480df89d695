//! A node of the test's own, to ask members what HTTP does not show.

use std::collections::BTreeMap;
use std::time::Duration;

use bookmesh_rpc::api::GetMember;
use bookmesh_rpc::mesh::{Context, MeshConfig, MeshKey};
use bookmesh_rpc::{Mesh, NodeKey};

use super::mesh::MESH_KEY;

/// How long a member may take to answer.
const ANSWER: Duration = Duration::from_secs(2);

pub struct Probe(Mesh);

impl Probe {
    /// Joins the mesh that the node with these addresses belongs to.
    pub async fn join(bootstrap: &str) -> Self {
        let config = MeshConfig {
            key: NodeKey::generate(),
            mesh_key: Some(MeshKey::from_hex(MESH_KEY).unwrap()),
            host: "127.0.0.1".parse().unwrap(),
            port: 0,
            bootstrap: bootstrap.split(',').map(str::to_owned).collect(),
            mdns: false,
            bootstrap_timeout: ANSWER,
            max_connections: 100,
        };
        Self(Mesh::start(config).await.unwrap())
    }

    /// The numbers of a rack's members, each with its peer id, as this member knows them; nothing
    /// when it can't be asked.
    pub async fn members(&self, peer: &str, rack: &str) -> Option<BTreeMap<u64, String>> {
        let request = GetMember { rack: rack.parse().unwrap() };
        let (peer, context) = (peer.parse().unwrap(), Context::within(ANSWER));
        let members = self.0.call(peer, &context, request).await.ok()?.members;
        Some(members.into_iter().map(|it| (it.member, it.peer.to_string())).collect())
    }
}
