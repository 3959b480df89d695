//! A slow check of a log's chain while it is in use: damage that nobody has read yet is found as
//! long as the other members can still mend it.

use bookmesh_rpc::api::Hash;

use crate::error::StoreError;
use crate::group::Group;
use crate::scan;

/// Goes over a group's log again and again, some entries at a time. What is checked is read back
/// from the database: each entry has to be there, open with its key, decode, and be the one that
/// the chain leads to; and the chain has to lead to what is known in memory.
///
/// sled keeps pages in memory, [`crate::StoreConfig::cache_bytes`] of them in least recently used
/// order. A log that is larger than that comes from the file in every round; of a smaller one,
/// pages that were read before are not read from the file again. Those are served from memory
/// as well, so nothing wrong is ever answered, but the next start would find what this does not
/// see: [`crate::Store::rehearse`] does.
///
/// Holds no page and no lock between two steps.
pub struct Scrub {
    group: Group,
    /// The next entry, and the chain before it; `None` at the beginning.
    at: Option<(u64, Hash)>,
    /// Of the log's tail when `at` was reached: a cut may have changed what is before it.
    epoch: u64,
}

/// What one step has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Entries that were checked, and found to be whole.
    pub entries: u64,
    /// Their bytes, as [`crate::Record::bytes`] counts them.
    pub bytes: u64,
    /// The last of them.
    pub last: Option<u64>,
    /// Whether the end was reached: the next step begins at the first entry.
    pub wrapped: bool,
}

/// What may be checked now.
struct Bounds {
    first: u64,
    /// The last entry, which is durable and committed.
    last: u64,
    epoch: u64,
    /// The chain after `last`, when it is in memory.
    head: Option<Hash>,
}

impl Scrub {
    /// Begins at the first entry.
    pub const fn new(group: Group) -> Self {
        Self { group, at: None, epoch: 0 }
    }

    /// Checks the next entries up to `committed`, up to about so many bytes but at least one
    /// entry. Later entries may still be cut, and are left for a later round. Blocks on the disk.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] with the first entry that is damaged, missing or not the one the
    /// chain leads to; the next step looks at it again. [`StoreError::Wiped`].
    pub fn step(
        &mut self,
        committed: Option<u64>,
        max_bytes: usize,
    ) -> Result<Progress, StoreError> {
        let Some(bounds) = self.bounds(committed)? else {
            self.at = None;
            return Ok(Progress { wrapped: true, ..Progress::default() });
        };
        let inside = |at: &(u64, Hash)| self.epoch == bounds.epoch && at.0 <= bounds.last;
        let from = self.at.filter(inside).unwrap_or((bounds.first, Hash::ZERO));
        self.epoch = bounds.epoch;
        self.at = Some(from);
        match self.check(&bounds, from, max_bytes) {
            Ok((progress, next)) => {
                self.at = next.filter(|_| !progress.wrapped);
                Ok(progress)
            }
            // A cut or a wipe in between explains what was seen.
            Err(_) if self.bounds(committed)?.is_none_or(|now| now.epoch != bounds.epoch) => {
                self.at = None;
                Ok(Progress::default())
            }
            Err(error) => Err(error),
        }
    }

    fn bounds(&self, committed: Option<u64>) -> Result<Option<Bounds>, StoreError> {
        let state = self.group.usable()?;
        let tail = &state.tail;
        let last = tail.durable().min(committed);
        let (Some(first), Some(last)) = (tail.first(), last) else { return Ok(None) };
        if last < first {
            return Ok(None);
        }
        let head = (tail.last() == Some(last)).then(|| tail.head());
        let head = head.or_else(|| tail.hash_at(last));
        Ok(Some(Bounds { first, last, epoch: tail.epoch(), head }))
    }

    fn check(
        &self,
        bounds: &Bounds,
        from: (u64, Hash),
        max_bytes: usize,
    ) -> Result<(Progress, Option<(u64, Hash)>), StoreError> {
        let (mut expected, mut chain) = from;
        let corrupt = |index, why: &str| {
            Err(StoreError::Corrupt { group: self.group.name().clone(), index, why: why.into() })
        };
        let mut progress = Progress::default();
        let max_bytes = max_bytes as u64;
        let log = &self.group.0.trees.log;
        for entry in scan::entries(self.group.name(), log, expected, bounds.last + 1) {
            let (record, stored) = entry?;
            if record.index != expected {
                return corrupt(expected, "it is missing");
            }
            chain = record.chain(&chain);
            if chain != stored {
                return corrupt(expected, "the chain does not lead to it");
            }
            if expected == bounds.last && bounds.head.is_some_and(|head| head != chain) {
                return corrupt(expected, "it is not the entry that was acknowledged");
            }
            progress.entries += 1;
            progress.bytes += record.bytes() as u64;
            progress.last = Some(expected);
            progress.wrapped = expected == bounds.last;
            expected += 1;
            if progress.bytes >= max_bytes {
                break;
            }
        }
        if progress.bytes < max_bytes && !progress.wrapped {
            return corrupt(expected, "it is missing");
        }
        Ok((progress, Some((expected, chain))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::StoreKey;
    use crate::names::GroupName;
    use crate::record::{Record, log_key};
    use crate::store::{Health, Store, StoreConfig};
    use bytes::Bytes;

    fn record(index: u64, byte: u8) -> Record {
        Record { index, head: Bytes::from_static(b"head"), commands: vec![byte; 60_000].into() }
    }

    fn name() -> GroupName {
        GroupName::rack(&"book-rack-001".parse().unwrap())
    }

    /// A store with 50 entries of two fragments each.
    fn filled() -> (tempfile::TempDir, Store, Group) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(StoreConfig::new(dir.path(), StoreKey::generate())).unwrap();
        let group = store.group(&name()).unwrap();
        group.append_blocking((0..50).map(|index| record(index, index as u8)).collect()).unwrap();
        (dir, store, group)
    }

    /// Writes an entry over the one that is there, behind everybody's back.
    fn overwrite(group: &Group, record: &Record, chain: Hash) {
        let log = &group.0.trees.log;
        for (number, fragment) in (0..=u8::MAX).zip(record.fragments(&chain)) {
            let key = log_key(record.index, number);
            log.insert_sealed(&key, log.seal(&key, &fragment).unwrap()).unwrap();
        }
    }

    /// Steps through one round.
    fn round(scrub: &mut Scrub, committed: u64) -> Result<u64, StoreError> {
        let mut entries = 0;
        loop {
            let progress = scrub.step(Some(committed), 200_000)?;
            assert!(progress.entries <= 4, "a step is bounded");
            entries += progress.entries;
            if progress.wrapped {
                return Ok(entries);
            }
        }
    }

    fn damaged_at(group: &Group) -> u64 {
        match round(&mut Scrub::new(group.clone()), 49) {
            Err(StoreError::Corrupt { index, .. }) => index,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn rounds_go_on_as_the_log_grows_and_end_at_what_is_committed() {
        let (_dir, _store, group) = filled();
        let mut scrub = Scrub::new(group.clone());
        let nothing = Progress { wrapped: true, ..Progress::default() };
        assert_eq!(scrub.step(None, 1).unwrap(), nothing);
        assert_eq!(round(&mut scrub, 29).unwrap(), 30);
        assert_eq!(round(&mut scrub, 1000).unwrap(), 50);
        let first = scrub.step(Some(49), 1).unwrap();
        assert_eq!((first.entries, first.last, first.wrapped), (1, Some(0), false));
        group.append_blocking(vec![record(50, 1)]).unwrap();
        assert_eq!(round(&mut scrub, 50).unwrap(), 50);
    }

    #[test]
    fn a_log_that_begins_later_is_checked_from_there() {
        let (_dir, store, _) = filled();
        let late = store.group(&GroupName::registry()).unwrap();
        late.append_blocking((7..20).map(|index| record(index, 1)).collect()).unwrap();
        assert_eq!(round(&mut Scrub::new(late), 19).unwrap(), 13);
    }

    #[test]
    fn an_entry_that_was_changed_garbled_or_removed_is_named() {
        let (_dir, _store, group) = filled();
        let before = group.hash_at(20).unwrap().unwrap();
        // Sealed with the right key and for its place: only the chain tells.
        overwrite(&group, &record(20, 99), before);
        assert_eq!(damaged_at(&group), 20);
        overwrite(&group, &record(20, 20), before);
        assert_eq!(round(&mut Scrub::new(group.clone()), 49).unwrap(), 50);

        let log = &group.0.trees.log;
        log.insert_sealed(&log_key(13, 1), vec![7; 100]).unwrap();
        assert_eq!(damaged_at(&group), 13);
        log.remove(&log_key(13, 1)).unwrap();
        assert_eq!(damaged_at(&group), 13);
        log.remove(&log_key(0, 0)).unwrap();
        log.remove(&log_key(0, 1)).unwrap();
        assert_eq!(damaged_at(&group), 0);
    }

    #[test]
    fn a_history_that_was_rewritten_whole_is_seen_by_its_head() {
        let (_dir, _store, group) = filled();
        let mut chain = group.hash_at(39).unwrap().unwrap();
        for index in 40..50 {
            let other = record(index, 99);
            chain = other.chain(&chain);
            overwrite(&group, &other, chain);
        }
        assert_eq!(damaged_at(&group), 49);
        assert_eq!(round(&mut Scrub::new(group), 38).unwrap(), 39);
    }

    #[test]
    fn a_log_that_is_larger_than_the_cache_is_read_from_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let config = StoreConfig::new(dir.path(), StoreKey::generate());
        let config = StoreConfig { cache_bytes: 1024 * 1024, ..config };
        let store = Store::open(config.clone()).unwrap();
        let log = store.group(&name()).unwrap();
        for from in (0..10_000).step_by(500) {
            let record = |index: u64| Record { commands: vec![7; 1500].into(), ..record(index, 0) };
            log.append_blocking((from..from + 500).map(record).collect()).unwrap();
        }
        let mut scrub = Scrub::new(log.clone());
        assert_eq!(scrub.step(Some(9_999), usize::MAX).unwrap().entries, 10_000);
        let path = dir.path().join("db/db");
        let mut bytes = std::fs::read(&path).unwrap();
        (bytes.len() / 4..bytes.len() / 2).step_by(5_000).for_each(|at| bytes[at] ^= 1);
        std::fs::write(&path, bytes).unwrap();
        let seen = scrub.step(Some(9_999), usize::MAX);
        assert!(matches!(seen, Err(StoreError::Corrupt { .. })), "{seen:?}");
        // The damage is what it says, and not the end of the store.
        assert_eq!(store.health(), Health::Healthy);
    }

    #[test]
    fn the_last_entry_missing_is_seen() {
        let (_dir, _store, group) = filled();
        group.0.trees.log.remove(&log_key(49, 1)).unwrap();
        assert_eq!(damaged_at(&group), 49);
    }

    #[test]
    fn what_was_cut_and_written_anew_since_the_last_step_is_no_damage() {
        let (_dir, _store, group) = filled();
        let mut scrub = Scrub::new(group.clone());
        for _ in 0..10 {
            scrub.step(Some(49), 200_000).unwrap();
        }
        group.truncate_blocking(30).unwrap();
        group.append_blocking((30..50).map(|index| record(index, 99)).collect()).unwrap();
        assert_eq!(round(&mut scrub, 49).unwrap(), 50);
    }

    #[test]
    fn cuts_and_appends_are_no_damage_and_neither_is_a_wipe() {
        let (_dir, store, group) = filled();
        let wiped = std::thread::scope(|scope| {
            scope.spawn(|| {
                for turn in 0..60_u64 {
                    let from = 49 - turn % 20;
                    group.truncate(from, Box::new(|_| ())).unwrap();
                    let entries = (from..50).map(|index| record(index, turn as u8));
                    group.append_blocking(entries.collect()).unwrap();
                }
                store.wipe(group.name()).unwrap();
                // As a filler would at once.
                let anew = store.group(&name()).unwrap();
                anew.append_blocking((0..50).map(|index| record(index, 3)).collect()).unwrap();
            });
            let mut scrub = Scrub::new(group.clone());
            loop {
                // A caller that is wrong about what is committed is the worst there is.
                match scrub.step(Some(49), usize::MAX) {
                    Ok(_) => {}
                    Err(error) => break error,
                }
            }
        });
        assert!(matches!(wiped, StoreError::Wiped { .. }), "{wiped}");
    }
}
