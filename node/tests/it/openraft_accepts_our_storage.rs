//! openraft's own conformance suite, on the log and the view as they are used.

use std::fmt::Debug;
use std::ops::RangeBounds;

use bookmesh_node::consensus::log_store::LogStore;
use bookmesh_node::consensus::machine::{Machine, SharedView, Shown};
use bookmesh_node::consensus::types::{Entry, TypeConfig};
use bookmesh_storage::view::Things;
use bookmesh_storage::{GroupName, Store, StoreConfig, StoreKey};
use openraft::storage::{LogFlushed, LogState, RaftLogStorage};
use openraft::testing::{StoreBuilder, Suite};
use openraft::{EntryPayload, LogId, RaftLogReader, StorageError, Vote};

struct OnDisk;

impl StoreBuilder<TypeConfig, Gapless, Machine<Things>, (tempfile::TempDir, Store)> for OnDisk {
    async fn build(
        &self,
    ) -> Result<((tempfile::TempDir, Store), Gapless, Machine<Things>), StorageError<u64>> {
        let dir = tempfile::tempdir().unwrap();
        let config = StoreConfig::new(dir.path(), StoreKey::generate());
        let store = Store::open(config).unwrap();
        let group = store.group(&GroupName::registry()).unwrap();
        let log = LogStore::open(group).unwrap();
        let machine = Machine::new(SharedView::new(Shown::default()));
        Ok(((dir, store), Gapless(log, None), machine))
    }
}

#[test]
fn the_conformance_suite_passes() {
    Suite::test_all(OnDisk).unwrap();
}

#[tokio::test]
async fn what_is_committed_is_known_before_it_is_applied() {
    let (_kept, Gapless(mut log, _), _) = OnDisk.build().await.unwrap();
    assert_eq!(log.committed(), 0);
    let committed = LogId::new(openraft::CommittedLeaderId::new(3, 1), 7);
    log.clone().save_committed(Some(committed)).await.unwrap();
    assert_eq!(log.committed(), 7);
    assert_eq!(log.read_committed().await.unwrap(), Some(committed));
}

/// Our log refuses an entry that does not follow the last one, as openraft's contract says it
/// should be; some of the suite's own data leave indexes out. They are filled with blank entries.
struct Gapless(LogStore, Option<u64>);

impl RaftLogReader<TypeConfig> for Gapless {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + Send>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry>, StorageError<u64>> {
        self.0.try_get_log_entries(range).await
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, StorageError<u64>> {
        self.0.limited_get_log_entries(start, end).await
    }
}

impl RaftLogStorage<TypeConfig> for Gapless {
    type LogReader = LogStore;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, StorageError<u64>> {
        self.0.get_log_state().await
    }

    async fn get_log_reader(&mut self) -> LogStore {
        self.0.get_log_reader().await
    }

    async fn save_vote(&mut self, vote: &Vote<u64>) -> Result<(), StorageError<u64>> {
        self.0.save_vote(vote).await
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<u64>>, StorageError<u64>> {
        self.0.read_vote().await
    }

    async fn save_committed(&mut self, id: Option<LogId<u64>>) -> Result<(), StorageError<u64>> {
        self.0.save_committed(id).await
    }

    async fn read_committed(&mut self) -> Result<Option<LogId<u64>>, StorageError<u64>> {
        self.0.read_committed().await
    }

    async fn append<I>(
        &mut self,
        entries: I,
        flushed: LogFlushed<TypeConfig>,
    ) -> Result<(), StorageError<u64>>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let mut next = self.1.map(|last| last + 1);
        let mut whole = Vec::new();
        for entry in entries {
            let wanted = entry.log_id.index;
            for index in next.unwrap_or(wanted)..wanted {
                let log_id = LogId::new(entry.log_id.leader_id, index);
                whole.push(Entry { log_id, payload: EntryPayload::Blank });
            }
            next = Some(wanted + 1);
            whole.push(entry);
        }
        self.1 = next.map(|next| next - 1);
        self.0.append(whole, flushed).await
    }

    async fn truncate(&mut self, from: LogId<u64>) -> Result<(), StorageError<u64>> {
        self.1 = self.1.map(|last| last.min(from.index.saturating_sub(1)));
        self.0.truncate(from).await
    }

    async fn purge(&mut self, upto: LogId<u64>) -> Result<(), StorageError<u64>> {
        self.0.purge(upto).await
    }
}
