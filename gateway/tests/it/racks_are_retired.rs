//! `DELETE /racks/{id}` asks the registry, and says why when a rack stays.

use bookmesh_gateway::GatewayConfig;
use bookmesh_rpc::PeerId;
use bookmesh_rpc::api::{ApiError, RetireRack};
use serde_json::json;
use std::time::Duration;

use crate::support::World;

#[tokio::test]
async fn a_rack_is_retired_and_shown_once_more() {
    let world = World::start(2).await;
    let reply = world.delete("/racks/r1").await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.data(), json!({"id": "r1", "number": 1, "type": "book", "retired": true}));
    assert_eq!(world.delete("/racks/r0?force=true").await.status, 200);
    let ask = |rack: &str, force| RetireRack { rack: rack.parse().unwrap(), force };
    assert_eq!(*world.ork.retired.lock().unwrap(), [ask("r1", false), ask("r0", true)]);
}

#[tokio::test]
async fn what_stands_in_the_way_is_told() {
    let world = World::start(1).await;
    let rack = world.workers[0].rack.clone();
    world.ork.refuses(ApiError::RackNotEmpty { rack, things: 12 });
    let reply = world.delete("/racks/r0").await;
    assert_eq!(reply.error(409), "ERR_RACK_NOT_EMPTY");
    let message = reply.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("things (12)") && message.contains("force"), "{message}");
    assert_eq!(world.delete("/racks/r9").await.error(404), "ERR_RACK_NOT_FOUND");
}

#[tokio::test]
async fn wrong_input_reaches_nobody() {
    let world = World::start(1).await;
    let wrong = ["/racks/NO", "/racks/r0?force=yes", "/racks/r0?force=true&colour=red"];
    for path in wrong {
        assert_eq!(world.delete(path).await.error(400), "ERR_VALIDATION", "{path}");
    }
    assert!(world.ork.retired.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_orchestrator_that_does_not_lead_names_the_one_that_does() {
    let world = World::start(1).await;
    // The hint leads nowhere; the next round finds the leader all the same.
    let leader = Some(PeerId::from_bytes([9; 32]));
    world.ork.refuses(ApiError::NotRegistryLeader { leader });
    world.ork.refuses(ApiError::NotRegistryLeader { leader: None });
    assert_eq!(world.delete("/racks/r0").await.status, 200);
}

#[tokio::test]
async fn a_rack_that_can_not_be_asked_is_503_with_the_reason() {
    let config = GatewayConfig {
        request_timeout: Duration::from_secs(3),
        replicas: 1,
        ..GatewayConfig::default()
    };
    let world = World::start_with(1, config).await;
    for _ in 0..100 {
        let why = "its leader does not answer".into();
        world.ork.refuses(ApiError::Unavailable { what: "r0".into(), why });
    }
    let reply = world.delete("/racks/r0").await;
    assert_eq!(reply.error(503), "ERR_REGISTRY_UNAVAILABLE");
    let message = reply.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("its leader does not answer"), "{message}");
    world.lose_ork().await;
    assert_eq!(world.delete("/racks/r0").await.error(503), "ERR_REGISTRY_UNAVAILABLE");
}
