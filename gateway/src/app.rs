//! What every handler holds: the mesh, the directory, and the keys of this process's writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::StatusCode;
use bookmesh_rpc::Mesh;
use bookmesh_rpc::api::{Kind, Method, RackId, RackRoute, RequestKey, RetryKey, ThingId};
use bookmesh_rpc::mesh::Context;
use bookmesh_rpc::orks::Orks;
use bookmesh_rpc::peer::PeerId;
use tokio::sync::{Semaphore, watch};

use crate::directory::Directory;
use crate::follower;
use crate::http_error::HttpError;
use crate::leader::{self, Failure, How};
use crate::placement::Placement;

/// Shared by all requests.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) mesh: Mesh,
    /// The orchestrators.
    pub(crate) orks: Arc<Orks>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) placement: Placement,
    session: u128,
    writes: AtomicU64,
    searches: Semaphore,
    /// Voters that a rack aims for, unless the mesh says otherwise.
    replicas: usize,
    /// Its sender is gone once the gateway is closed: what would never end ends then.
    pub(crate) closing: watch::Receiver<()>,
}

/// Requests that look for a rack in the DHT at the same time: names come from clients, and each
/// look takes seconds of many peers' time.
const MAX_SEARCHES: usize = 4;

impl App {
    pub(crate) fn new(
        mesh: Mesh,
        orks: Arc<Orks>,
        directory: Arc<Directory>,
        replicas: usize,
        closing: watch::Receiver<()>,
    ) -> Self {
        Self {
            replicas,
            mesh,
            orks,
            directory,
            placement: Placement::default(),
            session: rand::random(),
            writes: AtomicU64::new(0),
            searches: Semaphore::new(MAX_SEARCHES),
            closing,
        }
    }

    /// Voters that each rack aims for.
    pub(crate) fn wanted_voters(&self) -> usize {
        self.directory.settings().rack_replicas.map_or(self.replicas, usize::from)
    }

    /// The key of a new write. Sent again it is applied once, so a write keeps it over retries.
    pub(crate) fn request_key(&self) -> RequestKey {
        let sequence = self.writes.fetch_add(1, Ordering::Relaxed);
        RequestKey::Retry(RetryKey { session: self.session, sequence, part: 0 })
    }

    /// Calls a rack; see [`leader::ask`].
    pub(crate) async fn ask<M: Method + Clone>(
        &self,
        rack: &Arc<RackRoute>,
        context: &Context,
        how: How,
        request: M,
    ) -> Result<M::Reply, HttpError> {
        let mut outcome = self.try_rack(rack, context, how, &request).await;
        let unavailable = matches!(outcome, Err(Failure::Unavailable(_) | Failure::Untouched(_)));
        if unavailable && !self.directory.knowledge().live {
            // Without an orchestrator nobody told us where the rack may have moved to.
            let found = self.search(&rack.id, context).await;
            if let Some(moved) = found.filter(|found| found.members != rack.members) {
                outcome = self.try_rack(&moved, context, how, &request).await;
            }
        }
        outcome.map_err(|failure| HttpError::of_rack(&rack.id, failure, rack.kind))
    }

    /// As [`App::ask`], by what is known of the rack alone.
    pub(crate) async fn try_rack<M: Method + Clone>(
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

    /// Looks for a rack through the DHT; `None` too when enough requests do so already.
    async fn search(&self, id: &RackId, context: &Context) -> Option<Arc<RackRoute>> {
        let _place = self.searches.try_acquire().ok()?;
        follower::search(&self.mesh, &self.directory, id, context).await
    }

    /// Who holds a rack, by the DHT; nobody when enough requests look already.
    pub(crate) async fn holders(&self, id: &RackId, context: &Context) -> Vec<PeerId> {
        let Ok(_place) = self.searches.try_acquire() else { return Vec::new() };
        self.mesh.providers(&id.dht_key(), context).await
    }

    /// The rack with this name: from the table, or through the DHT while no orchestrator is there
    /// to say that it does not exist.
    pub(crate) async fn rack(
        &self,
        id: &RackId,
        context: &Context,
    ) -> Result<Arc<RackRoute>, HttpError> {
        let known = self.directory.knowledge();
        if let Some(rack) = known.table.rack(id) {
            return Ok(rack.clone());
        }
        if known.live {
            let message = format!("there is no rack {id}; GET /racks lists them");
            return Err(HttpError::new(StatusCode::NOT_FOUND, "ERR_RACK_NOT_FOUND", message));
        }
        let found = self.search(id, context).await;
        found.ok_or_else(|| {
            HttpError::unavailable(format!("rack {id} is not known: no orchestrator is in reach"))
        })
    }

    /// The rack that has the book with this id.
    pub(crate) fn rack_of(&self, id: ThingId) -> Result<Arc<RackRoute>, HttpError> {
        let known = self.directory.knowledge();
        if let Some(rack) = known.table.numbered(Kind::Book, id.rack_number()) {
            return Ok(rack.clone());
        }
        if known.live {
            let message = format!("there is no thing {id}");
            return Err(HttpError::new(StatusCode::NOT_FOUND, "ERR_BOOK_NOT_FOUND", message));
        }
        Err(HttpError::unavailable("the book's rack is not known: no orchestrator is in reach"))
    }
}
