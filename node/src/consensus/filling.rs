//! Filling a replica that takes no part yet: committed records go from one log into another, and
//! each is held against the chain before it is appended.
//!
//! openraft would fill it too, by appends that the leader has to answer for, one after the other
//! and each within 200 ms. What is committed needs no leader: any member may give it, and a
//! replica that has it begins where a follower of the last entry's leader would have stopped.

use std::collections::VecDeque;
use std::ops::Range;

use bookmesh_rpc::api::{ApiError, FillPage, FillRecord, Hash, MemberId};
use bookmesh_storage::view::View;
use bookmesh_storage::{Group as Store, MetaKey, Record, StoreError};
use openraft::{LogId, Vote};
use tokio::sync::oneshot;

use super::group::Group;
use super::log_store::{LogError, LogStore};
use super::types::from_record;

/// Bytes of records in one page. Four are under way within a stream's window, and a page is read,
/// checked and appended while the next ones travel.
const PAGE_BYTES: usize = 256 * 1024;
/// Pages that may wait for the disk: two of the storage's commits, so that the next one is always
/// there, and not more, since other groups write through the same queue.
const MAX_WRITING: usize = 8;

/// Why a replica can't be filled from a source.
#[derive(Debug, thiserror::Error)]
pub enum FillError {
    /// This node's own log can't be read or written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The source sent what does not follow.
    #[error("what it sent can't be used: {0}")]
    Page(String),
    /// The source has another entry where this replica has one.
    #[error("it has another history at entry {index}")]
    Differs {
        /// The first entry of its page that is another one.
        index: u64,
    },
}

impl From<StoreError> for FillError {
    fn from(error: StoreError) -> Self {
        Self::Log(error.into())
    }
}

impl<V: View> Group<V> {
    /// The last entry that this member knows to be committed: the last one it has applied.
    pub fn committed(&self) -> Option<u64> {
        self.read(|shown| shown.applied.map(|id| id.index))
    }

    /// The next page of a range of committed records, as they stand in the log.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn fill_page(&self, range: Range<u64>) -> Result<FillPage, ApiError> {
        let committed = self.committed();
        let mut chain = match range.start.checked_sub(1) {
            Some(before) => self.log().hash_at(before).await.map_err(ApiError::internal)?,
            None => Hash::ZERO,
        };
        let end = range.end.min(committed.map_or(0, |index| index + 1));
        let records = if range.start < end {
            let read = self.log().records(range.start..end, PAGE_BYTES).await;
            read.map_err(ApiError::internal)?
        } else {
            Vec::new()
        };
        let chained = records.into_iter().map(|record| {
            chain = record.chain(&chain);
            let Record { index, head, commands } = record;
            FillRecord { index, head, commands, hash: chain }
        });
        let records = chained.collect();
        Ok(FillPage { records, committed_index: committed.unwrap_or(0) })
    }
}

/// The log of a replica while it is filled. Nothing else may write it meanwhile.
///
/// A crash at any point leaves a prefix of the rack's log, and no vote until
/// [`Filling::finish`]: whoever finds entries without a vote goes on with filling.
pub struct Filling {
    store: Store,
    log: LogStore,
    /// The next entry that is expected of the source.
    next: u64,
    /// The last entry that the source has as well.
    shared: Option<LogId<MemberId>>,
    writing: VecDeque<oneshot::Receiver<Result<(), StoreError>>>,
}

impl Filling {
    /// Goes on where the log on disk ends.
    ///
    /// # Errors
    /// When what stands beside the log can't be read.
    pub fn new(store: Store) -> Result<Self, FillError> {
        let log = LogStore::open(store.clone())?;
        Ok(Self { store, log, next: 0, shared: None, writing: VecDeque::new() })
    }

    /// Whether consensus ever ran on this log, or may run: it has granted its vote to somebody, if
    /// only to the leader whose entries it took.
    ///
    /// # Errors
    /// When what stands beside the log can't be read.
    pub fn took_part(&self) -> Result<bool, FillError> {
        Ok(took_part(&self.store)?)
    }

    /// Whether some source had the last entry that is here.
    pub fn is_shared(&self) -> bool {
        let last = self.shared.map(|id| id.index);
        last.is_some() && last == self.store.last_index()
    }

    /// The first entry to ask a source for: the last one that is here, so that both are seen to
    /// have the same history.
    pub fn begin(&mut self) -> u64 {
        self.next = self.store.last_index().unwrap_or(0);
        self.next
    }

    /// The last entry here; 0 while there is none.
    pub fn last_index(&self) -> u64 {
        self.store.last_index().unwrap_or(0)
    }

    /// The chain at the last entry here.
    pub fn head_hash(&self) -> Hash {
        self.store.head_hash()
    }

    /// Checks a page and appends what is new in it; answers how many bytes that was. Waits while
    /// the disk is behind.
    ///
    /// # Errors
    /// [`FillError`]; nothing of the page was appended then.
    pub async fn take(&mut self, page: FillPage) -> Result<usize, FillError> {
        let mut records = page.records.into_iter().peekable();
        while let Some(record) = records.next_if(|next| Some(next.index) <= self.store.last_index())
        {
            self.compare(record).await?;
        }
        let (mut chain, mut last) = (self.store.head_hash(), self.last_log_id().await?);
        let mut new = Vec::new();
        for record in records {
            let FillRecord { index, head, commands, hash } = record;
            self.expect(index)?;
            let record = Record { index, head, commands };
            chain = record.chain(&chain);
            if chain != hash {
                return Err(FillError::Differs { index });
            }
            let entry = from_record(&record).map_err(|error| FillError::Page(error.to_string()))?;
            if last.is_some_and(|last| last.leader_id > entry.log_id.leader_id) {
                return Err(FillError::Page(format!("entry {index} has an earlier term")));
            }
            last = Some(entry.log_id);
            new.push(record);
            self.next = index + 1;
        }
        let bytes = new.iter().map(Record::bytes).sum();
        if !new.is_empty() {
            self.append(new).await?;
            self.shared = last;
        }
        Ok(bytes)
    }

    fn expect(&self, index: u64) -> Result<(), FillError> {
        if index == self.next {
            return Ok(());
        }
        Err(FillError::Page(format!("entry {index} came where {} was due", self.next)))
    }

    /// Holds a record of the source's against the one that is here.
    async fn compare(&mut self, theirs: FillRecord) -> Result<(), FillError> {
        let index = theirs.index;
        self.expect(index)?;
        if !self.has(&theirs).await? {
            return Err(FillError::Differs { index });
        }
        self.shared = self.log.log_id_at(index).await?;
        self.next = index + 1;
        Ok(())
    }

    /// Whether the same entry is here, with the same history before it.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn has(&self, theirs: &FillRecord) -> Result<bool, FillError> {
        let index = theirs.index;
        if Some(index) > self.store.last_index() {
            return Ok(false);
        }
        let ours = self.log.records(index..index + 1, PAGE_BYTES).await?;
        let same = ours.first().is_some_and(|ours| ours.head == theirs.head);
        Ok(same && self.log.hash_at(index).await? == theirs.hash)
    }

    async fn last_log_id(&self) -> Result<Option<LogId<MemberId>>, FillError> {
        let Some(last) = self.store.last_index() else { return Ok(None) };
        Ok(self.log.log_id_at(last).await?)
    }

    async fn append(&mut self, records: Vec<Record>) -> Result<(), FillError> {
        while self.writing.len() >= MAX_WRITING {
            self.written().await?;
        }
        let (done, written) = oneshot::channel();
        let store = self.store.clone();
        // The queue may be full of what other groups write.
        let append = move || store.append(records, Box::new(|result| drop(done.send(result))));
        let appended = tokio::task::spawn_blocking(append).await;
        appended.map_err(|_| LogError::Closed)??;
        self.writing.push_back(written);
        Ok(())
    }

    /// Waits until the first page that waits is durable.
    async fn written(&mut self) -> Result<(), FillError> {
        let Some(written) = self.writing.pop_front() else { return Ok(()) };
        Ok(written.await.map_err(|_| LogError::Closed)??)
    }

    /// The last entry here that is known to be committed, and so the same everywhere.
    ///
    /// # Errors
    /// When what stands beside the log can't be read.
    pub fn known_committed(&self) -> Result<Option<u64>, FillError> {
        let committed: Option<Option<LogId<MemberId>>> = self.log.get(MetaKey::Committed)?;
        Ok(committed.flatten().map(|id| id.index))
    }

    /// Cuts off all entries from `from` on. None of them may be committed, unless this log
    /// [never took part](Filling::took_part).
    ///
    /// # Errors
    /// When the log can't be written.
    pub async fn cut(&mut self, from: u64) -> Result<(), FillError> {
        while !self.writing.is_empty() {
            self.written().await?;
        }
        let store = self.store.clone();
        let cut = tokio::task::spawn_blocking(move || store.truncate_blocking(from)).await;
        cut.map_err(|_| LogError::Closed)??;
        self.shared = None;
        Ok(())
    }

    /// Makes all of it durable, and what consensus starts from: the vote of a follower that took
    /// the last entry from its leader, and that entry as committed, so that a start applies all of
    /// it before it has heard from anybody.
    ///
    /// # Errors
    /// When it can't be written.
    pub async fn finish(mut self, member: MemberId) -> Result<(), FillError> {
        while !self.writing.is_empty() {
            self.written().await?;
        }
        let Some(shared) = self.shared else { return Ok(()) };
        let leader = shared.leader_id;
        let mut vote = Vote::new_committed(leader.term, leader.node_id);
        // Nobody starts as the leader that it was once.
        vote.committed = leader.node_id != member;
        let before: Option<Vote<MemberId>> = self.log.get(MetaKey::Vote)?;
        if before.is_none_or(|before| before < vote) {
            self.log.put(MetaKey::Vote, &vote).await?;
        }
        if self.known_committed()? < Some(shared.index) {
            self.log.put(MetaKey::Committed, &Some(shared)).await?;
        }
        Ok(())
    }
}

/// See [`Filling::took_part`].
///
/// # Errors
/// When what stands beside the log can't be read.
pub fn took_part(store: &Store) -> Result<bool, StoreError> {
    Ok(store.get(MetaKey::Vote)?.is_some())
}

#[cfg(test)]
#[path = "filling_tests.rs"]
mod tests;
