//! How far a follower is behind. With each append, heartbeats included, the leader says as of when
//! a majority last took it for the leader, and what it had applied by then: every write that was
//! acknowledged before that moment is no further in the log. A follower that has applied as much
//! was fresh then.
//!
//! The moment is one that a majority confirmed, not that of sending: a leader that was cut off and
//! deposed goes on sending to whoever is cut off with it, and its word proves nothing.
//!
//! Moments are milliseconds since 1970 by the leader's clock and are held against the follower's,
//! so that a message that lay about is as old as it is. A lag is as exact as the two clocks agree.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bookmesh_rpc::api::MemberId;
use openraft::{LogId, Membership};
use serde::{Deserialize, Serialize};

use super::machine::SharedView;
use super::proposer::now_ms;
use super::types::Seat;

/// Stamps that a follower keeps until it has applied what they name. When it is further behind
/// than that many appends, newer ones are left out, and it takes itself for older than it is.
const MOST_STAMPS: usize = 256;

/// What a leader says with each append.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// A majority took it for the leader then.
    at_ms: u64,
    /// What was acknowledged before is applied up to here.
    applied: u64,
}

/// When an append was sent: by the clock that others hold theirs against, and by the one that
/// nobody sets.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Milliseconds since 1970.
    pub ms: u64,
    /// For what this member decides by itself.
    pub at: Instant,
}

impl Sent {
    /// Just now.
    pub fn now() -> Self {
        Self { ms: now_ms(), at: Instant::now() }
    }

    fn max(self, other: Self) -> Self {
        Self { ms: self.ms.max(other.ms), at: self.at.max(other.at) }
    }
}

/// What a member's view shows.
pub trait View: Send + Sync {
    /// The last entry in it.
    fn applied(&self) -> Option<LogId<MemberId>>;
    /// Reads who belongs to the group.
    fn members(&self, read: &mut dyn FnMut(&Membership<MemberId, Seat>));
}

impl<V: Send + Sync> View for SharedView<V> {
    fn applied(&self) -> Option<LogId<MemberId>> {
        self.read(|shown| shown.applied)
    }

    fn members(&self, read: &mut dyn FnMut(&Membership<MemberId, Seat>)) {
        self.read(|shown| read(shown.membership.membership()));
    }
}

/// See the module. One for each member; what it does depends on whether it leads.
pub struct Freshness {
    own: MemberId,
    view: Arc<dyn View>,
    acks: Mutex<Acks>,
    heard: Mutex<Heard>,
}

/// The leader's side: when the last append was sent that each member has answered, in one term.
#[derive(Default)]
struct Acks {
    term: u64,
    sent: HashMap<MemberId, Sent>,
}

/// The follower's side.
#[derive(Default)]
struct Heard {
    /// Stamps whose entries are not applied yet, oldest first.
    ahead: VecDeque<Stamp>,
    fresh_ms: Option<u64>,
    /// What it vouched for itself when it last led.
    led_ms: Option<u64>,
}

impl Freshness {
    /// Of a member, by what its view shows.
    pub fn new(own: MemberId, view: Arc<dyn View>) -> Arc<Self> {
        let (acks, heard) = Default::default();
        Arc::new(Self { own, view, acks, heard })
    }

    /// A member took an append of this term, sent then.
    pub fn acknowledged(&self, term: u64, member: MemberId, sent: Sent) {
        let mut acks = lock(&self.acks);
        if acks.term < term {
            *acks = Acks { term, ..Acks::default() };
        }
        if acks.term == term {
            acks.sent.entry(member).and_modify(|known| *known = known.max(sent)).or_insert(sent);
        }
    }

    /// What to say with an append of this term; nothing before a majority has answered in it, and
    /// before its first entry is applied, since until then the view may lack what the leader
    /// before had acknowledged.
    pub fn stamp(&self, term: u64, now_ms: u64) -> Option<Stamp> {
        // In this order: what is acknowledged before the moment is applied when it is looked at.
        let at_ms = self.confirmed(term, now_ms, |sent| sent.ms)?;
        let applied = self.view.applied().filter(|id| id.leader_id.term == term)?;
        let mut heard = lock(&self.heard);
        heard.led_ms = heard.led_ms.max(Some(at_ms));
        Some(Stamp { at_ms, applied: applied.index })
    }

    /// Whether a majority took this member for the leader of this term within the last `time`.
    pub fn is_confirmed(&self, term: u64, time: Duration) -> bool {
        let now = Instant::now();
        let confirmed = self.confirmed(term, now, |sent| sent.at);
        confirmed.is_some_and(|at| now.saturating_duration_since(at) <= time)
    }

    /// Whether a member took an append of this term that was sent within the last `time`.
    pub fn answers(&self, term: u64, member: MemberId, time: Duration) -> bool {
        let acks = lock(&self.acks);
        let sent = acks.sent.get(&member).filter(|_| acks.term == term);
        sent.is_some_and(|sent| sent.at.elapsed() <= time)
    }

    /// The latest moment at which a majority took this member for the leader, by one of the two
    /// clocks.
    fn confirmed<T: Ord + Copy>(&self, term: u64, now: T, by: impl Fn(&Sent) -> T) -> Option<T> {
        let acks = lock(&self.acks);
        let answered = |member: &MemberId| match acks.sent.get(member) {
            _ if *member == self.own => Some(now),
            Some(sent) if acks.term == term => Some(by(sent)),
            _ => None,
        };
        let mut confirmed = None;
        self.view.members(&mut |members| {
            // While the membership changes it takes a majority of both.
            let each = members.get_joint_config().iter().map(|voters| {
                let mut moments: Vec<_> = voters.iter().map(answered).collect();
                moments.sort_unstable();
                // That many members, and so a majority, answered at this moment or later.
                moments.get(moments.len().div_ceil(2).checked_sub(1)?).copied().flatten()
            });
            confirmed = each.min().flatten();
        });
        confirmed
    }

    /// The leader said this with an append that was taken.
    pub fn hear(&self, stamp: Stamp) {
        let applied = self.view.applied().map(|id| id.index);
        let mut heard = lock(&self.heard);
        heard.catch_up(applied);
        if heard.ahead.len() < MOST_STAMPS {
            heard.ahead.push_back(stamp);
        }
    }

    /// By how many milliseconds this member may be behind, as a follower; `None` before it has
    /// heard of a leader and caught up with it.
    pub fn lag_ms(&self, now_ms: u64) -> Option<u64> {
        let applied = self.view.applied().map(|id| id.index);
        let mut heard = lock(&self.heard);
        heard.catch_up(applied);
        heard.fresh_ms.map(|fresh_ms| now_ms.saturating_sub(fresh_ms))
    }
}

impl Freshness {
    /// As [`Freshness::lag_ms`], of one that may have led: it was as fresh then as it said. For
    /// people, who want to know how far a leader is behind that was cut off or has just been
    /// followed by another.
    pub fn behind_ms(&self, now_ms: u64) -> Option<u64> {
        let followed = self.lag_ms(now_ms);
        let led = lock(&self.heard).led_ms.map(|led_ms| now_ms.saturating_sub(led_ms));
        followed.into_iter().chain(led).min()
    }
}

impl Heard {
    fn catch_up(&mut self, applied: Option<u64>) {
        let is_applied =
            |stamp: &mut Stamp| applied.is_some_and(|applied| applied >= stamp.applied);
        while let Some(stamp) = self.ahead.pop_front_if(is_applied) {
            self.fresh_ms = self.fresh_ms.max(Some(stamp.at_ms));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use openraft::CommittedLeaderId;

    use super::*;

    struct Shows(Mutex<Option<(u64, u64)>>, Membership<MemberId, Seat>);

    impl Shows {
        fn set(&self, term: u64, index: u64) {
            *lock(&self.0) = Some((term, index));
        }
    }

    impl View for Shows {
        fn applied(&self) -> Option<LogId<MemberId>> {
            lock(&self.0).map(|(term, index)| LogId::new(CommittedLeaderId::new(term, 1), index))
        }

        fn members(&self, read: &mut dyn FnMut(&Membership<MemberId, Seat>)) {
            read(&self.1);
        }
    }

    fn member(voters: &[&[MemberId]]) -> (Arc<Shows>, Arc<Freshness>) {
        let configs: Vec<BTreeSet<_>> =
            voters.iter().map(|voters| voters.iter().copied().collect()).collect();
        let nodes: BTreeMap<_, _> = (1..=9).map(|id| (id, Seat::default())).collect();
        let shows = Arc::new(Shows(Mutex::default(), Membership::new(configs, nodes)));
        let freshness = Freshness::new(1, shows.clone());
        (shows, freshness)
    }

    /// Sent this long after 1970, and now.
    fn sent(ms: u64) -> Sent {
        Sent { ms, at: Instant::now() }
    }

    #[test]
    fn a_leader_vouches_for_the_moment_that_a_majority_confirmed() {
        let (view, leader) = member(&[&[1, 2, 3]]);
        view.set(4, 10);
        assert_eq!(leader.stamp(4, 1000), None, "nobody has answered");
        leader.acknowledged(4, 2, sent(900));
        leader.acknowledged(4, 2, sent(800));
        leader.acknowledged(4, 9, sent(990));
        assert_eq!(leader.stamp(4, 1000), Some(Stamp { at_ms: 900, applied: 10 }));
        leader.acknowledged(4, 3, sent(950));
        assert_eq!(leader.stamp(4, 1000), Some(Stamp { at_ms: 950, applied: 10 }));
        // Cut off, it goes on sending; what it vouches for grows no more.
        assert_eq!(leader.stamp(4, 9000), Some(Stamp { at_ms: 950, applied: 10 }));
    }

    #[test]
    fn what_was_answered_in_another_term_or_applied_before_this_one_proves_nothing() {
        let (view, leader) = member(&[&[1, 2, 3]]);
        view.set(3, 10);
        leader.acknowledged(3, 2, sent(900));
        leader.acknowledged(4, 3, sent(950));
        assert_eq!(leader.stamp(4, 1000), None, "its own first entry is not applied");
        view.set(4, 11);
        assert_eq!(leader.stamp(4, 1000), Some(Stamp { at_ms: 950, applied: 11 }));
        leader.acknowledged(3, 2, sent(980));
        assert_eq!(leader.stamp(5, 1000), None);
        assert_eq!(leader.stamp(4, 1000), Some(Stamp { at_ms: 950, applied: 11 }));
    }

    #[test]
    fn alone_a_leader_confirms_itself_and_in_a_change_it_takes_both_majorities() {
        let (view, alone) = member(&[&[1]]);
        view.set(1, 5);
        assert_eq!(alone.stamp(1, 1000), Some(Stamp { at_ms: 1000, applied: 5 }));
        let (view, changing) = member(&[&[1, 2, 3], &[3, 4, 5]]);
        view.set(1, 5);
        changing.acknowledged(1, 2, sent(900));
        assert_eq!(changing.stamp(1, 1000), None);
        changing.acknowledged(1, 4, sent(700));
        changing.acknowledged(1, 5, sent(800));
        assert_eq!(changing.stamp(1, 1000), Some(Stamp { at_ms: 700, applied: 5 }));
    }

    #[test]
    fn a_leader_is_confirmed_as_long_as_a_majority_answers_in_its_term() {
        const TIME: Duration = Duration::from_secs(2);
        let (_, leader) = member(&[&[1, 2, 3, 4, 5]]);
        let now = Instant::now();
        let ago = |seconds| Sent { ms: 0, at: now - Duration::from_secs(seconds) };
        leader.acknowledged(4, 2, ago(0));
        assert!(!leader.is_confirmed(4, TIME), "two of five");
        leader.acknowledged(4, 3, ago(5));
        leader.acknowledged(4, 9, ago(0));
        assert!(!leader.is_confirmed(4, TIME), "too long ago, or no voter");
        assert!(leader.is_confirmed(4, 2 * TIME + TIME));
        leader.acknowledged(4, 3, ago(1));
        leader.acknowledged(4, 3, ago(5));
        assert!(leader.is_confirmed(4, TIME), "a later word counts");
        assert!(!leader.is_confirmed(5, TIME), "in another term");
        let who: Vec<_> = (1..=9).filter(|id| leader.answers(4, *id, TIME)).collect();
        assert_eq!(who, [2, 3, 9]);
        assert!(!leader.answers(5, 2, TIME));
        let (_, alone) = member(&[&[1]]);
        assert!(alone.is_confirmed(1, Duration::ZERO));
    }

    #[test]
    fn one_that_led_is_as_old_as_it_vouched_for() {
        let (view, leader) = member(&[&[1, 2, 3]]);
        view.set(4, 10);
        assert_eq!(leader.behind_ms(1000), None);
        leader.acknowledged(4, 2, sent(900));
        leader.stamp(4, 950);
        assert_eq!((leader.behind_ms(1000), leader.lag_ms(1000)), (Some(100), None));
        leader.hear(Stamp { at_ms: 990, applied: 11 });
        assert_eq!(leader.behind_ms(1000), Some(100), "it has not applied that yet");
        view.set(5, 11);
        assert_eq!(leader.behind_ms(1000), Some(10));
    }

    #[test]
    fn a_follower_is_as_old_as_the_newest_moment_that_it_has_applied() {
        let (view, follower) = member(&[&[1, 2, 3]]);
        assert_eq!(follower.lag_ms(1000), None);
        follower.hear(Stamp { at_ms: 500, applied: 10 });
        follower.hear(Stamp { at_ms: 700, applied: 20 });
        view.set(1, 9);
        assert_eq!(follower.lag_ms(1000), None);
        view.set(1, 10);
        assert_eq!(follower.lag_ms(1000), Some(500));
        view.set(1, 25);
        assert_eq!(follower.lag_ms(1000), Some(300));
        assert_eq!(follower.lag_ms(600), Some(0), "clocks differ; a lag is never negative");
        follower.hear(Stamp { at_ms: 600, applied: 22 });
        assert_eq!(follower.lag_ms(1000), Some(300), "an older moment takes nothing back");
    }

    #[test]
    fn what_a_follower_keeps_is_bounded() {
        let (view, follower) = member(&[&[1, 2, 3]]);
        for n in 1..=10 * MOST_STAMPS as u64 {
            follower.hear(Stamp { at_ms: n, applied: n });
        }
        assert_eq!(lock(&follower.heard).ahead.len(), MOST_STAMPS);
        view.set(1, u64::MAX);
        assert_eq!(follower.lag_ms(1000), Some(1000 - MOST_STAMPS as u64));
    }
}
