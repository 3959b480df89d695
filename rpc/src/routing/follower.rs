//! The task that keeps the directory fresh: it follows the routes of one orchestrator, and changes
//! to another when that one is gone.

use std::sync::Arc;
use std::time::Duration;

use crate::Mesh;
use crate::api::{GetMember, RackId, RackRoute, RouteTable, WatchRoutes};
use crate::mesh::{Context, Items};
use crate::orks::Orks;
use crate::peer::PeerId;
use crate::reliability::Backoff;
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use super::directory::Directory;

/// Time for one look into the DHT, and for opening a stream.
const CONTACT: Duration = Duration::from_secs(3);
/// Between two looks whether it still answers announcements, which are made once a second.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Pauses between looks for an orchestrator double from one to the other.
const MIN_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// Follows one orchestrator after the other until it is dropped or the mesh is closed. Whether one
/// still answers is known from the announcements that somebody makes through `orks`.
pub(super) async fn follow(mesh: &Mesh, orks: &Orks, directory: &Directory) {
    let mut pauses = Backoff::new(MIN_PAUSE, MAX_PAUSE);
    let mut contact = mesh.contact();
    loop {
        if follow_any(mesh, orks, directory).await {
            pauses.reset();
        }
        directory.detach();
        // A node that was just met may be an orchestrator, or know one.
        match tokio::time::timeout(pauses.wait(), contact.changed()).await {
            Ok(Ok(())) => tokio::time::sleep(MIN_PAUSE).await,
            Ok(Err(_)) => return,
            Err(_) => {}
        }
    }
}

/// Follows one of those that are known, else one of those that the DHT names; false when none of
/// them shows its routes.
async fn follow_any(mesh: &Mesh, orks: &Orks, directory: &Directory) -> bool {
    if follow_one(orks.known(), mesh, orks, directory).await {
        return true;
    }
    let found = orks.look(&Context::within(CONTACT)).await;
    follow_one(found, mesh, orks, directory).await
}

/// Follows the first of these that shows its routes, until it is gone.
async fn follow_one(
    candidates: Vec<PeerId>,
    mesh: &Mesh,
    orks: &Orks,
    directory: &Directory,
) -> bool {
    for ork in candidates.into_iter().filter(|ork| !orks.is_silent(*ork)) {
        match mesh.stream(ork, &Context::within(CONTACT), WatchRoutes).await {
            Ok(items) => {
                tracing::info!(orchestrator = %ork.short(), "following its routes");
                let why = tokio::select! {
                    why = read(items, directory) => why,
                    why = silence(orks, ork) => why,
                };
                tracing::warn!(orchestrator = %ork.short(), %why, "lost; looking for another");
                return true;
            }
            Err(error) => tracing::debug!(orchestrator = %ork.short(), %error, "not followed"),
        }
    }
    false
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

/// Returns once it answers no announcement any more. A frozen orchestrator keeps its connection,
/// so the stream alone would never tell.
async fn silence(orks: &Orks, ork: PeerId) -> String {
    while !orks.is_silent(ork) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    "it answers no announcement".to_owned()
}

/// Finds a rack without the orchestrators: the DHT names nodes that hold it, and the first that
/// answers tells the rest.
pub(super) async fn search(
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
