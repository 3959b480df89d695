//! An orchestrator that comes back, with its registry or without, never makes books vanish: a
//! list is complete or says that it isn't, and a rack that exists keeps its number.

use std::path::Path;

use crate::support::{Api, Process, eventually, mesh};

fn ork(dir: &Path, p2p_port: &str) -> Process {
    let env = mesh::env(&[("DATA_DIR", "ork-data"), ("P2P_PORT", p2p_port)]);
    Process::start("ork", dir, &["ork"], &env)
}

#[tokio::test(flavor = "multi_thread")]
async fn books_never_vanish_and_numbers_are_never_given_twice() {
    let dir = tempfile::tempdir().unwrap();
    let first = ork(dir.path(), "0");
    let bootstrap = first.p2p();
    let port = bootstrap.split('/').nth(4).unwrap().to_owned();
    let known = format!("127.0.0.1:{port}");
    let _worker = mesh::worker("worker", dir.path(), &known);
    let gateway = mesh::gateway("gateway", dir.path(), &known);
    let api = Api::new(gateway.http());
    eventually("a book", || async {
        let answer = api.post("/books", crate::support::api::book("Emma")).await;
        (answer.status == 201).then_some(())
    })
    .await;

    first.kill();
    let second = ork(dir.path(), &port);
    complete_until_routed(&api).await;

    second.kill();
    std::fs::remove_dir_all(dir.path().join("ork-data")).unwrap();
    let _third = ork(dir.path(), &port);
    complete_until_routed(&api).await;
    let late = [("DATA_DIR", "late-data"), ("BOOTSTRAP", &known), ("RACK_ID", "book-rack-002")];
    let _late = Process::start("late", dir.path(), &["worker"], &mesh::env(&late));
    eventually("a second rack", || async {
        let rack = api.get("/racks/book-rack-002").await;
        rack.body["data"]["leader"].is_string().then(|| {
            assert_eq!(rack.body["data"]["number"], 1, "{}", rack.body);
        })
    })
    .await;
    assert_eq!(api.rack(mesh::RACK).await["number"], 0);
    assert_eq!(api.count().await, 1);
}

/// Asks again and again, until the new orchestrator lists all nodes; every answer on the way is
/// complete, or says that it isn't.
async fn complete_until_routed(api: &Api) {
    eventually("the nodes to be heard of again", || async {
        let books = api.get("/books").await;
        let complete = books.status == 200 && books.header("x-total-count") == "1";
        assert!(complete || books.status == 503, "{} {}", books.status, books.body);
        let nodes = api.get("/nodes").await;
        let listed = nodes.body["data"].as_array().map_or(0, Vec::len);
        (listed == 3 && complete).then_some(())
    })
    .await;
}
