//! What lists of a large rack cost: deep pages and filters over a million books, each beside the
//! same request to a rack that is empty, in one run, through HTTP. Real processes on loopback.
//!
//! `cargo bench -p bookmesh-node --bench finding [-- BOOKS]`, a million unless it is said.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![allow(unreachable_pub, reason = "a benchmark has nobody to show anything to")]

mod catalogue;
#[path = "../../tests/support/mod.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod support;

use std::time::{Duration, Instant};

use serde_json::json;
use support::process::run_ok;
use support::{Api, Process, mesh, rack};

/// Requests of each kind to each mesh, by turns; and those before them that do not count.
const MEASURED: usize = 200;
const WARMING: usize = 20;
/// Books that are checked out.
const TAKEN: u64 = 200;

fn main() {
    let books = std::env::args().filter_map(|argument| argument.parse().ok()).next();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure(books.unwrap_or(1_000_000)));
}

/// One worker, and what it takes to ask it.
struct Mesh {
    worker: Process,
    gateway: Process,
    api: Api,
    _ork: Process,
    _dir: tempfile::TempDir,
}

impl Mesh {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ork = mesh::ork(dir.path());
        let worker = mesh::worker("worker", dir.path(), &ork.p2p());
        let gateway = mesh::gateway("gateway", dir.path(), &ork.p2p());
        let api = Api::new(gateway.http());
        rack::agreement(&api, mesh::RACK, 1).await;
        Self { worker, gateway, api, _ork: ork, _dir: dir }
    }

    /// Memory of the worker, in bytes.
    fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.worker.pid()));
        let status = status.unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

async fn measure(books: u64) {
    let (empty, full) = (Mesh::start().await, Mesh::start().await);
    let before = full.resident();
    let dir = tempfile::tempdir().unwrap();
    let csv = dir.path().join("books.csv");
    catalogue::write(&csv, books);
    let began = Instant::now();
    run_ok(&full.gateway.http(), &["import", csv.to_str().unwrap(), "--rack", mesh::RACK]);
    println!("imported {books} books in {:.1} s", began.elapsed().as_secs_f64());
    assert_eq!(full.api.count().await, books, "all of them are different");
    let bytes = full.resident().saturating_sub(before) / books;
    println!("the worker takes {bytes} bytes of memory more for each book");
    for id in 1..=TAKEN.min(books) {
        let take = json!({"id": id.to_string(), "info": {"status": "checked-out"}});
        assert_eq!(full.api.post("/checkout", take).await.status, 200);
    }

    println!(
        "{:32} {:>9} {:>5} {:>10} {:>10} {:>7} {:>10} {:>10}",
        "request", "total", "page", "empty p50", "full p50", "ratio", "empty p99", "full p99"
    );
    for (what, path) in requests(books) {
        compare(what, &path, &empty.api, &full.api).await;
    }
}

fn requests(books: u64) -> Vec<(&'static str, String)> {
    let some = catalogue::book(books / 2);
    let author = some.author.replace(' ', "%20");
    let (deep, word) = (books / 10 * 9, some.title.split(' ').nth(1).unwrap());
    let path = |query: String| format!("/books?limit=20{query}");
    vec![
        ("the first page", path(String::new())),
        ("a deep page, by offset", path(format!("&offset={deep}"))),
        ("a deep page, by id", path(format!("&after={deep}"))),
        ("a tag", path(format!("&tag={}", some.tag))),
        ("a tag, deep", path(format!("&tag={}&offset={}", some.tag, books / 50))),
        ("an author", path(format!("&author={author}"))),
        ("two words", path(format!("&q=the%20{word}"))),
        ("two words, both everywhere", path(format!("&q=the%20of&offset={deep}"))),
        ("available, deep", path(format!("&status=available&offset={deep}"))),
        ("checked out", path("&status=checked-out".to_owned())),
        ("words, a tag and a status", path(format!("&q={word}&tag=fiction&status=available"))),
    ]
}

async fn compare(what: &str, path: &str, empty: &Api, full: &Api) {
    let (mut times, mut total, mut page) = ([Vec::new(), Vec::new()], String::new(), 0);
    for turn in 0..WARMING + MEASURED {
        for (api, times) in [empty, full].into_iter().zip(&mut times) {
            let began = Instant::now();
            let answer = api.get(path).await;
            let took = began.elapsed();
            assert_eq!(answer.status, 200, "{}", answer.body);
            total = answer.header("x-total-count").to_owned();
            page = answer.body["data"].as_array().unwrap().len();
            if turn >= WARMING {
                times.push(took);
            }
        }
    }
    let [(empty_50, empty_99), (full_50, full_99)] = times.map(percentiles);
    let ratio = full_50 / empty_50;
    print!("{what:32} {total:>9} {page:5} {empty_50:7.2} ms {full_50:7.2} ms {ratio:6.2}x");
    println!(" {empty_99:7.2} ms {full_99:7.2} ms");
}

/// The median and the 99th percentile, in milliseconds.
fn percentiles(mut times: Vec<Duration>) -> (f64, f64) {
    times.sort();
    let at = |part: usize| times[times.len() * part / 100].as_secs_f64() * 1e3;
    (at(50), at(99))
}
