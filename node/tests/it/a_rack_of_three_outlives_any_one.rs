//! Three workers form one rack by themselves; any one of them, the leader included, can be killed
//! and writes go on; one that comes back has the same history.

use std::collections::BTreeSet;

use crate::support::rack::{agreement, leader};
use crate::support::{Api, Process, eventually, mesh};

#[tokio::test(flavor = "multi_thread")]
async fn writes_go_on_without_the_leader_and_histories_agree() {
    let dir = tempfile::tempdir().unwrap();
    let ork = mesh::ork(dir.path());
    let start = |number: usize| mesh::worker(&format!("worker-{number}"), dir.path(), &ork.p2p());
    let mut workers: Vec<Option<Process>> = (0..3).map(|number| Some(start(number))).collect();
    let gateway = mesh::gateway("gateway", dir.path(), &ork.p2p());
    let api = Api::new(gateway.http());
    agreement(&api, mesh::RACK, 3).await;

    let mut acknowledged = BTreeSet::new();
    for round in 0..3 {
        for number in 0..10 {
            acknowledged.insert(add(&api, &format!("Book {round}.{number}")).await);
        }
        let leader = leader(&api, mesh::RACK).await;
        let at = workers
            .iter()
            .position(|worker| worker.as_ref().is_some_and(|it| it.ready["peer"] == leader))
            .unwrap();
        workers[at].take().unwrap().kill();
        acknowledged.insert(add(&api, &format!("Book {round} without its leader")).await);
        workers[at] = Some(start(at));
        agreement(&api, mesh::RACK, 3).await;
    }
    assert_eq!(acknowledged.len(), 33, "every book has an id of its own");
    for id in &acknowledged {
        assert_eq!(api.get(&format!("/books/{id}")).await.status, 200, "book {id} is lost");
    }
}

/// Adds a book, trying again while the rack has no leader.
async fn add(api: &Api, name: &str) -> String {
    eventually("a write", || async {
        let answer = api.post("/books", crate::support::api::book(name)).await;
        (answer.status == 201).then(|| answer.body["data"]["id"].as_str().unwrap().to_owned())
    })
    .await
}
