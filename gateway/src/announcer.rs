//! Tells the orchestrators each second that this gateway is there, and hears what the mesh aims
//! for.

use std::sync::Arc;
use std::time::Duration;

use bookmesh_rpc::Mesh;
use bookmesh_rpc::api::{Announce, Announced, NodeRole};
use bookmesh_rpc::orks::Orks;
use bookmesh_rpc::routing::Routing;
use tokio::sync::watch;

/// Between two announcements; an orchestrator takes a node for gone after some of them.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(1);

/// Announces until it is dropped or the mesh is closed.
pub(crate) async fn run(mesh: Mesh, orks: Arc<Orks>, routing: Arc<Routing>, version: String) {
    let now = || {
        let (role, version, addresses) = (NodeRole::Gateway, version.clone(), mesh.addresses());
        Arc::new(Announce { role, version, addresses, racks: Vec::new() })
    };
    let news = watch::Sender::new(now());
    let saying = async {
        loop {
            tokio::time::sleep(ANNOUNCE_EVERY).await;
            news.send_replace(now());
        }
    };
    let heard = move |_: &_, answer: Announced| routing.directory().set_settings(answer.settings);
    tokio::select! {
        () = orks.announce(news.subscribe(), heard) => {}
        () = saying => {}
    }
}
