//! A book whose client names no rack goes where there is room, and to one rack only.

use std::collections::BTreeMap;
use std::time::Duration;

use bookmesh_gateway::GatewayConfig;
use bookmesh_rpc::api::{ApiError, RackRoute};
use serde_json::{Value, json};

use crate::support::World;
use crate::support::fake_worker::Mishap;
use crate::support::world::route;

fn anywhere() -> Value {
    json!({"info": {"name": "N", "author": "A"}})
}

/// Two racks of which `r0` is less filled by far.
async fn uneven() -> World {
    let config = GatewayConfig {
        request_timeout: Duration::from_millis(1_500),
        replicas: 1,
        ..GatewayConfig::default()
    };
    let world = World::start_with(2, config).await;
    tell(&world, |_| {}).await;
    world
}

/// Tells the gateway that `r1` has a million things, and what else `change` makes of `r0`.
async fn tell(world: &World, change: impl FnOnce(&mut RackRoute)) {
    let (mut first, second) = (route(&world.workers[0]), route(&world.workers[1]));
    change(&mut first);
    // A rack that is only named here tells that the table is in.
    let id = format!("seen-{}", rand::random::<u32>());
    let seen = RackRoute { id: id.parse().unwrap(), number: 9, confirmed: false, ..first.clone() };
    world.ork.set(vec![first, RackRoute { things: 1_000_000, ..second }, seen]);
    let path = format!("/racks/{id}");
    world.until(|| async { world.get(&path).await.status == 200 }).await;
}

#[tokio::test]
async fn what_comes_at_once_is_spread_over_racks_that_are_equally_full() {
    let world = World::start(3).await;
    let all = (0..30).map(|_| world.post("/books", anywhere()));
    let mut counts = BTreeMap::new();
    for reply in futures::future::join_all(all).await {
        *counts.entry(reply.data()["rack_id"].as_str().unwrap().to_owned()).or_insert(0) += 1;
    }
    assert_eq!(counts.into_values().collect::<Vec<_>>(), [10, 10, 10]);
}

#[tokio::test]
async fn a_rack_whose_disk_is_full_or_that_has_no_leader_is_passed_over() {
    let world = uneven().await;
    assert_eq!(world.post("/books", anywhere()).await.data()["rack_id"], "r0");
    tell(&world, |first| first.writable = false).await;
    assert_eq!(world.post("/books", anywhere()).await.data()["rack_id"], "r1");
    tell(&world, |first| (first.leader, first.term) = (None, 2)).await;
    assert_eq!(world.post("/books", anywhere()).await.data()["rack_id"], "r1");
}

#[tokio::test]
async fn another_rack_takes_the_book_while_nothing_was_sent_to_the_first() {
    let world = uneven().await;
    let retired = ApiError::RackRetired { rack: world.workers[0].rack.clone() };
    world.workers[0].fails(retired);
    assert_eq!(world.post("/books", anywhere()).await.data()["rack_id"], "r1");
    world.lose_worker(0).await;
    world
        .until(|| async {
            let reply = world.post("/books", anywhere()).await;
            reply.status == 201 && reply.data()["rack_id"] == "r1"
        })
        .await;
}

#[tokio::test]
async fn a_book_that_may_be_in_a_rack_is_given_to_no_other() {
    let world = uneven().await;
    *world.workers[0].always.lock().unwrap() = Some(Mishap::LostAnswer);
    assert_eq!(world.post("/books", anywhere()).await.error(504), "ERR_TIMEOUT");
    let unsure = ApiError::Unavailable { what: "r0".into(), why: "no majority".into() };
    *world.workers[0].always.lock().unwrap() = Some(Mishap::Error(unsure));
    assert_eq!(world.post("/books", anywhere()).await.error(503), "ERR_RACK_UNAVAILABLE");
    assert_eq!(world.workers[1].count("registerThing"), 0);
}
