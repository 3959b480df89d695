//! Writes a store as a worker does, and says on standard output what was acknowledged, each line
//! with one `write`: `ack <index> <hash>`, `cut <from>` before a tail is cut.
//!
//! `storage-test-writer DIR ENTRIES SEED`; 0 entries go on until the process is killed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, RwLock};

use bookmesh_rpc::api::{
    Action, Batch, Command, Hash, Incarnation, Kind, NewThing, OnConflict, RequestId, Status,
    StatusRule, ThingId, ThingPatch,
};
use bookmesh_rpc::codec;
use bookmesh_storage::StoreKey;
use bookmesh_storage::view::{Things, View};
use bookmesh_storage::{Checkpointer, Group, GroupName, MetaKey, Record, Store, StoreConfig};
use bytes::Bytes;

/// Appends that are not acknowledged yet.
const IN_FLIGHT: usize = 4;
const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

struct State(Things);

impl AsMut<Things> for State {
    fn as_mut(&mut self) -> &mut Things {
        &mut self.0
    }
}

fn say(line: &str) {
    let text = format!("{line}\n");
    std::io::stdout().write_all(text.as_bytes()).unwrap();
}

/// Small steps of one generator, so that a seed tells the whole run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % sides
    }
}

fn action(dice: &mut Dice, things: u64) -> Action {
    if things > 10 && dice.roll(3) == 0 {
        let patch = ThingPatch {
            author: Some(format!("Author {}", dice.roll(1000))),
            ..ThingPatch::default()
        };
        let id = ThingId::from_u64(1 + dice.roll(things)).unwrap();
        return Action::Update { id, patch, status_rule: StatusRule::Edit, if_version: None };
    }
    let thing = NewThing {
        tags: vec!["fiction".into()],
        name: format!("The Readable Title {}", dice.roll(1_000_000)),
        author: "An Author Somebody Knows".into(),
        status: Status::Available,
        holder: None,
        extra: [].into(),
    };
    Action::Register { thing, on_conflict: OnConflict::Allow }
}

fn commands(dice: &mut Dice, things: u64, count: u64) -> Vec<Command> {
    let request_id: RequestId = "writer".parse().unwrap();
    let one = |action| Command { key: None, request_id: request_id.clone(), action };
    (0..count).map(|_| one(action(dice, things))).collect()
}

struct Writer {
    group: Group,
    in_flight: Arc<(Mutex<usize>, Condvar)>,
}

impl Writer {
    fn append(&self, record: Record, tell: impl FnOnce(Hash) + Send + 'static) {
        let (count, freed) = &*self.in_flight;
        let full = freed.wait_while(count.lock().unwrap(), |count| *count >= IN_FLIGHT).unwrap();
        let mut count = full;
        *count += 1;
        drop(count);
        let before = self.group.head_hash();
        let hash =
            if record.commands.is_empty() { before } else { before.extend(&record.commands) };
        let in_flight = self.in_flight.clone();
        let done = move |result: Result<(), _>| {
            result.unwrap();
            tell(hash);
            *in_flight.0.lock().unwrap() -= 1;
            in_flight.1.notify_all();
        };
        self.group.append(vec![record], Box::new(done)).unwrap();
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let (dir, entries, seed) =
        (&args[1], args[2].parse::<u64>().unwrap(), args[3].parse().unwrap());
    let config = StoreConfig::new(Path::new(dir), StoreKey::from_hex(KEY).unwrap());
    let store = Store::open(config).unwrap();
    let name = GroupName::rack(&"book-rack-001".parse().unwrap());
    let group = store.group(&name).unwrap();
    say(&format!("open {}", group.last_index().map_or(-1, |last| last as i64)));
    write_all(&group, entries, &mut Dice(seed));
    drop(group);
    store.close().unwrap();
}

fn write_all(group: &Group, entries: u64, dice: &mut Dice) {
    let state = RwLock::new(State(Things::default()));
    let mut checkpointer = Checkpointer::new(group.clone());
    checkpointer.set_full_next();
    let writer = Writer { group: group.clone(), in_flight: Arc::default() };
    let first = group.last_index().map_or(0, |last| last + 1);
    let rack = "book-rack-001".parse().unwrap();
    let mut index = first;
    while entries == 0 || index < first + entries {
        let things = state.read().unwrap().0.len() as u64;
        let count = if dice.roll(4) == 0 { 100 + dice.roll(200) } else { 1 + dice.roll(8) };
        let mut commands = commands(dice, things, count);
        if index == first {
            let action = Action::FoundRack {
                rack: Clone::clone(&rack),
                kind: Kind::Book,
                number: 0,
                founding: Incarnation::default(),
            };
            commands[0].action = action;
        }
        let batch = Batch { time_ms: index, commands };
        let encoded = Bytes::from(codec::encode(&batch).unwrap());
        let record = Record { index, head: Bytes::from_static(b"head"), commands: encoded };
        writer.append(record, move |hash| say(&format!("ack {index} {hash}")));
        state.write().unwrap().0.apply(index, &batch);
        index += 1;
        if dice.roll(10) == 0 {
            group.put_lazy(MetaKey::Committed, Bytes::from(index.to_string())).unwrap();
        }
        if dice.roll(40) == 0 {
            let vote = index.to_string();
            group.put_blocking(MetaKey::Vote, Bytes::from(vote.clone())).unwrap();
            say(&format!("vote {vote}"));
        }
        if dice.roll(25) == 0 {
            // Whole generations come and go, so that sled uses segments again.
            checkpointer.set_full_next();
            checkpointer.save(&state, |_| Bytes::from_static(b"head")).unwrap();
            say(&format!("saved {}", index - 1));
        }
        if dice.roll(60) == 0 {
            for extra in 0..3 {
                let commands = Bytes::from(vec![b'x'; 5000]);
                let record = Record { index: index + extra, head: Bytes::new(), commands };
                writer.append(record, |_| ());
            }
            say(&format!("cut {index}"));
            group.truncate(index, Box::new(|result| result.unwrap())).unwrap();
        }
    }
}
