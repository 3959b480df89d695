//! What a rack's log changed: the commands that had an effect, without those that were refused or
//! came again.

use serde::{Deserialize, Serialize};

use super::{Action, Consistency, RackId, RequestId, ThingId};

/// Changes on one page of a history at most.
pub const MAX_HISTORY: u32 = 1_000;

/// Where a command stands in its rack's log.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Position {
    /// Its entry.
    pub index: u64,
    /// Its place in the entry, from 0.
    pub part: u32,
}

impl Position {
    /// Behind all commands of an entry, however many it has.
    pub const fn end_of(index: u64) -> Self {
        Self { index, part: u32::MAX }
    }
}

/// One command that changed a thing, or made an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Where it stands.
    pub at: Position,
    /// The entry's time, milliseconds since 1970.
    pub time_ms: u64,
    /// Who asked.
    pub request_id: RequestId,
    /// What, as it stands in the log; of one that removed several things, what it did to this one.
    pub action: Action,
    /// Of which thing or order.
    pub id: ThingId,
    /// How many changes of this thing there were up to here, this one included. That is the
    /// version that it made, unless it removed the thing.
    pub version: u64,
}

/// What became of one thing, oldest first, its removal included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadHistory {
    /// Where it is or was.
    pub rack: RackId,
    /// Which.
    pub id: ThingId,
    /// Only changes that made a later version than this.
    pub after: u64,
    /// How many at most, up to [`MAX_HISTORY`].
    pub limit: u32,
    /// How fresh.
    pub consistency: Consistency,
}

/// A page of a history. It ends early when it is as large as an answer may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryPage {
    /// Oldest first.
    pub changes: Vec<Change>,
    /// How many the thing has in all.
    pub total: u64,
    /// The log index that the answer shows.
    pub applied_index: u64,
}

/// A rack's changes from a place on, and then as they come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchChanges {
    /// Which rack.
    pub rack: RackId,
    /// Where to begin.
    pub from: Since,
}

/// Where a watch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Since {
    /// With the first change there is.
    Beginning,
    /// Behind this place. One that the log has not come to is refused.
    After(Position),
    /// With what comes next.
    Now,
}

/// Some changes, in the log's order. The first page of a watch may be empty: it says where the
/// watch begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangePage {
    /// Each behind the one before.
    pub changes: Vec<Change>,
    /// Everything up to here was told, whether it changed anything or not.
    pub through: Position,
}
