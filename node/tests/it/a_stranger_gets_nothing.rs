//! Processes without the mesh key, or with another one, get nothing from the mesh, and both sides
//! say why; those inside go on undisturbed.

use crate::support::{Api, Process, eventually, mesh};

#[tokio::test(flavor = "multi_thread")]
async fn no_key_and_a_wrong_key_are_refused_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let ork = mesh::ork(dir.path());
    let _worker = mesh::worker("worker", dir.path(), &ork.p2p());
    let gateway = mesh::gateway("gateway", dir.path(), &ork.p2p());
    let api = Api::new(gateway.http());
    eventually("a rack that takes writes", || async {
        let answer = api.post("/books", crate::support::api::book("First")).await;
        (answer.status == 201).then_some(())
    })
    .await;

    let wrong = "ff".repeat(32);
    for (name, key) in [("keyless", ""), ("stranger", wrong.as_str())] {
        let p2p = ork.p2p();
        let stranger = Process::start(
            name,
            dir.path(),
            &["gateway"],
            &mesh::env(&[("BOOTSTRAP", &p2p), ("MESH_KEY", key)]),
        );
        let outside = Api::new(stranger.http());
        eventually("both sides to say why", || async {
            let told = stranger.log().contains("mesh key") && ork.log().contains("mesh key");
            told.then_some(())
        })
        .await;
        assert_eq!(outside.get("/ready").await.status, 503);
        assert_eq!(outside.get("/books").await.status, 503);
        assert!(outside.get("/nodes").await.status.is_server_error());
    }
    api.add("Undisturbed").await;
    assert_eq!(api.count().await, 2);
}
