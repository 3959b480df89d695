//! Clients that write all the time and take no error for an answer, and what they were told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use tokio::task::JoinSet;

use super::api::{Api, book};
use super::eventually;

/// Acknowledged writes that count as going on.
const ENOUGH: u64 = 40;
/// Between two writes of one writer.
const PAUSE: Duration = Duration::from_millis(5);

/// Writers at work.
pub struct Writers {
    shared: Arc<Shared>,
    tasks: JoinSet<Vec<Written>>,
}

struct Shared {
    began: Instant,
    acknowledged: AtomicU64,
    closed: AtomicBool,
}

/// An acknowledged write.
struct Written {
    name: String,
    id: String,
    at: Duration,
}

/// What all writers were told: the id of each name's book, and when, since they began.
pub struct Books {
    pub ids: BTreeMap<String, String>,
    pub times: Vec<Duration>,
}

impl Writers {
    /// Starts so many through the gateway with this URL. The names of their books begin with this.
    pub fn start(count: u64, gateway: &str, prefix: &str) -> Self {
        let (acknowledged, closed) = (AtomicU64::new(0), AtomicBool::new(false));
        let shared = Arc::new(Shared { began: Instant::now(), acknowledged, closed });
        let mut tasks = JoinSet::new();
        for writer in 0..count {
            let (api, prefix) = (Api::new(gateway), format!("{prefix} {writer}"));
            tasks.spawn(write(api, prefix, shared.clone()));
        }
        Self { shared, tasks }
    }

    /// Since they began.
    pub fn elapsed(&self) -> Duration {
        self.shared.began.elapsed()
    }

    /// Waits for more acknowledged writes.
    pub async fn go_on(&mut self) {
        let enough = self.shared.acknowledged.load(Ordering::Relaxed) + ENOUGH;
        loop {
            // One that ends by itself was told of an error.
            if let Some(ended) = self.tasks.try_join_next() {
                ended.unwrap();
            }
            if self.shared.acknowledged.load(Ordering::Relaxed) >= enough {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Lets each finish the write that it is at.
    pub async fn stop(mut self) -> Books {
        self.shared.closed.store(true, Ordering::Relaxed);
        let mut books = Books { ids: BTreeMap::new(), times: Vec::new() };
        while let Some(written) = self.tasks.join_next().await {
            for written in written.unwrap() {
                books.times.push(written.at);
                books.ids.insert(written.name, written.id);
            }
        }
        books.times.sort_unstable();
        books
    }
}

async fn write(api: Api, prefix: String, shared: Arc<Shared>) -> Vec<Written> {
    let mut all = Vec::new();
    while !shared.closed.load(Ordering::Relaxed) {
        let name = format!("{prefix}.{}", all.len());
        let begun = shared.began.elapsed();
        let answer = api.send(Method::POST, "/books", Some(book(&name))).await;
        let (at, status) = (shared.began.elapsed(), answer.status);
        let told = || format!("{name}, sent at {begun:?}, answered at {at:?}: {}", answer.body);
        assert_eq!(status, StatusCode::CREATED, "{}", told());
        let id = answer.body["data"]["id"].as_str().unwrap().to_owned();
        all.push(Written { name, id, at });
        shared.acknowledged.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(PAUSE).await;
    }
    all
}

/// Checks that each of these books is there once, under the id that its writer was told, and that
/// no other is.
pub async fn assert_all_there(api: &Api, written: &BTreeMap<String, String>) {
    let more = others_there(api, written).await;
    assert!(more.is_empty(), "there is more than was acknowledged: {more:?}");
}

/// Checks that each of these books is there once, under the id that its writer was told; answers
/// the names of all others, each of which is there once.
pub async fn others_there(api: &Api, written: &BTreeMap<String, String>) -> Vec<String> {
    let mut found = BTreeMap::new();
    let mut after = String::new();
    loop {
        let path = format!("/books?limit=1000{after}");
        let page = eventually("a page of books", || async {
            let answer = api.get(&path).await;
            (answer.status == StatusCode::OK).then_some(answer.body)
        })
        .await;
        let page = page["data"].as_array().unwrap().clone();
        let Some(last) = page.last() else { break };
        after = format!("&after={}", last["id"].as_str().unwrap());
        for book in &page {
            let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
            let (name, id) = (text(&book["info"]["name"]), text(&book["id"]));
            if let Some(other) = found.insert(name.clone(), id.clone()) {
                panic!("{name} is there twice: {other} and {id}");
            }
        }
    }
    let lost: Vec<_> = written.iter().filter(|(name, _)| !found.contains_key(*name)).collect();
    assert!(lost.is_empty(), "lost, of {}: {lost:?}", written.len());
    let differ: Vec<_> = written.iter().filter(|(name, id)| found.get(*name) != Some(id)).collect();
    assert!(differ.is_empty(), "another id than was told: {differ:?}");
    found.into_keys().filter(|name| !written.contains_key(name)).collect()
}
