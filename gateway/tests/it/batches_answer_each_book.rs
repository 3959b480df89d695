//! One result for each book of a batch, in order, whatever became of the others.

use serde_json::{Value, json};

use crate::support::World;

fn book(name: &str) -> Value {
    json!({"info": {"name": name, "author": "A"}})
}

fn statuses(results: &Value) -> Vec<&str> {
    results.as_array().unwrap().iter().map(|each| each["status"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn each_book_has_its_result_in_its_place() {
    let world = World::start(1).await;
    let bad = json!({"info": {"name": "", "price": "x"}, "colour": "red"});
    let books = json!([book("a"), bad, book("b"), book(" A "), 7]);
    let reply = world.post("/books/batch", json!({"rack_id": "r0", "books": books})).await;
    assert_eq!(reply.status, 200);
    let results = reply.data();
    assert_eq!(statuses(&results), ["created", "error", "created", "skipped", "error"]);
    assert_eq!((&results[0]["id"], &results[3]["id"]), (&json!("1"), &json!("1")));
    let error = &results[1]["error"];
    assert_eq!(error["code"], "ERR_VALIDATION");
    let fields: Vec<_> = error["errors"].as_array().unwrap().iter().map(|e| &e["field"]).collect();
    assert_eq!(fields, ["info.price", "info.author", "info.name", "colour"]);
}

#[tokio::test]
async fn the_rule_for_conflicts_is_the_callers() {
    let world = World::start(1).await;
    let send = |rule: &'static str| {
        world.post("/books/batch", json!({"on_conflict": rule, "books": [book("a")]}))
    };
    assert_eq!(statuses(&send("fail").await.data()), ["created"]);
    let again = send("fail").await.data();
    assert_eq!(again[0]["error"]["code"], "ERR_CONFLICT");
    assert_eq!(statuses(&send("skip").await.data()), ["skipped"]);
    assert_eq!(send("maybe").await.error(400), "ERR_VALIDATION");
}

#[tokio::test]
async fn books_without_a_rack_always_go_to_the_same_one() {
    let world = World::start(2).await;
    for expected in ["created", "skipped"] {
        let reply = world.post("/books/batch", json!({"books": [book("a")]})).await;
        assert_eq!(statuses(&reply.data()), [expected]);
    }
    assert_eq!(world.workers[1].count("registerThings"), 0);
}

#[tokio::test]
async fn a_batch_of_nothing_but_faults_asks_no_rack() {
    let world = World::start(1).await;
    let reply = world.post("/books/batch", json!({"books": [{}]})).await;
    assert_eq!((reply.status, statuses(&reply.data())), (200, vec!["error"]));
    assert_eq!(world.workers[0].count("registerThings"), 0);
}
