//! `/live`, `/ready`, `/health`, `/metrics`, `/racks` and `/nodes` tell the truth.

use std::net::Ipv4Addr;
use std::time::Duration;

use bookmesh_gateway::{Gateway, GatewayConfig, ServeConfig, serve};
use bookmesh_rpc::{Mesh, MeshConfig, NodeKey};
use serde_json::json;
use tokio::net::TcpListener;

use crate::support::{Request, World};

#[tokio::test]
async fn a_gateway_that_is_well_says_so() {
    let world = World::start(1).await;
    assert_eq!(world.get("/live").await.json(), json!({"status": "live"}));
    assert_eq!(world.get("/ready").await.status, 200);
    world.until(|| async { world.get("/health").await.json()["status"] == "healthy" }).await;
    let health = world.get("/health").await;
    assert_eq!(health.status, 200);
    let health = health.json();
    assert_eq!(health["role"], "gateway");
    assert_eq!(health["peer_id"].as_str().unwrap().len(), 64);
    assert_eq!(health["services"], json!({"mesh": "healthy", "books": "healthy"}));
    assert_eq!(health["racks"][0]["id"], "r0");
    assert_eq!(health["racks"][0].get("reason"), None);
    assert!(health["system"]["memory"].as_u64().unwrap() > 0);
    assert!(health["uptime_s"].is_u64() && health["version"].is_string());
}

#[tokio::test]
async fn a_rack_with_fewer_voters_than_it_aims_for_is_degraded() {
    let config = GatewayConfig { replicas: 3, ..GatewayConfig::default() };
    let world = World::start_with(1, config).await;
    world.until(|| async { world.get("/health").await.json()["racks"][0]["voters"] == 1 }).await;
    let health = world.get("/health").await;
    assert_eq!((health.status, &health.json()["status"]), (200, &json!("degraded")));
    assert_eq!(health.json()["racks"][0]["reason"], "1 of 3 voters answer");
}

#[tokio::test]
async fn a_rack_that_is_gone_says_what_it_lacks() {
    let world = World::start(1).await;
    world.lose_worker(0).await;
    let rack = || async { world.get("/health").await.json()["racks"][0].clone() };
    world.until(|| async { rack().await["status"] == "unhealthy" }).await;
    assert_eq!(rack().await["reason"], "no leader");
}

#[tokio::test]
async fn a_gateway_alone_is_alive_but_not_ready() {
    let config = MeshConfig {
        key: NodeKey::generate(),
        mesh_key: None,
        host: Ipv4Addr::LOCALHOST.into(),
        port: 0,
        bootstrap: Vec::new(),
        mdns: false,
        bootstrap_timeout: Duration::from_secs(1),
        max_connections: 4,
    };
    let mesh = Mesh::start(config).await.unwrap();
    let gateway = Gateway::start(mesh, GatewayConfig::default());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    let serving = serve(listener, gateway.router(), ServeConfig::default(), std::future::pending());
    tokio::spawn(serving);
    let get = |path: &str| Request::new("GET", path).send(at);
    assert_eq!(get("/live").await.status, 200);
    assert_eq!(get("/ready").await.error(503), "ERR_NOT_READY");
    assert_eq!(get("/health").await.json()["status"], "unhealthy");
    assert_eq!(get("/books").await.error(503), "ERR_RACK_UNAVAILABLE");
    gateway.close().await;
}

#[tokio::test]
async fn health_is_asked_of_the_mesh_once_a_second() {
    let world = World::start(1).await;
    let before = world.workers[0].count("getMember");
    let asked = (0..50).map(|_| world.get("/health"));
    futures::future::join_all(asked).await;
    let calls = world.workers[0].count("getMember") - before;
    // One, and one more for each second that fifty requests may take on a busy machine.
    assert!(calls < 10, "{calls} calls for 50 requests");
}

#[tokio::test]
async fn racks_and_nodes_are_listed() {
    let world = World::start(2).await;
    world.book("r1", "N").await;
    let rack = world.get("/racks/r1").await.data();
    assert_eq!(
        (&rack["id"], &rack["number"], &rack["type"]),
        (&json!("r1"), &json!(1), &json!("book"))
    );
    let peer = json!(world.workers[1].peer.to_string());
    assert_eq!(
        (&rack["leader"], &rack["things"], &rack["last_index"]),
        (&peer, &json!(1), &json!(1))
    );
    let member = &rack["members"][0];
    assert_eq!(
        (&member["peer_id"], &member["role"], &member["state"]),
        (&peer, &json!("voter"), &json!("leader"))
    );
    assert_eq!(member["head_hash"], rack["head_hash"]);
    world
        .until(|| async { !world.get("/nodes").await.data().as_array().unwrap().is_empty() })
        .await;
    let node = world.get("/nodes").await.data()[0].clone();
    assert_eq!(
        (&node["role"], &node["last_seen"]),
        (&json!("gateway"), &json!("1970-01-01T00:00:01.000Z"))
    );
}

#[tokio::test]
async fn requests_are_counted_by_handler() {
    let world = World::start(1).await;
    world.get("/books/77").await;
    let metrics = world.get("/metrics").await;
    assert!(metrics.header("content-type").unwrap().starts_with("text/plain"));
    let text = String::from_utf8(metrics.body).unwrap();
    let line = "http_requests_total{handler=\"books_get\",method=\"get\",status_class=\"4xx\"}";
    assert!(text.contains(line), "{text}");
    assert!(
        text.contains("http_request_duration_seconds_bucket{handler=\"books_get\",le=\"0.0001\"}")
    );
    assert!(text.contains("process_resident_memory_bytes"));
}
