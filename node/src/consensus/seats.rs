//! What the leader should do next about the membership: a plan, made of what is known, with no
//! side effects.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bookmesh_rpc::api::MemberId;

use super::types::Seat;

/// How far behind a member may be and still count as caught up: less than a second's entries.
const CAUGHT_UP_ENTRIES: u64 = 100;
/// How lately a member must have answered to count as alive.
const ALIVE_WITHIN: Duration = Duration::from_secs(1);

/// What the leader knows.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its own number.
    pub me: MemberId,
    /// The voters; two sets while a change is under way.
    pub configs: Vec<BTreeSet<MemberId>>,
    /// Everyone, with how it stands.
    pub members: BTreeMap<MemberId, Stand>,
    /// The last entry in its log.
    pub last_index: u64,
    /// How many voters the group aims for.
    pub voters_wanted: usize,
    /// How long a member may be silent before it is given up.
    pub replace_after: Duration,
    /// Who asked to be taken out.
    pub leaving: BTreeSet<MemberId>,
}

/// How one member stands, as the leader sees it.
#[derive(Clone, Debug)]
pub struct Stand {
    /// Its node and data.
    pub seat: Seat,
    /// How long it has said nothing, or how long this leader leads when it never did.
    pub silent: Duration,
    /// Whether it has answered this leader at all.
    pub answered: bool,
    /// The last entry that it is known to have.
    pub matched: Option<u64>,
}

/// One change of the membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Finish what another leader began: between its two steps a group needs the majorities of
    /// both sets, and no leader may leave it there.
    Finish,
    /// These are the voters; who was one and is none now is no member any more.
    Voters(BTreeSet<MemberId>),
    /// These learners are no members any more.
    Drop(BTreeSet<MemberId>),
}

impl Known {
    /// The next change, if there is anything to change.
    pub fn plan(&self) -> Option<Plan> {
        if self.configs.len() > 1 {
            return Some(Plan::Finish);
        }
        let voters = self.configs.first()?;
        self.without_leavers(voters)
            .or_else(|| self.without_the_silent(voters))
            .or_else(|| self.with_one_more(voters))
            .or_else(|| self.with_fewer(voters))
            .map(Plan::Voters)
            .or_else(|| self.dropped(voters).map(Plan::Drop))
    }

    /// Takes out all voters that want to leave, in one change. Those that remain must be able to
    /// go on at once; where they are not, the leader stays, even if it wants to leave as well.
    fn without_leavers(&self, voters: &BTreeSet<MemberId>) -> Option<BTreeSet<MemberId>> {
        if voters.is_disjoint(&self.leaving) {
            return None;
        }
        let mut rest: BTreeSet<_> = voters.difference(&self.leaving).copied().collect();
        while rest.len() < self.voters_wanted
            && let Some(learner) = self.candidate(&rest)
        {
            rest.insert(learner);
        }
        if !self.can_go_on(&rest) {
            rest.retain(|id| self.is_fit(*id));
        }
        if rest.is_empty() {
            rest.insert(self.me);
        }
        (rest != *voters).then_some(rest)
    }

    /// A learner in the place of a voter that is gone.
    fn without_the_silent(&self, voters: &BTreeSet<MemberId>) -> Option<BTreeSet<MemberId>> {
        let gone = voters.iter().copied().filter(|id| self.is_gone(*id)).min()?;
        let learner = self.candidate(voters)?;
        let mut changed = voters.clone();
        changed.remove(&gone);
        changed.insert(learner);
        self.can_go_on(&changed).then_some(changed)
    }

    fn with_one_more(&self, voters: &BTreeSet<MemberId>) -> Option<BTreeSet<MemberId>> {
        if voters.len() >= self.voters_wanted {
            return None;
        }
        let learner = self.candidate(voters)?;
        let mut changed = voters.clone();
        changed.insert(learner);
        self.can_go_on(&changed).then_some(changed)
    }

    /// One voter less when there are more than wanted: one that is gone, else the newest that does
    /// not lead. It goes on as a learner once it has asked to be seated again.
    fn with_fewer(&self, voters: &BTreeSet<MemberId>) -> Option<BTreeSet<MemberId>> {
        if voters.len() <= self.voters_wanted.max(1) {
            return None;
        }
        let others = voters.iter().copied().filter(|id| *id != self.me);
        let surplus = others.max_by_key(|id| (self.is_gone(*id), *id))?;
        let mut changed = voters.clone();
        changed.remove(&surplus);
        self.can_go_on(&changed).then_some(changed)
    }

    /// Learners that leave, that are gone, or whose node has other data by now.
    fn dropped(&self, voters: &BTreeSet<MemberId>) -> Option<BTreeSet<MemberId>> {
        let learners = self.members.keys().copied().filter(|id| !voters.contains(id));
        let dropped: BTreeSet<_> =
            learners.filter(|id| self.leaving.contains(id) || self.is_gone(*id)).collect();
        (!dropped.is_empty()).then_some(dropped)
    }

    /// The learner that is furthest, among those that could vote now.
    fn candidate(&self, voters: &BTreeSet<MemberId>) -> Option<MemberId> {
        let learners = self.members.keys().copied().filter(|id| !voters.contains(id));
        let fit = learners.filter(|id| !self.leaving.contains(id) && self.is_fit(*id));
        fit.max_by_key(|id| (self.members.get(id).and_then(|stand| stand.matched), *id))
    }

    /// Whether a majority of these can take entries now.
    fn can_go_on(&self, voters: &BTreeSet<MemberId>) -> bool {
        let fit = voters.iter().filter(|id| self.is_fit(**id)).count();
        fit > voters.len() / 2
    }

    /// It lives and has what there is: it would not hold up a quorum that it is part of.
    fn is_fit(&self, id: MemberId) -> bool {
        if id == self.me {
            return true;
        }
        let Some(stand) = self.members.get(&id) else { return false };
        let enough = self.last_index.saturating_sub(CAUGHT_UP_ENTRIES);
        stand.answered
            && stand.silent < ALIVE_WITHIN
            && stand.matched.is_some_and(|matched| matched >= enough)
            && !self.is_superseded(id)
    }

    /// Silent for too long, or never to come back as this member.
    fn is_gone(&self, id: MemberId) -> bool {
        let silent = |stand: &Stand| stand.silent >= self.replace_after;
        id != self.me && (self.is_superseded(id) || self.members.get(&id).is_some_and(silent))
    }

    /// The same node came back with other data, and so under a later number.
    fn is_superseded(&self, id: MemberId) -> bool {
        let Some(stand) = self.members.get(&id) else { return false };
        let later = (std::ops::Bound::Excluded(id), std::ops::Bound::Unbounded);
        self.members.range(later).any(|(_, other)| other.seat.peer == stand.seat.peer)
    }
}

#[cfg(test)]
mod tests {
    use bookmesh_rpc::PeerId;
    use bookmesh_rpc::api::Incarnation;

    use super::*;

    const GRACE: Duration = Duration::from_secs(60);

    fn stand(peer: u8) -> Stand {
        let seat =
            Seat { peer: PeerId::from_bytes([peer; 32]), incarnation: Incarnation::default() };
        Stand { seat, silent: Duration::ZERO, answered: true, matched: Some(1_000) }
    }

    /// Member 1 leads; the first `voters` of `members` vote, and all are well.
    fn known(voters: u64, members: u64) -> Known {
        Known {
            me: 1,
            configs: vec![(1..=voters).collect()],
            members: (1..=members).map(|id| (id, stand(id as u8))).collect(),
            last_index: 1_000,
            voters_wanted: 3,
            replace_after: GRACE,
            leaving: BTreeSet::new(),
        }
    }

    fn voters<const N: usize>(ids: [MemberId; N]) -> Option<Plan> {
        Some(Plan::Voters(ids.into()))
    }

    fn dropped<const N: usize>(ids: [MemberId; N]) -> Option<Plan> {
        Some(Plan::Drop(ids.into()))
    }

    fn silence(known: &mut Known, id: MemberId, silent: Duration) {
        known.members.get_mut(&id).unwrap().silent = silent;
    }

    #[test]
    fn a_whole_group_is_left_alone() {
        assert_eq!(known(3, 3).plan(), None);
        assert_eq!(known(3, 5).plan(), None);
        assert_eq!(known(1, 1).plan(), None);
    }

    #[test]
    fn a_learner_that_lives_and_has_caught_up_becomes_a_voter() {
        assert_eq!(known(1, 2).plan(), voters([1, 2]));
        let mut behind = known(1, 3);
        behind.members.get_mut(&3).unwrap().matched = Some(800);
        behind.members.get_mut(&2).unwrap().matched = None;
        assert_eq!(behind.plan(), None);
        let mut silent = known(1, 2);
        silence(&mut silent, 2, ALIVE_WITHIN);
        assert_eq!(silent.plan(), None);
    }

    #[test]
    fn a_change_that_was_begun_is_finished_first() {
        let mut joint = known(3, 3);
        joint.configs.push([1].into());
        joint.leaving = [2].into();
        assert_eq!(joint.plan(), Some(Plan::Finish));
    }

    #[test]
    fn all_that_leave_are_taken_out_at_once() {
        let mut leaving = known(3, 3);
        leaving.leaving = [1, 2].into();
        assert_eq!(leaving.plan(), voters([3]));
        leaving.leaving = [2, 3].into();
        assert_eq!(leaving.plan(), voters([1]));
    }

    #[test]
    fn the_last_one_stays() {
        let mut all = known(3, 3);
        all.leaving = [1, 2, 3].into();
        assert_eq!(all.plan(), voters([1]));
        let mut alone = known(1, 1);
        alone.leaving = [1].into();
        assert_eq!(alone.plan(), None);
    }

    #[test]
    fn a_rack_is_never_left_to_members_that_are_dead_or_behind() {
        let mut dead = known(3, 3);
        dead.leaving = [1, 2].into();
        silence(&mut dead, 3, Duration::from_secs(5));
        assert_eq!(dead.plan(), voters([1]));
        let mut behind = known(3, 3);
        behind.leaving = [1, 2].into();
        behind.members.get_mut(&3).unwrap().matched = Some(5);
        assert_eq!(behind.plan(), voters([1]));
        let mut one = known(3, 3);
        one.leaving = [2].into();
        silence(&mut one, 3, Duration::from_secs(5));
        assert_eq!(one.plan(), voters([1]), "two of which one is dead could not go on");
    }

    #[test]
    fn a_learner_steps_in_for_one_that_leaves() {
        let mut leaving = known(3, 4);
        leaving.leaving = [2].into();
        assert_eq!(leaving.plan(), voters([1, 3, 4]));
    }

    #[test]
    fn a_learner_steps_in_for_one_that_is_gone_for_longer_than_the_grace_period() {
        let mut gone = known(3, 4);
        silence(&mut gone, 2, GRACE - Duration::from_secs(1));
        assert_eq!(gone.plan(), None);
        silence(&mut gone, 2, GRACE);
        assert_eq!(gone.plan(), voters([1, 3, 4]));
        let mut alone = known(3, 3);
        silence(&mut alone, 2, GRACE);
        assert_eq!(alone.plan(), None, "nobody is there to take its place");
    }

    #[test]
    fn a_node_with_new_data_takes_the_place_of_what_it_was() {
        let mut wiped = known(3, 4);
        wiped.members.get_mut(&4).unwrap().seat = wiped.members[&2].seat.clone();
        assert_eq!(wiped.plan(), voters([1, 3, 4]));
        let mut learner = known(3, 5);
        learner.members.get_mut(&5).unwrap().seat = learner.members[&4].seat.clone();
        assert_eq!(learner.plan(), dropped([4]));
    }

    #[test]
    fn learners_that_leave_or_are_gone_are_dropped() {
        let mut learners = known(3, 5);
        silence(&mut learners, 4, GRACE);
        learners.leaving = [5].into();
        assert_eq!(learners.plan(), dropped([4, 5]));
    }

    #[test]
    fn more_voters_than_wanted_become_fewer_and_the_leader_stays() {
        let mut many = known(5, 5);
        assert_eq!(many.plan(), voters([1, 2, 3, 4]));
        silence(&mut many, 2, GRACE);
        assert_eq!(many.plan(), voters([1, 3, 4, 5]));
    }
}
