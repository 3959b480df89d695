//! A power cut at any moment loses nothing that was acknowledged: the writes of a real process are
//! recorded, and replayed with what was not synced dropped, torn, kept or reordered.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bookmesh_storage::view::{Things, View};
use bookmesh_storage::{MetaKey, Store};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::disk::{Disk, Rules};
use crate::strace::{self, Event, Op};
use crate::support::{config, memory_dir, rack};

const ENTRIES: &str = "600";
const CUTS: usize = 150;
/// To see that a cut is noticed, fewer do.
const CONTROL_CUTS: usize = 30;

/// What the process had been told by some line.
#[derive(Default, Clone)]
struct Told {
    /// The chain after each acknowledged entry.
    acknowledged: BTreeMap<u64, String>,
    /// The lowest entry that a later one was told to be after.
    vote: u64,
    saved: Option<u64>,
}

impl Told {
    fn take(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["ack", index, hash] => {
                self.acknowledged.insert(index.parse().unwrap(), hash.to_owned());
            }
            ["cut", from] => drop(self.acknowledged.split_off(&from.parse().unwrap())),
            ["vote", index] => self.vote = index.parse().unwrap(),
            ["saved", index] => self.saved = Some(index.parse().unwrap()),
            _ => {}
        }
    }
}

fn record(root: &Path) -> Vec<Event> {
    let seed: u64 = rand::random();
    println!("writer seed {seed}");
    let dir = root.join("store");
    let program = env!("CARGO_BIN_EXE_storage-test-writer");
    strace::record(root, program, &[dir.to_str().unwrap(), ENTRIES, &seed.to_string()])
}

/// How many writes to sled's file went where something was written before.
fn overwrites(events: &[Event]) -> usize {
    let mut written_to = 0;
    let mut over = 0;
    for event in events {
        if let Op::Write { path, offset, data } = &event.op
            && path.ends_with("db/db")
        {
            over += usize::from(*offset < written_to);
            written_to = written_to.max(offset + data.len());
        }
    }
    println!("{over} writes over others, {written_to} bytes");
    over
}

/// Cuts the power at many moments; answers what was wrong after each.
fn cut_at_many_points(root: &Path, events: &[Event], rules: Rules, wanted: usize) -> Vec<String> {
    let seed: u64 = rand::random();
    println!("cut seed {seed}");
    let mut disk = Disk::new(root, rules);
    let mut told = Told::default();
    let mut faults = Vec::new();
    let points = rand::seq::index::sample(&mut StdRng::seed_from_u64(seed), events.len(), wanted);
    let points: BTreeSet<_> = points.into_iter().collect();
    for (at, event) in events.iter().enumerate() {
        disk.take(event);
        if let Op::Say(line) = &event.op {
            told.take(line);
        }
        if points.contains(&at) {
            let target = memory_dir();
            disk.cut(target.path(), seed.wrapping_add(at as u64));
            if let Err(fault) = inspect(&target.path().join("store"), &told) {
                faults.push(format!("cut after event {at}: {fault}"));
            }
        }
    }
    println!("{} events, {wanted} cuts, {} faults", events.len(), faults.len());
    faults
}

/// Opens what is left, and holds it against what was told.
fn inspect(dir: &Path, told: &Told) -> Result<(), String> {
    if told.acknowledged.is_empty() && !dir.is_dir() {
        return Ok(());
    }
    let store = Store::open(config(dir)).map_err(|error| error.to_string())?;
    let group = store.group(&rack("book-rack-001")).map_err(|error| error.to_string())?;
    if let Some((index, hash)) = told.acknowledged.last_key_value() {
        let found = group.hash_at(*index).map_err(|error| error.to_string())?;
        let found = found.map(|hash| hash.to_string());
        if found.as_deref() != Some(hash) {
            return Err(format!("entry {index} has {found:?} instead of {hash}"));
        }
    }
    let vote = group.get(MetaKey::Vote).map_err(|error| error.to_string())?;
    let vote = vote.map_or(0, |vote| String::from_utf8_lossy(&vote).parse().unwrap());
    if vote < told.vote {
        return Err(format!("vote {vote} instead of {}", told.vote));
    }
    let checkpoint = group.checkpoint().map_err(|error| error.to_string())?;
    let applied = checkpoint.as_ref().map(|checkpoint| checkpoint.applied_index());
    if applied < told.saved {
        return Err(format!("checkpoint {applied:?} instead of {:?}", told.saved));
    }
    if let Some(checkpoint) = checkpoint {
        let view: Things = checkpoint.restore().map_err(|error| error.to_string())?;
        if view.applied_index() > group.last_index() {
            return Err("the checkpoint is ahead of its log".into());
        }
    }
    Ok(())
}

#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let events = record(&root);
    assert!(overwrites(&events) > 0, "the run is too short for sled to use a segment again");
    let faults = cut_at_many_points(&root, &events, Rules::Posix, CUTS);
    assert!(faults.is_empty(), "{}", faults.join("\n"));

    // The same run, on a disk where `fdatasync` does nothing: if no cut is noticed then, the
    // scenario above proves nothing.
    let faults = cut_at_many_points(&root, &events, Rules::WithoutDataSync, CONTROL_CUTS);
    assert!(
        faults.len() > CONTROL_CUTS / 4,
        "only {} cuts were noticed without fdatasync",
        faults.len()
    );
}
