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
