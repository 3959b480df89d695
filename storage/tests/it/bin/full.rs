//! A process for tests that fill a file system: what a store does on one that is nearly full, and
//! on one that is. Its argument is a directory with some 64 MiB, to be used up. It panics when
//! something is not as it should be.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use bookmesh_storage::{Group, GroupName, Health, MetaKey, Record, Store, StoreConfig, StoreError};
use bytes::Bytes;

const MIB: u64 = 1024 * 1024;
const WATERMARK: u64 = 16 * MIB;
const BALLAST: u64 = 24 * MIB;
const ENTRY_BYTES: usize = 20_000;

fn main() {
    let dir = std::env::args().nth(1).unwrap();
    let dir = Path::new(&dir);
    a_nearly_full_disk_says_so_before_it_refuses(dir);
    fs::remove_dir_all(dir.join("store")).unwrap();
    a_store_that_met_a_full_disk_can_be_opened_again(dir);
    println!("done");
}

fn open(dir: &Path, min_free_bytes: u64) -> (Store, Group) {
    let key = bookmesh_storage::StoreKey::from_bytes([7; 32]);
    let config = StoreConfig::new(dir.join("store"), key);
    let store = Store::open(StoreConfig { min_free_bytes, ..config }).unwrap();
    let group = store.group(&GroupName::registry()).unwrap();
    (store, group)
}

fn append(group: &Group) -> Result<(), StoreError> {
    let index = group.last_index().map_or(0, |last| last + 1);
    let commands = Bytes::from(vec![index as u8; ENTRY_BYTES]);
    group.append_blocking(vec![Record { index, head: Bytes::new(), commands }])
}

/// Takes so many bytes, or all there are.
fn fill(dir: &Path, bytes: u64) {
    let mut file = File::create(dir.join("ballast")).unwrap();
    for _ in 0..bytes / 4096 {
        if file.write_all(&[1; 4096]).is_err() {
            return;
        }
    }
}

fn empty(dir: &Path) {
    fs::remove_file(dir.join("ballast")).unwrap();
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

fn a_nearly_full_disk_says_so_before_it_refuses(dir: &Path) {
    fill(dir, BALLAST);
    let (store, group) = open(dir, WATERMARK);
    while store.room().is_ok() {
        assert_eq!(store.health(), Health::Healthy);
        append(&group).unwrap();
    }
    assert!(matches!(store.health(), Health::Full(_)));
    let mut nevertheless = 0_u64;
    let refused = loop {
        match append(&group) {
            Ok(()) => nevertheless += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, StoreError::DiskFull { .. }), "{refused}");
    assert!(nevertheless * ENTRY_BYTES as u64 > WATERMARK / 4, "{nevertheless} were taken");
    println!("{nevertheless} entries fitted between the two lines");

    // Somebody takes the rest: entries are refused, and nothing has failed.
    fs::rename(dir.join("ballast"), dir.join("first")).unwrap();
    fill(dir, u64::MAX);
    eventually("it is seen that there is less", || append(&group).is_err());
    assert!(matches!(store.health(), Health::Full(_)));
    assert_eq!(group.read(0..1, 1).unwrap().len(), 1);

    empty(dir);
    fs::remove_file(dir.join("first")).unwrap();
    eventually("it comes back by itself", || store.health() == Health::Healthy);
    append(&group).unwrap();
    drop(group);
    store.close().unwrap();
}

/// The threads of this process that are a store's own.
fn threads() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    let own = ["storage-writer\n", "storage-marks\n", "storage-recover\n"];
    names.filter(|name| own.contains(&name.as_str())).collect()
}

fn a_store_that_met_a_full_disk_can_be_opened_again(dir: &Path) {
    for round in 0..4_u8 {
        let (store, group) = open(dir, 0);
        append(&group).unwrap();
        let vote = Bytes::from(vec![round]);
        group.put_blocking(MetaKey::Vote, vote.clone()).unwrap();
        eventually("both of its threads have their names", || threads().len() == 2);
        fill(dir, u64::MAX);
        let mut acknowledged = None;
        let failed = loop {
            match append(&group) {
                Ok(()) => acknowledged = group.last_index().map(|last| (last, group.head_hash())),
                Err(error) => break error,
            }
        };
        assert!(matches!(failed, StoreError::Failed { .. }), "{failed}");
        assert!(matches!(store.health(), Health::Failed(_)));
        // There is room again, but nobody knows what is on the disk.
        empty(dir);
        assert!(matches!(append(&group), Err(StoreError::Failed { .. })));
        drop((store, group));
        eventually("its threads have ended", || threads().is_empty());

        let (store, group) = open(dir, 0);
        assert_eq!(group.get(MetaKey::Vote).unwrap(), Some(vote));
        if let Some((index, hash)) = acknowledged {
            assert_eq!(group.hash_at(index).unwrap(), Some(hash));
        }
        append(&group).unwrap();
        drop(group);
        store.close().unwrap();
    }
}
