//! `bookmesh rack start` runs workers that are kept, stop together, and never outlive it.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{Api, Process, eventually, mesh, rack};

const WORKERS: usize = 2;

/// A mesh around a rack that `rack start` runs.
struct World {
    _ork: Process,
    _gateway: Process,
    api: Api,
    rack: Process,
    dir: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ork = mesh::ork(dir.path());
        let gateway = mesh::gateway("gateway", dir.path(), &ork.p2p());
        let rack = rack_start(dir.path(), &ork.p2p());
        let api = Api::new(gateway.http());
        rack::readiness(&api, mesh::RACK, WORKERS).await;
        Self { _ork: ork, _gateway: gateway, api, rack, dir }
    }

    fn pids(&self) -> Vec<u32> {
        self.rack.ready["pid"].split(',').map(|pid| pid.parse().unwrap()).collect()
    }

    /// How often a worker said that it is up.
    fn ups(&self, worker: &str) -> usize {
        let out = fs::read_to_string(self.dir.path().join("rack.out")).unwrap();
        out.lines().filter(|line| line.starts_with(&format!("{worker} | ready "))).count()
    }
}

fn rack_start(dir: &Path, bootstrap: &str) -> Process {
    let args = ["rack", "start", mesh::RACK, "--workers", "2", "--data-dir", "rack-data"];
    // What the environment says of ports is for one worker.
    let extra = [("BOOTSTRAP", bootstrap), ("PORT", "1"), ("P2P_PORT", "1")];
    Process::start("rack", dir, &args, &mesh::env(&extra))
}

/// Whether a process still runs; one that only waits to be buried does not.
fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name before the state may hold anything but ends with the last bracket.
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim().starts_with('Z'))
}

fn signal(name: &str, pid: u32) {
    assert!(Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap().success());
}

async fn all_end(pids: &[u32]) {
    eventually("all workers to end", || async {
        (!pids.iter().any(|pid| runs(*pid))).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_comes_back_and_all_stop_together() {
    let world = World::start().await;
    let pids = world.pids();
    assert_eq!((pids.len(), world.ups("worker-1"), world.ups("worker-2")), (WORKERS, 1, 1));
    world.api.add("Before").await;
    signal("KILL", pids[0]);
    eventually("the worker to be started again", || async {
        (world.ups("worker-1") == 2).then_some(())
    })
    .await;
    assert!(world.rack.log().contains("ended by itself; it is started again"));
    assert_eq!(world.ups("worker-2"), 1, "the other went on");
    rack::readiness(&world.api, mesh::RACK, WORKERS).await;
    world.api.add("After").await;
    assert_eq!(world.api.count().await, 2);

    let status = world.rack.terminate();
    assert_eq!(status.code(), Some(0));
    assert!(!runs(pids[1]), "it waited for its workers");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_worker_outlives_what_started_it() {
    let world = World::start().await;
    let pids = world.pids();
    world.api.add("Kept").await;
    world.rack.kill();
    all_end(&pids).await;
    let again = rack_start(world.dir.path(), &world._ork.p2p());
    rack::readiness(&world.api, mesh::RACK, WORKERS).await;
    assert_eq!(world.api.count().await, 1);
    drop(again);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_kills_workers_that_do_not_stop() {
    let mut world = World::start().await;
    let pids = world.pids();
    // A paused process hears of nothing.
    signal("STOP", pids[0]);
    world.rack.signal("TERM");
    eventually("the stop to begin", || async {
        world.rack.log().contains("stopping").then_some(())
    })
    .await;
    world.rack.signal("INT");
    assert_eq!(world.rack.wait().code(), Some(1), "that is no success");
    all_end(&pids).await;
}

#[test]
fn what_is_typed_wrongly_starts_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let start = |args: &[&str], env: &[(&str, &str)]| {
        let args: Vec<_> = ["rack", "start", mesh::RACK].iter().chain(args).copied().collect();
        Process::spawn_under(&[], "rack", dir.path(), &args, env).wait().code()
    };
    // Strangers could come in from other machines.
    assert_eq!(start(&[], &[("P2P_HOST", "0.0.0.0")]), Some(2));
    assert_eq!(start(&["--port", "8081"], &[]), Some(2));
    assert!(!dir.path().join("bookmesh-data").exists());
}
