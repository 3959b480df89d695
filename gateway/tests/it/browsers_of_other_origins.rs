//! Pages of origins that are named may call and read every answer; others may not.

use bookmesh_gateway::{EdgeConfig, GatewayConfig, ServeConfig};
use serde_json::json;

use crate::support::{Reply, Request, World};

const PAGE: &str = "https://books.example";

async fn world(origins: Option<&str>) -> World {
    let cors = origins.map(|text| text.parse().unwrap());
    let serving = ServeConfig {
        edge: EdgeConfig { cors, ..EdgeConfig::default() },
        ..ServeConfig::default()
    };
    let config = GatewayConfig { replicas: 1, ..GatewayConfig::default() };
    World::start_behind(1, config, serving).await
}

async fn preflight(world: &World, origin: &str) -> Reply {
    let asked = Request::new("OPTIONS", "/checkout").header("origin", origin);
    let asked = asked.header("access-control-request-method", "POST");
    asked.header("access-control-request-headers", "content-type").send(world.at).await
}

#[tokio::test]
async fn a_preflight_is_answered_at_the_edge() {
    let world = world(Some("https://books.example, http://localhost:5173")).await;
    let reply = preflight(&world, PAGE).await;
    assert_eq!((reply.status, reply.body.len()), (204, 0));
    assert_eq!(reply.header("access-control-allow-origin"), Some(PAGE));
    let allowed = |name: &str| reply.header(name).unwrap().to_lowercase();
    for method in ["get", "post", "put", "delete"] {
        assert!(allowed("access-control-allow-methods").contains(method));
    }
    for header in ["content-type", "idempotency-key", "if-match", "last-event-id"] {
        assert!(allowed("access-control-allow-headers").contains(header));
    }
    assert!(allowed("access-control-max-age").parse::<u32>().unwrap() > 0);
    assert!(reply.header("x-request-id").is_some());
    assert_eq!(reply.header("vary"), Some("origin"));

    let stranger = preflight(&world, "https://evil.example").await;
    assert_eq!(stranger.header("access-control-allow-origin"), None);
    assert_eq!(stranger.header("vary"), Some("origin"));
}

#[tokio::test]
async fn answers_and_errors_can_be_read_by_the_page() {
    let world = world(Some(PAGE)).await;
    let with_origin = |method, path: &str| Request::new(method, path).header("origin", PAGE);
    for (request, status) in [
        (with_origin("GET", "/racks"), 200),
        (with_origin("GET", "/books/abc"), 400),
        (with_origin("GET", "/nothing"), 404),
        (with_origin("PATCH", "/racks"), 405),
        (with_origin("POST", "/books").json(json!({})), 400),
        (with_origin("GET", &format!("/books?q={}", "x".repeat(9_000))), 414),
    ] {
        let reply = request.send(world.at).await;
        assert_eq!(reply.status, status);
        assert_eq!(reply.header("access-control-allow-origin"), Some(PAGE), "{status}");
        let exposed = reply.header("access-control-expose-headers").unwrap();
        for name in ["X-Request-Id", "ETag", "Link", "Location", "X-Total-Count", "Allow"] {
            assert!(exposed.contains(name), "{name}");
        }
    }
    let plain = world.get("/racks").await;
    assert_eq!(plain.header("access-control-allow-origin"), None);
    assert_eq!(plain.header("vary"), Some("origin"), "a cache must not mix them up");
}

#[tokio::test]
async fn any_origin_may_be_allowed() {
    let world = world(Some("*")).await;
    let reply = world.get("/racks").await;
    assert_eq!(
        (reply.header("access-control-allow-origin"), reply.header("vary")),
        (Some("*"), None)
    );
    assert_eq!(preflight(&world, "null").await.header("access-control-allow-origin"), Some("*"));
}

#[tokio::test]
async fn without_configuration_no_page_may_call() {
    let world = world(None).await;
    let reply = preflight(&world, PAGE).await;
    assert_eq!(reply.error(405), "ERR_METHOD_NOT_ALLOWED");
    assert_eq!(reply.header("access-control-allow-origin"), None);
}
