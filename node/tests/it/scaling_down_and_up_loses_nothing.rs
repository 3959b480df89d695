//! One worker, three, one, three, as often as wanted, in one shared data directory: the leavers are
//! stopped at the same moment, writers go on without an error, and no ghost is left. Then all are
//! stopped at once, and one alone has everything; and so have three.

use std::path::Path;

use crate::support::rack::{agreement, leader, readiness};
use crate::support::writers::{Writers, assert_all_there};
use crate::support::{Api, Process, mesh};

#[tokio::test(flavor = "multi_thread")]
async fn writers_see_nothing_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let ork = mesh::ork(dir.path());
    let mut started = 0;
    let mut start = || {
        started += 1;
        worker(&format!("worker-{started}"), dir.path(), &ork.p2p())
    };
    let gateway = mesh::gateway("gateway", dir.path(), &ork.p2p());
    let api = Api::new(gateway.http());
    let mut workers = vec![start()];
    agreement(&api, mesh::RACK, 1).await;
    let mut writers = Writers::start(4, &gateway.http(), "Book");
    writers.go_on().await;

    // The leader stays; it leaves with one other; it leaves again, the youngest of all stays.
    for stays in [Stays::Leader, Stays::Follower, Stays::Youngest] {
        workers.extend([start(), start()]);
        readiness(&api, mesh::RACK, 3).await;
        writers.go_on().await;

        let leader = leader(&api, mesh::RACK).await;
        let leads = |worker: &Process| worker.ready["peer"] == leader;
        let last = match stays {
            Stays::Leader => workers.iter().position(leads),
            Stays::Follower => workers.iter().position(|worker| !leads(worker)),
            Stays::Youngest => Some(workers.len() - 1),
        };
        let last = workers.remove(last.unwrap());
        stop(std::mem::replace(&mut workers, vec![last]));
        readiness(&api, mesh::RACK, 1).await;
        writers.go_on().await;
    }
    workers.extend([start(), start()]);
    readiness(&api, mesh::RACK, 3).await;
    writers.go_on().await;
    let books = writers.stop().await;
    agreement(&api, mesh::RACK, 3).await;
    assert_all_there(&api, &books.ids).await;

    for count in [1, 3, 1, 3] {
        stop(workers);
        workers = (0..count).map(|_| start()).collect();
        agreement(&api, mesh::RACK, count).await;
        assert_all_there(&api, &books.ids).await;
    }
}

/// Who is left when there is one.
enum Stays {
    Leader,
    Follower,
    Youngest,
}

/// A worker on the volume that all share.
fn worker(name: &str, dir: &Path, bootstrap: &str) -> Process {
    let extra = [("DATA_DIR", "shared-data"), ("BOOTSTRAP", bootstrap), ("RACK_ID", mesh::RACK)];
    Process::start(name, dir, &["worker"], &mesh::env(&extra))
}

/// SIGTERM to all at the same moment.
fn stop(workers: Vec<Process>) {
    for worker in &workers {
        worker.signal("TERM");
    }
    for mut worker in workers {
        let ended = worker.wait();
        assert!(ended.success(), "it ended with {ended}\n{}", worker.log());
    }
}
