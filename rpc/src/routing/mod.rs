//! Where every rack is, and calls to whichever member of one can answer. For whoever asks racks
//! and is a member of none: gateways, and workers whose racks need another rack's word.
//!
//! | file | idea |
//! |---|---|
//! | [`directory`] | what is known, replaced whole when there is news |
//! | `follower` | keeps it fresh from the orchestrators, or asks the DHT |
//! | [`leader`] | "try here, else the leader": which member gets a call, and how often |

pub mod directory;
mod follower;
pub mod leader;

use std::sync::Arc;

use tokio::sync::Semaphore;

use self::directory::Directory;
use self::leader::{Failure, How};
use crate::api::{Method, RackId, RackRoute, StreamMethod};
use crate::mesh::{Context, Items, Mesh};
use crate::orks::Orks;
use crate::peer::PeerId;

/// Requests that look for a rack in the DHT at the same time: names come from clients, and each
/// look takes seconds of many peers' time.
const MAX_SEARCHES: usize = 4;

/// Calls racks by name.
#[derive(Debug)]
pub struct Routing {
    mesh: Mesh,
    orks: Arc<Orks>,
    directory: Directory,
    searches: Semaphore,
}

impl Routing {
    /// Knows no rack until [`Routing::follow`] runs.
    pub fn new(mesh: Mesh, orks: Arc<Orks>) -> Self {
        let searches = Semaphore::new(MAX_SEARCHES);
        Self { mesh, orks, directory: Directory::default(), searches }
    }

    /// Where every rack is.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Keeps the directory fresh until it is dropped or the mesh is closed. Whether an
    /// orchestrator still answers is known from the announcements that somebody makes through the
    /// same [`Orks`].
    pub async fn follow(&self) {
        follower::follow(&self.mesh, &self.orks, &self.directory).await;
    }

    /// Calls a rack, and looks for where it may have moved to when nobody tells; see
    /// [`leader::ask`].
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn ask<M: Method + Clone>(
        &self,
        rack: &Arc<RackRoute>,
        context: &Context,
        how: How,
        request: M,
    ) -> Result<M::Reply, Failure> {
        let outcome = self.ask_known(rack, context, how, &request).await;
        let unavailable = matches!(outcome, Err(Failure::Unavailable(_) | Failure::Untouched(_)));
        if unavailable && !self.directory.knowledge().live {
            // Without an orchestrator nobody told us where the rack may have moved to.
            let found = self.search(&rack.id, context).await;
            if let Some(moved) = found.filter(|found| found.members != rack.members) {
                return self.ask_known(&moved, context, how, &request).await;
            }
        }
        outcome
    }

    /// As [`Routing::ask`], by what is known of the rack alone.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn ask_known<M: Method + Clone>(
        &self,
        rack: &Arc<RackRoute>,
        context: &Context,
        how: How,
        request: &M,
    ) -> Result<M::Reply, Failure> {
        let attempt = |peer, context: Context| {
            let request = request.clone();
            async move { self.mesh.call(peer, &context, request).await }
        };
        leader::ask(&self.directory, rack, context, how, attempt).await
    }

    /// Opens a stream of a rack's.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn open<M: StreamMethod + Clone>(
        &self,
        rack: &Arc<RackRoute>,
        context: &Context,
        how: How,
        request: &M,
    ) -> Result<Items<M::Item>, Failure> {
        let attempt = |peer, context: Context| {
            let request = request.clone();
            async move { self.mesh.stream(peer, &context, request).await }
        };
        leader::ask(&self.directory, rack, context, how, attempt).await
    }

    /// Looks for a rack through the DHT; `None` too when enough requests do so already.
    pub async fn search(&self, id: &RackId, context: &Context) -> Option<Arc<RackRoute>> {
        let _place = self.searches.try_acquire().ok()?;
        follower::search(&self.mesh, &self.directory, id, context).await
    }

    /// Who holds a rack, by the DHT; nobody when enough requests look already.
    pub async fn holders(&self, id: &RackId, context: &Context) -> Vec<PeerId> {
        let Ok(_place) = self.searches.try_acquire() else { return Vec::new() };
        self.mesh.providers(&id.dht_key(), context).await
    }
}
