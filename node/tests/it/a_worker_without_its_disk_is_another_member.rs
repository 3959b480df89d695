//! A worker whose store is gone comes back as a new member, filled from the others. The member that
//! it was is gone for good: its number is never seen again, and it has no vote.

use std::collections::BTreeSet;
use std::path::Path;

use reqwest::StatusCode;

use crate::support::probe::Probe;
use crate::support::rack::{agreement, leader, readiness};
use crate::support::writers::{Writers, assert_all_there};
use crate::support::{Api, Process, eventually, mesh};

/// A worker that is gone is soon replaced.
const SOON: (&str, &str) = ("RACK_REPLACE_AFTER_MS", "2000");

struct Rack<'a> {
    dir: &'a Path,
    ork: Process,
    gateway: Process,
    workers: Vec<Option<Process>>,
}

impl<'a> Rack<'a> {
    async fn of_three(dir: &'a Path) -> Self {
        let ork = mesh::ork(dir);
        let gateway = mesh::gateway("gateway", dir, &ork.p2p());
        let mut rack = Self { dir, ork, gateway, workers: vec![None, None, None] };
        for at in 0..3 {
            rack.start(at);
        }
        agreement(&rack.api(), mesh::RACK, 3).await;
        rack
    }

    fn api(&self) -> Api {
        Api::new(self.gateway.http())
    }

    fn start(&mut self, at: usize) {
        let (name, known) = (format!("worker-{at}"), self.ork.p2p());
        let data = format!("{name}-data");
        let extra = [("DATA_DIR", data.as_str()), ("BOOTSTRAP", &known), ("RACK_ID", mesh::RACK)];
        let env = mesh::env(&[&extra[..], &[SOON]].concat());
        self.workers[at] = Some(Process::start(&name, self.dir, &["worker"], &env));
    }

    fn kill(&mut self, at: usize) {
        self.workers[at].take().unwrap().kill();
    }

    /// Removes something of a worker's data.
    fn wipe(&self, at: usize, what: &str) {
        std::fs::remove_dir_all(self.dir.join(format!("worker-{at}-data/{what}"))).unwrap();
    }

    /// The workers, the leader first.
    async fn by_role(&self) -> [usize; 3] {
        let leader = leader(&self.api(), mesh::RACK).await;
        let leads = |at: &usize| self.workers[*at].as_ref().unwrap().ready["peer"] == leader;
        let first = (0..3).find(leads).unwrap();
        [first, (first + 1) % 3, (first + 2) % 3]
    }

    /// The members' numbers, as all three workers know them, once they do.
    async fn numbers(&self, probe: &Probe) -> BTreeSet<u64> {
        eventually("all workers to know the same three members", || async {
            let mut known = BTreeSet::new();
            for worker in self.workers.iter().flatten() {
                let members = probe.members(&worker.ready["peer"], mesh::RACK).await?;
                known.insert(members.into_keys().collect::<BTreeSet<_>>());
            }
            let numbers = known.pop_first()?;
            (known.is_empty() && numbers.len() == 3).then_some(numbers)
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_number_is_never_seen_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut rack = Rack::of_three(dir.path()).await;
    let (api, probe) = (rack.api(), Probe::join(&rack.ork.p2p()).await);
    let mut writers = Writers::start(2, &rack.gateway.http(), "Book");
    let mut given: BTreeSet<u64> = rack.numbers(&probe).await;

    // Its log alone, then all it has, its name in the mesh included.
    for what in ["slot-0/store", "slot-0"] {
        writers.go_on().await;
        let [_, victim, _] = rack.by_role().await;
        let before = rack.numbers(&probe).await;
        rack.kill(victim);
        rack.wipe(victim, what);
        writers.go_on().await;
        rack.start(victim);
        readiness(&api, mesh::RACK, 3).await;
        let after = rack.numbers(&probe).await;
        let new: BTreeSet<u64> = after.difference(&given).copied().collect();
        assert_eq!(new.len(), 1, "{before:?} became {after:?}; numbers given so far: {given:?}");
        given.extend(new);
    }
    let books = writers.stop().await;

    let last = rack.numbers(&probe).await;
    for at in 0..3 {
        rack.kill(at);
    }
    for at in 0..3 {
        rack.start(at);
    }
    agreement(&api, mesh::RACK, 3).await;
    assert_eq!(rack.numbers(&probe).await, last, "the same three, after a new start of all");
    assert_all_there(&api, &books.ids).await;
}

/// What the leader and a worker acknowledged together stays, when that worker forgets it and the
/// leader is away: the worker has no vote that could make the third a leader without it.
#[tokio::test(flavor = "multi_thread")]
async fn its_old_vote_does_not_count() {
    let dir = tempfile::tempdir().unwrap();
    let mut rack = Rack::of_three(dir.path()).await;
    let api = rack.api();
    let [leads, forgets, sleeps] = rack.by_role().await;

    rack.workers[sleeps].as_ref().unwrap().signal("STOP");
    let mut writers = Writers::start(2, &rack.gateway.http(), "Book");
    writers.go_on().await;
    let books = writers.stop().await;
    rack.kill(forgets);
    rack.wipe(forgets, "slot-0/store");
    rack.kill(leads);
    rack.workers[sleeps].as_ref().unwrap().signal("CONT");
    rack.start(forgets);

    // Long enough for several elections, as requests wait for a leader.
    let answer = api.get("/books?limit=1").await;
    assert!(answer.status == StatusCode::SERVICE_UNAVAILABLE || answer.status == 504, "{}", {
        answer.body
    });
    rack.start(leads);
    agreement(&api, mesh::RACK, 3).await;
    assert_all_there(&api, &books.ids).await;
}
