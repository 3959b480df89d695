//! Who belongs to a group, and the leader's standing job: to bring the membership to what it
//! should be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bookmesh_rpc::PeerId;
use bookmesh_rpc::api::{Member, MemberId, MemberRole, MemberState, Settings};
use openraft::{ChangeMembers, RaftMetrics, ServerState};

use super::network::Answered;
use super::seats::{Known, Plan, Stand};
use super::types::{Raft, Seat};

/// How often the leader looks; and how often who does not lead looks whether it does.
const TICK: Duration = Duration::from_millis(100);
const IDLE_TICK: Duration = Duration::from_millis(250);
/// How long a change may take before it is looked at anew.
const CHANGE_WITHIN: Duration = Duration::from_secs(10);
/// How long the leader waits for others that want to leave at the same time: a service that is
/// scaled down stops its replicas together, and one change is safer than one after the other.
const GATHER: Duration = Duration::from_millis(250);

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

/// What the groups of a node aim for: what the node was told, or what the whole mesh was told.
#[derive(Debug)]
pub struct Aims {
    own: (usize, Duration),
    voters: AtomicUsize,
    replace_after_ms: AtomicU64,
}

impl Aims {
    /// So many voters; one that is silent for so long is replaced.
    pub fn new(voters: usize, replace_after: Duration) -> Self {
        Self {
            own: (voters, replace_after),
            voters: AtomicUsize::new(voters),
            replace_after_ms: AtomicU64::new(millis(replace_after)),
        }
    }

    /// The mesh's settings go before the node's own.
    pub fn follow(&self, settings: &Settings) {
        let voters = settings.rack_replicas.map_or(self.own.0, usize::from);
        let replace_after = settings.replace_after_ms.unwrap_or(millis(self.own.1));
        self.voters.store(voters.max(1), Ordering::Relaxed);
        self.replace_after_ms.store(replace_after, Ordering::Relaxed);
    }

    /// How many voters are wanted.
    pub fn voters(&self) -> usize {
        self.voters.load(Ordering::Relaxed)
    }

    fn replace_after(&self) -> Duration {
        Duration::from_millis(self.replace_after_ms.load(Ordering::Relaxed))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Who asked the leader to be taken out.
#[derive(Debug, Default)]
pub struct Leaving(Mutex<BTreeMap<MemberId, Wish>>);

#[derive(Clone, Copy, Debug)]
struct Wish {
    since: Instant,
    /// The leader has looked, and can't do without this one.
    needed: bool,
}

impl Leaving {
    /// One more.
    pub fn add(&self, member: MemberId) {
        self.lock().insert(member, Wish { since: Instant::now(), needed: false });
    }

    /// It is out, or asks no more.
    pub fn remove(&self, member: MemberId) {
        self.lock().remove(&member);
    }

    /// Whether the group can't do without it.
    pub fn is_needed(&self, member: MemberId) -> bool {
        self.lock().get(&member).is_some_and(|wish| wish.needed)
    }

    /// All of them, once there was time for others to ask as well.
    fn gathered(&self) -> BTreeSet<MemberId> {
        let wishes = self.lock();
        let waited = wishes.values().map(|wish| wish.since.elapsed()).max();
        if waited.is_some_and(|waited| waited >= GATHER) {
            wishes.keys().copied().collect()
        } else {
            BTreeSet::new()
        }
    }

    fn set_needed(&self, members: &BTreeSet<MemberId>) {
        for (member, wish) in self.lock().iter_mut() {
            wish.needed = members.contains(member);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<MemberId, Wish>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does the leader's job whenever this member leads, until the group ends.
pub async fn run(raft: Raft, aims: Arc<Aims>, answered: Arc<Answered>, leaving: Arc<Leaving>) {
    // Since when this leader leads each member.
    let mut led = BTreeMap::new();
    loop {
        tokio::time::sleep(if led.is_empty() { IDLE_TICK } else { TICK }).await;
        let plan = {
            let metrics = raft.metrics();
            let metrics = metrics.borrow();
            if metrics.running_state.is_err() {
                return;
            }
            if metrics.state != ServerState::Leader {
                led.clear();
                continue;
            }
            note_members(&mut led, &metrics);
            let known = known(&metrics, &aims, &answered, leaving.gathered(), &led);
            let Some(known) = known else { continue };
            let plan = known.plan();
            if plan.is_none() {
                // Whoever wants to leave and still is a member stays, being needed.
                leaving.set_needed(&known.leaving);
            }
            plan
        };
        if let Some(plan) = plan {
            carry_out(&raft, plan).await;
        }
    }
}

fn note_members(led: &mut BTreeMap<MemberId, Instant>, metrics: &Metrics) {
    let members = metrics.membership_config.membership();
    led.retain(|id, _| members.get_node(id).is_some());
    for (id, _) in members.nodes() {
        led.entry(*id).or_insert_with(Instant::now);
    }
}

async fn carry_out(raft: &Raft, plan: Plan) {
    let change = match &plan {
        Plan::Finish => ChangeMembers::AddVoterIds(BTreeSet::new()),
        Plan::Voters(voters) => ChangeMembers::ReplaceAllVoters(voters.clone()),
        Plan::Drop(learners) => ChangeMembers::RemoveNodes(learners.clone()),
    };
    match tokio::time::timeout(CHANGE_WITHIN, raft.change_membership(change, false)).await {
        Ok(Ok(_)) => tracing::info!(?plan, "the membership has changed"),
        Ok(Err(error)) => tracing::warn!(?plan, %error, "the membership has not changed yet"),
        Err(_) => tracing::warn!(?plan, "no majority for a change of the membership yet"),
    }
}

/// What the leader knows; nothing when it does not lead.
fn known(
    metrics: &Metrics,
    aims: &Aims,
    answered: &Answered,
    leaving: BTreeSet<MemberId>,
    led: &BTreeMap<MemberId, Instant>,
) -> Option<Known> {
    let replication = metrics.replication.as_ref()?;
    let membership = metrics.membership_config.membership();
    let stand = |(id, seat): (&MemberId, &Seat)| {
        // What it answered when this member led before says nothing about now.
        let led = led.get(id).map(Instant::elapsed).unwrap_or_default();
        let since = answered.elapsed(*id).filter(|since| *since < led);
        let stand = Stand {
            seat: seat.clone(),
            silent: since.unwrap_or(led),
            answered: since.is_some(),
            matched: replication.get(id).and_then(Option::as_ref).map(|matched| matched.index),
        };
        (*id, stand)
    };
    Some(Known {
        me: metrics.id,
        configs: membership.get_joint_config().clone(),
        members: membership.nodes().map(stand).collect(),
        last_index: metrics.last_log_index?,
        voters_wanted: aims.voters(),
        replace_after: aims.replace_after(),
        leaving,
    })
}
