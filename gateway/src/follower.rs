//! The task that keeps the directory fresh: it finds an orchestrator, follows its routes, and
//! tells it each second that this gateway is there.

use std::sync::Arc;
use std::time::Duration;

use bookmesh_rpc::Mesh;
use bookmesh_rpc::api::{
    Announce, ApiError, DHT_ORKS, GetMember, NodeRole, RackId, RackRoute, RouteTable, WatchRoutes,
};
use bookmesh_rpc::mesh::{CallError, Context, Items};
use bookmesh_rpc::peer::PeerId;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use rand::seq::SliceRandom;

use crate::directory::Directory;

/// Time for one look into the DHT, and for opening a stream.
const CONTACT: Duration = Duration::from_secs(3);
/// Between two announcements; an orchestrator takes a node for gone after some of them.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(1);
/// So many announcements without an answer in a row, and another orchestrator is looked for.
const SILENT_ANNOUNCEMENTS: u32 = 3;
/// Pauses between looks for an orchestrator double from one to the other.
const MIN_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// Follows one orchestrator after the other, until it is dropped or the mesh is closed.
pub(crate) async fn run(mesh: Mesh, directory: Arc<Directory>, version: String) {
    let mut pause = MIN_PAUSE;
    let mut contact = mesh.contact();
    loop {
        if follow_any(&mesh, &directory, &version).await {
            pause = MIN_PAUSE;
        }
        directory.detach();
        let jittered = pause.mul_f64(rand::random_range(0.5..1.0));
        // A node that was just met may be an orchestrator, or know one.
        match tokio::time::timeout(jittered, contact.changed()).await {
            Ok(Ok(())) => tokio::time::sleep(MIN_PAUSE).await,
            Ok(Err(_)) => return,
            Err(_) => pause = (pause * 2).min(MAX_PAUSE),
        }
    }
}

/// Follows the first orchestrator that answers, until it is gone; false when none did.
async fn follow_any(mesh: &Mesh, directory: &Directory, version: &str) -> bool {
    for ork in orchestrators(mesh, &Context::within(CONTACT)).await {
        match mesh.stream(ork, &Context::within(CONTACT), WatchRoutes).await {
            Ok(items) => {
                tracing::info!(orchestrator = %ork.short(), "following its routes");
                let why = tokio::select! {
                    why = read(items, directory) => why,
                    why = announce(mesh, directory, ork, version) => why,
                };
                tracing::warn!(orchestrator = %ork.short(), %why, "lost; looking for another");
                return true;
            }
            Err(error) => tracing::debug!(orchestrator = %ork.short(), %error, "not followed"),
        }
    }
    false
}

/// Orchestrators, by the DHT, in random order so that gateways spread.
pub(crate) async fn orchestrators(mesh: &Mesh, context: &Context) -> Vec<PeerId> {
    let mut found = mesh.providers(DHT_ORKS, context).await;
    found.shuffle(&mut rand::rng());
    found
}

async fn read(mut items: Items<RouteTable>, directory: &Directory) -> String {
    loop {
        match items.next().await {
            Some(Ok(routes)) => directory.replace(routes),
            Some(Err(error)) => return error.to_string(),
            None => return "it ended the stream".to_owned(),
        }
    }
}

/// Announces each second; ends when nobody answers any more. A frozen orchestrator keeps its
/// connection, so the stream alone would never tell.
async fn announce(mesh: &Mesh, directory: &Directory, ork: PeerId, version: &str) -> String {
    let mut to = ork;
    let mut silent = 0;
    loop {
        let announcement = Announce {
            role: NodeRole::Gateway,
            version: version.to_owned(),
            addresses: mesh.addresses(),
            racks: Vec::new(),
        };
        let context = Context::within(ANNOUNCE_EVERY);
        match mesh.call(to, &context, announcement).await {
            Ok(announced) => {
                directory.set_settings(announced.settings);
                silent = 0;
            }
            Err(CallError::Api(ApiError::NotRegistryLeader { leader: Some(leader) })) => {
                to = leader
            }
            Err(error) => {
                (silent, to) = (silent + 1, ork);
                if silent == SILENT_ANNOUNCEMENTS {
                    return format!("no announcement is answered: {error}");
                }
            }
        }
        tokio::time::sleep(ANNOUNCE_EVERY).await;
    }
}

/// Finds a rack without the orchestrators: the DHT names nodes that hold it, and the first that
/// answers tells the rest.
pub(crate) async fn search(
    mesh: &Mesh,
    directory: &Directory,
    rack: &RackId,
    context: &Context,
) -> Option<Arc<RackRoute>> {
    let deadline = context.deadline.min(std::time::Instant::now() + CONTACT);
    let context = Context { deadline, ..context.clone() };
    let holders = mesh.providers(&rack.dht_key(), &context).await;
    let ask = |peer| {
        let (context, request) = (&context, GetMember { rack: rack.clone() });
        async move { mesh.call(peer, context, request).await }
    };
    let mut answers: FuturesUnordered<_> = holders.into_iter().map(ask).collect();
    while let Some(answer) = answers.next().await {
        if let Some(found) = answer.ok().and_then(|status| directory.learn(&status)) {
            return Some(found);
        }
    }
    None
}
