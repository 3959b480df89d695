//! A new worker joins a rack with many books while eight writers go on: how long it takes, and
//! what the writers notice of it. Real processes on loopback, all on one machine and one disk.
//!
//! `cargo bench -p bookmesh-node --bench joining [-- BOOKS]`, a million unless it is said.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![allow(unreachable_pub, reason = "a benchmark has nobody to show anything to")]

mod catalogue;
#[path = "../../tests/support/mod.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod support;
mod writers;

use std::time::{Duration, Instant};

use serde_json::Value;
use support::process::run_ok;
use support::{Api, Process, mesh};
use writers::Writers;

/// How long the writers are watched before and after.
const WATCHED: Duration = Duration::from_secs(20);
/// How often the rack is looked at.
const LOOK: Duration = Duration::from_millis(200);

fn main() {
    let books = std::env::args().filter_map(|argument| argument.parse().ok()).next();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure(books.unwrap_or(1_000_000)));
}

async fn measure(books: u64) {
    let dir = tempfile::tempdir().unwrap();
    let ork = mesh::ork(dir.path());
    let workers: Vec<_> = (0..2)
        .map(|number| mesh::worker(&format!("worker-{number}"), dir.path(), &ork.p2p()))
        .collect();
    let gateway = mesh::gateway("gateway", dir.path(), &ork.p2p());
    let api = Api::new(gateway.http());
    until("two members", &api, |rack| settled(rack, 2)).await;
    let csv = dir.path().join("books.csv");
    catalogue::write(&csv, books);
    let began = Instant::now();
    run_ok(&gateway.http(), &["import", csv.to_str().unwrap(), "--rack", mesh::RACK]);
    println!("imported {books} books in {:.1} s", began.elapsed().as_secs_f64());
    until("both members to be equal", &api, |rack| settled(rack, 2)).await;

    let writers = Writers::start(gateway.http());
    tokio::time::sleep(WATCHED).await;
    let before = writers.take();
    let began = Instant::now();
    let joiner = mesh::worker("joiner", dir.path(), &ork.p2p());
    let mut said = Instant::now();
    let (filled, joined) = loop {
        tokio::time::sleep(LOOK).await;
        let rack = api.rack(mesh::RACK).await;
        if let Some(progress) = joining(&rack)
            && said.elapsed() > Duration::from_secs(2)
        {
            said = Instant::now();
            println!("  {:6.1} s  {progress}", began.elapsed().as_secs_f64());
        }
        if voters(&rack) == 3 {
            break (filled_after(&joiner), began.elapsed());
        }
    };
    let during = writers.take();
    tokio::time::sleep(WATCHED).await;
    let after = writers.take();
    writers.stop().await;

    let rack = api.rack(mesh::RACK).await;
    println!("books {}, entries {}, log {}", rack["things"], rack["last_index"], size(&joiner));
    println!("joined after {:.1} s; {filled}", joined.as_secs_f64());
    for (what, latencies) in [("before", before), ("during", during), ("after", after)] {
        println!("writers {what:7} {latencies}");
    }
    drop(workers);
}

async fn until(what: &str, api: &Api, is_so: impl Fn(&Value) -> bool) {
    println!("waiting for {what}");
    loop {
        let answer = api.get(&format!("/racks/{}", mesh::RACK)).await;
        if is_so(&answer.body["data"]) {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn members(rack: &Value) -> &[Value] {
    rack["members"].as_array().map_or(&[], Vec::as_slice)
}

fn voters(rack: &Value) -> usize {
    members(rack).iter().filter(|member| member["role"] == "voter").count()
}

fn settled(rack: &Value, count: usize) -> bool {
    let heads = || members(rack).iter().map(|member| &member["head_hash"]);
    members(rack).len() == count
        && rack["leader"].is_string()
        && heads().all(|head| head.is_string() && Some(head) == heads().next())
}

fn joining(rack: &Value) -> Option<String> {
    let member = members(rack).iter().find(|member| member["state"] == "joining")?;
    Some(format!("joining {}/{}", member["last_index"], member["committed_index"]))
}

/// What the joiner said last of its fill.
fn filled_after(joiner: &Process) -> String {
    let log = joiner.log();
    let line = log.lines().rfind(|line| line.contains("being filled"));
    line.unwrap_or("filled within five seconds").to_owned()
}

fn size(joiner: &Process) -> String {
    let io = std::fs::read_to_string(format!("/proc/{}/io", joiner.pid())).unwrap_or_default();
    let written = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    let bytes: u64 = written.and_then(|bytes| bytes.parse().ok()).unwrap_or_default();
    format!("{} MB written by the joiner", bytes / 1_000_000)
}
