//! What an operator types: a rack is retired, the mesh's settings are changed, and a rack whose
//! majority is gone goes on with the member that is left. Each asks first, or wants `--yes`.

use crate::support::process::{run, run_ok};
use crate::support::{Api, Process, eventually, mesh, rack};

fn refusal(url: &str, args: &[&str], code: i32) -> String {
    let output = run(url, args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rack_is_retired_once_it_is_empty_or_by_force() {
    let dir = tempfile::tempdir().unwrap();
    let ork = mesh::ork(dir.path());
    let p2p = ork.p2p();
    let extra = [("BOOTSTRAP", p2p.as_str()), ("DATA_DIR", "data"), ("RACK_REPLICAS", "1")];
    let racks = ["worker", "--rack", mesh::RACK, "--rack", "book-rack-002"];
    let _worker = Process::start("worker", dir.path(), &racks, &mesh::env(&extra));
    let gateway = mesh::gateway("gateway", dir.path(), &ork.p2p());
    let (url, api) = (gateway.http(), Api::new(gateway.http()));
    rack::readiness(&api, mesh::RACK, 1).await;
    rack::readiness(&api, "book-rack-002", 1).await;

    let said = run_ok(&url, &["settings", "set", "rack_replicas=1", "replace_after_ms=5000"]);
    assert!(said.contains("5000"), "{said}");
    eventually("the gateway to hear of it", || async {
        (api.rack(mesh::RACK).await["wanted"] == 1).then_some(())
    })
    .await;
    run_ok(&url, &["settings", "set", "replace_after_ms=none"]);
    assert!(run_ok(&url, &["settings"]).contains("each node's own"));

    run_ok(&url, &["book", "add", "--name", "N", "--author", "A", "--rack", "book-rack-002"]);
    let retire = ["rack", "retire", "book-rack-002"];
    assert!(refusal(&url, &retire, 2).contains("--yes"));
    let with = |flags: &[&'static str]| [&retire[..], flags].concat();
    let said = refusal(&url, &with(&["--yes"]), 1);
    assert!(
        said.contains("still holds things (1)") && said.contains("ERR_RACK_NOT_EMPTY"),
        "{said}"
    );
    let said = run_ok(&url, &with(&["--yes", "--force"]));
    assert!(said.contains("holds 1 thing,") && said.contains("is retired"), "{said}");
    eventually("the gateway to forget it", || async {
        (api.get("/racks/book-rack-002").await.status == 404).then_some(())
    })
    .await;
    let shown = run_ok(&url, &["status"]);
    let racks: Vec<_> = shown.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(racks.contains(&mesh::RACK) && !racks.contains(&"book-rack-002"), "{shown}");
    api.add("The other rack goes on").await;
    assert!(refusal(&url, &["rack", "retire", "book-rack-009", "--yes"], 1).contains("NOT_FOUND"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rack_without_majority_goes_on_with_the_member_that_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let ork = mesh::ork(dir.path());
    let start = |number: usize| mesh::worker(&format!("worker-{number}"), dir.path(), &ork.p2p());
    let workers = [start(0), start(1), start(2)];
    let gateway = mesh::gateway("gateway", dir.path(), &ork.p2p());
    let (url, api) = (gateway.http(), Api::new(gateway.http()));
    rack::agreement(&api, mesh::RACK, 3).await;
    let id = api.add("Before").await;
    rack::agreement(&api, mesh::RACK, 3).await;
    let recover = ["rack", "recover", mesh::RACK, "--yes"];
    assert!(refusal(&url, &recover, 1).contains("nothing to recover"));

    // The leader is the one that is left: it takes itself for one still.
    let leader = rack::leader(&api, mesh::RACK).await;
    let (left, lost): (Vec<_>, Vec<_>) =
        workers.into_iter().partition(|worker| worker.ready["peer"] == leader);
    lost.into_iter().for_each(Process::kill);
    assert!(refusal(&url, &recover[..3], 2).contains("--yes"));
    let said = run_ok(&url, &recover);
    assert!(said.contains("are given up") && said.contains("1 of 1"), "{said}");
    assert_eq!(api.get(&format!("/books/{id}")).await.status, 200);
    api.add("After").await;
    assert_eq!(api.count().await, 2);
    drop(left);
}
