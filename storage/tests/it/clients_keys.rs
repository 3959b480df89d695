//! A client's key is answered alike for a day, by every replica, and never applied twice.

use bookmesh_rpc::api::{
    Action, ApiError, Applied, Batch, CLIENT_KEY_MS, ClientKey, Command, Incarnation, JsonText,
    Kind, NewThing, OnConflict, Outcome, Registered, RequestKey, RetryKey, Status, StatusRule,
    ThingId, ThingPatch,
};
use bookmesh_storage::view::{CLIENT_ANSWERS, CLIENT_BYTES, Things, View};

struct Rack {
    view: Things,
    index: u64,
    time_ms: u64,
}

impl Rack {
    fn new() -> Self {
        let mut rack = Self { view: Things::default(), index: 0, time_ms: 1000 };
        let (id, founding) = ("book-rack-001".parse().unwrap(), Incarnation::default());
        let found = Action::FoundRack { rack: id, kind: Kind::Book, number: 0, founding };
        rack.run(None, found).unwrap();
        rack
    }

    fn run(&mut self, key: Option<ClientKey>, action: Action) -> Outcome {
        let key = key.map(RequestKey::Client);
        let command = Command { key, request_id: "test".parse().unwrap(), action };
        self.index += 1;
        self.view
            .apply(self.index, &Batch { time_ms: self.time_ms, commands: vec![command] })
            .remove(0)
    }

    fn restored(&mut self) -> Self {
        self.view.begin_full();
        let mut parts = self.view.slice(None).0;
        parts.extend(self.view.take_delta());
        let mut view = Things::default();
        parts.iter().for_each(|part| view.restore(part).unwrap());
        Self { view, index: self.index, time_ms: self.time_ms }
    }
}

fn key(text: &str) -> Option<ClientKey> {
    Some(ClientKey::new(text, &[b"POST", b"/books", b"{}"]))
}

fn part(part: u32, body: &str) -> Option<ClientKey> {
    Some(ClientKey { part, ..ClientKey::new("batch", &[body.as_bytes()]) })
}

fn add(name: &str) -> Action {
    let thing = NewThing {
        tags: vec![],
        name: name.into(),
        author: "Frank Herbert".into(),
        status: Status::Available,
        holder: None,
        extra: [].into(),
    };
    Action::Register { thing, on_conflict: OnConflict::Allow }
}

fn id(id: u64) -> ThingId {
    ThingId::from_u64(id).unwrap()
}

fn set(to: Status) -> Action {
    let patch = ThingPatch { status: Some(to), ..ThingPatch::default() };
    Action::Update { id: id(1), patch, status_rule: StatusRule::Exclusive, if_version: None }
}

fn forget(of: u64) -> Action {
    Action::Forget { ids: vec![id(of)], if_version: None }
}

#[test]
fn the_first_answer_stays_whatever_became_of_the_thing() {
    let mut rack = Rack::new();
    let created = rack.run(key("create"), add("Dune"));
    let taken = rack.run(key("take"), set(Status::CheckedOut));
    let refused = rack.run(key("too late"), set(Status::CheckedOut));
    assert_eq!(refused, Err(ApiError::CheckedOut { id: id(1) }));
    rack.run(None, set(Status::Available)).unwrap();
    let gone = rack.run(key("remove"), forget(1));
    let first = [created, taken, refused, gone];
    let again = |rack: &mut Rack| {
        [
            rack.run(key("create"), add("Dune")),
            rack.run(key("take"), set(Status::CheckedOut)),
            rack.run(key("too late"), set(Status::CheckedOut)),
            rack.run(key("remove"), forget(1)),
        ]
    };
    rack.time_ms += CLIENT_KEY_MS - 1;
    assert_eq!(again(&mut rack), first);
    assert_eq!(again(&mut rack.restored()), first, "a replica that was restored answers alike");
    rack.time_ms += 1;
    assert_ne!(again(&mut rack), first);
}

#[test]
fn a_batch_that_was_cut_off_is_finished_and_another_under_its_key_does_nothing() {
    let mut rack = Rack::new();
    let first: Vec<_> = (0..2).map(|n| rack.run(part(n, "one"), add("Dune"))).collect();
    for n in 0..4 {
        let other = rack.run(part(n, "another"), add("Emma"));
        assert_eq!(other, Err(ApiError::KeyConflict), "part {n}, which the first may not have had");
    }
    assert_eq!(rack.view.len(), 2);
    let again: Vec<_> = (0..3).map(|n| rack.run(part(n, "one"), add("Dune"))).collect();
    assert_eq!(again[..2], first[..]);
    assert!(matches!(again[2], Ok(Applied::Registered(Registered::Created, _))));
}

#[test]
fn a_first_answer_is_told_without_applying_anything() {
    let mut rack = Rack::new();
    let named = |key: Option<ClientKey>| RequestKey::Client(key.unwrap());
    assert_eq!(rack.view.first_answer(&named(key("create"))), None);
    let created = rack.run(key("create"), add("Dune"));
    rack.run(None, set(Status::CheckedOut)).unwrap();
    assert_eq!(rack.view.first_answer(&named(key("create"))), Some(created));
    let other = ClientKey::new("create", &[b"another request"]);
    let conflict = Some(Err(ApiError::KeyConflict));
    assert_eq!(rack.view.first_answer(&RequestKey::Client(other)), conflict);
    let retry = RetryKey { session: 1, sequence: 7, part: 0 };
    assert_eq!(rack.view.first_answer(&RequestKey::Retry(retry)), None);
    assert_eq!(rack.view.len(), 1);
}

#[test]
fn a_settled_key_is_not_applied_when_its_first_attempt_comes_late() {
    let mut rack = Rack::new();
    assert_eq!(rack.run(key("moved"), Action::Settle), Ok(Applied::Done));
    assert_eq!(rack.run(key("moved"), add("Dune")), Ok(Applied::Done));
    assert!(rack.view.is_empty());
    let created = rack.run(key("here"), add("Dune"));
    assert_eq!(rack.run(key("here"), Action::Settle), created);
}

/// What is let go between two checkpoints has to be let go in the restored view too.
#[test]
fn replicas_let_go_of_the_same_answers() {
    let mut rack = Rack::new();
    let text = JsonText::from_compact(format!("\"{}\"", "x".repeat(16_000)));
    let patch = ThingPatch { extra: [("k".into(), Some(text))].into(), ..ThingPatch::default() };
    let grow = |n: u64| Action::Update {
        id: id(n),
        patch: patch.clone(),
        status_rule: StatusRule::Edit,
        if_version: None,
    };
    let mut other = rack.restored();
    let many = (CLIENT_BYTES / 16_000) as u64 + 100;
    for n in 1..=many {
        rack.run(None, add("Dune")).unwrap();
        rack.run(key(&n.to_string()), grow(n)).unwrap();
        if n == many / 2 {
            for part in rack.view.take_delta() {
                other.view.restore(&part).unwrap();
            }
            assert_eq!(other.view, rack.view);
        }
    }
    rack.run(None, forget(1)).unwrap();
    for part in rack.view.take_delta() {
        other.view.restore(&part).unwrap();
    }
    (other.index, other.time_ms) = (rack.index, rack.time_ms);
    assert_eq!(other.view, rack.view);
    assert_eq!(rack.run(key("1"), grow(1)), Err(ApiError::OutcomeForgotten));
    assert!(matches!(rack.run(key("2"), grow(2)), Ok(Applied::Thing(thing)) if thing.version == 2));
    assert_eq!(other.run(key("1"), grow(1)), Err(ApiError::OutcomeForgotten));
}

#[test]
fn a_rack_without_room_has_some_again_a_day_later_though_nothing_was_applied() {
    let mut rack = Rack::new();
    for batch in 0..CLIENT_ANSWERS as u64 / 1000 {
        let text = batch.to_string();
        let command = |part| Command {
            key: Some(RequestKey::Client(ClientKey { part, ..ClientKey::new(&text, &[]) })),
            request_id: "test".parse().unwrap(),
            action: Action::Settle,
        };
        rack.index += 1;
        let commands = (0..1000).map(command).collect();
        rack.view.apply(rack.index, &Batch { time_ms: 1000, commands });
    }
    let new = RequestKey::Client(key("new").unwrap());
    let refused = rack.view.has_room_for(&new, 1000 + CLIENT_KEY_MS - 1);
    assert!(matches!(refused, Err(ApiError::KeysFull { .. })), "{refused:?}");
    assert_eq!(rack.view.has_room_for(&new, 1000 + CLIENT_KEY_MS), Ok(()));
    rack.time_ms = 1000 + CLIENT_KEY_MS;
    assert!(rack.run(key("new"), add("Dune")).is_ok());
}
