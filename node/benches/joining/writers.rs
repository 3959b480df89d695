//! Eight writers, each with one book on its way at a time.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::Api;
use crate::support::api::book;

const WRITERS: usize = 8;

/// Writers that run.
pub struct Writers {
    stop: Arc<AtomicBool>,
    taken: Arc<Mutex<Latencies>>,
    tasks: tokio::task::JoinSet<()>,
}

/// How long the writes of a while took.
pub struct Latencies {
    since: Instant,
    /// How long the while was.
    lasted: Duration,
    times: Vec<Duration>,
    refused: usize,
}

impl Latencies {
    fn new() -> Self {
        Self { since: Instant::now(), lasted: Duration::ZERO, times: Vec::new(), refused: 0 }
    }
}

impl Writers {
    /// Starts them.
    pub fn start(url: String) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let taken = Arc::new(Mutex::new(Latencies::new()));
        let mut tasks = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            let (api, stop, taken) = (Api::new(url.clone()), stop.clone(), taken.clone());
            tasks.spawn(async move {
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let began = Instant::now();
                    let name = format!("Written {writer}.{number}");
                    let accepted = api.post("/books", book(&name)).await.status == 201;
                    let mut taken = taken.lock().unwrap();
                    taken.times.push(began.elapsed());
                    taken.refused += usize::from(!accepted);
                }
            });
        }
        Self { stop, taken, tasks }
    }

    /// The writes since the last time this was asked.
    pub fn take(&self) -> Latencies {
        let mut taken = std::mem::replace(&mut *self.taken.lock().unwrap(), Latencies::new());
        taken.lasted = taken.since.elapsed();
        taken
    }

    /// Waits until the last writes are answered.
    pub async fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while self.tasks.join_next().await.is_some() {}
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut times = self.times.clone();
        times.sort();
        let at =
            |part: usize| times.get((times.len() * part / 1000).min(times.len().saturating_sub(1)));
        let ms = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1e3);
        let rate = times.len() as f64 / self.lasted.as_secs_f64();
        write!(
            f,
            "{rate:7.0}/s  p50 {:6.1} ms  p99 {:6.1} ms  longest {:6.1} ms  refused {}",
            ms(at(500)),
            ms(at(990)),
            ms(times.last()),
            self.refused
        )
    }
}
