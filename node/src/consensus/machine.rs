//! openraft's state machine over a view: applies what is committed, in memory.
//!
//! The log is the truth and is never purged, so openraft's snapshots are not how replicas are
//! filled or restarted; they exist here because its contract asks for them.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use bookmesh_rpc::api::{ApiError, Batch, Hash, MemberId};
use bookmesh_rpc::codec;
use bookmesh_storage::view::View;
use bytes::Bytes;
use openraft::storage::RaftStateMachine;
use openraft::{
    AnyError, EntryPayload, LogId, RaftSnapshotBuilder, Snapshot, SnapshotMeta, StorageError,
    StorageIOError, StoredMembership,
};
use tokio::sync::watch;

use super::types::{Commands, Entry, Outcomes, Seat, TypeConfig};

/// A view and the place in the log that it shows; the two change together, under one lock.
#[derive(Debug)]
pub struct Shown<V> {
    /// The view.
    pub view: V,
    /// The last entry in it.
    pub applied: Option<LogId<MemberId>>,
    /// Who belongs to the group, as of that entry.
    pub membership: StoredMembership<MemberId, Seat>,
    /// The chain at that entry.
    pub hash: Hash,
}

impl<V: Default> Default for Shown<V> {
    /// Nothing applied yet.
    fn default() -> Self {
        let membership = StoredMembership::default();
        Self { view: V::default(), applied: None, membership, hash: Hash::ZERO }
    }
}

impl<V> AsMut<V> for Shown<V> {
    fn as_mut(&mut self) -> &mut V {
        &mut self.view
    }
}

/// A view that readers share with the state machine. The lock is a plain one: it is held for one
/// batch or one read, never across an await.
#[derive(Debug)]
pub struct SharedView<V> {
    shown: RwLock<Shown<V>>,
    applied: watch::Sender<Option<u64>>,
}

impl<V> SharedView<V> {
    /// A view that shows the log up to `shown.applied`.
    pub fn new(shown: Shown<V>) -> Arc<Self> {
        let applied = watch::Sender::new(shown.applied.map(|id| id.index));
        Arc::new(Self { shown: RwLock::new(shown), applied })
    }

    /// Reads the view.
    pub fn read<T>(&self, read: impl FnOnce(&Shown<V>) -> T) -> T {
        // A panic in another reader leaves the view whole; one while applying ends the group.
        read(&self.shown.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn write<T>(&self, write: impl FnOnce(&mut Shown<V>) -> T) -> T {
        let mut shown = self.shown.write().unwrap_or_else(PoisonError::into_inner);
        let result = write(&mut shown);
        let applied = shown.applied.map(|id| id.index);
        drop(shown);
        self.applied.send_if_modified(|now| std::mem::replace(now, applied) != applied);
        result
    }

    /// The lock itself, for who saves checkpoints.
    pub(super) const fn lock(&self) -> &RwLock<Shown<V>> {
        &self.shown
    }

    /// The last applied index, as it grows.
    pub fn applied(&self) -> watch::Receiver<Option<u64>> {
        self.applied.subscribe()
    }
}

/// The state machine of one group.
#[derive(Debug)]
pub struct Machine<V> {
    shared: Arc<SharedView<V>>,
    snapshot: Arc<Mutex<Option<Kept>>>,
}

/// A snapshot: what openraft says of it, and its bytes.
type Kept = (SnapshotMeta<MemberId, Seat>, Vec<u8>);

impl<V: View> Machine<V> {
    /// A machine that applies to `shared`.
    pub fn new(shared: Arc<SharedView<V>>) -> Self {
        Self { shared, snapshot: Arc::default() }
    }

    fn keep(&self, snapshot: Kept) {
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = Some(snapshot);
    }
}

/// Why a member can't go on behind an entry.
#[derive(Debug, thiserror::Error)]
enum NotApplied {
    #[error(transparent)]
    Codec(#[from] codec::CodecError),
    #[error("applying it panicked; what was said is in the log above")]
    Panic,
}

impl<V: View> Shown<V> {
    fn apply(&mut self, entry: Entry) -> Result<Outcomes, NotApplied> {
        let outcomes = match entry.payload {
            EntryPayload::Blank => self.pass(entry.log_id),
            EntryPayload::Normal(Commands(bytes)) => {
                self.hash = self.hash.extend(&bytes);
                let batch: Batch = codec::decode(&bytes)?;
                let (view, index) = (&mut self.view, entry.log_id.index);
                // openraft would not notice a panic before the next entry, which nobody proposes
                // while this one has no answer. The view is of no use after it.
                let began = Instant::now();
                let applied = catch_unwind(AssertUnwindSafe(|| view.apply(index, &batch)));
                let outcomes = applied.map_err(|_| NotApplied::Panic)?;
                Outcomes { outcomes, took: began.elapsed() }
            }
            EntryPayload::Membership(members) => {
                self.membership = StoredMembership::new(Some(entry.log_id), members);
                self.pass(entry.log_id)
            }
        };
        self.applied = Some(entry.log_id);
        Ok(outcomes)
    }

    fn pass(&mut self, log_id: LogId<MemberId>) -> Outcomes {
        self.view.pass(log_id.index);
        Outcomes::default()
    }
}

impl<V: View> RaftStateMachine<TypeConfig> for Machine<V> {
    type SnapshotBuilder = Self;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogId<MemberId>>, StoredMembership<MemberId, Seat>), StorageError<MemberId>>
    {
        Ok(self.shared.read(|shown| (shown.applied, shown.membership.clone())))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Outcomes>, StorageError<MemberId>>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        // The size of openraft's error is not ours to change.
        #[allow(clippy::result_large_err)]
        self.shared.write(|shown| {
            entries
                .into_iter()
                .map(|entry| {
                    let log_id = entry.log_id;
                    // An entry that can't be decoded was committed by a newer program: going on
                    // without it would make this replica differ from the others.
                    shown.apply(entry).map_err(|error| {
                        StorageIOError::apply(log_id, AnyError::new(&error)).into()
                    })
                })
                .collect()
        })
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        Self { shared: self.shared.clone(), snapshot: self.snapshot.clone() }
    }

    async fn begin_receiving_snapshot(
        &mut self,
    ) -> Result<Box<Cursor<Vec<u8>>>, StorageError<MemberId>> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta<MemberId, Seat>,
        snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Result<(), StorageError<MemberId>> {
        let bytes = snapshot.into_inner();
        let (hash, view) = decode_view(&bytes).map_err(|error| {
            StorageIOError::read_snapshot(Some(meta.signature()), AnyError::new(&error))
        })?;
        self.shared.write(|shown| {
            *shown = Shown {
                view,
                applied: meta.last_log_id,
                membership: meta.last_membership.clone(),
                hash,
            };
        });
        self.keep((meta.clone(), bytes));
        Ok(())
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> Result<Option<Snapshot<TypeConfig>>, StorageError<MemberId>> {
        let kept = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(kept.map(into_snapshot))
    }
}

impl<V: View> RaftSnapshotBuilder<TypeConfig> for Machine<V> {
    async fn build_snapshot(&mut self) -> Result<Snapshot<TypeConfig>, StorageError<MemberId>> {
        let (meta, bytes) = self.shared.read(|shown| {
            let meta = SnapshotMeta {
                last_log_id: shown.applied,
                last_membership: shown.membership.clone(),
                snapshot_id: shown.applied.map_or_else(String::new, |id| id.to_string()),
            };
            (meta, encode_view(shown))
        });
        let bytes =
            bytes.map_err(|error| StorageIOError::write_snapshot(None, AnyError::new(&error)))?;
        self.keep((meta.clone(), bytes.clone()));
        Ok(into_snapshot((meta, bytes)))
    }
}

fn into_snapshot((meta, bytes): (SnapshotMeta<MemberId, Seat>, Vec<u8>)) -> Snapshot<TypeConfig> {
    Snapshot { meta, snapshot: Box::new(Cursor::new(bytes)) }
}

fn encode_view<V: View>(shown: &Shown<V>) -> Result<Vec<u8>, codec::CodecError> {
    // A copy, since giving out parts is part of a view's own checkpoints.
    let mut view = shown.view.clone();
    let mut parts = Vec::new();
    let mut after = None;
    view.begin_full();
    loop {
        let (slice, next) = view.slice(after);
        parts.extend(slice);
        if next.is_none() {
            break;
        }
        after = next;
    }
    parts.extend(view.take_delta());
    codec::encode(&(shown.hash, parts))
}

fn decode_view<V: View>(bytes: &[u8]) -> Result<(Hash, V), ApiError> {
    let (hash, parts): (Hash, Vec<Bytes>) = codec::decode(bytes).map_err(ApiError::internal)?;
    let mut view = V::default();
    for part in parts {
        view.restore(&part).map_err(ApiError::internal)?;
    }
    Ok((hash, view))
}
