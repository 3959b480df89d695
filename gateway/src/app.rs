//! What every handler holds: the mesh, the directory, and the keys of this process's writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::StatusCode;
use bookmesh_rpc::Mesh;
use bookmesh_rpc::api::{ApiError, Kind, Method, RackId, RackRoute, RequestKey, RetryKey, ThingId};
use bookmesh_rpc::mesh::Context;
use bookmesh_rpc::orks::Orks;
use bookmesh_rpc::routing::Routing;
use bookmesh_rpc::routing::directory::Directory;
use bookmesh_rpc::routing::leader::How;
use tokio::sync::watch;

use crate::events::hub::Hub;
use crate::http_error::HttpError;
use crate::placement::Placement;

/// Shared by all requests.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) mesh: Mesh,
    /// The orchestrators.
    pub(crate) orks: Arc<Orks>,
    pub(crate) routing: Arc<Routing>,
    pub(crate) placement: Placement,
    pub(crate) hub: Arc<Hub>,
    session: u128,
    writes: AtomicU64,
    /// Voters that a rack aims for, unless the mesh says otherwise.
    replicas: usize,
    /// Its sender is gone once the gateway is closed: what would never end ends then.
    pub(crate) closing: watch::Receiver<()>,
}

impl App {
    pub(crate) fn new(
        mesh: Mesh,
        orks: Arc<Orks>,
        routing: Arc<Routing>,
        replicas: usize,
        closing: watch::Receiver<()>,
    ) -> Self {
        Self {
            replicas,
            mesh,
            orks,
            hub: Hub::new(routing.clone()),
            routing,
            placement: Placement::default(),
            session: rand::random(),
            writes: AtomicU64::new(0),
            closing,
        }
    }

    /// Voters that each rack aims for.
    pub(crate) fn wanted_voters(&self) -> usize {
        self.directory().settings().rack_replicas.map_or(self.replicas, usize::from)
    }

    /// The key of a new write. Sent again it is applied once, so a write keeps it over retries.
    pub(crate) fn request_key(&self) -> RequestKey {
        let sequence = self.writes.fetch_add(1, Ordering::Relaxed);
        RequestKey::Retry(RetryKey { session: self.session, sequence, part: 0 })
    }

    /// Where every rack is.
    pub(crate) fn directory(&self) -> &Directory {
        self.routing.directory()
    }

    /// Calls a rack; see [`Routing::ask`].
    pub(crate) async fn ask<M: Method + Clone>(
        &self,
        rack: &Arc<RackRoute>,
        context: &Context,
        how: How,
        request: M,
    ) -> Result<M::Reply, HttpError> {
        let outcome = self.routing.ask(rack, context, how, request).await;
        outcome.map_err(|failure| HttpError::of_rack(&rack.id, failure, rack.kind))
    }

    /// The rack with this name: from the table, or through the DHT while no orchestrator is there
    /// to say that it does not exist.
    pub(crate) async fn rack(
        &self,
        id: &RackId,
        context: &Context,
    ) -> Result<Arc<RackRoute>, HttpError> {
        let known = self.directory().knowledge();
        if let Some(rack) = known.table.rack(id) {
            return Ok(rack.clone());
        }
        if known.live {
            let message = format!("there is no rack {id}; GET /racks lists them");
            return Err(HttpError::new(StatusCode::NOT_FOUND, "ERR_RACK_NOT_FOUND", message));
        }
        let found = self.routing.search(id, context).await;
        found.ok_or_else(|| {
            HttpError::unavailable(format!("rack {id} is not known: no orchestrator is in reach"))
        })
    }

    /// The rack with this name, if it is for such things.
    pub(crate) async fn rack_for(
        &self,
        id: &RackId,
        kind: Kind,
        context: &Context,
    ) -> Result<Arc<RackRoute>, HttpError> {
        let rack = self.rack(id, context).await?;
        if rack.kind == kind {
            return Ok(rack);
        }
        let message = format!("is a rack of type {}, not {kind}", rack.kind);
        Err(HttpError::of_api(ApiError::invalid("rack_id", message), kind))
    }

    /// The rack that has the thing of this kind with this id.
    pub(crate) fn rack_of(&self, kind: Kind, id: ThingId) -> Result<Arc<RackRoute>, HttpError> {
        let known = self.directory().knowledge();
        if let Some(rack) = known.table.numbered(kind, id.rack_number()) {
            return Ok(rack.clone());
        }
        if known.live {
            return Err(HttpError::of_api(ApiError::ThingNotFound { id }, kind));
        }
        let message = format!("the rack of {kind} {id} is not known: no orchestrator is in reach");
        Err(HttpError::unavailable(message))
    }
}
