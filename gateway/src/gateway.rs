//! The gateway as the rest of the program holds it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use bookmesh_rpc::Mesh;
use bookmesh_rpc::api::{NodeRole, RackId};
use bookmesh_rpc::mesh::BoxFuture;
use bookmesh_rpc::orks::Orks;
use bookmesh_rpc::routing::Routing;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::App;
use crate::call::Limits;
use crate::gauges::{GaugeSource, Gauges};
use crate::health::HealthSource;
use crate::mesh_health::MeshHealth;
use crate::{announcer, metrics, openapi, ops, routes};

/// The most that [`GatewayConfig::max_payload_bytes`] may be: what a body holds has to fit into
/// one frame of the mesh, encoded, with room to spare.
pub const MAX_PAYLOAD_LIMIT_BYTES: usize = bookmesh_rpc::codec::MAX_ENCODED_BYTES / 2;

/// What a gateway needs to know.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// Bytes of a request's body; cut to [`MAX_PAYLOAD_LIMIT_BYTES`].
    pub max_payload_bytes: usize,
    /// From a request's head to its answer.
    pub request_timeout: Duration,
    /// Requests that take as long are logged as warnings, with where their time went.
    pub slow_after: Duration,
    /// Voters that each rack aims for, by which `/health` judges, unless the mesh's settings say.
    pub replicas: usize,
    /// Errors tell developers more: which peer failed, and how. Never causes of internal errors.
    pub detailed_errors: bool,
    /// The program's version, as `/health` and `/nodes` show it.
    pub version: String,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            max_payload_bytes: 1024 * 1024,
            request_timeout: Duration::from_secs(15),
            slow_after: Duration::from_secs(1),
            replicas: 3,
            detailed_errors: false,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// A running gateway: its routes to the racks are kept fresh until it is closed or dropped.
#[derive(Debug)]
pub struct Gateway {
    app: Arc<App>,
    config: GatewayConfig,
    follower: JoinHandle<()>,
    // Held open as long as log tails may run.
    _open: watch::Sender<()>,
}

impl Gateway {
    /// Begins to look for orchestrators. Needs a tokio runtime.
    pub fn start(mesh: Mesh, config: GatewayConfig) -> Self {
        metrics::install();
        let orks = Arc::new(Orks::new(mesh.clone()));
        let routing = Arc::new(Routing::new(mesh.clone(), orks.clone()));
        let follower = {
            let announcing =
                announcer::run(mesh.clone(), orks.clone(), routing.clone(), config.version.clone());
            let routing = routing.clone();
            tokio::spawn(async move {
                tokio::select! {
                    () = announcing => {}
                    () = routing.follow() => {}
                }
            })
        };
        let (open, closing) = watch::channel(());
        let app = Arc::new(App::new(mesh, orks, routing, config.replicas, closing));
        Self { app, config, follower, _open: open }
    }

    /// All routes, for [`crate::serve()`].
    pub fn router(&self) -> Router {
        self.router_with(Vec::new())
    }

    /// As [`Gateway::router`], with a `/metrics` that tells of others in this process as well.
    pub fn router_with(&self, mut gauges: Vec<Arc<dyn GaugeSource>>) -> Router {
        let (app, version) = (self.app.clone(), self.config.version.clone());
        gauges.push(Arc::new(GatewayGauges { app, version }));
        let limits = Limits {
            body_bytes: self.config.max_payload_bytes.min(MAX_PAYLOAD_LIMIT_BYTES),
            time: self.config.request_timeout,
            slow: self.config.slow_after,
            detailed: self.config.detailed_errors,
        };
        let ops = ops::routes(self.health_source(), gauges, self.config.version.clone());
        let document = openapi::router(openapi::Document::new(&self.config.version), limits);
        let own = routes::router(self.app.clone(), limits);
        routes::closed(ops.merge(document).merge(own), limits)
    }

    /// What `/health` and `/ready` answer from.
    pub fn health_source(&self) -> Arc<dyn HealthSource> {
        Arc::new(MeshHealth { app: self.app.clone() })
    }

    /// Waits until the gateway can reach that rack's leader; false when it can't within the time.
    pub async fn reaches(&self, rack: &RackId, within: Duration) -> bool {
        let mut changes = self.app.directory().changes();
        let reached = changes.wait_for(|known| {
            known.live && known.table.rack(rack).is_some_and(|route| route.leader.is_some())
        });
        matches!(tokio::time::timeout(within, reached).await, Ok(Ok(_)))
    }

    /// Stops following the routes and ends log tails; to be called when [`crate::serve()`]'s
    /// shutdown begins. Other requests in flight go on with what is known.
    pub async fn close(mut self) {
        self.follower.abort();
        // It ends by being aborted, which is what was asked for.
        let _ = (&mut self.follower).await;
    }
}

/// What a gateway says of itself.
struct GatewayGauges {
    app: Arc<App>,
    version: String,
}

impl GaugeSource for GatewayGauges {
    fn gauges(&self) -> BoxFuture<'_, Gauges> {
        let mut gauges = Gauges::default();
        gauges.name_node(NodeRole::Gateway, self.app.mesh.peer_id(), &self.version);
        Box::pin(async { gauges })
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.follower.abort();
    }
}
