//! Tells the orchestrators, every second and when something changed, how this node stands.

use std::sync::Arc;
use std::time::Duration;

use bookmesh_rpc::Mesh;
use bookmesh_rpc::api::{Announce, Announced, MemberStatus, NodeRole};
use bookmesh_rpc::orks::Orks;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::ork::Ork;
use super::rack::Rack;
use super::worker::Worker;

/// How often, whether something changed or not.
const EVERY: Duration = Duration::from_secs(1);
/// Changes that come together are said as one.
const GATHER: Duration = Duration::from_millis(20);

/// Announces a worker, and tells it what the orchestrators answer, until it is dropped.
pub async fn worker(mesh: Mesh, orks: Arc<Orks>, worker: Arc<Worker>) {
    let changed = Arc::new(Notify::new());
    let mut watching: JoinSet<()> =
        worker.racks().map(|rack| watch_rack(rack.clone(), changed.clone())).collect();
    let now = || {
        let racks = worker.racks().filter_map(|rack| rack.status().ok()).collect();
        Arc::new(announcement(&mesh, NodeRole::Worker, racks))
    };
    let news = watch::Sender::new(now());
    let told = worker.clone();
    let heard = move |said: &Announce, answer: Announced| told.heard(said, &answer);
    let saying = async {
        loop {
            if tokio::time::timeout(EVERY, changed.notified()).await.is_ok() {
                tokio::time::sleep(GATHER).await;
            }
            news.send_replace(now());
        }
    };
    tokio::select! {
        () = orks.announce(news.subscribe(), heard) => {}
        () = saying => {}
    }
    watching.shutdown().await;
}

/// Announces an orchestrator to the others, until it is dropped.
pub async fn ork(ork: Arc<Ork>) {
    let now = || Arc::new(announcement(&ork.mesh, NodeRole::Ork, Vec::new()));
    let news = watch::Sender::new(now());
    let saying = async {
        loop {
            tokio::time::sleep(EVERY).await;
            news.send_replace(now());
        }
    };
    tokio::select! {
        () = ork.orks.clone().announce(news.subscribe(), |_, _| ()) => {}
        () = saying => {}
    }
}

fn announcement(mesh: &Mesh, role: NodeRole, racks: Vec<MemberStatus>) -> Announce {
    let (version, addresses) = (env!("CARGO_PKG_VERSION").into(), mesh.addresses());
    Announce { role, version, addresses, racks }
}

/// Says so when a rack has another leader, term, membership or stage. Its counts are left to the
/// beat: they change with every write.
async fn watch_rack(rack: Arc<Rack>, changed: Arc<Notify>) {
    loop {
        let standing = rack.group().ok().map(|group| group.standing());
        let changes = async {
            let Some(mut standing) = standing else { return std::future::pending().await };
            standing.mark_unchanged();
            changed.notify_one();
            while standing.changed().await.is_ok() {
                changed.notify_one();
            }
            // The group has ended; the rack says when there is another.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = changes => {}
            () = rack.changed.notified() => {}
        }
        changed.notify_one();
    }
}
