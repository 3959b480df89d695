//! What can be wrong with a store, each with what to do about it.

use std::io;
use std::path::PathBuf;

use bookmesh_rpc::api::{Hash, MAX_ENTRY_BYTES};

use crate::names::GroupName;
use crate::record::MAX_HEAD_BYTES;

/// Why a store can't be opened. Nothing was changed on disk.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OpenError {
    /// The values were written with another key.
    #[error(
        "{dir} was written with another STORE_PRIMARY_KEY: set the key it was made with, or move \
         the directory away to start with an empty one", dir = dir.display()
    )]
    WrongKey {
        /// The store.
        dir: PathBuf,
    },
    /// A later program wrote it.
    #[error(
        "{dir} has storage format {found} and this program reads up to {supported}: run the \
         version that wrote it, or a later one", dir = dir.display()
    )]
    NewerFormat {
        /// The store.
        dir: PathBuf,
        /// What stands in its `FORMAT` file.
        found: u32,
        /// The latest that this program knows.
        supported: u32,
    },
    /// Another process has it.
    #[error(
        "{dir} is in use by another process: stop that one, or use another data directory",
        dir = dir.display()
    )]
    Locked {
        /// The store.
        dir: PathBuf,
    },
    /// The files are damaged as a whole.
    #[error(
        "{dir} is damaged ({why}): move it away, and this node is filled again from its racks' \
         other members", dir = dir.display()
    )]
    Corrupt {
        /// The store.
        dir: PathBuf,
        /// What was seen.
        why: String,
    },
    /// A key file or key text is no key.
    #[error("{what}: a key is 32 bytes, written as 64 hex digits")]
    BadKey {
        /// The file or variable.
        what: String,
    },
    /// The file system refused.
    #[error("{path}: {why}; what is there was left as it is", path = path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What it said.
        why: String,
    },
}

impl OpenError {
    pub(crate) fn io(path: impl Into<PathBuf>, error: &io::Error) -> Self {
        Self::Io { path: path.into(), why: error.to_string() }
    }
}

/// Why a group of an open store can't be read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The log ends before entries that were acknowledged.
    #[error(
        "the log of {group} ends at {} but had reached {expected}: entries are lost, and this \
         replica must be wiped and filled again from the rack's other members",
        found.map_or("nothing".to_owned(), |index| index.to_string())
    )]
    BelowHighWater {
        /// Which.
        group: GroupName,
        /// The last entry that is there.
        found: Option<u64>,
        /// The last entry that was known to be durable.
        expected: u64,
    },
    /// An entry is damaged, missing, or not the one the chain says.
    #[error(
        "the log of {group} is damaged at {index} ({why}): this replica must be wiped and filled \
         again from the rack's other members"
    )]
    Corrupt {
        /// Which.
        group: GroupName,
        /// The first entry that is not as it was written.
        index: u64,
        /// What was seen.
        why: String,
    },
    /// A value beside the log is damaged.
    #[error(
        "{what} of {group} is damaged ({why}): this replica must be wiped and filled again from \
         the rack's other members"
    )]
    CorruptValue {
        /// Which.
        group: GroupName,
        /// The value.
        what: String,
        /// What was seen.
        why: String,
    },
    /// An entry does not follow the last one.
    #[error("entry {index} does not follow the log of {group}, whose next entry is {expected}")]
    NotConsecutive {
        /// Which.
        group: GroupName,
        /// What was given.
        index: u64,
        /// What would fit.
        expected: u64,
    },
    /// An entry is larger than the store takes.
    #[error(
        "entry {index} has {bytes} bytes: at most {} of commands and {} of head are taken",
        MAX_ENTRY_BYTES,
        MAX_HEAD_BYTES
    )]
    TooLarge {
        /// Which.
        index: u64,
        /// Its commands and head.
        bytes: usize,
    },
    /// A small value is larger than the store takes.
    #[error("a value of {bytes} bytes: at most {} are taken", crate::group::MAX_VALUE_BYTES)]
    ValueTooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The file system is nearly full. Reads go on; worth trying again when there is room.
    #[error(
        "only {free_bytes} bytes are free where the store is, {needed_bytes} are needed to take \
         entries: make room"
    )]
    DiskFull {
        /// What is left.
        free_bytes: u64,
        /// What has to be left.
        needed_bytes: u64,
    },
    /// Writing failed once and is not tried again, as nobody knows what is on disk.
    #[error(
        "the store has failed ({why}): it is opened again, or the node is, when the disk is well"
    )]
    Failed {
        /// The first fault.
        why: String,
    },
    /// Reading failed.
    #[error("the store can't be read ({why}): check the disk")]
    Read {
        /// What it said.
        why: String,
    },
    /// The group was wiped while a handle was held.
    #[error("the data of {group} were wiped: open it again")]
    Wiped {
        /// Which.
        group: GroupName,
    },
    /// A checkpoint of the group is being written.
    #[error("a checkpoint of {group} is being written already")]
    CheckpointRunning {
        /// Which.
        group: GroupName,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// What a group's log has to match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The last durable entry.
    pub(crate) index: Option<u64>,
    /// The chain after it.
    pub(crate) hash: Hash,
}
