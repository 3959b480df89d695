//! When a member stands for election.
//!
//! openraft draws its election timeout once per instance, so two survivors can tie forever. Here
//! its own elections are off, and every attempt waits for a moment drawn anew. And before an
//! attempt the voters are asked whether they would vote for this member at all: one that was cut
//! off, or that does not know yet that it was taken out of the membership, would otherwise end a
//! leader's term each time it comes back. (Raft's thesis calls it pre-vote, section 9.6.)

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bookmesh_rpc::api::MemberId;
use bookmesh_storage::Group;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use openraft::ServerState;
use rand::Rng;

use super::network::Network;
use super::types::{Raft, Seat};

/// Heartbeats of a leader; openraft also gives up on one append after this long, so it has to
/// hold a slow disk's flush.
pub const HEARTBEAT: Duration = Duration::from_millis(200);
/// How long a member keeps to a leader it has heard of: it grants no vote and stands for none.
/// Four heartbeats, so that one lost message or a busy disk changes nothing.
pub const LEASE: Duration = Duration::from_millis(800);
/// What is drawn on top, for each attempt anew. With the lease it stays well under the two
/// seconds that a failover may take, and it is much longer than a vote takes.
const JITTER: Duration = Duration::from_millis(400);
/// What a member whose disk is full waits longer than others: several draws.
pub const PATIENCE_WHEN_FULL: Duration = Duration::from_millis(1_200);
/// The shortest and the longest time between two looks: a change of the membership may make an
/// election due earlier than was thought.
const LOOK: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));
/// How long the voters may take to say whether they would vote.
const CANVASS: Duration = Duration::from_millis(300);

/// When this member last heard from a leader, or gave its vote away; never, when it has just
/// started.
#[derive(Debug, Default)]
pub struct LastHeard(Mutex<Option<Instant>>);

impl LastHeard {
    /// It did now.
    pub fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether it did within the last `time`.
    pub fn within(&self, time: Duration) -> bool {
        self.left_of(time) > Duration::ZERO
    }

    /// What is left of a time that began when it last did.
    fn left_of(&self, time: Duration) -> Duration {
        let heard = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.map_or(Duration::ZERO, |at| time.saturating_sub(at.elapsed()))
    }
}

/// Stands for election whenever it is due, until the group ends.
pub async fn run(raft: Raft, heard: Arc<LastHeard>, network: Network, disk: Group) {
    // A member that has just started waits for no lease: if there is a leader, the others say so.
    let mut next = draw();
    tokio::time::sleep(next).await;
    loop {
        let patience = next;
        // One without room lets those that have some stand first.
        let patience = match disk.room() {
            Ok(()) => patience,
            Err(_) => patience + PATIENCE_WHEN_FULL,
        };
        match due(&raft, &heard, patience) {
            Due::Ended => return,
            Due::In(wait) => {
                tokio::time::sleep(wait.clamp(LOOK.0, LOOK.1)).await;
                continue;
            }
            Due::Now => {}
        }
        // Heartbeats may wait behind a slow flush; what waits is handled before this comes back.
        let caught_up = raft.with_raft_state(|_| ());
        match tokio::time::timeout(LEASE, caught_up).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            Err(_) => continue,
        }
        if !matches!(due(&raft, &heard, patience), Due::Now) {
            continue;
        }
        if !canvass(&raft, &network).await {
            // Not heard from a leader, so the lease is over; the next attempt is drawn anew.
            tokio::time::sleep(draw() + LOOK.0).await;
            continue;
        }
        if !matches!(due(&raft, &heard, patience), Due::Now) {
            continue;
        }
        let term = raft.metrics().borrow().current_term;
        if raft.trigger().elect().await.is_err() {
            return;
        }
        heard.now();
        // The first wait was for the lease; after a vote that was split there is none.
        next = draw() + LOOK.0 * 4;
        if new_leader(&raft, term, next).await {
            next = LEASE + draw();
        }
    }
}

enum Due {
    Now,
    In(Duration),
    Ended,
}

fn due(raft: &Raft, heard: &LastHeard, patience: Duration) -> Due {
    let metrics = raft.metrics();
    let metrics = metrics.borrow();
    if metrics.running_state.is_err() {
        return Due::Ended;
    }
    if metrics.state == ServerState::Leader {
        // A leader that is deposed gives its successor the lease that every member gives.
        heard.now();
        return Due::In(LEASE / 8);
    }
    let members = &metrics.membership_config;
    if !members.voter_ids().any(|id| id == metrics.id) {
        return Due::In(LOOK.1);
    }
    let alone = members.voter_ids().count() == 1;
    match heard.left_of(patience) {
        left if left.is_zero() || alone => Due::Now,
        left => Due::In(left),
    }
}

/// Whether a quorum would vote for this member.
async fn canvass(raft: &Raft, network: &Network) -> bool {
    let (me, voters, configs) = {
        let metrics = raft.metrics();
        let metrics = metrics.borrow();
        let members = metrics.membership_config.membership();
        let voters: BTreeSet<_> = members.voter_ids().collect();
        let seats: Vec<(MemberId, Seat)> = members
            .nodes()
            .filter(|(id, _)| voters.contains(id) && **id != metrics.id)
            .map(|(id, seat)| (*id, seat.clone()))
            .collect();
        (metrics.id, seats, members.get_joint_config().clone())
    };
    let mut for_me = BTreeSet::from([me]);
    if is_quorum(&configs, &for_me) {
        return true;
    }
    let asked = voters.into_iter().map(|(id, seat)| async move {
        network.would_vote(me, id, &seat, CANVASS).await.then_some(id)
    });
    let mut answers: FuturesUnordered<_> = asked.collect();
    while let Some(answer) = answers.next().await {
        for_me.extend(answer);
        if is_quorum(&configs, &for_me) {
            return true;
        }
    }
    false
}

/// Whether these are a majority of every one of the voter sets.
pub fn is_quorum(configs: &[BTreeSet<MemberId>], members: &BTreeSet<MemberId>) -> bool {
    configs.iter().all(|voters| voters.intersection(members).count() > voters.len() / 2)
}

/// Whether a leader of a later term than `before` is known within `patience`.
async fn new_leader(raft: &Raft, before: u64, patience: Duration) -> bool {
    let mut metrics = raft.metrics();
    let known = metrics.wait_for(|now| now.current_term > before && now.current_leader.is_some());
    matches!(tokio::time::timeout(patience, known).await, Ok(Ok(_)))
}

fn draw() -> Duration {
    rand::rng().random_range(Duration::ZERO..JITTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quorum_is_a_majority_of_both_sets_while_the_membership_changes() {
        let joint = [BTreeSet::from([1, 2, 3]), BTreeSet::from([3, 4, 5])];
        let is = |members: &[MemberId]| is_quorum(&joint, &members.iter().copied().collect());
        assert!(is(&[2, 3, 4]));
        assert!(!is(&[1, 2, 3]) && !is(&[3, 4, 5]) && !is(&[1, 2, 4]));
    }

    #[test]
    fn who_has_just_started_owes_nobody_a_lease() {
        let heard = LastHeard::default();
        assert!(!heard.within(LEASE));
        heard.now();
        assert!(heard.within(LEASE) && !heard.within(Duration::ZERO));
    }
}
