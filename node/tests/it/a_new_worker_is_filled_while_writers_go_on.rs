//! A second worker joins a rack that has much already and is written to all the time: it is seen
//! how far it is, `kill -9` in the middle costs only what was under way, and in the end both have
//! one history. The writers notice nothing.

use serde_json::{Value, json};

use crate::support::api::book;
use crate::support::process::run_ok;
use crate::support::writers::Writers;
use crate::support::{Api, Process, eventually, mesh, rack};

const BATCHES: usize = 50;
const BATCH: usize = 80;
/// Of each book, so that a fill takes a while.
const TEXT_BYTES: usize = 12_000;
/// Entries that are on disk for certain once so many are there and as many wait for it as may.
const SOME: u64 = 100;

#[tokio::test(flavor = "multi_thread")]
async fn a_fill_is_seen_resumes_after_a_crash_and_ends_in_one_history() {
    let dir = tempfile::tempdir().unwrap();
    let ork = mesh::ork(dir.path());
    let _first = mesh::worker("first", dir.path(), &ork.p2p());
    let gateway = mesh::gateway("gateway", dir.path(), &ork.p2p());
    let api = Api::new(gateway.http());
    rack::leader(&api, mesh::RACK).await;
    for batch in 0..BATCHES {
        import(&api, batch).await;
    }
    let mut writers = Writers::start(4, &gateway.http(), "Written");
    writers.go_on().await;

    let second = mesh::worker("second", dir.path(), &ork.p2p());
    let (has, wanted) = eventually("a part of it to be there", || async {
        joining(&api).await.filter(|(has, _)| *has >= SOME)
    })
    .await;
    assert!(has < wanted, "it was filled before it could be killed");
    let table = run_ok(&gateway.http(), &["status"]);
    assert!(table.contains("joining") && table.contains("%)"), "{table}");
    second.kill();

    let second = mesh::worker("second", dir.path(), &ork.p2p());
    rack::readiness(&api, mesh::RACK, 2).await;
    let starts = starts(&second);
    let (first, later) = starts.split_first().unwrap();
    assert_eq!(*first, 0, "the first process began at the first entry");
    assert!(!later.is_empty() && !later.contains(&0), "the second process began anew: {starts:?}");

    let written = writers.stop().await.ids.len();
    rack::agreement(&api, mesh::RACK, 2).await;
    assert_eq!(api.count().await, u64::try_from(BATCHES * BATCH + written).unwrap());
}

async fn import(api: &Api, batch: usize) {
    let text = "x".repeat(TEXT_BYTES);
    let books: Vec<_> = (0..BATCH)
        .map(|number| {
            let mut book = book(&format!("Book {batch}.{number}"));
            book["info"]["text"] = Value::String(text.clone());
            book
        })
        .collect();
    let body = json!({"rack_id": mesh::RACK, "on_conflict": "skip", "books": books});
    let answer = api.post("/books/batch", body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

/// What the member that is being filled has, and what it is to get.
async fn joining(api: &Api) -> Option<(u64, u64)> {
    let rack = api.rack(mesh::RACK).await;
    let member = rack["members"].as_array()?.iter().find(|it| it["state"] == "joining")?.clone();
    Some((member["last_index"].as_u64()?, member["committed_index"].as_u64()?))
}

/// The first entry that each stream was asked for, as the worker logged it.
fn starts(worker: &Process) -> Vec<u64> {
    let log = worker.log();
    let lines = log.lines().filter(|line| line.contains("filling this replica"));
    let from = |line: &str| {
        let digits = line.split("from").nth(1)?.trim_start_matches(|it: char| !it.is_numeric());
        digits.split(|it: char| !it.is_numeric()).next()?.parse().ok()
    };
    lines.map(|line| from(line).unwrap()).collect()
}
