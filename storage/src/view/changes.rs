//! What a rack's log changed: which commands had an effect, on which things, in the log's order.
//! What they were stands in the log alone.
//!
//! 24 bytes a change, and 4 a thing, for ever: it grows with the log, of which it is a small part.

use bookmesh_rpc::api::{MAX_BATCH, Position};
use serde::{Deserialize, Serialize};

use super::parts::{PartWriter, RestoreError};
use super::saved_to::SavedTo;

/// Bits of a place that count commands within an entry: an entry has 64 KiB, and a command a few
/// bytes at least.
const PART_BITS: u32 = 20;
const MAX_PART: u64 = (1 << PART_BITS) - 1;
/// Changes of one rack at most, which take 100 GB: numbers of 32 bits keep each of them small. A
/// command makes [`MAX_BATCH`] at most.
const MOST: usize = u32::MAX as usize - MAX_BATCH;
/// Changes of one item of a checkpoint: each takes some 20 bytes at most, an item half a part.
const ITEM_CHANGES: usize = 1_000;

/// Where a change stands in the log, in the order of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Place(u64);

impl Place {
    fn new(at: Position) -> Self {
        let index = at.index.min(u64::MAX >> PART_BITS);
        Self((index << PART_BITS) | u64::from(at.part).min(MAX_PART))
    }

    const fn position(self) -> Position {
        Position { index: self.0 >> PART_BITS, part: (self.0 & MAX_PART) as u32 }
    }
}

/// One change. The numbers of others are their places in the list of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Record {
    at: Place,
    /// Of the thing.
    sequence: u32,
    /// The how-many-th change of the thing it is, from 1.
    version: u32,
    /// The change of the same thing before it; the first names itself.
    previous: u32,
    /// One further back, so chosen that any version is found in a logarithm of steps: as far back
    /// again as the one before goes, when that went twice as far (a skew-binary list).
    jump: u32,
}

/// A change as it was noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Noted {
    pub(super) at: Position,
    pub(super) sequence: u32,
    pub(super) version: u64,
}

impl From<&Record> for Noted {
    fn from(record: &Record) -> Self {
        let (at, version) = (record.at.position(), record.version.into());
        Self { at, sequence: record.sequence, version }
    }
}

/// Changes in a checkpoint: from which number on, and of each by how much its entry is behind the
/// one before, its place in the entry, and the thing's sequence.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ChangesItem {
    first: u32,
    changes: Vec<(u64, u32, u32)>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    records: Vec<Record>,
    /// The last change of each thing, by sequence: those begin with 1 and have no gaps.
    last: Vec<u32>,
    /// The command that is being applied.
    now: Place,
    saved: SavedTo,
}

impl Changes {
    /// Whether no more can be noted.
    pub(super) fn is_full(&self) -> bool {
        self.records.len() >= MOST
    }

    /// What is noted from here on is this command's doing.
    pub(super) fn begin_command(&mut self, at: Position) {
        self.now = Place::new(at);
    }

    /// Notes that the thing with this sequence changed; a new thing has the next sequence.
    pub(super) fn note(&mut self, sequence: u64) {
        if self.push(self.now, sequence).is_none() {
            tracing::error!(sequence, "a change of a thing that never began");
        }
    }

    fn push(&mut self, at: Place, sequence: u64) -> Option<()> {
        let number = u32::try_from(self.records.len()).ok()?;
        let sequence = u32::try_from(sequence).ok()?;
        let of = (sequence as usize).checked_sub(1)?;
        if of == self.last.len() {
            self.last.push(number);
            let (version, previous, jump) = (1, number, number);
            self.records.push(Record { at, sequence, version, previous, jump });
            return Some(());
        }
        let last = self.last.get_mut(of)?;
        let previous = std::mem::replace(last, number);
        let before = self.record(previous)?;
        let jump = self.record(before.jump)?;
        let further = self.record(jump.jump)?;
        let twice = before.version - jump.version == jump.version - further.version;
        let jump = if twice { jump.jump } else { previous };
        let version = before.version + 1;
        self.records.push(Record { at, sequence, version, previous, jump });
        Some(())
    }

    fn record(&self, number: u32) -> Option<Record> {
        self.records.get(number as usize).copied()
    }

    /// The changes of a thing that made later versions than `after`, oldest first, so many at
    /// most; and how many it has in all. `None` for one that never was.
    pub(super) fn of(&self, sequence: u64, after: u64, limit: usize) -> Option<(Vec<Noted>, u64)> {
        let of = usize::try_from(sequence).ok()?.checked_sub(1)?;
        let mut record = self.record(*self.last.get(of)?)?;
        let total = u64::from(record.version);
        let wanted = after.saturating_add(limit as u64).min(total);
        let mut found = Vec::new();
        if wanted <= after {
            return Some((found, total));
        }
        while u64::from(record.version) > wanted {
            let jump = self.record(record.jump)?;
            let far = u64::from(jump.version) >= wanted;
            record = if far { jump } else { self.record(record.previous)? };
        }
        loop {
            found.push(Noted::from(&record));
            if u64::from(record.version) <= after + 1 {
                break;
            }
            record = self.record(record.previous)?;
        }
        found.reverse();
        Some((found, total))
    }

    /// The changes behind a place, or all, in the log's order. So many, and the rest of the last
    /// one's command.
    pub(super) fn behind(&self, after: Option<Position>, limit: usize) -> Vec<Noted> {
        let from = after.map_or(0, |after| {
            let after = Place::new(after);
            self.records.partition_point(|record| record.at <= after)
        });
        let behind = &self.records[from..];
        let end = behind.get(..limit).and_then(<[_]>::last).map_or(behind.len(), |last| {
            limit + behind[limit..].partition_point(|record| record.at == last.at)
        });
        behind[..end].iter().map(Noted::from).collect()
    }

    /// Whether both noted the same.
    pub(super) fn same(&self, other: &Self) -> bool {
        self.records == other.records
    }

    /// A full checkpoint begins: what there is now is given out by [`Changes::give_old`].
    pub(super) fn begin_full(&mut self) {
        self.set_saved();
    }

    /// How many are in no checkpoint yet.
    pub(super) fn unsaved(&self) -> usize {
        self.saved.unsaved(0, self.records.len())
    }

    pub(super) fn set_saved(&mut self) {
        self.saved.set(self.records.len() as u64);
    }

    /// Gives out those that were there when a full checkpoint began, from a number on, up to so
    /// many bytes and the item that passes them; answers where to go on.
    pub(super) fn give_old<T: Serialize>(
        &self,
        from: u64,
        parts: &mut PartWriter,
        max_bytes: usize,
        item: impl Fn(ChangesItem) -> T,
    ) -> Option<u64> {
        let end = self.saved.skipped(0, self.records.len());
        self.give(from, end, parts, max_bytes, item)
    }

    /// Gives out those that are in no checkpoint yet, likewise.
    pub(super) fn give_unsaved<T: Serialize>(
        &mut self,
        parts: &mut PartWriter,
        max_bytes: usize,
        item: impl Fn(ChangesItem) -> T,
    ) {
        let end = self.records.len();
        let next = self.give(self.saved.place(), end, parts, max_bytes, item);
        self.saved.set(next.unwrap_or(end as u64));
    }

    fn give<T: Serialize>(
        &self,
        from: u64,
        end: usize,
        parts: &mut PartWriter,
        max_bytes: usize,
        item: impl Fn(ChangesItem) -> T,
    ) -> Option<u64> {
        let mut from = usize::try_from(from).unwrap_or(end).min(end);
        while from < end {
            if parts.bytes() >= max_bytes {
                return Some(from as u64);
            }
            let to = end.min(from + ITEM_CHANGES);
            let mut index = 0;
            let changes = self.records[from..to].iter().map(|record| {
                let at = record.at.position();
                let behind = at.index - std::mem::replace(&mut index, at.index);
                (behind, at.part, record.sequence)
            });
            // Numbers are below `MOST`.
            let first = u32::try_from(from).unwrap_or(u32::MAX);
            parts.push(&item(ChangesItem { first, changes: changes.collect() }));
            from = to;
        }
        None
    }

    /// Takes changes of a checkpoint; what is there already is the same.
    pub(super) fn restore(&mut self, item: ChangesItem) -> Result<(), RestoreError> {
        let gap = || RestoreError("changes without those before them".into());
        let there = self.records.len().checked_sub(item.first as usize).ok_or_else(gap)?;
        let mut index = 0_u64;
        for (number, (behind, part, sequence)) in item.changes.into_iter().enumerate() {
            index = index.saturating_add(behind);
            if number >= there {
                let at = Place::new(Position { index, part });
                let pushed = if self.is_full() { None } else { self.push(at, sequence.into()) };
                pushed.ok_or_else(gap)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(index: u64, part: u32) -> Position {
        Position { index, part }
    }

    /// Many changes of few things, three of each command.
    fn many(count: u64) -> Changes {
        let mut changes = Changes::default();
        (1..=4).for_each(|sequence| changes.note(sequence));
        for n in 0..count {
            changes.begin_command(at(10 + n / 6, (n / 3 % 2) as u32));
            changes.note([1, 2, 1, 3, 1][(n % 5) as usize]);
        }
        changes
    }

    #[test]
    fn a_change_is_small() {
        assert_eq!(size_of::<Record>(), 24);
    }

    #[test]
    fn any_page_of_a_history_is_what_a_scan_finds() {
        let changes = many(700);
        for sequence in 1..=4_u32 {
            let all: Vec<_> = changes.records.iter().filter(|r| r.sequence == sequence).collect();
            let versions: Vec<_> = all.iter().map(|r| r.version as usize).collect();
            assert_eq!(versions, (1..=all.len()).collect::<Vec<_>>());
            for after in [0, 1, 2, 3, 17, 100, 138, 139, 140, 141, 419, 420, 500] {
                for limit in [0, 1, 2, 50, 1000] {
                    let (page, total) = changes.of(sequence.into(), after, limit).unwrap();
                    let scan = all.iter().skip(after as usize).take(limit);
                    let scan: Vec<_> = scan.map(|record| Noted::from(*record)).collect();
                    assert_eq!((page, total), (scan, all.len() as u64), "{after} {limit}");
                }
            }
        }
        assert_eq!((changes.of(0, 0, 9), changes.of(5, 0, 9)), (None, None));
    }

    #[test]
    fn a_version_far_back_is_near() {
        let mut changes = Changes::default();
        (0..100_000).for_each(|_| changes.note(1));
        for wanted in [1, 2, 777, 50_000, 99_998] {
            let (mut record, mut steps) = (*changes.records.last().unwrap(), 0);
            while record.version > wanted {
                let jump = changes.record(record.jump).unwrap();
                let previous = changes.record(record.previous).unwrap();
                record = if jump.version >= wanted { jump } else { previous };
                steps += 1;
            }
            assert!(steps < 60, "{wanted} took {steps} steps");
        }
    }

    #[test]
    fn pages_of_all_changes_never_divide_a_command() {
        let changes = many(100);
        for limit in 1..20 {
            let (mut told, mut after) = (Vec::new(), None);
            loop {
                let page = changes.behind(after, limit);
                let Some(last) = page.last() else { break };
                assert!(after.is_none_or(|after| after < page[0].at), "told again");
                after = Some(last.at);
                told.extend(page);
            }
            let all: Vec<_> = changes.records.iter().map(Noted::from).collect();
            assert_eq!(told, all, "{limit}");
        }
        assert_eq!(changes.behind(Some(at(10, MAX_PART as u32)), 1)[0].at.index, 11);
        assert_eq!(changes.behind(Some(at(u64::MAX, u32::MAX)), 1), []);
    }
}
