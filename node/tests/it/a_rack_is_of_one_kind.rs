//! A worker that is started with the wrong type for its rack says so, holds nothing, and harms
//! nothing: neither beside the rack's own workers, nor alone, nor with the rack's own data.

use reqwest::{Method, StatusCode};

use crate::support::api::book;
use crate::support::{Api, Process, eventually, mesh, rack};

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_the_wrong_type_says_so_and_takes_no_part() {
    let dir = tempfile::tempdir().unwrap();
    let ork = mesh::ork(dir.path());
    let books = mesh::worker("books", dir.path(), &ork.p2p());
    let gateway = mesh::gateway("gateway", dir.path(), &ork.p2p());
    let api = Api::new(gateway.http());
    rack::leader(&api, mesh::RACK).await;
    let id = eventually("a book is taken", || async {
        let answer = api.try_send(Method::POST, "/books", Some(book("Emma"))).await.ok()?;
        answer.body["data"]["id"].as_str().map(str::to_owned)
    })
    .await;
    let wrong = |name: &str| mesh::worker_of(("order", mesh::RACK), name, dir.path(), &ork.p2p());

    let beside = wrong("beside");
    says_so(&beside).await;
    assert_eq!(api.rack(mesh::RACK).await["members"].as_array().unwrap().len(), 1);
    beside.kill();

    books.kill();
    let alone = wrong("alone");
    says_so(&alone).await;
    alone.kill();
    let with_its_data = wrong("books");
    says_so(&with_its_data).await;
    with_its_data.kill();

    let _books = mesh::worker("books", dir.path(), &ork.p2p());
    eventually("the book is there as it was", || async {
        (api.get(&format!("/books/{id}")).await.status == StatusCode::OK).then_some(())
    })
    .await;
    assert_eq!(api.rack(mesh::RACK).await["type"], "book");
}

async fn says_so(worker: &Process) {
    let health = Api::new(worker.http());
    eventually("it says that its type is wrong", || async {
        let ready = health.get("/ready").await;
        let told = ready.body.to_string().contains("--type");
        (ready.status == StatusCode::SERVICE_UNAVAILABLE && told).then_some(())
    })
    .await;
    assert!(worker.log().contains("ERROR"), "{}", worker.log());
}
