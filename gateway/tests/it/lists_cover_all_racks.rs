//! A list over several racks is in id order and complete, or it says what is missing.

use std::time::Duration;

use bookmesh_gateway::GatewayConfig;
use bookmesh_rpc::api::{ApiError, RackRoute};

use crate::support::fake_worker::Mishap;
use crate::support::world::route;
use crate::support::{Reply, World};

async fn stocked() -> World {
    let config = GatewayConfig {
        request_timeout: Duration::from_millis(1_500),
        replicas: 1,
        ..GatewayConfig::default()
    };
    let world = World::start_with(2, config).await;
    for (rack, name) in [("r1", "d"), ("r0", "a"), ("r1", "e"), ("r0", "b"), ("r0", "c")] {
        world.book(rack, name).await;
    }
    world
}

fn names(reply: &Reply) -> Vec<String> {
    let data = reply.data();
    let name = |book: &serde_json::Value| book["info"]["name"].as_str().unwrap().to_owned();
    data.as_array().unwrap().iter().map(name).collect()
}

#[tokio::test]
async fn ids_order_the_list_and_pages_cover_it() {
    let world = stocked().await;
    let all = world.get("/books").await;
    assert_eq!(names(&all), ["a", "b", "c", "d", "e"]);
    assert_eq!((all.header("x-total-count"), all.header("link")), (Some("5"), None));

    let middle = world.get("/books?limit=2&offset=2").await;
    assert_eq!(names(&middle), ["c", "d"]);
    let link = "</books?limit=2&offset=4>; rel=\"next\", </books?limit=2&offset=0>; rel=\"prev\"";
    assert_eq!(middle.header("link"), Some(link));

    let mut path = "/books?limit=2&after=1".to_owned();
    let mut walked = Vec::new();
    loop {
        let page = world.get(&path).await;
        walked.extend(names(&page));
        assert_eq!(page.header("x-total-count"), Some("5"));
        let Some(next) = page.header("link") else { break };
        path = next.trim_start_matches('<').split('>').next().unwrap().to_owned();
    }
    assert_eq!(walked, ["b", "c", "d", "e"]);
    assert_eq!(names(&world.get("/books?rack_id=r1").await), ["d", "e"]);
}

#[tokio::test]
async fn a_rack_that_does_not_answer_is_never_left_out_silently() {
    let world = stocked().await;
    let unavailable = ApiError::Unavailable { what: "r0".into(), why: "no leader".into() };
    *world.workers[0].always.lock().unwrap() = Some(Mishap::Error(unavailable));

    let refused = world.get("/books").await;
    assert_eq!(refused.error(503), "ERR_RACK_UNAVAILABLE");
    assert!(refused.json()["error"]["message"].as_str().unwrap().contains("r0"));

    let partial = world.get("/books?partial=true").await;
    assert_eq!((partial.status, names(&partial)), (206, vec!["d".into(), "e".into()]));
    assert_eq!(partial.header("x-missing-racks"), Some("r0"));
    assert!(partial.json()["message"].as_str().unwrap().contains("r0"));
    assert_eq!(partial.header("x-total-count"), Some("2"));
    assert_eq!(world.get("/books?rack_id=r1").await.status, 200);
}

#[tokio::test]
async fn a_retired_rack_is_in_no_list() {
    let world = stocked().await;
    world.ork.set_retired(&["r0"]);
    world.until(|| async { world.get("/racks/r0").await.status == 404 }).await;
    let rest = world.get("/books").await;
    assert_eq!((rest.status, names(&rest)), (200, vec!["d".into(), "e".into()]));
    assert_eq!(world.get("/books?rack_id=r0").await.error(404), "ERR_RACK_NOT_FOUND");
    assert_eq!(world.get("/books/1").await.error(404), "ERR_BOOK_NOT_FOUND");
}

/// A restarted orchestrator that knew fewer racks made a list 200 without their books.
#[tokio::test]
async fn racks_that_a_new_orchestrator_does_not_name_are_not_left_out() {
    let world = stocked().await;
    let unavailable = ApiError::Unavailable { what: "r0".into(), why: "no leader".into() };
    *world.workers[0].always.lock().unwrap() = Some(Mishap::Error(unavailable));
    // Nothing is listed from a rack that is not founded; that it is shown tells the table is in.
    let id = "r9".parse().unwrap();
    let unfounded = RackRoute { id, number: 9, confirmed: false, ..route(&world.workers[1]) };
    world.ork.set(vec![unfounded]);
    world.until(|| async { world.get("/racks/r9").await.status == 200 }).await;
    assert_eq!(world.get("/books").await.error(503), "ERR_RACK_UNAVAILABLE");
    // r1's members still answer, whoever names them.
    let partial = world.get("/books?partial=true").await;
    assert_eq!((partial.status, names(&partial)), (206, vec!["d".into(), "e".into()]));
    assert_eq!(partial.header("x-missing-racks"), Some("r0"));
}
