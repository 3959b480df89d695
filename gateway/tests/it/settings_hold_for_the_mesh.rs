//! `/settings` reads and changes what the registry keeps, and racks are judged by it.

use serde_json::{Value, json};

use crate::support::World;

#[tokio::test]
async fn what_is_given_changes_and_the_rest_stays() {
    let world = World::start(1).await;
    let settings = |replicas: Value, after: Value| {
        let all = [("rack_replicas".to_owned(), replicas), ("replace_after_ms".to_owned(), after)];
        Value::Object(all.into_iter().collect())
    };
    assert_eq!(world.get("/settings").await.data(), settings(json!(null), json!(null)));
    let reply = world.put("/settings", json!({"rack_replicas": 3})).await;
    assert_eq!((reply.status, reply.data()), (200, settings(json!(3), json!(null))));
    world.put("/settings", json!({"replace_after_ms": 5000})).await;
    assert_eq!(world.get("/settings").await.data(), settings(json!(3), json!(5000)));
    let both = world.put("/settings", settings(json!(null), json!(1000))).await;
    assert_eq!(both.data(), settings(json!(null), json!(1000)));
}

#[tokio::test]
async fn a_rack_aims_for_what_the_mesh_says() {
    let world = World::start(1).await;
    assert_eq!(world.get("/racks/r0").await.data()["wanted"], 1);
    world.put("/settings", json!({"rack_replicas": 3})).await;
    let degraded = || async { world.get("/health").await.json()["racks"][0].clone() };
    world.until(|| async { degraded().await["status"] == "degraded" }).await;
    assert_eq!(degraded().await["reason"], "1 of 3 voters answer");
    assert_eq!(world.get("/racks/r0").await.data()["wanted"], 3);
}

#[tokio::test]
async fn wrong_settings_are_named_all_at_once() {
    let world = World::start(1).await;
    let body = json!({"rack_replicas": 2, "replace_after_ms": 10, "colour": "red"});
    let reply = world.put("/settings", body).await;
    assert_eq!(reply.error(400), "ERR_VALIDATION");
    let mut fields = reply.fields();
    fields.sort();
    assert_eq!(fields, ["colour", "rack_replicas", "replace_after_ms"]);
    assert_eq!(world.put("/settings", json!({})).await.fields(), ["body"]);
    assert_eq!(world.get("/settings?x=1").await.error(400), "ERR_VALIDATION");
    assert_eq!(world.delete("/settings").await.error(405), "ERR_METHOD_NOT_ALLOWED");
    world.lose_ork().await;
}
