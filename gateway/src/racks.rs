//! `/racks` and `/racks/{id}`: what all members of a rack say of it, as one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bookmesh_rpc::Mesh;
use bookmesh_rpc::api::{
    GetMember, Member, MemberId, MemberRole, MemberState, MemberStatus, RackId, RackRoute,
};
use bookmesh_rpc::mesh::Context;
use bookmesh_rpc::peer::PeerId;
use futures::{StreamExt, stream};
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer::success;
use crate::app::App;
use crate::books::invalid;
use crate::call::Call;
use crate::endpoint::Answer;
use crate::openapi::forms;
use crate::query;
use crate::thing_json::Text;

/// How long a member may take to say how it stands; then it counts as unreachable.
const MEMBER_DEADLINE: Duration = Duration::from_secs(1);
/// Members and racks that are asked at the same time, each.
const AT_ONCE: usize = 32;

/// `GET /racks`.
pub(crate) async fn list(app: Arc<App>, call: Call) -> Answer {
    query::none(call.uri()).map_err(invalid)?;
    let racks = app.directory().table().all().to_vec();
    Ok(success(inspect_all(&app, racks, &call.context).await))
}

/// `GET /racks/{id}`.
pub(crate) async fn get(app: Arc<App>, mut call: Call) -> Answer {
    query::none(call.uri()).map_err(invalid)?;
    let id: RackId = call.path_text().await?.parse().map_err(invalid)?;
    let rack = app.rack(&id, &call.context).await?;
    Ok(success(inspect(&app, &rack, &call.context).await))
}

/// A rack as `/racks` shows it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Rack)]
pub(crate) struct RackJson {
    #[schema(schema_with = forms::rack)]
    pub(crate) id: RackId,
    /// Its number within its type; never given again.
    #[schema(schema_with = forms::rack_number)]
    number: u32,
    #[serde(rename = "type")]
    #[schema(schema_with = forms::rack_kind)]
    pub(crate) kind: &'static str,
    /// The leader's peer id; null while there is none.
    #[schema(schema_with = forms::peer_or_none, required = true)]
    pub(crate) leader: Option<Text<PeerId>>,
    term: u64,
    things: u64,
    last_index: u64,
    /// The chain's hash at the applied index.
    #[schema(schema_with = forms::hash_or_none, required = true)]
    head_hash: Option<String>,
    /// Voters that it aims for.
    pub(crate) wanted: usize,
    /// Whether its leader's disk has room; null while it has none.
    #[schema(required = true)]
    pub(crate) writable: Option<bool>,
    pub(crate) members: Vec<MemberJson>,
    /// Racks that it needs and does not reach, by its leader; what `/health` says of them.
    #[serde(skip)]
    pub(crate) blocked_by: Vec<RackId>,
}

/// A member as `/racks` shows it; what an unreachable one would say is null.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Member)]
pub(crate) struct MemberJson {
    /// Its number, handed out once by the rack's log.
    #[schema(value_type = Option<u64>, required = true)]
    pub(crate) member: Option<MemberId>,
    #[schema(schema_with = forms::peer)]
    peer_id: Text<PeerId>,
    #[schema(schema_with = forms::member_role, required = true)]
    pub(crate) role: Option<&'static str>,
    #[schema(schema_with = forms::member_state)]
    pub(crate) state: &'static str,
    #[schema(required = true)]
    last_index: Option<u64>,
    /// The last entry it knows to be on a majority; while it is joining, the last one that it is
    /// to get before it takes part.
    #[schema(required = true)]
    committed_index: Option<u64>,
    #[schema(required = true)]
    applied_index: Option<u64>,
    /// The chain's hash at its applied index.
    #[schema(schema_with = forms::hash_or_none, required = true)]
    head_hash: Option<String>,
    /// Whether its disk has room for entries.
    #[schema(required = true)]
    pub(crate) writable: Option<bool>,
}

impl MemberJson {
    pub(crate) fn is_voter(&self) -> bool {
        self.role == Some(MemberRole::Voter.name())
    }

    /// Whether it answers, and can do its part.
    pub(crate) fn is_well(&self) -> bool {
        ![UNREACHABLE, MemberState::Failed.name()].contains(&self.state)
    }
}

const UNREACHABLE: &str = "unreachable";

/// Asks the members of all racks.
pub(crate) async fn inspect_all(
    app: &App,
    racks: Vec<Arc<RackRoute>>,
    context: &Context,
) -> Vec<RackJson> {
    let calls = racks.into_iter().map(|rack| async move { inspect(app, &rack, context).await });
    let calls: Vec<_> = calls.collect();
    stream::iter(calls).buffered(AT_ONCE).collect().await
}

/// Asks all members of a rack, those that the routes name and those that members name.
pub(crate) async fn inspect(app: &App, rack: &RackRoute, context: &Context) -> RackJson {
    let mut statuses = ask(&app.mesh, &rack.id, rack.members.clone(), context).await;
    let unasked: Vec<_> = authority(&statuses).map_or_else(Vec::new, |(_, status)| {
        let peers = status.members.iter().map(|member| member.peer);
        peers.filter(|peer| !rack.members.contains(peer)).collect()
    });
    if !unasked.is_empty() {
        statuses.extend(ask(&app.mesh, &rack.id, unasked, context).await);
    }
    merge(rack, &statuses, app.wanted_voters())
}

/// A member, and what it says; `None` when it can't be reached.
pub(crate) type Statuses = Vec<(PeerId, Option<MemberStatus>)>;

/// Asks nodes how they stand with a rack, all at once.
pub(crate) async fn ask(
    mesh: &Mesh,
    rack: &RackId,
    peers: Vec<PeerId>,
    context: &Context,
) -> Statuses {
    let deadline = context.deadline.min(Instant::now() + MEMBER_DEADLINE);
    let context = &Context { request_id: context.request_id.clone(), deadline };
    let calls = peers.into_iter().map(|peer| async move {
        let status = mesh.call(peer, context, GetMember { rack: rack.clone() }).await;
        (peer, status.ok())
    });
    let calls: Vec<_> = calls.collect();
    stream::iter(calls).buffered(AT_ONCE).collect().await
}

/// Who speaks for the rack: its leader, else the member that is furthest. Those that a recovery
/// gave up may lead themselves still, and speak for nobody.
fn authority(statuses: &Statuses) -> Option<(PeerId, &MemberStatus)> {
    let heard = statuses.iter().filter_map(|(peer, status)| Some((*peer, status.as_ref()?)));
    heard.max_by_key(|(_, status)| {
        let leads = status.state == MemberState::Leader;
        (recoveries(status), leads, status.term, status.applied_index)
    })
}

/// How often the rack was recovered, as far as a member's log says.
pub(crate) fn recoveries(status: &MemberStatus) -> Option<u32> {
    status.charter.map(|charter| charter.lineage.recoveries)
}

fn merge(rack: &RackRoute, statuses: &Statuses, wanted: usize) -> RackJson {
    let speaker = authority(statuses);
    let leads = |status: &MemberStatus| status.state == MemberState::Leader;
    let status = speaker.map(|(_, status)| status);
    let members = present(statuses, status);
    let mut members: Vec<_> =
        members.map(|(peer, own)| member(*peer, own.as_ref(), status)).collect();
    members.sort_by_key(|member| (member.member.is_none(), member.member));
    RackJson {
        id: rack.id.clone(),
        number: rack.number,
        kind: rack.kind.name(),
        leader: speaker.filter(|(_, status)| leads(status)).map(|(peer, _)| Text(peer)),
        term: status.map_or(rack.term, |status| status.term),
        things: status.map_or(rack.things, |status| status.things),
        last_index: status.map_or(0, |status| status.last_index),
        head_hash: status.map(|status| status.head_hash.to_string()),
        wanted,
        writable: status.filter(|status| leads(status)).map(|status| status.writable),
        members,
        blocked_by: status.map_or_else(Vec::new, |status| status.blocked_by.clone()),
    }
}

/// Those that answer, and those that belong to the rack by the word of who speaks for it: nodes
/// that were heard of once may have left it.
fn present<'a>(
    statuses: &'a Statuses,
    speaker: Option<&'a MemberStatus>,
) -> impl Iterator<Item = &'a (PeerId, Option<MemberStatus>)> {
    statuses.iter().filter(move |(peer, own)| {
        let seats = speaker.is_none_or(|status| status.members.iter().any(|it| it.peer == *peer));
        own.is_some() || seats
    })
}

fn member(peer: PeerId, own: Option<&MemberStatus>, speaker: Option<&MemberStatus>) -> MemberJson {
    let seats = speaker.map_or(&[][..], |status| &status.members);
    // A node that lost its data has two seats until the old one is taken away.
    let is_own = |seat: &&Member| own.is_none_or(|own| own.member == seat.member);
    let seat = seats.iter().filter(|seat| seat.peer == peer).find(is_own);
    MemberJson {
        member: own.map(|status| status.member).or(seat.map(|seat| seat.member)),
        peer_id: Text(peer),
        role: seat.map(|seat| seat.role.name()),
        state: own.map_or(UNREACHABLE, |status| status.state.name()),
        last_index: own.map(|status| status.last_index),
        committed_index: own.map(|status| status.committed_index),
        applied_index: own.map(|status| status.applied_index),
        head_hash: own.map(|status| status.head_hash.to_string()),
        writable: own.map(|status| status.writable),
    }
}

#[cfg(test)]
impl RackJson {
    /// A rack as its first member shows it.
    pub(crate) fn of_members(id: &str, led: bool, members: Vec<MemberJson>, wanted: usize) -> Self {
        let first = members.first().filter(|_| led);
        Self {
            id: id.parse().unwrap(),
            number: 0,
            kind: "book",
            leader: first.map(|member| Text(member.peer_id.0)),
            term: 1,
            things: 0,
            last_index: 0,
            head_hash: None,
            wanted,
            writable: first.and_then(|member| member.writable),
            members,
            blocked_by: Vec::new(),
        }
    }
}

#[cfg(test)]
impl MemberJson {
    pub(crate) fn voter(number: MemberId, state: &'static str, writable: Option<bool>) -> Self {
        Self {
            member: Some(number),
            peer_id: Text(PeerId::from_bytes([number as u8; 32])),
            role: Some(MemberRole::Voter.name()),
            state,
            last_index: None,
            committed_index: None,
            applied_index: None,
            head_hash: None,
            writable,
        }
    }
}

#[cfg(test)]
mod tests {
    use bookmesh_rpc::api::{Charter, Hash, Incarnation, Kind, Lineage};

    use super::*;

    fn peer(byte: u8) -> PeerId {
        PeerId::from_bytes([byte; 32])
    }

    fn status(state: MemberState, term: u64, applied_index: u64) -> MemberStatus {
        let seat = |byte, role| Member { member: u64::from(byte), peer: peer(byte), role };
        MemberStatus {
            rack: "r".parse().unwrap(),
            kind: Kind::Book,
            charter: None,
            member: 1,
            state,
            term,
            leader: Some(peer(9)),
            members: vec![seat(1, MemberRole::Voter), seat(2, MemberRole::Learner)],
            last_index: applied_index + 1,
            last_term: term,
            committed_index: applied_index,
            applied_index,
            head_hash: Hash([7; 32]),
            things: applied_index,
            writable: true,
            blocked_by: Vec::new(),
        }
    }

    fn route() -> RackRoute {
        RackRoute {
            id: "r".parse().unwrap(),
            kind: Kind::Book,
            number: 0,
            confirmed: true,
            leader: Some(peer(1)),
            term: 1,
            members: vec![peer(1), peer(2)],
            things: 5,
            writable: true,
            since_ms: 0,
        }
    }

    fn json(statuses: Statuses) -> serde_json::Value {
        serde_json::to_value(merge(&route(), &statuses, 3)).unwrap()
    }

    #[test]
    fn a_rack_is_what_its_leader_says_and_who_is_silent_is_unreachable() {
        let shown =
            json(vec![(peer(1), Some(status(MemberState::Leader, 3, 12))), (peer(2), None)]);
        assert_eq!(shown["leader"], peer(1).to_string());
        assert_eq!((&shown["term"], &shown["things"]), (&3.into(), &12.into()));
        assert_eq!(shown["head_hash"].as_str().unwrap().len(), 64);
        assert_eq!(shown["members"][0]["state"], "leader");
        assert_eq!(shown["members"][1]["state"], "unreachable");
        assert_eq!(shown["members"][1]["role"], "learner");
        assert!(shown["members"][1]["head_hash"].is_null());
    }

    #[test]
    fn members_that_a_recovery_gave_up_speak_for_nobody() {
        let charter = |recoveries| {
            let lineage = Lineage { founding: Incarnation::default(), recoveries };
            Some(Charter { number: 0, lineage })
        };
        let recovered =
            MemberStatus { charter: charter(1), ..status(MemberState::Follower, 2, 10) };
        let given_up =
            MemberStatus { charter: charter(0), member: 2, ..status(MemberState::Leader, 9, 99) };
        let shown = json(vec![(peer(2), Some(given_up)), (peer(1), Some(recovered))]);
        assert!(shown["leader"].is_null());
        assert_eq!(shown["things"], 10);
        assert_eq!(shown["members"][0]["member"], 1, "by number");
    }

    #[test]
    fn a_rack_whose_members_only_remember_a_leader_has_none() {
        let shown = json(vec![
            (peer(1), Some(status(MemberState::Follower, 3, 10))),
            (peer(2), Some(status(MemberState::Learner, 3, 11))),
        ]);
        assert!(shown["leader"].is_null());
        assert_eq!(shown["things"], 11);
        let silent = json(vec![(peer(1), None)]);
        assert_eq!((&silent["things"], &silent["leader"]), (&5.into(), &serde_json::Value::Null));
    }
}
