//! Where every rack is, as far as this node knows. Read by every request, so a read is one
//! short lock and one reference count; replaced whole, never changed in place.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use crate::api::{
    Kind, MAX_RACKS_OF_A_TYPE, MemberStatus, RackId, RackRoute, RouteTable, Settings,
};
use crate::peer::PeerId;
use tokio::sync::watch;

/// Racks that are remembered although no orchestrator names them: more than this, books and
/// orders together, have no number.
const MAX_REMEMBERED: usize = 2 * MAX_RACKS_OF_A_TYPE as usize;

/// Every rack, by name and by number.
#[derive(Clone, Debug, Default)]
pub struct Table {
    by_number: Vec<Arc<RackRoute>>,
    by_id: HashMap<RackId, Arc<RackRoute>>,
}

impl Table {
    /// A table of these.
    pub fn new(racks: impl IntoIterator<Item = RackRoute>) -> Self {
        Self::of(racks.into_iter().map(Arc::new))
    }

    fn of(racks: impl Iterator<Item = Arc<RackRoute>>) -> Self {
        let by_id: HashMap<_, _> = racks.map(|rack| (rack.id.clone(), rack)).collect();
        let mut by_number: Vec<_> = by_id.values().cloned().collect();
        // Where two racks claim a number, the one with a leader stands first.
        by_number.sort_by_key(|rack| (place(rack), rack.leader.is_none()));
        Self { by_number, by_id }
    }

    /// The rack with this name.
    pub fn rack(&self, id: &RackId) -> Option<&Arc<RackRoute>> {
        self.by_id.get(id)
    }

    /// The rack that made the things of this kind whose ids begin with `number`.
    pub fn numbered(&self, kind: Kind, number: u32) -> Option<&Arc<RackRoute>> {
        let at = self.by_number.partition_point(|rack| place(rack) < (kind, number));
        self.by_number.get(at).filter(|rack| place(rack) == (kind, number))
    }

    /// Racks of a kind, by number.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Arc<RackRoute>> {
        self.by_number.iter().filter(move |rack| rack.kind == kind)
    }

    /// All racks, by kind and number.
    pub fn all(&self) -> &[Arc<RackRoute>] {
        &self.by_number
    }
}

/// A rack by an orchestrator's news, where they are at least as new as what was known.
fn updated(known: &RackRoute, mut news: RackRoute) -> RackRoute {
    if news.term < known.term {
        (news.leader, news.term) = (known.leader, known.term);
    }
    if news.members.is_empty() {
        news.members.clone_from(&known.members);
    }
    // A founding is never undone; a registry that was made anew may not know of it yet.
    news.confirmed |= known.confirmed;
    news
}

/// A rack that no orchestrator speaks for now; its members may still answer.
fn unled(known: &RackRoute) -> RackRoute {
    RackRoute { leader: None, ..known.clone() }
}

fn place(rack: &RackRoute) -> (Kind, u32) {
    (rack.kind, rack.number)
}

/// The table, and whether an orchestrator keeps it fresh right now.
#[derive(Clone, Debug, Default)]
pub struct Knowledge {
    /// Where every rack is.
    pub table: Arc<Table>,
    /// An orchestrator's stream is open: what neither it nor one before it named does not exist.
    pub live: bool,
    /// An orchestrator told its table at least once: what there is beside it is new.
    pub told: bool,
}

/// The current knowledge; everything that learns something writes here.
#[derive(Debug, Default)]
pub struct Directory {
    knowledge: watch::Sender<Knowledge>,
    settings: Mutex<Settings>,
}

impl Directory {
    /// What holds for the whole mesh, as an orchestrator said last.
    pub fn settings(&self) -> Settings {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what an orchestrator said.
    pub fn set_settings(&self, settings: Settings) {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = settings;
    }

    /// What is known now.
    pub fn knowledge(&self) -> Knowledge {
        self.knowledge.borrow().clone()
    }

    /// The table as it is now.
    pub fn table(&self) -> Arc<Table> {
        self.knowledge.borrow().table.clone()
    }

    /// Sees every change.
    pub fn changes(&self) -> watch::Receiver<Knowledge> {
        self.knowledge.subscribe()
    }

    /// An orchestrator sent its whole table.
    ///
    /// One that was just started knows less than was known here, so its table only adds: what a
    /// newer leader said of itself is kept, and so are racks that it does not name. They have no
    /// leader then; a list over all racks still asks their members, so that what does not answer
    /// is missed and not left out. Racks that it says are retired are dropped.
    pub fn replace(&self, routes: RouteTable) {
        self.knowledge.send_modify(|knowledge| {
            let old = knowledge.table.clone();
            let retired: HashSet<_> = routes.retired.into_iter().collect();
            let news = routes.racks.into_iter().map(|news| match old.rack(&news.id) {
                Some(known) => updated(known, news),
                None => news,
            });
            let news = Table::new(news);
            let unnamed = old.all().iter().filter(|known| known.confirmed);
            let unnamed = unnamed.filter(|known| news.rack(&known.id).is_none());
            let unnamed = unnamed.filter(|known| !retired.contains(&known.id));
            let unnamed = unnamed.take(MAX_REMEMBERED).map(|known| Arc::new(unled(known)));
            let table = Table::of(news.all().iter().cloned().chain(unnamed));
            *knowledge = Knowledge { table: Arc::new(table), live: true, told: true };
        });
    }

    /// The orchestrator is gone; its last table stays.
    pub fn detach(&self) {
        self.knowledge.send_if_modified(|knowledge| std::mem::take(&mut knowledge.live));
    }

    /// A member named the leader. Only a hint: the term stays, so that news of it win.
    pub fn believe(&self, rack: &RackId, leader: PeerId) {
        self.put(rack, |route| {
            let news = route.leader != Some(leader);
            route.leader = Some(leader);
            news
        });
    }

    /// A member told how its rack stands.
    pub fn learn(&self, status: &MemberStatus) -> Option<Arc<RackRoute>> {
        let number = status.charter?.number;
        let known = self.table().rack(&status.rack).cloned();
        let learned = RackRoute {
            id: status.rack.clone(),
            kind: status.kind,
            number,
            confirmed: true,
            leader: status.leader,
            term: status.term,
            members: status.members.iter().map(|member| member.peer).collect(),
            things: status.things,
            writable: status.writable,
            since_ms: known.map_or(0, |known| known.since_ms),
        };
        self.knowledge.send_if_modified(|knowledge| {
            let known = knowledge.table.rack(&learned.id);
            let news = known.is_none_or(|known| known.term <= learned.term);
            if news {
                let others = knowledge.table.all().iter().filter(|rack| rack.id != learned.id);
                let all = others.cloned().chain([Arc::new(learned.clone())]);
                knowledge.table = Arc::new(Table::of(all));
            }
            news
        });
        self.table().rack(&status.rack).cloned()
    }

    fn put(&self, rack: &RackId, change: impl FnOnce(&mut RackRoute) -> bool) {
        self.knowledge.send_if_modified(|knowledge| {
            let Some(known) = knowledge.table.rack(rack) else { return false };
            let mut route = RackRoute::clone(known);
            let news = change(&mut route);
            if news {
                let others = knowledge.table.all().iter().filter(|other| other.id != *rack);
                let all = others.cloned().chain([Arc::new(route)]);
                knowledge.table = Arc::new(Table::of(all));
            }
            news
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(byte: u8) -> PeerId {
        PeerId::from_bytes([byte; 32])
    }

    fn route(id: &str, number: u32, things: u64) -> RackRoute {
        RackRoute {
            id: id.parse().unwrap(),
            kind: Kind::Book,
            number,
            confirmed: true,
            leader: Some(peer(1)),
            term: 3,
            members: vec![peer(1), peer(2)],
            things,
            writable: true,
            since_ms: 0,
        }
    }

    fn table(racks: Vec<RackRoute>) -> RouteTable {
        RouteTable { racks, ..RouteTable::default() }
    }

    #[test]
    fn an_id_finds_its_rack_by_number_whatever_the_order_of_the_table() {
        let table = Table::new([route("b", 7, 0), route("a", 2, 0)]);
        assert_eq!(table.numbered(Kind::Book, 7).unwrap().id.as_str(), "b");
        assert!(table.numbered(Kind::Book, 3).is_none());
        assert!(table.numbered(Kind::Order, 7).is_none());
        let numbers: Vec<_> = table.of_kind(Kind::Book).map(|rack| rack.number).collect();
        assert_eq!(numbers, [2, 7]);
    }

    #[test]
    fn routes_stay_when_the_orchestrator_goes() {
        let directory = Directory::default();
        assert!(!directory.knowledge().live);
        directory.replace(table(vec![route("a", 0, 0)]));
        assert!(directory.knowledge().live);
        directory.detach();
        let knowledge = directory.knowledge();
        assert!(!knowledge.live && knowledge.table.all().len() == 1);
    }

    #[test]
    fn a_hint_holds_until_news_of_a_term_come() {
        let directory = Directory::default();
        let id: RackId = "a".parse().unwrap();
        directory.replace(table(vec![route("a", 0, 0)]));
        directory.believe(&id, peer(2));
        assert_eq!(directory.table().rack(&id).unwrap().leader, Some(peer(2)));
        directory.replace(table(vec![route("a", 0, 1)]));
        assert_eq!(directory.table().rack(&id).unwrap().leader, Some(peer(1)));
    }

    /// What stands of `a` once `news` follow on `known`.
    fn after(known: RackRoute, news: Vec<RackRoute>) -> Arc<RackRoute> {
        let directory = Directory::default();
        directory.replace(table(vec![known]));
        directory.replace(table(news));
        directory.table().rack(&"a".parse().unwrap()).unwrap().clone()
    }

    #[test]
    fn a_rack_that_a_new_orchestrator_does_not_name_stays_without_leader() {
        for news in [Vec::new(), vec![route("b", 1, 0)]] {
            let kept = after(route("a", 0, 5), news);
            assert_eq!(*kept, RackRoute { leader: None, ..route("a", 0, 5) });
        }
    }

    #[test]
    fn a_retired_rack_is_dropped_although_it_was_known() {
        let directory = Directory::default();
        directory.replace(table(vec![route("a", 0, 5), route("b", 1, 5)]));
        let retired = vec!["a".parse().unwrap()];
        directory.replace(RouteTable { racks: vec![route("b", 1, 5)], retired });
        let left = directory.table();
        assert!(left.rack(&"a".parse().unwrap()).is_none());
        assert!(left.numbered(Kind::Book, 0).is_none());
        assert_eq!(left.all().len(), 1);
    }

    #[test]
    fn a_rack_that_was_never_founded_is_forgotten_with_its_orchestrator() {
        let directory = Directory::default();
        let racks = vec![RackRoute { confirmed: false, ..route("a", 0, 0) }];
        directory.replace(table(racks));
        directory.replace(RouteTable::default());
        assert!(directory.table().all().is_empty());
    }

    #[test]
    fn an_orchestrator_that_heard_of_no_member_takes_none_away() {
        let unheard = RackRoute { leader: None, term: 0, members: Vec::new(), ..route("a", 0, 0) };
        let kept = after(route("a", 0, 0), vec![unheard]);
        assert_eq!(*kept, route("a", 0, 0));
        let moved = RackRoute { members: vec![peer(4)], ..route("a", 0, 0) };
        assert_eq!(after(route("a", 0, 0), vec![moved.clone()]).members, moved.members);
    }

    #[test]
    fn a_founding_is_not_undone() {
        let anew = RackRoute { confirmed: false, ..route("a", 0, 0) };
        assert!(after(route("a", 0, 0), vec![anew]).confirmed);
    }

    #[test]
    fn a_leader_goes_with_news_of_its_term_and_stays_with_older_ones() {
        let led_by = |leader: Option<u8>, term| {
            let news = RackRoute { leader: leader.map(peer), term, ..route("a", 0, 0) };
            let then = after(route("a", 0, 0), vec![news]);
            (then.leader, then.term)
        };
        assert_eq!(led_by(None, 3), (None, 3));
        assert_eq!(led_by(None, 4), (None, 4));
        assert_eq!(led_by(Some(2), 3), (Some(peer(2)), 3));
        assert_eq!(led_by(Some(2), 2), (Some(peer(1)), 3));
        assert_eq!(led_by(None, 0), (Some(peer(1)), 3));
    }

    #[test]
    fn a_number_that_two_racks_claim_is_that_of_the_one_with_a_leader() {
        let directory = Directory::default();
        directory.replace(table(vec![route("a", 0, 0)]));
        directory.replace(table(vec![route("b", 0, 0)]));
        let table = directory.table();
        assert_eq!(table.numbered(Kind::Book, 0).unwrap().id.as_str(), "b");
        assert_eq!(table.all().len(), 2);
    }
}
