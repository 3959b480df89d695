//! `/live`, `/ready`, `/health` and `/metrics`.

use serde_json::json;

use super::operation::Route;
use crate::ops::{HealthJson, Live};

pub(crate) const TAG: &str = "health";
pub(crate) const ABOUT: &str = "For balancers, monitors and people: the same four on every role.";

pub(crate) fn routes() -> Vec<Route> {
    vec![live(), ready(), health(), metrics()]
}

fn live() -> Route {
    Route::get("/live", TAG, "getLive", "Tells that the process runs")
        .about("It touches nothing else.")
        .plain::<Live>(200, "It runs.", &[], json!({"status": "live"}))
        .fails(500, "`ERR_INTERNAL`: a fault of ours.")
}

fn ready() -> Route {
    Route::get("/ready", TAG, "getReady", "Tells whether it can do its job")
        .about("A gateway can when it has routes to an orchestrator or a rack.")
        .plain::<Live>(200, "It can.", &[], json!({"status": "ready"}))
        .fails(503, "`ERR_NOT_READY`: it can't, and why.")
        .fails(500, "`ERR_INTERNAL`: a fault of ours.")
}

fn health() -> Route {
    let peer = "8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394";
    let example = json!({
        "status": "healthy", "role": "gateway", "peer_id": peer,
        "services": {"mesh": "healthy", "books": "healthy"},
        "racks": [{
            "id": "book-rack-001", "type": "book", "status": "healthy", "leader": peer, "voters": 3,
        }],
        "version": "0.1.0", "uptime_s": 12, "system": {"cpu": 0.021, "memory": 24117248},
    });
    Route::get("/health", TAG, "getHealth", "Tells how the mesh is")
        .about(
            "From a cache of a second. Healthy means that every rack has a leader and as many \
             voters as it aims for.",
        )
        .plain::<HealthJson<'_>>(200, "Healthy, or degraded: it works.", &[], example.clone())
        .plain::<HealthJson<'_>>(503, "Unhealthy: a part of it does not work.", &[], {
            let mut example = example;
            example["status"] = json!("unhealthy");
            example
        })
        .fails(500, "`ERR_INTERNAL`: a fault of ours.")
}

fn metrics() -> Route {
    Route::get("/metrics", TAG, "getMetrics", "Tells figures, for Prometheus")
        .text(200, "Prometheus' text format.", "text/plain; version=0.0.4")
        .fails(500, "`ERR_INTERNAL`: a fault of ours.")
}
