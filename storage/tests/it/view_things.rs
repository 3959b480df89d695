//! What a rack answers.

use bookmesh_rpc::PeerId;
use bookmesh_rpc::api::{
    Action, ApiError, Applied, Batch, Command, Consistency, Filter, Incarnation, Kind, ListThings,
    NewThing, OnConflict, Outcome, RackId, Registered, RequestKey, RetryKey, Status, StatusRule,
    Thing, ThingId, ThingPatch,
};
use bookmesh_storage::view::{REMEMBERED_MS, Things, View};
use std::sync::Arc;

struct Rack {
    view: Things,
    index: u64,
    time_ms: u64,
}

impl Rack {
    fn new() -> Self {
        let mut rack = Self { view: Things::default(), index: 0, time_ms: 1000 };
        let id = "book-rack-001".parse().unwrap();
        rack.run(Action::FoundRack {
            rack: id,
            kind: Kind::Book,
            number: 0,
            founding: Incarnation::default(),
        })
        .unwrap();
        rack
    }

    fn run(&mut self, action: Action) -> Outcome {
        self.keyed(None, action)
    }

    fn keyed(&mut self, key: Option<u64>, action: Action) -> Outcome {
        let key = key.map(|sequence| RequestKey::Retry(RetryKey { session: 1, sequence, part: 0 }));
        let command = Command { key, request_id: "test".parse().unwrap(), action };
        let batch = Batch { time_ms: self.time_ms, commands: vec![command] };
        self.index += 1;
        self.view.apply(self.index, &batch).remove(0)
    }

    fn add(&mut self, thing: NewThing) -> Arc<Thing> {
        self.register(thing, OnConflict::Allow).unwrap().1
    }

    fn register(
        &mut self,
        thing: NewThing,
        on_conflict: OnConflict,
    ) -> Result<(Registered, Arc<Thing>), ApiError> {
        match self.run(Action::Register { thing, on_conflict })? {
            Applied::Registered(how, thing) => Ok((how, thing)),
            other => panic!("{other:?}"),
        }
    }
}

fn book(name: &str, author: &str) -> NewThing {
    NewThing {
        tags: vec!["fiction".into()],
        name: name.into(),
        author: author.into(),
        status: Status::Available,
        holder: None,
        extra: [].into(),
    }
}

fn id(id: u64) -> ThingId {
    ThingId::from_u64(id).unwrap()
}

fn forget(ids: &[u64]) -> Action {
    Action::Forget { ids: ids.iter().map(|n| id(*n)).collect(), if_version: None }
}

fn rename(of: u64, name: &str, if_version: Option<u64>) -> Action {
    let patch = ThingPatch { name: Some(name.into()), ..ThingPatch::default() };
    Action::Update { id: id(of), patch, status_rule: StatusRule::Edit, if_version }
}

fn query() -> ListThings {
    let (filter, consistency) = (Filter::default(), Consistency::Eventual { max_lag_ms: None });
    let rack = "book-rack-001".parse().unwrap();
    ListThings { rack, filter, after: None, offset: 0, limit: 100, consistency }
}

fn ids(list: &[Arc<Thing>]) -> Vec<u64> {
    list.iter().map(|thing| thing.id.get()).collect()
}

#[test]
fn ids_count_from_one_and_are_never_given_twice() {
    let mut rack = Rack::new();
    assert_eq!(rack.add(book("a", "x")).id.get(), 1);
    assert_eq!(rack.add(book("b", "x")).id.get(), 2);
    rack.run(forget(&[2])).unwrap();
    assert_eq!(rack.add(book("b", "x")).id.get(), 3);
}

#[test]
fn a_repeated_key_gets_its_first_answer_and_changes_nothing() {
    let mut rack = Rack::new();
    let add = Action::Register { thing: book("a", "x"), on_conflict: OnConflict::Allow };
    let first = rack.keyed(Some(7), add.clone());
    rack.run(rename(1, "changed", None)).unwrap();
    rack.time_ms += REMEMBERED_MS - 1;
    assert_eq!(rack.keyed(Some(7), add.clone()), first);
    assert_eq!(rack.view.len(), 1);
    rack.time_ms += 1;
    assert_ne!(rack.keyed(Some(7), add), first, "forgotten after its time");
}

#[test]
fn a_clock_that_jumps_back_does_not_take_time_with_it() {
    let mut rack = Rack::new();
    rack.time_ms = 5000;
    rack.add(book("a", "x"));
    rack.time_ms = 10;
    assert_eq!(rack.add(book("b", "x")).info.created_at_ms, 5000);
}

#[test]
fn the_lowest_id_is_the_one_that_an_import_finds() {
    let mut rack = Rack::new();
    rack.add(book("Dune", "Herbert"));
    rack.add(book("Dune", "Herbert"));
    let found = |(how, thing): (Registered, Arc<Thing>)| (how, thing.id.get());
    let again = || book(" dune", "HERBERT ");
    let skipped = rack.register(again(), OnConflict::Skip).map(found);
    assert_eq!(skipped, Ok((Registered::Skipped, 1)));
    assert_eq!(rack.register(again(), OnConflict::Fail), Err(ApiError::Conflict { id: id(1) }));
    rack.run(rename(1, "Emma", None)).unwrap();
    let skipped = rack.register(again(), OnConflict::Skip).map(found);
    assert_eq!(skipped, Ok((Registered::Skipped, 2)));
    rack.run(forget(&[2])).unwrap();
    let created = rack.register(again(), OnConflict::Skip).map(found);
    assert_eq!(created, Ok((Registered::Created, 3)));
}

#[test]
fn an_import_that_updates_leaves_a_book_with_its_reader() {
    let mut rack = Rack::new();
    let taken = NewThing {
        status: Status::CheckedOut,
        holder: Some("ann".into()),
        ..book("Dune", "Herbert")
    };
    rack.add(taken);
    let new = NewThing { tags: vec!["sf".into()], ..book("Dune", "Herbert") };
    let (how, thing) = rack.register(new.clone(), OnConflict::Update).unwrap();
    assert_eq!(
        (how, thing.version, thing.tags.as_slice()),
        (Registered::Updated, 2, &["sf".into()][..])
    );
    assert_eq!(
        (thing.info.status, thing.info.holder.as_deref()),
        (Status::CheckedOut, Some("ann"))
    );
    let (_, same) = rack.register(new, OnConflict::Update).unwrap();
    assert_eq!(same.version, 2, "what changes nothing is no new version");
}

#[test]
fn a_stale_version_changes_nothing() {
    let mut rack = Rack::new();
    rack.add(book("a", "x"));
    rack.run(rename(1, "b", Some(1))).unwrap();
    let stale = rack.run(rename(1, "c", Some(1)));
    assert_eq!(stale, Err(ApiError::VersionMismatch { id: id(1), version: 2 }));
    assert_eq!(rack.view.get(id(1)).unwrap().info.name, "b");
}

#[test]
fn all_are_forgotten_or_none() {
    let mut rack = Rack::new();
    rack.add(book("a", "x"));
    assert_eq!(rack.run(forget(&[1, 9])), Err(ApiError::ThingNotFound { id: id(9) }));
    assert!(matches!(rack.run(forget(&[1, 1])), Err(ApiError::Invalid(_))));
    assert_eq!(rack.view.len(), 1);
}

#[test]
fn commands_of_the_other_group_are_refused() {
    let mut rack = Rack::new();
    let action = Action::RegisterRack {
        rack: "a".parse().unwrap(),
        kind: Kind::Book,
        charter: None,
        founder: PeerId::from_bytes([1; 32]),
        incarnation: Incarnation::default(),
    };
    assert!(matches!(rack.run(action), Err(ApiError::Invalid(_))));
    let number = Action::FoundRack {
        rack: "b".parse().unwrap(),
        kind: Kind::Book,
        number: 1,
        founding: Incarnation::default(),
    };
    assert!(matches!(rack.run(number), Err(ApiError::Invalid(_))), "a rack is founded once");
}

#[test]
fn pages_join_into_the_whole_list() {
    let mut rack = Rack::new();
    for n in 1..=25 {
        rack.add(book(&format!("book {n}"), if n % 2 == 0 { "Even" } else { "Odd" }));
    }
    let page = rack.view.list(&ListThings { limit: 10, offset: 20, ..query() });
    assert_eq!((ids(&page.things), page.total), ((21..=25).collect(), 25));
    let page = rack.view.list(&ListThings { limit: 3, after: Some(id(4)), ..query() });
    assert_eq!(ids(&page.things), [5, 6, 7]);
    let count = rack.view.list(&ListThings { limit: 0, ..query() });
    assert_eq!((count.things.len(), count.total, count.cut), (0, 25, false));

    let filter = Filter { author: Some("EVEN".into()), ..Filter::default() };
    let page = rack.view.list(&ListThings { filter, after: Some(id(20)), ..query() });
    assert_eq!((ids(&page.things), page.total), (vec![22, 24], 12));
    for (words, found) in [(["BOOK 21", "odd"], &[21][..]), (["book", "od"], &[])] {
        let filter = Filter { words: words.map(str::to_owned).into(), ..Filter::default() };
        assert_eq!(ids(&rack.view.list(&ListThings { filter, ..query() }).things), found);
    }
    let filter = Filter { tags: vec!["fiction".into(), "sf".into()], ..Filter::default() };
    assert_eq!(rack.view.list(&ListThings { filter, ..query() }).total, 0);
}

#[test]
fn a_page_is_cut_before_it_is_larger_than_an_answer() {
    let mut rack = Rack::new();
    let text = bookmesh_rpc::api::JsonText::from_compact(format!("\"{}\"", "x".repeat(16_000)));
    for _ in 0..400 {
        rack.add(NewThing { extra: [("k".into(), text.clone())].into(), ..book("a", "x") });
    }
    let first = rack.view.list(&ListThings { limit: 1000, ..query() });
    assert!(first.cut && (200..300).contains(&first.things.len()));
    let after = first.things.last().map(|thing| thing.id);
    let second = rack.view.list(&ListThings { limit: 1000, after, ..query() });
    assert_eq!(first.things.len() + second.things.len(), 400);
    assert!(!second.cut);
}

#[test]
fn a_rack_that_holds_things_is_closed_by_force_alone() {
    let mut rack = Rack::new();
    rack.add(book("Emma", "Jane Austen"));
    let id: RackId = "book-rack-001".parse().unwrap();
    let refused = rack.run(Action::CloseRack { force: false });
    assert_eq!(refused, Err(ApiError::RackNotEmpty { rack: id.clone(), things: 1 }));
    rack.add(book("Persuasion", "Jane Austen"));
    assert_eq!(rack.run(Action::CloseRack { force: true }), Ok(Applied::Done));
    assert_eq!(rack.run(Action::CloseRack { force: false }), Ok(Applied::Done), "it is already");
    let late = rack.register(book("Sanditon", "Jane Austen"), OnConflict::Allow);
    assert_eq!(late, Err(ApiError::RackRetired { rack: id }));
    assert_eq!(rack.view.len(), 2, "what it holds can be read");
}

#[test]
fn after_a_recovery_the_data_of_those_who_were_given_up_are_another_member() {
    let mut rack = Rack::new();
    let peer = |byte| PeerId::from_bytes([byte; 32]);
    let admit = |rack: &mut Rack, byte| {
        let incarnation = Incarnation::default();
        match rack.run(Action::AdmitMember { peer: peer(byte), incarnation }) {
            Ok(Applied::Member(member)) => member,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!([1, 2, 3].map(|byte| admit(&mut rack, byte)), [1, 2, 3]);
    assert_eq!(rack.run(Action::RecoverRack { member: 2 }), Ok(Applied::Done));
    let known = |rack: &Rack, byte| rack.view.member_of(peer(byte), Incarnation::default());
    assert_eq!([1, 2, 3].map(|byte| known(&rack, byte)), [None, Some(2), None]);
    assert_eq!(admit(&mut rack, 2), 2);
    let back = admit(&mut rack, 3);
    assert!(back > 3 + 100, "a number that the others may have given to somebody: {back}");
    assert_eq!(known(&rack, 3), Some(back));
    assert_eq!(rack.view.charter().unwrap().lineage.recoveries, 1);
}
