//! The end of a group's log in memory: what was appended is readable at once, and replication
//! reads what it just wrote without touching sled.

use std::collections::VecDeque;
use std::ops::Range;

use bookmesh_rpc::api::Hash;

use crate::error::Mark;
use crate::record::Record;

/// Kept of what is in sled already; what is not is bounded by the writer's queue.
const MAX_BYTES: usize = 2 * 1024 * 1024;
/// What an entry takes beside its bytes.
const ENTRY_OVERHEAD_BYTES: usize = 160;

/// See the module.
#[derive(Debug)]
pub(crate) struct Tail {
    /// The last entries, without a gap.
    entries: VecDeque<(Record, Hash)>,
    bytes: usize,
    /// The log's first entry; `None` while it is empty.
    first: Option<u64>,
    last: Option<u64>,
    /// The chain after the last entry.
    head: Hash,
    /// The last entry that is in sled, and durable.
    stored: Option<u64>,
    /// Counts cuts: what was appended before one says nothing of what is there after it.
    epoch: u64,
}

impl Tail {
    /// The tail of a log that is all in sled.
    pub(crate) fn new(first: Option<u64>, last: Option<u64>, head: Hash) -> Self {
        Self { entries: VecDeque::new(), bytes: 0, first, last, head, stored: last, epoch: 0 }
    }

    pub(crate) fn first(&self) -> Option<u64> {
        self.first
    }

    pub(crate) fn last(&self) -> Option<u64> {
        self.last
    }

    pub(crate) fn head(&self) -> Hash {
        self.head
    }

    /// What the log is when all of it is durable.
    pub(crate) fn mark(&self) -> Mark {
        Mark { index: self.last, hash: self.head }
    }

    /// The first entry that is in memory; all below it are in sled.
    pub(crate) fn cached_from(&self) -> Option<u64> {
        self.entries.front().map(|(record, _)| record.index)
    }

    /// Adds the next entry. The caller has checked that it is the next.
    pub(crate) fn push(&mut self, record: Record, chain: Hash) {
        self.first.get_or_insert(record.index);
        self.last = Some(record.index);
        self.head = chain;
        self.bytes += record.bytes() + ENTRY_OVERHEAD_BYTES;
        self.entries.push_back((record, chain));
    }

    /// The last entry that is durable.
    pub(crate) fn durable(&self) -> Option<u64> {
        self.stored
    }

    /// Handed to [`Tail::stored`] with what is appended now.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Sled has all entries up to this one, which was appended in that epoch.
    pub(crate) fn stored(&mut self, index: u64, epoch: u64) {
        if epoch != self.epoch {
            return;
        }
        self.stored = self.stored.max(Some(index));
        while self.bytes > MAX_BYTES
            && let Some((record, _)) = self.entries.front()
            && Some(record.index) <= self.stored
        {
            self.bytes -= record.bytes() + ENTRY_OVERHEAD_BYTES;
            self.entries.pop_front();
        }
    }

    /// Cuts off all from `from` on; `head` is the chain before it.
    pub(crate) fn cut(&mut self, from: u64, head: Hash) {
        while let Some((record, _)) = self.entries.back()
            && record.index >= from
        {
            self.bytes -= record.bytes() + ENTRY_OVERHEAD_BYTES;
            self.entries.pop_back();
        }
        if self.first.is_some_and(|first| first >= from) {
            (self.first, self.last) = (None, None);
        } else {
            self.last = self.last.min(from.checked_sub(1));
        }
        self.stored = self.stored.min(self.last);
        self.head = head;
        self.epoch += 1;
    }

    /// The entries of a range that are in memory, up to so many bytes but at least one.
    pub(crate) fn read(&self, range: Range<u64>, max_bytes: usize) -> Vec<Record> {
        let Some(front) = self.cached_from() else { return Vec::new() };
        let skip = usize::try_from(range.start.saturating_sub(front)).unwrap_or(usize::MAX);
        let mut bytes = 0;
        let inside = self.entries.iter().skip(skip).take_while(|(record, _)| {
            let first = bytes == 0;
            bytes += record.bytes() + ENTRY_OVERHEAD_BYTES;
            record.index < range.end && (first || bytes <= max_bytes)
        });
        inside.map(|(record, _)| record.clone()).collect()
    }

    /// The chain after an entry that is in memory.
    pub(crate) fn hash_at(&self, index: u64) -> Option<Hash> {
        let at = usize::try_from(index.checked_sub(self.cached_from()?)?).ok()?;
        self.entries.get(at).map(|(_, chain)| *chain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn filled(count: u64, bytes: usize) -> Tail {
        let mut tail = Tail::new(None, None, Hash::ZERO);
        for index in 0..count {
            let commands = Bytes::from(vec![index as u8; bytes]);
            let record = Record { index, head: Bytes::new(), commands };
            let chain = record.chain(&tail.head());
            tail.push(record, chain);
        }
        tail
    }

    #[test]
    fn what_sled_does_not_have_is_never_dropped() {
        let mut tail = filled(100, 64 * 1024);
        assert_eq!(tail.cached_from(), Some(0));
        tail.stored(9, 0);
        assert_eq!(tail.cached_from(), Some(10));
        tail.stored(99, 0);
        assert!(tail.bytes <= MAX_BYTES);
        assert_eq!(tail.read(98..200, usize::MAX).len(), 2);
    }

    #[test]
    fn a_cut_takes_the_hash_back_and_outlives_late_acknowledgements() {
        let mut tail = filled(10, 8);
        let before = tail.hash_at(4).unwrap();
        tail.cut(5, before);
        tail.stored(9, 0);
        assert_eq!((tail.last(), tail.head(), tail.stored), (Some(4), before, None));
        tail.cut(0, Hash::ZERO);
        assert_eq!((tail.first(), tail.last()), (None, None));
    }

    #[test]
    fn a_read_is_bounded_but_never_empty() {
        let tail = filled(10, 1000);
        assert_eq!(tail.read(2..9, 1).len(), 1);
        assert_eq!(tail.read(2..9, 2400).len(), 2);
        assert_eq!(tail.read(2..4, usize::MAX).len(), 2);
    }
}
