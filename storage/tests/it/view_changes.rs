//! Every command that had an effect is noted once, in the log's order, and no other.

use bookmesh_rpc::api::{
    Action, Batch, Cents, Command, Incarnation, JsonText, Kind, NewThing, OnConflict, OrderTerms,
    Position, RequestKey, RetryKey, Status, StatusRule, ThingId, ThingPatch,
};
use bookmesh_storage::view::{NotedChange, Things, View};

/// A rack whose first entry was applied.
fn founded(kind: Kind) -> Things {
    let (rack, founding) = ("rack-001".parse().unwrap(), Incarnation::default());
    let mut view = Things::default();
    apply(&mut view, 0, vec![Action::FoundRack { rack, kind, number: 3, founding }]);
    view
}

fn apply(view: &mut Things, index: u64, actions: Vec<Action>) {
    let command = |action| Command { key: None, request_id: "test".parse().unwrap(), action };
    let commands = actions.into_iter().map(command).collect();
    view.apply(index, &Batch { time_ms: 1000, commands });
}

fn add(name: &str, on_conflict: OnConflict) -> Action {
    let thing = NewThing {
        tags: vec![],
        name: name.into(),
        author: "Frank Herbert".into(),
        status: Status::Available,
        holder: None,
        extra: [].into(),
    };
    Action::Register { thing, on_conflict }
}

fn id(sequence: u64) -> ThingId {
    ThingId::new(3, sequence).unwrap()
}

fn year(of: u64, year: &str) -> Action {
    let extra = [("year".to_owned(), Some(JsonText::from_compact(year.into())))].into();
    let patch = ThingPatch { extra, ..ThingPatch::default() };
    Action::Update { id: id(of), patch, status_rule: StatusRule::Edit, if_version: None }
}

fn forget(ids: &[u64]) -> Action {
    Action::Forget { ids: ids.iter().map(|of| id(*of)).collect(), if_version: None }
}

fn noted(index: u64, part: u32, of: u64, version: u64) -> NotedChange {
    NotedChange { at: Position { index, part }, id: id(of), version }
}

#[test]
fn what_had_no_effect_is_no_change() {
    let mut view = founded(Kind::Book);
    apply(&mut view, 1, vec![add("Dune", OnConflict::Skip), add("Dune", OnConflict::Skip)]);
    apply(&mut view, 2, vec![add("Emma", OnConflict::Fail), add("Dune", OnConflict::Fail)]);
    let member = Action::AdmitMember {
        peer: bookmesh_rpc::PeerId::from_bytes([1; 32]),
        incarnation: Incarnation::default(),
    };
    apply(&mut view, 3, vec![Action::Settle, member, year(1, "1965"), year(1, "1965")]);
    apply(&mut view, 4, vec![year(9, "1"), add("dune", OnConflict::Update)]);
    view.pass(5);
    let withdraw = |of| Action::Withdraw { id: id(of), if_version: None };
    apply(&mut view, 6, vec![withdraw(2), withdraw(2), year(2, "1")]);
    apply(&mut view, 7, vec![forget(&[1, 9]), forget(&[2, 1]), forget(&[1])]);
    let all = [
        noted(1, 0, 1, 1),
        noted(2, 0, 2, 1),
        noted(3, 2, 1, 2),
        noted(4, 1, 1, 3),
        noted(6, 0, 2, 2),
        noted(7, 1, 2, 3),
        noted(7, 1, 1, 4),
    ];
    assert_eq!(view.changes_behind(None, 100), all);
    assert_eq!(view.changes_behind(Some(Position { index: 4, part: 1 }), 1), all[4..5]);
    assert_eq!(view.changes_behind(Some(Position { index: 6, part: 9 }), 1), all[5..], "whole");
    let of_one = [all[0], all[2], all[3], all[6]];
    assert_eq!(view.history(id(1), 0, 10), Some((of_one.to_vec(), 4)));
    assert_eq!(view.history(id(1), 1, 2), Some((of_one[1..3].to_vec(), 4)));
    assert_eq!(view.history(id(3), 0, 10), None);
    assert_eq!(view.history(ThingId::new(2, 1).unwrap(), 0, 10), None, "another rack's");
}

#[test]
fn a_write_that_comes_again_is_one_change() {
    let mut view = founded(Kind::Book);
    let key = Some(RequestKey::Retry(RetryKey { session: 1, sequence: 1, part: 0 }));
    for index in 1..3 {
        let action = add("Dune", OnConflict::Allow);
        let command = Command { key, request_id: "test".parse().unwrap(), action };
        view.apply(index, &Batch { time_ms: 1000, commands: vec![command] });
    }
    assert_eq!(view.changes_behind(None, 9), [noted(1, 0, 1, 1)]);
}

#[test]
fn an_order_is_one_change() {
    let mut view = founded(Kind::Order);
    let place = |quantity| {
        let (title, author) = ("Dune".to_owned(), "Frank Herbert".to_owned());
        let unit_price = Cents::new(1299);
        let book = ThingId::new(0, 1).unwrap();
        Action::PlaceOrder { terms: OrderTerms { book, title, author, quantity, unit_price } }
    };
    apply(&mut view, 1, vec![place(1), place(0), place(2)]);
    assert_eq!(view.changes_behind(None, 9), [noted(1, 0, 1, 1), noted(1, 2, 2, 1)]);
    assert_eq!(view.history(id(2), 0, 9), Some((vec![noted(1, 2, 2, 1)], 1)));
}

#[test]
fn many_changes_are_checkpointed_in_slices_while_more_come() {
    let mut view = founded(Kind::Book);
    (1..=50).for_each(|index| apply(&mut view, index, vec![add("Dune", OnConflict::Allow); 20]));
    for index in 51..6_051 {
        apply(&mut view, index, (0..20).map(|n| year(n * 50 + 1, &index.to_string())).collect());
    }
    let (mut restored, mut after, mut slices, mut index) = (Things::default(), None, 0, 6_051);
    view.begin_full();
    loop {
        let (parts, next) = view.slice(after);
        assert!(parts.iter().map(bytes::Bytes::len).sum::<usize>() < 300 * 1024);
        parts.iter().for_each(|part| restored.restore(part).unwrap());
        apply(&mut view, index, vec![year(1, &index.to_string()), forget(&[1000 - slices])]);
        (slices, index, after) = (slices + 1, index + 1, next);
        if after.is_none() {
            break;
        }
    }
    assert!(slices > 2, "{slices}");
    for _ in 0..600 {
        apply(&mut view, index, (0..20).map(|n| year(n * 50 + 1, &index.to_string())).collect());
        index += 1;
    }
    while let Some(parts) = view.delta_slice() {
        parts.iter().for_each(|part| restored.restore(part).unwrap());
        apply(&mut view, index, vec![year(1, &index.to_string())]);
        index += 1;
    }
    view.take_delta().iter().for_each(|part| restored.restore(part).unwrap());
    assert_eq!(restored, view);
    let all = |view: &Things| view.changes_behind(None, usize::MAX);
    assert_eq!(all(&restored), all(&view));
    apply(&mut view, index, vec![year(51, "1")]);
    apply(&mut restored, index, vec![year(51, "1")]);
    assert_eq!(restored, view, "and goes on alike");
    assert_eq!(restored.history(id(51), 3000, 50), view.history(id(51), 3000, 50));
}

#[test]
fn a_checkpoint_that_leaves_changes_out_is_refused() {
    let mut view = founded(Kind::Book);
    apply(&mut view, 1, vec![add("Dune", OnConflict::Allow)]);
    drop(view.take_delta());
    apply(&mut view, 2, vec![add("Emma", OnConflict::Allow)]);
    let mut restored = Things::default();
    let refused = view.take_delta().iter().any(|part| restored.restore(part).is_err());
    assert!(refused);
}
