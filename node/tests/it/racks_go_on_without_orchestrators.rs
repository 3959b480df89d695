//! Without any orchestrator racks go on: through a gateway that was there before, and through one
//! that is started only then and finds them through the DHT. Only a new rack has to wait.

use std::path::Path;

use serde_json::json;

use crate::support::{Api, Process, eventually, mesh};

fn ork(dir: &Path, p2p_port: &str) -> Process {
    let env = mesh::env(&[("DATA_DIR", "ork-data"), ("P2P_PORT", p2p_port)]);
    Process::start("ork", dir, &["ork"], &env)
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_new_rack_waits() {
    let dir = tempfile::tempdir().unwrap();
    let first = ork(dir.path(), "0");
    let bootstrap = first.p2p();
    let port = bootstrap.split('/').nth(4).unwrap().to_owned();
    let worker = mesh::worker("worker", dir.path(), &bootstrap);
    let known = format!("{bootstrap},{}", worker.p2p());
    let old = mesh::gateway("old", dir.path(), &known);
    let api = Api::new(old.http());
    add(&api, "Emma").await;

    first.kill();
    add(&api, "Persuasion").await;
    let young = mesh::gateway("young", dir.path(), &worker.p2p());
    let late_comer = Api::new(young.http());
    let id = add(&late_comer, "Sanditon").await;
    let book = late_comer.get(&format!("/books/{id}")).await;
    assert_eq!(book.body["data"]["info"]["name"], "Sanditon");
    assert_eq!(api.get(&format!("/books/{id}")).await.body, book.body);
    assert_eq!(api.count().await, 3);

    let late = [("DATA_DIR", "late-data"), ("BOOTSTRAP", &known), ("RACK_ID", "book-rack-002")];
    let late = Process::start("late", dir.path(), &["worker"], &mesh::env(&late));
    let waiting = Api::new(late.http());
    eventually("it says what it waits for", || async {
        let ready = waiting.get("/ready").await;
        assert_eq!(ready.status, 503, "{}", ready.body);
        ready.body.to_string().contains("the registry").then_some(())
    })
    .await;
    add(&api, "Lady Susan").await;

    let _second = ork(dir.path(), &port);
    eventually("the new rack", || async {
        let rack = api.get("/racks/book-rack-002").await;
        rack.body["data"]["leader"].is_string().then(|| {
            assert_eq!(rack.body["data"]["number"], 1, "{}", rack.body);
        })
    })
    .await;
    assert_eq!(api.rack(mesh::RACK).await["number"], 0);
    assert_eq!(waiting.get("/ready").await.status, 200);
}

/// Adds a book to the first rack, trying again while it is not found; gives its id.
async fn add(api: &Api, name: &str) -> String {
    let mut book = crate::support::api::book(name);
    book["rack_id"] = json!(mesh::RACK);
    eventually("a book", || async {
        let answer = api.post("/books", book.clone()).await;
        (answer.status == 201).then(|| answer.body["data"]["id"].as_str().unwrap().to_owned())
    })
    .await
}
