//! The types that openraft is used with, and how an entry is kept.

use std::io::Cursor;
use std::time::Duration;

use bookmesh_rpc::PeerId;
use bookmesh_rpc::api::{Incarnation, LogRecord, MemberId, Outcome, RecordKind};
use bookmesh_rpc::codec;
use bookmesh_storage::Record;
use bytes::Bytes;
use openraft::{EntryPayload, LogId, Membership};
use serde::{Deserialize, Serialize};

openraft::declare_raft_types!(
    /// What openraft is used with: numbered members, entries of encoded commands.
    pub TypeConfig:
        D = Commands,
        R = Outcomes,
        NodeId = MemberId,
        Node = Seat,
        Entry = openraft::Entry<TypeConfig>,
        SnapshotData = Cursor<Vec<u8>>,
        AsyncRuntime = openraft::TokioRuntime,
);

/// One group's consensus.
pub type Raft = openraft::Raft<TypeConfig>;
/// One entry of a group's log.
pub type Entry = openraft::Entry<TypeConfig>;

/// An encoded [`bookmesh_rpc::api::Batch`]: opaque to consensus, and what the hash chain covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commands(pub Bytes);

/// What applying an entry answered, one outcome for each of its commands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes {
    /// In the commands' order.
    pub outcomes: Vec<Outcome>,
    /// How long applying took.
    pub took: Duration,
}

/// Who a member number stands for: a node, with the data that the number was given to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    /// The node.
    pub peer: PeerId,
    /// Its data; a node that lost it is another member.
    pub incarnation: Incarnation,
}

impl Default for Seat {
    /// openraft asks for it and makes none: members are always added with their seat.
    fn default() -> Self {
        Self { peer: PeerId::from_bytes([0; 32]), incarnation: Incarnation::default() }
    }
}

/// What stands beside the commands in a record.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    log_id: LogId<MemberId>,
    kind: HeadKind,
}

#[derive(Debug, Serialize, Deserialize)]
enum HeadKind {
    Blank,
    Commands,
    Membership(Membership<MemberId, Seat>),
}

/// Why a record is no entry.
#[derive(Debug, thiserror::Error)]
#[error("the log entry at index {index} can't be read: {why}")]
pub struct BadRecord {
    index: u64,
    why: String,
}

/// An entry as storage keeps it.
///
/// # Errors
/// When the membership in it is larger than a frame.
pub fn to_record(entry: &Entry) -> Result<Record, codec::CodecError> {
    let (kind, commands) = match &entry.payload {
        EntryPayload::Blank => (HeadKind::Blank, Bytes::new()),
        EntryPayload::Normal(commands) => (HeadKind::Commands, commands.0.clone()),
        EntryPayload::Membership(members) => (HeadKind::Membership(members.clone()), Bytes::new()),
    };
    let head = codec::encode(&Head { log_id: entry.log_id, kind })?;
    Ok(Record { index: entry.log_id.index, head: head.into(), commands })
}

/// The entry that storage kept.
///
/// # Errors
/// [`BadRecord`] when the bytes are none of ours, or stand at another place.
pub fn from_record(record: &Record) -> Result<Entry, BadRecord> {
    let index = record.index;
    let head: Head =
        codec::decode(&record.head).map_err(|error| BadRecord { index, why: error.to_string() })?;
    if head.log_id.index != index {
        let why = format!("it says it is at index {}", head.log_id.index);
        return Err(BadRecord { index, why });
    }
    let payload = match head.kind {
        HeadKind::Blank => EntryPayload::Blank,
        HeadKind::Commands => EntryPayload::Normal(Commands(record.commands.clone())),
        HeadKind::Membership(members) => EntryPayload::Membership(members),
    };
    Ok(Entry { log_id: head.log_id, payload })
}

/// An entry as others read it, with the chain after it.
pub fn to_log_record(entry: Entry, hash: bookmesh_rpc::api::Hash) -> LogRecord {
    let (kind, commands) = match entry.payload {
        EntryPayload::Blank => (RecordKind::Blank, Bytes::new()),
        EntryPayload::Normal(commands) => (RecordKind::Commands, commands.0),
        EntryPayload::Membership(_) => (RecordKind::Membership, Bytes::new()),
    };
    let (index, term) = (entry.log_id.index, entry.log_id.leader_id.term);
    LogRecord { index, term, kind, hash, commands }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use openraft::CommittedLeaderId;

    use super::*;

    fn entry(payload: EntryPayload<TypeConfig>) -> Entry {
        Entry { log_id: LogId::new(CommittedLeaderId::new(3, 7), 11), payload }
    }

    #[test]
    fn every_kind_of_entry_survives_storage() {
        let seats = BTreeMap::from([(1, Seat::default()), (2, Seat::default())]);
        let members = Membership::new(vec![[1].into()], seats);
        for payload in [
            EntryPayload::Blank,
            EntryPayload::Normal(Commands(Bytes::from_static(b"commands"))),
            EntryPayload::Membership(members),
        ] {
            let entry = entry(payload);
            assert_eq!(from_record(&to_record(&entry).unwrap()).unwrap(), entry);
        }
    }

    #[test]
    fn a_record_at_another_place_is_refused() {
        let mut record = to_record(&entry(EntryPayload::Blank)).unwrap();
        record.index = 12;
        let message = from_record(&record).unwrap_err().to_string();
        assert!(message.contains("at index 11"), "{message}");
        record.head = Bytes::from_static(b"\xff");
        assert!(from_record(&record).is_err());
    }
}
