//! `GET /nodes`: every node that the orchestrators heard of.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use bookmesh_rpc::api::{ListNodes, NodeInfo};
use bookmesh_rpc::mesh::Context;
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer::success;
use crate::app::App;
use crate::books::invalid;
use crate::call::Call;
use crate::endpoint::Answer;
use crate::http_error::HttpError;
use crate::openapi::forms;
use crate::query;
use crate::thing_json::{Text, time};

/// How long orchestrators are looked for before the answer is that there are none.
const PATIENCE: Duration = Duration::from_secs(3);

/// `GET /nodes`.
pub(crate) async fn list(app: Arc<App>, call: Call) -> Answer {
    query::none(call.uri()).map_err(invalid)?;
    let nodes = ask(&app, &call).await?;
    let nodes: Vec<_> = nodes.iter().map(json).collect();
    Ok(success(nodes))
}

/// Asks whichever orchestrator answers: each has heard of every node.
async fn ask(app: &App, call: &Call) -> Result<Vec<NodeInfo>, HttpError> {
    let deadline = call.context.deadline.min(Instant::now() + PATIENCE);
    let context = Context { deadline, ..call.context.clone() };
    app.orks.call(&context, ListNodes).await.map_err(|error| {
        let message = "no orchestrator answers; the racks go on without";
        let unavailable =
            HttpError::new(StatusCode::SERVICE_UNAVAILABLE, "ERR_REGISTRY_UNAVAILABLE", message);
        HttpError { detail: Some(error.to_string()), ..unavailable }
    })
}

/// A node as `/nodes` shows it.
#[derive(Serialize, ToSchema)]
#[schema(as = Node)]
pub(crate) struct NodeJson<'a> {
    #[schema(schema_with = forms::peer)]
    peer_id: Text<bookmesh_rpc::peer::PeerId>,
    #[schema(schema_with = forms::node_role)]
    role: &'static str,
    version: &'a str,
    /// Multiaddresses on which it listens.
    addresses: &'a [String],
    /// The racks that it holds.
    #[schema(value_type = Vec<String>)]
    racks: &'a [bookmesh_rpc::api::RackId],
    #[schema(schema_with = forms::time)]
    last_seen: Text<humantime::Rfc3339Timestamp>,
}

fn json(node: &NodeInfo) -> NodeJson<'_> {
    NodeJson {
        peer_id: Text(node.peer),
        role: node.role.name(),
        version: &node.version,
        addresses: &node.addresses,
        racks: &node.racks,
        last_seen: Text(time(node.last_seen_ms)),
    }
}
