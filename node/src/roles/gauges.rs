//! What `/metrics` says of the nodes in this process: asked when it is, so that it is true then.
//!
//! Usually that is one node. In `up` it is many, and several of them are members of one rack,
//! which their gauges' labels don't tell apart. Then the rack is told of as a whole: what only a
//! leader knows comes from the leader, and the rest is the worst of all, or the furthest.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bookmesh_gateway::gauges::{Family, GaugeSource, Gauges};
use bookmesh_rpc::PeerId;
use bookmesh_rpc::api::{Kind, NodeRole, RackId};
use bookmesh_rpc::mesh::BoxFuture;
use bookmesh_storage::{FileSystem, Health, Store};

use super::books::{self, Books};
use super::disk::Disk;
use super::health::{OrkHealth, unready};
use super::ork::Ork;
use super::rack::{Rack, Stage};
use super::worker::Worker;
use crate::consensus::vitals::{Roles, Vitals};

/// How long a registry may take to confirm itself. One that takes longer is not ready.
const CONFIRM_WITHIN: Duration = Duration::from_secs(1);
/// The registry's name among the racks. A rack may be called so too: it is on other nodes.
const REGISTRY: &str = "registry";

const LEADER: Family = Family {
    name: "rack_leader",
    meaning: "1 where it leads and a majority confirmed it within 2 s, else 0.",
};
const TERM: Family =
    Family { name: "rack_term", meaning: "Number of the election; it grows with each leader." };
const MEMBERS: Family =
    Family { name: "rack_members", meaning: "Members by role, as this member knows them." };
const ANSWERING: Family = Family {
    name: "rack_members_answering",
    meaning: "Itself and the members that answered it within 2 s; 0 where it does not lead.",
};
const WANTED: Family =
    Family { name: "rack_voters_wanted", meaning: "Voters that the rack aims for." };
const REGISTERED: Family = Family {
    name: "rack_registered",
    meaning: "1 for each rack that has begun and is not retired, as the registry knows it.",
};
const INDEX: Family = Family { name: "rack_log_index", meaning: "Last entry of that kind." };
const LAG: Family = Family {
    name: "rack_lag_seconds",
    meaning: "How far its view may be behind the leader; 0 at the leader.",
};
const READY: Family =
    Family { name: "rack_ready", meaning: "1 when its member takes part and has caught up." };
const THINGS: Family = Family { name: "rack_things", meaning: "Books or orders in its view." };
const FREE: Family = Family {
    name: "storage_free_bytes",
    meaning: "What may still be written to the file system that holds the data.",
};
const TOTAL: Family = Family {
    name: "storage_total_bytes",
    meaning: "The size of the file system that holds the data.",
};
const FULL: Family =
    Family { name: "storage_full", meaning: "1 while its disk takes no new entries." };
const BREAKER: Family = Family {
    name: "circuit_breaker_state",
    meaning: "Towards a rack that this one asks: 0 closed, 1 half-open, 2 open.",
};

/// One node that is told of.
pub struct Observed {
    peer: PeerId,
    /// Where its data are.
    dir: PathBuf,
    what: What,
}

enum What {
    Worker { worker: Arc<Worker>, disk: Disk, books: Option<Arc<Books>> },
    Ork { ork: Arc<Ork>, store: Store },
}

impl Observed {
    /// A worker.
    pub const fn worker(
        peer: PeerId,
        dir: PathBuf,
        worker: Arc<Worker>,
        disk: Disk,
        books: Option<Arc<Books>>,
    ) -> Self {
        Self { peer, dir, what: What::Worker { worker, disk, books } }
    }

    /// An orchestrator.
    pub const fn ork(peer: PeerId, dir: PathBuf, ork: Arc<Ork>, store: Store) -> Self {
        Self { peer, dir, what: What::Ork { ork, store } }
    }

    async fn facts(&self) -> Facts {
        let dir = self.dir.clone();
        // A volume that hangs holds up whoever asks.
        let files = match tokio::task::spawn_blocking(move || FileSystem::of(&dir)).await {
            Ok(Ok(files)) => Some(files),
            Ok(Err(error)) => {
                tracing::warn!(%error, "how much is free on the disk is not known");
                None
            }
            Err(_) => None,
        };
        let full = |health| health != Health::Healthy;
        let (role, peer) = (self.role(), self.peer);
        match &self.what {
            What::Worker { worker, disk, books } => {
                let racks = worker.racks().filter_map(|rack| rack_facts(rack)).collect();
                let breakers = books.as_deref().map_or_else(Vec::new, breakers);
                let (full, registered) = (full(disk.health()), Vec::new());
                Facts { role, peer, files, full, racks, registered, breakers }
            }
            What::Ork { ork, store } => {
                let (racks, registered) = (vec![registry_facts(ork).await], registered(ork));
                let (full, breakers) = (full(store.health()), Vec::new());
                Facts { role, peer, files, full, racks, registered, breakers }
            }
        }
    }

    const fn role(&self) -> NodeRole {
        match self.what {
            What::Worker { .. } => NodeRole::Worker,
            What::Ork { .. } => NodeRole::Ork,
        }
    }
}

/// What one node knows now.
struct Facts {
    role: NodeRole,
    peer: PeerId,
    files: Option<FileSystem>,
    full: bool,
    racks: Vec<(String, RackFacts)>,
    /// Of an orchestrator: the racks that ought to be there.
    registered: Vec<(RackId, Kind)>,
    /// Of a worker of orders, by the rack that is asked.
    breakers: Vec<(RackId, f64)>,
}

/// What it knows of one rack.
#[derive(Clone, Copy, Debug, PartialEq)]
struct RackFacts {
    wanted: usize,
    ready: bool,
    lag_s: f64,
    /// Of its member, and what is in its view, if one is open. What is not known is not told:
    /// a 0 would look like a new log.
    member: Option<Vitals>,
    things: Option<u64>,
}

impl RackFacts {
    /// Together with what another member in this process knows of the same rack.
    fn and(self, other: Self) -> Self {
        let (first, second) =
            if self.rank() < other.rank() { (other, self) } else { (self, other) };
        let member = match (first.member, second.member) {
            (Some(first), Some(second)) => Some(Vitals {
                last_index: first.last_index.max(second.last_index),
                committed_index: first.committed_index.max(second.committed_index),
                applied_index: first.applied_index.max(second.applied_index),
                term: first.term.max(second.term),
                ..first
            }),
            (first, _) => first,
        };
        Self {
            wanted: first.wanted,
            ready: first.ready && second.ready,
            lag_s: first.lag_s.max(second.lag_s),
            member,
            things: first.things,
        }
    }

    /// The last speaks for the rack: its leader, else who knows the most.
    fn rank(&self) -> Option<(bool, u64, u64)> {
        self.member.map(|member| (member.leads, member.term, member.last_index))
    }

    fn tell(&self, rack: &str, gauges: &mut Gauges) {
        let (label, flag) = (("rack", rack), |yes| if yes { 1.0 } else { 0.0 });
        let leads = self.member.is_some_and(|member| member.leads);
        gauges.set(LEADER, &[label], flag(leads));
        gauges.set(READY, &[label], flag(self.ready));
        gauges.set(LAG, &[label], self.lag_s);
        gauges.set(WANTED, &[label], self.wanted as f64);
        if let Some(things) = self.things {
            gauges.set(THINGS, &[label], things as f64);
        }
        let Some(member) = self.member else { return };
        gauges.set(TERM, &[label], member.term as f64);
        for (family, Roles { voters, learners }) in
            [(MEMBERS, member.members), (ANSWERING, member.answering)]
        {
            gauges.set(family, &[label, ("role", "voter")], voters as f64);
            gauges.set(family, &[label, ("role", "learner")], learners as f64);
        }
        let indices = [
            ("last", member.last_index),
            ("committed", member.committed_index),
            ("applied", member.applied_index),
        ];
        for (kind, index) in indices {
            gauges.set(INDEX, &[label, ("kind", kind)], index as f64);
        }
    }
}

/// Nothing of one that is out of use: its data are there, and nobody asks how they are.
fn rack_facts(rack: &Rack) -> Option<(String, RackFacts)> {
    if rack.stage() == Stage::Retired {
        return None;
    }
    let group = rack.group().ok();
    let member = group.as_ref().map(|group| group.vitals());
    let facts = RackFacts {
        wanted: rack.place.aims.voters(),
        ready: unready(rack).is_none(),
        lag_s: lag_s(member, rack.memberless()),
        member,
        things: group.map(|group| group.read(|shown| shown.view.len() as u64)),
    };
    Some((rack.place.id.to_string(), facts))
}

async fn registry_facts(ork: &Arc<Ork>) -> (String, RackFacts) {
    let health = OrkHealth::new(ork.mesh.clone(), ork.clone());
    let unready = tokio::time::timeout(CONFIRM_WITHIN, health.unready()).await;
    let member = ork.group().ok().map(|group| group.vitals());
    let facts = RackFacts {
        wanted: ork.wanted,
        ready: matches!(unready, Ok(None)),
        lag_s: lag_s(member, ork.memberless()),
        member,
        things: None,
    };
    (REGISTRY.to_owned(), facts)
}

/// Racks that have begun and are in use. All workers of one may be gone: then nobody else tells
/// that it is missing.
fn registered(ork: &Ork) -> Vec<(RackId, Kind)> {
    let Ok(group) = ork.group() else { return Vec::new() };
    group.read(|shown| {
        let used = shown.view.list().filter(|info| info.confirmed && !info.retired);
        used.map(|info| (info.id.clone(), info.kind)).collect()
    })
}

/// How far a member is behind, in seconds; without one, for how long that has been so.
fn lag_s(member: Option<Vitals>, memberless: Duration) -> f64 {
    member.map_or(memberless, |member| Duration::from_millis(member.lag_ms)).as_secs_f64()
}

fn breakers(books: &Books) -> Vec<(RackId, f64)> {
    let standings = books.standings().into_iter();
    standings.map(|standing| (standing.rack, books::level(standing.state))).collect()
}

/// The gauges of the nodes of one process.
pub struct NodeGauges(Vec<Observed>);

impl NodeGauges {
    /// Of all of these, for [`ops_router`](bookmesh_gateway::ops_router).
    pub fn of(nodes: impl IntoIterator<Item = Observed>) -> Vec<Arc<dyn GaugeSource>> {
        vec![Arc::new(Self(nodes.into_iter().collect()))]
    }
}

impl GaugeSource for NodeGauges {
    fn gauges(&self) -> BoxFuture<'_, Gauges> {
        Box::pin(async {
            let asked = self.0.iter().map(Observed::facts);
            tell(futures::future::join_all(asked).await)
        })
    }
}

/// Puts together what the nodes of one process know.
fn tell(nodes: Vec<Facts>) -> Gauges {
    let mut gauges = Gauges::default();
    let mut racks: BTreeMap<String, RackFacts> = BTreeMap::new();
    let mut breakers: BTreeMap<RackId, f64> = BTreeMap::new();
    // Their data lie in one directory, and so on one file system, unless somebody mounts there.
    let files = nodes.iter().filter_map(|node| node.files);
    if let Some(files) = files.min_by_key(|files| files.free_bytes) {
        gauges.set(FREE, &[], files.free_bytes as f64);
        gauges.set(TOTAL, &[], files.total_bytes as f64);
    }
    let full = nodes.iter().any(|node| node.full);
    gauges.set(FULL, &[], if full { 1.0 } else { 0.0 });
    for node in nodes {
        gauges.name_node(node.role, node.peer, env!("CARGO_PKG_VERSION"));
        for (rack, facts) in node.racks {
            racks.entry(rack).and_modify(|known| *known = known.and(facts)).or_insert(facts);
        }
        for (rack, kind) in node.registered {
            gauges.set(REGISTERED, &[("rack", rack.as_str()), ("kind", kind.name())], 1.0);
        }
        for (rack, level) in node.breakers {
            breakers.entry(rack).and_modify(|known| *known = known.max(level)).or_insert(level);
        }
    }
    for (rack, facts) in racks {
        facts.tell(&rack, &mut gauges);
    }
    for (rack, level) in breakers {
        gauges.set(BREAKER, &[("dependency", rack.as_str())], level);
    }
    gauges
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// A worker with these racks.
    fn node(number: u8, racks: &[(&str, RackFacts)]) -> Facts {
        Facts {
            role: NodeRole::Worker,
            peer: PeerId::from_bytes([number; 32]),
            files: Some(FileSystem { free_bytes: 3 * MIB, total_bytes: 4 * MIB }),
            full: false,
            racks: racks.iter().map(|(rack, facts)| ((*rack).to_owned(), *facts)).collect(),
            registered: Vec::new(),
            breakers: Vec::new(),
        }
    }

    fn leader() -> RackFacts {
        let members = Roles { voters: 3, learners: 1 };
        let answering = Roles { voters: 2, learners: 0 };
        let member = Vitals {
            leads: true,
            term: 7,
            members,
            answering,
            last_index: 90,
            committed_index: 80,
            applied_index: 70,
            lag_ms: 0,
        };
        RackFacts { wanted: 3, ready: true, lag_s: 0.0, member: Some(member), things: Some(41) }
    }

    /// One that knows less, and has it all wrong but for its log.
    fn follower() -> RackFacts {
        let member = Vitals { term: 6, last_index: 95, lag_ms: 1_500, ..Vitals::default() };
        RackFacts { wanted: 3, ready: false, lag_s: 1.5, member: Some(member), things: Some(2) }
    }

    fn memberless() -> RackFacts {
        RackFacts { wanted: 3, ready: false, lag_s: 9.25, member: None, things: None }
    }

    /// What is told, without names and meanings of families.
    fn told(nodes: Vec<Facts>) -> Vec<String> {
        let text = tell(nodes).render();
        let lines = text.lines().filter(|line| line.starts_with("rack_"));
        lines.map(str::to_owned).collect()
    }

    #[test]
    fn a_node_tells_all_it_knows_of_a_rack() {
        let expected = [
            "rack_lag_seconds{rack=\"r\"} 0",
            "rack_leader{rack=\"r\"} 1",
            "rack_log_index{rack=\"r\",kind=\"applied\"} 70",
            "rack_log_index{rack=\"r\",kind=\"committed\"} 80",
            "rack_log_index{rack=\"r\",kind=\"last\"} 90",
            "rack_members{rack=\"r\",role=\"learner\"} 1",
            "rack_members{rack=\"r\",role=\"voter\"} 3",
            "rack_members_answering{rack=\"r\",role=\"learner\"} 0",
            "rack_members_answering{rack=\"r\",role=\"voter\"} 2",
            "rack_ready{rack=\"r\"} 1",
            "rack_term{rack=\"r\"} 7",
            "rack_things{rack=\"r\"} 41",
            "rack_voters_wanted{rack=\"r\"} 3",
        ];
        assert_eq!(told(vec![node(1, &[("r", leader())])]), expected);
    }

    #[test]
    fn what_is_not_known_without_a_member_is_not_told() {
        let expected = [
            "rack_lag_seconds{rack=\"r\"} 9.25",
            "rack_leader{rack=\"r\"} 0",
            "rack_ready{rack=\"r\"} 0",
            "rack_voters_wanted{rack=\"r\"} 3",
        ];
        assert_eq!(told(vec![node(1, &[("r", memberless())])]), expected);
    }

    #[test]
    fn of_several_members_the_leader_speaks_and_the_worst_counts() {
        let members = [leader(), follower(), memberless()];
        let orders = [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0]];
        for order in orders {
            let nodes = order.iter().map(|at| node(*at as u8, &[("r", members[*at])]));
            let told = told(nodes.collect());
            let has = |line: &str| assert!(told.contains(&line.to_owned()), "{line}: {told:#?}");
            has("rack_leader{rack=\"r\"} 1");
            has("rack_members{rack=\"r\",role=\"voter\"} 3");
            has("rack_members_answering{rack=\"r\",role=\"voter\"} 2");
            has("rack_term{rack=\"r\"} 7");
            has("rack_log_index{rack=\"r\",kind=\"last\"} 95");
            has("rack_log_index{rack=\"r\",kind=\"applied\"} 70");
            has("rack_things{rack=\"r\"} 41");
            has("rack_lag_seconds{rack=\"r\"} 9.25");
            has("rack_ready{rack=\"r\"} 0");
            assert_eq!(told.len(), 13, "each once: {told:#?}");
        }
    }

    #[test]
    fn nodes_of_one_process_are_told_apart_and_share_their_disk() {
        let well = node(1, &[]);
        let breakers = vec![("book-rack-001".parse().unwrap(), 2.0)];
        let full = Facts { full: true, breakers: breakers.clone(), ..node(2, &[]) };
        let closed = vec![(breakers[0].0.clone(), 0.0)];
        let text = tell(vec![well, full, Facts { breakers: closed, ..node(3, &[]) }]).render();
        assert_eq!(text.matches("\nbookmesh_info{role=\"worker\",peer=\"").count(), 3, "{text}");
        let lines = [
            "storage_free_bytes 3145728",
            "storage_total_bytes 4194304",
            "storage_full 1",
            "circuit_breaker_state{dependency=\"book-rack-001\"} 2",
        ];
        for line in lines {
            assert_eq!(text.lines().filter(|told| *told == line).count(), 1, "{line}: {text}");
        }
    }
}
