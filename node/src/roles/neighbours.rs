//! Keeps a worker connected to everyone who holds a rack with it. Followers have little to say to
//! each other until the leader is gone, and then there is no time to look for anybody.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bookmesh_rpc::api::Ping;
use bookmesh_rpc::mesh::Context;
use bookmesh_rpc::{Mesh, PeerId};
use bytes::Bytes;
use tokio::task::JoinSet;

use super::worker::Worker;

/// How often they are greeted, and how long that may take.
const EVERY: Duration = Duration::from_secs(1);
/// Neighbours that are greeted: more than any worker has.
const MAX_NEIGHBOURS: usize = 256;

/// Greets all neighbours, again and again, until the task is ended.
pub async fn greet(mesh: Mesh, worker: Arc<Worker>) {
    loop {
        let mut greetings = JoinSet::new();
        for peer in neighbours(&mesh, &worker) {
            let mesh = mesh.clone();
            greetings.spawn(async move {
                // Whether anybody answers shows where it matters.
                let _ =
                    mesh.call(peer, &Context::within(EVERY), Ping { payload: Bytes::new() }).await;
            });
        }
        tokio::time::sleep(EVERY).await;
        while greetings.join_next().await.is_some() {}
    }
}

fn neighbours(mesh: &Mesh, worker: &Worker) -> BTreeSet<PeerId> {
    let groups = worker.racks().filter_map(|rack| rack.group().ok());
    let mut peers = BTreeSet::new();
    for group in groups {
        let metrics = group.metrics();
        let metrics = metrics.borrow();
        peers.extend(metrics.membership_config.nodes().map(|(_, seat)| seat.peer));
    }
    peers.remove(&mesh.peer_id());
    peers.into_iter().take(MAX_NEIGHBOURS).collect()
}
