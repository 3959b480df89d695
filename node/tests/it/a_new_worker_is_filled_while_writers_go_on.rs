//! A second worker joins a rack that has much already and is written to all the time: it is seen
//! how far it is, `kill -9` in the middle costs only what was under way, and in the end both have
//! one history. The writers notice nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::support::api::book;
use crate::support::process::run_ok;
use crate::support::{Api, Process, eventually, mesh};

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
    let api = Arc::new(Api::new(gateway.http()));
    eventually("a leader", || async {
        let rack = api.get(&format!("/racks/{}", mesh::RACK)).await.body;
        rack["data"]["leader"].is_string().then_some(())
    })
    .await;
    for batch in 0..BATCHES {
        import(&api, batch).await;
    }
    let writers = Writers::start(&api);

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
    eventually("it to be filled", || async { agree(&api, false).await.then_some(()) }).await;
    let starts = starts(&second);
    let (first, later) = starts.split_first().unwrap();
    assert_eq!(*first, 0, "the first process began at the first entry");
    assert!(!later.is_empty() && !later.contains(&0), "the second process began anew: {starts:?}");

    let written = writers.stop().await;
    assert!(written > 0);
    eventually("one history on both", || async { agree(&api, true).await.then_some(()) }).await;
    let count = BATCHES * BATCH;
    assert_eq!(api.count().await, u64::try_from(count).unwrap() + written);
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

/// Whether both are voters, and as far as each other if the writers let them.
async fn agree(api: &Api, equal: bool) -> bool {
    let rack = api.rack(mesh::RACK).await;
    let members = rack["members"].as_array().unwrap();
    let head = |member: &Value| (member["head_hash"].clone(), member["applied_index"].clone());
    members.len() == 2
        && members.iter().all(|member| member["role"] == "voter")
        && (!equal || head(&members[0]) == head(&members[1]))
}

struct Writers {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    tasks: tokio::task::JoinSet<()>,
}

impl Writers {
    /// Four writers that none of their writes may fail.
    fn start(api: &Arc<Api>) -> Self {
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut tasks = tokio::task::JoinSet::new();
        for writer in 0..4 {
            let (api, stop, written) = (api.clone(), stop.clone(), written.clone());
            tasks.spawn(async move {
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    api.add(&format!("Written {writer}.{number}")).await;
                    written.fetch_add(1, Ordering::Relaxed);
                    number += 1;
                }
            });
        }
        Self { stop, written, tasks }
    }

    async fn stop(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(done) = self.tasks.join_next().await {
            done.unwrap();
        }
        self.written.load(Ordering::Relaxed)
    }
}
