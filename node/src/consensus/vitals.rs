//! How a member is, for metrics: what of it is true at this moment, not what was when something
//! last changed.

use std::time::Duration;

use bookmesh_rpc::api::{MemberRole, MemberState};
use bookmesh_storage::view::View;

use super::group::Group;
use super::membership::{members_in, state_in};
use super::proposer::now_ms;

/// How lately a majority must have taken a member for the leader, and a member have answered. Ten
/// heartbeats; and a failover takes less, so an old leader and its successor are hardly ever
/// counted both.
pub const LATELY: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vitals {
    /// It leads, and a majority confirmed that [`LATELY`].
    pub leads: bool,
    /// The election's number.
    pub term: u64,
    /// Who belongs to the group, as this member knows it.
    pub members: Roles,
    /// Of these, itself and who answered it [`LATELY`], if it leads; nobody if it does not.
    pub answering: Roles,
    /// The last entry of its log.
    pub last_index: u64,
    /// The last one that it knows to be committed.
    pub committed_index: u64,
    /// The last one that its view shows.
    pub applied_index: u64,
    /// How far its view may be behind the group, in milliseconds. Before it has caught up with a
    /// leader: at least as long as it is open.
    pub lag_ms: u64,
}

/// Members by role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// Those who vote.
    pub voters: usize,
    /// Those who don't.
    pub learners: usize,
}

impl Roles {
    fn count(roles: impl Iterator<Item = MemberRole>) -> Self {
        let mut counted = Self::default();
        for role in roles {
            match role {
                MemberRole::Voter => counted.voters += 1,
                MemberRole::Learner => counted.learners += 1,
            }
        }
        counted
    }
}

impl<V: View> Group<V> {
    /// How this member is now.
    pub fn vitals(&self) -> Vitals {
        let applied_index = self.read(|shown| shown.applied.map_or(0, |id| id.index));
        let metrics = self.metrics();
        // After a panic its last word stands for ever.
        let runs = metrics.has_changed().is_ok();
        let metrics = metrics.borrow();
        let (term, freshness) = (metrics.current_term, self.freshness());
        let rules = runs && state_in(&metrics) == MemberState::Leader;
        let leads = rules && freshness.is_confirmed(term, LATELY);
        let members = members_in(&metrics);
        let answers = |member| member == self.member() || freshness.answers(term, member, LATELY);
        let answering = members.iter().filter(|known| rules && answers(known.member));
        let open = || u64::try_from(self.opened().elapsed().as_millis()).unwrap_or(u64::MAX);
        let lag_ms = if leads { Some(0) } else { freshness.behind_ms(now_ms()) };
        Vitals {
            leads,
            term,
            members: Roles::count(members.iter().map(|known| known.role)),
            answering: Roles::count(answering.map(|known| known.role)),
            last_index: metrics.last_log_index.unwrap_or(0),
            // What is applied is committed, whatever was noted first.
            committed_index: self.log().committed().max(applied_index),
            applied_index,
            lag_ms: lag_ms.unwrap_or_else(open),
        }
    }
}
