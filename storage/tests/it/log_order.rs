//! The log: consecutive, readable at once, the same after a restart, and its tail can be cut.

use bookmesh_rpc::api::{Hash, MAX_ENTRY_BYTES};
use bookmesh_storage::{MAX_HEAD_BYTES, MetaKey, Record, StoreError};
use bytes::Bytes;

use crate::support::{group, open, rack, record, records};

#[test]
fn an_entry_is_readable_when_append_returns_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let log = group(&store);
    let written = records(0, 300, 20_000);
    log.append(written[..200].to_vec(), Box::new(|_| ())).unwrap();
    assert_eq!(log.read(0..500, usize::MAX).unwrap(), written[..200]);
    log.append_blocking(written[200..].to_vec()).unwrap();
    assert_eq!(
        log.read(0..500, usize::MAX).unwrap(),
        written,
        "memory and disk join without a gap"
    );
    let (head, middle) = (log.head_hash(), log.hash_at(100).unwrap());
    log.put_blocking(MetaKey::Vote, Bytes::from_static(b"vote")).unwrap();
    drop(log);
    store.close().unwrap();

    let store = open(dir.path());
    let log = group(&store);
    assert_eq!((log.first_index(), log.last_index()), (Some(0), Some(299)));
    assert_eq!(log.read(0..500, usize::MAX).unwrap(), written);
    assert_eq!((log.head_hash(), log.hash_at(100).unwrap()), (head, middle));
    assert_eq!(log.get(MetaKey::Vote).unwrap().unwrap(), "vote");
    assert_eq!(store.groups(), [rack("book-rack-001")]);
}

#[test]
fn the_chain_covers_commands_only() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let log = group(&store);
    log.append_blocking(vec![record(0, ""), record(1, "a"), record(2, ""), record(3, "b")])
        .unwrap();
    let one = Hash::ZERO.extend(b"a");
    let chain: Vec<_> = (0..5).map(|index| log.hash_at(index).unwrap()).collect();
    assert_eq!(chain, [Some(Hash::ZERO), Some(one), Some(one), Some(one.extend(b"b")), None]);
}

#[test]
fn a_gap_and_an_entry_that_is_too_large_are_refused_whole() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let log = group(&store);
    log.append_blocking(records(0, 3, 10)).unwrap();
    let gap = vec![record(3, "x"), record(5, "y")];
    assert!(matches!(
        log.append_blocking(gap),
        Err(StoreError::NotConsecutive { index: 5, expected: 4, .. })
    ));
    let large = vec![record(3, "x"), record(4, vec![0; MAX_ENTRY_BYTES + 1])];
    assert!(matches!(log.append_blocking(large), Err(StoreError::TooLarge { index: 4, .. })));
    let head = Bytes::from(vec![0; MAX_HEAD_BYTES + 1]);
    let large = Record { index: 3, head, commands: Bytes::new() };
    assert!(log.append_blocking(vec![large]).is_err());
    assert_eq!(log.last_index(), Some(2));
    log.append_blocking(vec![record(3, vec![0; MAX_ENTRY_BYTES])]).unwrap();
}

#[test]
fn a_read_goes_on_where_a_bounded_one_ended() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let log = group(&store);
    let written = records(0, 400, 16_000);
    log.append_blocking(written.clone()).unwrap();
    let mut read = Vec::new();
    while read.len() < written.len() {
        let page = log.read(read.len() as u64..u64::MAX, 100_000).unwrap();
        assert!((1..=7).contains(&page.len()));
        read.extend(page);
    }
    assert_eq!(read, written);
    assert!(log.read(400..500, 1).unwrap().is_empty());
}

#[test]
fn a_cut_tail_is_written_anew_and_the_chain_follows() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let log = group(&store);
    log.append_blocking(records(0, 300, 20_000)).unwrap();
    let before = log.hash_at(49).unwrap().unwrap();
    log.truncate(50, Box::new(|_| ())).unwrap();
    assert_eq!((log.last_index(), log.head_hash()), (Some(49), before));
    log.append_blocking(vec![record(50, "other")]).unwrap();
    let head = log.head_hash();
    assert_eq!(head, before.extend(b"other"));
    log.truncate_blocking(1000).unwrap();
    drop(log);
    store.close().unwrap();

    let store = open(dir.path());
    let log = group(&store);
    assert_eq!((log.last_index(), log.head_hash()), (Some(50), head));
    log.truncate_blocking(0).unwrap();
    assert_eq!((log.last_index(), log.head_hash()), (None, Hash::ZERO));
    drop(log);
    drop(store);
    let log = group(&open(dir.path()));
    assert_eq!(log.last_index(), None);
}

#[test]
fn a_wiped_group_is_gone_and_can_be_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let log = group(&store);
    let other = store.group(&rack("other")).unwrap();
    other.append_blocking(records(0, 5, 100)).unwrap();
    log.append_blocking(records(0, 200, 1000)).unwrap();
    log.put_blocking(MetaKey::Member, Bytes::from_static(b"1")).unwrap();
    store.wipe(log.name()).unwrap();
    assert!(matches!(log.append_blocking(records(200, 201, 1)), Err(StoreError::Wiped { .. })));
    assert_eq!(store.groups(), [rack("other")]);
    let anew = group(&store);
    assert_eq!((anew.last_index(), anew.get(MetaKey::Member).unwrap()), (None, None));
    anew.append_blocking(records(0, 2, 10)).unwrap();
    drop((log, anew, other, store));
    let store = open(dir.path());
    assert_eq!(group(&store).last_index(), Some(1));
    assert_eq!(store.group(&rack("other")).unwrap().last_index(), Some(4));
}

#[test]
fn what_a_closing_store_refuses_was_neither_appended_nor_put() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let log = group(&store);
    log.append_blocking(records(0, 1, 10)).unwrap();
    let mut taken = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| store.close().unwrap());
        for index in 1.. {
            if log.append(records(index, index + 1, 10), Box::new(|_| ())).is_err() {
                break;
            }
            taken = index;
        }
    });
    assert_eq!(log.last_index(), Some(taken));
    let refused = log.put_blocking(MetaKey::Vote, Bytes::from_static(b"vote"));
    assert!(matches!(refused, Err(StoreError::Closed)));
    assert_eq!(log.get(MetaKey::Vote).unwrap(), None);
}
