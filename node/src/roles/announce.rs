//! Tells the orchestrators, every second and when something changed, how this node stands.

use std::sync::Arc;
use std::time::Duration;

use bookmesh_rpc::Mesh;
use bookmesh_rpc::api::{Announce, Charter, NodeRole};
use bookmesh_rpc::mesh::Context;

use super::orks::Orks;
use super::worker::Worker;

/// How often.
const EVERY: Duration = Duration::from_secs(1);
/// How soon a change is noticed: a new leader, a rack that was seated.
const LOOK: Duration = Duration::from_millis(50);

/// Announces a worker until the task is ended.
pub async fn worker(mesh: Mesh, orks: Arc<Orks>, worker: Arc<Worker>) {
    let mut said = Vec::new();
    loop {
        let racks: Vec<_> = worker.racks().filter_map(|rack| rack.status().ok()).collect();
        let standing: Vec<_> = racks
            .iter()
            .map(|status| (status.rack.clone(), status.state, status.term, status.charter))
            .collect();
        let announce = Announce {
            role: NodeRole::Worker,
            version: env!("CARGO_PKG_VERSION").into(),
            addresses: mesh.addresses(),
            racks,
        };
        let context = Context::within(EVERY * 2);
        match orks.call(&context, announce).await {
            Ok(announced) => {
                worker.heard(&announced);
                said = standing;
            }
            Err(error) => tracing::debug!(%error, "no orchestrator heard this node"),
        }
        changed(&worker, &said).await;
    }
}

type Standing = (bookmesh_rpc::api::RackId, bookmesh_rpc::api::MemberState, u64, Option<Charter>);

/// Returns when it is time to say something, or something new can be said.
async fn changed(worker: &Worker, said: &[Standing]) {
    let deadline = tokio::time::Instant::now() + EVERY;
    while tokio::time::Instant::now() < deadline {
        tokio::time::sleep(LOOK).await;
        let now = worker.racks().filter_map(|rack| rack.status().ok());
        let now = now.map(|status| (status.rack, status.state, status.term, status.charter));
        if !now.eq(said.iter().cloned()) {
            return;
        }
    }
}
