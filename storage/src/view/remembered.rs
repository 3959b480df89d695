//! The first answers of writes that senders may send again: one that does is answered, and not
//! applied. Bounded in time, number and bytes, all by what stands in the log: every replica
//! forgets the same key at the same entry.
//!
//! A key that a bound takes before its time may come again, and must not be applied twice: its
//! session's writes up to it are then refused for a while.

use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use bookmesh_rpc::api::{ApiError, MAX_BATCH, Order, Outcome, RetryKey, Thing, ThingId};
use serde::{Deserialize, Serialize};

use super::floors::{Floors, RETRY_MS};
use super::kept::{Kept, KeptItem};
use super::saved_to::SavedTo;

/// How long an answer is kept, by the entries' time.
pub const REMEMBERED_MS: u64 = 10 * 60 * 1000;
/// How many are kept; the oldest go first.
pub const REMEMBERED_KEYS: usize = 100_000;
/// How many bytes of things they may keep in memory; the oldest go first, but not `KEPT_KEYS`.
pub const REMEMBERED_BYTES: usize = 64 * 1024 * 1024;
/// So many of the newest stay whatever their bytes: a batch does not push out its own first parts
/// while its last ones come for the first time. Answers of one thing each fit
/// [`REMEMBERED_BYTES`] anyway; those of many forgotten things may not.
const KEPT_KEYS: usize = 2 * MAX_BATCH;
/// Above this even the newest go, which many large forgets in a row can do. What is refused then
/// is a nuisance; what is kept would be without bound.
const MOST_BYTES: usize = 4 * REMEMBERED_BYTES;

/// One remembered key.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    key: RetryKey,
    time_ms: u64,
    bytes: usize,
}

/// A remembered key in a checkpoint.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct RetryItem {
    /// Among all that ever were.
    place: u64,
    key: RetryKey,
    time_ms: u64,
    answer: KeptItem,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Remembered {
    /// With the place of each.
    answers: HashMap<RetryKey, (u64, Kept)>,
    /// Oldest first.
    order: VecDeque<Entry>,
    /// The place of the oldest among all that ever were.
    first: u64,
    bytes: usize,
    floors: Floors,
    saved: SavedTo,
}

impl Remembered {
    /// The first answer to this key; or a refusal, when it may be one that was forgotten early.
    /// `order` finds an order in the view.
    pub(super) fn answer<'a>(
        &self,
        key: &RetryKey,
        order: impl Fn(ThingId) -> Option<&'a Arc<Order>>,
    ) -> Option<Outcome> {
        if let Some((_, kept)) = self.answers.get(key) {
            // No thing of these is by reference.
            return Some(kept.outcome(|_| None, order));
        }
        self.floors.covers(key).then_some(Err(ApiError::OutcomeForgotten))
    }

    /// Remembers an answer, and drops the oldest beyond the bounds.
    pub(super) fn insert(&mut self, key: RetryKey, time_ms: u64, outcome: &Outcome) {
        self.insert_kept(key, time_ms, Kept::from(outcome));
        while self.is_over() {
            if let Some(Entry { key, time_ms: applied_ms, .. }) = self.forget_oldest()
                && applied_ms.saturating_add(RETRY_MS) > time_ms
            {
                self.floors.raise(key, applied_ms);
            }
        }
    }

    fn is_over(&self) -> bool {
        match self.order.len() {
            0..=1 => false,
            2..=KEPT_KEYS => self.bytes > MOST_BYTES,
            keys => keys > REMEMBERED_KEYS || self.bytes > REMEMBERED_BYTES,
        }
    }

    /// Drops what is too old at this time.
    pub(super) fn expire(&mut self, now_ms: u64) {
        while self.order.front().is_some_and(|entry| entry.time_ms + REMEMBERED_MS <= now_ms) {
            self.forget_oldest();
        }
        self.floors.expire(now_ms);
    }

    fn insert_kept(&mut self, key: RetryKey, time_ms: u64, kept: Kept) {
        let bytes = kept.bytes();
        self.bytes += bytes;
        self.answers.insert(key, (self.next(), kept));
        self.order.push_back(Entry { key, time_ms, bytes });
    }

    fn forget_oldest(&mut self) -> Option<Entry> {
        let entry = self.order.pop_front()?;
        self.bytes -= entry.bytes;
        // While a checkpoint is restored the key may have come again.
        if self.answers.get(&entry.key).is_some_and(|(place, _)| *place == self.first) {
            self.answers.remove(&entry.key);
        }
        self.first += 1;
        Some(entry)
    }

    /// Whether both remember the same.
    pub(super) fn same(&self, other: &Self) -> bool {
        self.answers == other.answers
            && self.order == other.order
            && self.floors == other.floors
            && (self.first, self.bytes) == (other.first, other.bytes)
    }

    /// The place of the oldest: what a restored view has to begin with.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// What a restored view has to refuse.
    pub(super) fn floors(&self) -> Floors {
        self.floors.clone()
    }

    /// A full checkpoint begins.
    pub(super) fn begin_full(&mut self) {
        self.saved.set(self.first);
    }

    /// How many are in no checkpoint yet.
    pub(super) fn unsaved(&self) -> usize {
        self.saved.unsaved(self.first, self.order.len())
    }

    fn skipped(&self) -> usize {
        self.saved.skipped(self.first, self.order.len())
    }

    /// Hands out those that are in no checkpoint yet, each with the things that belong to it,
    /// until one is not wanted any more after it; answers up to where they are saved then.
    /// `current` finds what a restored view has at this place of the checkpoint.
    pub(super) fn each_unsaved<'a>(
        &'a self,
        current: impl Fn(ThingId) -> Option<&'a Arc<Thing>>,
        mut give: impl FnMut(RetryItem, &'a [Arc<Thing>]) -> ControlFlow<()>,
    ) -> u64 {
        for (place, entry) in (self.first..).zip(&self.order).skip(self.skipped()) {
            let Some((_, kept)) = self.answers.get(&entry.key) else { continue };
            let (answer, things) = kept.item(&current);
            let item = RetryItem { place, key: entry.key, time_ms: entry.time_ms, answer };
            if give(item, things).is_break() {
                return place + 1;
            }
        }
        self.next()
    }

    pub(super) fn set_saved(&mut self, saved: u64) {
        self.saved.set(saved);
    }

    /// Takes a key of a checkpoint. `false` when the thing that it answers is not there.
    pub(super) fn restore<'a>(
        &mut self,
        item: RetryItem,
        current: impl Fn(ThingId) -> Option<&'a Arc<Thing>>,
    ) -> bool {
        let Some(kept) = Kept::restored(item.answer, current) else { return false };
        // Between two checkpoints even what was new may have been forgotten, and all before it.
        self.restore_first(if item.place == self.next() { self.first } else { item.place });
        self.insert_kept(item.key, item.time_ms, kept);
        true
    }

    /// The place of the next one.
    fn next(&self) -> u64 {
        self.first + self.order.len() as u64
    }

    /// Takes a thing that the last restored key forgot. `false` when it forgot none.
    pub(super) fn restore_forgotten(&mut self, thing: Arc<Thing>) -> bool {
        let Some(entry) = self.order.back_mut() else { return false };
        let kept = self.answers.get_mut(&entry.key);
        let Some(bytes) = kept.and_then(|(_, kept)| kept.add_forgotten(thing)) else {
            return false;
        };
        entry.bytes += bytes;
        self.bytes += bytes;
        true
    }

    /// Ends a checkpoint: drops what was forgotten by then.
    pub(super) fn restore_end(&mut self, first: u64, floors: Floors) {
        self.restore_first(first);
        self.floors = floors;
    }

    fn restore_first(&mut self, first: u64) {
        while self.first < first && !self.order.is_empty() {
            self.forget_oldest();
        }
        self.first = first;
        self.saved.set(self.next());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bookmesh_rpc::api::{Applied, Info, Kind, Status};
    use std::collections::BTreeMap;

    fn key(sequence: u64) -> RetryKey {
        RetryKey { session: 1, sequence, part: 0 }
    }

    fn answer(remembered: &Remembered, key: RetryKey) -> Option<Outcome> {
        remembered.answer(&key, |_| None)
    }

    fn is_refused(remembered: &Remembered, key: RetryKey) -> bool {
        answer(remembered, key) == Some(Err(ApiError::OutcomeForgotten))
    }

    /// An answer that counts as so many bytes.
    fn large(bytes: usize) -> Outcome {
        let info = Info {
            name: "x".repeat(1024 * 1024),
            author: String::new(),
            status: Status::Available,
            holder: None,
            created_at_ms: 0,
            updated_at_ms: 0,
            extra: BTreeMap::new(),
        };
        let id = ThingId::from_u64(1).unwrap();
        let thing =
            Arc::new(Thing { id, kind: Kind::Book, tags: vec![], info, version: 1, active: true });
        Ok(Applied::Forgotten(vec![thing; bytes.div_ceil(1024 * 1024)]))
    }

    #[test]
    fn the_oldest_are_forgotten_by_number_and_by_time() {
        let mut remembered = Remembered::default();
        for sequence in 0..REMEMBERED_KEYS as u64 + 2 {
            remembered.insert(key(sequence), sequence, &Ok(Applied::Done));
        }
        assert_eq!(answer(&remembered, key(1)), None, "older than any that comes again");
        assert_eq!(answer(&remembered, key(2)), Some(Ok(Applied::Done)));
        remembered.expire(REMEMBERED_MS + 2);
        assert_eq!(answer(&remembered, key(2)), None);
        assert_eq!(answer(&remembered, key(3)), Some(Ok(Applied::Done)));
    }

    #[test]
    fn a_key_that_a_bound_took_is_refused_while_it_may_come_again() {
        let mut remembered = Remembered::default();
        for sequence in 10..REMEMBERED_KEYS as u64 + 12 {
            remembered.insert(key(sequence), 5, &Ok(Applied::Done));
        }
        assert!([10, 11].map(|n| is_refused(&remembered, key(n))).iter().all(|refused| *refused));
        assert_eq!(answer(&remembered, key(12)), Some(Ok(Applied::Done)));
        assert_eq!(answer(&remembered, key(REMEMBERED_KEYS as u64 + 12)), None, "a new one");
        let other = RetryKey { session: 2, ..key(10) };
        assert_eq!(answer(&remembered, other), None, "another session forgot nothing");
        remembered.expire(5 + RETRY_MS - 1);
        assert!(is_refused(&remembered, key(10)));
        remembered.expire(5 + RETRY_MS);
        assert_eq!(answer(&remembered, key(10)), None);
    }

    #[test]
    fn a_batch_is_answered_although_a_part_of_it_was_forgotten() {
        let mut remembered = Remembered::default();
        let part = |part| RetryKey { part, ..key(7) };
        (0..3).for_each(|n| remembered.insert(part(n), 5, &Ok(Applied::Done)));
        for sequence in 8..REMEMBERED_KEYS as u64 + 6 {
            remembered.insert(key(sequence), 5, &Ok(Applied::Done));
        }
        assert!(is_refused(&remembered, part(0)));
        assert_eq!(answer(&remembered, part(1)), Some(Ok(Applied::Done)));
    }

    #[test]
    fn the_newest_stay_whatever_their_bytes_up_to_a_last_bound() {
        let mut remembered = Remembered::default();
        remembered.insert(key(0), 5, &large(REMEMBERED_BYTES));
        for sequence in 1..KEPT_KEYS as u64 {
            remembered.insert(key(sequence), 5, &Ok(Applied::Done));
        }
        assert!(!is_refused(&remembered, key(0)), "a batch still finds its parts");
        remembered.insert(key(KEPT_KEYS as u64), 5, &Ok(Applied::Done));
        assert!(is_refused(&remembered, key(0)));
        remembered.insert(key(9999), 5, &large(MOST_BYTES));
        assert_eq!((remembered.order.len(), is_refused(&remembered, key(1))), (1, true));
    }
}
