//! One consensus group's data: its log, and the small values beside it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bookmesh_rpc::api::Hash;
use bytes::Bytes;

use crate::engine::{Engine, Fault};
use crate::error::{Mark, StoreError};
use crate::key::SEAL_BYTES;
use crate::names::GroupName;
use crate::queue::{Done, Job, Sync, Work};
use crate::record::{Record, log_key};
use crate::scan;
use crate::store::{Core, blocking};
use crate::tail::Tail;
use crate::trees::{MetaKey, Trees};

/// The most bytes of one small value.
pub const MAX_VALUE_BYTES: usize = 40 * 1024;

/// What is known in memory, which is ahead of the disk by what waits for the writer.
pub(crate) struct State {
    pub(crate) tail: Tail,
    values: BTreeMap<MetaKey, Bytes>,
    pub(crate) checkpoint_running: bool,
    wiped: bool,
}

pub(crate) struct Inner {
    pub(crate) name: GroupName,
    pub(crate) core: Arc<Core>,
    pub(crate) trees: Trees,
    state: Mutex<State>,
}

/// See the module. Cheap to clone. All writes are done in the order they were called.
#[derive(Clone)]
pub struct Group(pub(crate) Arc<Inner>);

/// Keeps no group open.
pub(crate) struct WeakGroup(Weak<Inner>);

impl WeakGroup {
    pub(crate) fn upgrade(&self) -> Option<Group> {
        self.0.upgrade().map(Group)
    }
}

impl Group {
    /// Verifies the log and loads the small values.
    pub(crate) fn open(name: GroupName, core: Arc<Core>, trees: Trees) -> Result<Self, StoreError> {
        let extent = scan::verify(&name, &trees.log, core.marks.get(&name))?;
        let values = load_values(&name, &trees)?;
        let tail = Tail::new(extent.first, extent.last, extent.head);
        let state = State { tail, values, checkpoint_running: false, wiped: false };
        let group = Self(Arc::new(Inner { name, core, trees, state: Mutex::new(state) }));
        group.drop_leftovers(extent.last)?;
        Ok(group)
    }

    /// A crash within an entry leaves some of its fragments.
    fn drop_leftovers(&self, last: Option<u64>) -> Result<(), StoreError> {
        let keys = scan::leftovers(&self.0.trees.log, last)
            .map_err(|Fault(why)| StoreError::Read { why })?;
        if keys.is_empty() {
            return Ok(());
        }
        blocking(|done| {
            let log = self.0.trees.log.clone();
            let work = move |engine: &Engine| log.remove_back(&keys, || engine.commit());
            self.write(0, Sync::Commit, Box::new(work), done)
        })
    }

    /// Its name.
    pub fn name(&self) -> &GroupName {
        &self.0.name
    }

    /// Appends entries, each the next of the one before; an empty log takes any first index.
    /// They are readable when this returns, and durable when `done` is told so. Waits while the
    /// writer's queue is full: not for async threads unless few are in flight.
    /// A disk that is nearly full refuses them only below the floor, a quarter of
    /// [`crate::StoreConfig::min_free_bytes`]: whoever takes new ones from users asks
    /// [`Group::room`] first.
    ///
    /// # Errors
    /// [`StoreError::NotConsecutive`], [`StoreError::TooLarge`], [`StoreError::DiskFull`],
    /// [`StoreError::Failed`], [`StoreError::Wiped`], [`StoreError::Closed`]; nothing was appended
    /// and `done` is not called then.
    pub fn append(&self, records: Vec<Record>, done: Done) -> Result<(), StoreError> {
        records.iter().try_for_each(Record::check)?;
        let bytes = records.iter().map(stored_bytes).sum();
        self.0.core.space.take(bytes)?;
        let permit = self.0.core.queue.reserve(bytes)?;
        let mut state = match self.usable() {
            Ok(state) => state,
            Err(error) => {
                self.0.core.queue.release(permit);
                return Err(error);
            }
        };
        let (job, chained) = match self.append_job(&state.tail, records, done) {
            Ok((job, chained)) => (Job { bytes, ..job }, chained),
            Err(error) => {
                self.0.core.queue.release(permit);
                return Err(error);
            }
        };
        // With the lock held, so that nobody queues in between, and nobody is told that entries
        // are stored before they are in the tail.
        self.0.core.queue.push(permit, job)?;
        chained.into_iter().for_each(|(record, chain)| state.tail.push(record, chain));
        Ok(())
    }

    /// The job that appends behind the tail, and the entries with the chain after each.
    fn append_job(
        &self,
        tail: &Tail,
        records: Vec<Record>,
        done: Done,
    ) -> Result<(Job, Vec<(Record, Hash)>), StoreError> {
        self.check_consecutive(tail, &records)?;
        let mut values = Vec::with_capacity(records.len());
        let mut chained = Vec::with_capacity(records.len());
        let mut mark = tail.mark();
        for record in records {
            let chain = record.chain(&mark.hash);
            self.seal(&record, &chain, &mut values)?;
            mark = Mark { index: Some(record.index), hash: chain };
            chained.push((record, chain));
        }
        let epoch = tail.epoch();
        let log = self.0.trees.log.clone();
        let work = move |_: &Engine| {
            values.into_iter().try_for_each(|(key, sealed)| log.insert_sealed(&key, sealed))
        };
        let group = self.clone();
        let done = move |result: Result<(), StoreError>| {
            if result.is_ok() {
                group.stored(mark, epoch);
            }
            // Whoever is told may close the store at once.
            drop(group);
            done(result);
        };
        let job = Job { work: Box::new(work), bytes: 0, sync: Sync::Commit, done: Box::new(done) };
        Ok((job, chained))
    }

    fn seal(
        &self,
        record: &Record,
        chain: &Hash,
        values: &mut Vec<(Vec<u8>, Vec<u8>)>,
    ) -> Result<(), StoreError> {
        for (number, fragment) in (0..=u8::MAX).zip(record.fragments(chain)) {
            let key = log_key(record.index, number);
            let sealed = self.0.trees.log.seal(&key, &fragment);
            values.push((key, sealed.map_err(|Fault(why)| StoreError::Failed { why })?));
        }
        Ok(())
    }

    fn check_consecutive(&self, tail: &Tail, records: &[Record]) -> Result<(), StoreError> {
        let mut last = tail.last();
        for record in records {
            let expected = match last {
                None => record.index,
                Some(last) => last.saturating_add(1),
            };
            if record.index != expected || record.index == u64::MAX {
                let (group, index) = (self.0.name.clone(), record.index);
                return Err(StoreError::NotConsecutive { group, index, expected });
            }
            last = Some(record.index);
        }
        Ok(())
    }

    fn stored(&self, mark: Mark, epoch: u64) {
        if let Some(index) = mark.index {
            self.lock().tail.stored(index, epoch);
            self.0.core.marks.raise(&self.0.name, mark);
        }
    }

    /// See [`crate::Store::room`].
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], or [`StoreError::Read`] when that can't be told.
    pub fn room(&self) -> Result<(), StoreError> {
        self.0.core.space.room()
    }

    /// As [`Group::append`]; returns when the entries are durable.
    ///
    /// # Errors
    /// As [`Group::append`].
    pub fn append_blocking(&self, records: Vec<Record>) -> Result<(), StoreError> {
        blocking(|done| self.append(records, done))
    }

    /// Cuts off all entries from `from` on, which must not be committed ones. They are gone for
    /// readers when this returns, and for good when `done` is told so.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the entry before `from` can't be read,
    /// [`StoreError::Failed`], [`StoreError::Wiped`], [`StoreError::Closed`]; `done` is not called
    /// then. A store that fails or closes meanwhile keeps the entries, though readers may no
    /// longer see them.
    pub fn truncate(&self, from: u64, done: Done) -> Result<(), StoreError> {
        let permit = self.0.core.queue.reserve(0)?;
        let queued = self.truncate_reserved(from, done);
        match queued {
            Ok((state, job)) => {
                let pushed = self.0.core.queue.push(permit, job);
                drop(state);
                pushed
            }
            Err(error) => {
                self.0.core.queue.release(permit);
                Err(error)
            }
        }
    }

    fn truncate_reserved(
        &self,
        from: u64,
        done: Done,
    ) -> Result<(MutexGuard<'_, State>, Job), StoreError> {
        let mut state = self.usable()?;
        let Some(last) = state.tail.last().filter(|last| *last >= from) else {
            let work = Box::new(|_: &Engine| Ok(()));
            return Ok((state, Job { work, bytes: 0, sync: Sync::Commit, done }));
        };
        let head = match from.checked_sub(1) {
            None => Hash::ZERO,
            Some(before) => self.hash_locked(&state.tail, before)?.unwrap_or(Hash::ZERO),
        };
        state.tail.cut(from, head);
        let mark = state.tail.mark();
        let (marks, name) = (self.0.core.marks.clone(), self.0.name.clone());
        let log = self.0.trees.log.clone();
        let work = move |engine: &Engine| {
            // First the mark, or a crash in between looks like a loss.
            marks.set_now(&name, Some(mark)).map_err(|error| Fault(error.to_string()))?;
            let keys = log.scan_sealed(log_key(from, 0)..=log_key(last, u8::MAX));
            let keys: Vec<_> =
                keys.map(|pair| pair.map(|(key, _)| key)).collect::<Result<_, _>>()?;
            log.remove_back(&keys, || engine.commit())
        };
        let job = Job { work: Box::new(work), bytes: 0, sync: Sync::Fence, done };
        Ok((state, job))
    }

    /// As [`Group::truncate`]; returns when it is durable.
    ///
    /// # Errors
    /// As [`Group::truncate`].
    pub fn truncate_blocking(&self, from: u64) -> Result<(), StoreError> {
        blocking(|done| self.truncate(from, done))
    }

    /// The log's first entry.
    pub fn first_index(&self) -> Option<u64> {
        self.lock().tail.first()
    }

    /// The log's last entry, durable or not yet.
    pub fn last_index(&self) -> Option<u64> {
        self.lock().tail.last()
    }

    /// The chain after the last entry; [`Hash::ZERO`] for an empty log.
    pub fn head_hash(&self) -> Hash {
        self.lock().tail.head()
    }

    /// Puts a small value; it is read back at once, and durable when `done` is told so.
    ///
    /// # Errors
    /// [`StoreError::ValueTooLarge`] above [`MAX_VALUE_BYTES`], [`StoreError::Failed`],
    /// [`StoreError::Wiped`], [`StoreError::Closed`]; the value before stays and `done` is not
    /// called then.
    pub fn put(&self, key: MetaKey, value: Bytes, done: Done) -> Result<(), StoreError> {
        self.put_with(key, value, Sync::Commit, done)
    }

    /// As [`Group::put`] without waiting for the disk: after a crash an earlier value may be
    /// there.
    ///
    /// # Errors
    /// As [`Group::put`].
    pub fn put_lazy(&self, key: MetaKey, value: Bytes) -> Result<(), StoreError> {
        self.put_with(key, value, Sync::Lazy, Box::new(|_| ()))
    }

    /// As [`Group::put`]; returns when it is durable.
    ///
    /// # Errors
    /// As [`Group::put`].
    pub fn put_blocking(&self, key: MetaKey, value: Bytes) -> Result<(), StoreError> {
        blocking(|done| self.put(key, value, done))
    }

    fn put_with(
        &self,
        key: MetaKey,
        value: Bytes,
        sync: Sync,
        done: Done,
    ) -> Result<(), StoreError> {
        if value.len() > MAX_VALUE_BYTES {
            return Err(StoreError::ValueTooLarge { bytes: value.len() });
        }
        let meta = self.0.trees.meta.clone();
        let sealed =
            meta.seal(&key.key(), &value).map_err(|Fault(why)| StoreError::Failed { why })?;
        let bytes = sealed.len();
        let work = Box::new(move |_: &Engine| meta.insert_sealed(&key.key(), sealed));
        let permit = self.0.core.queue.reserve(bytes)?;
        let mut state = match self.usable() {
            Ok(state) => state,
            Err(error) => {
                self.0.core.queue.release(permit);
                return Err(error);
            }
        };
        self.0.core.queue.push(permit, Job { work, bytes, sync, done })?;
        state.values.insert(key, value);
        Ok(())
    }

    /// The small value that was put last.
    ///
    /// # Errors
    /// [`StoreError::Wiped`].
    pub fn get(&self, key: MetaKey) -> Result<Option<Bytes>, StoreError> {
        Ok(self.usable()?.values.get(&key).cloned())
    }

    /// Queues a write that changes nothing in memory.
    pub(crate) fn write(
        &self,
        bytes: usize,
        sync: Sync,
        work: Work,
        done: Done,
    ) -> Result<(), StoreError> {
        let permit = self.0.core.queue.reserve(bytes)?;
        match self.usable() {
            Ok(_state) => self.0.core.queue.push(permit, Job { work, bytes, sync, done }),
            Err(error) => {
                self.0.core.queue.release(permit);
                Err(error)
            }
        }
    }

    pub(crate) fn set_wiped(&self) {
        self.lock().wiped = true;
    }

    pub(crate) fn downgrade(&self) -> WeakGroup {
        WeakGroup(Arc::downgrade(&self.0))
    }

    /// The state, unless the group was wiped.
    pub(crate) fn usable(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.lock();
        if state.wiped {
            return Err(StoreError::Wiped { group: self.0.name.clone() });
        }
        Ok(state)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The small values as they are on disk.
pub(crate) fn load_values(
    name: &GroupName,
    trees: &Trees,
) -> Result<BTreeMap<MetaKey, Bytes>, StoreError> {
    let mut values = BTreeMap::new();
    for key in MetaKey::ALL {
        if let Some(value) = trees.value(name, &format!("{key:?}"), key.key())? {
            values.insert(key, value);
        }
    }
    Ok(values)
}

/// What an entry takes on disk.
fn stored_bytes(record: &Record) -> usize {
    record.bytes() + 36 + 3 * (SEAL_BYTES + 1)
}
