use std::ops::Range;

use bookmesh_storage::{GroupName, StoreConfig, StoreKey};
use openraft::storage::RaftLogStorage;
use openraft::{CommittedLeaderId, EntryPayload};

use super::*;
use crate::consensus::types::{Commands, Entry, to_record};

struct Disk {
    group: Store,
    _store: bookmesh_storage::Store,
    _dir: tempfile::TempDir,
}

fn disk() -> Disk {
    let dir = tempfile::tempdir().unwrap();
    let config = StoreConfig::new(dir.path(), StoreKey::generate());
    let store = bookmesh_storage::Store::open(config).unwrap();
    let group = store.group(&GroupName::registry()).unwrap();
    Disk { group, _store: store, _dir: dir }
}

/// Entries of the leader `term`, member 1, that say `text`.
fn records(range: Range<u64>, term: u64, text: &str) -> Vec<Record> {
    let entry = |index| Entry {
        log_id: LogId::new(CommittedLeaderId::new(term, 1), index),
        payload: EntryPayload::Normal(Commands(format!("{text} {index}").into())),
    };
    range.map(|index| to_record(&entry(index)).unwrap()).collect()
}

/// What a source with these records sends from an index on.
fn page(records: &[Record], from: u64) -> FillPage {
    let mut chain = Hash::ZERO;
    let chained = records.iter().map(|record| {
        chain = record.chain(&chain);
        let Record { index, head, commands } = record.clone();
        FillRecord { index, head, commands, hash: chain }
    });
    let records: Vec<_> = chained.filter(|record| record.index >= from).collect();
    let committed_index = records.last().map_or(0, |record| record.index);
    FillPage { records, committed_index }
}

#[tokio::test]
async fn a_fill_that_was_interrupted_goes_on_and_ends_as_a_follower_would() {
    let (disk, source) = (disk(), records(0..10, 3, "a"));
    let mut filling = Filling::new(disk.group.clone()).unwrap();
    assert_eq!(filling.begin(), 0);
    filling.take(page(&source[..6], 0)).await.unwrap();
    drop(filling);

    let mut filling = Filling::new(disk.group.clone()).unwrap();
    assert!(!filling.took_part().unwrap(), "entries without a vote are a fill that was cut short");
    assert_eq!(filling.begin(), 5, "the last one is compared");
    filling.take(page(&source, 5)).await.unwrap();
    assert_eq!(filling.head_hash(), page(&source, 9).records[0].hash);
    assert!(filling.is_shared());
    filling.finish(2).await.unwrap();

    let mut log = LogStore::open(disk.group.clone()).unwrap();
    assert_eq!(log.read_vote().await.unwrap(), Some(Vote::new_committed(3, 1)));
    let last = Some(LogId::new(CommittedLeaderId::new(3, 1), 9));
    assert_eq!(log.read_committed().await.unwrap(), last);
    assert_eq!(log.get_log_state().await.unwrap().last_log_id, last);
}

#[tokio::test]
async fn a_vote_never_goes_back_and_makes_nobody_leader() {
    let (disk, source) = (disk(), records(0..3, 3, "a"));
    let mut log = LogStore::open(disk.group.clone()).unwrap();
    log.save_vote(&Vote::new(5, 2)).await.unwrap();
    let mut filling = Filling::new(disk.group.clone()).unwrap();
    filling.begin();
    filling.take(page(&source, 0)).await.unwrap();
    filling.finish(2).await.unwrap();
    assert_eq!(log.read_vote().await.unwrap(), Some(Vote::new(5, 2)));

    log.save_vote(&Vote::new(1, 1)).await.unwrap();
    let mut filling = Filling::new(disk.group.clone()).unwrap();
    filling.begin();
    filling.take(page(&source, 2)).await.unwrap();
    filling.finish(1).await.unwrap();
    assert_eq!(log.read_vote().await.unwrap(), Some(Vote::new(3, 1)), "its own, not committed");
}

#[tokio::test]
async fn what_does_not_follow_is_refused_and_nothing_of_it_is_appended() {
    let (disk, source) = (disk(), records(0..6, 3, "a"));
    let mut filling = Filling::new(disk.group.clone()).unwrap();
    filling.begin();
    filling.take(page(&source[..4], 0)).await.unwrap();

    filling.begin();
    let gap = filling.take(page(&source, 5)).await;
    assert!(matches!(gap, Err(FillError::Page(_))), "{gap:?}");
    filling.begin();
    let mut twisted = page(&source, 3);
    twisted.records[2].commands = "something else".into();
    let differs = filling.take(twisted).await;
    assert!(matches!(differs, Err(FillError::Differs { index: 5 })), "{differs:?}");
    filling.begin();
    let older = [source[..4].to_vec(), records(4..6, 2, "a")].concat();
    let earlier = filling.take(page(&older, 3)).await;
    assert!(matches!(earlier, Err(FillError::Page(_))), "{earlier:?}");
    filling.begin();
    let other = [records(0..3, 3, "a"), records(3..6, 4, "b")].concat();
    let differs = filling.take(page(&other, 3)).await;
    assert!(matches!(differs, Err(FillError::Differs { index: 3 })), "{differs:?}");
    assert_eq!(disk.group.last_index(), Some(3));

    filling.cut(3).await.unwrap();
    filling.begin();
    filling.take(page(&other, 2)).await.unwrap();
    assert_eq!(disk.group.head_hash(), page(&other, 5).records[0].hash);
}

#[tokio::test]
async fn many_pages_wait_for_the_disk_in_their_order() {
    let (disk, source) = (disk(), records(0..500, 1, "a"));
    let mut filling = Filling::new(disk.group.clone()).unwrap();
    filling.begin();
    let all = page(&source, 0);
    for records in all.records.chunks(7) {
        let page = FillPage { records: records.to_vec(), committed_index: all.committed_index };
        filling.take(page).await.unwrap();
    }
    filling.finish(2).await.unwrap();
    assert_eq!(disk.group.head_hash(), all.records[499].hash);
}
