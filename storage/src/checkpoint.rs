//! Checkpoints of views: a start reads the last one and applies the rest of the log.
//!
//! Parts lie under their generation and number. One small record says which generation counts and
//! how many of its parts: parts are written first, then that record, in the writer's order, so a
//! crash leaves the checkpoint before or the one after, never a mix. A delta adds parts to the
//! generation; when deltas outgrow what they began with, a new generation begins and the old
//! one's parts are removed.

use std::ops::RangeInclusive;
use std::sync::RwLock;

use bookmesh_rpc::codec;
use bytes::{BufMut, Bytes};
use serde::{Deserialize, Serialize};

use crate::engine::{Engine, Fault};
use crate::error::StoreError;
use crate::group::Group;
use crate::queue::Sync;
use crate::record::{Joined, Joiner, MAX_HEAD_BYTES, cut};
use crate::store::blocking;
use crate::trees::CHECKPOINT;
use crate::view::View;

/// Deltas up to this size never ask for a new generation: it would cost more than it saves.
const SMALL_BYTES: u64 = 1024 * 1024;
/// Slices of one delta: a save ends although changes come faster than it writes them.
const MAX_DELTA_SLICES: usize = 4096;
/// Old keys removed between two looks at the queue.
const REMOVED_AT_ONCE: usize = 64;

/// What the record of a checkpoint begins with: it names the encoding of the parts too, and is
/// another one whenever that changes. One that begins otherwise is of no use, but its log is.
const FORMAT: &[u8] = b"bookmesh checkpoint 2:";

/// Which parts count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Flip {
    generation: u64,
    parts: u32,
    /// Bytes of the generation's first checkpoint, and of the deltas behind it.
    full_bytes: u64,
    delta_bytes: u64,
    applied_index: u64,
    head: Bytes,
}

/// A whole checkpoint, as it was saved last.
pub struct Checkpoint {
    group: Group,
    flip: Flip,
}

impl Checkpoint {
    /// The last entry in it.
    pub fn applied_index(&self) -> u64 {
        self.flip.applied_index
    }

    /// What the consensus layer saved with it.
    pub fn head(&self) -> &Bytes {
        &self.flip.head
    }

    /// How many parts it has.
    pub fn len(&self) -> u32 {
        self.flip.parts
    }

    /// Whether it has no parts.
    pub fn is_empty(&self) -> bool {
        self.flip.parts == 0
    }

    /// Its parts, in their order; ends after the first error.
    pub fn parts(&self) -> impl Iterator<Item = Result<Bytes, StoreError>> + use<'_> {
        let Flip { generation, parts, .. } = self.flip;
        let keys = part_key(generation, 0, 0)..=part_key(generation, u32::MAX, u8::MAX);
        let mut fragments = self.group.0.trees.view.scan(keys);
        let mut number = 0;
        std::iter::from_fn(move || {
            if number >= parts {
                return None;
            }
            let part = next_part(&mut fragments, generation, number);
            number = if part.is_ok() { number + 1 } else { parts };
            Some(part.map_err(|Fault(why)| self.group.damaged(why)))
        })
    }

    /// Makes a view of it.
    ///
    /// # Errors
    /// [`StoreError::CorruptValue`]: the checkpoint is of no use, the log is; apply it from its
    /// first entry, and save a full checkpoint then.
    pub fn restore<V: View>(&self) -> Result<V, StoreError> {
        let mut view = V::default();
        for part in self.parts() {
            view.restore(&part?).map_err(|error| self.group.damaged(error.to_string()))?;
        }
        if view.applied_index() != Some(self.flip.applied_index) {
            return Err(self.group.damaged("it does not end where it says".to_owned()));
        }
        Ok(view)
    }
}

fn next_part(
    fragments: &mut impl Iterator<Item = Result<(Vec<u8>, Bytes), Fault>>,
    generation: u64,
    number: u32,
) -> Result<Bytes, Fault> {
    let mut joiner = Joiner::default();
    for (fragment, pair) in (0..=u8::MAX).zip(fragments) {
        let (key, value) = pair?;
        if key != part_key(generation, number, fragment) {
            break;
        }
        match joiner.push(fragment, value) {
            Joined::Whole(part) => return Ok(part),
            Joined::Partly => {}
            Joined::Broken => break,
        }
    }
    Err(Fault(format!("part {number} is missing or incomplete")))
}

/// Saves a group's checkpoints. One for each group, kept as long as the view lives.
pub struct Checkpointer {
    group: Group,
    /// A save that failed took the changes out of the view: only a full one can follow.
    full_next: bool,
}

/// A checkpoint that is being written.
struct Writing<'a> {
    group: &'a Group,
    flip: Flip,
    full: bool,
}

impl Checkpointer {
    /// For a view that was restored from the group's checkpoint, or made from its first entry on
    /// where there is none.
    pub fn new(group: Group) -> Self {
        Self { group, full_next: false }
    }

    /// The next save is a full one: for a view that was not made of the checkpoint that is there.
    pub fn set_full_next(&mut self) {
        self.full_next = true;
    }

    /// Saves what `state` has now. The lock is held while the parts of a slice are made, and not
    /// while anything is written; `head` is called with it, together with the last parts. Those
    /// are few too, unless changes keep coming faster than slices of them are written.
    /// Longest takes an answer of many large things forgotten at once: it is never divided.
    /// Blocks on the disk; appends wait for a part at most.
    ///
    /// # Errors
    /// [`StoreError`]; the checkpoint before stays. [`StoreError::DiskFull`] as soon as
    /// [`crate::Store::room`] says so: what room there is then is for the log.
    pub fn save<V: View, S: AsMut<V>>(
        &mut self,
        state: &RwLock<S>,
        head: impl FnOnce(&mut S) -> Bytes,
    ) -> Result<(), StoreError> {
        let group = self.group.clone();
        let mut writing = group.begin_checkpoint(self.full_next)?;
        self.full_next = true;
        let written = Self::write(&mut writing, state, head);
        if matches!(written, Err(StoreError::DiskFull { .. })) && writing.full {
            // Half a generation is of no use, and takes the room that there is.
            writing.remove(writing.flip.generation..=writing.flip.generation)?;
        }
        self.full_next = !written?;
        Ok(())
    }

    /// Answers whether there was something to save, and it is saved.
    fn write<V: View, S: AsMut<V>>(
        writing: &mut Writing<'_>,
        state: &RwLock<S>,
        head: impl FnOnce(&mut S) -> Bytes,
    ) -> Result<bool, StoreError> {
        if writing.full {
            write(state).as_mut().begin_full();
            let mut after = None;
            loop {
                let (parts, next) = write(state).as_mut().slice(after);
                writing.put(parts)?;
                if next.is_none() {
                    break;
                }
                after = next;
            }
        }
        for _ in 0..MAX_DELTA_SLICES {
            let Some(parts) = write(state).as_mut().delta_slice() else { break };
            writing.put(parts)?;
        }
        let (parts, applied_index, head) = {
            let mut state = write(state);
            let view = state.as_mut();
            let Some(applied_index) = view.applied_index() else { return Ok(false) };
            (view.take_delta(), applied_index, head(&mut state))
        };
        writing.put(parts)?;
        writing.finish(applied_index, head)?;
        Ok(true)
    }
}

fn write<S>(state: &RwLock<S>) -> std::sync::RwLockWriteGuard<'_, S> {
    state.write().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Group {
    /// The checkpoint that was saved last. Blocks.
    ///
    /// # Errors
    /// [`StoreError::CorruptValue`]: apply the log from its first entry instead.
    pub fn checkpoint(&self) -> Result<Option<Checkpoint>, StoreError> {
        drop(self.usable()?);
        let flip = self.flip()?;
        Ok(flip.map(|flip| Checkpoint { group: self.clone(), flip }))
    }

    fn flip(&self) -> Result<Option<Flip>, StoreError> {
        let value = self.0.trees.value(&self.0.name, "the checkpoint", CHECKPOINT)?;
        let Some(value) = value else { return Ok(None) };
        let Some(encoded) = value.strip_prefix(FORMAT) else {
            return Err(self.damaged("another version of the program wrote it".to_owned()));
        };
        codec::decode(encoded).map(Some).map_err(|error| self.damaged(error.to_string()))
    }

    fn damaged(&self, why: String) -> StoreError {
        let group = self.0.name.clone();
        StoreError::CorruptValue { group, what: "the checkpoint".into(), why }
    }

    fn begin_checkpoint(&self, full: bool) -> Result<Writing<'_>, StoreError> {
        self.0.core.space.room()?;
        let mut state = self.usable()?;
        if state.checkpoint_running {
            return Err(StoreError::CheckpointRunning { group: self.0.name.clone() });
        }
        let there = match self.flip() {
            Err(StoreError::CorruptValue { .. }) => None,
            flip => flip?,
        };
        let outgrown =
            |flip: &Flip| flip.delta_bytes > SMALL_BYTES && flip.delta_bytes > flip.full_bytes;
        let (flip, full) = match there {
            Some(flip) if !full && !outgrown(&flip) => (flip, false),
            there => {
                // Both are there for a while.
                let bytes = there.as_ref().map_or(0, |flip| flip.full_bytes + flip.delta_bytes);
                self.0.core.space.room_for(bytes)?;
                (Flip::new(self.next_generation(there.as_ref())?), true)
            }
        };
        state.checkpoint_running = true;
        Ok(Writing { group: self, flip, full })
    }

    /// Above all that has parts: those of a damaged or interrupted one are not mixed in.
    fn next_generation(&self, there: Option<&Flip>) -> Result<u64, StoreError> {
        let last = self.0.trees.view.last_key().map_err(|Fault(why)| StoreError::Read { why })?;
        let last = last.and_then(|key| key.first_chunk().copied()).map_or(0, u64::from_be_bytes);
        Ok(last.max(there.map_or(0, |flip| flip.generation)).saturating_add(1))
    }
}

impl Flip {
    fn new(generation: u64) -> Self {
        let (parts, full_bytes, delta_bytes, applied_index) = (0, 0, 0, 0);
        Self { generation, parts, full_bytes, delta_bytes, applied_index, head: Bytes::new() }
    }
}

impl Writing<'_> {
    /// Writes parts, each on its own: an append that comes meanwhile waits for one.
    fn put(&mut self, parts: Vec<Bytes>) -> Result<(), StoreError> {
        for part in parts {
            self.put_part(&part)?;
        }
        Ok(())
    }

    fn put_part(&mut self, part: &[u8]) -> Result<(), StoreError> {
        self.group.0.core.space.room()?;
        let view = self.group.0.trees.view.clone();
        let mut values = Vec::new();
        for (number, fragment) in (0..=u8::MAX).zip(cut(part)) {
            let key = part_key(self.flip.generation, self.flip.parts, number);
            let sealed = view.seal(&key, &fragment);
            values.push((key, sealed.map_err(|Fault(why)| StoreError::Failed { why })?));
        }
        let bytes = values.iter().map(|(_, sealed)| sealed.len()).sum();
        self.group.0.core.space.take(bytes)?;
        let work = move |_: &Engine| {
            values.into_iter().try_for_each(|(key, sealed)| view.insert_sealed(&key, sealed))
        };
        blocking(|done| self.group.write(bytes, Sync::Lazy, Box::new(work), done))?;
        self.flip.parts = self.flip.parts.saturating_add(1);
        let counted =
            if self.full { &mut self.flip.full_bytes } else { &mut self.flip.delta_bytes };
        *counted += bytes as u64;
        Ok(())
    }

    /// Makes it the one that counts.
    fn finish(&mut self, applied_index: u64, head: Bytes) -> Result<(), StoreError> {
        if head.len() > MAX_HEAD_BYTES {
            return Err(StoreError::ValueTooLarge { bytes: head.len() });
        }
        (self.flip.applied_index, self.flip.head) = (applied_index, head);
        let meta = self.group.0.trees.meta.clone();
        let encoded =
            codec::encode(&self.flip).map_err(|e| StoreError::Failed { why: e.to_string() })?;
        let sealed = meta.seal(&CHECKPOINT, &[FORMAT, &encoded].concat());
        let sealed = sealed.map_err(|Fault(why)| StoreError::Failed { why })?;
        let bytes = sealed.len();
        let work = Box::new(move |_: &Engine| meta.insert_sealed(&CHECKPOINT, sealed));
        blocking(|done| self.group.write(bytes, Sync::Commit, work, done))?;
        match self.flip.generation.checked_sub(1) {
            Some(older) if self.full => self.remove(0..=older),
            _ => Ok(()),
        }
    }

    /// Removes all parts of these generations.
    fn remove(&self, generations: RangeInclusive<u64>) -> Result<(), StoreError> {
        let (from, to) = generations.into_inner();
        loop {
            let keys = part_key(from, 0, 0)..=part_key(to, u32::MAX, u8::MAX);
            let view = self.group.0.trees.view.clone();
            let old: Result<Vec<_>, Fault> =
                view.scan_sealed(keys).take(REMOVED_AT_ONCE).map(|pair| Ok(pair?.0)).collect();
            let old = old.map_err(|Fault(why)| StoreError::Read { why })?;
            if old.is_empty() {
                return Ok(());
            }
            let work = move |_: &Engine| old.iter().try_for_each(|key| view.remove(key));
            // Counted as some bytes, so that removals are committed now and then as well.
            let bytes = REMOVED_AT_ONCE * 1024;
            blocking(|done| self.group.write(bytes, Sync::Lazy, Box::new(work), done))?;
        }
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.group.lock().checkpoint_running = false;
    }
}

/// `u64` generation, `u32` part, `u8` fragment, big endian.
fn part_key(generation: u64, part: u32, fragment: u8) -> Vec<u8> {
    let mut key = Vec::with_capacity(13);
    key.put_u64(generation);
    key.put_u32(part);
    key.put_u8(fragment);
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::Things;
    use crate::{GroupName, Store, StoreConfig, StoreKey};

    struct State(Things);

    impl AsMut<Things> for State {
        fn as_mut(&mut self) -> &mut Things {
            &mut self.0
        }
    }

    /// Puts the record of a checkpoint there as it is.
    fn put_record(group: &Group, record: &[u8]) {
        let meta = group.0.trees.meta.clone();
        let sealed = meta.seal(&CHECKPOINT, record).map_err(|Fault(why)| why).unwrap();
        let work = Box::new(move |_: &Engine| meta.insert_sealed(&CHECKPOINT, sealed));
        blocking(|done| group.write(64, Sync::Commit, work, done)).unwrap();
    }

    #[test]
    fn one_that_another_version_wrote_is_never_misread_and_makes_place_for_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let key = StoreKey::from_hex(&"07".repeat(32)).unwrap();
        let store = Store::open(StoreConfig::new(dir.path(), key)).unwrap();
        let group = store.group(&GroupName::rack(&"book-rack-001".parse().unwrap())).unwrap();
        let mut view = Things::default();
        view.pass(7);
        let state = RwLock::new(State(view));
        let mut checkpointer = Checkpointer::new(group.clone());
        checkpointer.save(&state, |_| Bytes::new()).unwrap();
        let flip = group.flip().unwrap().unwrap();

        // As the version before wrote it, and as a later one will.
        let encoded = codec::encode(&flip).unwrap();
        let mut later = [FORMAT, &encoded].concat();
        later[FORMAT.len() - 2] += 1;
        for record in [encoded, later] {
            put_record(&group, &record);
            let refused = group.checkpoint();
            assert!(matches!(refused, Err(StoreError::CorruptValue { .. })));
            let mut checkpointer = Checkpointer::new(group.clone());
            checkpointer.set_full_next();
            checkpointer.save(&state, |_| Bytes::new()).unwrap();
            let saved = group.checkpoint().unwrap().unwrap();
            assert_eq!(saved.restore::<Things>().unwrap(), state.read().unwrap().0);
            assert!(saved.flip.generation > flip.generation, "nothing of it is mixed in");
        }
    }
}
