//! How the mesh is, as a gateway sees it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bookmesh_rpc::api::{Kind, NodeRole};
use bookmesh_rpc::mesh::{BoxFuture, Contact, Context};

use crate::app::App;
use crate::health::{Health, HealthSource, RackHealth, Wellness};
use crate::racks::{self, RackJson};

/// Time for asking all racks.
const LOOK: Duration = Duration::from_secs(2);

/// A gateway's health.
pub(crate) struct MeshHealth {
    pub(crate) app: Arc<App>,
    /// Voters that each rack aims for.
    pub(crate) replicas: usize,
}

impl HealthSource for MeshHealth {
    fn health(&self) -> BoxFuture<'_, Health> {
        Box::pin(self.look())
    }

    fn ready(&self) -> BoxFuture<'_, Result<(), String>> {
        let known = self.app.directory.knowledge();
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
        let known = self.app.directory.knowledge();
        let context = Context::within(LOOK);
        let racks = known.table.all().to_vec();
        let racks = racks::inspect_all(&self.app.mesh, racks, &context).await;
        let racks: Vec<_> = racks.iter().map(|rack| rack_health(rack, self.replicas)).collect();
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

fn rack_health(rack: &RackJson, replicas: usize) -> RackHealth {
    let voters = rack.members.iter().filter(|member| member.is_voter() && member.is_reachable());
    let voters = voters.count();
    let (status, reason) = match &rack.leader {
        None => (Wellness::Unhealthy, Some("no leader".to_owned())),
        Some(_) if voters < replicas => {
            (Wellness::Degraded, Some(format!("{voters} of {replicas} voters answer")))
        }
        Some(_) => (Wellness::Healthy, None),
    };
    let leader = rack.leader.as_ref().map(|leader| leader.0.to_string());
    RackHealth { id: rack.id.clone(), kind: rack.kind, status, leader, voters, reason }
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

    #[test]
    fn a_mesh_without_book_racks_is_not_healthy() {
        assert_eq!(services(Wellness::Healthy, &[])["books"], Wellness::Unhealthy);
    }
}
