//! Separate processes find each other through the DHT from one bootstrap address, without its
//! peer id, and serve books; what they acknowledged is there after all of them were stopped.

use crate::support::{Api, eventually, mesh};

#[tokio::test(flavor = "multi_thread")]
async fn an_orchestrator_a_worker_and_a_gateway_become_a_mesh() {
    let dir = tempfile::tempdir().unwrap();
    let ork = mesh::ork(dir.path());
    // The address as a person would write it: host and port.
    let known = host_and_port(&ork.p2p());
    let worker = mesh::worker("worker", dir.path(), &known);
    let gateway = mesh::gateway("gateway", dir.path(), &known);
    let api = Api::new(gateway.http());
    eventually("a rack to write to", || async {
        (api.get("/ready").await.status == 200).then_some(())
    })
    .await;
    let id = eventually("a first book", || async {
        let answer = api.post("/books", crate::support::api::book("Emma")).await;
        (answer.status == 201).then(|| answer.body["data"]["id"].as_str().unwrap().to_owned())
    })
    .await;
    assert_eq!(id, "1");

    let nodes = api.get("/nodes").await.body["data"].clone();
    let mut roles: Vec<_> =
        nodes.as_array().unwrap().iter().map(|node| node["role"].as_str().unwrap()).collect();
    roles.sort_unstable();
    assert_eq!(roles, ["gateway", "ork", "worker"], "{nodes}");

    let head = api.rack(mesh::RACK).await["head_hash"].clone();
    assert!(gateway.terminate().success());
    assert!(worker.terminate().success());
    assert!(ork.terminate().success());

    let ork = mesh::ork(dir.path());
    let _worker = mesh::worker("worker", dir.path(), &host_and_port(&ork.p2p()));
    let gateway = mesh::gateway("gateway", dir.path(), &ork.p2p());
    let api = Api::new(gateway.http());
    eventually("the book to be back", || async {
        let answer = api.get("/books/1").await;
        (answer.status == 200).then(|| assert_eq!(answer.body["data"]["info"]["name"], "Emma"))
    })
    .await;
    assert_eq!(api.rack(mesh::RACK).await["head_hash"], head);
}

/// `/ip4/127.0.0.1/tcp/4001/p2p/…` as `127.0.0.1:4001`.
fn host_and_port(addresses: &str) -> String {
    let first = addresses.split(',').find(|address| address.contains("/tcp/")).unwrap();
    let parts: Vec<_> = first.split('/').collect();
    format!("{}:{}", parts[2], parts[4])
}
