//! A slow request's line in the log says where its time went, over all nodes that took part.

use std::time::Duration;

use serde_json::Value;

use crate::support::mesh::{RACK, env, ork, worker};
use crate::support::rack::Standing;
use crate::support::{Api, Process, eventually};

#[tokio::test]
async fn a_write_that_waits_for_its_majority_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let ork = ork(dir);
    let workers: Vec<_> =
        ["w1", "w2", "w3"].iter().map(|name| worker(name, dir, &ork.p2p())).collect();
    let bootstrap = ork.p2p();
    let extra =
        [("BOOTSTRAP", bootstrap.as_str()), ("SLOW_REQUEST_MS", "200"), ("LOG_FORMAT", "json")];
    let gateway = Process::start("gateway", dir, &["gateway"], &env(&extra));
    let api = Api::new(gateway.http());
    eventually("three voters", || async { Standing::of(&api, RACK).await.agrees(3).then_some(()) })
        .await;

    let leader = Standing::of(&api, RACK).await.leader().expect("a leader");
    let followers: Vec<_> =
        workers.iter().filter(|worker| worker.ready["peer"] != leader).collect();
    followers.iter().for_each(|follower| follower.signal("STOP"));
    let (answer, ()) = tokio::join!(api.post("/books", crate::support::api::book("Slow")), async {
        // Well below the lease, so that the leader stays.
        tokio::time::sleep(Duration::from_millis(400)).await;
        followers.iter().for_each(|follower| follower.signal("CONT"));
    });
    assert!(answer.status.is_success(), "{}", answer.body);
    let id = answer.header("x-request-id");

    // Another thread writes it, maybe after the answer has come.
    let line = eventually("its line", || async {
        let log = gateway.log();
        let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.find(|line| line["request_id"] == id)
    })
    .await;
    assert_eq!((&line["level"], &line["message"]), (&"WARN".into(), &"slow".into()), "{line}");
    let part = |name: &str| line[name].as_u64().unwrap_or_else(|| panic!("{name}: {line}"));
    let parts = ["gateway_ms", "network_ms", "worker_ms", "commit_ms", "apply_ms"].map(part);
    assert!(parts.iter().sum::<u64>() <= part("duration_ms"), "{line}");
    assert!(part("commit_ms") * 2 > part("duration_ms"), "it waited for its majority: {line}");
}
