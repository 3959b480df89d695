//! Eight writers, and `kill -9` of the leader five times in a row: no writer sees an error, no
//! acknowledged write is lost, none is there twice, and the replicas end with one history.
//!
//! `FAILOVERS` says how often, for a distribution of the gaps.

use std::time::Duration;

use crate::support::rack::{agreement, leader, readiness};
use crate::support::writers::{Writers, assert_all_there};
use crate::support::{Api, Process, mesh};

#[tokio::test(flavor = "multi_thread")]
async fn no_writer_sees_an_error_and_nothing_is_lost_or_there_twice() {
    let failovers = std::env::var("FAILOVERS").map_or(5, |text| text.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let ork = mesh::ork(dir.path());
    let start = |number: usize| mesh::worker(&format!("worker-{number}"), dir.path(), &ork.p2p());
    let mut workers: Vec<Option<Process>> = (0..3).map(|number| Some(start(number))).collect();
    let gateway = mesh::gateway("gateway", dir.path(), &ork.p2p());
    let api = Api::new(gateway.http());
    agreement(&api, mesh::RACK, 3).await;

    let mut writers = Writers::start(8, &gateway.http(), "Book");
    let mut kills = Vec::new();
    for _ in 0..failovers {
        writers.go_on().await;
        readiness(&api, mesh::RACK, 3).await;
        let leader = leader(&api, mesh::RACK).await;
        let is_it = |worker: &Process| worker.ready["peer"] == leader;
        let at = workers.iter().position(|worker| worker.as_ref().is_some_and(is_it)).unwrap();
        kills.push(writers.elapsed());
        workers[at].take().unwrap().kill();
        writers.go_on().await;
        workers[at] = Some(start(at));
    }
    writers.go_on().await;
    let books = writers.stop().await;
    println!("{} writes, {}", books.ids.len(), distribution(&kills, &books.times));
    agreement(&api, mesh::RACK, 3).await;
    assert_all_there(&api, &books.ids).await;
}

/// After each kill, the longest time in which no write was acknowledged.
fn distribution(kills: &[Duration], times: &[Duration]) -> String {
    let mut gaps = Vec::new();
    for (at, kill) in kills.iter().enumerate() {
        let end = kills.get(at + 1).copied().unwrap_or(Duration::MAX);
        let pairs = times.windows(2).filter(|pair| *kill < pair[1] && pair[1] <= end);
        let gap = pairs.map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
        gaps.push(gap.as_millis());
    }
    gaps.sort_unstable();
    let share = |percent: usize| gaps[(gaps.len() * percent).div_ceil(100).max(1) - 1];
    let of = gaps.len();
    let (half, most, all) = (share(50), share(90), share(100));
    format!("{of} gaps in ms: half {half}, nine of ten {most}, longest {all}; all {gaps:?}")
}
