//! A key that a bound took while its write may come again is refused, on every replica alike.

use bookmesh_rpc::api::{
    Action, ApiError, Batch, Command, Incarnation, Kind, NewThing, OnConflict, Outcome, RequestKey,
    RetryKey, Status,
};
use bookmesh_storage::view::{REMEMBERED_KEYS, RETRY_MS, Things, View};

fn batch(time_ms: u64, actions: impl Iterator<Item = (Option<u64>, Action)>) -> Batch {
    let command = |(sequence, action): (Option<u64>, Action)| Command {
        key: sequence.map(|sequence| RequestKey::Retry(RetryKey { session: 1, sequence, part: 0 })),
        request_id: "test".parse().unwrap(),
        action,
    };
    Batch { time_ms, commands: actions.map(command).collect() }
}

fn add() -> Action {
    let thing = NewThing {
        tags: vec![],
        name: "Dune".into(),
        author: "Frank Herbert".into(),
        status: Status::Available,
        holder: None,
        extra: [].into(),
    };
    Action::Register { thing, on_conflict: OnConflict::Allow }
}

fn found() -> Action {
    Action::FoundRack {
        rack: "book-rack-001".parse().unwrap(),
        kind: Kind::Book,
        number: 0,
        founding: Incarnation::default(),
    }
}

/// A rack in which the first of all keys was forgotten at once.
fn crowded() -> Things {
    let mut rack = Things::default();
    rack.apply(1, &batch(1000, [(None, found()), (Some(1), add())].into_iter()));
    let keys = 2..=REMEMBERED_KEYS as u64 + 1;
    rack.apply(2, &batch(1000, keys.map(|sequence| (Some(sequence), found()))));
    rack
}

fn again(rack: &mut Things, time_ms: u64, sequence: u64) -> Outcome {
    rack.apply(3, &batch(time_ms, [(Some(sequence), add())].into_iter())).remove(0)
}

fn restored(rack: &mut Things) -> Things {
    rack.begin_full();
    let mut parts = rack.slice(None).0;
    parts.extend(rack.take_delta());
    let mut restored = Things::default();
    parts.iter().for_each(|part| restored.restore(part).unwrap());
    restored
}

#[test]
fn a_retry_whose_key_a_bound_took_is_refused_and_not_applied() {
    let mut rack = crowded();
    let refused = again(&mut rack, 1000, 1);
    assert_eq!(refused, Err(ApiError::OutcomeForgotten));
    assert_eq!(again(&mut rack, 1000 + RETRY_MS - 1, 1), refused, "nor is the refusal remembered");
    assert_eq!(rack.len(), 1);
    assert!(again(&mut rack, 1000 + RETRY_MS, 1).is_ok(), "nobody tries for so long");
}

#[test]
fn a_replica_that_was_restored_refuses_the_same() {
    let mut rack = crowded();
    let mut other = restored(&mut rack);
    assert_eq!(other, rack);
    assert_eq!(other, crowded(), "equal logs give equal views");
    assert_eq!(again(&mut other, 1000, 1), again(&mut rack, 1000, 1));
    assert_eq!(other, rack);
    // A delta takes back what is refused no longer.
    rack.apply(4, &batch(1000 + RETRY_MS, std::iter::empty()));
    for part in rack.take_delta() {
        other.restore(&part).unwrap();
    }
    assert_eq!(other, rack);
    assert!(again(&mut other, 1000 + RETRY_MS, 1).is_ok());
}
