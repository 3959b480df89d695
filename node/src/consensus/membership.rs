//! Who belongs to a group, and the leader's standing job: learners that have caught up become
//! voters while there are fewer than the group aims for, and a change that was begun is finished.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bookmesh_rpc::PeerId;
use bookmesh_rpc::api::{Member, MemberId, MemberRole, MemberState};
use openraft::{ChangeMembers, RaftMetrics, ServerState};

use super::network::Answered;
use super::types::{Raft, Seat};

/// How often the leader looks for a learner to promote.
const TICK: Duration = Duration::from_millis(100);
/// How far behind a learner may be and still count as caught up: less than a second's entries.
const CAUGHT_UP_ENTRIES: u64 = 100;

/// How lately a learner must have answered: one that is gone would count in the quorum at once.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);
/// How long a change may take before it is looked at anew.
const CHANGE_WITHIN: Duration = Duration::from_secs(10);

/// What openraft says of this member and its group.
pub type Metrics = RaftMetrics<MemberId, Seat>;

/// The node that leads, as far as this member knows.
pub fn leader_of(raft: &Raft) -> Option<PeerId> {
    leader_in(&raft.metrics().borrow())
}

/// The node that leads, by these metrics.
pub fn leader_in(metrics: &Metrics) -> Option<PeerId> {
    let leader = metrics.current_leader?;
    metrics.membership_config.membership().get_node(&leader).map(|seat| seat.peer)
}

/// Everyone in the group.
pub fn members_in(metrics: &Metrics) -> Vec<Member> {
    let voters: BTreeSet<_> = metrics.membership_config.voter_ids().collect();
    let role = |id| if voters.contains(id) { MemberRole::Voter } else { MemberRole::Learner };
    metrics
        .membership_config
        .nodes()
        .map(|(id, seat)| Member { member: *id, peer: seat.peer, role: role(id) })
        .collect()
}

/// What this member does.
pub fn state_in(metrics: &Metrics) -> MemberState {
    if metrics.running_state.is_err() {
        return MemberState::Failed;
    }
    match metrics.state {
        ServerState::Leader => MemberState::Leader,
        ServerState::Candidate => MemberState::Candidate,
        ServerState::Follower => MemberState::Follower,
        ServerState::Learner | ServerState::Shutdown => MemberState::Learner,
    }
}

/// Does the leader's job whenever this member leads, until the group ends.
pub async fn run(raft: Raft, voters_wanted: usize, answered: Arc<Answered>) {
    loop {
        tokio::time::sleep(TICK).await;
        let change = {
            let metrics = raft.metrics();
            let metrics = metrics.borrow();
            if metrics.running_state.is_err() {
                return;
            }
            change(&metrics, voters_wanted, &answered)
        };
        let Some(change) = change else { continue };
        let done = raft.change_membership(ChangeMembers::AddVoterIds(change.clone()), true);
        match tokio::time::timeout(CHANGE_WITHIN, done).await {
            Ok(Ok(_)) => tracing::info!(voters = ?change, "the membership has changed"),
            Ok(Err(error)) => tracing::warn!(%error, "the membership has not changed yet"),
            Err(_) => tracing::warn!("no majority for a change of the membership yet"),
        }
    }
}

/// The learner to make a voter, or nobody, to finish a change that another leader began: between
/// its two steps a group needs the majorities of both, and no leader may leave it there.
fn change(
    metrics: &Metrics,
    voters_wanted: usize,
    answered: &Answered,
) -> Option<BTreeSet<MemberId>> {
    if metrics.state != ServerState::Leader {
        return None;
    }
    let membership = metrics.membership_config.membership();
    if membership.get_joint_config().len() > 1 {
        return Some(BTreeSet::new());
    }
    if membership.voter_ids().count() >= voters_wanted {
        return None;
    }
    let replication = metrics.replication.as_ref()?;
    let enough = metrics.last_log_index?.saturating_sub(CAUGHT_UP_ENTRIES);
    membership
        .learner_ids()
        .filter(|id| answered.within(*id, ANSWERED_WITHIN))
        .filter_map(|id| Some((replication.get(&id)?.as_ref()?.index, id)))
        .filter(|(matched, _)| *matched >= enough)
        .max()
        .map(|(_, id)| [id].into())
}
