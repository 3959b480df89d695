//! What several scenarios need.

use std::fs;
use std::path::{Path, PathBuf};

use bookmesh_storage::{Group, GroupName, Record, Store, StoreConfig, StoreKey};
use bytes::Bytes;

pub(crate) const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

pub(crate) fn key() -> StoreKey {
    StoreKey::from_hex(KEY).unwrap()
}

pub(crate) fn config(dir: &Path) -> StoreConfig {
    StoreConfig::new(dir, key())
}

pub(crate) fn open(dir: &Path) -> Store {
    Store::open(config(dir)).unwrap()
}

pub(crate) fn rack(name: &str) -> GroupName {
    GroupName::rack(&name.parse().unwrap())
}

pub(crate) fn group(store: &Store) -> Group {
    store.group(&rack("book-rack-001")).unwrap()
}

pub(crate) fn record(index: u64, commands: impl Into<Bytes>) -> Record {
    Record { index, head: Bytes::from_static(b"head"), commands: commands.into() }
}

/// Entries whose commands are their index in so many bytes.
pub(crate) fn records(from: u64, to: u64, bytes: usize) -> Vec<Record> {
    let one = |index: u64| {
        let commands: Vec<u8> = index.to_le_bytes().iter().copied().cycle().take(bytes).collect();
        record(index, commands)
    };
    (from..to).map(one).collect()
}

/// All files below a directory.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

pub(crate) fn copy_dir(from: &Path, to: &Path) {
    for path in files(from) {
        let copy = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(path, copy).unwrap();
    }
}

/// A directory in memory where there is one: for what is written and read, and not held against
/// a disk.
pub(crate) fn memory_dir() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}
