//! A disk that loses power: what was synced is there, of the rest anything may be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::strace::{Event, Op};

const SECTOR_BYTES: usize = 512;

/// What the calls that were recorded promise.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rules {
    /// `fsync` and `fdatasync` make durable what was written before they began.
    Posix,
    /// `fdatasync` does nothing: to see that it is needed.
    WithoutDataSync,
}

type FileId = usize;

/// A change of a file's bytes.
#[derive(Clone)]
enum Change {
    Write { offset: usize, data: Vec<u8> },
    Truncate(usize),
}

/// A change of names.
#[derive(Clone)]
enum Naming {
    Set(PathBuf, Entry),
    Remove(PathBuf),
}

#[derive(Clone, Copy, PartialEq)]
enum Entry {
    File(FileId),
    Dir,
}

/// See the module.
pub(crate) struct Disk {
    rules: Rules,
    root: PathBuf,
    /// What the process sees.
    names: BTreeMap<PathBuf, Entry>,
    /// What is durable.
    durable_names: BTreeMap<PathBuf, Entry>,
    durable: Vec<Vec<u8>>,
    /// What is not, with the line where each change ended, in order.
    pending: Vec<Vec<(usize, Change)>>,
    pending_names: Vec<(usize, Naming)>,
}

impl Disk {
    pub(crate) fn new(root: &Path, rules: Rules) -> Self {
        let names = BTreeMap::from([(root.to_owned(), Entry::Dir)]);
        Self {
            rules,
            root: root.to_owned(),
            durable_names: names.clone(),
            names,
            durable: Vec::new(),
            pending: Vec::new(),
            pending_names: Vec::new(),
        }
    }

    /// Takes a call that has ended.
    pub(crate) fn take(&mut self, event: &Event) {
        let end = event.end;
        match &event.op {
            Op::Open { path, truncate } => self.open(path, *truncate, end),
            Op::Write { path, offset, data } => {
                let change = Change::Write { offset: *offset, data: data.clone() };
                self.change(path, end, change);
            }
            Op::Truncate { path, length } => self.change(path, end, Change::Truncate(*length)),
            Op::Sync { path } => self.sync(path, event.start),
            Op::DataSync { path } if self.rules == Rules::Posix => self.sync(path, event.start),
            Op::DataSync { .. } | Op::Say(_) => {}
            Op::Rename { from, to } => {
                let moved = self.names[from];
                self.name(end, Naming::Set(to.clone(), moved));
                self.name(end, Naming::Remove(from.clone()));
            }
            Op::Link { from, to } => {
                let linked = self.names[from];
                self.name(end, Naming::Set(to.clone(), linked));
            }
            Op::Remove { path } => self.name(end, Naming::Remove(path.clone())),
            Op::MakeDir { path } => self.name(end, Naming::Set(path.clone(), Entry::Dir)),
        }
    }

    fn open(&mut self, path: &Path, truncate: bool, end: usize) {
        if !self.names.contains_key(path) {
            self.durable.push(Vec::new());
            self.pending.push(Vec::new());
            let file = Entry::File(self.durable.len() - 1);
            self.name(end, Naming::Set(path.to_owned(), file));
        } else if truncate {
            self.change(path, end, Change::Truncate(0));
        }
    }

    fn change(&mut self, path: &Path, end: usize, change: Change) {
        if let Some(Entry::File(file)) = self.names.get(path) {
            self.pending[*file].push((end, change));
        }
    }

    fn name(&mut self, end: usize, naming: Naming) {
        apply_naming(&mut self.names, &naming);
        self.pending_names.push((end, naming));
    }

    /// Makes durable what had ended when the sync began.
    fn sync(&mut self, path: &Path, start: usize) {
        match self.names.get(path) {
            Some(Entry::File(file)) => {
                let changes = std::mem::take(&mut self.pending[*file]);
                let (before, after): (Vec<_>, Vec<_>) =
                    changes.into_iter().partition(|(end, _)| *end < start);
                for (_, change) in before {
                    apply_whole(&mut self.durable[*file], &change);
                }
                self.pending[*file] = after;
            }
            Some(Entry::Dir) => {
                let inside = |naming: &Naming| {
                    let (Naming::Set(name, _) | Naming::Remove(name)) = naming;
                    name.parent() == Some(path)
                };
                let namings = std::mem::take(&mut self.pending_names);
                for (end, naming) in namings {
                    if end < start && inside(&naming) {
                        apply_naming(&mut self.durable_names, &naming);
                    } else {
                        self.pending_names.push((end, naming));
                    }
                }
            }
            None => {}
        }
    }

    /// Puts below `target` what is found after the power was cut now.
    pub(crate) fn cut(&self, target: &Path, seed: u64) {
        let mut dice = StdRng::seed_from_u64(seed);
        // Each cut has its own luck: nothing more, everything, or something in between.
        let luck = [0.0, 1.0, 0.1, 0.5, 0.9][dice.random_range(0..5)];
        let mut names = self.durable_names.clone();
        // Journals keep the order of names: a beginning of them is there.
        let kept = (self.pending_names.len() as f64 * luck) as usize;
        for (_, naming) in &self.pending_names[..kept] {
            apply_naming(&mut names, naming);
        }
        for (path, entry) in &names {
            let place = target.join(path.strip_prefix(&self.root).unwrap());
            match entry {
                // A directory that was not made durable takes its files with it.
                Entry::Dir => drop(std::fs::create_dir_all(place)),
                Entry::File(file) if place.parent().is_some_and(Path::is_dir) => {
                    let mut bytes = self.durable[*file].clone();
                    for (_, change) in &self.pending[*file] {
                        apply_torn(&mut bytes, change, luck, &mut dice);
                    }
                    std::fs::write(place, bytes).unwrap();
                }
                Entry::File(_) => {}
            }
        }
    }
}

fn apply_naming(names: &mut BTreeMap<PathBuf, Entry>, naming: &Naming) {
    match naming {
        Naming::Set(path, entry) => drop(names.insert(path.clone(), *entry)),
        Naming::Remove(path) => drop(names.remove(path)),
    }
}

fn apply_whole(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Truncate(length) => bytes.resize(*length, 0),
        Change::Write { offset, data } => put(bytes, *offset, data),
    }
}

/// Each sector of a write for itself: kept or not.
fn apply_torn(bytes: &mut Vec<u8>, change: &Change, luck: f64, dice: &mut StdRng) {
    let Change::Write { offset, data } = change else {
        if dice.random_bool(luck) {
            apply_whole(bytes, change);
        }
        return;
    };
    let mut at = 0;
    while at < data.len() {
        let sector_end = (offset + at) / SECTOR_BYTES * SECTOR_BYTES + SECTOR_BYTES - offset;
        let end = sector_end.min(data.len());
        if dice.random_bool(luck) {
            put(bytes, offset + at, &data[at..end]);
        }
        at = end;
    }
}

fn put(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    if bytes.len() < offset + data.len() {
        bytes.resize(offset + data.len(), 0);
    }
    bytes[offset..offset + data.len()].copy_from_slice(data);
}
