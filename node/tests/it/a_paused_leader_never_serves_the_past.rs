//! A leader that is paused, and goes on when others have long taken its place, never serves what
//! it knew, and acknowledges nothing that it may not: seen through a gateway that still believes
//! in it.
//!
//! `PAUSE_SECONDS` makes each pause at least so long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::rack::{Standing, agreement, leader, readiness};
use crate::support::{Api, Process, eventually, mesh};

const ROUNDS: usize = 3;
/// Who asks through the gateway that was not used: more than one, so that no moment is missed.
const READERS: usize = 4;
/// What is written while the leader is paused, and read after it goes on.
const ENOUGH: u64 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn what_it_says_after_the_pause_is_true() {
    let pause = std::env::var("PAUSE_SECONDS").map_or(0, |text| text.parse().unwrap());
    let pause = Duration::from_secs(pause);
    let dir = tempfile::tempdir().unwrap();
    let ork = mesh::ork(dir.path());
    let worker = |number| mesh::worker(&format!("worker-{number}"), dir.path(), &ork.p2p());
    let workers: Vec<Process> = (0..3).map(worker).collect();
    let used = mesh::gateway("used", dir.path(), &ork.p2p());
    let api = Api::new(used.http());
    agreement(&api, mesh::RACK, 3).await;

    for round in 0..ROUNDS {
        let unused = mesh::gateway(&format!("unused-{round}"), dir.path(), &ork.p2p());
        let book = Arc::new(Counter::add(&api, &unused.http()).await);
        let old = leader(&api, mesh::RACK).await;
        let paused = workers.iter().find(|worker| worker.ready["peer"] == old).unwrap();
        // Nobody tells the unused gateway the news.
        ork.signal("STOP");
        paused.signal("STOP");
        let since = Instant::now();
        let writer = tokio::spawn(count(book.clone(), Api::new(used.http())));
        eventually("another leader", || async {
            let leader = Standing::of(&api, mesh::RACK).await.leader();
            leader.filter(|leader| *leader != old)
        })
        .await;
        book.grows(&book.acknowledged).await;
        tokio::time::sleep(pause.saturating_sub(since.elapsed())).await;

        let other = Arc::new(Counter::add(&api, &used.http()).await);
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(count(other.clone(), Api::new(unused.http())));
        for _ in 0..READERS {
            tasks.spawn(read(book.clone(), Api::new(unused.http())));
        }
        // Some of what is asked now waits in the paused leader's ears.
        tokio::task::yield_now().await;
        paused.signal("CONT");
        ork.signal("CONT");
        book.grows(&book.read).await;
        book.grows(&book.acknowledged).await;
        other.grows(&other.acknowledged).await;
        for counter in [&book, &other] {
            counter.closed.store(true, Ordering::Relaxed);
        }
        while let Some(task) = tasks.join_next().await {
            task.unwrap();
        }
        writer.await.unwrap();
        readiness(&api, mesh::RACK, 3).await;
        for counter in [&book, &other] {
            let acknowledged = counter.acknowledged.load(Ordering::Relaxed);
            let is = counter.get(&api).await.expect("a read when all is well");
            assert!(is >= acknowledged, "{acknowledged} was acknowledged, and it is {is}");
        }
    }
}

/// A book whose `count` one writer makes larger, again and again.
struct Counter {
    path: String,
    acknowledged: AtomicU64,
    read: AtomicU64,
    closed: AtomicBool,
}

impl Counter {
    /// Adds one, and waits until the gateway that is not used knows the rack.
    async fn add(api: &Api, unused: &str) -> Self {
        let path = format!("/books/{}", api.add("Counter").await);
        let unused = Api::new(unused);
        eventually("the gateway to be ready", || async {
            let ready = unused.try_send(Method::GET, "/ready", None).await.ok()?;
            (ready.status == StatusCode::OK).then_some(())
        })
        .await;
        let (acknowledged, read) = (AtomicU64::new(0), AtomicU64::new(0));
        let counter = Self { path, acknowledged, read, closed: AtomicBool::new(false) };
        counter.put(api, 0).await.expect("a write when all is well");
        counter
    }

    async fn put(&self, api: &Api, count: u64) -> Option<()> {
        let body = json!({"info": {"count": count}});
        let answer = api.try_send(Method::PUT, &self.path, Some(body)).await.ok()?;
        (answer.status == StatusCode::OK).then_some(())
    }

    async fn get(&self, api: &Api) -> Option<u64> {
        let answer = api.try_send(Method::GET, &self.path, None).await.ok()?;
        let found = answer.status == StatusCode::OK;
        found.then(|| answer.body["data"]["info"]["count"].as_u64().unwrap())
    }

    /// Waits until one of the two has become larger by some.
    async fn grows(&self, number: &AtomicU64) {
        let enough = number.load(Ordering::Relaxed) + ENOUGH;
        eventually("reads and writes go on", || async {
            (number.load(Ordering::Relaxed) >= enough).then_some(())
        })
        .await;
    }
}

async fn count(counter: Arc<Counter>, api: Api) {
    for next in 1.. {
        if counter.closed.load(Ordering::Relaxed) {
            return;
        }
        if counter.put(&api, next).await.is_some() {
            counter.acknowledged.store(next, Ordering::Relaxed);
        }
    }
}

async fn read(counter: Arc<Counter>, api: Api) {
    while !counter.closed.load(Ordering::Relaxed) {
        let known = counter.acknowledged.load(Ordering::Relaxed);
        let Some(is) = counter.get(&api).await else { continue };
        assert!(is >= known, "{known} was acknowledged before this read, which says {is}");
        counter.read.fetch_add(1, Ordering::Relaxed);
    }
}
