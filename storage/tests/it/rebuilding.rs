//! What is lost is known to be lost: a damaged store makes place, a damaged group is emptied, and
//! both have to be joined, whenever a crash comes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::RwLock;

use bookmesh_rpc::api::{Batch, Outcome};
use bookmesh_storage::view::{RestoreError, View};
use bookmesh_storage::{
    Checkpointer, GroupName, Health, MetaKey, OpenError, Store, StoreConfig, StoreError, StoreKey,
};
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::support::{config, copy_dir, memory_dir, open, rack, record, records};

/// A closed store of two racks below a slot.
fn two_racks(slot: &Path) -> PathBuf {
    let dir = slot.join("store");
    let store = open(&dir);
    for name in ["a", "b"] {
        let log = store.group(&rack(name)).unwrap();
        log.append_blocking(records(0, 20, 1000)).unwrap();
    }
    store.close().unwrap();
    dir
}

fn names(store: &Store) -> Vec<GroupName> {
    store.must_join().names().cloned().collect()
}

fn moved_aside(slot: &Path) -> Vec<String> {
    let names = fs::read_dir(slot).unwrap();
    let mut names: Vec<_> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names.retain(|name| name != "store");
    names
}

#[test]
fn a_damaged_store_makes_place_and_what_it_had_must_be_joined() {
    let slot = memory_dir();
    let dir = two_racks(slot.path());
    fs::write(dir.join("FORMAT"), "nothing").unwrap();
    let (store, moved) = Store::open_or_set_aside(config(&dir)).unwrap();
    let moved = moved.unwrap();
    assert_eq!(moved.path, slot.path().join("store.damaged-1"));
    assert!(moved.why.contains("FORMAT"), "{}", moved.why);
    assert_eq!(moved.groups, Some([rack("a"), rack("b")].into()));
    assert!(moved.path.join("db/db").exists(), "nothing is deleted");
    assert_eq!((store.groups(), names(&store)), (vec![], vec![rack("a"), rack("b")]));

    // One is filled; both stay what they are over a start, and over another loss.
    store.group(&rack("a")).unwrap().append_blocking(records(0, 3, 10)).unwrap();
    store.joined(&rack("a")).unwrap();
    assert_eq!(names(&store), [rack("b")]);
    store.close().unwrap();
    let (store, moved) = Store::open_or_set_aside(config(&dir)).unwrap();
    assert_eq!((moved, names(&store)), (None, vec![rack("b")]));
    assert!(store.must_join().contains(&rack("b")) && !store.must_join().contains(&rack("c")));
    store.close().unwrap();
    fs::write(dir.join("FORMAT"), "nothing").unwrap();
    let (store, moved) = Store::open_or_set_aside(config(&dir)).unwrap();
    assert_eq!(moved.unwrap().path, slot.path().join("store.damaged-2"));
    assert_eq!(names(&store), [rack("a"), rack("b")]);
}

#[test]
fn when_the_names_are_lost_too_nothing_may_be_founded() {
    let slot = memory_dir();
    let dir = two_racks(slot.path());
    fs::write(dir.join("high-water"), "nothing").unwrap();
    let (store, moved) = Store::open_or_set_aside(config(&dir)).unwrap();
    assert_eq!(moved.unwrap().groups, None);
    assert!(store.must_join().is_unknown() && store.must_join().contains(&rack("a")));
    store.joined(&rack("a")).unwrap();
    store.close().unwrap();
    let store = open(&dir);
    assert!(!store.must_join().contains(&rack("a")) && store.must_join().contains(&rack("b")));
}

#[test]
fn a_crash_at_any_rename_leaves_a_store_that_knows_what_it_lost() {
    for renames in 0..3 {
        let slot = memory_dir();
        let dir = two_racks(slot.path());
        fs::write(dir.join("FORMAT"), "nothing").unwrap();
        // What the steps leave, made by doing them all somewhere else.
        let other = memory_dir();
        copy_dir(&dir, &other.path().join("store"));
        let other_dir = other.path().join("store");
        drop(Store::open_or_set_aside(config(&other_dir)).unwrap());
        let fresh = slot.path().join("store.fresh");
        fs::create_dir(&fresh).unwrap();
        fs::copy(other_dir.join("must-join"), fresh.join("must-join")).unwrap();
        if renames > 0 {
            fs::rename(&dir, slot.path().join("store.damaged-1")).unwrap();
        }
        if renames > 1 {
            fs::rename(&fresh, &dir).unwrap();
        }
        let (store, moved) = Store::open_or_set_aside(config(&dir)).unwrap();
        assert_eq!(moved.is_some(), renames == 0, "{renames}");
        assert_eq!(names(&store), [rack("a"), rack("b")], "{renames}");
        assert_eq!(moved_aside(slot.path()), ["store.damaged-1"], "{renames}");
    }
}

#[test]
fn only_damage_moves_a_store_aside() {
    let slot = memory_dir();
    let dir = two_racks(slot.path());
    let refused = |config: StoreConfig| Store::open_or_set_aside(config).err().unwrap();
    let wrong = refused(StoreConfig::new(&dir, StoreKey::generate()));
    assert!(matches!(wrong, OpenError::WrongKey { .. }), "{wrong}");
    let held = open(&dir);
    assert!(matches!(refused(config(&dir)), OpenError::Locked { .. }));
    held.close().unwrap();
    let text = fs::read_to_string(dir.join("FORMAT")).unwrap();
    fs::write(dir.join("FORMAT"), text.replace("version 1", "version 7")).unwrap();
    assert!(matches!(refused(config(&dir)), OpenError::NewerFormat { .. }));
    fs::write(dir.join("FORMAT"), &text).unwrap();
    // A path that is no file: the disk's or an operator's fault.
    fs::remove_file(dir.join("high-water")).unwrap();
    fs::create_dir(dir.join("high-water")).unwrap();
    assert!(matches!(refused(config(&dir)), OpenError::Io { .. }));
    assert_eq!(moved_aside(slot.path()), [""; 0]);
}

#[test]
fn a_damaged_group_is_emptied_and_the_others_are_not() {
    let slot = memory_dir();
    let dir = two_racks(slot.path());
    let store = open(&dir);
    let log = store.group(&rack("a")).unwrap();
    log.put_blocking(MetaKey::Member, Bytes::from_static(b"3")).unwrap();
    store.rebuild(&rack("a")).unwrap();
    assert!(matches!(log.append_blocking(records(20, 21, 1)), Err(StoreError::Wiped { .. })));
    assert_eq!(names(&store), [rack("a")]);
    drop(log);
    store.close().unwrap();
    let store = open(&dir);
    assert_eq!(names(&store), [rack("a")]);
    let log = store.group(&rack("a")).unwrap();
    assert_eq!((log.last_index(), log.get(MetaKey::Member).unwrap()), (None, None));
    log.append_blocking(records(5, 9, 10)).unwrap();
    assert_eq!(names(&store), [rack("a")], "until somebody says that it is filled");
    store.joined(&rack("a")).unwrap();
    assert!(store.must_join().is_empty());
    assert_eq!(store.group(&rack("b")).unwrap().last_index(), Some(19));
}

#[test]
fn a_rebuild_that_a_crash_interrupted_is_finished_by_the_next_start() {
    let slot = memory_dir();
    let dir = two_racks(slot.path());
    let before = memory_dir();
    copy_dir(&dir, before.path());
    let store = open(&dir);
    store.rebuild(&rack("a")).unwrap();
    store.close().unwrap();
    // The first step alone: the list says so, and all data are there.
    let begun = fs::read_to_string(dir.join("must-join")).unwrap();
    let lines = begun.split_once("check").unwrap().0.replace("join rack/a", "wipe rack/a");
    let check = blake3::hash(lines.as_bytes());
    fs::write(before.path().join("must-join"), format!("{lines}check {check}\n")).unwrap();
    let store = open(before.path());
    assert_eq!(names(&store), [rack("a")]);
    assert_eq!(store.groups(), [rack("b")]);
    assert_eq!(store.group(&rack("a")).unwrap().last_index(), None);
    assert!(!fs::read_to_string(before.path().join("must-join")).unwrap().contains("wipe"));
}

/// Whole checkpoints that come and go, so that sled uses its segments again.
fn churn(store: &Store, name: &GroupName, rounds: u64) {
    let log = store.group(name).unwrap();
    let mut checkpointer = Checkpointer::new(log.clone());
    let state = RwLock::new(Churned(vec![7; 100_000]));
    for round in 0..rounds {
        let next = log.last_index().map_or(0, |last| last + 1);
        log.append_blocking(vec![record(next, vec![round as u8; 20_000])]).unwrap();
        checkpointer.set_full_next();
        checkpointer.save(&state, |_| Bytes::from_static(b"head")).unwrap();
    }
}

/// A view that is so many bytes, as if of an entry that changes all of it.
#[derive(Clone, Default)]
struct Churned(Vec<u8>);

impl AsMut<Self> for Churned {
    fn as_mut(&mut self) -> &mut Self {
        self
    }
}

impl View for Churned {
    fn apply(&mut self, _: u64, _: &Batch) -> Vec<Outcome> {
        Vec::new()
    }

    fn pass(&mut self, _: u64) {}

    fn applied_index(&self) -> Option<u64> {
        Some(0)
    }

    fn begin_full(&mut self) {}

    fn slice(&self, _: Option<u64>) -> (Vec<Bytes>, Option<u64>) {
        (vec![Bytes::from(self.0.clone()); 4], None)
    }

    fn take_delta(&mut self) -> Vec<Bytes> {
        Vec::new()
    }

    fn restore(&mut self, _: &[u8]) -> Result<(), RestoreError> {
        Ok(())
    }
}

#[test]
fn a_damaged_group_is_emptied_wherever_the_damage_is_and_the_store_goes_on() {
    let whole = memory_dir();
    let store = open(whole.path());
    // What is next to it in the file changes often.
    let log = store.group(&rack("a")).unwrap();
    for from in (0..300).step_by(30) {
        log.append_blocking(records(from, from + 30, 20_000)).unwrap();
        churn(&store, &rack("b"), 1);
    }
    drop(log);
    store.close().unwrap();
    let bytes = fs::read(whole.path().join("db/db")).unwrap();
    let seed = rand::random();
    println!("seed {seed}, {} bytes", bytes.len());
    let mut dice = StdRng::seed_from_u64(seed);
    let (mut rebuilt, mut set_aside) = (0, 0);
    for _ in 0..40 {
        let slot = memory_dir();
        let dir = slot.path().join("store");
        copy_dir(whole.path(), &dir);
        let mut bytes = bytes.clone();
        let at = dice.random_range(0..bytes.len());
        bytes[at] ^= 0x10;
        fs::write(dir.join("db/db"), bytes).unwrap();
        let (mut store, mut moved) = Store::open_or_set_aside(config(&dir)).unwrap();
        for name in [rack("a"), rack("b")] {
            if store.group(&name).is_ok() {
                continue;
            }
            if let Err(error) = store.rebuild(&name) {
                assert!(matches!(error, StoreError::Failed { .. }), "{error}");
                drop(store);
                (store, moved) = Store::open_or_set_aside(config(&dir)).unwrap();
                assert!(moved.is_some(), "what can't be wiped is set aside");
            }
            rebuilt += usize::from(moved.is_none());
        }
        set_aside += usize::from(moved.is_some());
        churn(&store, &rack("b"), 30);
        store.group(&rack("a")).unwrap().append_blocking(records(300, 310, 100)).ok();
        assert_eq!(store.health(), Health::Healthy, "byte {at}");
        store.close().unwrap();
        let store = open(&dir);
        for name in [rack("a"), rack("b")] {
            store.group(&name).unwrap();
        }
    }
    println!("{rebuilt} groups were rebuilt, {set_aside} stores set aside");
    assert!(rebuilt > 5, "{rebuilt}");
}
