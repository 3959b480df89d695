//! Calls find the rack's leader wherever it is, and a write that is sent twice is applied once.

use std::time::Duration;

use bookmesh_gateway::GatewayConfig;
use bookmesh_rpc::PeerId;
use bookmesh_rpc::api::ApiError;
use serde_json::json;

use crate::support::World;
use crate::support::fake_worker::Mishap;
use crate::support::world::{book, route};

#[tokio::test]
async fn a_member_that_names_the_leader_is_followed_once_and_remembered() {
    let world = World::start(2).await;
    let (old, new) = (&world.workers[0], &world.workers[1]);
    // Rack r1's routes still name r0's worker as its leader.
    let mut stale = route(new);
    stale.leader = Some(old.peer);
    stale.members = vec![old.peer, new.peer];
    world.ork.set(vec![route(old), stale]);
    let hint = ApiError::NotLeader { rack: new.rack.clone(), leader: Some(new.peer) };
    let misled = || old.count("registerThing");
    world
        .until(|| async {
            if misled() == 0 {
                old.fails(hint.clone());
            }
            let created = world.post("/books", book("r1", "N")).await;
            created.status == 201 && misled() == 1
        })
        .await;
    assert_eq!(world.post("/books", book("r1", "M")).await.status, 201);
    assert_eq!(misled(), 1, "the hint was remembered");
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_applied_once() {
    let world = World::start(1).await;
    world.workers[0].will(Mishap::LostAnswer);
    assert_eq!(world.post("/books", book("r0", "N")).await.status, 201);
    assert_eq!(world.workers[0].count("registerThing"), 2);
    assert_eq!(world.get("/books").await.header("x-total-count"), Some("1"));
}

#[tokio::test]
async fn a_rack_that_elects_is_waited_for() {
    let world = World::start(1).await;
    for leader in [None, Some(PeerId::from_bytes([7; 32])), None] {
        let rack = world.workers[0].rack.clone();
        world.workers[0].fails(ApiError::NotLeader { rack, leader });
    }
    assert_eq!(world.post("/books", book("r0", "N")).await.status, 201);
}

#[tokio::test]
async fn racks_go_on_without_the_orchestrator() {
    let world = World::start(1).await;
    world.book("r0", "N").await;
    world.lose_ork().await;
    world.until(|| async { world.get("/nodes").await.status == 503 }).await;
    assert_eq!(world.get("/books/1").await.status, 200);
    assert_eq!(world.post("/books", book("r0", "M")).await.status, 201);
    assert_eq!(world.get("/ready").await.status, 200);
    let unknown = world.post("/books", book("r9", "N")).await;
    assert_eq!(unknown.error(503), "ERR_RACK_UNAVAILABLE");
}

#[tokio::test]
async fn a_worker_that_died_is_503_within_the_deadline() {
    let config = GatewayConfig {
        request_timeout: Duration::from_millis(500),
        replicas: 1,
        ..GatewayConfig::default()
    };
    let world = World::start_with(2, config).await;
    world.lose_worker(0).await;
    world.until(|| async { world.get("/books/1").await.status == 503 }).await;
    assert_eq!(world.post("/books", book("r1", "N")).await.status, 201);
    let racks = world.get("/racks").await.data();
    assert_eq!(
        (&racks[0]["leader"], &racks[0]["members"][0]["state"]),
        (&json!(null), &json!("unreachable"))
    );
}
