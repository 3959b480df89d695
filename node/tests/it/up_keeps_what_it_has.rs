//! The README's first screen: `up`, import the sample catalogue, list, check a book out, look at
//! the log, stop, start again, everything is there.

use std::path::Path;

use reqwest::StatusCode;
use serde_json::json;

use crate::support::process::{run, run_ok};
use crate::support::{Api, Process};

const RACK: &str = "book-rack-001";

fn up(dir: &Path) -> Process {
    let env = [("P2P_PORT", "0"), ("LOG_LEVEL", "warn")];
    Process::start("up", dir, &["up", "--port", "0", "--data-dir", "data"], &env)
}

fn catalogue() -> String {
    format!("{}/../examples/data/books.csv", env!("CARGO_MANIFEST_DIR"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_and_a_start_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mesh = up(dir.path());
    let url = mesh.http();
    let api = Api::new(&url);
    run_ok(&url, &["import", &catalogue()]);
    let count = api.count().await;
    assert!(count >= 300, "the sample catalogue has a few hundred books, not {count}");
    assert!(run_ok(&url, &["book", "ls"]).contains("available"));
    run_ok(&url, &["book", "checkout", "1", "--user", "ada"]);
    let again = api.post("/checkout", json!({"id": "1", "info": {"status": "checked-out"}})).await;
    assert_eq!(again.status, StatusCode::CONFLICT, "{}", again.body);
    assert!(!run(&url, &["book", "checkout", "1"]).status.success());
    let head = run_ok(&url, &["log", "verify", "--rack", RACK]);
    assert!(mesh.terminate().success(), "SIGTERM ends it with exit code 0");

    let mesh = up(dir.path());
    let url = mesh.http();
    let api = Api::new(&url);
    assert_eq!(api.count().await, count);
    assert_eq!(api.get("/books/1").await.body["data"]["info"]["status"], "checked-out");
    assert_eq!(api.get("/books/1").await.body["data"]["info"]["userId"], "ada");
    run_ok(&url, &["import", &catalogue()]);
    assert_eq!(api.count().await, count, "the same import again adds none");
    let head_after = run_ok(&url, &["log", "verify", "--rack", RACK]);
    assert!(!head.is_empty() && !head_after.is_empty());
    let members = api.rack(RACK).await["members"].clone();
    let hashes: std::collections::BTreeSet<_> =
        members.as_array().unwrap().iter().map(|member| member["head_hash"].to_string()).collect();
    assert_eq!(members.as_array().unwrap().len(), 3, "{members}");
    assert_eq!(hashes.len(), 1, "all replicas have one history: {members}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_the_head_hash() {
    let dir = tempfile::tempdir().unwrap();
    let mesh = up(dir.path());
    let api = Api::new(mesh.http());
    for number in 0..20 {
        api.add(&format!("Book {number}")).await;
    }
    let head = api.rack(RACK).await["head_hash"].clone();
    assert!(mesh.terminate().success());
    let mesh = up(dir.path());
    let api = Api::new(mesh.http());
    assert_eq!(api.rack(RACK).await["head_hash"], head);
    assert_eq!(api.count().await, 20);
}
