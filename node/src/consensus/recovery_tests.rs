use bookmesh_rpc::PeerId;
use bookmesh_rpc::api::Incarnation;
use bookmesh_storage::{GroupName, Record, StoreConfig, StoreKey};
use openraft::storage::RaftLogStorage;

use super::*;
use crate::consensus::types::from_record;

struct Disk {
    group: Store,
    store: bookmesh_storage::Store,
    _dir: tempfile::TempDir,
}

fn seat() -> Seat {
    Seat { peer: PeerId::from_bytes([7; 32]), incarnation: Incarnation::default() }
}

/// Who belongs to the group: members 1 to 3.
fn members() -> BTreeMap<MemberId, Seat> {
    (1..4).map(|member| (member, seat())).collect()
}

/// Three entries of term 4, and a vote for another member in term 6.
async fn disk() -> Disk {
    let dir = tempfile::tempdir().unwrap();
    let config = StoreConfig::new(dir.path(), StoreKey::generate());
    let store = bookmesh_storage::Store::open(config).unwrap();
    let group = store.group(&GroupName::registry()).unwrap();
    let blank = |index| {
        let log_id = LogId::new(CommittedLeaderId::new(4, 1), index);
        to_record(&Entry { log_id, payload: EntryPayload::Blank }).unwrap()
    };
    group.append_blocking((0..3).map(blank).collect::<Vec<Record>>()).unwrap();
    let mut log = LogStore::open(group.clone()).unwrap();
    log.save_vote(&Vote::new(6, 1)).await.unwrap();
    Disk { group, store, _dir: dir }
}

fn last_entry(disk: &Disk) -> Entry {
    let last = disk.group.last_index().unwrap();
    from_record(&disk.group.read(last..last + 1, 1).unwrap()[0]).unwrap()
}

#[tokio::test]
async fn the_entry_makes_the_member_the_only_voter_in_a_term_of_its_own() {
    let disk = disk().await;
    assert_eq!(carry_out(&disk.group).await.unwrap(), None, "nothing was decided");
    decide(&disk.group, 3, &members(), 2).await.unwrap();
    assert_eq!(disk.group.last_index(), Some(2), "deciding does nothing yet");
    let recovery = carry_out(&disk.group).await.unwrap().unwrap();

    let entry = last_entry(&disk);
    assert_eq!(entry.log_id, LogId::new(CommittedLeaderId::new(7, 3), 3));
    let EntryPayload::Membership(members) = entry.payload else { panic!("no membership") };
    assert_eq!(members.voter_ids().collect::<Vec<_>>(), [3]);
    assert_eq!(members.nodes().collect::<Vec<_>>(), [(&3, &seat())]);
    let mut log = LogStore::open(disk.group.clone()).unwrap();
    assert_eq!(log.read_vote().await.unwrap(), Some(Vote::new(7, 3)));

    let again = carry_out(&disk.group).await.unwrap();
    assert_eq!(again, Some(recovery), "what is done already is not done again");
    assert_eq!(disk.group.last_index(), Some(3));
    conclude(&disk.group).await.unwrap();
    assert_eq!(given_up(&disk.group).unwrap(), [1, 2].into());
    assert_eq!(carry_out(&disk.group).await.unwrap(), None);
}

#[tokio::test]
async fn a_crash_after_any_step_changes_nothing() {
    let disk = disk().await;
    decide(&disk.group, 3, &members(), 2).await.unwrap();
    // As if the vote had been saved and the entry had not.
    let mut log = LogStore::open(disk.group.clone()).unwrap();
    log.save_vote(&Vote::new(7, 3)).await.unwrap();
    drop(log);
    let Disk { group, store, _dir } = disk;
    drop(group);
    let group = store.group(&GroupName::registry()).unwrap();
    let disk = Disk { group, store, _dir };
    carry_out(&disk.group).await.unwrap().unwrap();
    assert_eq!(last_entry(&disk).log_id, LogId::new(CommittedLeaderId::new(7, 3), 3));
}

#[tokio::test]
async fn a_log_that_is_not_the_one_that_was_looked_at_is_left_alone() {
    let disk = disk().await;
    let seen = decide(&disk.group, 3, &members(), 1).await;
    assert!(matches!(seen, Err(RecoveryError::Changed)), "{seen:?}");
    assert_eq!(carry_out(&disk.group).await.unwrap(), None);

    decide(&disk.group, 3, &members(), 2).await.unwrap();
    let log_id = LogId::new(CommittedLeaderId::new(6, 1), 3);
    let other = to_record(&Entry { log_id, payload: EntryPayload::Blank }).unwrap();
    disk.group.append_blocking(vec![other]).unwrap();
    assert_eq!(carry_out(&disk.group).await.unwrap(), None, "it was decided by another log");
    assert_eq!(last_entry(&disk).log_id, log_id);
}
