//! What a worker and an orchestrator say of themselves over HTTP.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bookmesh_gateway::{BreakerHealth, Health, HealthSource, RackHealth, Wellness};
use bookmesh_rpc::Mesh;
use bookmesh_rpc::api::{ApiError, MemberRole, MemberState, MemberStatus, NodeRole};
use bookmesh_rpc::mesh::BoxFuture;

use super::books::Books;
use super::nodes::WorkerNode;
use super::ork::{Ork, OrkStage, leaderless};
use super::rack::{Rack, Stage};
use super::worker::Worker;

/// How lately a follower of the registry must have heard from its leader.
const LED: Duration = Duration::from_secs(2);

/// A worker's health: that of its members.
pub struct WorkerHealth {
    mesh: Mesh,
    worker: Arc<Worker>,
    books: Option<Arc<Books>>,
}

impl WorkerHealth {
    /// Of this worker.
    pub fn new(node: &WorkerNode) -> Self {
        let (mesh, worker) = (node.mesh.clone(), node.worker.clone());
        Self { mesh, worker, books: node.books.clone() }
    }
}

impl HealthSource for WorkerHealth {
    fn health(&self) -> BoxFuture<'_, Health> {
        let racks: Vec<_> = self.worker.racks().map(|rack| rack_health(rack)).collect();
        let mut services = BTreeMap::from([("mesh", mesh(&self.mesh))]);
        for (rack, health) in self.worker.racks().zip(&racks) {
            let service = match rack.place.kind {
                bookmesh_rpc::api::Kind::Book => "books",
                bookmesh_rpc::api::Kind::Order => "orders",
            };
            let worst = services.entry(service).or_insert(health.status);
            *worst = (*worst).max(health.status);
        }
        let breakers = self.books.as_deref().map_or_else(Vec::new, breakers);
        let health = health(NodeRole::Worker, &self.mesh, services, racks);
        let health = Health { breakers, ..health };
        Box::pin(async { health })
    }

    fn ready(&self) -> BoxFuture<'_, Result<(), String>> {
        let ready = self.worker.racks().try_for_each(|rack| match unready(rack) {
            None => Ok(()),
            Some(why) => Err(format!("{}: {why}", rack.place.id)),
        });
        Box::pin(async { ready })
    }
}

/// Why a member can't do its job yet, or any more.
pub(super) fn unready(rack: &Rack) -> Option<String> {
    match (rack.stage(), rack.status()) {
        (Stage::Waiting(why) | Stage::Failed(why), _) => Some(why),
        (Stage::Retired, _) => Some("the rack is retired".to_owned()),
        (Stage::Seated, Err(error)) => Some(error.to_string()),
        (Stage::Seated, Ok(status)) => behind(&status),
    }
}

fn behind(status: &MemberStatus) -> Option<String> {
    if status.state == MemberState::Failed {
        return Some("its member has failed; its log says why".to_owned());
    }
    if status.leader.is_none() {
        return Some("it knows no leader".to_owned());
    }
    let MemberStatus { applied_index, last_index, .. } = status;
    (applied_index < last_index)
        .then(|| format!("it has applied {applied_index} of {last_index} entries"))
}

fn rack_health(rack: &Rack) -> RackHealth {
    let status = rack.status().ok();
    let voters = |status: &MemberStatus| {
        status.members.iter().filter(|member| member.role == MemberRole::Voter).count()
    };
    // A full disk is no reason not to be ready: it goes on answering reads.
    let full = || rack.writable().err().map(|full| full.to_string());
    let blocked = || {
        let blocked = rack.blocked_by().into_iter().next();
        blocked.map(|books| format!("{books} does not answer: orders of its books are refused"))
    };
    let why = unready(rack).or_else(full).or_else(blocked);
    let wellness = match (&status, &why) {
        (Some(status), Some(_)) if status.leader.is_some() => Wellness::Degraded,
        (_, Some(_)) => Wellness::Unhealthy,
        (_, None) => Wellness::Healthy,
    };
    RackHealth {
        id: rack.place.id.clone(),
        kind: rack.place.kind.name(),
        status: wellness,
        leader: status.as_ref().and_then(|status| Some(status.leader?.to_string())),
        voters: status.as_ref().map_or(0, voters),
        reason: why,
    }
}

/// An orchestrator's health: that of the registry, and whether the racks it knows have leaders.
pub struct OrkHealth {
    mesh: Mesh,
    ork: Arc<Ork>,
}

impl OrkHealth {
    /// Of this orchestrator.
    pub const fn new(mesh: Mesh, ork: Arc<Ork>) -> Self {
        Self { mesh, ork }
    }
}

impl HealthSource for OrkHealth {
    fn health(&self) -> BoxFuture<'_, Health> {
        Box::pin(async {
            let (registry, reason) = self.registry().await;
            let without = leaderless(&self.ork.routes().borrow());
            let racks = if without.is_empty() { Wellness::Healthy } else { Wellness::Degraded };
            let services = BTreeMap::from([
                ("mesh", mesh(&self.mesh)),
                ("registry", registry),
                ("racks", racks),
            ]);
            let health = health(NodeRole::Ork, &self.mesh, services, Vec::new());
            Health { reason, ..health }
        })
    }

    fn ready(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async { self.unready().await.map_or(Ok(()), Err) })
    }
}

impl OrkHealth {
    /// Why it can't do its job: it is no member, or its registry has no majority.
    pub(super) async fn unready(&self) -> Option<String> {
        let group = match (self.ork.stage(), self.ork.group()) {
            (OrkStage::Waiting(why) | OrkStage::Failed(why), _) => return Some(why),
            (OrkStage::Left, _) => return Some("it has left the registry".into()),
            (OrkStage::Seated, Err(error)) => return Some(error.to_string()),
            (OrkStage::Seated, Ok(group)) => group,
        };
        match group.confirm().await {
            Ok(()) => None,
            Err(ApiError::NotRegistryLeader { leader: Some(_) }) if group.is_led(LED) => None,
            Err(ApiError::NotRegistryLeader { .. }) => {
                let majority = self.ork.wanted / 2 + 1;
                Some(format!(
                    "the registry has no leader: {majority} of its {} orchestrators have to run",
                    self.ork.wanted
                ))
            }
            Err(error) => Some(error.to_string()),
        }
    }

    /// How the registry is, and what an operator should know of it.
    async fn registry(&self) -> (Wellness, Option<String>) {
        if let Some(why) = self.unready().await {
            return (Wellness::Unhealthy, Some(why));
        }
        if let Some(rival) = self.ork.rival() {
            let why = format!(
                "there is another registry in this mesh, {rival}: no rack is registered until \
                 the orchestrators of one of them are stopped"
            );
            return (Wellness::Degraded, Some(why));
        }
        let members = self.ork.registry().member.map_or_else(Vec::new, |member| member.members);
        let voters = members.iter().filter(|member| member.role == MemberRole::Voter).count();
        if voters < self.ork.wanted {
            let why = format!("{voters} of {} orchestrators vote", self.ork.wanted);
            return (Wellness::Degraded, Some(why));
        }
        match self.ork.notice() {
            Some(why) => (Wellness::Degraded, Some(why)),
            None => (Wellness::Healthy, None),
        }
    }
}

fn breakers(books: &Books) -> Vec<BreakerHealth> {
    let standings = books.standings().into_iter();
    let health = standings.map(|standing| BreakerHealth {
        dependency: standing.rack,
        state: standing.state.name(),
        since: standing.since,
    });
    health.collect()
}

/// A node that is alone is no fault of its own, but it can do less.
fn mesh(mesh: &Mesh) -> Wellness {
    if mesh.connected() == 0 { Wellness::Degraded } else { Wellness::Healthy }
}

fn health(
    role: NodeRole,
    mesh: &Mesh,
    services: BTreeMap<&'static str, Wellness>,
    racks: Vec<RackHealth>,
) -> Health {
    let status = services.values().copied().max().unwrap_or(Wellness::Healthy);
    Health {
        status,
        role,
        peer_id: mesh.peer_id(),
        services,
        racks,
        breakers: Vec::new(),
        reason: None,
    }
}
