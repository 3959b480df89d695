//! Every error, from every layer, has the documented status, code and shape.

use std::time::Duration;

use bookmesh_gateway::GatewayConfig;
use bookmesh_rpc::api::{ApiError, ThingId};
use serde_json::json;

use crate::support::fake_worker::Mishap;
use crate::support::world::book;
use crate::support::{Request, World};

#[tokio::test]
async fn the_router_refuses_in_the_same_shape() {
    let world = World::start(1).await;
    assert_eq!(world.get("/nothing").await.error(404), "ERR_NOT_FOUND");
    let reply = Request::new("PATCH", "/books/1").send(world.at).await;
    assert_eq!(reply.error(405), "ERR_METHOD_NOT_ALLOWED");
    let mut allowed: Vec<_> = reply.header("allow").unwrap().split(',').collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["DELETE", "GET", "HEAD", "PUT"]);
    assert_eq!(world.post("/live", json!({})).await.error(405), "ERR_METHOD_NOT_ALLOWED");
}

#[tokio::test]
async fn bodies_that_are_no_json_are_refused() {
    let world = World::start(1).await;
    let post = || Request::new("POST", "/books");
    for request in [post().body("{}"), post().header("content-type", "text/plain").body("{}")] {
        assert_eq!(request.send(world.at).await.error(415), "ERR_UNSUPPORTED_MEDIA_TYPE");
    }
    let broken = post().header("content-type", "application/json").body("{\"info\": nope}");
    let reply = broken.send(world.at).await;
    assert_eq!(
        (reply.error(400).as_str(), reply.fields()),
        ("ERR_VALIDATION", vec!["body".into()])
    );
    let message = reply.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("line 1 column"), "{message}");
}

#[tokio::test]
async fn all_wrong_fields_are_named_at_once() {
    let world = World::start(1).await;
    let body = json!({"type": "car", "rack_id": "r0", "colour": 1, "tags": [""],
        "info": {"author": "", "status": "lost"}});
    let reply = world.post("/books", body).await;
    assert_eq!(reply.error(400), "ERR_VALIDATION");
    let mut fields = reply.fields();
    fields.sort();
    assert_eq!(fields, ["colour", "info.author", "info.name", "info.status", "tags[0]", "type"]);
    assert_eq!(world.workers[0].count("registerThing"), 0);

    let reply = world.get("/books?limit=0&colour=red").await;
    assert_eq!((reply.error(400).as_str(), reply.fields().len()), ("ERR_VALIDATION", 2));
}

#[tokio::test]
async fn ids_and_racks_that_do_not_exist_are_told_apart() {
    let world = World::start(1).await;
    assert_eq!(world.get("/books/abc").await.error(400), "ERR_ID_INVALID");
    assert_eq!(world.get("/books/77").await.error(404), "ERR_BOOK_NOT_FOUND");
    let of_another_rack = (7_u64 << 40) + 1;
    assert_eq!(
        world.get(&format!("/books/{of_another_rack}")).await.error(404),
        "ERR_BOOK_NOT_FOUND"
    );
    assert_eq!(world.get("/racks/r9").await.error(404), "ERR_RACK_NOT_FOUND");
    assert_eq!(world.post("/books", book("r9", "N")).await.error(404), "ERR_RACK_NOT_FOUND");
    assert_eq!(world.get("/books?rack_id=r9").await.error(404), "ERR_RACK_NOT_FOUND");
    let moved = world.book("r0", "N").await;
    let reply = world.put(&format!("/books/{moved}"), json!({"rack_id": "r9"})).await;
    assert_eq!(
        (reply.error(400).as_str(), reply.fields()),
        ("ERR_VALIDATION", vec!["rack_id".into()])
    );
}

#[tokio::test]
async fn each_refusal_of_a_rack_has_its_code() {
    let world = World::start(1).await;
    world.book("r0", "N").await;
    let id = ThingId::new(0, 1).unwrap();
    let refusals = [
        (ApiError::invalid("info", "is too large"), 400, "ERR_VALIDATION"),
        (ApiError::ThingNotFound { id }, 404, "ERR_BOOK_NOT_FOUND"),
        (ApiError::CheckedOut { id }, 409, "ERR_BOOK_CHECKED_OUT"),
        (ApiError::NotCheckedOut { id }, 409, "ERR_BOOK_NOT_CHECKED_OUT"),
        (ApiError::KeyConflict, 409, "ERR_IDEMPOTENCY_CONFLICT"),
        (ApiError::VersionMismatch { id, version: 3 }, 412, "ERR_VERSION_MISMATCH"),
        (ApiError::internal("the disk is on fire"), 500, "ERR_INTERNAL"),
    ];
    for (refusal, status, code) in refusals {
        world.workers[0].fails(refusal);
        let reply = world.put("/books/1", json!({"info": {"name": "M"}})).await;
        assert_eq!(reply.error(status), code);
        assert!(!String::from_utf8_lossy(&reply.body).contains("fire"));
    }
}

#[tokio::test]
async fn a_rack_that_is_away_is_503_and_one_that_is_silent_is_504() {
    let config = GatewayConfig {
        request_timeout: Duration::from_millis(300),
        replicas: 1,
        ..GatewayConfig::default()
    };
    let world = World::start_with(1, config).await;
    let rack = "r0".to_owned();
    let unavailable = ApiError::Unavailable { what: rack, why: "no leader".into() };
    *world.workers[0].always.lock().unwrap() = Some(Mishap::Error(unavailable));
    let reply = world.get("/books/1").await;
    assert_eq!(reply.error(503), "ERR_RACK_UNAVAILABLE");
    assert!(reply.header("retry-after").is_some());
    assert!(reply.json()["error"]["message"].as_str().unwrap().contains("r0"));
    *world.workers[0].always.lock().unwrap() = Some(Mishap::Silence);
    assert_eq!(world.get("/books/1").await.error(504), "ERR_TIMEOUT");
}
