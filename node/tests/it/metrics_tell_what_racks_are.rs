//! `/metrics` of each role is what `docs/observe.md` says, no more and no less; and it tells how a
//! rack is at that moment: who leads by a majority's word, who answers, and nothing of a rack that
//! is no more.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Instant, SystemTime};

use reqwest::{Method, StatusCode};

use crate::support::metrics::{Metrics, Row, documented};
use crate::support::rack::agreement;
use crate::support::shop::{add_book, order_at_last};
use crate::support::{Api, Process, eventually, mesh};

/// What the exporter of metrics adds of its own accord.
const FOREIGN: &str = "process_";
/// What there is only where the container has limits: not on every machine.
const LIMITS: &str = "every node that has one";
const REGISTRY: &str = "registry";
/// Seconds that a member has been there for, at least, before it is left alone.
const OLD: f64 = 10.0;
/// By how much two clocks of one machine may disagree, in seconds.
const CLOCKS: f64 = 0.1;

fn api(node: &Process) -> Api {
    Api::new(node.http())
}

/// Workers of one rack, and their orchestrator.
struct Rack {
    ork: Process,
    workers: Vec<Process>,
    gateway: Process,
}

impl Rack {
    /// Returns once all three vote.
    async fn of_three(dir: &Path) -> Self {
        let ork = mesh::ork(dir);
        let worker = |number| mesh::worker(&format!("worker-{number}"), dir, &ork.p2p());
        let workers = (0..3).map(worker).collect();
        let gateway = mesh::gateway("gateway", dir, &ork.p2p());
        agreement(&api(&gateway), mesh::RACK, 3).await;
        Self { ork, workers, gateway }
    }

    /// What its members tell of it, in their order.
    async fn told(&self) -> Vec<Metrics> {
        let mut told = Vec::new();
        for worker in &self.workers {
            told.push(Metrics::of(&api(worker)).await);
        }
        told
    }

    /// The place of the only member that leads, and what it tells.
    async fn leader(&self) -> Option<(usize, Metrics)> {
        let told = self.told().await;
        let mut leaders = told.into_iter().enumerate().filter(|(_, metrics)| leads(metrics));
        leaders.next().filter(|_| leaders.next().is_none())
    }
}

fn leads(metrics: &Metrics) -> bool {
    match metrics.rack("rack_leader", mesh::RACK) {
        Some(1.0) => true,
        Some(0.0) => false,
        other => panic!("whether it leads is {other:?}"),
    }
}

fn voters(metrics: &Metrics, family: &str) -> f64 {
    metrics.get(family, &[("rack", mesh::RACK), ("role", "voter")]).unwrap()
}

fn index(metrics: &Metrics, kind: &str) -> f64 {
    metrics.get("rack_log_index", &[("rack", mesh::RACK), ("kind", kind)]).unwrap()
}

/// Holds what one role tells against the rows that say who tells what.
fn compare(role: &str, metrics: &Metrics, told_by: &[&str], rows: &[Row]) {
    let mut expected = BTreeSet::new();
    for row in rows.iter().filter(|row| row.names != ["process_*"]) {
        for name in &row.names {
            let family = metrics.families.get(name);
            let tells = told_by.contains(&row.told_by.as_str());
            assert!(tells == family.is_some() || row.told_by == LIMITS, "{role}: {name}");
            if let Some(family) = family {
                let labels: BTreeSet<_> = row.labels.iter().map(String::as_str).collect();
                assert_eq!(family.labels(), labels, "{role}: {name}");
                let kind = match row.is_histogram {
                    true => "histogram",
                    false if name.ends_with("_total") => "counter",
                    false => "gauge",
                };
                assert_eq!(family.kind, kind, "{role}: {name}");
            }
            expected.insert(name.as_str());
        }
    }
    let families = metrics.families.keys().map(String::as_str);
    let ours: BTreeSet<_> = families.filter(|name| !name.starts_with(FOREIGN)).collect();
    let unknown: Vec<_> = ours.difference(&expected).collect();
    assert!(unknown.is_empty(), "{role} tells what docs/observe.md does not: {unknown:?}");
    let foreign = metrics.families.keys().filter(|name| name.starts_with(FOREIGN)).count();
    assert!(foreign >= 5, "{role} tells what its process uses");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_role_tells_what_the_document_says() {
    let dir = tempfile::tempdir().unwrap();
    let ork = mesh::ork(dir.path());
    let worker = mesh::worker("worker", dir.path(), &ork.p2p());
    let orders = mesh::order_worker("orders", dir.path(), &ork.p2p());
    let gateway = mesh::gateway("gateway", dir.path(), &ork.p2p());
    let shop = api(&gateway);
    agreement(&shop, mesh::RACK, 1).await;
    agreement(&shop, mesh::ORDER_RACK, 1).await;
    let book = add_book(&shop, "Emma", "9.99").await;
    order_at_last(&shop, book).await;

    let rows = documented();
    assert!(rows.len() > 20, "the table of docs/observe.md is not read as it is written");
    let (all, held) = ("every node", "workers, orchestrators");
    let roles: [(&str, &Process, &[&str]); 4] = [
        ("gateway", &gateway, &[all]),
        ("ork", &ork, &[all, held, "orchestrators"]),
        ("worker", &worker, &[all, held, "workers"]),
        ("worker", &orders, &[all, held, "workers", "workers of orders"]),
    ];
    let known: BTreeSet<_> = roles.iter().flat_map(|(.., by)| by.iter().copied()).collect();
    for row in &rows {
        assert!(known.contains(row.told_by.as_str()) || row.told_by == LIMITS, "{row:?}");
    }
    for (role, node, told_by) in roles {
        let metrics = Metrics::of(&api(node)).await;
        compare(role, &metrics, told_by, &rows);
        let peer = node.ready["peer"].as_str();
        let who = [("role", role), ("peer", peer), ("version", env!("CARGO_PKG_VERSION"))];
        assert_eq!(metrics.get("bookmesh_info", &who), Some(1.0), "{role}");
        assert_eq!(metrics.families["bookmesh_info"].samples.len(), 1, "{role}");
    }

    let told = eventually("a registry that is led", || async {
        let told = Metrics::of(&api(&ork)).await;
        let is = |name| told.rack(name, REGISTRY) == Some(1.0);
        (is("rack_leader") && is("rack_ready")).then_some(told)
    })
    .await;
    for (rack, kind) in [(mesh::RACK, "book"), (mesh::ORDER_RACK, "order")] {
        assert_eq!(told.get("rack_registered", &[("rack", rack), ("kind", kind)]), Some(1.0));
    }
    assert_eq!(told.rack("rack_voters_wanted", REGISTRY), Some(1.0));
    let told = Metrics::of(&api(&orders)).await;
    assert_eq!(told.rack("rack_things", mesh::ORDER_RACK), Some(1.0));
    let free = told.get("storage_free_bytes", &[]).unwrap();
    let total = told.get("storage_total_bytes", &[]).unwrap();
    assert!(0.0 < free && free < total, "{free} of {total}");
    assert_eq!(told.get("storage_full", &[]), Some(0.0));
    assert_eq!(told.get("log_lines_dropped_total", &[("to", "stderr")]), Some(0.0));

    // What is out of use is not told of, neither by who holds its data nor by who numbered it.
    assert_eq!(told.of_rack(mesh::ORDER_RACK).len(), 9, "{:?}", told.of_rack(mesh::ORDER_RACK));
    let path = format!("/racks/{}?force=true", mesh::ORDER_RACK);
    assert_eq!(shop.send(Method::DELETE, &path, None).await.status, StatusCode::OK);
    eventually("nobody to tell of a rack that is retired", || async {
        let (orders, ork) = (Metrics::of(&api(&orders)).await, Metrics::of(&api(&ork)).await);
        let told = [orders.of_rack(mesh::ORDER_RACK), ork.of_rack(mesh::ORDER_RACK)].concat();
        told.is_empty().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_counts_who_answers_and_follows_who_leads() {
    let dir = tempfile::tempdir().unwrap();
    let mut rack = Rack::of_three(dir.path()).await;
    for number in 0..5 {
        api(&rack.gateway).add(&format!("Book {number}")).await;
    }
    let (_, told) = eventually("one leader with all three", || async {
        let (at, told) = rack.leader().await?;
        (voters(&told, "rack_members_answering") == 3.0).then_some((at, told))
    })
    .await;
    assert_eq!(voters(&told, "rack_members"), 3.0);
    assert_eq!(told.rack("rack_lag_seconds", mesh::RACK), Some(0.0));
    let term = told.rack("rack_term", mesh::RACK).unwrap();
    let told = eventually("followers that have caught up", || async {
        let told = rack.told().await;
        let same = |what: &dyn Fn(&Metrics) -> f64| {
            let values: BTreeSet<_> = told.iter().map(|metrics| what(metrics).to_bits()).collect();
            values.len() == 1
        };
        let kinds = ["last", "committed", "applied"];
        let one = kinds.iter().all(|kind| same(&|metrics| index(metrics, kind)));
        let lags = told.iter().map(|metrics| metrics.rack("rack_lag_seconds", mesh::RACK).unwrap());
        // Heartbeats say five times a second how fresh they are.
        let fresh = lags.fold(0.0, f64::max) < 2.0;
        let ready = |metrics: &Metrics| metrics.rack("rack_ready", mesh::RACK) == Some(1.0);
        let applied = |told: &Metrics| index(told, "last") == index(told, "applied");
        let settled = told.iter().all(|told| ready(told) && applied(told));
        let led = told.iter().filter(|told| leads(told)).count() == 1;
        (one && fresh && settled && led).then_some(told)
    })
    .await;
    for told in &told {
        assert_eq!(told.rack("rack_things", mesh::RACK), Some(5.0));
        assert_eq!(told.rack("rack_voters_wanted", mesh::RACK), Some(3.0));
        if !leads(told) {
            assert_eq!(voters(told, "rack_members_answering"), 0.0, "it does not lead");
        }
    }

    // One that is gone does not answer, and still belongs to it.
    let (at, _) = eventually("a leader to spare", || rack.leader()).await;
    let follower = (0..3).find(|number| *number != at).unwrap();
    rack.workers.remove(follower).kill();
    eventually("two that answer", || async {
        let (_, told) = rack.leader().await?;
        let counts = ["rack_members", "rack_members_answering"].map(|family| voters(&told, family));
        (counts == [3.0, 2.0]).then_some(())
    })
    .await;
    let again = mesh::worker(&format!("worker-{follower}"), dir.path(), &rack.ork.p2p());
    rack.workers.insert(follower, again);
    agreement(&api(&rack.gateway), mesh::RACK, 3).await;

    // Another leads, with a higher number.
    let (at, _) = eventually("a leader", || rack.leader()).await;
    rack.workers.remove(at).kill();
    eventually("the next leader", || async {
        let (_, told) = rack.leader().await?;
        (told.rack("rack_term", mesh::RACK)? > term).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_nobody_answers_is_told_of_as_none() {
    let dir = tempfile::tempdir().unwrap();
    let rack = Rack::of_three(dir.path()).await;
    // Old enough that its age is not taken for how far it is behind.
    let (seen, at) = eventually("a leader that is old enough", || async {
        let seen = Instant::now();
        let (at, told) = rack.leader().await?;
        let began = told.get("process_start_time_seconds", &[])?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        (now.as_secs_f64() - began > OLD).then_some((seen, at))
    })
    .await;
    let (left, others): (Vec<_>, Vec<_>) =
        rack.workers.iter().enumerate().partition(|(number, _)| *number == at);
    let left = api(left[0].1);
    for (_, other) in &others {
        other.signal("STOP");
    }
    let told = eventually("it to be told of as no leader", || async {
        let told = Metrics::of(&left).await;
        (!leads(&told)).then_some(told)
    })
    .await;
    assert_eq!(voters(&told, "rack_members"), 3.0);
    eventually("it to be alone, and ever further behind", || async {
        let told = Metrics::of(&left).await;
        let lag = told.rack("rack_lag_seconds", mesh::RACK)?;
        // As of when a majority last confirmed it, which was 2 s before it was seen at most.
        let most = seen.elapsed().as_secs_f64() + 2.0 + CLOCKS;
        assert!(lag <= most, "{lag} s, of {most}");
        (voters(&told, "rack_members_answering") == 1.0 && lag > 2.0).then_some(())
    })
    .await;
    for (_, other) in &others {
        other.signal("CONT");
    }
    eventually("one leader again", || rack.leader()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_share_a_process_tell_of_their_racks_as_wholes() {
    let dir = tempfile::tempdir().unwrap();
    let env = [("P2P_PORT", "0"), ("LOG_LEVEL", "warn")];
    let up = Process::start("up", dir.path(), &["up", "--port", "0", "--data-dir", "data"], &env);
    let shop = api(&up);
    let book = add_book(&shop, "Emma", "9.99").await;
    order_at_last(&shop, book).await;
    // Each of the eight is connected to more than one other.
    let told = eventually("all members, all of them ready, and all racks led", || async {
        let told = Metrics::of(&shop).await;
        let ready = told.rack("rack_ready", mesh::RACK)? == 1.0;
        let mut racks = [mesh::RACK, mesh::ORDER_RACK, REGISTRY].into_iter();
        let led = racks.all(|rack| told.rack("rack_leader", rack) == Some(1.0));
        let met = told.get("mesh_active_connections", &[])? > 8.0;
        (ready && led && met && voters(&told, "rack_members_answering") == 3.0).then_some(told)
    })
    .await;
    // One process is all roles at once, so it tells all there is.
    let rows = documented();
    let all: Vec<_> = rows.iter().map(|row| row.told_by.as_str()).collect();
    compare("up", &told, &all, &rows);
    let roles = |role: &str| {
        let who = told.families["bookmesh_info"].samples.keys();
        who.filter(|(_, labels)| labels["role"] == role).count()
    };
    assert_eq!([roles("ork"), roles("worker"), roles("gateway")], [1, 6, 1]);
    assert_eq!(told.rack("rack_things", mesh::RACK), Some(1.0));
}
