//! How a worker becomes a member of a rack that is there, and who can be asked about it.

use std::time::{Duration, Instant};

use bookmesh_rpc::PeerId;
use bookmesh_rpc::api::{
    AdmitMember, Charter, GetMember, GroupId, MemberId, MemberState, MemberStatus, SeatMember,
    WatchRoutes,
};
use bookmesh_rpc::mesh::Context;

use super::fill::fill;
use super::identity::{Identity, Step};
use super::rack::{Rack, Stage};
use super::rack_life::{ROUND, close, is_superseded, open_group};
use super::setback::Setback;
use super::survey;

/// Entries that make it worth closing a member to fill it: appends bring fewer in a few seconds.
const FAR_BEHIND: u64 = 10_000;

/// How long who is named the leader may take to say that it is.
const ANSWER: Duration = Duration::from_secs(2);

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
    let member = mesh.call(leader.peer, context, admit).await?;
    if identity.member.is_some_and(|had| had != member) {
        // The rack does not know of these data: it was recovered from a time before them.
        return Err(Setback::Foreign);
    }
    identity.member = Some(member);
    identity.save(store).await?;
    let filled = refill(rack, store, member, &leader).await?;
    open_group(rack, store.clone(), member).await?;
    rack.fills.end();
    // Filling may have taken long, and the rack may have another leader now.
    let context = &if filled { Context::within(ROUND) } else { context.clone() };
    let leader = match filled {
        true => find_leader(rack, contacts, context).await?,
        false => leader,
    };
    let leader = leader.peer;
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
    leader: &Leader,
) -> Result<bool, Setback> {
    if rack.group().is_ok() {
        let standing = &leader.standing;
        let behind = standing.last_index.saturating_sub(store.last_index().unwrap_or(0));
        let seated = standing.members.iter().any(|seat| seat.member == member);
        if seated || behind < FAR_BEHIND {
            return Ok(false);
        }
        close(rack).await;
    }
    fill(rack, store, member, leader.peer, leader.charter).await?;
    rack.set_stage(Stage::Waiting("applying its log".into()));
    Ok(true)
}

/// Who leads the rack, in its own words.
struct Leader {
    peer: PeerId,
    charter: Charter,
    standing: MemberStatus,
}

/// Asks everyone who may hold the rack who leads it, and that node whether it does.
async fn find_leader(
    rack: &Rack,
    contacts: &[PeerId],
    context: &Context,
) -> Result<Leader, Setback> {
    let mut contacts = contacts.to_vec();
    contacts.extend(routed(rack, context).await);
    let status = elsewhere(rack, &contacts, context).await;
    let unknown = || Setback::Other("no member that can be reached knows its leader".into());
    let peer = status.and_then(|status| status.leader).ok_or_else(unknown)?;
    // Whoever named it may follow nobody any more, or be of a history that was given up.
    let asked =
        Context { deadline: context.deadline.min(Instant::now() + ANSWER), ..context.clone() };
    let request = GetMember { rack: rack.place.id.clone() };
    let standing = rack.place.mesh.call(peer, &asked, request).await?;
    match standing.charter {
        Some(charter) if standing.state == MemberState::Leader => {
            Ok(Leader { peer, charter, standing })
        }
        _ => {
            Err(Setback::Other(format!("{} is named its leader, and does not lead", peer.short())))
        }
    }
}

/// How the member on another node stands that has most to say: one of the latest recovery, and of
/// those the leader, else one that knows its leader. Asked are those the DHT names,
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
    most_telling(known.into_iter().map(|(_, status)| status), rack.charter())
}

/// See [`elsewhere`]; `own` is what the data here say of the rack. Members that were given up
/// before these data came to be are not heeded: they may lead each other.
fn most_telling(
    known: impl Iterator<Item = MemberStatus>,
    own: Option<Charter>,
) -> Option<MemberStatus> {
    let heeded = known.filter(|status| {
        let given_up = own.zip(status.charter).is_some_and(|(own, its)| is_superseded(its, own));
        if given_up {
            let (rack, member) = (&status.rack, status.member);
            tracing::info!(%rack, member, "not heeded: the rack was recovered without it");
        }
        !given_up
    });
    heeded.max_by_key(|status| {
        let founding = |charter: Charter| charter.lineage.founding;
        let ours = own.is_none_or(|own| status.charter.map(founding) == Some(founding(own)));
        let recoveries = status.charter.map_or(0, |charter| charter.lineage.recoveries);
        let leads = status.state == MemberState::Leader;
        (ours, recoveries, leads, status.leader.is_some(), status.term)
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

#[cfg(test)]
mod tests {
    use bookmesh_rpc::api::{Incarnation, Lineage};

    use super::*;
    use crate::roles::samples;
    use crate::roles::samples::charter;

    fn of(charter: Option<Charter>, member: MemberId, state: MemberState) -> MemberStatus {
        MemberStatus { charter, member, ..samples::status(state) }
    }

    fn heeded(known: &[MemberStatus], own: Option<Charter>) -> Option<MemberId> {
        most_telling(known.iter().cloned(), own).map(|status| status.member)
    }

    #[test]
    fn the_latest_recovery_is_heeded_before_any_leader() {
        use MemberState::{Follower, Joining, Leader};
        let known = [
            of(Some(charter(0)), 1, Leader),
            of(Some(charter(1)), 2, Follower),
            of(None, 3, Joining),
        ];
        assert_eq!(heeded(&known, None), Some(2));
        assert_eq!(heeded(&known[..1], None), Some(1));
        assert_eq!(heeded(&known[..1], Some(charter(1))), None, "it was given up");
        assert_eq!(heeded(&known, Some(charter(0))), Some(2));
        let leader = of(Some(charter(1)), 4, Leader);
        assert_eq!(heeded(&[&known[..], &[leader]].concat(), Some(charter(1))), Some(4));
    }

    #[test]
    fn another_rack_of_the_name_is_heeded_last() {
        let founding = Incarnation::generate();
        let other = Charter { number: 2, lineage: Lineage { founding, recoveries: 7 } };
        let known = [
            of(Some(other), 1, MemberState::Leader),
            of(Some(charter(1)), 2, MemberState::Follower),
        ];
        assert_eq!(heeded(&known, Some(charter(1))), Some(2));
        assert_eq!(heeded(&known[..1], Some(charter(1))), Some(1), "it is told of");
    }
}
