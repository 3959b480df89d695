//! Views: what a log's entries add up to, in memory.
//!
//! Applying is a pure function of the view and the entry: the time is the entry's, or the last
//! one's when that was later; ids come from a sequence in the view. So equal logs give equal
//! views, on every replica and after every restart.
//!
//! | file | idea |
//! |---|---|
//! | `things` | a rack: its things, by id and by import key |
//! | `edit` | what a change makes of a thing, and whether it may |
//! | `changes` | which commands changed what |
//! | `index` | which things have a tag, an author, a word, a status |
//! | `list` | pages of things |
//! | `registry` | the orchestrators': racks and their numbers |
//! | `members` | member numbers, each handed out once |
//! | `remembered` | first answers, for writes that their senders send again |
//! | `client_keys` | first answers under clients' own keys |
//! | `kept` | one first answer, small |
//! | `saved_to` | how far a list is in a checkpoint |
//! | `floors` | sessions whose writes are refused, since answers were forgotten early |
//! | `parts` | the bytes of a checkpoint |

mod changes;
mod client_keys;
mod edit;
mod floors;
mod index;
mod kept;
mod list;
mod members;
mod parts;
mod registry;
mod remembered;
mod saved_to;
mod things;

use bookmesh_rpc::api::{ApiError, Batch, Outcome};
use bytes::Bytes;

pub use client_keys::{CLIENT_ANSWERS, CLIENT_BYTES};
pub use floors::RETRY_MS;
pub use parts::{MAX_PART_BYTES, RestoreError};
pub use registry::{FOUNDER_PATIENCE_MS, Registry};
pub use remembered::{REMEMBERED_BYTES, REMEMBERED_KEYS, REMEMBERED_MS};
pub use things::{NotedChange, Things};

/// A state machine that can be checkpointed while it goes on.
///
/// A full checkpoint is written in slices: [`View::begin_full`], then [`View::slice`] until it
/// ends, with entries applied in between as they come, and last a delta, whose parts correct what
/// changed meanwhile. A delta is [`View::delta_slice`] while it gives some, again with entries
/// applied in between, and last [`View::take_delta`]; that one alone will do, but may be long.
/// Restoring takes all parts in the order they were given out.
pub trait View: Clone + Default + Send + Sync + 'static {
    /// Applies the entry with this index; answers each of its commands.
    fn apply(&mut self, index: u64, batch: &Batch) -> Vec<Outcome>;

    /// Notes an entry without commands.
    fn pass(&mut self, index: u64);

    /// The last entry in the view.
    fn applied_index(&self) -> Option<u64>;

    /// Begins a full checkpoint.
    fn begin_full(&mut self);

    /// The next parts of a full checkpoint, few enough to be made with a lock held: those behind
    /// `after`, `None` for the first, and where to go on, `None` at the end.
    fn slice(&self, after: Option<u64>) -> (Vec<Bytes>, Option<u64>);

    /// Some of what changed, few enough to be made with a lock held; `None` when the rest is
    /// little. A view that has only the last call of a delta gives none.
    fn delta_slice(&mut self) -> Option<Vec<Bytes>> {
        None
    }

    /// What changed since the last call, or since [`View::begin_full`], and was in no slice.
    fn take_delta(&mut self) -> Vec<Bytes>;

    /// Takes one part into a view that was empty before the first.
    ///
    /// # Errors
    /// [`RestoreError`] when it is no part of such a view.
    fn restore(&mut self, part: &[u8]) -> Result<(), RestoreError>;
}

/// A command of the other kind of group.
fn foreign(group: &str) -> ApiError {
    ApiError::invalid("action", format!("is not one of a {group}"))
}
