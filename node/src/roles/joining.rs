//! How a worker becomes a member of a rack that is there, and who can be asked about it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bookmesh_rpc::PeerId;
use bookmesh_rpc::api::{
    AdmitMember, GetMember, GroupId, MemberState, MemberStatus, SeatMember, WatchRoutes,
};
use bookmesh_rpc::mesh::Context;

use super::identity::{Identity, Step};
use super::rack::Rack;
use super::rack_life::{Setback, open_group};

/// How long members elsewhere may take to say how they stand.
const CONTACT: Duration = Duration::from_secs(1);

/// Gets a number for the data here, opens the replica, and asks to be seated. `contacts` may know
/// who leads.
pub(super) async fn join(
    rack: &Rack,
    store: &bookmesh_storage::Group,
    mut identity: Identity,
    contacts: &[PeerId],
    context: &Context,
) -> Result<(), Setback> {
    let leader = find_leader(rack, contacts, context).await?;
    let mesh = &rack.place.mesh;
    let (of, incarnation) = (GroupId::Rack(rack.place.id.clone()), identity.incarnation);
    let admit = AdmitMember { group: of.clone(), incarnation };
    let member = mesh.call(leader, context, admit).await?;
    if identity.member.is_some_and(|had| had != member) {
        // The rack does not know of these data: it was recovered from a time before them.
        return Err(Setback::Foreign);
    }
    identity.member = Some(member);
    identity.save(store).await?;
    open_group(rack, store.clone(), member).await?;
    mesh.call(leader, context, SeatMember { group: of, member, incarnation }).await?;
    identity.step = Step::Seated;
    identity.save(store).await?;
    tracing::info!(rack = %rack.place.id, member, leader = %leader.short(), "joined");
    Ok(())
}

/// Asks everyone who may hold the rack who leads it.
async fn find_leader(
    rack: &Rack,
    contacts: &[PeerId],
    context: &Context,
) -> Result<PeerId, Setback> {
    let mut contacts = contacts.to_vec();
    contacts.extend(routed(rack, context).await);
    let status = elsewhere(rack, &contacts, context).await;
    let leader = status.and_then(|status| status.leader);
    leader.ok_or_else(|| Setback::Other("no member that can be reached knows its leader".into()))
}

/// How a member on another node stands: the leader first, that of the latest recovery if there
/// are several, then one that knows its leader. Asked are those the DHT names, those in the
/// membership here, and these; all at once.
pub(super) async fn elsewhere(
    rack: &Rack,
    contacts: &[PeerId],
    context: &Context,
) -> Option<MemberStatus> {
    let mesh = &rack.place.mesh;
    let mut contacts: BTreeSet<_> = contacts.iter().copied().collect();
    if let Ok(status) = rack.status() {
        contacts.extend(status.members.iter().map(|member| member.peer));
    }
    contacts.extend(mesh.providers(&rack.place.id.dht_key(), context).await);
    contacts.remove(&mesh.peer_id());
    let deadline = context.deadline.min(Instant::now() + CONTACT);
    let context = Context { deadline, ..context.clone() };
    let asked = contacts.into_iter().map(|contact| {
        let request = GetMember { rack: rack.place.id.clone() };
        mesh.call(contact, &context, request)
    });
    let statuses = futures::future::join_all(asked).await.into_iter().flatten();
    statuses.max_by_key(|status| {
        let leads = status.state == MemberState::Leader;
        let recoveries = status.charter.map_or(0, |charter| charter.lineage.recoveries);
        (leads, recoveries, status.leader.is_some(), status.term)
    })
}

/// Who holds the rack, by the orchestrator's routes.
async fn routed(rack: &Rack, context: &Context) -> Vec<PeerId> {
    let Some(ork) = rack.place.orks.current() else { return Vec::new() };
    let Ok(mut routes) = rack.place.mesh.stream(ork, context, WatchRoutes).await else {
        return Vec::new();
    };
    let first = tokio::time::timeout(context.remaining(), routes.next()).await;
    let Ok(Some(Ok(table))) = first else { return Vec::new() };
    let route = table.racks.into_iter().find(|route| route.id == rack.place.id);
    route.map_or_else(Vec::new, |route| route.leader.into_iter().chain(route.members).collect())
}
