//! How the mesh is, as a gateway sees it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bookmesh_rpc::api::{Kind, NodeRole, RackId};
use bookmesh_rpc::mesh::{BoxFuture, Contact, Context};

use crate::app::App;
use crate::health::{Health, HealthSource, RackHealth, Wellness};
use crate::racks::{self, RackJson};

/// Racks that one reason names.
const NAMED: usize = 3;
/// Time for asking all racks.
const LOOK: Duration = Duration::from_secs(2);

/// A gateway's health.
pub(crate) struct MeshHealth {
    pub(crate) app: Arc<App>,
}

impl HealthSource for MeshHealth {
    fn health(&self) -> BoxFuture<'_, Health> {
        Box::pin(self.look())
    }

    fn ready(&self) -> BoxFuture<'_, Result<(), String>> {
        let known = self.app.directory().knowledge();
        let ready = if known.live || !known.table.all().is_empty() {
            Ok(())
        } else {
            Err(match &*self.app.mesh.contact().borrow() {
                Contact::Nobody { tried } => {
                    format!("no node was reached; tried {}", tried.join(", "))
                }
                Contact::Searching => "looking for the mesh".to_owned(),
                Contact::Connected(peers) => {
                    format!("connected to {peers} nodes; no orchestrator among them yet")
                }
            })
        };
        Box::pin(async { ready })
    }
}

impl MeshHealth {
    async fn look(&self) -> Health {
        let known = self.app.directory().knowledge();
        let context = Context::within(LOOK);
        let racks = known.table.all().to_vec();
        let racks = racks::inspect_all(&self.app, racks, &context).await;
        let racks: Vec<_> = racks.iter().map(rack_health).collect();
        let mesh = match (known.live, self.app.mesh.connected()) {
            (true, _) => Wellness::Healthy,
            (false, 0) => Wellness::Unhealthy,
            (false, _) => Wellness::Degraded,
        };
        let services = services(mesh, &racks);
        Health {
            status: services.values().copied().max().unwrap_or(Wellness::Unhealthy),
            role: NodeRole::Gateway,
            peer_id: self.app.mesh.peer_id(),
            services,
            racks,
            breakers: Vec::new(),
            reason: None,
        }
    }
}

/// A mesh without orders has no such service; one without books has nothing to offer.
fn services(mesh: Wellness, racks: &[RackHealth]) -> BTreeMap<&'static str, Wellness> {
    let of = |kind: Kind| {
        let racks = racks.iter().filter(|rack| rack.kind == kind.name());
        racks.map(|rack| rack.status).max()
    };
    let mut services = BTreeMap::from([("mesh", mesh)]);
    services.insert("books", of(Kind::Book).unwrap_or(Wellness::Unhealthy));
    services.extend(of(Kind::Order).map(|orders| ("orders", orders)));
    services
}

/// A rack that leads itself is degraded by the first thing that it lacks.
fn rack_health(rack: &RackJson) -> RackHealth {
    let voters = || rack.members.iter().filter(|member| member.is_voter());
    let (all, well) = (voters().count(), voters().filter(|member| member.is_well()).count());
    let (status, reason) = if rack.leader.is_none() {
        (Wellness::Unhealthy, Some("no leader".to_owned()))
    } else if well * 2 <= all {
        // A leader that was left alone takes itself for one for ever.
        (Wellness::Unhealthy, Some(format!("no majority: {well} of its {all} voters answer")))
    } else {
        let lack = lack(rack, well);
        (if lack.is_some() { Wellness::Degraded } else { Wellness::Healthy }, lack)
    };
    let leader = rack.leader.as_ref().map(|leader| leader.0.to_string());
    RackHealth { id: rack.id.clone(), kind: rack.kind, status, leader, voters: well, reason }
}

/// What keeps a rack that has a leader from being healthy.
fn lack(rack: &RackJson, voters: usize) -> Option<String> {
    if rack.writable == Some(false) {
        return Some("its leader's disk is full: it takes no writes".to_owned());
    }
    if let Some(blocked) = blocked(&rack.blocked_by) {
        return Some(blocked);
    }
    if voters < rack.wanted {
        return Some(format!("{voters} of {} voters answer", rack.wanted));
    }
    let mut full = rack.members.iter().filter(|member| member.writable == Some(false));
    full.next().map(|member| match member.member {
        Some(number) => format!("the disk of member {number} is full"),
        None => "the disk of a member is full".to_owned(),
    })
}

/// What a rack lacks that does not reach these.
fn blocked(by: &[RackId]) -> Option<String> {
    let names: Vec<_> = by.iter().take(NAMED).map(RackId::as_str).collect();
    let names = names.join(", ");
    match by.len() {
        0 => None,
        1 => Some(format!("{names} does not answer: orders of its books are refused")),
        count if count <= NAMED => {
            Some(format!("{names} do not answer: orders of their books are refused"))
        }
        count => Some(format!(
            "{names} and {} more do not answer: orders of their books are refused",
            count - NAMED
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rack(kind: Kind, status: Wellness) -> RackHealth {
        let id = "r".parse().unwrap();
        RackHealth { id, kind: kind.name(), status, leader: None, voters: 0, reason: None }
    }

    #[test]
    fn a_service_is_as_well_as_its_worst_rack() {
        let racks = [rack(Kind::Book, Wellness::Healthy), rack(Kind::Book, Wellness::Degraded)];
        let services = services(Wellness::Healthy, &racks);
        assert_eq!(services["books"], Wellness::Degraded);
        assert!(!services.contains_key("orders"));
    }

    /// What is said of a rack of three, aiming for three, by what `/racks` shows of its members:
    /// the state and whether there is room.
    fn of(leader: bool, members: [(&'static str, bool); 3]) -> (Wellness, String) {
        let member = |(at, (state, writable)): (usize, (&'static str, bool))| {
            racks::MemberJson::voter(at as u64 + 1, state, Some(writable))
        };
        let members = members.into_iter().enumerate().map(member).collect();
        let health = rack_health(&RackJson::of_members("r", leader, members, 3));
        (health.status, health.reason.unwrap_or_default())
    }

    #[test]
    fn a_rack_is_healthy_with_a_leader_and_as_many_voters_as_it_aims_for() {
        let well = ("follower", true);
        assert_eq!(of(true, [well; 3]), (Wellness::Healthy, String::new()));
        assert_eq!(of(false, [well; 3]).0, Wellness::Unhealthy);
        let (status, why) = of(true, [well, well, ("failed", true)]);
        assert_eq!((status, why.as_str()), (Wellness::Degraded, "2 of 3 voters answer"));
    }

    #[test]
    fn a_leader_without_majority_is_none() {
        let gone = ("unreachable", true);
        let (status, why) = of(true, [("leader", true), gone, gone]);
        assert_eq!(status, Wellness::Unhealthy);
        assert_eq!(why, "no majority: 1 of its 3 voters answer");
    }

    #[test]
    fn a_rack_that_does_not_reach_another_is_degraded_and_names_it() {
        let orders = |blocked_by: &[&str]| {
            let members = (1..=3).map(|number| racks::MemberJson::voter(number, "leader", None));
            let mut rack = RackJson::of_members("r", true, members.collect(), 3);
            rack.blocked_by = blocked_by.iter().map(|id| id.parse().unwrap()).collect();
            let health = rack_health(&rack);
            (health.status, health.reason.unwrap_or_default())
        };
        assert_eq!(orders(&[]), (Wellness::Healthy, String::new()));
        let (status, why) = orders(&["book-rack-001"]);
        assert_eq!(status, Wellness::Degraded);
        assert_eq!(why, "book-rack-001 does not answer: orders of its books are refused");
        assert!(orders(&["a", "b"]).1.starts_with("a, b do not answer"));
        let (_, why) = orders(&["a", "b", "c", "d", "e"]);
        assert!(why.starts_with("a, b, c and 2 more do not answer"), "{why}");
    }

    #[test]
    fn a_full_disk_degrades_its_rack_and_is_named() {
        let (status, why) = of(true, [("leader", false), ("follower", true), ("follower", true)]);
        assert_eq!(status, Wellness::Degraded);
        assert_eq!(why, "its leader's disk is full: it takes no writes");
        let (status, why) = of(true, [("leader", true), ("follower", true), ("follower", false)]);
        assert_eq!((status, why.as_str()), (Wellness::Degraded, "the disk of member 3 is full"));
    }

    #[test]
    fn a_mesh_without_book_racks_is_not_healthy() {
        assert_eq!(services(Wellness::Healthy, &[])["books"], Wellness::Unhealthy);
    }
}
