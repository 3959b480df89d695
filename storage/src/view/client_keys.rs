//! The first answers under clients' own keys, for a day: one that comes again is answered and not
//! applied, and one that comes with another request is refused.
//!
//! Bounded by what stands in the log, so that every replica answers alike. Keys are never pushed
//! out by others: when there are as many as may be, new ones are refused until the oldest are a
//! day old. Answers share their thing with the view; only where a thing changed since do they keep
//! one of their own, and of those the oldest are let go: such a key is still never applied twice,
//! but answered that its outcome is no longer known.
//!
//! Each part of a batch has an answer of its own, since a batch is cut into several entries: when
//! its sender gives up half way, the rest is applied when it comes again.

use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use bookmesh_rpc::api::{
    ApiError, CLIENT_KEY_MS, ClientKey, KeyId, MAX_BATCH, Order, Outcome, Thing, ThingId,
};
use serde::{Deserialize, Serialize};

use super::kept::{Kept, KeptItem};
use super::saved_to::SavedTo;

/// Answers of one rack at most, each part of a batch being one: 5 in a second, all day. They take
/// about 70 MB, things apart: some more would double the map. A batch under way may go over by its
/// parts.
pub const CLIENT_ANSWERS: usize = 450_000;
/// Bytes of things that answers may keep in memory.
pub const CLIENT_BYTES: usize = 64 * 1024 * 1024;

/// What is known of one key: for which request it was given, and its answers by part.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    fingerprint: [u8; 16],
    answers: Vec<(u32, Kept)>,
}

impl Record {
    fn find(&self, part: u32) -> Option<&Kept> {
        let at = self.answers.binary_search_by_key(&part, |(part, _)| *part).ok()?;
        self.answers.get(at).map(|(_, kept)| kept)
    }

    fn remove(&mut self, part: u32) {
        if let Ok(at) = self.answers.binary_search_by_key(&part, |(part, _)| *part) {
            self.answers.remove(at);
        }
    }

    fn find_mut(&mut self, part: u32) -> Option<&mut Kept> {
        let at = self.answers.binary_search_by_key(&part, |(part, _)| *part).ok()?;
        self.answers.get_mut(at).map(|(_, kept)| kept)
    }
}

/// One answer's place in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    id: KeyId,
    part: u32,
    time_ms: u64,
}

/// An answer in a checkpoint.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ClientItem {
    /// The place of the oldest answer when this was written.
    first: u64,
    key: ClientKey,
    time_ms: u64,
    answer: KeptItem,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct ClientKeys {
    records: HashMap<KeyId, Record>,
    /// Oldest first.
    order: VecDeque<Entry>,
    /// The place of the oldest among all that ever were.
    first: u64,
    /// The place of the first that was not let go.
    held: u64,
    /// Of things, in those that were not let go.
    bytes: usize,
    saved: SavedTo,
}

impl ClientKeys {
    /// The first answer under this key, or why there can be none; `None` for a key that is new.
    /// `what` names the rack, `current` finds a thing in the view, `order` an order.
    pub(super) fn answer<'a>(
        &self,
        key: &ClientKey,
        now_ms: u64,
        what: impl FnOnce() -> String,
        current: impl Fn(ThingId) -> Option<&'a Arc<Thing>>,
        order: impl Fn(ThingId) -> Option<&'a Arc<Order>>,
    ) -> Option<Outcome> {
        if let Some(first) = self.first_answer(key, current, order) {
            return Some(first);
        }
        let under_way = if self.records.contains_key(&key.id) { MAX_BATCH } else { 0 };
        (self.order.len() >= CLIENT_ANSWERS + under_way).then(|| Err(self.full(now_ms, what())))
    }

    /// The first answer under this key, or that it was given for another request.
    pub(super) fn first_answer<'a>(
        &self,
        key: &ClientKey,
        current: impl Fn(ThingId) -> Option<&'a Arc<Thing>>,
        order: impl Fn(ThingId) -> Option<&'a Arc<Order>>,
    ) -> Option<Outcome> {
        let record = self.records.get(&key.id)?;
        if record.fingerprint != key.fingerprint {
            return Some(Err(ApiError::KeyConflict));
        }
        record.find(key.part).map(|kept| kept.outcome(current, order))
    }

    fn full(&self, now_ms: u64, what: String) -> ApiError {
        let oldest = self.order.front().map_or(now_ms, |entry| entry.time_ms);
        let left_ms = oldest.saturating_add(CLIENT_KEY_MS).saturating_sub(now_ms);
        ApiError::KeysFull { what, most: CLIENT_ANSWERS as u32, free_in_s: left_ms / 1000 + 1 }
    }

    /// Remembers an answer that the log decided. What it could not decide may be tried again.
    pub(super) fn insert(&mut self, key: &ClientKey, time_ms: u64, outcome: &Outcome) {
        if matches!(outcome, Err(ApiError::Unavailable { .. } | ApiError::Internal { .. })) {
            return;
        }
        self.insert_kept(key, time_ms, Kept::from(outcome));
        while self.bytes > CLIENT_BYTES && self.held < self.next() {
            self.let_go_oldest();
        }
    }

    /// Drops what is a day old at this time.
    pub(super) fn expire(&mut self, now_ms: u64) {
        while self.has_old(now_ms) {
            self.forget_oldest();
        }
    }

    /// Whether there is one that [`ClientKeys::expire`] drops at this time.
    pub(super) fn has_old(&self, now_ms: u64) -> bool {
        let old = |entry: &Entry| entry.time_ms.saturating_add(CLIENT_KEY_MS) <= now_ms;
        self.order.front().is_some_and(old)
    }

    fn insert_kept(&mut self, key: &ClientKey, time_ms: u64, kept: Kept) {
        self.bytes += kept.bytes();
        self.order.push_back(Entry { id: key.id, part: key.part, time_ms });
        let record = self.records.entry(key.id).or_insert_with(|| Record {
            fingerprint: key.fingerprint,
            answers: Vec::with_capacity(1),
        });
        let at = record.answers.partition_point(|(part, _)| *part < key.part);
        record.answers.insert(at, (key.part, kept));
    }

    fn let_go_oldest(&mut self) {
        let at = usize::try_from(self.held - self.first).unwrap_or(usize::MAX);
        self.held += 1;
        let Some(Entry { id, part, .. }) = self.order.get(at) else { return };
        if let Some(kept) = self.records.get_mut(id).and_then(|record| record.find_mut(*part)) {
            self.bytes -= kept.bytes();
            kept.let_go();
        }
    }

    fn forget_oldest(&mut self) {
        if self.held == self.first {
            self.let_go_oldest();
        }
        let Some(Entry { id, part, .. }) = self.order.pop_front() else { return };
        self.first += 1;
        if let Some(record) = self.records.get_mut(&id) {
            record.remove(part);
            if record.answers.is_empty() {
                self.records.remove(&id);
            }
        }
    }

    /// Whether both remember the same.
    pub(super) fn same(&self, other: &Self) -> bool {
        self.records == other.records
            && self.order == other.order
            && (self.first, self.held, self.bytes) == (other.first, other.held, other.bytes)
    }

    /// The place of the oldest, and of the first that was not let go: what a restored view has to
    /// end with.
    pub(super) fn bounds(&self) -> (u64, u64) {
        (self.first, self.held)
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

    /// As [`super::remembered::Remembered::each_unsaved`].
    pub(super) fn each_unsaved<'a>(
        &'a self,
        current: impl Fn(ThingId) -> Option<&'a Arc<Thing>>,
        mut give: impl FnMut(ClientItem, &'a [Arc<Thing>]) -> ControlFlow<()>,
    ) -> u64 {
        let first = self.first;
        for (place, entry) in (first..).zip(&self.order).skip(self.skipped()) {
            let Entry { id, part, time_ms } = *entry;
            let Some(record) = self.records.get(&id) else { continue };
            let Some(kept) = record.find(part) else { continue };
            let (answer, things) = kept.item(&current);
            let key = ClientKey { id, fingerprint: record.fingerprint, part };
            if give(ClientItem { first, key, time_ms, answer }, things).is_break() {
                return place + 1;
            }
        }
        self.next()
    }

    pub(super) fn set_saved(&mut self, saved: u64) {
        self.saved.set(saved);
    }

    /// Takes an answer of a checkpoint. `false` when the thing that it answers is not there.
    pub(super) fn restore<'a>(
        &mut self,
        item: ClientItem,
        current: impl Fn(ThingId) -> Option<&'a Arc<Thing>>,
    ) -> bool {
        let Some(kept) = Kept::restored(item.answer, current) else { return false };
        // First of all what was too old: the key may be among it.
        self.forget_before(item.first);
        self.insert_kept(&item.key, item.time_ms, kept);
        true
    }

    /// Takes a thing that the last restored answer forgot. `false` when it forgot none.
    pub(super) fn restore_forgotten(&mut self, thing: Arc<Thing>) -> bool {
        let Some(Entry { id, part, .. }) = self.order.back().copied() else { return false };
        let kept = self.records.get_mut(&id).and_then(|record| record.find_mut(part));
        let Some(bytes) = kept.and_then(|kept| kept.add_forgotten(thing)) else { return false };
        self.bytes += bytes;
        true
    }

    /// Ends a checkpoint: drops and lets go what was by then.
    pub(super) fn restore_end(&mut self, (first, held): (u64, u64)) {
        self.forget_before(first);
        while self.held < held && self.held < self.next() {
            self.let_go_oldest();
        }
        self.held = held;
        self.saved.set(self.next());
    }

    fn forget_before(&mut self, first: u64) {
        while self.first < first && !self.order.is_empty() {
            self.forget_oldest();
        }
        self.first = self.first.max(first);
        self.held = self.held.max(self.first);
    }

    /// The place of the next one.
    fn next(&self) -> u64 {
        self.first + self.order.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bookmesh_rpc::api::{Applied, Info, Kind, Status};
    use std::collections::BTreeMap;

    fn key(text: &str) -> ClientKey {
        ClientKey::new(text, &[b"POST", b"/books"])
    }

    fn thing(id: u64, version: u64, bytes: usize) -> Arc<Thing> {
        let info = Info {
            name: "x".repeat(bytes),
            author: String::new(),
            status: Status::Available,
            holder: None,
            created_at_ms: 0,
            updated_at_ms: 0,
            extra: BTreeMap::new(),
        };
        let id = ThingId::from_u64(id).unwrap();
        Arc::new(Thing { id, kind: Kind::Book, tags: vec![], info, version, active: true })
    }

    /// The answer where the view has these things.
    fn answer(keys: &ClientKeys, key: &ClientKey, view: &[Arc<Thing>]) -> Option<Outcome> {
        let current = |id| view.iter().find(|thing| thing.id == id);
        keys.answer(key, 0, || "r".into(), current, |_| None)
    }

    #[test]
    fn a_key_answers_the_same_for_a_day_and_another_request_is_refused() {
        let mut keys = ClientKeys::default();
        let found = Ok(Applied::Thing(thing(1, 1, 10)));
        keys.insert(&key("a"), 5, &found);
        assert_eq!(answer(&keys, &key("a"), &[]), Some(found.clone()));
        let other = ClientKey { fingerprint: [7; 16], ..key("a") };
        assert_eq!(answer(&keys, &other, &[]), Some(Err(ApiError::KeyConflict)));
        let other_part = ClientKey { part: 1, ..other };
        assert_eq!(answer(&keys, &other_part, &[]), Some(Err(ApiError::KeyConflict)));
        keys.expire(5 + CLIENT_KEY_MS - 1);
        assert_eq!(answer(&keys, &key("a"), &[]), Some(found));
        keys.expire(5 + CLIENT_KEY_MS);
        assert_eq!(answer(&keys, &other, &[]), None);
        assert_eq!((keys.records.len(), keys.bytes), (0, 0));
    }

    #[test]
    fn what_the_log_could_not_decide_is_not_remembered() {
        let mut keys = ClientKeys::default();
        let undecided = ApiError::Unavailable { what: "r".into(), why: String::new() };
        keys.insert(&key("a"), 5, &Err(undecided));
        assert_eq!(answer(&keys, &key("a"), &[]), None);
        let id = ThingId::from_u64(1).unwrap();
        let decided = Err(ApiError::CheckedOut { id });
        keys.insert(&key("a"), 5, &decided);
        assert_eq!(answer(&keys, &key("a"), &[]), Some(decided));
    }

    /// What [`CLIENT_ANSWERS`] says of memory follows from these.
    #[test]
    fn an_answer_is_small() {
        assert_eq!((size_of::<(u32, Kept)>(), size_of::<(KeyId, Record)>()), (32, 56));
        assert_eq!(size_of::<Entry>(), 32);
        // A map of 2^19 places is grown when seven eighths of them are taken.
        const { assert!(CLIENT_ANSWERS + MAX_BATCH < (1 << 19) / 8 * 7) };
    }

    #[test]
    fn when_there_are_as_many_as_may_be_new_ones_are_refused_and_none_goes() {
        let mut keys = ClientKeys::default();
        for part in 0..CLIENT_ANSWERS as u32 {
            let id = key(&(part / 1000).to_string());
            keys.insert(&ClientKey { part: part % 1000, ..id }, 5000, &Ok(Applied::Done));
        }
        let full = keys.answer(&key("new"), 7000, || "r".into(), |_| None, |_| None);
        let (most, free_in_s) = (CLIENT_ANSWERS as u32, CLIENT_KEY_MS / 1000 - 2 + 1);
        let refusal = ApiError::KeysFull { what: "r".into(), most, free_in_s };
        assert_eq!(full, Some(Err(refusal)));
        assert_eq!(answer(&keys, &key("0"), &[]), Some(Ok(Applied::Done)));
        let next_part = ClientKey { part: 1000, ..key("0") };
        assert_eq!(answer(&keys, &next_part, &[]), None, "a batch under way goes on");
        assert!(!keys.has_old(4999 + CLIENT_KEY_MS) && keys.has_old(5000 + CLIENT_KEY_MS));
        keys.expire(5000 + CLIENT_KEY_MS);
        assert_eq!(answer(&keys, &key("new"), &[]), None);
    }

    #[test]
    fn what_is_kept_beside_the_view_is_bounded_and_a_key_never_comes_twice_for_it() {
        let mut keys = ClientKeys::default();
        let large = thing(1, 1, CLIENT_BYTES / 2);
        keys.insert(&key("a"), 5, &Ok(Applied::Thing(large.clone())));
        keys.insert(&key("b"), 5, &Ok(Applied::Forgotten(vec![large.clone()])));
        assert!(keys.bytes <= CLIENT_BYTES, "the older was let go");
        let first = Some(Ok(Applied::Thing(large.clone())));
        assert_eq!(answer(&keys, &key("a"), std::slice::from_ref(&large)), first);
        let forgotten = Some(Err(ApiError::OutcomeForgotten));
        assert_eq!(answer(&keys, &key("a"), &[thing(1, 2, 10)]), forgotten);
        keys.insert(&key("c"), 5, &Ok(Applied::Thing(large)));
        assert_eq!(answer(&keys, &key("b"), &[]), forgotten);
        keys.expire(5 + CLIENT_KEY_MS);
        assert_eq!((keys.bytes, keys.held, keys.first), (0, 3, 3));
    }
}
