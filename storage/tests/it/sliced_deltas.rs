//! A long delta is given out in slices while entries are applied, and still is one state.

use std::collections::VecDeque;
use std::sync::RwLock;

use bookmesh_rpc::api::{
    Action, Batch, ClientKey, Command, Incarnation, Kind, NewThing, OnConflict, RequestKey,
    RetryKey, Status, StatusRule, ThingId, ThingPatch,
};
use bookmesh_storage::Checkpointer;
use bookmesh_storage::view::{Things, View};
use bytes::Bytes;

use crate::support::{group, open};
use crate::view_equality::State;

/// A slice has 256 KiB and the item that passes it.
const MOST_SLICE_BYTES: usize = 300 * 1024;

/// A rack, and what is known of its log's next entry.
struct Feed {
    index: u64,
    sequence: u64,
}

impl Feed {
    fn apply(&mut self, rack: &mut Things, actions: Vec<Action>) {
        let commands = actions.into_iter().map(|action| {
            self.sequence += 1;
            let sequence = self.sequence;
            let key = Some(match sequence % 2 {
                0 => RequestKey::Retry(RetryKey { session: 1, sequence, part: 0 }),
                _ => RequestKey::Client(ClientKey::new(&sequence.to_string(), &[])),
            });
            Command { key, request_id: "test".parse().unwrap(), action }
        });
        let batch = Batch { time_ms: 1000, commands: commands.collect() };
        self.index += 1;
        rack.apply(self.index, &batch);
    }

    /// A rack with many things that are in no checkpoint.
    fn begin() -> (Self, Things) {
        let (mut feed, mut rack) = (Self { index: 0, sequence: 0 }, Things::default());
        let id = "book-rack-001".parse().unwrap();
        feed.apply(
            &mut rack,
            vec![Action::FoundRack {
                rack: id,
                kind: Kind::Book,
                number: 0,
                founding: Incarnation::default(),
            }],
        );
        feed.apply(&mut rack, (0..5000).map(add).collect());
        (feed, rack)
    }
}

fn add(n: u64) -> Action {
    let thing = NewThing {
        tags: vec!["x".repeat(50); 4],
        name: format!("book {n}"),
        author: "Frank Herbert".into(),
        status: Status::Available,
        holder: None,
        extra: [].into(),
    };
    Action::Register { thing, on_conflict: OnConflict::Allow }
}

fn rename(of: u64) -> Action {
    let id = ThingId::from_u64(of).unwrap();
    let patch = ThingPatch { name: Some("renamed".into()), ..ThingPatch::default() };
    Action::Update { id, patch, status_rule: StatusRule::Edit, if_version: None }
}

fn forget(of: u64) -> Action {
    Action::Forget { ids: vec![ThingId::from_u64(of).unwrap()], if_version: None }
}

fn bytes(parts: &[Bytes]) -> usize {
    parts.iter().map(Bytes::len).sum()
}

#[test]
fn slices_with_entries_in_between_restore_to_the_view_at_the_end() {
    let (mut feed, mut rack) = Feed::begin();
    // Of what was given out already, of what was not, and one more after another.
    let mut changes: VecDeque<_> = [
        vec![rename(1), rename(4999), forget(2), forget(4998)],
        vec![rename(1), rename(3), add(7), forget(4999)],
        vec![rename(5000), forget(1), add(8)],
    ]
    .into();
    let (mut restored, mut slices) = (Things::default(), 0);
    while let Some(parts) = rack.delta_slice() {
        slices += 1;
        assert!(bytes(&parts) < MOST_SLICE_BYTES);
        parts.iter().for_each(|part| restored.restore(part).unwrap());
        if let Some(actions) = changes.pop_front() {
            feed.apply(&mut rack, actions);
        }
    }
    let last = rack.take_delta();
    assert!(slices > 3 && changes.is_empty() && bytes(&last) < 2 * MOST_SLICE_BYTES);
    last.iter().for_each(|part| restored.restore(part).unwrap());
    assert_eq!(restored, rack);
    assert!(rack.delta_slice().is_none());
}

#[test]
fn a_key_never_answers_with_a_thing_that_was_not_given_out_as_it_stands() {
    let (mut feed, mut rack) = Feed::begin();
    let mut restored = Things::default();
    // Few enough changed things for the keys to be next, whose answers say what those became.
    while let Some(parts) = rack.delta_slice() {
        parts.iter().for_each(|part| restored.restore(part).unwrap());
        feed.apply(&mut rack, (1..=100).map(rename).chain((0..100).map(add)).collect());
        if feed.index > 100 {
            break;
        }
    }
    for part in rack.take_delta() {
        restored.restore(&part).unwrap();
    }
    assert_eq!(restored, rack);
}

#[test]
fn a_long_delta_is_saved_behind_a_full_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let log = group(&store);
    let (mut feed, rack) = Feed::begin();
    let state = RwLock::new(State(rack));
    let mut checkpointer = Checkpointer::new(log.clone());
    checkpointer.save(&state, |_| Bytes::new()).unwrap();
    let changes = (1..4000).map(rename).chain((4500..4600).map(forget)).collect();
    feed.apply(&mut state.write().unwrap().0, changes);
    checkpointer.save(&state, |_| Bytes::new()).unwrap();
    let restored: Things = log.checkpoint().unwrap().unwrap().restore().unwrap();
    assert_eq!(restored, state.read().unwrap().0);
}
