//! How a worker becomes a member of a rack that is there, and who can be asked about it.

use bookmesh_rpc::PeerId;
use bookmesh_rpc::api::{
    AdmitMember, GroupId, MemberId, MemberState, MemberStatus, SeatMember, WatchRoutes,
};
use bookmesh_rpc::mesh::Context;

use super::fill::fill;
use super::identity::{Identity, Step};
use super::rack::{Rack, Stage};
use super::rack_life::{ROUND, close, open_group};
use super::setback::Setback;
use super::survey;

/// Entries that make it worth closing a member to fill it: appends bring fewer in a few seconds.
const FAR_BEHIND: u64 = 10_000;

/// Gets a number for the data here, opens the replica, and asks to be seated. `contacts` may know
/// who leads.
pub(super) async fn join(
    rack: &Rack,
    store: &bookmesh_storage::Group,
    mut identity: Identity,
    contacts: &[PeerId],
    context: &Context,
) -> Result<(), Setback> {
    let (leader, standing) = find_leader(rack, contacts, context).await?;
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
    let filled = refill(rack, store, member, (leader, &standing)).await?;
    open_group(rack, store.clone(), member).await?;
    rack.fills.end();
    // Filling may have taken long, and the rack may have another leader now.
    let context = &if filled { Context::within(ROUND) } else { context.clone() };
    let leader = match filled {
        true => find_leader(rack, contacts, context).await?.0,
        false => leader,
    };
    mesh.call(leader, context, SeatMember { group: of, member, incarnation }).await?;
    identity.step = Step::Seated;
    identity.save(store).await?;
    tracing::info!(rack = %rack.place.id, member, leader = %leader.short(), "joined");
    Ok(())
}

/// Fills the log here before its member takes part: one that never did, or one that is no member
/// now and so far behind that the leader's appends would take long. Whether there was anything to
/// do.
async fn refill(
    rack: &Rack,
    store: &bookmesh_storage::Group,
    member: MemberId,
    (leader, standing): (PeerId, &MemberStatus),
) -> Result<bool, Setback> {
    if rack.group().is_ok() {
        let behind = standing.last_index.saturating_sub(store.last_index().unwrap_or(0));
        let seated = standing.members.iter().any(|seat| seat.member == member);
        if seated || behind < FAR_BEHIND {
            return Ok(false);
        }
        close(rack).await;
    }
    fill(rack, store, member, leader, standing.charter).await?;
    rack.set_stage(Stage::Waiting("applying its log".into()));
    Ok(true)
}

/// Asks everyone who may hold the rack who leads it; with it comes what somebody said of it.
async fn find_leader(
    rack: &Rack,
    contacts: &[PeerId],
    context: &Context,
) -> Result<(PeerId, MemberStatus), Setback> {
    let mut contacts = contacts.to_vec();
    contacts.extend(routed(rack, context).await);
    let status = elsewhere(rack, &contacts, context).await;
    let known = status.and_then(|status| Some((status.leader?, status)));
    known.ok_or_else(|| Setback::Other("no member that can be reached knows its leader".into()))
}

/// How the member on another node stands that has most to say: the leader, that of the latest
/// recovery if there are several, else one that knows its leader. Asked are those the DHT names,
/// those in the membership here, and these.
pub(super) async fn elsewhere(
    rack: &Rack,
    contacts: &[PeerId],
    context: &Context,
) -> Option<MemberStatus> {
    let mut contacts = contacts.to_vec();
    if let Ok(status) = rack.status() {
        contacts.extend(status.members.iter().map(|member| member.peer));
    }
    let known = survey::members(rack, &contacts, context).await;
    known.into_iter().map(|(_, status)| status).max_by_key(|status| {
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
