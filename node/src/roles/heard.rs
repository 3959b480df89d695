//! What an orchestrator has in memory: who was heard of, and the routes that follow from it and
//! from the registry. Kept by rack, so that one announcement touches only the racks in it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use bookmesh_rpc::PeerId;
use bookmesh_rpc::api::{
    Charter, MemberState, MemberStatus, NodeInfo, NodeRole, RackId, RackInfo, RackRoute, RouteTable,
};

/// Nodes that are remembered; further ones are not, so that announcements can't fill the memory.
const MAX_NODES: usize = 10_000;
/// How long a node that is silent stays in the list of nodes.
const FORGET_NODE: Duration = Duration::from_secs(10 * 60);
/// How long a leader's word is good when it has stopped announcing.
const LEADER_WORD: Duration = Duration::from_secs(3);

/// What the registry makes of a group that bears a rack's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It is the rack, or nothing is known against it.
    Counts,
    /// It is the rack, and the registry has to be told: it does not know it, or not yet that it
    /// was recovered.
    News,
    /// Another group is the rack.
    Superseded,
    /// The rack is out of use.
    Retired,
}

/// Judges a group by what its log says it is; see [`bookmesh_rpc::api::Lineage`].
pub fn judge(info: Option<&RackInfo>, charter: Option<Charter>) -> Judgement {
    let Some(info) = info else {
        return charter.map_or(Judgement::Counts, |_| Judgement::News);
    };
    let Some(charter) = charter.filter(|_| !info.retired) else {
        return if info.retired { Judgement::Retired } else { Judgement::Counts };
    };
    let (known, its) = (info.lineage(), charter.lineage);
    if !info.confirmed {
        // Its group has begun, whatever became of the founder that the registry waits for.
        return Judgement::News;
    }
    if charter.number != info.number || its.founding != known.founding {
        return Judgement::Superseded;
    }
    match its.recoveries.cmp(&known.recoveries) {
        std::cmp::Ordering::Less => Judgement::Superseded,
        std::cmp::Ordering::Equal => Judgement::Counts,
        std::cmp::Ordering::Greater => Judgement::News,
    }
}

/// One node, as it announced itself.
#[derive(Debug)]
struct Node {
    info: NodeInfo,
    at: Instant,
    /// Its word of leading has run out.
    silent: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Heard {
    nodes: BTreeMap<PeerId, Node>,
    /// By rack, what each of its members said last.
    members: HashMap<RackId, BTreeMap<PeerId, MemberStatus>>,
    routes: BTreeMap<RackId, RackRoute>,
    retired: BTreeSet<RackId>,
}

/// How soon watchers are told of what changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Nothing changed.
    None,
    /// A count; with the next beat.
    Later,
    /// A leader, a member; at once.
    Now,
}

impl Heard {
    /// A node announced itself; answers the racks that this may concern, for [`Heard::update`].
    pub fn hear(
        &mut self,
        info: NodeInfo,
        statuses: Vec<MemberStatus>,
        now: Instant,
    ) -> BTreeSet<RackId> {
        let peer = info.peer;
        if self.nodes.len() >= MAX_NODES && !self.nodes.contains_key(&peer) {
            return BTreeSet::new();
        }
        let racks: BTreeSet<_> = info.racks.iter().cloned().collect();
        let mut concerned = racks.clone();
        if let Some(before) = self.nodes.insert(peer, Node { info, at: now, silent: false }) {
            for rack in before.info.racks {
                if !racks.contains(&rack) {
                    self.leave(&rack, peer);
                }
                concerned.insert(rack);
            }
        }
        for status in statuses {
            self.members.entry(status.rack.clone()).or_default().insert(peer, status);
        }
        concerned
    }

    /// Forgets nodes that were silent for long, and takes silent leaders at their word no more;
    /// answers the racks that this may concern.
    pub fn expire(&mut self, now: Instant) -> BTreeSet<RackId> {
        let mut concerned = BTreeSet::new();
        let mut gone = Vec::new();
        for (peer, node) in &mut self.nodes {
            let silence = now.saturating_duration_since(node.at);
            if silence >= LEADER_WORD && !node.silent {
                node.silent = true;
                concerned.extend(node.info.racks.iter().cloned());
            }
            if silence >= FORGET_NODE {
                gone.push(*peer);
            }
        }
        for peer in gone {
            for rack in self.nodes.remove(&peer).into_iter().flat_map(|node| node.info.racks) {
                self.leave(&rack, peer);
                concerned.insert(rack);
            }
        }
        concerned
    }

    fn leave(&mut self, rack: &RackId, peer: PeerId) {
        if let Some(members) = self.members.get_mut(rack) {
            members.remove(&peer);
            if members.is_empty() {
                self.members.remove(rack);
            }
        }
    }

    /// Works out the routes of these racks anew; `info` is what the registry has of one.
    pub fn update(
        &mut self,
        racks: impl IntoIterator<Item = RackId>,
        info: impl Fn(&RackId) -> Option<RackInfo>,
    ) -> Urgency {
        let each = racks.into_iter().map(|rack| self.update_one(&rack, info(&rack)));
        each.max().unwrap_or(Urgency::None)
    }

    fn update_one(&mut self, rack: &RackId, info: Option<RackInfo>) -> Urgency {
        let Some(info) = info else {
            return if self.routes.remove(rack).is_some() { Urgency::Now } else { Urgency::None };
        };
        if info.retired {
            let known = !self.retired.insert(rack.clone());
            let unrouted = self.routes.remove(rack).is_none();
            return if known && unrouted { Urgency::None } else { Urgency::Now };
        }
        let route = self.route(info);
        match self.routes.insert(rack.clone(), route.clone()) {
            Some(before) if before == route => Urgency::None,
            Some(before) if before == (RackRoute { things: before.things, ..route }) => {
                Urgency::Later
            }
            _ => Urgency::Now,
        }
    }

    /// A rack's route, by what its members last said: the leader is the one with the highest term.
    fn route(&self, rack: RackInfo) -> RackRoute {
        let all = || self.members.get(&rack.id).into_iter().flatten();
        let recoveries = |status: &MemberStatus| Some(status.charter?.lineage.recoveries);
        let counts = |status: &MemberStatus| judge(Some(&rack), status.charter);
        let ours = || all().filter(|(_, status)| counts(status) != Judgement::Superseded);
        // Members from before a recovery don't count from the moment on that it is heard of.
        let newest = ours().filter_map(|(_, status)| recoveries(status)).max();
        let ours =
            || ours().filter(|(_, status)| recoveries(status).is_none_or(|of| Some(of) == newest));
        let heeded = |peer: &PeerId| self.nodes.get(peer).is_some_and(|node| !node.silent);
        let leader = ours()
            .filter(|(peer, status)| status.state == MemberState::Leader && heeded(peer))
            .max_by_key(|(_, status)| status.term);
        let term = ours().map(|(_, status)| status.term).max().unwrap_or(0);
        let things = ours().map(|(_, status)| status.things).max().unwrap_or(0);
        RackRoute {
            leader: leader.map(|(peer, _)| *peer),
            term: leader.map_or(term, |(_, status)| status.term),
            members: ours().map(|(peer, _)| *peer).collect(),
            things: leader.map_or(things, |(_, status)| status.things),
            writable: leader.is_some_and(|(_, status)| status.writable),
            kind: rack.kind,
            number: rack.number,
            confirmed: rack.confirmed,
            since_ms: rack.since_ms,
            id: rack.id.clone(),
        }
    }

    /// The node that leads a rack, by the routes.
    pub fn leader(&self, rack: &RackId) -> Option<PeerId> {
        self.routes.get(rack)?.leader
    }

    /// Who said that it holds a rack, whoever leads it.
    pub fn holders(&self, rack: &RackId) -> Vec<PeerId> {
        self.members.get(rack).into_iter().flatten().map(|(peer, _)| *peer).collect()
    }

    /// The racks that have a route.
    pub fn routed(&self) -> Vec<RackId> {
        self.routes.keys().cloned().collect()
    }

    /// All routes, by kind and number.
    pub fn table(&self) -> RouteTable {
        let mut racks: Vec<_> = self.routes.values().cloned().collect();
        racks.sort_by_key(|route| (route.kind, route.number));
        RouteTable { racks, retired: self.retired.iter().cloned().collect() }
    }

    /// Everyone who was heard of.
    pub fn nodes(&self) -> Vec<NodeInfo> {
        self.nodes.values().map(|node| node.info.clone()).collect()
    }

    /// Orchestrators that were heard of lately.
    pub fn orks(&self) -> Vec<PeerId> {
        let orks = self.nodes.iter().filter(|(_, node)| node.info.role == NodeRole::Ork);
        orks.filter(|(_, node)| !node.silent).map(|(peer, _)| *peer).collect()
    }
}

#[cfg(test)]
mod tests {
    use bookmesh_rpc::api::{Incarnation, Kind, Lineage};

    use super::*;
    use crate::roles::samples;

    fn peer(n: u8) -> PeerId {
        PeerId::from_bytes([n; 32])
    }

    fn rack(n: u32) -> RackId {
        format!("r{n}").parse().unwrap()
    }

    fn lineage(recoveries: u32) -> Lineage {
        Lineage { founding: Incarnation::default(), recoveries }
    }

    fn info(n: u32) -> RackInfo {
        RackInfo {
            id: rack(n),
            kind: Kind::Book,
            number: n,
            founder: peer(1),
            incarnation: Incarnation::default(),
            recoveries: 0,
            confirmed: true,
            since_ms: 0,
            retired: false,
        }
    }

    fn charter(number: u32, recoveries: u32) -> Option<Charter> {
        Some(Charter { number, lineage: lineage(recoveries) })
    }

    fn status(n: u32, state: MemberState, term: u64) -> MemberStatus {
        MemberStatus {
            rack: rack(n),
            charter: charter(n, 0),
            term,
            last_term: term,
            ..samples::status(state)
        }
    }

    fn node(n: u8, racks: &[MemberStatus]) -> NodeInfo {
        NodeInfo {
            peer: peer(n),
            role: NodeRole::Worker,
            version: String::new(),
            addresses: Vec::new(),
            racks: racks.iter().map(|status| status.rack.clone()).collect(),
            last_seen_ms: 0,
        }
    }

    /// `n` announces these; all racks are registered as [`info`] has them.
    fn hear(heard: &mut Heard, n: u8, racks: Vec<MemberStatus>, now: Instant) -> Urgency {
        let concerned = heard.hear(node(n, &racks), racks, now);
        heard.update(concerned, registered)
    }

    fn registered(id: &RackId) -> Option<RackInfo> {
        id.as_str()[1..].parse().ok().map(info)
    }

    fn only(heard: &Heard) -> RackRoute {
        let mut table = heard.table();
        assert_eq!(table.racks.len(), 1);
        table.racks.remove(0)
    }

    #[test]
    fn another_group_of_the_same_name_is_told_from_the_rack() {
        let known = info(3);
        let other = Lineage { founding: Incarnation::generate(), recoveries: 9 };
        let of = |number, lineage| Some(Charter { number, lineage });
        assert_eq!(judge(None, charter(3, 0)), Judgement::News);
        assert_eq!(judge(None, None), Judgement::Counts);
        assert_eq!(judge(Some(&known), None), Judgement::Counts);
        assert_eq!(judge(Some(&known), charter(3, 0)), Judgement::Counts);
        assert_eq!(judge(Some(&known), charter(3, 1)), Judgement::News);
        assert_eq!(judge(Some(&known), of(3, other)), Judgement::Superseded);
        assert_eq!(judge(Some(&known), charter(4, 0)), Judgement::Superseded);
        let recovered = RackInfo { recoveries: 2, ..info(3) };
        assert_eq!(judge(Some(&recovered), charter(3, 1)), Judgement::Superseded);
        let waiting = RackInfo { confirmed: false, ..info(3) };
        assert_eq!(judge(Some(&waiting), of(3, other)), Judgement::News);
        for charter in [None, charter(3, 7)] {
            let retired = RackInfo { retired: true, ..info(3) };
            assert_eq!(judge(Some(&retired), charter), Judgement::Retired);
        }
    }

    #[test]
    fn the_leader_with_the_highest_term_has_the_rack_while_it_speaks() {
        let (mut heard, now) = (Heard::default(), Instant::now());
        let leads = |term| vec![status(0, MemberState::Leader, term)];
        assert_eq!(hear(&mut heard, 1, leads(1), now), Urgency::Now);
        assert_eq!(hear(&mut heard, 2, leads(2), now), Urgency::Now);
        assert_eq!((only(&heard).leader, only(&heard).term), (Some(peer(2)), 2));
        assert_eq!(only(&heard).members, [peer(1), peer(2)]);

        let later = now + LEADER_WORD;
        hear(&mut heard, 1, vec![status(0, MemberState::Follower, 2)], later);
        let concerned = heard.expire(later);
        assert_eq!(concerned, [rack(0)].into());
        assert_eq!(heard.update(concerned, registered), Urgency::Now);
        assert_eq!(only(&heard).leader, None);
        assert!(heard.expire(later).is_empty(), "it is silent already");
        assert_eq!(hear(&mut heard, 2, leads(2), later), Urgency::Now);
        assert_eq!(only(&heard).leader, Some(peer(2)));
    }

    #[test]
    fn a_count_is_not_urgent_and_the_same_again_is_nothing() {
        let (mut heard, now) = (Heard::default(), Instant::now());
        let with = |things| {
            vec![MemberStatus { things, applied_index: 99, ..status(0, MemberState::Leader, 1) }]
        };
        assert_eq!(hear(&mut heard, 1, with(5), now), Urgency::Now);
        assert_eq!(hear(&mut heard, 1, with(5), now), Urgency::None);
        assert_eq!(hear(&mut heard, 1, with(6), now), Urgency::Later);
        assert_eq!(only(&heard).things, 6);
    }

    #[test]
    fn an_announcement_concerns_its_own_racks_and_those_it_names_no_more() {
        let (mut heard, now) = (Heard::default(), Instant::now());
        for n in 0..50 {
            hear(&mut heard, 9, vec![status(n, MemberState::Follower, 1)], now);
        }
        let racks = vec![status(1, MemberState::Leader, 1)];
        let concerned = heard.hear(node(9, &racks), racks, now);
        assert_eq!(concerned, [rack(1), rack(49)].into());
        heard.update(concerned, registered);
        assert_eq!(heard.holders(&rack(49)), []);
        assert_eq!(heard.holders(&rack(1)), [peer(9)]);
    }

    #[test]
    fn members_of_another_history_are_not_routed_to() {
        let (mut heard, now) = (Heard::default(), Instant::now());
        let from = |recoveries, term| {
            let charter = charter(0, recoveries);
            vec![MemberStatus { charter, ..status(0, MemberState::Leader, term) }]
        };
        hear(&mut heard, 1, from(0, 9), now);
        hear(&mut heard, 2, from(1, 3), now);
        assert_eq!(only(&heard).leader, Some(peer(2)), "recovered, although its term is lower");
        assert_eq!(only(&heard).members, [peer(2)]);

        let mut other = from(5, 99);
        let founding = Incarnation::generate();
        other[0].charter =
            Some(Charter { number: 0, lineage: Lineage { founding, recoveries: 5 } });
        hear(&mut heard, 3, other, now);
        assert_eq!(only(&heard).leader, Some(peer(2)));
    }

    #[test]
    fn a_retired_rack_has_no_route_and_is_named_apart() {
        let (mut heard, now) = (Heard::default(), Instant::now());
        hear(&mut heard, 1, vec![status(0, MemberState::Leader, 1)], now);
        let retired = |_: &RackId| Some(RackInfo { retired: true, ..info(0) });
        assert_eq!(heard.update([rack(0)], retired), Urgency::Now);
        assert_eq!(heard.table(), RouteTable { racks: Vec::new(), retired: vec![rack(0)] });
        assert_eq!(heard.update([rack(0)], retired), Urgency::None);
        assert_eq!(heard.leader(&rack(0)), None);
        assert_eq!(heard.holders(&rack(0)), [peer(1)], "who is to be told");
    }

    #[test]
    fn a_node_that_is_silent_for_long_is_forgotten() {
        let (mut heard, now) = (Heard::default(), Instant::now());
        hear(&mut heard, 1, vec![status(0, MemberState::Follower, 1)], now);
        let concerned = heard.expire(now + FORGET_NODE);
        heard.update(concerned, registered);
        assert!(heard.nodes().is_empty());
        assert_eq!(only(&heard).members, []);
    }
}
