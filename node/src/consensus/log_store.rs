//! openraft's log storage over a group's log in `storage`.

use std::fmt::Debug;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bookmesh_rpc::api::{Hash, MemberId};
use bookmesh_rpc::codec;
use bookmesh_storage::{Group, MetaKey, Record, StoreError};
use openraft::storage::{LogFlushed, LogState, RaftLogStorage};
use openraft::{
    AnyError, ErrorSubject, ErrorVerb, LogId, RaftLogReader, StorageError, StorageIOError, Vote,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use super::types::{BadRecord, Entry, TypeConfig, from_record, to_record};

/// What one read takes from the log at most, and so one append message: openraft gives it 200 ms,
/// on the line and on the other's disk, and sends the same again when they are over. This much
/// goes over 14 Mbit/s at 50 ms away, and a larger one would only save flushes, of which it has
/// enough entries here. Who is far behind is filled by a stream instead, see
/// [`filling`](super::filling).
const READ_BYTES: usize = 256 * 1024;

/// Why the log could not be read or written. All of them end the member: going on with a log
/// that is not what it says would break promises.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record is none of ours.
    #[error(transparent)]
    Record(#[from] BadRecord),
    /// A value is none of ours.
    #[error(transparent)]
    Codec(#[from] codec::CodecError),
    /// The storage thread is gone.
    #[error("the storage of this node is closed")]
    Closed,
}

/// One group's log. Cloned for every reader.
#[derive(Clone)]
pub struct LogStore {
    group: Group,
    purged: Option<LogId<MemberId>>,
    /// Of the last entry; openraft says its index only.
    last_term: Arc<AtomicU64>,
    /// As openraft said last.
    committed: Arc<AtomicU64>,
    /// See [`LogStore::resigning`].
    resigns: Option<MemberId>,
}

impl LogStore {
    /// The log of a group, as it is on disk.
    ///
    /// # Errors
    /// When what stands beside the log can't be read.
    pub fn open(group: Group) -> Result<Self, LogError> {
        let mut store = Self {
            group,
            purged: None,
            last_term: Arc::default(),
            committed: Arc::default(),
            resigns: None,
        };
        store.purged = store.get(MetaKey::Purged)?;
        Ok(store)
    }

    /// The log as it stands in storage, for threads that may wait for a disk.
    pub(super) const fn storage(&self) -> &Group {
        &self.group
    }

    /// The entries in a range, at most `max_bytes` of them but one at least. Disk reads stay off
    /// the async threads.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn entries(
        &self,
        range: std::ops::Range<u64>,
        max_bytes: usize,
    ) -> Result<Vec<Entry>, LogError> {
        let records = self.records(range, max_bytes).await?;
        records.iter().map(|record| from_record(record).map_err(LogError::from)).collect()
    }

    /// As [`LogStore::entries`], as they stand in storage.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn records(
        &self,
        range: std::ops::Range<u64>,
        max_bytes: usize,
    ) -> Result<Vec<Record>, LogError> {
        match self.group.read_cached(range.clone(), max_bytes) {
            Some(records) => Ok(records),
            None => {
                let group = self.group.clone();
                Ok(blocking(move || group.read(range, max_bytes)).await??)
            }
        }
    }

    /// The chain after the entry at `index`; zero before the first.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn hash_at(&self, index: u64) -> Result<Hash, LogError> {
        let group = self.group.clone();
        let hash = match self.group.cached_hash(index) {
            Some(hash) => Some(hash),
            None => blocking(move || group.hash_at(index)).await??,
        };
        Ok(hash.unwrap_or(Hash::ZERO))
    }

    /// The id of the entry at `index`, if there is one.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn log_id_at(&self, index: u64) -> Result<Option<LogId<MemberId>>, LogError> {
        let entries = self.entries(index..index + 1, READ_BYTES).await?;
        Ok(entries.first().map(|entry| entry.log_id))
    }

    /// The id of the last entry, durable or not yet.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn last_id(&self) -> Result<Option<LogId<MemberId>>, LogError> {
        match self.group.last_index() {
            Some(last) => self.log_id_at(last).await,
            None => Ok(None),
        }
    }

    /// The term of the last entry; 0 while there is none, or openraft has not opened the log.
    pub fn last_term(&self) -> u64 {
        self.last_term.load(Ordering::Relaxed)
    }

    /// For a member that is opened: if it led when it ended, it leads no more, but for an election.
    ///
    /// openraft would go on leading in the same term, and answer reads as soon as its view shows
    /// the first entry of that term and what was last noted as committed. That note is lazy: what
    /// was acknowledged in between would not be read. A leader of a later term answers none before
    /// its own first entry is committed, and with it all before it. Its vote stays its own, so that
    /// nobody else gets one in that term.
    pub fn resigning(mut self, member: MemberId) -> Self {
        self.resigns = Some(member);
        self
    }

    fn resigned(&self, vote: Vote<MemberId>) -> Vote<MemberId> {
        let leader = *vote.leader_id();
        match self.resigns {
            Some(member) if vote.is_committed() && leader.voted_for() == Some(member) => {
                Vote::new(leader.term, member)
            }
            _ => vote,
        }
    }

    /// The last entry that is known to be committed, applied or not; 0 while none is.
    pub fn committed(&self) -> u64 {
        self.committed.load(Ordering::Relaxed)
    }

    fn note(&self, last: Option<LogId<MemberId>>) {
        let term = last.map_or(0, |id| id.leader_id.term);
        self.last_term.store(term, Ordering::Relaxed);
    }

    pub(super) fn get<T: DeserializeOwned>(&self, key: MetaKey) -> Result<Option<T>, LogError> {
        let bytes = self.group.get(key)?;
        bytes.map(|bytes| codec::decode(&bytes)).transpose().map_err(LogError::from)
    }

    pub(super) async fn put<T: Serialize>(&self, key: MetaKey, value: &T) -> Result<(), LogError> {
        let value = codec::encode(value)?.into();
        let (done, flushed) = oneshot::channel();
        self.group.put(key, value, Box::new(move |result| drop(done.send(result))))?;
        Ok(flushed.await.map_err(|_| LogError::Closed)??)
    }
}

/// Runs what may wait for a disk on a thread that may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, LogError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| LogError::Closed)
}

fn reading(error: &LogError) -> StorageError<MemberId> {
    StorageIOError::read_logs(AnyError::error(error)).into()
}

fn writing(error: &LogError) -> StorageError<MemberId> {
    StorageIOError::write_logs(AnyError::error(error)).into()
}

fn voting(verb: ErrorVerb, error: &LogError) -> StorageError<MemberId> {
    StorageIOError::new(ErrorSubject::Vote, verb, AnyError::error(error)).into()
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + Send>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry>, StorageError<MemberId>> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last + 1,
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        // What was purged is on disk still, for those who read history, but not for consensus.
        let start = start.max(self.purged.map_or(0, |id| id.index + 1));
        let end = end.min(self.group.last_index().map_or(0, |last| last + 1));
        let mut entries = Vec::new();
        let mut next = start;
        while next < end {
            let page = self.entries(next..end, READ_BYTES).await.map_err(|e| reading(&e))?;
            let Some(last) = page.last() else { break };
            next = last.log_id.index + 1;
            entries.extend(page);
        }
        Ok(entries)
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, StorageError<MemberId>> {
        self.entries(start..end, READ_BYTES).await.map_err(|error| reading(&error))
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, StorageError<MemberId>> {
        let last = self.last_id().await.map_err(|error| reading(&error))?;
        self.note(last);
        Ok(LogState { last_purged_log_id: self.purged, last_log_id: last.max(self.purged) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<MemberId>) -> Result<(), StorageError<MemberId>> {
        let saved = self.put(MetaKey::Vote, vote).await;
        saved.map_err(|error| voting(ErrorVerb::Write, &error))
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<MemberId>>, StorageError<MemberId>> {
        let vote = self.get(MetaKey::Vote).map_err(|error| voting(ErrorVerb::Read, &error))?;
        Ok(vote.map(|vote| self.resigned(vote)))
    }

    /// Not synced by itself: it only says how much a start may apply before it has heard from
    /// the others, and an older one is as true.
    async fn save_committed(
        &mut self,
        committed: Option<LogId<MemberId>>,
    ) -> Result<(), StorageError<MemberId>> {
        self.committed.store(committed.map_or(0, |id| id.index), Ordering::Relaxed);
        let saved = codec::encode(&committed)
            .map_err(LogError::from)
            .and_then(|value| Ok(self.group.put_lazy(MetaKey::Committed, value.into())?));
        saved.map_err(|error| writing(&error))
    }

    async fn read_committed(&mut self) -> Result<Option<LogId<MemberId>>, StorageError<MemberId>> {
        let committed = self.get(MetaKey::Committed).map_err(|error| reading(&error))?;
        Ok(committed.flatten())
    }

    async fn append<I>(
        &mut self,
        entries: I,
        flushed: LogFlushed<TypeConfig>,
    ) -> Result<(), StorageError<MemberId>>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let mut last = None;
        let records = entries.into_iter().map(|entry| {
            last = Some(entry.log_id);
            to_record(&entry)
        });
        let records: Result<Vec<_>, _> = records.collect();
        let records = records.map_err(|error| writing(&error.into()))?;
        let done = move |result: Result<(), StoreError>| {
            flushed.log_io_completed(result.map_err(std::io::Error::other));
        };
        let queued = self.group.append(records, Box::new(done));
        queued.map_err(|error| writing(&error.into()))?;
        if last.is_some() {
            self.note(last);
        }
        Ok(())
    }

    async fn truncate(&mut self, log_id: LogId<MemberId>) -> Result<(), StorageError<MemberId>> {
        let (done, flushed) = oneshot::channel();
        let queued =
            self.group.truncate(log_id.index, Box::new(move |result| drop(done.send(result))));
        queued.map_err(|error| writing(&error.into()))?;
        let result = flushed.await.map_err(|_| writing(&LogError::Closed))?;
        result.map_err(|error| writing(&error.into()))?;
        self.get_log_state().await.map(drop)
    }

    /// Moves a marker. The entries stay: they are what history, verification and new replicas
    /// are made of.
    async fn purge(&mut self, log_id: LogId<MemberId>) -> Result<(), StorageError<MemberId>> {
        self.put(MetaKey::Purged, &log_id).await.map_err(|error| writing(&error))?;
        self.purged = Some(log_id);
        Ok(())
    }
}
