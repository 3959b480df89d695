//! A rack's log as it is read by others.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Hash, RackId};

/// What a log entry holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordKind {
    /// A new leader's first entry.
    Blank,
    /// Users' commands.
    Commands,
    /// Who belongs to the group.
    Membership,
}

impl RecordKind {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blank => "blank",
            Self::Commands => "commands",
            Self::Membership => "membership",
        }
    }
}

/// One committed entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRecord {
    /// Its place, from 0.
    pub index: u64,
    /// The term it was proposed in.
    pub term: u64,
    /// What it holds.
    pub kind: RecordKind,
    /// The chain after it.
    pub hash: Hash,
    /// The encoded [`super::Batch`], empty unless its kind is `Commands`: exactly the bytes that
    /// the chain covers.
    pub commands: Bytes,
}

/// One page of a rack's committed log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadLog {
    /// Which rack.
    pub rack: RackId,
    /// The first index wanted.
    pub from: u64,
    /// How many at most, up to 1,000.
    pub limit: u32,
}

/// A page; it ends early when it is as large as an answer may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPage {
    /// In index order.
    pub records: Vec<LogRecord>,
    /// The chain before the first record.
    pub previous: Hash,
    /// The last committed index.
    pub committed_index: u64,
}

/// A rack's committed log as its replicas keep it, for one that is being filled. It ends with the
/// last entry that was committed when it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FillReplica {
    /// Which rack.
    pub rack: RackId,
    /// The first index wanted.
    pub from: u64,
}

/// Some committed entries as replicas keep them. Every answer has one page at least, so that it
/// says how far its source is; the entries are sent many at a time, since most are small.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FillPage {
    /// Each the next of the one before.
    pub records: Vec<FillRecord>,
    /// The last committed index of the source, to tell how far there is to go.
    pub committed_index: u64,
}

/// One committed entry as replicas keep it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FillRecord {
    /// Its place, from 0.
    pub index: u64,
    /// What consensus keeps beside the commands; opaque here.
    pub head: Bytes,
    /// The encoded [`super::Batch`], or nothing.
    pub commands: Bytes,
    /// The chain after it.
    pub hash: Hash,
}

/// A rack's committed log from an index on, and then as it grows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TailLog {
    /// Which rack.
    pub rack: RackId,
    /// The first index wanted.
    pub from: u64,
}
