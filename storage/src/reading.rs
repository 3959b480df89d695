//! Reading a group's log: from memory what was appended lately, the rest from the disk.

use std::ops::Range;

use bookmesh_rpc::api::Hash;

use crate::error::StoreError;
use crate::group::Group;
use crate::record::Record;
use crate::scan;
use crate::tail::Tail;

impl Group {
    /// The entries of a range that are there, up to about so many bytes but at least one; whoever
    /// wants more asks on behind the last. Reads the disk unless they were appended lately.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Wiped`].
    pub fn read(&self, range: Range<u64>, max_bytes: usize) -> Result<Vec<Record>, StoreError> {
        let (from, to, cached_from) = {
            let state = self.usable()?;
            let (Some(first), Some(last)) = (state.tail.first(), state.tail.last()) else {
                return Ok(Vec::new());
            };
            let cached_from = state.tail.cached_from().unwrap_or(last + 1);
            (range.start.max(first), range.end.min(last + 1), cached_from)
        };
        if from >= to {
            return Ok(Vec::new());
        }
        let mut records = self.read_stored(from..to.min(cached_from), max_bytes)?;
        let read_bytes: usize = records.iter().map(Record::bytes).sum();
        let next = records.last().map_or(from, |record| record.index + 1);
        if next >= cached_from && next < to && (records.is_empty() || read_bytes < max_bytes) {
            let state = self.usable()?;
            // What was in memory a moment ago may have moved to the disk: whoever asks on gets it.
            if state.tail.cached_from().is_some_and(|from| from <= next) {
                records.extend(state.tail.read(next..to, max_bytes - read_bytes));
            } else if records.is_empty() {
                drop(state);
                return self.read_stored(next..to, max_bytes);
            }
        }
        Ok(records)
    }

    /// As [`Group::read`], when all of it is in memory: for callers that must not wait for a disk.
    /// `None` says that [`Group::read`] has to be asked.
    pub fn read_cached(&self, range: Range<u64>, max_bytes: usize) -> Option<Vec<Record>> {
        let state = self.usable().ok()?;
        let end = range.end.min(state.tail.last()? + 1);
        let cached = range.start < end && state.tail.cached_from()? <= range.start;
        cached.then(|| state.tail.read(range.start..end, max_bytes))
    }

    /// As [`Group::hash_at`], when it is in memory.
    pub fn cached_hash(&self, index: u64) -> Option<Hash> {
        let state = self.usable().ok()?;
        let head = (state.tail.last() == Some(index)).then(|| state.tail.head());
        head.or_else(|| state.tail.hash_at(index))
    }

    fn read_stored(&self, range: Range<u64>, max_bytes: usize) -> Result<Vec<Record>, StoreError> {
        let read = self.read_disk(range, max_bytes);
        // A wipe takes away what is being read: that is no damage.
        if read.is_err() {
            drop(self.usable()?);
        }
        read
    }

    fn read_disk(&self, range: Range<u64>, max_bytes: usize) -> Result<Vec<Record>, StoreError> {
        let mut records = Vec::new();
        let mut bytes = 0;
        let mut expected = range.start;
        for entry in scan::entries(&self.0.name, &self.0.trees.log, range.start, range.end) {
            let (record, _) = entry?;
            if record.index != expected {
                break;
            }
            bytes += record.bytes();
            if !records.is_empty() && bytes > max_bytes {
                return Ok(records);
            }
            expected += 1;
            records.push(record);
        }
        if expected < range.end {
            let (group, why) = (self.0.name.clone(), "it is missing".to_owned());
            return Err(StoreError::Corrupt { group, index: expected, why });
        }
        Ok(records)
    }

    /// The chain after an entry; [`Hash::ZERO`] before the first, `None` behind the last.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Wiped`].
    pub fn hash_at(&self, index: u64) -> Result<Option<Hash>, StoreError> {
        let state = self.usable()?;
        self.hash_locked(&state.tail, index)
    }

    pub(crate) fn hash_locked(&self, tail: &Tail, index: u64) -> Result<Option<Hash>, StoreError> {
        if tail.last() < Some(index) {
            return Ok(None);
        }
        if tail.first() > Some(index) {
            return Ok(Some(Hash::ZERO));
        }
        if tail.last() == Some(index) {
            return Ok(Some(tail.head()));
        }
        if let Some(hash) = tail.hash_at(index) {
            return Ok(Some(hash));
        }
        let missing = || StoreError::Corrupt {
            group: self.0.name.clone(),
            index,
            why: "it is missing".to_owned(),
        };
        let mut found = scan::entries(&self.0.name, &self.0.trees.log, index, index + 1);
        found.next().unwrap_or_else(|| Err(missing())).map(|(_, hash)| Some(hash))
    }
}
