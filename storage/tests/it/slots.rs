//! Slots: one process each, the one that matters most first, and the same identity again.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use bookmesh_storage::{Slot, SlotError, Standing};

fn name(slot: &Slot) -> String {
    slot.path().file_name().unwrap().to_string_lossy().into_owned()
}

#[test]
fn each_taker_gets_a_slot_of_its_own_and_the_same_identity_later() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let slots: Vec<_> = (0..3).map(|_| Slot::take(&data).unwrap()).collect();
    assert_eq!(slots.iter().map(name).collect::<Vec<_>>(), ["slot-0", "slot-1", "slot-2"]);
    let ids: Vec<_> = slots.iter().map(|s| s.node_key().unwrap().peer_id().unwrap()).collect();
    assert!(ids[0] != ids[1] && ids[1] != ids[2]);
    let mode = fs::metadata(slots[0].path().join("node.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    drop(slots);
    assert_eq!(Slot::take(&data).unwrap().node_key().unwrap().peer_id().unwrap(), ids[0]);
}

#[test]
fn a_voter_is_taken_before_one_that_left_before_an_empty_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut slots: Vec<_> = (0..4).map(|_| Slot::take(dir.path()).unwrap()).collect();
    let standings = [Standing::Left, Standing::Empty, Standing::Voter, Standing::Learner];
    for (slot, standing) in slots.iter_mut().zip(standings) {
        slot.set_standing(standing, 7).unwrap();
    }
    drop(slots);
    let again: Vec<_> = (0..5).map(|_| Slot::take(dir.path()).unwrap()).collect();
    let order: Vec<_> = again.iter().map(name).collect();
    assert_eq!(order, ["slot-2", "slot-3", "slot-0", "slot-1", "slot-4"]);
    assert_eq!((again[0].standing(), again[0].known()), (Standing::Voter, 7));
}

#[test]
fn of_two_voters_the_one_that_knows_more_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let mut slots: Vec<_> = (0..6).map(|_| Slot::take(dir.path()).unwrap()).collect();
    for (slot, known) in slots.iter_mut().zip([9, 1000, 200, 1000]) {
        slot.set_standing(Standing::Voter, known).unwrap();
    }
    // A note of the time before there were numbers, and one that is none.
    fs::write(slots[4].path().join("standing"), "voter\n").unwrap();
    fs::write(slots[5].path().join("standing"), "voter many\n").unwrap();
    drop(slots);
    let again: Vec<_> = (0..6).map(|_| Slot::take(dir.path()).unwrap()).collect();
    let order: Vec<_> = again.iter().map(name).collect();
    assert_eq!(order, ["slot-1", "slot-3", "slot-2", "slot-0", "slot-4", "slot-5"]);
    assert_eq!((again[4].standing(), again[4].known()), (Standing::Voter, 0));
    assert_eq!(again[5].standing(), Standing::Learner);
}

#[test]
fn a_series_begins_with_the_slot_that_was_there_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = Slot::take_named(dir.path(), "ork").unwrap();
    first.set_standing(Standing::Learner, 3).unwrap();
    drop(first);
    let take = || Slot::take_series(dir.path(), "ork").unwrap();
    let mut slots = vec![take(), take(), take()];
    assert_eq!(slots.iter().map(name).collect::<Vec<_>>(), ["ork", "ork-1", "ork-2"]);
    slots[2].set_standing(Standing::Voter, 4).unwrap();
    drop(slots);
    let again = [take(), take()];
    assert_eq!(again.iter().map(name).collect::<Vec<_>>(), ["ork-2", "ork"]);
    let worker = Slot::take(dir.path()).unwrap();
    assert_eq!(name(&worker), "slot-0", "another series is none of this one");
    assert!(matches!(Slot::take_series(dir.path(), "a/b"), Err(SlotError::BadName(_))));
}

#[test]
fn a_named_slot_is_taken_once() {
    let dir = tempfile::tempdir().unwrap();
    let ork = Slot::take_named(dir.path(), "ork").unwrap();
    assert!(matches!(Slot::take_named(dir.path(), "ork"), Err(SlotError::InUse { .. })));
    drop(ork);
    Slot::take_named(dir.path(), "ork").unwrap();
    for bad in ["", "..", "a/b", &"x".repeat(65)] {
        assert!(matches!(Slot::take_named(dir.path(), bad), Err(SlotError::BadName(_))), "{bad}");
    }
}

#[test]
fn a_key_file_that_is_none_is_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let slot = Slot::take(dir.path()).unwrap();
    fs::write(slot.path().join("node.key"), "not a key").unwrap();
    assert!(matches!(slot.node_key(), Err(SlotError::Damaged { .. })));
}

#[test]
fn another_process_keeps_its_store_until_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_storage-test-writer"))
        .arg(dir.path())
        .args(["0", "1"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "open -1");
    let refused = bookmesh_storage::Store::open(crate::support::config(dir.path())).err().unwrap();
    assert!(matches!(refused, bookmesh_storage::OpenError::Locked { .. }), "{refused}");
    child.kill().unwrap();
    child.wait().unwrap();
    crate::support::open(dir.path()).close().unwrap();
}
