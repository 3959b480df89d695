//! Clients read, write, check out and return books through two gateways, while members are killed,
//! paused, cut off and stopped. Whatever they were told, one order of their calls explains it.
//!
//! `SEED` draws the same faults again, `SECONDS` says how long (20), `WORKERS` how many (3).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![allow(unreachable_pub, reason = "a test binary has nobody to show anything to")]

mod checker;
mod checker_tests;
mod clients;
mod faults;
mod history;
mod model;
mod report;
mod schedule;
#[allow(dead_code, reason = "the scenarios use the rest")]
#[path = "../support/mod.rs"]
mod support;
mod unknown;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clients::Library;
use model::{Call, Outcome};
use schedule::Schedule;
use support::lan_mesh::{self, GATEWAYS, LanMesh};
use support::{Lan, PATIENCE, eventually};

/// Clients of each gateway, and how many of them write.
const CLIENTS: usize = 5;
const WRITERS: usize = 3;
/// How long a fault is waited for that should start when all is well.
const CALM: Duration = Duration::from_secs(5);

#[test]
fn one_order_explains_what_all_clients_were_told() {
    let seed = setting("SEED").unwrap_or_else(rand::random);
    let time = Duration::from_secs(setting("SECONDS").unwrap_or(20));
    let members = setting("WORKERS").unwrap_or(3) as usize;
    println!("SEED={seed} SECONDS={} WORKERS={members}", time.as_secs());
    if let Some(lan) = Lan::new(lan_mesh::hosts(members)) {
        lan.run(run(&lan, seed, time, members));
    }
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

async fn run(lan: &Lan, seed: u64, time: Duration, members: usize) {
    let dir = tempfile::tempdir().unwrap();
    let mut mesh = LanMesh::start(lan, dir.path(), members).await;
    let library = Arc::new(Library::open(&mesh.api(0)).await);
    let mut visits = tokio::task::JoinSet::new();
    for client in 0..CLIENTS * GATEWAYS {
        let (library, api) = (library.clone(), mesh.api(client % GATEWAYS));
        let (writes, seed) = (client / GATEWAYS < WRITERS, seed.wrapping_add(client as u64 + 1));
        visits.spawn(async move { library.visit(client, &api, writes, seed).await });
    }

    let (end, began) = (Instant::now() + time, Instant::now());
    let mut suffered: BTreeMap<_, usize> = BTreeMap::new();
    for step in Schedule::new(seed, members, GATEWAYS) {
        if step.well {
            // Without it, the next fault meets what is left of this one.
            let _ = tokio::time::timeout(CALM, mesh.well()).await;
        }
        tokio::time::sleep(step.calm).await;
        if Instant::now() >= end {
            break;
        }
        println!("{:>8.3} s: {:?} for {:?}", began.elapsed().as_secs_f64(), step.fault, step.lasts);
        faults::suffer(&mut mesh, step.fault, step.lasts).await;
        *suffered.entry(step.fault.name()).or_default() += 1;
    }
    library.close();
    while let Some(visit) = visits.join_next().await {
        visit.unwrap();
    }
    read_everything(&mesh, &library).await;
    mesh.well().await;

    println!("faults: {suffered:?}\ncalls: {:?}", library.tally());
    println!("unknown: {:#?}", library.reasons());
    let faults: Vec<_> =
        library.all().iter().filter_map(|copy| report::fault(&copy.id, &copy.history())).collect();
    assert!(faults.is_empty(), "SEED={seed}\n{}", faults.join("\n"));
}

/// Every book that ever was, once more, through each gateway.
async fn read_everything(mesh: &LanMesh<'_>, library: &Library) {
    for gateway in 0..GATEWAYS {
        let api = mesh.api(gateway);
        let client = CLIENTS * GATEWAYS + gateway;
        for copy in library.all() {
            eventually("a last read", || async {
                let outcome = library.ask(client, &api, &copy, Call::Read, PATIENCE).await;
                (outcome != Outcome::Unknown).then_some(())
            })
            .await;
        }
    }
}
