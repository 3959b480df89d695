//! What may open a store, and what it may not.

use std::fs;

use bookmesh_storage::{
    FORMAT_VERSION, Health, OpenError, Store, StoreConfig, StoreError, StoreKey,
};

use crate::support::{config, files, group, memory_dir, open, records};

#[test]
fn a_wrong_key_is_refused_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    group(&store).append_blocking(records(0, 5, 100)).unwrap();
    store.close().unwrap();
    let refused = Store::open(StoreConfig::new(dir.path(), StoreKey::generate())).err().unwrap();
    assert!(matches!(refused, OpenError::WrongKey { .. }));
    assert!(refused.to_string().contains("STORE_PRIMARY_KEY"));
    assert_eq!(group(&open(dir.path())).last_index(), Some(4));
}

#[test]
fn a_newer_format_is_refused_with_both_versions() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).close().unwrap();
    let path = dir.path().join("FORMAT");
    let newer = FORMAT_VERSION + 6;
    let text = fs::read_to_string(&path).unwrap();
    let text = text.replace(&format!("version {FORMAT_VERSION}"), &format!("version {newer}"));
    fs::write(&path, text).unwrap();
    let refused = Store::open(config(dir.path())).err().unwrap();
    assert!(matches!(refused, OpenError::NewerFormat { found, .. } if found == newer));
    let said = refused.to_string();
    assert!(said.contains(&newer.to_string()) && said.contains(&FORMAT_VERSION.to_string()));
}

#[test]
fn a_store_is_open_once() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path());
    assert!(matches!(Store::open(config(dir.path())), Err(OpenError::Locked { .. })));
    first.close().unwrap();
    open(dir.path());
}

#[test]
fn a_store_whose_making_was_interrupted_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).close().unwrap();
    for name in ["FORMAT", "high-water"] {
        fs::remove_file(dir.path().join(name)).unwrap();
    }
    fs::write(dir.path().join("db/conf"), "half").unwrap();
    group(&open(dir.path())).append_blocking(records(0, 1, 10)).unwrap();
}

#[test]
fn a_full_disk_stops_entries_and_not_reads() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    group(&store).append_blocking(records(0, 5, 100)).unwrap();
    assert_eq!(store.health(), Health::Healthy);
    store.close().unwrap();
    // However much is free, more is wanted.
    let store =
        Store::open(StoreConfig { min_free_bytes: u64::MAX, ..config(dir.path()) }).unwrap();
    let log = group(&store);
    let refused = log.append_blocking(records(5, 6, 100));
    assert!(matches!(refused, Err(StoreError::DiskFull { .. })));
    assert!(matches!(store.health(), Health::Full(_)));
    assert_eq!(log.read(0..9, usize::MAX).unwrap().len(), 5);
}

#[test]
fn a_closed_store_takes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let log = group(&store);
    store.close().unwrap();
    assert!(matches!(log.append_blocking(records(0, 1, 1)), Err(StoreError::Closed)));
}

#[test]
fn every_call_that_was_accepted_before_closing_is_durable() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let log = group(&store);
    let (tell, told) = std::sync::mpsc::sync_channel(100);
    for index in 0..100 {
        let tell = tell.clone();
        let done =
            Box::new(move |result: Result<(), _>| tell.send((index, result.is_ok())).unwrap());
        log.append(records(index, index + 1, 3000), done).unwrap();
    }
    store.close().unwrap();
    let told: Vec<_> = told.try_iter().collect();
    assert_eq!(told, (0..100).map(|index| (index, true)).collect::<Vec<_>>(), "in their order");
    drop(log);
    assert_eq!(group(&open(dir.path())).last_index(), Some(99));
}

#[test]
fn no_blob_is_ever_made_of_entries_of_the_largest_size() {
    let dir = memory_dir();
    let store = open(dir.path());
    let log = group(&store);
    let large = bookmesh_rpc::api::MAX_ENTRY_BYTES;
    for from in (0..2000).step_by(20) {
        log.append_blocking(records(from, from + 20, large)).unwrap();
        // Cut and written anew, so that pages are written as a whole while they are full.
        log.truncate(from + 14, Box::new(|_| ())).unwrap();
        log.append_blocking(records(from + 14, from + 20, large)).unwrap();
    }
    drop(log);
    store.close().unwrap();
    let blobs: Vec<_> = files(dir.path())
        .into_iter()
        .filter(|path| path.to_string_lossy().contains("blob"))
        .collect();
    assert_eq!(blobs, Vec::<std::path::PathBuf>::new());
}
