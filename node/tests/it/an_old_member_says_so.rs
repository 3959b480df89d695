//! A member that is cut off from its rack goes on answering eventual reads, and refuses those that
//! may be no older than it can vouch for.

use crate::support::{Api, Process, eventually, mesh, rack};

#[tokio::test(flavor = "multi_thread")]
async fn an_eventual_read_is_as_fresh_as_it_asks_for() {
    let dir = tempfile::tempdir().unwrap();
    let ork = mesh::ork(dir.path());
    let worker = |n: usize| mesh::worker(&format!("worker-{n}"), dir.path(), &ork.p2p());
    let mut workers: Vec<_> = (0..3).map(worker).collect();
    let gateway = mesh::gateway("gateway", dir.path(), &ork.p2p());
    let api = Api::new(gateway.http());
    rack::agreement(&api, mesh::RACK, 3).await;
    let id = api.add("Emma").await;
    rack::agreement(&api, mesh::RACK, 3).await;

    let read = |within: &str| format!("/books/{id}?consistency=eventual{within}");
    // Drawn at random, so that followers answer too.
    for _ in 0..20 {
        let fresh = api.get(&read("&max_lag_ms=60000")).await;
        assert_eq!(fresh.status, 200, "{}", fresh.body);
        assert!(fresh.header("x-applied-index").parse::<u64>().unwrap() > 0);
    }
    // The leader confirms itself when no follower is as fresh as that.
    assert_eq!(api.get(&read("&max_lag_ms=0")).await.status, 200);

    let leader = rack::leader(&api, mesh::RACK).await;
    let follows = |worker: &Process| worker.ready["peer"] != leader;
    let left = workers.remove(workers.iter().position(follows).unwrap());
    workers.into_iter().for_each(Process::kill);
    let old = eventually("a refusal", || async {
        let answer = api.get(&read("&max_lag_ms=1000")).await;
        (answer.status == 503).then_some(answer)
    })
    .await;
    let message = old.body["error"]["message"].as_str().unwrap();
    assert!(message.contains(mesh::RACK), "{message}");
    let any = eventually("an old answer", || async {
        let answer = api.get(&read("")).await;
        (answer.status == 200).then_some(answer)
    })
    .await;
    assert_eq!(any.body["data"]["info"]["name"], "Emma");
    assert!(api.get(&format!("/books/{id}")).await.status.is_server_error());
    left.kill();
}
