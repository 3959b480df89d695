//! `GET /nodes`: every node that the orchestrators heard of.

use std::sync::Arc;

use axum::http::StatusCode;
use bookmesh_rpc::api::{ApiError, ListNodes, NodeInfo};
use bookmesh_rpc::mesh::CallError;
use serde::Serialize;

use crate::answer::success;
use crate::app::App;
use crate::books::invalid;
use crate::call::Call;
use crate::endpoint::Answer;
use crate::http_error::HttpError;
use crate::thing_json::{Text, time};
use crate::{follower, query};

/// `GET /nodes`.
pub(crate) async fn list(app: Arc<App>, call: Call) -> Answer {
    query::none(call.uri()).map_err(invalid)?;
    let nodes = ask(&app, &call).await?;
    let nodes: Vec<_> = nodes.iter().map(json).collect();
    Ok(success(nodes))
}

/// Asks one orchestrator after the other; one that does not lead names the one that does.
async fn ask(app: &App, call: &Call) -> Result<Vec<NodeInfo>, HttpError> {
    let mut last = None;
    for ork in follower::orchestrators(&app.mesh, &call.context).await {
        let mut answer = app.mesh.call(ork, &call.context, ListNodes).await;
        if let Err(CallError::Api(ApiError::NotRegistryLeader { leader: Some(leader) })) = answer {
            answer = app.mesh.call(leader, &call.context, ListNodes).await;
        }
        match answer {
            Ok(nodes) => return Ok(nodes),
            Err(error) => last = Some(error.to_string()),
        }
    }
    let message = "no orchestrator answers; the racks go on without";
    let unavailable =
        HttpError::new(StatusCode::SERVICE_UNAVAILABLE, "ERR_REGISTRY_UNAVAILABLE", message);
    Err(HttpError { detail: last, ..unavailable })
}

#[derive(Serialize)]
struct NodeJson<'a> {
    peer_id: Text<bookmesh_rpc::peer::PeerId>,
    role: &'static str,
    version: &'a str,
    addresses: &'a [String],
    racks: &'a [bookmesh_rpc::api::RackId],
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
